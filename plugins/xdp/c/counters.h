/* The figures of a queue: written by its thread alone, summed by the control thread for `stats`. */
#ifndef FL_XDP_COUNTERS_H
#define FL_XDP_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

enum
{
    FL_RX_FRAMES,
    FL_RX_BYTES,
    FL_RX_INCOMPLETE,    /* frames of several buffers that were longer than the MTU */
    FL_RX_WAKEUPS,       /* system calls to have frames received */
    FL_TX_FRAMES,
    FL_TX_BYTES,
    FL_TX_NOBUFS,        /* buffers that were asked for and not there */
    FL_TX_EAGAIN,        /* kicks after which descriptors were left */
    FL_TX_DROPPED,       /* frames that the device refused for good */
    FL_TX_ERRORS,        /* kicks that failed for another reason */
    FL_KICKS,            /* system calls to have frames sent */
    FL_QUEUE_COUNTERS
};

typedef struct fl_xdp_counters
{
    _Atomic int64_t values[FL_QUEUE_COUNTERS];
} fl_xdp_counters_t;

/* Relaxed: one writer, and a figure publishes nothing else. */
static inline void fl_xdp_count(fl_xdp_counters_t *counters, int id, int64_t delta)
{
    const int64_t value = atomic_load_explicit(&counters->values[id], memory_order_relaxed);
    atomic_store_explicit(&counters->values[id], value + delta, memory_order_relaxed);
}

static inline int64_t fl_xdp_counted(const fl_xdp_counters_t *counters, int id)
{
    return atomic_load_explicit(&counters->values[id], memory_order_relaxed);
}

#endif
