/* Timestamps in data frames where the transport or a client does not play along (wire 6, 9.2 item 8). */
#include "protocol/timestamp.h"
#include "receiver_frames.h"
#include "sender/term_scan.h"

#define RESERVED_VALUE 24
#define STAMPED INT64_C(123456789)

/* clock: what a transport grants that takes the endpoint over before anything has come. */
static fixture_t *fixture_new_stamping(uint32_t clock)
{
    const fl_receive_endpoint_params_t receive_params = {.id = ENDPOINT_ID, .media_timestamp_at = RESERVED_VALUE};
    fixture_t *f = fixture_new_with(&receive_params, NULL);
    fl_endpoint_params_t params = {.bind = f->script.local, .mtu_length = MTU, .flags = FL_ENDPOINT_TIMESTAMPS};
    CHECK_EQUAL(0, fl_receive_endpoint_detach(f->driver, f->endpoint));
    f->script.receive_clock = clock;
    CHECK_EQUAL(0, fl_receive_endpoint_attach(f->driver, f->endpoint, f->script.binding, &params));
    CHECK_EQUAL(0, fl_receive_endpoint_count_unstamped(f->driver, f->endpoint, COUNTER_SUBSCRIBERS + 63));
    fixture_add_image(f);
    return f;
}

static int64_t reserved_value(const fixture_t *f, uint32_t offset)
{
    int64_t value;
    memcpy(&value, f->log->terms[0] + offset + RESERVED_VALUE, sizeof(value));
    return value;
}

static int64_t unstamped(fixture_t *f)
{
    return counter(f, COUNTER_SUBSCRIBERS + 63);
}

static void test_a_datagram_whose_timestamp_is_missing_stays_without_one_and_is_counted(void)
{
    fixture_t *f = fixture_new_stamping(FL_CLOCK_SOFTWARE);
    inject_data(f, 0, 64);
    inject_data(f, 64, 64);
    f->script.injected[1].flags = FL_RUN_TIMESTAMP;
    f->script.injected[1].timestamp_ns = STAMPED;
    cycle(f, MS);
    CHECK_EQUAL(128, f->image->rebuild_position);
    CHECK_EQUAL(0, reserved_value(f, 0));
    CHECK_EQUAL(STAMPED, reserved_value(f, 64));
    CHECK_EQUAL(1, unstamped(f));
    fixture_free(f);
}

static void test_what_a_transport_without_a_clock_gives_is_stamped_with_the_time_of_the_poll(void)
{
    fixture_t *f = fixture_new_stamping(FL_CLOCK_NONE);
    for (int64_t position = 0; position < 3 * 64; position += 64)
    {
        inject_data(f, position, 64);
    }
    f->script.injected[1].flags = FL_RUN_TIMESTAMP;   /* it may stamp all the same */
    f->script.injected[1].timestamp_ns = STAMPED;
    cycle(f, MS);
    CHECK_EQUAL(fl_clock_epoch(f->clock), reserved_value(f, 0));
    CHECK_EQUAL(STAMPED, reserved_value(f, 64));
    CHECK_EQUAL(fl_clock_epoch(f->clock), reserved_value(f, 128));
    const int64_t first_ns = reserved_value(f, 0);
    inject_data(f, 3 * 64, 64);
    cycle(f, MS);
    CHECK_EQUAL(first_ns + MS, reserved_value(f, 3 * 64));
    CHECK_EQUAL(0, unstamped(f));
    fixture_free(f);
}

static void test_counting_in_what_is_no_counter_is_refused(void)
{
    fixture_t *f = fixture_new_stamping(FL_CLOCK_NONE);
    CHECK_EQUAL(-FL_EINVAL, fl_receive_endpoint_count_unstamped(f->driver, f->endpoint, 1 << 20));
    fixture_free(f);
}

/* ---- sending ---- */

static const fl_scan_bounds_t bounds = {
    .term_length = TERM_LENGTH,
    .mtu_length = MTU,
    .max_datagrams = UINT32_MAX,
    .max_run_segments = 64,
    .max_run_length = 65504,
    .session_id = SESSION,
    .stream_id = STREAM,
};

static uint8_t term[TERM_LENGTH];

static uint32_t scan_two_datagrams(fl_scan_t *scan)
{
    memset(term, 0, sizeof(term));
    write_frame(term, 0, MTU, FL_FRAME_DATA);
    write_frame(term + MTU, MTU, MTU, FL_FRAME_DATA);
    fl_term_scan(scan, &bounds, term, INITIAL_TERM, 0, TERM_LENGTH);
    return scan->datagrams;
}

static void test_a_length_that_a_client_changes_behind_the_scan_takes_no_stamp_out_of_its_datagram(void)
{
    fl_scan_t scan;
    uint8_t before[2 * MTU];
    CHECK_EQUAL(2, scan_two_datagrams(&scan));
    ((fl_data_header_t *)(term + MTU))->frame_length = INT32_MAX;
    ((fl_data_header_t *)term)->frame_length = -1;
    memcpy(before, term, sizeof(before));
    fl_scan_stamp(&scan, term, MTU - 4, STAMPED);
    fl_scan_stamp(&scan, term, UINT32_MAX, STAMPED);
    CHECK(0 == memcmp(before, term, sizeof(before)));
    for (uint32_t i = 2 * MTU; i < TERM_LENGTH; i++)
    {
        CHECK(0 == term[i]);
    }
}

static void test_each_datagram_of_a_run_is_stamped_up_to_its_last_byte(void)
{
    fl_scan_t scan;
    CHECK_EQUAL(2, scan_two_datagrams(&scan));
    CHECK_EQUAL(1, scan.run_count);
    fl_scan_stamp(&scan, term, MTU - FL_TIMESTAMP_LENGTH, STAMPED);
    for (uint32_t i = 1; i <= 2; i++)
    {
        int64_t value;
        memcpy(&value, term + i * MTU - FL_TIMESTAMP_LENGTH, sizeof(value));
        CHECK_EQUAL(STAMPED, value);
    }
}

int main(void)
{
    RUN(test_a_datagram_whose_timestamp_is_missing_stays_without_one_and_is_counted);
    RUN(test_what_a_transport_without_a_clock_gives_is_stamped_with_the_time_of_the_poll);
    RUN(test_counting_in_what_is_no_counter_is_refused);
    RUN(test_a_length_that_a_client_changes_behind_the_scan_takes_no_stamp_out_of_its_datagram);
    RUN(test_each_datagram_of_a_run_is_stamped_up_to_its_last_byte);
    return 0;
}
