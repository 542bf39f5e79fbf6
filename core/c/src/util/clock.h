/* Clocks of the data plane. The header is for the duty cycle's inlined reads; api/common.h has the rest. */
#ifndef FL_UTIL_CLOCK_H
#define FL_UTIL_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "api/common.h"

struct fl_clock
{
    bool is_virtual;
    int64_t epoch_offset_ns;       /* virtual: what to add to nano_ns for the wall clock */
    _Atomic int64_t nano_ns;       /* virtual: the reading */
};

static inline int64_t fl_clock_read(clockid_t id)
{
    struct timespec time;
    clock_gettime(id, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static inline int64_t fl_clock_nano_now(fl_clock_t *clock)
{
    /* Relaxed: a reading publishes nothing else. */
    return clock->is_virtual ? atomic_load_explicit(&clock->nano_ns, memory_order_relaxed)
                             : fl_clock_read(CLOCK_MONOTONIC);
}

static inline int64_t fl_clock_epoch_now(fl_clock_t *clock)
{
    return clock->is_virtual
        ? atomic_load_explicit(&clock->nano_ns, memory_order_relaxed) + clock->epoch_offset_ns
        : fl_clock_read(CLOCK_REALTIME);
}

#endif
