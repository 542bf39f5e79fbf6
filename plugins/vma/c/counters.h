/* The figures of a poller: written by its thread alone, summed over pollers by the control thread for `stats`. */
#ifndef FL_VMA_COUNTERS_H
#define FL_VMA_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

enum
{
    FL_TX_DATAGRAMS,         /* datagrams that VMA took */
    FL_TX_EAGAIN,            /* sends that ended because there was no room */
    FL_TX_ERRORS,            /* runs not taken whole for another reason */
    FL_RX_DATAGRAMS,
    FL_RX_ZERO_COPY_BYTES,   /* of them: bytes that the driver read in VMA's memory */
    FL_RX_DATA_COPY_BYTES,   /* bytes that were copied: by VMA, or here because they came in pieces */
    FL_RX_GATHERED,          /* datagrams that came in pieces */
    FL_RX_HELD,              /* packets of VMA that are not given back yet */
    FL_RX_NOT_FREED,         /* packets that VMA did not take back */
    FL_RX_DISCARD,           /* datagrams of others at a connected endpoint */
    FL_RX_TRUNCATED,
    FL_RX_ERRORS,
    FL_ICMP_ERRORS,          /* ICMP errors that a call was repeated for */
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
