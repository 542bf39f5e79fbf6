/* What an agent takes from its pollers in one turn. */
#include <string.h>

#include "agent/poll_set.h"
#include "check.h"

/* A transport that always has a datagram more, and forgets to say how it is cut. */
static uint32_t asked;
static uint32_t taken;
static uint32_t released;

static void on_run(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns)
{
    (void)sink;
    (void)now_ns;
    CHECK_EQUAL(64, run->segment_length);
    taken++;
}

static fl_sink_t sink = {on_run};

static int poll_endless(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    (void)poller;
    asked = capacity;
    memset(runs, 0, capacity * sizeof(*runs));
    for (uint32_t i = 0; i < capacity; i++)
    {
        runs[i].length = 64;
        runs[i].context = &sink;
    }
    return (int)capacity;
}

static void count_released(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    (void)poller;
    (void)runs;
    released += count;
}

static void poll_with_limit(uint32_t limit, uint32_t expected)
{
    fl_binding_t binding = {.ops = {.poll = poll_endless, .release = count_released}};
    fl_poll_set_t set = {.entries = {{.binding = &binding, .roles = FL_ROLE_RECEIVER}}, .count = 1, .run_limit = limit};
    taken = released = 0;
    CHECK_EQUAL(64 * (int64_t)expected, fl_poll_set_poll(&set, 0));
    CHECK_EQUAL(expected, asked);
    CHECK_EQUAL(expected, taken);
    CHECK_EQUAL(expected, released);
}

static void test_a_poll_takes_as_many_runs_as_there_is_room_for(void)
{
    poll_with_limit(0, FL_POLL_RUNS);
}

static void test_a_poll_takes_no_more_runs_than_the_user_set(void)
{
    poll_with_limit(4, 4);
    poll_with_limit(FL_POLL_RUNS + 1, FL_POLL_RUNS);
}

int main(void)
{
    RUN(test_a_poll_takes_as_many_runs_as_there_is_room_for);
    RUN(test_a_poll_takes_no_more_runs_than_the_user_set);
    return 0;
}
