#include "transport/fault_rules.h"

#include <math.h>
#include <stdio.h>

#include "transport/address.h"

uint64_t fl_fault_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* splitmix64. */
static uint64_t fl_fault_draw(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return fl_fault_mix(*state);
}

/* A threshold of all ones means always; nothing is drawn for a probability of 0, so that settings do not disturb each
 * other's sequences. */
static bool fl_fault_happens(uint64_t *state, uint64_t threshold)
{
    return 0 != threshold && (UINT64_MAX == threshold || fl_fault_draw(state) < threshold);
}

fl_fault_verdict_t fl_fault_judge(const fl_fault_rules_t *rules, uint64_t *state)
{
    fl_fault_verdict_t verdict = { 0 };
    verdict.is_refused = fl_fault_happens(state, FL_FAULT_RULE(rules, refuse));
    verdict.is_lost = FL_FAULT_RULE(rules, is_blackhole) || fl_fault_happens(state, FL_FAULT_RULE(rules, loss));
    verdict.is_corrupted = fl_fault_happens(state, FL_FAULT_RULE(rules, corrupt));
    verdict.is_duplicated = fl_fault_happens(state, FL_FAULT_RULE(rules, duplicate));
    if (fl_fault_happens(state, FL_FAULT_RULE(rules, reorder)))
    {
        verdict.passes = 1 + (uint32_t)(fl_fault_draw(state) % FL_FAULT_REORDER_PASSES);
    }
    const int64_t jitter_ns = FL_FAULT_RULE(rules, jitter_ns);
    verdict.delay_ns = FL_FAULT_RULE(rules, delay_ns) +
        (0 != jitter_ns ? (int64_t)(fl_fault_draw(state) % ((uint64_t)jitter_ns + 1)) : 0);
    return verdict;
}

bool fl_fault_is_clean(const fl_fault_verdict_t *verdict)
{
    return !verdict->is_lost && !verdict->is_refused && !verdict->is_duplicated && !verdict->is_corrupted &&
        0 == verdict->passes && 0 == verdict->delay_ns;
}

void fl_fault_apply(
    fl_fault_rules_t *rules, fl_datagram_store_t *store, const fl_fault_verdict_t *verdict, uint64_t *state,
    const fl_run_t *run, uint32_t segment, int64_t now_ns, void *owner)
{
    if (verdict->is_lost)
    {
        fl_fault_count(&rules->lost, 1);
        return;
    }
    const uint32_t offset = segment * run->segment_length;
    const uint32_t length = fl_run_extent(run, segment + 1) - offset;
    for (int copy = 0; copy <= (verdict->is_duplicated ? 1 : 0); copy++)
    {
        fl_held_t *held = fl_datagram_store_copy(store, run, offset, length);
        if (NULL == held)
        {
            fl_fault_count(&rules->storage_full, 1);
            return;
        }
        held->owner = owner;
        if (0 == copy && verdict->is_corrupted && 0 != length)
        {
            const uint64_t bit = fl_fault_draw(state) % ((uint64_t)length * 8);
            held->slot[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            fl_fault_count(&rules->corrupted, 1);
        }
        const bool is_overtaken = 0 == copy && 0 != verdict->passes;
        fl_datagram_store_hold(
            store, held, now_ns + verdict->delay_ns + (is_overtaken ? FL_FAULT_REORDER_LIMIT_NS : 0),
            is_overtaken ? verdict->passes : 0);
        fl_fault_count(&rules->reordered, is_overtaken ? 1 : 0);
        fl_fault_count(&rules->duplicated, copy);
    }
    fl_fault_count(&rules->delayed, 0 != verdict->delay_ns ? 1 : 0);
}

bool fl_fault_is_valid(const fl_fault_direction_t *direction)
{
    const double probabilities[] = { direction->loss, direction->duplicate, direction->reorder, direction->corrupt,
                                     direction->refuse };
    for (size_t i = 0; i < sizeof(probabilities) / sizeof(probabilities[0]); i++)
    {
        if (!(probabilities[i] >= 0.0 && probabilities[i] <= 1.0))
        {
            return false;
        }
    }
    return direction->delay_ns >= 0 && direction->delay_ns <= FL_FAULT_DELAY_MAXIMUM_NS && direction->jitter_ns >= 0 &&
        direction->jitter_ns <= FL_FAULT_DELAY_MAXIMUM_NS;
}

static uint64_t fl_fault_threshold(double probability)
{
    const double scaled = ldexp(probability, 64);
    return scaled >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)scaled;
}

void fl_fault_set(fl_fault_rules_t *rules, const fl_fault_direction_t *direction, bool is_send)
{
    /* Relaxed throughout: each word stands alone, and a datagram judged by a mixture of two settings is no error. */
    atomic_store_explicit(&rules->loss, fl_fault_threshold(direction->loss), memory_order_relaxed);
    atomic_store_explicit(&rules->duplicate, fl_fault_threshold(direction->duplicate), memory_order_relaxed);
    atomic_store_explicit(&rules->reorder, fl_fault_threshold(direction->reorder), memory_order_relaxed);
    atomic_store_explicit(&rules->corrupt, fl_fault_threshold(direction->corrupt), memory_order_relaxed);
    atomic_store_explicit(&rules->refuse, is_send ? fl_fault_threshold(direction->refuse) : 0, memory_order_relaxed);
    atomic_store_explicit(&rules->delay_ns, direction->delay_ns, memory_order_relaxed);
    atomic_store_explicit(&rules->jitter_ns, direction->jitter_ns, memory_order_relaxed);
    atomic_store_explicit(&rules->is_blackhole, 0 != direction->blackhole, memory_order_relaxed);
    atomic_store_explicit(
        &rules->is_active,
        0 != direction->blackhole || direction->loss > 0 || direction->duplicate > 0 || direction->reorder > 0 ||
            direction->corrupt > 0 || (is_send && direction->refuse > 0) || direction->delay_ns > 0 ||
            direction->jitter_ns > 0,
        memory_order_relaxed);
}

void fl_fault_read(const fl_fault_rules_t *rules, fl_fault_totals_t *totals)
{
    *totals = (fl_fault_totals_t){
        .passed = FL_FAULT_RULE(rules, passed),
        .lost = FL_FAULT_RULE(rules, lost),
        .duplicated = FL_FAULT_RULE(rules, duplicated),
        .reordered = FL_FAULT_RULE(rules, reordered),
        .corrupted = FL_FAULT_RULE(rules, corrupted),
        .delayed = FL_FAULT_RULE(rules, delayed),
        .refused = FL_FAULT_RULE(rules, refused),
        .storage_full = FL_FAULT_RULE(rules, storage_full),
    };
}

uint32_t fl_fault_rules_stats(const fl_fault_rules_t *rules, const char *prefix, fl_stat_t *stats, uint32_t capacity)
{
    fl_fault_totals_t totals;
    fl_fault_read(rules, &totals);
    const struct
    {
        const char *name;
        int64_t value;
    } all[FL_FAULT_STATS] = {
        { "lost", totals.lost },           { "duplicated", totals.duplicated }, { "reordered", totals.reordered },
        { "corrupted", totals.corrupted }, { "delayed", totals.delayed },       { "refused", totals.refused },
        { "storage-full", totals.storage_full },
    };
    uint32_t count = 0;
    for (; count < FL_FAULT_STATS && count < capacity; count++)
    {
        snprintf(stats[count].name, sizeof(stats[count].name), "%s-%s", prefix, all[count].name);
        stats[count].value = all[count].value;
    }
    return count;
}
