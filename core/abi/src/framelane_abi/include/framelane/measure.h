/* What both sides of a benchmark's ratio do alike, ours and the floor: which lengths they send, how they keep time, and
 * when the receiving side ends.
 */
#ifndef FRAMELANE_MEASURE_H
#define FRAMELANE_MEASURE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define FL_MEASURE_LENGTHS 4096    /* mixed lengths before they repeat; a power of two */

/* The lengths of successive messages, bytes. */
typedef struct fl_measure_lengths
{
    uint32_t lengths[FL_MEASURE_LENGTHS];
    uint32_t next;
} fl_measure_lengths_t;

/* length   of every message; 0: uniform between minimum and maximum, by the seed */
static inline void fl_measure_lengths_init(
    fl_measure_lengths_t *lengths, uint32_t length, uint32_t minimum, uint32_t maximum, uint32_t seed)
{
    uint64_t state = seed;
    const uint32_t span = maximum - minimum + 1;
    for (uint32_t i = 0; i < FL_MEASURE_LENGTHS; i++)
    {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        lengths->lengths[i] = 0 != length ? length : minimum + (uint32_t)(state >> 33) % span;
    }
    lengths->next = 0;
}

static inline uint32_t fl_measure_lengths_next(fl_measure_lengths_t *lengths)
{
    return lengths->lengths[lengths->next++ & (FL_MEASURE_LENGTHS - 1)];
}

static inline int64_t fl_measure_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t fl_measure_now(void)
{
    return fl_measure_clock(CLOCK_MONOTONIC);
}

/* Processor time that this process has used. */
static inline int64_t fl_measure_cpu(void)
{
    return fl_measure_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* The receiving side's view of time: when the first came, when the last, and whether it is over. The clock is read only
 * when nothing came, and once per batch; processor time when nothing comes any more, so that waiting for the end is not
 * in it. */
typedef struct fl_measure_watch
{
    int64_t first_ns;
    int64_t last_ns;
    int64_t cpu_ns;              /* when the first came */
    int64_t end_cpu_ns;          /* when nothing came for the first time after seen_ns */
    int64_t seen_ns;
} fl_measure_watch_t;

static inline void fl_measure_watch_begin(fl_measure_watch_t *watch)
{
    watch->first_ns = watch->last_ns = watch->seen_ns = 0;
    watch->cpu_ns = watch->end_cpu_ns = fl_measure_cpu();
}

static inline void fl_measure_watch_arrived(fl_measure_watch_t *watch)
{
    watch->last_ns = fl_measure_now();
    if (0 == watch->first_ns)
    {
        watch->first_ns = watch->last_ns;
        watch->cpu_ns = fl_measure_cpu();
    }
}

/* Nothing came this time. Returns whether it is over: a pause alone may be that of a sending side which waits for its
 * processor.
 *
 * idle_ns   how long nothing came
 * end_fd    readable when the sending side has ended
 */
static inline bool fl_measure_watch_is_over(fl_measure_watch_t *watch, int64_t idle_ns, int end_fd)
{
    if (watch->seen_ns != watch->last_ns)
    {
        watch->seen_ns = watch->last_ns;
        watch->end_cpu_ns = fl_measure_cpu();
    }
    struct pollfd end = {.fd = end_fd, .events = POLLIN};
    return fl_measure_now() - watch->last_ns > idle_ns && poll(&end, 1, 0) > 0;
}

static inline void fl_measure_watch_end(const fl_measure_watch_t *watch, int64_t *elapsed_ns, int64_t *cpu_ns)
{
    *elapsed_ns = watch->last_ns - watch->first_ns;
    *cpu_ns = watch->end_cpu_ns - watch->cpu_ns;
}

#endif
