/* When the receiving side of a benchmark ends, ours and a floor's alike (framelane/measure.h). */
#include <unistd.h>

#include <framelane/measure.h>

#include "check.h"

#define HOUR INT64_C(3600000000000)

static void test_a_receiver_goes_on_until_the_sender_has_ended_and_nothing_comes(void)
{
    int ends[2];
    fl_measure_watch_t watch;
    CHECK_EQUAL(0, pipe(ends));
    fl_measure_watch_begin(&watch);
    fl_measure_watch_arrived(&watch);
    CHECK(!fl_measure_watch_is_over(&watch, -1, ends[0]));     /* idle, but the sender may only wait for its
                                                                * processor */
    CHECK_EQUAL(1, write(ends[1], "", 1));
    CHECK(!fl_measure_watch_is_over(&watch, HOUR, ends[0]));   /* datagrams may be on their way */
    CHECK(fl_measure_watch_is_over(&watch, -1, ends[0]));
    close(ends[1]);
    close(ends[0]);
}

static void test_a_receiver_to_which_nothing_came_ends_with_a_sender_that_is_gone(void)
{
    int ends[2];
    int64_t elapsed_ns;
    int64_t cpu_ns;
    fl_measure_watch_t watch;
    CHECK_EQUAL(0, pipe(ends));
    fl_measure_watch_begin(&watch);
    CHECK(!fl_measure_watch_is_over(&watch, -1, ends[0]));
    close(ends[1]);
    CHECK(fl_measure_watch_is_over(&watch, -1, ends[0]));
    fl_measure_watch_end(&watch, &elapsed_ns, &cpu_ns);
    CHECK_EQUAL(0, elapsed_ns);
    CHECK_EQUAL(0, cpu_ns);
    close(ends[0]);
}

static void test_time_is_counted_from_the_first_to_the_last_and_not_while_waiting_for_the_end(void)
{
    int ends[2];
    int64_t elapsed_ns;
    int64_t cpu_ns;
    int64_t later_cpu_ns;
    fl_measure_watch_t watch;
    CHECK_EQUAL(0, pipe(ends));
    fl_measure_watch_begin(&watch);
    fl_measure_watch_arrived(&watch);
    const int64_t first_ns = watch.last_ns;
    while (fl_measure_now() == first_ns)
    {
    }
    fl_measure_watch_arrived(&watch);
    fl_measure_watch_is_over(&watch, HOUR, ends[0]);
    fl_measure_watch_end(&watch, &elapsed_ns, &cpu_ns);
    CHECK_EQUAL(watch.last_ns - first_ns, elapsed_ns);
    CHECK(elapsed_ns > 0);
    const int64_t now_cpu_ns = fl_measure_cpu();
    while (fl_measure_cpu() == now_cpu_ns)
    {
        fl_measure_watch_is_over(&watch, HOUR, ends[0]);
    }
    fl_measure_watch_end(&watch, &elapsed_ns, &later_cpu_ns);
    CHECK_EQUAL(cpu_ns, later_cpu_ns);
    close(ends[1]);
    close(ends[0]);
}

static void test_lengths_are_within_their_bounds_and_the_same_for_a_seed(void)
{
    static fl_measure_lengths_t lengths;
    static fl_measure_lengths_t again;
    fl_measure_lengths_init(&lengths, 0, 32, 1408, 7);
    fl_measure_lengths_init(&again, 0, 32, 1408, 7);
    uint32_t shortest = UINT32_MAX;
    uint32_t longest = 0;
    for (int i = 0; i < 2 * FL_MEASURE_LENGTHS; i++)
    {
        const uint32_t length = fl_measure_lengths_next(&lengths);
        CHECK_EQUAL(length, fl_measure_lengths_next(&again));
        shortest = length < shortest ? length : shortest;
        longest = length > longest ? length : longest;
    }
    CHECK(shortest >= 32 && shortest < 48 && longest <= 1408 && longest > 1392);
    fl_measure_lengths_init(&lengths, 288, 32, 1408, 7);
    CHECK_EQUAL(288, fl_measure_lengths_next(&lengths));
}

int main(void)
{
    RUN(test_a_receiver_goes_on_until_the_sender_has_ended_and_nothing_comes);
    RUN(test_a_receiver_to_which_nothing_came_ends_with_a_sender_that_is_gone);
    RUN(test_time_is_counted_from_the_first_to_the_last_and_not_while_waiting_for_the_end);
    RUN(test_lengths_are_within_their_bounds_and_the_same_for_a_seed);
    return 0;
}
