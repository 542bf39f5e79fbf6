/* A wrapper that treats datagrams badly: loss, duplication, reordering, corruption, delay, short sends, blackhole.
 *
 * A wrapper is a transport: bind it with fl_binding_new(fl_..._ops(wrapper), wrapper, name). Its close op frees the
 * wrapper alone; what it wraps outlives it and is closed by whoever opened it. Functions are called on the control
 * thread unless they say otherwise.
 */
#ifndef FL_API_TRANSPORT_FAULT_H
#define FL_API_TRANSPORT_FAULT_H

#include "api/transport.h"

typedef struct fl_fault fl_fault_t;

/* What happens to datagrams in one direction; probabilities are 0 to 1, each datagram of a run is judged alone. */
typedef struct fl_fault_direction
{
    double loss;
    double duplicate;
    double reorder;          /* held back until 1 to 8 later datagrams passed, or 1 ms */
    double corrupt;          /* one bit flipped */
    double refuse;           /* send only: not taken, -FL_EAGAIN */
    int64_t delay_ns;        /* every datagram, on the host's clock */
    int64_t jitter_ns;       /* added to the delay, uniformly distributed from 0 to this; reorders */
    uint32_t blackhole;      /* not 0: nothing passes */
    uint32_t reserved;
} fl_fault_direction_t;

typedef struct fl_fault_settings
{
    fl_fault_direction_t send;
    fl_fault_direction_t receive;
} fl_fault_settings_t;

/* What was done so far, in datagrams. */
typedef struct fl_fault_totals
{
    int64_t passed;
    int64_t lost;
    int64_t duplicated;
    int64_t reordered;
    int64_t corrupted;
    int64_t delayed;
    int64_t refused;
    int64_t storage_full;    /* lost because too much was held back already */
} fl_fault_totals_t;

/* Wrap `inner`. seed: each endpoint draws its own sequence per direction, by its ordinal. NULL: no memory. */
fl_fault_t *fl_fault_new(fl_binding_t *inner, const fl_host_t *host, uint64_t seed);
const void *fl_fault_ops(const fl_fault_t *fault);

/* Change what happens from the next datagram on. Any thread. -FL_EINVAL: a probability outside 0 to 1, a delay or
 * jitter outside 0 to 10 s. */
int fl_fault_configure(fl_fault_t *fault, const fl_fault_settings_t *settings);

/* Let the device be gone from now on: every call answers -FL_ENODEV, but what is given back is taken (transport.h).
 *
 * text      of the event FL_EVENT_REMOVED that says so, once; truncated. NULL: no event, as of a transport that has
 *           none
 * thread    any; once
 */
void fl_fault_remove_device(fl_fault_t *fault, const char *text);
void fl_fault_totals(fl_fault_t *fault, fl_fault_totals_t *send, fl_fault_totals_t *receive);

#endif
