#include "util/clock.h"

#include <stdlib.h>

fl_clock_t *fl_clock_system(void)
{
    static fl_clock_t system_clock;
    return &system_clock;
}

fl_clock_t *fl_clock_virtual_new(int64_t nano_ns, int64_t epoch_ns)
{
    fl_clock_t *clock = calloc(1, sizeof(*clock));
    if (NULL != clock)
    {
        clock->is_virtual = true;
        clock->epoch_offset_ns = epoch_ns - nano_ns;
        atomic_init(&clock->nano_ns, nano_ns);
    }
    return clock;
}

void fl_clock_virtual_free(fl_clock_t *clock)
{
    free(clock);
}

void fl_clock_advance(fl_clock_t *clock, int64_t delta_ns)
{
    atomic_fetch_add_explicit(&clock->nano_ns, delta_ns, memory_order_relaxed);
}

int64_t fl_clock_nano(fl_clock_t *clock)
{
    return fl_clock_nano_now(clock);
}

int64_t fl_clock_epoch(fl_clock_t *clock)
{
    return fl_clock_epoch_now(clock);
}
