/* What the agents of one driver have in common. Written before they start, read-only afterwards but for what is
 * atomic. */
#ifndef FL_DRIVER_CONTEXT_H
#define FL_DRIVER_CONTEXT_H

#include <stdatomic.h>
#include <stdint.h>

#include "agent/object.h"
#include "api/driver.h"
#include "util/clock.h"

/* System counters, by id (shm 5.4). */
enum
{
    FL_COUNTER_BYTES_SENT = 0,
    FL_COUNTER_BYTES_RECEIVED = 1,
    FL_COUNTER_NAKS_SENT = 5,
    FL_COUNTER_NAKS_RECEIVED = 6,
    FL_COUNTER_STATUS_MESSAGES_SENT = 7,
    FL_COUNTER_STATUS_MESSAGES_RECEIVED = 8,
    FL_COUNTER_HEARTBEATS_SENT = 9,
    FL_COUNTER_HEARTBEATS_RECEIVED = 10,
    FL_COUNTER_RETRANSMITS_SENT = 11,
    FL_COUNTER_UNDER_RUNS = 12,
    FL_COUNTER_OVER_RUNS = 13,
    FL_COUNTER_INVALID_PACKETS = 14,
    FL_COUNTER_ERRORS = 15,
    FL_COUNTER_SHORT_SENDS = 16,
    FL_COUNTER_SENDER_FLOW_CONTROL_LIMITS = 18,
    FL_COUNTER_UNBLOCKED_PUBLICATIONS = 19,
    FL_COUNTER_UNBLOCKED_COMMANDS = 20,
    FL_COUNTER_POSSIBLE_TTL_ASYMMETRY = 21,
    FL_COUNTER_LOSS_GAP_FILLS = 23,
    FL_COUNTER_CONDUCTOR_MAX_CYCLE_TIME = 26,
    FL_COUNTER_CONDUCTOR_CYCLES_OVER_THRESHOLD = 27,
    FL_COUNTER_SENDER_MAX_CYCLE_TIME = 28,
    FL_COUNTER_SENDER_CYCLES_OVER_THRESHOLD = 29,
    FL_COUNTER_RECEIVER_MAX_CYCLE_TIME = 30,
    FL_COUNTER_RECEIVER_CYCLES_OVER_THRESHOLD = 31,
    FL_COUNTER_RETRANSMITTED_BYTES = 36,
    FL_COUNTER_RETRANSMIT_OVERFLOW = 37,
    FL_COUNTER_ERROR_FRAMES_RECEIVED = 38,
    FL_COUNTER_ERROR_FRAMES_SENT = 39,
    FL_COUNTER_PUBLICATIONS_REVOKED = 40,
    FL_COUNTER_IMAGES_REVOKED = 41,
    FL_COUNTER_STATUS_MESSAGES_REJECTED = 44,
    FL_SYSTEM_COUNTERS = 46
};

typedef struct fl_driver_context
{
    fl_driver_config_t config;
    fl_clock_t *clock;
    fl_object_stack_t events;
    _Atomic int64_t *system_counters[FL_SYSTEM_COUNTERS];
    _Atomic int64_t *drop_counters[FL_DROPS];
    _Atomic uint32_t has_clients;
    _Atomic uint64_t random_state;
} fl_driver_context_t;

/* Where a counter's value is stored. NULL if the id is outside the counters of the CnC file. Thread: control. */
_Atomic int64_t *fl_driver_counter(fl_driver_context_t *context, int32_t counter_id);

/* Add to a system counter. Several agents write it, so the add is atomic; relaxed, since it orders nothing. */
static inline void fl_count(fl_driver_context_t *context, int counter, int64_t delta)
{
    atomic_fetch_add_explicit(context->system_counters[counter], delta, memory_order_relaxed);
}

/* Count datagrams that were dropped for one reason. */
static inline void fl_count_drop(fl_driver_context_t *context, int reason, int64_t delta)
{
    atomic_fetch_add_explicit(context->drop_counters[reason], delta, memory_order_relaxed);
}

/* The next value of the driver's seeded generator (splitmix64). Any thread. */
static inline uint64_t fl_driver_random(fl_driver_context_t *context)
{
    const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = atomic_fetch_add_explicit(&context->random_state, step, memory_order_relaxed) + step;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
