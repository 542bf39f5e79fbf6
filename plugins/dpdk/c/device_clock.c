#include "device_clock.h"

void fl_device_clock_read(fl_device_clock_t *clock, uint64_t ticks, int64_t ns)
{
    const uint64_t before_ticks = atomic_load_explicit(&clock->ticks, memory_order_relaxed);
    const int64_t before_ns = atomic_load_explicit(&clock->ns, memory_order_relaxed);
    const bool is_first = 0 == before_ns;
    double rate = 0;
    if (!is_first && ticks > before_ticks && ns > before_ns)
    {
        rate = (double)(ns - before_ns) / (double)(ticks - before_ticks);
    }
    const uint32_t sequence = atomic_load_explicit(&clock->sequence, memory_order_relaxed);
    atomic_store_explicit(&clock->sequence, sequence + 1, memory_order_relaxed);
    /* Release fence: a reader that sees any of what follows sees the sequence odd or changed. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&clock->ticks, ticks, memory_order_relaxed);
    atomic_store_explicit(&clock->ns, ns, memory_order_relaxed);
    atomic_store_explicit(&clock->ns_per_tick, rate, memory_order_relaxed);
    /* Release: pairs with the acquire in fl_device_clock_convert. */
    atomic_store_explicit(&clock->sequence, sequence + 2, memory_order_release);
}
