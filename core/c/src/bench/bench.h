/* What the benchmark loops share. */
#ifndef FL_BENCH_BENCH_H
#define FL_BENCH_BENCH_H

#include <poll.h>
#include <time.h>

#include "api/bench.h"
#include "util/clock.h"

#define FL_BENCH_LENGTHS 4096    /* mixed lengths before they repeat; a power of two */

/* The lengths of successive messages. */
typedef struct fl_bench_lengths
{
    uint32_t lengths[FL_BENCH_LENGTHS];
    uint32_t next;
} fl_bench_lengths_t;

static inline void fl_bench_lengths_init(fl_bench_lengths_t *lengths, const fl_bench_params_t *params)
{
    uint64_t state = params->seed;
    const uint32_t span = params->max_length - params->min_length + 1;
    for (uint32_t i = 0; i < FL_BENCH_LENGTHS; i++)
    {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        lengths->lengths[i] = 0 != params->length ? params->length : params->min_length + (uint32_t)(state >> 33) % span;
    }
    lengths->next = 0;
}

static inline uint32_t fl_bench_lengths_next(fl_bench_lengths_t *lengths)
{
    return lengths->lengths[lengths->next++ & (FL_BENCH_LENGTHS - 1)];
}

static inline int64_t fl_bench_now(void)
{
    return fl_clock_read(CLOCK_MONOTONIC);
}

/* Processor time that this process has used. */
static inline int64_t fl_bench_cpu(void)
{
    return fl_clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

/* The receiving side's view of time: when the first came, when the last, and whether it is over. The clock is read only
 * when nothing came, and once per batch; processor time when nothing comes any more, so that waiting for the end is not
 * in it. */
typedef struct fl_bench_watch
{
    int64_t first_ns;
    int64_t last_ns;
    int64_t cpu_ns;              /* when the first came */
    int64_t end_cpu_ns;          /* when nothing came for the first time after seen_ns */
    int64_t seen_ns;
} fl_bench_watch_t;

static inline void fl_bench_watch_begin(fl_bench_watch_t *watch)
{
    watch->first_ns = watch->last_ns = watch->seen_ns = 0;
    watch->cpu_ns = watch->end_cpu_ns = fl_bench_cpu();
}

static inline void fl_bench_watch_arrived(fl_bench_watch_t *watch)
{
    watch->last_ns = fl_bench_now();
    if (0 == watch->first_ns)
    {
        watch->first_ns = watch->last_ns;
        watch->cpu_ns = fl_bench_cpu();
    }
}

/* Nothing came this time. Returns whether it is over: a pause alone may be that of a sending side which waits for its
 * processor. */
static inline int fl_bench_watch_is_over(fl_bench_watch_t *watch, const fl_bench_params_t *params)
{
    if (watch->seen_ns != watch->last_ns)
    {
        watch->seen_ns = watch->last_ns;
        watch->end_cpu_ns = fl_bench_cpu();
    }
    struct pollfd end = { .fd = params->end_fd, .events = POLLIN };
    return fl_bench_now() - watch->last_ns > params->idle_ns && poll(&end, 1, 0) > 0;
}

static inline void fl_bench_watch_end(const fl_bench_watch_t *watch, fl_bench_result_t *result)
{
    result->elapsed_ns = watch->last_ns - watch->first_ns;
    result->cpu_ns = watch->end_cpu_ns - watch->cpu_ns;
}

#endif
