/* What receivers send to a publication (wire 3.6.1, 3.7, 3.9, 9.1). */
#include "sender_fixture.h"

#define NAK "1c000000 00 00 0200 cdab3412 e9030000 feffff7f 40000000 60000000"   /* 96 bytes at 64 */
#define ERR "3f000000 00 00 0400 cdab3412 e9030000 8877665544332211 0000000000000000 0d000000 17000000" \
    "52656a6563746564206279206170706c69636174696f6e"
#define SM_EOS_AT_0 "24000000 00 40 0300 cdab3412 e9030000 feffff7f 00000000 00040000 8877665544332211"
#define SM_OF_ANOTHER_AT_0 "24000000 00 00 0300 cdab3412 e9030000 feffff7f 00000000 00800000 0900000000000000"
#define RTTM_REQUEST "28000000 00 80 0600 cdab3412 e9030000 cb04fb711f010000 0000000000000000 8877665544332211"
#define RTTM_REPLY "28000000 00 00 0600 cdab3412 e9030000 cb04fb711f010000 0000000000000000 8877665544332211"

/* ---- retransmission ---- */

/* 16 frames of 64 bytes, sent. */
static void open_with_data(fixture_t *fixture)
{
    fixture_open(fixture);
    fixture_connect(fixture, 32768);
    fixture_offer(fixture, 64, 16);
    fixture_cycle(fixture);
    CHECK_EQUAL(1024, SND_POS(fixture));
    script_forget(&fixture->script);
}

static void test_a_nak_is_answered_at_once_and_then_not_for_the_linger(void)
{
    fixture_t fixture = fixture_defaults();
    open_with_data(&fixture);
    script_inject(&fixture.script, NAK);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    CHECK_EQUAL(64, fixture.script.sent[0].length);   /* one whole frame fits 96 bytes */
    CHECK(0 == memcmp(fixture.log.terms[0] + 64, fixture.script.sent[0].bytes, 64));
    CHECK_EQUAL(1, fixture_counter(&fixture, FL_COUNTER_NAKS_RECEIVED));
    CHECK_EQUAL(1, fixture_counter(&fixture, FIRST_COUNTER + 5));
    CHECK_EQUAL(1, fixture_counter(&fixture, FL_COUNTER_RETRANSMITS_SENT));
    CHECK_EQUAL(64, fixture_counter(&fixture, FL_COUNTER_RETRANSMITTED_BYTES));
    fixture_run(&fixture, 9);
    script_inject(&fixture.script, NAK);
    fixture_run(&fixture, 1);
    CHECK_EQUAL(1, fixture.script.sent_count);
    CHECK_EQUAL(1, fixture_drops(&fixture, FL_DROP_NAK_IGNORED));
    fixture_run(&fixture, 2);
    script_inject(&fixture.script, NAK);
    fixture_run(&fixture, 1);
    CHECK_EQUAL(2, fixture.script.sent_count);
    CHECK_EQUAL(1024, SND_POS(&fixture));
    fixture_close(&fixture);
}

static void test_a_nak_within_a_lingering_action_is_ignored_and_one_beside_it_is_not(void)
{
    fixture_t fixture = fixture_defaults();
    open_with_data(&fixture);
    fixture_nak(&fixture, 128, 256);
    fixture_cycle(&fixture);
    CHECK_EQUAL(256, fixture.script.sent[0].length);
    fixture_nak(&fixture, 320, 128);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_nak(&fixture, 384, 64);   /* unicast: takes the one slot over */
    fixture_cycle(&fixture);
    CHECK_EQUAL(2, fixture.script.sent_count);
    fixture_nak(&fixture, 128, 256);
    fixture_cycle(&fixture);
    CHECK_EQUAL(3, fixture.script.sent_count);
    fixture_close(&fixture);
}

static void test_a_group_has_a_pool_of_slots_and_counts_what_finds_none(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.is_multicast = true;
    fixture.max_resend = 2;
    open_with_data(&fixture);
    fixture_nak(&fixture, 0, 64);
    fixture_nak(&fixture, 128, 64);
    fixture_nak(&fixture, 256, 64);
    fixture_cycle(&fixture);
    CHECK_EQUAL(2, fixture.script.sent_count);
    CHECK_EQUAL(1, fixture_counter(&fixture, FL_COUNTER_RETRANSMIT_OVERFLOW));
    fixture_nak(&fixture, 0, 64);
    fixture_cycle(&fixture);
    CHECK_EQUAL(2, fixture.script.sent_count);
    fixture_run(&fixture, 11);
    fixture_nak(&fixture, 256, 64);
    fixture_cycle(&fixture);
    CHECK_EQUAL(3, fixture.script.sent_count);
    fixture_close(&fixture);
}

static void test_a_delay_is_kept(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.retransmit_delay_ns = 5 * MS;
    open_with_data(&fixture);
    fixture_nak(&fixture, 0, 64);
    fixture_run(&fixture, 5);
    CHECK_EQUAL(0, fixture.script.sent_count);
    fixture_run(&fixture, 1);
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_close(&fixture);
}

static void test_a_long_gap_is_sent_again_in_pieces_and_survives_a_full_transport(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.send_run_length = 4 * 1408;
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 1408, 12);
    fixture_run(&fixture, 4);
    script_forget(&fixture.script);
    fixture_nak(&fixture, 0, 12 * 1408);
    fixture.script.room = 3;
    fixture_run(&fixture, 2);
    CHECK_EQUAL(3, fixture.script.sent_count);
    fixture.script.room = UINT32_MAX;
    fixture_run(&fixture, 3);
    CHECK_EQUAL(12, fixture.script.sent_count);
    for (uint32_t i = 0; i < 12; i++)
    {
        CHECK(0 == memcmp(fixture.log.terms[0] + 1408 * i, fixture.script.sent[i].bytes, 1408));
    }
    CHECK_EQUAL(12, fixture_counter(&fixture, FL_COUNTER_RETRANSMITS_SENT));
    fixture_close(&fixture);
}

static void test_naks_for_what_was_not_sent_or_is_gone_are_ignored(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.start_position = 3 * 65536;
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 64, 16);
    fixture_cycle(&fixture);
    script_forget(&fixture.script);
    const int64_t position = SND_POS(&fixture);
    fixture_nak(&fixture, position, 64);
    fixture_nak(&fixture, position + 65536, 64);
    fixture_nak(&fixture, position - 32768 - 8192 - 32, 64);
    fixture_nak(&fixture, position - 1024, 0);
    script_inject(&fixture.script, "1c000000 00 00 0200 cdab3412 e9030000 fdffff7f 40000000 60000000");
    fixture_cycle(&fixture);
    CHECK_EQUAL(0, fixture.script.sent_count);
    CHECK_EQUAL(5, fixture_drops(&fixture, FL_DROP_NAK_IGNORED));
    fixture_nak(&fixture, position - 64, 1024);   /* only the part that was sent */
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    CHECK_EQUAL(64, fixture.script.sent[0].length);
    fixture_close(&fixture);
}

static void test_a_nak_does_not_get_past_flow_control(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 256);
    fixture_offer(&fixture, 64, 8);
    fixture_cycle(&fixture);
    CHECK_EQUAL(256, SND_POS(&fixture));
    script_forget(&fixture.script);
    fixture_nak(&fixture, 192, 320);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    CHECK_EQUAL(64, fixture.script.sent[0].length);
    fixture_close(&fixture);
}

/* ---- status messages ---- */

static void test_a_status_message_outside_half_a_term_is_rejected(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.start_position = 65536;
    fixture_open(&fixture);
    fixture_connect(&fixture, 1024);
    fixture_status(&fixture, 0, 65536 + 32768 + 32, 32768);
    fixture_status(&fixture, 0, 32768 - 32, 32768);
    fixture_status(&fixture, 0, -65536, 32768);
    fixture_cycle(&fixture);
    CHECK_EQUAL(65536 + 1024, SND_LMT(&fixture));
    CHECK_EQUAL(3, fixture_counter(&fixture, FL_COUNTER_STATUS_MESSAGES_REJECTED));
    CHECK_EQUAL(3, fixture_drops(&fixture, FL_DROP_SM_REJECTED));
    CHECK_EQUAL(4, fixture_counter(&fixture, FL_COUNTER_STATUS_MESSAGES_RECEIVED));
    fixture_status(&fixture, 0, 65536 + 32768, 32768);
    fixture_cycle(&fixture);
    CHECK_EQUAL(2 * 65536, SND_LMT(&fixture));
    fixture_close(&fixture);
}

static void test_a_status_message_before_the_first_term_is_rejected(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_cycle(&fixture);
    fixture_status(&fixture, 0, -32, 32768);
    fixture_cycle(&fixture);
    CHECK_EQUAL(0, SND_LMT(&fixture));
    CHECK_EQUAL(1, fixture_drops(&fixture, FL_DROP_SM_REJECTED));
    fixture_close(&fixture);
}

static void test_a_status_message_with_impossible_fields_is_invalid(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 1024);
    fixture_status(&fixture, 0, 0, -32);
    fixture_status(&fixture, 0, 0, 32769);
    fixture_status(&fixture, 0, 33, 1024);
    script_inject(&fixture.script, "24000000 00 00 0300 cdab3412 e9030000 feffff7f 00000100 00800000 8877665544332211");
    fixture_cycle(&fixture);
    CHECK_EQUAL(4, fixture_drops(&fixture, FL_DROP_SM_FIELDS));
    CHECK_EQUAL(4, fixture_counter(&fixture, FL_COUNTER_INVALID_PACKETS));
    CHECK_EQUAL(1024, SND_LMT(&fixture));
    fixture_close(&fixture);
}

static void test_a_status_message_with_a_group_tag_counts(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.start_position = 131072;   /* term 0x80000000 */
    fixture_open(&fixture);
    fixture_cycle(&fixture);
    script_inject(&fixture.script,
        "2c000000 00 00 0300 cdab3412 e9030000 00000080 80000000 00800000 fbffffffffffffff ffffffffffffffff");
    fixture_cycle(&fixture);
    CHECK_EQUAL(131200 + 32768, SND_LMT(&fixture));
    fixture_close(&fixture);
}

/* ---- the other frames ---- */

static void test_a_round_trip_request_is_answered_with_its_echo(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    script_inject(&fixture.script, RTTM_REQUEST);
    script_inject(&fixture.script, RTTM_REPLY);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_check_sent(&fixture, 0, RTTM_REPLY);
    CHECK_EQUAL(1, fixture_drops(&fixture, FL_DROP_RTTM_IGNORED));
    fixture_close(&fixture);
}

static void test_an_error_of_a_live_receiver_is_reported_once(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    CHECK_EQUAL(1, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    script_inject(&fixture.script, ERR);
    script_inject(&fixture.script, ERR);
    fixture_cycle(&fixture);
    fl_driver_event_t event;
    CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
    CHECK_EQUAL(FL_OBJECT_PUBLICATION_ERROR, event.kind);
    CHECK_EQUAL(7, event.id);
    CHECK_EQUAL(SESSION_ID, event.session_id);
    CHECK_EQUAL(STREAM_ID, event.stream_id);
    CHECK_EQUAL(RECEIVER_ID, event.receiver_id);
    CHECK_EQUAL(-1, event.group_tag);
    CHECK_EQUAL(13, event.error_code);
    CHECK_EQUAL(23, event.text_length);
    CHECK(0 == memcmp("Rejected by application", event.text, 23));
    CHECK_EQUAL(40456, event.source.port);
    CHECK_EQUAL(0, fl_driver_next_event(fixture.driver, &event));
    CHECK_EQUAL(2, fixture_counter(&fixture, FL_COUNTER_ERROR_FRAMES_RECEIVED));
    CHECK_EQUAL(0, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    fixture_close(&fixture);
}

/* Two receivers, of which the one that the stream waits for has no more room, and then says that it is gone. */
static void check_that_the_other_goes_on(const char *last_words)
{
    fixture_t fixture = fixture_defaults();
    fixture.is_multicast = true;
    fixture.flow_control = FL_FLOW_CONTROL_MIN;
    fixture_open(&fixture);
    fixture_connect(&fixture, 1024);
    script_inject(&fixture.script, SM_OF_ANOTHER_AT_0);
    fixture_offer(&fixture, 320, 6);
    fixture_run(&fixture, 5);
    CHECK_EQUAL(960, SND_POS(&fixture));
    script_inject(&fixture.script, last_words);
    fixture_cycle(&fixture);
    CHECK_EQUAL(0x8000, SND_LMT(&fixture));
    fixture_cycle(&fixture);
    CHECK_EQUAL(1920, SND_POS(&fixture));
    fixture_close(&fixture);
}

static void test_min_flow_control_waits_no_more_for_who_says_that_it_is_gone(void)
{
    check_that_the_other_goes_on(SM_EOS_AT_0);
    check_that_the_other_goes_on(ERR);
}

static void test_every_dropped_datagram_is_counted_under_its_reason(void)
{
    static const struct
    {
        int reason;
        const char *hex;
    } cases[] = {
        {FL_DROP_SHORT, ""},
        {FL_DROP_SHORT, "24000000 00 00 03"},
        {FL_DROP_SHORT, "24000000 00 00 0300 cdab3412 e9030000 feffff7f 00010000 00800000 88776655443322"},
        {FL_DROP_VERSION, "1c000000 01 00 0200 cdab3412 e9030000 feffff7f 40000000 60000000"},
        {FL_DROP_TYPE, "1c000000 00 00 0800 cdab3412 e9030000 feffff7f 40000000 60000000"},
        {FL_DROP_TYPE, "1c000000 00 00 ffff cdab3412 e9030000 feffff7f 40000000 60000000"},
        {FL_DROP_TYPE, "14000000 00 00 0b00 cdab3412 e9030000 b3ffffff"},
        {FL_DROP_FRAME_LENGTH, "1d000000 00 00 0200 cdab3412 e9030000 feffff7f 40000000 60000000"},
        {FL_DROP_FRAME_LENGTH, "ffffffff 00 00 0200 cdab3412 e9030000 feffff7f 40000000 60000000"},
        {FL_DROP_WRONG_SIDE, "00000000 00 c0 0100 00010000 cdab3412 e9030000 feffff7f 0000000000000000"},
        {FL_DROP_WRONG_SIDE,
            "2800000000000500 00010000 cdab3412 e9030000 feffff7f feffff7f 00000100 80050000 00000000"},
        {FL_DROP_NO_PUBLICATION, "24000000 00 80 0300 00000000 00000000 00000000 00000000 00000000 8877665544332211"},
        {FL_DROP_SM_FIELDS, "24000000 00 00 0300 00000000 00000000 00000000 00000040 00000000 8877665544332211"},
        {FL_DROP_NO_PUBLICATION, "1c000000 00 00 0200 cdab3412 ea030000 feffff7f 40000000 60000000"},
        {FL_DROP_NAK_FIELDS, "1c000000 00 00 0200 cdab3412 e9030000 feffff7f 41000000 60000000"},
        {FL_DROP_NAK_FIELDS, "1c000000 00 00 0200 cdab3412 e9030000 feffff7f 40000000 ffffffff"},
        {FL_DROP_NAK_FIELDS, "1c000000 00 00 0200 cdab3412 e9030000 feffff7f 40000000 00000100"},
        {FL_DROP_ERR_FIELDS,
            "28000000 00 00 0400 cdab3412 e9030000 8877665544332211 0000000000000000 0d000000 01000000"},
        {FL_DROP_ERR_FIELDS,
            "28000000 00 00 0400 cdab3412 e9030000 8877665544332211 0000000000000000 0d000000 ffffffff"},
    };
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        const int64_t before = fixture_drops(&fixture, cases[i].reason);
        script_inject(&fixture.script, cases[i].hex);
        fixture_cycle(&fixture);
        CHECK_EQUAL(before + 1, fixture_drops(&fixture, cases[i].reason));
    }
    /* The one that connected, and the one for any session. */
    CHECK_EQUAL(2, fixture_counter(&fixture, FL_COUNTER_STATUS_MESSAGES_RECEIVED));
    fixture.script.injected_flags = FL_RUN_TRUNCATED;
    script_inject(&fixture.script, NAK);
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture_drops(&fixture, FL_DROP_TRUNCATED));
    CHECK_EQUAL(0, fixture.script.sent_count);
    CHECK_EQUAL(0, fixture_counter(&fixture, FL_COUNTER_NAKS_RECEIVED));
    fixture_close(&fixture);
}

int main(void)
{
    RUN(test_a_nak_is_answered_at_once_and_then_not_for_the_linger);
    RUN(test_a_nak_within_a_lingering_action_is_ignored_and_one_beside_it_is_not);
    RUN(test_a_group_has_a_pool_of_slots_and_counts_what_finds_none);
    RUN(test_a_delay_is_kept);
    RUN(test_a_long_gap_is_sent_again_in_pieces_and_survives_a_full_transport);
    RUN(test_naks_for_what_was_not_sent_or_is_gone_are_ignored);
    RUN(test_a_nak_does_not_get_past_flow_control);
    RUN(test_a_status_message_before_the_first_term_is_rejected);
    RUN(test_a_status_message_outside_half_a_term_is_rejected);
    RUN(test_a_status_message_with_impossible_fields_is_invalid);
    RUN(test_a_status_message_with_a_group_tag_counts);
    RUN(test_a_round_trip_request_is_answered_with_its_echo);
    RUN(test_an_error_of_a_live_receiver_is_reported_once);
    RUN(test_min_flow_control_waits_no_more_for_who_says_that_it_is_gone);
    RUN(test_every_dropped_datagram_is_counted_under_its_reason);
    return 0;
}
