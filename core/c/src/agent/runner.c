#include "agent/runner.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/error.h"

int fl_runner_init(fl_runner_t *runner, fl_clock_t *clock, const fl_idle_config_t *idle, int32_t cpu_affinity,
    const char *thread_name, const _Atomic uint32_t *has_clients)
{
    runner->clock = clock;
    runner->cpu_affinity = cpu_affinity;
    runner->has_clients = has_clients;
    snprintf(runner->thread_name, sizeof(runner->thread_name), "%s", thread_name);
    fl_idle_init(&runner->idle, idle);
    atomic_init(&runner->mailbox, NULL);
    atomic_init(&runner->running, 0);
    atomic_init(&runner->sleeping, 0);
    runner->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return runner->wake_fd >= 0
        ? 0
        : fl_error(errno, "cannot make the wake-up descriptor of the %s thread: %s", thread_name, strerror(errno));
}

void fl_runner_destroy(fl_runner_t *runner)
{
    if (runner->wake_fd >= 0)
    {
        close(runner->wake_fd);
        runner->wake_fd = -1;
    }
}

/* ---- calls ---- */

static void fl_runner_execute_call(fl_runner_t *runner)
{
    /* Acquire: pairs with the release in fl_runner_call(); the argument is visible. */
    fl_call_t *call = atomic_load_explicit(&runner->mailbox, memory_order_acquire);
    if (__builtin_expect(NULL == call, 1))
    {
        return;
    }
    call->result = call->function(call->argument);
    atomic_store_explicit(&runner->mailbox, NULL, memory_order_relaxed);
    /* Release: pairs with the acquire in fl_runner_call(); result and mailbox are visible. The call's memory may be
     * gone once this is stored, so the address alone is used for the wake-up. */
    _Atomic uint32_t *done = &call->done;
    atomic_store_explicit(done, 1, memory_order_release);
    syscall(SYS_futex, done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void fl_runner_wake(fl_runner_t *runner)
{
    if (0 != atomic_exchange_explicit(&runner->sleeping, 0, memory_order_seq_cst))
    {
        const uint64_t one = 1;
        ssize_t written = write(runner->wake_fd, &one, sizeof(one));
        (void)written;
    }
}

int64_t fl_runner_call(fl_runner_t *runner, int64_t (*function)(void *argument), void *argument)
{
    if (!runner->has_thread)
    {
        return function(argument);
    }
    fl_call_t call = {.function = function, .argument = argument};
    atomic_init(&call.done, 0);
    /* Sequentially consistent: it pairs with the runner's store of `sleeping` followed by its load of the mailbox. */
    atomic_store_explicit(&runner->mailbox, &call, memory_order_seq_cst);
    fl_runner_wake(runner);
    while (0 == atomic_load_explicit(&call.done, memory_order_acquire))
    {
        syscall(SYS_futex, &call.done, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    }
    return call.result;
}

/* ---- cycles ---- */

static void fl_agent_measure(fl_agent_t *agent, int64_t now_ns)
{
    const int64_t elapsed_ns = now_ns - agent->time_of_last_cycle_ns;
    agent->time_of_last_cycle_ns = now_ns;
    if (elapsed_ns > atomic_load_explicit(agent->max_cycle_time, memory_order_relaxed))
    {
        atomic_store_explicit(agent->max_cycle_time, elapsed_ns, memory_order_relaxed);
    }
    if (__builtin_expect(elapsed_ns > agent->cycle_threshold_ns, 0))
    {
        atomic_store_explicit(agent->cycles_over_threshold,
            atomic_load_explicit(agent->cycles_over_threshold, memory_order_relaxed) + 1, memory_order_relaxed);
    }
}

void fl_runner_begin(fl_runner_t *runner)
{
    const int64_t now_ns = fl_clock_nano_now(runner->clock);
    for (uint32_t i = 0; i < runner->agent_count; i++)
    {
        runner->agents[i]->time_of_last_cycle_ns = now_ns;
    }
}

int fl_runner_cycle(fl_runner_t *runner)
{
    int work = 0;
    fl_runner_execute_call(runner);
    const int64_t now_ns = fl_clock_nano_now(runner->clock);
    for (uint32_t i = 0; i < runner->agent_count; i++)
    {
        fl_agent_t *agent = runner->agents[i];
        fl_agent_measure(agent, now_ns);
        work += agent->do_work(agent->state, now_ns);
    }
    return work;
}

/* ---- sleeping ---- */

/* What a sleep waits for: the wake-up descriptor, then those of the armed pollers. */
typedef struct fl_sleep_set
{
    struct pollfd fds[1 + FL_AGENTS * FL_POLL_SET_CAPACITY];
    nfds_t count;
    uint32_t armed;                /* pollers, with or without a descriptor */
    bool is_blind;                 /* one of them cannot say when it has work */
} fl_sleep_set_t;

/* Arm every poller. Returns false if one has work already. */
static bool fl_runner_arm(fl_runner_t *runner, fl_sleep_set_t *set)
{
    set->fds[0] = (struct pollfd){.fd = runner->wake_fd, .events = POLLIN};
    set->count = 1;
    set->armed = 0;
    set->is_blind = false;
    for (uint32_t i = 0; i < runner->agent_count; i++)
    {
        fl_poll_set_t *polls = runner->agents[i]->polls;
        for (uint32_t k = 0; NULL != polls && k < polls->count; k++)
        {
            const int fd = polls->entries[k].binding->ops.arm(polls->entries[k].poller);
            set->armed++;
            if (-FL_EAGAIN == fd)
            {
                return false;
            }
            if (fd < 0)
            {
                set->is_blind = true;
                continue;
            }
            set->fds[set->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
    return true;
}

/* Disarm the first `count` pollers of the runner, in the order in which fl_runner_arm() went. */
static void fl_runner_disarm(fl_runner_t *runner, uint32_t count)
{
    for (uint32_t i = 0; i < runner->agent_count; i++)
    {
        fl_poll_set_t *polls = runner->agents[i]->polls;
        for (uint32_t k = 0; NULL != polls && k < polls->count && count > 0; k++, count--)
        {
            polls->entries[k].binding->ops.disarm(polls->entries[k].poller);
        }
    }
}

/* Longest sleep of a thread whose agents are all at rest: seldom enough to cost nothing, often enough for cycle times
 * to stay far below their thresholds. */
#define FL_RUNNER_REST_NS INT64_C(100000000)

static bool fl_runner_is_at_rest(const fl_runner_t *runner)
{
    for (uint32_t i = 0; i < runner->agent_count; i++)
    {
        const fl_agent_t *agent = runner->agents[i];
        if (NULL == agent->is_at_rest || !agent->is_at_rest(agent->state))
        {
            return false;
        }
    }
    return true;
}

static int64_t fl_runner_sleep_limit(const fl_runner_t *runner, bool is_blind)
{
    const fl_idle_config_t *config = &runner->idle.config;
    if (!is_blind && fl_runner_is_at_rest(runner))
    {
        return FL_RUNNER_REST_NS;
    }
    const int64_t limit_ns = 0 != atomic_load_explicit(runner->has_clients, memory_order_relaxed)
        ? config->wait_max_ns
        : config->wait_max_no_clients_ns;
    /* A poller that gives no descriptor is looked at as often as in backoff. */
    return is_blind && config->max_park_ns < limit_ns ? config->max_park_ns : limit_ns;
}

/* Block until a poller has something, a call arrives or the strategy's limit has passed. */
static void fl_runner_sleep(fl_runner_t *runner)
{
    fl_sleep_set_t set;
    if (fl_runner_arm(runner, &set))
    {
        const int64_t limit_ns = fl_runner_sleep_limit(runner, set.is_blind);
        const struct timespec limit = {limit_ns / 1000000000, limit_ns % 1000000000};
        /* Sequentially consistent, as are the two loads: pairs with fl_runner_call() and fl_runner_stop(), which store
         * mailbox or running and then look at this. Either they see that it sleeps, or it sees what they stored. */
        atomic_store_explicit(&runner->sleeping, 1, memory_order_seq_cst);
        if (NULL == atomic_load_explicit(&runner->mailbox, memory_order_seq_cst) &&
            0 != atomic_load_explicit(&runner->running, memory_order_seq_cst))
        {
            ppoll(set.fds, set.count, &limit, NULL);
        }
        atomic_store_explicit(&runner->sleeping, 0, memory_order_relaxed);
        if (0 != set.fds[0].revents)
        {
            uint64_t ignored;
            ssize_t count = read(runner->wake_fd, &ignored, sizeof(ignored));
            (void)count;
        }
    }
    fl_runner_disarm(runner, set.armed);
}

/* ---- thread ---- */

static void *fl_runner_main(void *argument)
{
    fl_runner_t *runner = argument;
    pthread_setname_np(pthread_self(), runner->thread_name);
    while (0 != atomic_load_explicit(&runner->running, memory_order_relaxed))
    {
        const int work = fl_runner_cycle(runner);
        if (fl_idle_do(&runner->idle, work))
        {
            fl_runner_sleep(runner);
        }
    }
    fl_runner_execute_call(runner);
    return NULL;
}

/* Only the kernel can say whether the thread may run there: isolated CPUs, and those that taskset kept from the
 * process, are in no mask that is inherited, and agents are pinned to just these. */
static int fl_runner_pin(const fl_runner_t *runner, pthread_attr_t *attributes)
{
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    if (runner->cpu_affinity < 0)
    {
        return 0;
    }
    if (runner->cpu_affinity >= CPU_SETSIZE)
    {
        return EINVAL;
    }
    CPU_SET(runner->cpu_affinity, &wanted);
    return pthread_attr_setaffinity_np(attributes, sizeof(wanted), &wanted);
}

static int fl_runner_failed(const fl_runner_t *runner, int code)
{
    return EINVAL == code && runner->cpu_affinity >= 0
        ? fl_error(FL_EINVAL,
              "the %s thread is to run on CPU %d, which is not online or not in this process's cpuset; choose one of "
              "/sys/devices/system/cpu/online, or -1 for none",
              runner->thread_name, runner->cpu_affinity)
        : fl_error(code, "cannot start the %s thread: %s", runner->thread_name, strerror(code));
}

int fl_runner_start(fl_runner_t *runner)
{
    pthread_attr_t attributes;
    sigset_t all, previous;
    fl_runner_begin(runner);
    pthread_attr_init(&attributes);
    int code = fl_runner_pin(runner, &attributes);
    if (0 == code)
    {
        atomic_store_explicit(&runner->running, 1, memory_order_relaxed);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &previous);
        code = pthread_create(&runner->thread, &attributes, fl_runner_main, runner);
        pthread_sigmask(SIG_SETMASK, &previous, NULL);
    }
    pthread_attr_destroy(&attributes);
    runner->has_thread = 0 == code;
    return runner->has_thread ? 0 : fl_runner_failed(runner, code);
}

void fl_runner_stop(fl_runner_t *runner)
{
    if (runner->has_thread)
    {
        atomic_store_explicit(&runner->running, 0, memory_order_seq_cst);
        fl_runner_wake(runner);
        pthread_join(runner->thread, NULL);
        runner->has_thread = false;
    }
}
