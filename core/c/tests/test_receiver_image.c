/* Insertion, rebuilding, status messages and cleaning of one image (wire 4.5 to 4.7). */
#include "receiver_frames.h"

/* Queue one run of `count` datagrams of `segment_length` bytes, each one frame, from `position` on. */
static void inject_segments(fixture_t *f, int64_t position, uint32_t count, uint32_t segment_length)
{
    uint8_t bytes[65536];
    for (uint32_t i = 0; i < count; i++)
    {
        write_frame(bytes + i * segment_length, position + i * segment_length, (int32_t)segment_length, FL_FRAME_DATA);
    }
    script_inject_run(&f->script, bytes, count * segment_length, segment_length);
}

static void test_the_first_status_message_leaves_in_the_next_cycle(void)
{
    fixture_t *f = fixture_new();
    fl_image_params_t params = fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), 65536 + 256);
    fixture_add_image_with(f, &params, 2);
    CHECK_EQUAL(65536 + 256, counter(f, COUNTER_SUBSCRIBERS));
    CHECK_EQUAL(65536 + 256, counter(f, COUNTER_SUBSCRIBERS + 1));
    CHECK_EQUAL(65536 + 256, counter(f, COUNTER_HWM));
    CHECK_EQUAL(65536 + 256, counter(f, COUNTER_REBUILD));
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    const fl_sm_frame_t *sm = (const fl_sm_frame_t *)f->script.sent[0].bytes;
    CHECK_EQUAL(0, sm->header.flags);
    CHECK_EQUAL(INITIAL_TERM + 1, sm->consumption_term_id);
    CHECK_EQUAL(256, sm->consumption_term_offset);
    CHECK_EQUAL(WINDOW, sm->receiver_window);
    CHECK_EQUAL(1, f->log->metadata->active_transport_count);
    CHECK_EQUAL(0, f->driver->receiver.active_count);
    CHECK_EQUAL(1, counter(f, FL_COUNTER_STATUS_MESSAGES_SENT));
    fixture_free(f);
}

static void test_status_messages_follow_each_quarter_of_the_window(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    cycle(f, 0);
    for (int32_t position = 0; position < 3 * WINDOW; position += 1024)
    {
        inject_data(f, position, 1024);
        cycle(f, 1000);
        CHECK_EQUAL(1024, consume(f));
        cycle(f, 1000);
    }
    /* Strictly more than a quarter (8192) has to be consumed, so each ninth kilobyte sends one. */
    CHECK_EQUAL(1 + 96 / 9, sent_of_type(f, FL_FRAME_SM));
    CHECK_EQUAL(9 * 1024 * (96 / 9), sm_position(last_sent(f, FL_FRAME_SM)));
    CHECK_EQUAL(0, f->driver->receiver.active_count);
    fixture_free(f);
}

static void test_an_idle_image_repeats_its_status_message_every_timeout(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    cycle(f, 0);
    inject_data(f, 0, 1024);
    cycle(f, 0);
    consume(f);
    pass(f, 1010 * MS);
    CHECK(sent_of_type(f, FL_FRAME_SM) == 5 || sent_of_type(f, FL_FRAME_SM) == 6);
    CHECK_EQUAL(0, sm_position(last_sent(f, FL_FRAME_SM)));
    CHECK_EQUAL(0, f->driver->receiver.active_count);
    fixture_free(f);
}

static void test_a_status_message_without_room_is_sent_in_a_later_cycle(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    f->script.room = 0;
    cycle(f, 0);
    cycle(f, 0);
    CHECK_EQUAL(2, counter(f, FL_COUNTER_SHORT_SENDS));
    CHECK_EQUAL(0, counter(f, FL_COUNTER_STATUS_MESSAGES_SENT));
    f->script.room = UINT32_MAX;
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    fixture_free(f);
}

static void test_a_run_is_inserted_as_its_datagrams_would_be(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_segments(f, 0, 23, 1376);
    cycle(f, 0);
    CHECK_EQUAL(23 * 1376, counter(f, COUNTER_HWM));
    CHECK_EQUAL(23 * 1376, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(23 * 1376, consume(f));
    CHECK_EQUAL(0, all_drops(f));
    fixture_free(f);
}

static void test_a_run_with_foreign_and_broken_datagrams_loses_only_those(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[6 * 64];
    fixture_add_image(f);
    cycle(f, 0);
    write_frame(bytes, 0, 64, FL_FRAME_DATA);
    write_frame(bytes + 64, 64, 64, FL_FRAME_DATA);
    write_frame_of(bytes + 128, 0, 64, FL_FRAME_DATA, SESSION + 1, TERM_LENGTH);
    write_frame(bytes + 192, 128, 64, FL_FRAME_DATA);
    write_frame(bytes + 256, 192, 64, FL_FRAME_DATA);
    bytes[256 + 4] = 1;     /* version */
    write_frame(bytes + 320, 192, 64, FL_FRAME_DATA);
    script_inject_run(&f->script, bytes, sizeof(bytes), 64);
    cycle(f, 0);
    CHECK_EQUAL(256, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(256, consume(f));
    CHECK_EQUAL(1, drops(f, FL_DROP_NO_IMAGE));
    CHECK_EQUAL(1, drops(f, FL_DROP_VERSION));
    CHECK_EQUAL(2, all_drops(f));
    CHECK_EQUAL(1, counter(f, FL_COUNTER_INVALID_PACKETS));
    fixture_free(f);
}

static void test_frames_of_one_datagram_arrive_together(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[22 * 64];
    fixture_add_image(f);
    for (int i = 0; i < 22; i++)
    {
        write_frame(bytes + i * 64, i * 64, 40, FL_FRAME_DATA);
    }
    inject(f, bytes, sizeof(bytes));
    cycle(f, 0);
    CHECK_EQUAL(22 * 64, consume(f));
    fixture_free(f);
}

static void test_duplicates_change_nothing_and_are_counted(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_segments(f, 0, 4, 1376);
    inject_segments(f, 0, 5, 1376);
    cycle(f, 0);
    CHECK_EQUAL(4, drops(f, FL_DROP_DUPLICATE));
    CHECK_EQUAL(5 * 1376, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(5 * 1376, consume(f));
    CHECK_EQUAL(4, all_drops(f));
    fixture_free(f);
}

static void test_over_run_and_under_run_are_dropped_and_counted(void)
{
    fixture_t *f = fixture_new();
    const int64_t begin = 2 * TERM_LENGTH;
    const fl_image_params_t params =
        fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), begin);
    fixture_add_image_with(f, &params, 1);
    cycle(f, 0);
    inject_data(f, begin + TERM_LENGTH / 2 - 32, 64);
    inject_data(f, begin - 64, 64);
    inject_heartbeat(f, begin + TERM_LENGTH / 2 + 32, 0);
    inject_heartbeat(f, begin - TERM_LENGTH - 32, 0);
    cycle(f, 0);
    CHECK_EQUAL(2, drops(f, FL_DROP_OVER_RUN));
    CHECK_EQUAL(2, drops(f, FL_DROP_UNDER_RUN));
    CHECK_EQUAL(2, counter(f, FL_COUNTER_OVER_RUNS));
    CHECK_EQUAL(2, counter(f, FL_COUNTER_UNDER_RUNS));
    CHECK_EQUAL(begin, counter(f, COUNTER_HWM));
    inject_data(f, begin + TERM_LENGTH / 2 - 64, 64);     /* exactly up to it */
    inject_heartbeat(f, begin - TERM_LENGTH, 0);
    cycle(f, 0);
    CHECK_EQUAL(begin + TERM_LENGTH / 2, counter(f, COUNTER_HWM));
    CHECK_EQUAL(4, all_drops(f));
    fixture_free(f);
}

static void test_padding_counts_at_its_whole_extent(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_data(f, 0, 1024);
    inject_pad(f, 1024, 8192);
    inject_data(f, 1024 + 8192, 64);
    cycle(f, 0);
    CHECK_EQUAL(1024 + 8192 + 64, counter(f, COUNTER_HWM));
    CHECK_EQUAL(1024 + 8192 + 64, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(1024 + 8192 + 64, consume(f));
    fixture_free(f);
}

static void test_padding_behind_data_in_one_datagram_ends_the_block(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[2 * 96];
    fixture_add_image(f);
    write_frame(bytes, 0, 64, FL_FRAME_DATA);
    write_frame(bytes + 64, 64, 224, FL_FRAME_PAD);
    write_frame(bytes + 96, 288, 96, FL_FRAME_DATA);
    script_inject_run(&f->script, bytes, sizeof(bytes), 96);
    cycle(f, 0);
    CHECK_EQUAL(384, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(384, consume(f));
    fixture_free(f);
}

static void test_a_run_over_the_end_of_a_term_goes_on_in_the_next_partition(void)
{
    fixture_t *f = fixture_new();
    const int64_t begin = 3 * TERM_LENGTH - 2048;      /* behind the third partition lies the metadata */
    const fl_image_params_t params =
        fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), begin);
    fl_log_metadata_t before;
    fixture_add_image_with(f, &params, 1);
    cycle(f, 0);
    memcpy(&before, f->log->metadata, sizeof(before));
    inject_segments(f, begin, 5, 1024);
    cycle(f, 0);
    CHECK_EQUAL(begin + 5 * 1024, counter(f, COUNTER_REBUILD));
    CHECK(0 == memcmp(&before, f->log->metadata, sizeof(before)));
    CHECK_EQUAL(2048, consume(f));
    CHECK_EQUAL(3072, consume(f));
    fixture_free(f);
}

/* Ten times round the three terms, with every datagram lost once in a pattern and padding at each term's end. */
static void test_terms_are_cleaned_before_they_are_used_again(void)
{
    fixture_t *f = fixture_new();
    int64_t position = 0;
    fixture_add_image(f);
    cycle(f, 0);
    while (position < 30 * TERM_LENGTH)
    {
        int64_t held[8];
        int32_t held_length[8];
        const int batch = 8;
        for (int i = 0; i < batch; i++)
        {
            const int32_t left = TERM_LENGTH - (int32_t)(position % TERM_LENGTH);
            held[i] = position;
            held_length[i] = left < 1000 ? -left : 992;
            position += left < 1000 ? left : 992;
        }
        for (int i = 1; i < batch; i += 2)
        {
            held_length[i] < 0 ? inject_pad(f, held[i], -held_length[i]) : inject_data(f, held[i], held_length[i]);
        }
        cycle(f, 1000);
        for (int i = 0; i < batch; i += 2)
        {
            held_length[i] < 0 ? inject_pad(f, held[i], -held_length[i]) : inject_data(f, held[i], held_length[i]);
        }
        cycle(f, 1000);
        while (consume(f) > 0)
        {
        }
        CHECK_EQUAL(position, counter(f, COUNTER_SUBSCRIBERS));
        cycle(f, 1000);
    }
    CHECK_EQUAL(0, all_drops(f));
    CHECK_EQUAL(position, counter(f, COUNTER_REBUILD));
    CHECK(f->image->clean_position > 28 * TERM_LENGTH);
    fixture_free(f);
}

static void test_cleaning_is_bounded_and_holds_the_status_message_back(void)
{
    fixture_t *f = fixture_new();
    const int32_t term_length = 16 * 1024 * 1024;
    fl_image_params_t params = fixture_image_params(f, fixture_make_log(f, "big", SESSION, term_length), 0);
    params.initial_window_length = term_length / 2;
    fixture_add_image_with(f, &params, 1);
    cycle(f, 0);
    uint8_t bytes[32768];
    int64_t position = 0;
    while (position < 5 * (int64_t)term_length)
    {
        const int64_t clean = f->image->clean_position;
        /* Only a few cycles for megabytes: cleaning falls behind. */
        for (int i = 0; i < 64 && position + 32768 <= f->image->overrun_threshold; i++, position += 32768)
        {
            inject(f, bytes, write_frame_of(bytes, position, 32768, FL_FRAME_DATA, SESSION, term_length));
        }
        while (0 != script_waiting(&f->script))
        {
            cycle(f, 0);
        }
        CHECK(f->image->clean_position - clean <= 5 * FL_IMAGE_CLEAN_PER_CYCLE);
        while (consume(f) > 0)
        {
        }
        cycle(f, 0);
        CHECK(f->image->last_sm_position + term_length / 2 <= f->image->clean_position + 3 * (int64_t)term_length);
        CHECK_EQUAL(0, all_drops(f));
    }
    /* With nothing new, cleaning catches up. */
    pass(f, 500 * MS);
    CHECK_EQUAL(f->image->clean_target, f->image->clean_position);
    fixture_free(f);
}

static void test_the_slowest_subscriber_holds_the_window_and_a_new_one_joins_there(void)
{
    fixture_t *f = fixture_new();
    const fl_image_params_t params =
        fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), 0);
    fixture_add_image_with(f, &params, 2);
    cycle(f, 0);
    for (int i = 0; i < 16; i++)
    {
        inject_data(f, i * 1024, 1024);
    }
    cycle(f, 0);
    CHECK_EQUAL(16384, consume_as(f, 0));
    cycle(f, 0);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_SM));
    fl_counter_set(fixture_counter(f, COUNTER_SUBSCRIBERS + 1), 4096);
    cycle(f, 0);
    for (int i = 2; i < 8; i++)    /* beyond the room that the image began with */
    {
        fl_counter_set(fixture_counter(f, COUNTER_SUBSCRIBERS + i), 123456);
        CHECK_EQUAL(4096, fl_image_link(f->driver, f->image, SUBSCRIPTION + i, COUNTER_SUBSCRIBERS + i));
        CHECK_EQUAL(4096, counter(f, COUNTER_SUBSCRIBERS + i));
    }
    for (int i = 1; i < 7; i++)
    {
        CHECK_EQUAL(0, fl_image_unlink(f->driver, f->image, SUBSCRIPTION + i));
        CHECK_EQUAL(-FL_ENOENT, fl_image_unlink(f->driver, f->image, SUBSCRIPTION + i));
    }
    cycle(f, 0);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_SM));
    CHECK_EQUAL(0, fl_image_unlink(f->driver, f->image, SUBSCRIPTION + 7));
    cycle(f, 0);
    CHECK_EQUAL(2, sent_of_type(f, FL_FRAME_SM));
    CHECK_EQUAL(16384, sm_position(last_sent(f, FL_FRAME_SM)));
    fixture_free(f);
}

static void test_feedback_ends_five_seconds_after_the_last_activity(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    pass(f, 5100 * MS);
    const uint32_t sent = f->script.sent_count;
    pass(f, 1000 * MS);
    CHECK_EQUAL(sent, f->script.sent_count);
    inject_setup(f, SESSION, 0);
    pass(f, 250 * MS);
    CHECK(f->script.sent_count > sent);
    CHECK_EQUAL(0, all_drops(f));
    fixture_free(f);
}

int main(void)
{
    RUN(test_the_first_status_message_leaves_in_the_next_cycle);
    RUN(test_status_messages_follow_each_quarter_of_the_window);
    RUN(test_an_idle_image_repeats_its_status_message_every_timeout);
    RUN(test_a_status_message_without_room_is_sent_in_a_later_cycle);
    RUN(test_a_run_is_inserted_as_its_datagrams_would_be);
    RUN(test_a_run_with_foreign_and_broken_datagrams_loses_only_those);
    RUN(test_frames_of_one_datagram_arrive_together);
    RUN(test_duplicates_change_nothing_and_are_counted);
    RUN(test_over_run_and_under_run_are_dropped_and_counted);
    RUN(test_padding_counts_at_its_whole_extent);
    RUN(test_padding_behind_data_in_one_datagram_ends_the_block);
    RUN(test_a_run_over_the_end_of_a_term_goes_on_in_the_next_partition);
    RUN(test_terms_are_cleaned_before_they_are_used_again);
    RUN(test_cleaning_is_bounded_and_holds_the_status_message_back);
    RUN(test_the_slowest_subscriber_holds_the_window_and_a_new_one_joins_there);
    RUN(test_feedback_ends_five_seconds_after_the_last_activity);
    return 0;
}
