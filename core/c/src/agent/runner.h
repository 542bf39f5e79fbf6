/* A runner is a thread, or an invoker's turn, that executes the duty cycles of one to three agents.
 *
 * The control thread changes what agents own through fl_runner_call: one closure at a time, executed between two
 * cycles. There is one control thread and it waits, so a single slot is enough and no ring can fill up.
 */
#ifndef FL_AGENT_RUNNER_H
#define FL_AGENT_RUNNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/idle.h"
#include "agent/poll_set.h"
#include "api/driver.h"
#include "util/clock.h"

/* Alignment of what one thread writes in every cycle, so that no other thread waits for that line: two cache lines,
 * since processors fetch them in pairs. */
#define FL_APART 128

/* One agent: what to do in a cycle, and how long cycles take. */
typedef struct fl_agent
{
    _Alignas(FL_APART) const char *name;    /* "conductor", "sender", "receiver" */
    int (*do_work)(void *state, int64_t now_ns);   /* returns the work done, 0 for none */
    bool (*is_at_rest)(const void *state);         /* only pollers and calls can give it work; NULL: never */
    void *state;
    fl_poll_set_t *polls;                   /* what to sleep on; NULL: the agent has no pollers */
    int64_t cycle_threshold_ns;
    int64_t time_of_last_cycle_ns;
    _Atomic int64_t *max_cycle_time;        /* counters 26, 28, 30 */
    _Atomic int64_t *cycles_over_threshold; /* counters 27, 29, 31 */
} fl_agent_t;

typedef struct fl_call
{
    int64_t (*function)(void *argument);
    void *argument;
    int64_t result;
    _Atomic uint32_t done;                  /* futex word */
} fl_call_t;

typedef struct fl_runner
{
    _Alignas(FL_APART) fl_agent_t *agents[FL_AGENTS];
    uint32_t agent_count;
    fl_clock_t *clock;
    fl_idle_t idle;
    int32_t cpu_affinity;
    char thread_name[16];
    _Atomic(fl_call_t *) mailbox;
    _Atomic uint32_t running;
    _Atomic uint32_t sleeping;              /* 1 while blocked, or about to */
    const _Atomic uint32_t *has_clients;
    int wake_fd;                            /* eventfd; -1: not initialised */
    bool has_thread;
    pthread_t thread;
} fl_runner_t;

/* Make a runner for agents that are filled in already. Starts nothing. Returns 0 or a negative FL_E* with text. */
int fl_runner_init(fl_runner_t *runner, fl_clock_t *clock, const fl_idle_config_t *idle, int32_t cpu_affinity,
    const char *thread_name, const _Atomic uint32_t *has_clients);

/* Start the thread; all signals are blocked in it. -FL_EINVAL with text if the kernel does not let it run on its
 * CPU. */
int fl_runner_start(fl_runner_t *runner);

/* Stop the thread and join it. What was called before is done; calls afterwards execute on the caller. */
void fl_runner_stop(fl_runner_t *runner);

/* Cycles are timed from now on; what came before the first one is nobody's cycle. fl_runner_start() does it itself. */
void fl_runner_begin(fl_runner_t *runner);

/* One cycle of every agent: the thread's loop body, and the invoker's turn. Returns the work done. */
int fl_runner_cycle(fl_runner_t *runner);

/* Execute function(argument) between two cycles and return its result. Without a running thread it executes at once.
 * Thread: control. Waits for at most the rest of a cycle, or a wake-up. */
int64_t fl_runner_call(fl_runner_t *runner, int64_t (*function)(void *argument), void *argument);

void fl_runner_destroy(fl_runner_t *runner);

#endif
