/* Agent threads: calls between cycles, sleeping and waking, affinity, names and signals. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner.h"
#include "check.h"
#include "util/error.h"

#define MS INT64_C(1000000)
#define SECOND INT64_C(1000000000)

/* One agent that counts cycles, and one poller that is an eventfd. */
typedef struct bench
{
    fl_runner_t runner;
    fl_agent_t agent;
    fl_poll_set_t polls;
    fl_binding_t binding;
    _Atomic int64_t max_cycle_time;
    _Atomic int64_t cycles_over_threshold;
    _Atomic uint32_t has_clients;
    _Atomic uint64_t cycles;
    _Atomic uint64_t armed;
    _Atomic uint64_t disarmed;
    _Atomic int arm_answer;      /* what arm returns */
    sigset_t signals;            /* of the thread, as a call saw them */
    char name[16];
    int cpu;
    int64_t value;               /* changed by calls alone */
} bench_t;

static bench_t bench;

static int bench_work(void *state, int64_t now_ns)
{
    (void)state, (void)now_ns;
    atomic_fetch_add_explicit(&bench.cycles, 1, memory_order_relaxed);
    return 0;
}

static int bench_arm(fl_poller_t *poller)
{
    (void)poller;
    atomic_fetch_add_explicit(&bench.armed, 1, memory_order_relaxed);
    return atomic_load_explicit(&bench.arm_answer, memory_order_relaxed);
}

static int bench_disarm(fl_poller_t *poller)
{
    (void)poller;
    atomic_fetch_add_explicit(&bench.disarmed, 1, memory_order_relaxed);
    return 0;
}

static void bench_init(uint32_t idle_kind, int64_t wait_ns, int64_t wait_no_clients_ns, int32_t cpu)
{
    const fl_idle_config_t idle = {.kind = idle_kind, .max_spins = 10, .max_yields = 20, .min_park_ns = 1000,
        .max_park_ns = MS, .wait_max_ns = wait_ns, .wait_max_no_clients_ns = wait_no_clients_ns};
    memset(&bench, 0, sizeof(bench));
    bench.binding.ops.arm = bench_arm;
    bench.binding.ops.disarm = bench_disarm;
    bench.polls.entries[0].binding = &bench.binding;
    bench.agent = (fl_agent_t){.name = "conductor", .do_work = bench_work, .polls = &bench.polls,
        .cycle_threshold_ns = 100 * SECOND, .max_cycle_time = &bench.max_cycle_time,
        .cycles_over_threshold = &bench.cycles_over_threshold};
    bench.runner.agents[0] = &bench.agent;
    bench.runner.agent_count = 1;
    CHECK_EQUAL(0, fl_runner_init(&bench.runner, fl_clock_system(), &idle, cpu, "bench", &bench.has_clients));
}

static void bench_close(void)
{
    fl_runner_stop(&bench.runner);
    fl_runner_destroy(&bench.runner);
}

static int64_t call_nothing(void *argument)
{
    (void)argument;
    return 0;
}

static int64_t call_add(void *argument)
{
    bench.value += *(int64_t *)argument;
    return bench.value;
}

static int64_t call_look(void *argument)
{
    (void)argument;
    pthread_sigmask(SIG_SETMASK, NULL, &bench.signals);
    pthread_getname_np(pthread_self(), bench.name, sizeof(bench.name));
    bench.cpu = sched_getcpu();
    return -7;
}

/* Wait until the runner has gone to sleep so many times. */
static void await_armed(uint64_t wanted)
{
    const int64_t limit_ns = fl_clock_read(CLOCK_MONOTONIC) + 10 * SECOND;
    while (atomic_load(&bench.armed) < wanted)
    {
        CHECK(fl_clock_read(CLOCK_MONOTONIC) < limit_ns);
        sched_yield();
    }
}

static void test_calls_execute_in_order_and_return_their_results(void)
{
    bench_init(FL_IDLE_YIELD, MS, MS, -1);
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    for (int64_t i = 1; i <= 5000; i++)
    {
        int64_t argument = i;
        CHECK_EQUAL(i * (i + 1) / 2, fl_runner_call(&bench.runner, call_add, &argument));
    }
    bench_close();
}

static void test_a_call_wakes_a_sleeping_runner(void)
{
    bench_init(FL_IDLE_WAIT, 100 * SECOND, 100 * SECOND, -1);
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    const int64_t begin_ns = fl_clock_read(CLOCK_MONOTONIC);
    for (int64_t i = 1; i <= 2000; i++)
    {
        int64_t argument = 1;
        CHECK_EQUAL(i, fl_runner_call(&bench.runner, call_add, &argument));
    }
    CHECK(fl_clock_read(CLOCK_MONOTONIC) - begin_ns < 50 * SECOND);
    bench_close();
}

static void test_stopping_wakes_a_sleeping_runner(void)
{
    const int64_t begin_ns = fl_clock_read(CLOCK_MONOTONIC);
    for (int i = 0; i < 200; i++)
    {
        bench_init(FL_IDLE_WAIT, 100 * SECOND, 100 * SECOND, -1);
        CHECK_EQUAL(0, fl_runner_start(&bench.runner));
        if (0 == i % 2)
        {
            fl_runner_call(&bench.runner, call_nothing, NULL);
        }
        bench_close();
    }
    CHECK(fl_clock_read(CLOCK_MONOTONIC) - begin_ns < 50 * SECOND);
}

static void test_a_readable_poller_wakes_a_sleeping_runner(void)
{
    const int fd = eventfd(0, EFD_NONBLOCK);
    const uint64_t one = 1;
    bench_init(FL_IDLE_WAIT, 100 * SECOND, 100 * SECOND, -1);
    atomic_store(&bench.arm_answer, fd);
    bench.polls.count = 1;
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    await_armed(1);
    CHECK_EQUAL(sizeof(one), write(fd, &one, sizeof(one)));
    await_armed(4);   /* it stays readable, so the runner goes round */
    bench_close();
    CHECK_EQUAL(atomic_load(&bench.armed), atomic_load(&bench.disarmed));
    close(fd);
}

static int64_t call_leave(void *argument)
{
    (void)argument;
    bench.polls.count = 0;
    return 0;
}

/* Its descriptor may live on, in a process that was forked meanwhile. */
static void test_a_poller_that_left_no_longer_wakes_the_runner(void)
{
    const int fd = eventfd(1, EFD_NONBLOCK);
    const struct timespec pause = {0, 20 * MS};
    bench_init(FL_IDLE_WAIT, 100 * SECOND, 100 * SECOND, -1);
    atomic_store(&bench.arm_answer, fd);
    bench.polls.count = 1;
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    await_armed(3);
    fl_runner_call(&bench.runner, call_leave, NULL);
    /* Asleep: no cycle in 20 ms. */
    const int64_t limit_ns = fl_clock_read(CLOCK_MONOTONIC) + 10 * SECOND;
    uint64_t cycles;
    do
    {
        CHECK(fl_clock_read(CLOCK_MONOTONIC) < limit_ns);
        cycles = atomic_load(&bench.cycles);
        nanosleep(&pause, NULL);
    }
    while (cycles != atomic_load(&bench.cycles));
    bench_close();
    close(fd);
}

static void test_a_poller_with_work_pending_keeps_the_runner_awake(void)
{
    bench_init(FL_IDLE_WAIT, 100 * SECOND, 100 * SECOND, -1);
    atomic_store(&bench.arm_answer, -FL_EAGAIN);
    bench.polls.count = 1;
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    await_armed(100);
    bench_close();
    CHECK_EQUAL(atomic_load(&bench.armed), atomic_load(&bench.disarmed));
}

static void test_a_poller_that_cannot_say_is_looked_at_as_in_backoff(void)
{
    bench_init(FL_IDLE_WAIT, 100 * SECOND, 100 * SECOND, -1);
    atomic_store(&bench.arm_answer, -FL_ENOTSUP);
    bench.polls.count = 1;
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    await_armed(10);
    bench_close();
}

static void test_without_clients_the_sleep_is_the_longer_one(void)
{
    bench_init(FL_IDLE_WAIT, MS, 100 * SECOND, -1);
    bench.polls.count = 1;
    atomic_store(&bench.arm_answer, bench.runner.wake_fd);
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    await_armed(1);
    const uint64_t armed = atomic_load(&bench.armed);
    const struct timespec pause = {0, 50 * MS};
    nanosleep(&pause, NULL);
    CHECK(atomic_load(&bench.armed) <= armed + 2);
    atomic_store(&bench.has_clients, 1);
    fl_runner_call(&bench.runner, call_nothing, NULL);
    await_armed(armed + 10);
    bench_close();
}

static bool bench_is_at_rest(const void *state)
{
    (void)state;
    return 0 == bench.value;
}

static void test_agents_at_rest_sleep_longer_than_the_strategy_says(void)
{
    const struct timespec pause = {0, 250 * MS};
    const int fd = eventfd(0, EFD_NONBLOCK);
    int64_t one = 1;
    bench_init(FL_IDLE_WAIT, MS, MS, -1);
    atomic_store(&bench.arm_answer, fd);
    bench.polls.count = 1;
    bench.agent.is_at_rest = bench_is_at_rest;
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    await_armed(1);
    const uint64_t cycles = atomic_load(&bench.cycles);
    nanosleep(&pause, NULL);
    CHECK(atomic_load(&bench.cycles) - cycles < 20);
    fl_runner_call(&bench.runner, call_add, &one);
    await_armed(100);
    bench_close();
    close(fd);
}

static void test_the_thread_has_its_name_and_blocks_all_signals(void)
{
    bench_init(FL_IDLE_YIELD, MS, MS, -1);
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    CHECK_EQUAL(-7, fl_runner_call(&bench.runner, call_look, NULL));
    bench_close();
    CHECK_EQUAL(0, strcmp("bench", bench.name));
    CHECK(1 == sigismember(&bench.signals, SIGTERM) && 1 == sigismember(&bench.signals, SIGINT) &&
        1 == sigismember(&bench.signals, SIGALRM));
}

/* Isolated CPUs, and those that taskset kept from the process, are in no mask that is inherited; they are what agents
 * are pinned to. */
static void test_a_runner_is_pinned_to_a_cpu_outside_the_inherited_mask(void)
{
    cpu_set_t before, one;
    int first = -1, second = -1;
    CHECK_EQUAL(0, sched_getaffinity(0, sizeof(before), &before));
    for (int i = 0; i < CPU_SETSIZE && second < 0; i++)
    {
        if (CPU_ISSET(i, &before))
        {
            *(first < 0 ? &first : &second) = i;
        }
    }
    if (second < 0)
    {
        printf("  skipped: this machine has one CPU\n");
        return;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_EQUAL(0, sched_setaffinity(0, sizeof(one), &one));
    bench_init(FL_IDLE_YIELD, MS, MS, second);
    CHECK_EQUAL(0, fl_runner_start(&bench.runner));
    fl_runner_call(&bench.runner, call_look, NULL);
    CHECK_EQUAL(second, bench.cpu);
    bench_close();
    CHECK_EQUAL(0, sched_setaffinity(0, sizeof(before), &before));
}

static void test_a_cpu_that_is_not_there_is_refused_by_name(void)
{
    static const int32_t cpus[] = {CPU_SETSIZE - 1, CPU_SETSIZE, INT32_MAX};
    for (size_t i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
    {
        char number[16];
        bench_init(FL_IDLE_YIELD, MS, MS, cpus[i]);
        CHECK_EQUAL(-FL_EINVAL, fl_runner_start(&bench.runner));
        snprintf(number, sizeof(number), "%d", cpus[i]);
        CHECK(NULL != strstr(fl_error_text(), "bench") && NULL != strstr(fl_error_text(), number));
        int64_t argument = 3;
        CHECK_EQUAL(3, fl_runner_call(&bench.runner, call_add, &argument));   /* on the caller */
        bench_close();
    }
}

static void test_idling_backs_off_and_starts_over_with_work(void)
{
    const fl_idle_config_t config = {.kind = FL_IDLE_WAIT, .max_spins = 2, .max_yields = 3};
    fl_idle_t idle;
    fl_idle_init(&idle, &config);
    for (int round = 0; round < 2; round++)
    {
        for (int i = 0; i < 5; i++)
        {
            CHECK_EQUAL(0, fl_idle_do(&idle, 0));
        }
        CHECK_EQUAL(1, fl_idle_do(&idle, 0));
        CHECK_EQUAL(1, fl_idle_do(&idle, 0));
        CHECK_EQUAL(0, fl_idle_do(&idle, 1));
    }
}

static void test_backoff_doubles_its_park_up_to_the_longest(void)
{
    const fl_idle_config_t config = {.kind = FL_IDLE_BACKOFF, .min_park_ns = 1000, .max_park_ns = 6000};
    static const int64_t parks[] = {1000, 2000, 4000, 6000, 6000};
    fl_idle_t idle;
    fl_idle_init(&idle, &config);
    for (int i = 0; i < 5; i++)
    {
        CHECK_EQUAL(parks[i], idle.park_ns);
        CHECK_EQUAL(0, fl_idle_do(&idle, 0));
    }
    fl_idle_do(&idle, 1);
    fl_idle_do(&idle, 0);
    CHECK_EQUAL(2000, idle.park_ns);   /* one park after the work, of the least length */
}

int main(void)
{
    RUN(test_calls_execute_in_order_and_return_their_results);
    RUN(test_a_call_wakes_a_sleeping_runner);
    RUN(test_stopping_wakes_a_sleeping_runner);
    RUN(test_a_readable_poller_wakes_a_sleeping_runner);
    RUN(test_a_poller_that_left_no_longer_wakes_the_runner);
    RUN(test_a_poller_with_work_pending_keeps_the_runner_awake);
    RUN(test_a_poller_that_cannot_say_is_looked_at_as_in_backoff);
    RUN(test_without_clients_the_sleep_is_the_longer_one);
    RUN(test_agents_at_rest_sleep_longer_than_the_strategy_says);
    RUN(test_the_thread_has_its_name_and_blocks_all_signals);
    RUN(test_a_runner_is_pinned_to_a_cpu_outside_the_inherited_mask);
    RUN(test_a_cpu_that_is_not_there_is_refused_by_name);
    RUN(test_idling_backs_off_and_starts_over_with_work);
    RUN(test_backoff_doubles_its_park_up_to_the_longest);
    return 0;
}
