/* What a publication puts on the wire, and when (wire 3.2 to 3.5). Literal bytes are those of the wire test vectors. */
#include "sender_fixture.h"

#define SETUP_AT_0 "2800000000000500 00000000 cdab3412 e9030000 feffff7f feffff7f 00000100 80050000 00000000"
#define SETUP_AT_256 "2800000000000500 00010000 cdab3412 e9030000 feffff7f feffff7f 00000100 80050000 00000000"
#define HEARTBEAT_AT_256 "00000000 00 c0 0100 00010000 cdab3412 e9030000 feffff7f 0000000000000000"
#define SM_AT_256 "24000000 00 00 0300 cdab3412 e9030000 feffff7f 00010000 00800000 8877665544332211"
#define SM_SEND_SETUP "24000000 00 80 0300 cdab3412 e9030000 00000000 00000000 00000000 8877665544332211"

static void test_setup_is_sent_every_100_ms_until_a_status_message(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_check_sent(&fixture, 0, SETUP_AT_0);
    fixture_run(&fixture, 100);
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_run(&fixture, 1);
    CHECK_EQUAL(2, fixture.script.sent_count);
    fixture_run(&fixture, 1010);
    CHECK_EQUAL(12, fixture_count_sent(&fixture, FL_FRAME_SETUP));
    CHECK_EQUAL(12, fixture.script.sent_count);
    fixture_status(&fixture, 0, 0, 32768);
    fixture_run(&fixture, 500);
    CHECK_EQUAL(12, fixture_count_sent(&fixture, FL_FRAME_SETUP));
    fixture_close(&fixture);
}

static void test_an_elicited_setup_follows_within_100_ms_and_once(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 256, 1);
    fixture_run(&fixture, 50);
    script_forget(&fixture.script);
    script_inject(&fixture.script, SM_SEND_SETUP);
    script_inject(&fixture.script, SM_SEND_SETUP);
    fixture_run(&fixture, 40);
    CHECK_EQUAL(0, fixture_count_sent(&fixture, FL_FRAME_SETUP));
    fixture_run(&fixture, 12);
    CHECK_EQUAL(1, fixture_count_sent(&fixture, FL_FRAME_SETUP));
    fixture_check_sent(&fixture, 0, SETUP_AT_256);
    CHECK_EQUAL(256 + 0, SND_POS(&fixture));
    CHECK_EQUAL(32768, SND_LMT(&fixture));   /* such a message says nothing about flow control */
    fixture_run(&fixture, 300);
    CHECK_EQUAL(1, fixture_count_sent(&fixture, FL_FRAME_SETUP));
    fixture_close(&fixture);
}

static void test_data_follows_the_first_status_message(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    CHECK_EQUAL(0, PUB_LMT(&fixture));
    fixture_append(&fixture, FL_FRAME_DATA, 44, "hello aeron!");
    fixture_run(&fixture, 10);
    CHECK_EQUAL(0, fixture_count_sent(&fixture, FL_FRAME_DATA));
    CHECK_EQUAL(0, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    fixture_connect(&fixture, 32768);
    CHECK_EQUAL(32768, PUB_LMT(&fixture));
    CHECK_EQUAL(1, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_check_sent(&fixture, 0,
        "2c000000 00 c0 0100 00000000 cdab3412 e9030000 feffff7f 0000000000000000 68656c6c6f206165726f6e2100000000"
        "00000000000000000000000000000000");
    CHECK_EQUAL(64, SND_POS(&fixture));
    CHECK_EQUAL(64, PUB_POS(&fixture));
    CHECK_EQUAL(64 + 32768, PUB_LMT(&fixture));
    fixture_close(&fixture);
}

static void test_a_frame_that_is_claimed_but_not_complete_is_not_sent(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fl_i32_store_release(fixture.log.terms[0], -64);
    fixture_run(&fixture, 5);
    CHECK_EQUAL(0, fixture_count_sent(&fixture, FL_FRAME_DATA));
    fixture_close(&fixture);
}

static void test_sending_stops_at_the_window_and_counts_the_episode_once(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 1024);
    fixture_offer(&fixture, 320, 6);
    fixture_run(&fixture, 5);
    CHECK_EQUAL(960, SND_POS(&fixture));
    CHECK_EQUAL(1024, SND_LMT(&fixture));
    CHECK_EQUAL(1, SND_BPE(&fixture));
    CHECK_EQUAL(1, fixture_counter(&fixture, FL_COUNTER_SENDER_FLOW_CONTROL_LIMITS));
    fixture_status(&fixture, 0, 640, 640);
    fixture_run(&fixture, 5);
    CHECK_EQUAL(1280, SND_POS(&fixture));
    CHECK_EQUAL(2, SND_BPE(&fixture));
    fixture_status(&fixture, 0, 320, 320);   /* never lowers the limit */
    fixture_run(&fixture, 5);
    CHECK_EQUAL(1280, SND_LMT(&fixture));
    fixture_close(&fixture);
}

static void check_run(const fixture_t *fixture, uint32_t index, uint32_t length, uint32_t segment_length)
{
    CHECK(index < fixture->script.run_count);
    CHECK_EQUAL(length, fixture->script.runs[index].length);
    CHECK_EQUAL(segment_length, fixture->script.runs[index].segment_length);
}

static void test_equal_frames_make_one_run_that_a_shorter_datagram_closes(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 64, 22 * 3 + 5);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.calls);
    CHECK_EQUAL(1, fixture.script.run_count);
    check_run(&fixture, 0, 3 * 1408 + 320, 1408);
    CHECK_EQUAL(4, fixture.script.sent_count);
    CHECK_EQUAL(320, fixture.script.sent[3].length);
    CHECK_EQUAL(fixture.tail, SND_POS(&fixture));
    CHECK(0 == memcmp(fixture.script.sent[1].bytes, fixture.log.terms[0] + 1408, 1408));
    fixture_close(&fixture);
}

static void test_mixed_lengths_make_several_runs_in_one_call(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 65536 / 2);
    fixture_offer(&fixture, 1024, 3);    /* datagrams of 1024, 1024, 1024 + 320 */
    fixture_offer(&fixture, 320, 1);
    fixture_offer(&fixture, 1408, 2);
    fixture_offer(&fixture, 640, 1);     /* closes that run */
    fixture_offer(&fixture, 1408, 1);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.calls);
    CHECK_EQUAL(4, fixture.script.run_count);
    check_run(&fixture, 0, 2048, 1024);
    check_run(&fixture, 1, 1344, 1344);
    check_run(&fixture, 2, 2 * 1408 + 640, 1408);
    check_run(&fixture, 3, 1408, 1408);
    CHECK_EQUAL(fixture.tail, SND_POS(&fixture));
    fixture_close(&fixture);
}

static void test_runs_keep_the_endpoint_s_limits(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture.publication->bounds.max_run_segments = fixture.script.max_run_segments = 4;
    fixture_offer(&fixture, 1408, 6);
    fixture_cycle(&fixture);
    CHECK_EQUAL(2, fixture.script.run_count);
    check_run(&fixture, 0, 4 * 1408, 1408);
    check_run(&fixture, 1, 2 * 1408, 1408);
    fixture.publication->bounds.max_run_length = fixture.script.max_run_length = 3000;
    fixture_offer(&fixture, 1408, 3);
    fixture_cycle(&fixture);
    CHECK_EQUAL(4, fixture.script.run_count);
    check_run(&fixture, 2, 2 * 1408, 1408);
    check_run(&fixture, 3, 1408, 1408);
    fixture_close(&fixture);
}

static void test_a_cycle_sends_at_most_half_the_receiver_window(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 8 * 1408);
    fixture_offer(&fixture, 1408, 8);
    fixture_cycle(&fixture);
    CHECK_EQUAL(4 * 1408, SND_POS(&fixture));
    fixture_cycle(&fixture);
    CHECK_EQUAL(8 * 1408, SND_POS(&fixture));
    fixture_close(&fixture);
}

static void test_a_cycle_sends_at_most_the_run_length_and_the_messages_that_are_set(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.send_run_length = 3 * 1408 + 100;
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 1408, 8);
    fixture_cycle(&fixture);
    CHECK_EQUAL(3 * 1408, SND_POS(&fixture));
    fixture.publication->bounds.max_datagrams = 2;
    fixture_cycle(&fixture);
    CHECK_EQUAL(5 * 1408, SND_POS(&fixture));
    fixture_close(&fixture);
}

static void test_of_a_pad_only_the_header_is_sent_and_the_next_term_follows(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.start_position = 65536 - 320;
    fixture_open(&fixture);
    fixture_cycle(&fixture);
    CHECK_EQUAL(FL_FRAME_SETUP, fixture_sent_type(&fixture, 0));
    fixture_connect(&fixture, 32768);
    fixture_append(&fixture, FL_FRAME_DATA, 96, NULL);
    fixture_append(&fixture, FL_FRAME_PAD, 224, NULL);
    fixture_append(&fixture, FL_FRAME_DATA, 64, NULL);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    CHECK_EQUAL(96 + 32, fixture.script.sent[0].length);
    CHECK(0 == memcmp(fixture.script.sent[0].bytes + 96,
        "\xe0\0\0\0\0\xc0\0\0\x20\xff\0\0\xcd\xab\x34\x12\xe9\x03\0\0\xfe\xff\xff\x7f\0\0\0\0\0\0\0\0", 32));
    CHECK_EQUAL(65536, SND_POS(&fixture));
    fixture_cycle(&fixture);
    CHECK_EQUAL(65536 + 64, SND_POS(&fixture));
    CHECK_EQUAL(64, fixture.script.sent[1].length);
    const fl_data_header_t *next = (const fl_data_header_t *)fixture.script.sent[1].bytes;
    CHECK_EQUAL(0x7fffffff, next->term_id);
    CHECK_EQUAL(0, next->term_offset);
    fixture_close(&fixture);
}

static void test_a_pad_passes_the_window_by_all_but_its_header(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 1024);
    fixture_offer(&fixture, 992, 1);
    fixture_append(&fixture, FL_FRAME_PAD, 65536 - 992, NULL);
    fixture_cycle(&fixture);
    CHECK_EQUAL(65536, SND_POS(&fixture));
    CHECK_EQUAL(1024, SND_LMT(&fixture));
    CHECK_EQUAL(1, fixture.script.sent_count);
    CHECK_EQUAL(1024, fixture.script.sent[0].length);
    fixture_close(&fixture);
}

static void test_what_the_transport_did_not_take_is_sent_next(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 1408, 5);
    fixture_offer(&fixture, 320, 1);
    fixture.script.room = 3;
    fixture_cycle(&fixture);
    CHECK_EQUAL(3 * 1408, SND_POS(&fixture));
    CHECK_EQUAL(1, fixture_counter(&fixture, FL_COUNTER_SHORT_SENDS));
    fixture_cycle(&fixture);
    CHECK_EQUAL(3 * 1408, SND_POS(&fixture));
    CHECK_EQUAL(2, fixture_counter(&fixture, FL_COUNTER_SHORT_SENDS));
    fixture.script.room = UINT32_MAX;
    fixture_cycle(&fixture);
    CHECK_EQUAL(fixture.tail, SND_POS(&fixture));
    for (uint32_t i = 0; i < 5; i++)
    {
        CHECK(0 == memcmp(fixture.script.sent[i].bytes, fixture.log.terms[0] + 1408 * i, 1408));
    }
    CHECK_EQUAL(6, fixture.script.sent_count);
    CHECK_EQUAL(5 * 1408 + 320 + 40, fixture_counter(&fixture, FL_COUNTER_BYTES_SENT));
    fixture_close(&fixture);
}

static void test_a_pad_that_was_not_taken_is_sent_again(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.start_position = 65536 - 2816;
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 1408, 1);
    fixture_append(&fixture, FL_FRAME_PAD, 1408, NULL);
    fixture.script.room = 1;
    fixture_cycle(&fixture);
    CHECK_EQUAL(65536 - 1408, SND_POS(&fixture));
    fixture.script.room = UINT32_MAX;
    fixture_cycle(&fixture);
    CHECK_EQUAL(65536, SND_POS(&fixture));
    CHECK_EQUAL(32, fixture.script.sent[1].length);
    fixture_close(&fixture);
}

static void test_heartbeats_come_every_100_ms_without_data(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 256, 1);
    fixture_run(&fixture, 95);
    CHECK_EQUAL(0, fixture_count_sent(&fixture, -2));
    fixture_run(&fixture, 10);
    CHECK_EQUAL(1, fixture_count_sent(&fixture, -2));
    fixture_check_sent(&fixture, 1, HEARTBEAT_AT_256);
    for (int i = 0; i < 20; i++)
    {
        fixture_offer(&fixture, 64, 1);
        fixture_run(&fixture, 20);
    }
    CHECK_EQUAL(1, fixture_count_sent(&fixture, -2));
    fixture_run(&fixture, 1010);
    const uint32_t heartbeats = fixture_count_sent(&fixture, -2);
    CHECK(heartbeats >= 10 && heartbeats <= 11);
    CHECK_EQUAL(heartbeats, fixture_counter(&fixture, FL_COUNTER_HEARTBEATS_SENT));
    fixture_close(&fixture);
}

static void test_what_lies_ahead_of_the_limit_is_clean_through_many_terms(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.is_exclusive = true;
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    for (int i = 0; i < 600; i++)
    {
        /* As a publisher does: up to the limit, and the last message may pass it by its length. */
        while (fixture.tail < PUB_LMT(&fixture))
        {
            const int32_t left = fixture.log.term_length - fl_log_term_offset(&fixture.log, fixture.tail);
            fixture_append(&fixture, left < 8192 ? FL_FRAME_PAD : FL_FRAME_DATA, left < 8192 ? left : 1408, NULL);
        }
        fixture_status(&fixture, 0, SND_POS(&fixture), 32768);
        fixture_run(&fixture, 1);
        script_forget(&fixture.script);
        CHECK(PUB_LMT(&fixture) <= SND_POS(&fixture) + 32768);
    }
    CHECK(SND_POS(&fixture) > 30 * 65536);
    fixture_close(&fixture);
}

static void test_the_publisher_limit_waits_for_cleaning_that_takes_several_cycles(void)
{
    const int64_t term_length = 1048576;
    fixture_t fixture = fixture_defaults();
    fixture.term_length = (int32_t)term_length;
    fixture_open(&fixture);
    fixture_connect(&fixture, 524288);
    /* Each PAD takes the sender a term ahead in one cycle. */
    for (int64_t term = 0; term < 2; term++)
    {
        fixture_append(&fixture, FL_FRAME_PAD, (int32_t)term_length, NULL);
        fixture_status(&fixture, 0, term * term_length, 524288);
        fixture_run(&fixture, 2);
    }
    CHECK_EQUAL(2 * term_length, SND_POS(&fixture));
    CHECK_EQUAL(2 * term_length + 262144, PUB_LMT(&fixture));
    fixture_cycle(&fixture);
    CHECK_EQUAL(2 * term_length + 524288, PUB_LMT(&fixture));
    fixture_close(&fixture);
}

static void test_a_publisher_that_died_is_unblocked_after_the_timeout(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    /* 96 bytes were claimed and marked; another publisher went on behind them. */
    fl_i32_store_release(fixture.log.terms[0], -96);
    fixture.tail = 96;
    fixture_offer(&fixture, 64, 1);
    for (int i = 0; i < 140; i++)
    {
        fixture_status(&fixture, 0, 0, 32768);
        fixture_run(&fixture, 100);
    }
    CHECK_EQUAL(0, SND_POS(&fixture));
    for (int i = 0; i < 14; i++)
    {
        fixture_status(&fixture, 0, 0, 32768);
        fixture_run(&fixture, 100);
    }
    CHECK_EQUAL(160, SND_POS(&fixture));
    CHECK_EQUAL(1, fixture_counter(&fixture, FL_COUNTER_UNBLOCKED_PUBLICATIONS));
    fixture_close(&fixture);
}

static void test_a_draining_stream_ends_before_a_claim_of_unknown_length(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 256, 1);
    /* The tail moved and nothing was written: there is no length to repair it with. */
    fl_i64_store_release(&fixture.log.metadata->term_tail_counters[0], fl_raw_tail(INITIAL_TERM_ID, 512));
    fixture_run(&fixture, 10);
    fl_publication_drain(fixture.driver, fixture.publication);
    CHECK_EQUAL(512, fl_i64_load_acquire(&fixture.log.metadata->end_of_stream_position));
    for (int i = 0; i < 154; i++)
    {
        fixture_status(&fixture, 0, 256, 32768);
        fixture_run(&fixture, 100);
    }
    CHECK_EQUAL(256, fl_i64_load_acquire(&fixture.log.metadata->end_of_stream_position));
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER, fixture_events(&fixture));
    fixture_close(&fixture);
}

int main(void)
{
    RUN(test_setup_is_sent_every_100_ms_until_a_status_message);
    RUN(test_an_elicited_setup_follows_within_100_ms_and_once);
    RUN(test_data_follows_the_first_status_message);
    RUN(test_a_frame_that_is_claimed_but_not_complete_is_not_sent);
    RUN(test_sending_stops_at_the_window_and_counts_the_episode_once);
    RUN(test_equal_frames_make_one_run_that_a_shorter_datagram_closes);
    RUN(test_mixed_lengths_make_several_runs_in_one_call);
    RUN(test_runs_keep_the_endpoint_s_limits);
    RUN(test_a_cycle_sends_at_most_half_the_receiver_window);
    RUN(test_a_cycle_sends_at_most_the_run_length_and_the_messages_that_are_set);
    RUN(test_of_a_pad_only_the_header_is_sent_and_the_next_term_follows);
    RUN(test_a_pad_passes_the_window_by_all_but_its_header);
    RUN(test_what_the_transport_did_not_take_is_sent_next);
    RUN(test_a_pad_that_was_not_taken_is_sent_again);
    RUN(test_heartbeats_come_every_100_ms_without_data);
    RUN(test_what_lies_ahead_of_the_limit_is_clean_through_many_terms);
    RUN(test_the_publisher_limit_waits_for_cleaning_that_takes_several_cycles);
    RUN(test_a_publisher_that_died_is_unblocked_after_the_timeout);
    RUN(test_a_draining_stream_ends_before_a_claim_of_unknown_length);
    return 0;
}
