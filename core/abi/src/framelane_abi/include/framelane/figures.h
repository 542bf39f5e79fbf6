/* Figures that a poller's thread counts and `stats` reports. For C sources alone; cffi does not take it. */
#ifndef FRAMELANE_FIGURES_H
#define FRAMELANE_FIGURES_H

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <framelane/types.h>

/* Add to a figure of the calling thread: it has one writer. Relaxed, for it publishes nothing else. */
static inline void fl_figure_add(_Atomic int64_t *figure, int64_t delta)
{
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + delta, memory_order_relaxed);
}

/* Read a figure. Any thread; relaxed, as above. */
static inline int64_t fl_figure_get(const _Atomic int64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

/* Fill in what `stats` returns. */
static inline void fl_stat_set(fl_stat_t *stat, const char *name, int64_t value)
{
    memset(stat, 0, sizeof(*stat));
    snprintf(stat->name, sizeof(stat->name), "%s", name);
    stat->value = value;
}

#endif
