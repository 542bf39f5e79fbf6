/* CUBIC (wire 4.7): windows from losses and time. */
#include "api/images.h"
#include "check.h"
#include "receiver/congestion_control.h"

#define MTU 1000
#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

static _Atomic int64_t rtt;
static _Atomic int64_t window;

static fl_congestion_control_t *make(int32_t initial_window, bool measures_rtt, bool tcp_mode)
{
    const fl_congestion_control_params_t params = {.initial_window_length = initial_window, .term_length = 1 << 20,
        .mtu_length = MTU, .now_ns = SECOND, .initial_rtt_ns = MS / 10, .measures_rtt = measures_rtt,
        .tcp_mode = tcp_mode, .rtt_counter = &rtt, .window_counter = &window};
    fl_congestion_control_t *control = fl_congestion_control_new(FL_CONGESTION_CONTROL_CUBIC, &params);
    CHECK(NULL != control);
    return control;
}

static fl_congestion_output_t track(fl_congestion_control_t *control, int64_t now_ns, bool loss_found)
{
    const fl_congestion_input_t input = {.now_ns = now_ns, .loss_found = loss_found};
    return control->ops->on_track_rebuild(control, &input);
}

static void test_the_window_begins_at_ten_datagrams_and_ends_at_the_receivers(void)
{
    fl_congestion_control_t *control = make(100 * MTU, false, false);
    CHECK_EQUAL(10 * MTU, control->initial_window_length);
    CHECK_EQUAL(100 * MTU, control->max_window_length);
    /* k = cbrt(100 * 0.2 / 0.4) = 3.684 s: 100 + trunc(0.4 * (1 - k)^3) = 100 - 7 */
    CHECK_EQUAL(93 * MTU, track(control, 2 * SECOND, false).window_length);
    CHECK_EQUAL(93 * MTU, window);
    CHECK_EQUAL(93 * MTU, track(control, 2 * SECOND + MS / 10, false).window_length);   /* no update in a round trip */
    CHECK_EQUAL(100 * MTU, track(control, 9 * SECOND, false).window_length);
    CHECK_EQUAL(100 * MTU, track(control, 99 * SECOND, false).window_length);
    control->ops->free(control);
    control = make(4 * MTU + 10, false, false);
    CHECK_EQUAL(4 * MTU, control->initial_window_length);
    control->ops->free(control);
}

static void test_a_loss_shrinks_the_window_by_a_fifth_and_is_said_at_once(void)
{
    fl_congestion_control_t *control = make(100 * MTU, false, false);
    track(control, 9 * SECOND, false);
    fl_congestion_output_t output = track(control, 10 * SECOND, true);
    CHECK(output.force_sm);
    CHECK_EQUAL(80 * MTU, output.window_length);
    CHECK_EQUAL(64 * MTU, track(control, 10 * SECOND, true).window_length);
    output = track(control, 11 * SECOND, false);   /* towards 80: 80 + trunc(0.4 * (1 - 3.42)^3) */
    CHECK(!output.force_sm);
    CHECK_EQUAL(75 * MTU, output.window_length);
    CHECK(track(control, 15 * SECOND, false).window_length > 80 * MTU);
    control->ops->free(control);
}

static void test_the_least_window_is_one_datagram_and_says_every_step(void)
{
    fl_congestion_control_t *control = make(2 * MTU, false, false);
    track(control, SECOND, true);
    CHECK_EQUAL(MTU, track(control, SECOND, true).window_length);
    const fl_congestion_input_t input = {.now_ns = SECOND, .lowest_position = 32, .next_sm_position = 0};
    CHECK(control->ops->on_track_rebuild(control, &input).force_sm);
    control->ops->free(control);
}

static void test_tcp_mode_grows_no_slower_than_tcp(void)
{
    fl_congestion_control_t *slow = make(1000 * MTU, false, false);
    fl_congestion_control_t *fast = make(1000 * MTU, false, true);
    fl_congestion_control_t *controls[] = {slow, fast};
    int32_t windows[2];
    for (int i = 0; i < 2; i++)
    {
        controls[i]->ops->on_rtt(controls[i], SECOND, MS);
        track(controls[i], 99 * SECOND, false);
        track(controls[i], 100 * SECOND, true);
        windows[i] = track(controls[i], 101 * SECOND, false).window_length;
    }
    CHECK(windows[1] > windows[0]);
    slow->ops->free(slow);
    fast->ops->free(fast);
}

static void test_round_trips_are_measured_four_of_them_apart(void)
{
    fl_congestion_control_t *control = make(100 * MTU, true, false);
    CHECK(!track(control, SECOND + 4 * MS / 10, false).measure_rtt);
    CHECK(track(control, SECOND + 4 * MS / 10 + 1, false).measure_rtt);
    CHECK(!track(control, SECOND + MS / 2, false).measure_rtt);
    control->ops->on_rtt(control, 2 * SECOND, 5 * MS);
    CHECK_EQUAL(5 * MS, rtt);
    CHECK(!track(control, 2 * SECOND + 20 * MS, false).measure_rtt);
    CHECK(track(control, 2 * SECOND + 20 * MS + 1, false).measure_rtt);
    control->ops->on_rtt(control, 3 * SECOND, INT64_MAX);   /* what a stranger may claim */
    control->ops->on_rtt(control, 3 * SECOND, 3600 * SECOND);
    CHECK_EQUAL(5 * MS, rtt);
    control->ops->free(control);
    control = make(100 * MTU, false, false);
    CHECK(!track(control, 99 * SECOND, false).measure_rtt);
    control->ops->free(control);
}

int main(void)
{
    RUN(test_the_window_begins_at_ten_datagrams_and_ends_at_the_receivers);
    RUN(test_a_loss_shrinks_the_window_by_a_fifth_and_is_said_at_once);
    RUN(test_the_least_window_is_one_datagram_and_says_every_step);
    RUN(test_tcp_mode_grows_no_slower_than_tcp);
    RUN(test_round_trips_are_measured_four_of_them_apart);
    return 0;
}
