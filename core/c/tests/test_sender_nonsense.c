/* Log buffers that hold nonsense, since clients write them: none of it leaves, and none of it harms the sender. */
#include "sender_fixture.h"

static void spoil_length(uint8_t *frame, int32_t length)
{
    fl_i32_store_release(frame, length);
}

static void test_a_frame_that_is_not_of_this_stream_does_not_go_out_and_is_counted_once(void)
{
    static const struct
    {
        int offset;
        uint8_t value;
    } spoils[] = {{4, 1}, {6, 5}, {7, 1}, {8, 32}, {9, 1}, {12, 0}, {15, 0}, {16, 0}, {19, 1}, {20, 0}, {23, 0}};
    for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++)
    {
        fixture_t fixture = fixture_defaults();
        fixture_open(&fixture);
        fixture_connect(&fixture, 32768);
        fixture_offer(&fixture, 64, 3);
        fixture.log.terms[0][64 + spoils[i].offset] = spoils[i].value;
        fixture_run(&fixture, 5);
        CHECK_EQUAL(1, fixture.script.sent_count);
        CHECK_EQUAL(64, fixture.script.sent[0].length);
        CHECK_EQUAL(64, SND_POS(&fixture));
        CHECK_EQUAL(FL_EVENT_PUBLICATION_INVALID, atomic_load(&fixture.publication->object.pending));
        fixture_nak(&fixture, 0, 192);
        fixture_cycle(&fixture);
        CHECK_EQUAL(2, fixture.script.sent_count);
        CHECK_EQUAL(64, fixture.script.sent[1].length);
        fixture_close(&fixture);
    }
}

static void test_a_frame_with_an_impossible_length_does_not_go_out(void)
{
    static const int32_t lengths[] = {1, 31, 1409, 65536, 65536 - 63, INT32_MAX, INT32_MAX - 31};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
    {
        fixture_t fixture = fixture_defaults();
        fixture_open(&fixture);
        fixture_connect(&fixture, 32768);
        fixture_offer(&fixture, 64, 2);
        spoil_length(fixture.log.terms[0] + 64, lengths[i]);
        fixture_run(&fixture, 5);
        CHECK_EQUAL(64, SND_POS(&fixture));
        /* As a PAD it may be long, but not beyond the term. */
        fixture.log.terms[0][64 + 6] = FL_FRAME_PAD;
        fixture_run(&fixture, 5);
        const int64_t extent = fl_align(lengths[i], 32);
        CHECK_EQUAL(lengths[i] >= 32 && extent <= 65536 - 64 ? 64 + extent : 64, SND_POS(&fixture));
        fixture_close(&fixture);
    }
}

static void test_tails_and_counters_that_clients_wrote_are_not_believed(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 64, 2);
    fixture_run(&fixture, 1);
    const int64_t values[] = {-1, INT64_MIN, INT64_MAX, fl_raw_tail(INITIAL_TERM_ID, -1), fl_raw_tail(0, 0)};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
    {
        for (int k = 0; k < 3; k++)
        {
            fl_i64_store_release(&fixture.log.metadata->term_tail_counters[k], values[i]);
        }
        fl_i32_store_release(&fixture.log.metadata->active_term_count, (int32_t)(i * 7) - 3);
        fl_i64_store_release(fixture.cnc.counters_values + (FIRST_COUNTER + 1) * 128, INT64_MAX);
        fixture_run(&fixture, 250);
        CHECK(PUB_POS(&fixture) >= 128 && PUB_POS(&fixture) <= 3 * 65536);
    }
    /* Count and tail that belong together, but to a position that no publisher can have reached. */
    const int32_t count = 999;
    fl_i32_store_release(&fixture.log.metadata->active_term_count, count);
    fl_i64_store_release(
        &fixture.log.metadata->term_tail_counters[0], fl_raw_tail((int32_t)((uint32_t)INITIAL_TERM_ID + count), 64));
    fixture_run(&fixture, 250);
    CHECK(PUB_POS(&fixture) <= 3 * 65536);
    fl_publication_drain(fixture.driver, fixture.publication);
    const int64_t end = fl_i64_load_acquire(&fixture.log.metadata->end_of_stream_position);
    CHECK(end >= 128 && end <= 3 * 65536);
    fixture_close(&fixture);
}

/* Seeded noise: in the log, on the wire and from the transport. What leaves is still made of frames of this stream. */
static void check_sent_is_of_the_stream(const fixture_t *fixture)
{
    for (uint32_t i = 0; i < fixture->script.sent_count; i++)
    {
        const script_datagram_t *datagram = &fixture->script.sent[i];
        CHECK(datagram->length >= 32 && datagram->length <= MTU_LENGTH);
        const fl_data_header_t *header = (const fl_data_header_t *)datagram->bytes;
        const int type = fixture_sent_type(fixture, i);
        CHECK(type == -2 || type == FL_FRAME_DATA || type == FL_FRAME_PAD || type == FL_FRAME_SETUP ||
            type == FL_FRAME_RTTM);
        if (FL_FRAME_DATA == type || FL_FRAME_PAD == type)
        {
            CHECK_EQUAL(SESSION_ID, header->session_id);
            CHECK_EQUAL(STREAM_ID, header->stream_id);
            CHECK(0 == datagram->length % 32);
        }
    }
}

static void test_noise_in_the_log_and_on_the_wire_does_no_harm(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
    {
        uint64_t state = seed;
        fixture_t fixture = fixture_defaults();
        fixture.is_multicast = seed % 2;
        fixture.max_resend = 4;
        fixture_open(&fixture);
        fixture_connect(&fixture, 32768);
        for (int turn = 0; turn < 2000; turn++)
        {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            const uint32_t pick = (uint32_t)(state >> 33);
            const int32_t left = 65536 - fl_log_term_offset(&fixture.log, fixture.tail);
            const int32_t length = 32 + (int32_t)(pick % 1377);
            if (0 == fl_i32_load_acquire(fl_log_term(&fixture.log, fixture.tail) + (65536 - left)) &&
                fixture.tail < fixture.publication->publisher_limit)
            {
                fixture_append(&fixture, left < 1408 ? FL_FRAME_PAD : FL_FRAME_DATA, left < 1408 ? left : length, NULL);
            }
            if (0 == pick % 50)
            {
                const int64_t word = (int64_t)(state >> 11) % (65536 / 4);
                fl_i32_store_release(fixture.log.terms[pick / 64 % 3] + 4 * word, (int32_t)(state >> 20));
            }
            if (0 == pick % 7)
            {
                fl_i64_store_release((uint8_t *)fixture.log.metadata + 8 * (pick / 8 % 60), (int64_t)(state * 31));
            }
            fixture_status(&fixture, (uint8_t)(pick >> 5 & 0x80), SND_POS(&fixture) - pick % 3 * 32, 32768);
            fixture_nak(&fixture, SND_POS(&fixture) - (int64_t)(pick % 2048) * 32, (int32_t)(pick % 4096));
            uint8_t noise[64];
            for (size_t i = 0; i < sizeof(noise); i++)
            {
                noise[i] = (uint8_t)(state >> (i % 8 * 8)) * (uint8_t)(i + 1);
            }
            noise[4] = 0;
            noise[6] = (uint8_t)(pick % 12);
            noise[7] = 0;
            memcpy(noise + 8, "\xcd\xab\x34\x12\xe9\x03\0\0", 8);
            script_inject_bytes(&fixture.script, noise, pick / 16 % sizeof(noise));
            fixture.script.room = 0 == pick % 5 ? pick % 4 : UINT32_MAX;
            fixture_run(&fixture, 1 + (0 == pick % 97) * 150);
            check_sent_is_of_the_stream(&fixture);
            script_forget(&fixture.script);
        }
        fl_publication_drain(fixture.driver, fixture.publication);
        for (int i = 0; i < 300; i++)
        {
            fixture_run(&fixture, 100);
            script_forget(&fixture.script);
        }
        CHECK(0 != (fixture_events(&fixture) & FL_EVENT_PUBLICATION_DONE));
        fixture_close(&fixture);
    }
}

int main(void)
{
    RUN(test_a_frame_that_is_not_of_this_stream_does_not_go_out_and_is_counted_once);
    RUN(test_a_frame_with_an_impossible_length_does_not_go_out);
    RUN(test_tails_and_counters_that_clients_wrote_are_not_believed);
    RUN(test_noise_in_the_log_and_on_the_wire_does_no_harm);
    return 0;
}
