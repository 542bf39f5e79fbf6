/* What is to happen to datagrams in one direction: the settings, the judgement of each datagram, and what it comes
 * to. */
#ifndef FL_TRANSPORT_FAULT_RULES_H
#define FL_TRANSPORT_FAULT_RULES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "transport/datagram_store.h"
#include "transport/wrap_fault.h"

/* One direction's settings, each word on its own: a probability is the threshold that a 64-bit draw must stay below. */
typedef struct fl_fault_rules
{
    _Atomic bool is_active;
    _Atomic bool is_blackhole;
    _Atomic uint64_t loss;
    _Atomic uint64_t duplicate;
    _Atomic uint64_t reorder;
    _Atomic uint64_t corrupt;
    _Atomic uint64_t refuse;
    _Atomic int64_t delay_ns;
    _Atomic int64_t jitter_ns;
    _Atomic int64_t passed;
    _Atomic int64_t lost;
    _Atomic int64_t duplicated;
    _Atomic int64_t reordered;
    _Atomic int64_t corrupted;
    _Atomic int64_t delayed;
    _Atomic int64_t refused;
    _Atomic int64_t storage_full;
} fl_fault_rules_t;

typedef struct fl_fault_verdict
{
    bool is_lost;
    bool is_refused;
    bool is_duplicated;
    bool is_corrupted;
    uint32_t passes;
    int64_t delay_ns;
} fl_fault_verdict_t;

static inline void fl_fault_count(_Atomic int64_t *total, int64_t count)
{
    atomic_fetch_add_explicit(total, count, memory_order_relaxed);
}

#define FL_FAULT_RULE(rules, name) atomic_load_explicit(&(rules)->name, memory_order_relaxed)

/* Scramble a number, such as a seed and an ordinal, into the first state of a sequence. */
uint64_t fl_fault_mix(uint64_t z);

/* Draw what happens to one datagram. state: of the sequence, moves on. */
fl_fault_verdict_t fl_fault_judge(const fl_fault_rules_t *rules, uint64_t *state);
bool fl_fault_is_clean(const fl_fault_verdict_t *verdict);

/* Do to one datagram what was found; what is left of it is held in the store until it is due. */
void fl_fault_apply(
    fl_fault_rules_t *rules, fl_datagram_store_t *store, const fl_fault_verdict_t *verdict, uint64_t *state,
    const fl_run_t *run, uint32_t segment, int64_t now_ns, void *owner);

/* Check and store settings; any thread. */
bool fl_fault_is_valid(const fl_fault_direction_t *direction);
void fl_fault_set(fl_fault_rules_t *rules, const fl_fault_direction_t *direction, bool is_send);

void fl_fault_read(const fl_fault_rules_t *rules, fl_fault_totals_t *totals);

/* Write what datagrams suffered as figures such as "fault-tx-lost", at most `capacity` of FL_FAULT_STATS. Returns
 * how many. */
#define FL_FAULT_STATS 7
uint32_t fl_fault_rules_stats(
    const fl_fault_rules_t *rules, const char *prefix, fl_stat_t *stats, uint32_t capacity);

#endif
