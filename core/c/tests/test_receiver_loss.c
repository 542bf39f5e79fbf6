/* Loss in one image: when a gap is NAKed, what fills it, and what is reported of it (wire 4.8). */
#include "receiver_frames.h"

static void test_a_gap_is_nakked_once_and_again_after_the_retry_delay(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_data(f, 0, 1024);
    inject_data(f, 3072, 1024);
    cycle(f, 0);
    CHECK_EQUAL(1024, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(4096, counter(f, COUNTER_HWM));
    CHECK_EQUAL(0, sent_of_type(f, FL_FRAME_NAK));
    cycle(f, 1000);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_NAK));
    const script_datagram_t *nak = last_sent(f, FL_FRAME_NAK);
    CHECK_EQUAL(FL_NAK_LENGTH, nak->length);
    CHECK_EQUAL(1024, nak_position(nak));
    CHECK_EQUAL(2048, ((const fl_nak_frame_t *)nak->bytes)->length);
    cycle(f, 99 * 1000);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_NAK));
    cycle(f, 1000);
    CHECK_EQUAL(2, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(2, counter(f, COUNTER_NAKS));
    CHECK_EQUAL(2, counter(f, FL_COUNTER_NAKS_SENT));

    inject_data(f, 2048, 1024);      /* the gap shrinks: another one */
    cycle(f, 0);
    cycle(f, 1000);
    CHECK_EQUAL(3, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(1024, ((const fl_nak_frame_t *)last_sent(f, FL_FRAME_NAK)->bytes)->length);
    inject_data(f, 1024, 1024);
    cycle(f, 0);
    CHECK_EQUAL(4096, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(4096, consume(f));
    pass(f, 10 * MS);
    CHECK_EQUAL(3, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(0, f->driver->receiver.active_count);
    fixture_free(f);
}

static void test_reordering_inside_one_poll_makes_no_nak(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    for (int i = 7; i >= 0; i--)
    {
        inject_data(f, i * 512, 512);
    }
    cycle(f, 0);
    CHECK_EQUAL(8 * 512, counter(f, COUNTER_REBUILD));
    pass(f, 5 * MS);
    CHECK_EQUAL(0, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(8 * 512, consume(f));
    fixture_free(f);
}

static void test_gaps_are_reported_one_after_the_other(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_data(f, 1024, 1024);
    inject_data(f, 4096, 1024);
    cycle(f, 0);
    cycle(f, 1000);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(0, nak_position(last_sent(f, FL_FRAME_NAK)));
    inject_data(f, 0, 1024);
    cycle(f, 0);
    cycle(f, 1000);
    CHECK_EQUAL(2, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(2048, nak_position(last_sent(f, FL_FRAME_NAK)));
    fixture_free(f);
}

static void test_a_gap_at_the_end_of_a_term_is_nakked_in_that_term(void)
{
    fixture_t *f = fixture_new();
    const int64_t begin = TERM_LENGTH - 2048;
    const fl_image_params_t params =
        fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), begin);
    fixture_add_image_with(f, &params, 1);
    inject_data(f, begin, 1024);
    inject_data(f, TERM_LENGTH + 1024, 1024);
    cycle(f, 0);
    cycle(f, 1000);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(begin + 1024, nak_position(last_sent(f, FL_FRAME_NAK)));
    CHECK_EQUAL(1024, ((const fl_nak_frame_t *)last_sent(f, FL_FRAME_NAK)->bytes)->length);
    inject_data(f, begin + 1024, 1024);
    cycle(f, 0);
    cycle(f, 1000);
    cycle(f, 1000);
    CHECK_EQUAL(2, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(TERM_LENGTH, nak_position(last_sent(f, FL_FRAME_NAK)));
    inject_data(f, TERM_LENGTH, 1024);
    cycle(f, 0);
    CHECK_EQUAL(TERM_LENGTH + 2048, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(2048, consume(f));
    CHECK_EQUAL(2048, consume(f));
    fixture_free(f);
}

static void test_a_heartbeat_lifts_the_high_water_mark_and_shows_lost_data(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_heartbeat(f, 2048, 0);
    cycle(f, 0);
    CHECK_EQUAL(2048, counter(f, COUNTER_HWM));
    CHECK_EQUAL(0, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(1, counter(f, FL_COUNTER_HEARTBEATS_RECEIVED));
    cycle(f, 1000);
    CHECK_EQUAL(0, nak_position(last_sent(f, FL_FRAME_NAK)));
    CHECK_EQUAL(2048, ((const fl_nak_frame_t *)last_sent(f, FL_FRAME_NAK)->bytes)->length);
    CHECK_EQUAL(0, all_drops(f));
    fixture_free(f);
}

static void test_an_unreliable_gap_is_filled_with_padding(void)
{
    fixture_t *f = fixture_new();
    fl_image_params_t params = fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), 0);
    params.is_reliable = 0;
    fixture_add_image_with(f, &params, 1);
    inject_data(f, 0, 1024);
    inject_data(f, 2048, 1024);
    inject_data(f, 4096, 1024);
    cycle(f, 0);
    cycle(f, 0);
    cycle(f, 0);
    CHECK_EQUAL(0, sent_of_type(f, FL_FRAME_NAK));
    CHECK_EQUAL(2, counter(f, FL_COUNTER_LOSS_GAP_FILLS));
    CHECK_EQUAL(5120, counter(f, COUNTER_REBUILD));
    const fl_data_header_t *pad = (const fl_data_header_t *)(f->log->terms[0] + 1024);
    CHECK_EQUAL(FL_FRAME_PAD, pad->type);
    CHECK_EQUAL(1024, pad->frame_length);
    CHECK_EQUAL(1024, pad->term_offset);
    CHECK_EQUAL(SESSION, pad->session_id);
    CHECK_EQUAL(5120, consume(f));
    inject_data(f, 1024, 1024);
    cycle(f, 0);
    CHECK_EQUAL(1, drops(f, FL_DROP_DUPLICATE));
    fixture_free(f);
}

static void test_a_groups_naks_are_spread_over_the_backoff(void)
{
    fixture_t *f = fixture_new();
    fl_image_params_t params = fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), 0);
    params.treat_as_group = 1;
    fixture_add_image_with(f, &params, 1);
    const fl_nak_delay_t *delay = &f->image->loss_detector.delay;
    /* The ends of the formula: u = 0 gives 0, u -> 1 gives T. */
    CHECK_EQUAL(0, fl_nak_delay_of_group(delay, 0));
    CHECK(fl_nak_delay_of_group(delay, UINT64_MAX) <= 10 * MS);
    CHECK(fl_nak_delay_of_group(delay, UINT64_MAX) > 10 * MS - 10);
    /* u = 0.5: 3.02793 ms * ln(1 + 13.09141) = 8.0106 ms */
    CHECK(llabs(fl_nak_delay_of_group(delay, UINT64_C(1) << 63) - 8010590) < 200);
    inject_data(f, 1024, 1024);
    cycle(f, 0);
    const int64_t expiry = f->image->loss_detector.expiry_ns - fl_clock_nano(f->clock);
    CHECK(expiry >= 0 && expiry < 10 * MS);
    if (expiry > 0)
    {
        cycle(f, expiry - 1);
        CHECK_EQUAL(0, sent_of_type(f, FL_FRAME_NAK));
    }
    cycle(f, 1);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_NAK));
    fixture_free(f);
}

static void test_loss_is_reported_once_and_counts_each_byte_once(void)
{
    fixture_t *f = fixture_new();
    int64_t bytes;
    int64_t count;
    fixture_add_image(f);
    inject_data(f, 1024, 1024);
    cycle(f, 0);
    cycle(f, 1000);
    CHECK_EQUAL(FL_EVENT_IMAGE_LOSS, image_events(f));
    cycle(f, 100 * 1000);     /* a second NAK is no second loss */
    CHECK_EQUAL(0, image_events(f));
    CHECK_EQUAL(0, fl_image_loss(f->driver, f->image, &bytes, &count));
    CHECK_EQUAL(1024, bytes);
    CHECK_EQUAL(1, count);

    inject_data(f, 0, 512);   /* what is left of the gap was counted */
    cycle(f, 0);
    cycle(f, 1000);
    inject_data(f, 512, 512);
    inject_data(f, 4096, 1024);
    cycle(f, 0);
    cycle(f, 1000);           /* 2048 more, before the entry exists */
    fl_loss_record_t record = {.observation_count = 1, .total_bytes_lost = bytes};
    CHECK_EQUAL(0, fl_image_set_loss_entry(f->driver, f->image, &record));
    CHECK_EQUAL(3072, record.total_bytes_lost);
    CHECK_EQUAL(2, record.observation_count);
    inject_heartbeat(f, 8192, 0);
    inject_data(f, 2048, 2048);
    cycle(f, 0);
    cycle(f, 1000);
    CHECK_EQUAL(3072 + 8192 - 5120, record.total_bytes_lost);
    CHECK_EQUAL(3, record.observation_count);
    CHECK_EQUAL(fl_clock_epoch(f->clock) / MS, record.last_observation_timestamp_ms);
    CHECK_EQUAL(0, image_events(f));
    fixture_free(f);
}

int main(void)
{
    RUN(test_a_gap_is_nakked_once_and_again_after_the_retry_delay);
    RUN(test_reordering_inside_one_poll_makes_no_nak);
    RUN(test_gaps_are_reported_one_after_the_other);
    RUN(test_a_gap_at_the_end_of_a_term_is_nakked_in_that_term);
    RUN(test_a_heartbeat_lifts_the_high_water_mark_and_shows_lost_data);
    RUN(test_an_unreliable_gap_is_filled_with_padding);
    RUN(test_a_groups_naks_are_spread_over_the_backoff);
    RUN(test_loss_is_reported_once_and_counts_each_byte_once);
    return 0;
}
