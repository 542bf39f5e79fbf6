/* The figures of a poller: written by its thread alone, summed over pollers by the control thread for `stats`. */
#ifndef FL_SOCKETS_COUNTERS_H
#define FL_SOCKETS_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

enum
{
    FL_TX_DATAGRAMS,            /* datagrams that the kernel took */
    FL_TX_SYSCALLS,
    FL_TX_SEGMENTED,            /* of the datagrams: those that the kernel cut from a longer run */
    FL_TX_EAGAIN,               /* sends that ended because there was no room */
    FL_TX_ERRORS,               /* runs not taken whole for another reason */
    FL_TX_SEGMENTATION_REFUSED, /* endpoints that went back to plain datagrams at run time */
    FL_RX_DATAGRAMS,
    FL_RX_SYSCALLS,
    FL_RX_EMPTY,                /* of the receiving calls: those that brought nothing */
    FL_RX_COALESCED,            /* of the datagrams: those that came joined to others */
    FL_RX_TRUNCATED,
    FL_RX_ERRORS,
    FL_ICMP_ERRORS,             /* ICMP errors that a call was repeated for; others pass unseen inside a sendmmsg */
    FL_POLLER_COUNTERS
};

typedef struct fl_counters
{
    _Atomic int64_t values[FL_POLLER_COUNTERS];
} fl_counters_t;

/* Relaxed: one writer, and a figure publishes nothing else. */
static inline void fl_counters_add(fl_counters_t *counters, int id, int64_t delta)
{
    const int64_t value = atomic_load_explicit(&counters->values[id], memory_order_relaxed);
    atomic_store_explicit(&counters->values[id], value + delta, memory_order_relaxed);
}

static inline int64_t fl_counters_get(const fl_counters_t *counters, int id)
{
    return atomic_load_explicit(&counters->values[id], memory_order_relaxed);
}

#endif
