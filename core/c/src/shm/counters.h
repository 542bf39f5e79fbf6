/* What an agent does with a counter's value, a word of shared memory that is seen as int64_t or _Atomic int64_t alike.
 * api/records.h has the rest. */
#ifndef FL_SHM_COUNTERS_H
#define FL_SHM_COUNTERS_H

#include "api/records.h"
#include "shm/words.h"

static inline int64_t fl_counter_get(const void *value)
{
    return fl_i64_load_acquire(value);
}

/* Release: what the writer did before is visible to whoever acquires the value, such as a term's bytes behind a
 * position. */
static inline void fl_counter_set(void *value, int64_t to)
{
    fl_i64_store_release(value, to);
}

static inline void fl_counter_set_relaxed(void *value, int64_t to)
{
    fl_i64_store_relaxed(value, to);
}

/* For a counter with several writers: add what one cycle summed up. */
static inline void fl_counter_add(void *value, int64_t delta)
{
    fl_i64_fetch_add_relaxed(value, delta);
}

/* For a counter with one writer: no locked instruction. */
static inline void fl_counter_add_single(void *value, int64_t delta)
{
    fl_i64_store_relaxed(value, fl_i64_load_relaxed(value) + delta);
}

#endif
