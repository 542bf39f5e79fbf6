/* From a device's ticks to nanoseconds since the epoch.
 *
 * A device stamps frames with a counter of unknown rate and start (bypass-apis 2.8). Housekeeping reads that counter
 * and the driver's clock side by side; the last two readings make the line that a queue's thread converts with.
 */
#ifndef FL_DPDK_DEVICE_CLOCK_H
#define FL_DPDK_DEVICE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct fl_device_clock
{
    /* Odd while the writer is at it. The others are read and written relaxed, under this one. */
    _Atomic uint32_t sequence;
    _Atomic uint64_t ticks;
    _Atomic int64_t ns;
    _Atomic double ns_per_tick;   /* 0: there were not two readings yet */
} fl_device_clock_t;

/* Add a reading. One writer. */
void fl_device_clock_read(fl_device_clock_t *clock, uint64_t ticks, int64_t ns);

/* Convert; returns false if the rate is not known yet, or just being changed. Any thread; does not wait. */
static inline bool fl_device_clock_convert(const fl_device_clock_t *clock, uint64_t ticks, int64_t *ns)
{
    /* Acquire: pairs with the release at the end of fl_device_clock_read. */
    const uint32_t sequence = atomic_load_explicit(&clock->sequence, memory_order_acquire);
    const uint64_t base_ticks = atomic_load_explicit(&clock->ticks, memory_order_relaxed);
    const int64_t base_ns = atomic_load_explicit(&clock->ns, memory_order_relaxed);
    const double rate = atomic_load_explicit(&clock->ns_per_tick, memory_order_relaxed);
    /* Acquire fence: the reads above come before the second look at the sequence. */
    atomic_thread_fence(memory_order_acquire);
    if (0 != (sequence & 1) || sequence != atomic_load_explicit(&clock->sequence, memory_order_relaxed) || rate <= 0)
    {
        return false;
    }
    *ns = base_ns + (int64_t)((double)(int64_t)(ticks - base_ticks) * rate);
    return true;
}

#endif
