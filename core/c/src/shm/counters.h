/* Counters: values that every process may read, with a key and a label (shm 5).
 *
 * fl_counters_t is a view for anybody. fl_counters_manager_t allocates; its state is private memory of the control
 * plane, since clients can write every word of the records. */
#ifndef FL_SHM_COUNTERS_H
#define FL_SHM_COUNTERS_H

#include <stdbool.h>

#include "api/layout.h"
#include "shm/words.h"

typedef struct fl_counters
{
    fl_counter_metadata_t *metadata;
    fl_counter_value_t *values;
    int32_t count;                  /* records; ids are 0 to count - 1 */
} fl_counters_t;

/* View two sections as counters. Returns 0, or -FL_EINVAL with error text if the lengths do not fit each other. */
int fl_counters_init(
    fl_counters_t *counters, void *metadata, int64_t metadata_length, void *values, int64_t values_length);

/* The word to give to whoever writes the counter; NULL if there is no such id. Stays valid until the file is closed;
 * after the counter is freed the word belongs to the next one that gets the id. */
fl_atomic_i64_t *fl_counters_value(const fl_counters_t *counters, int32_t id);

static inline int64_t fl_counter_get(const fl_atomic_i64_t *value)
{
    return atomic_load_explicit(value, memory_order_acquire);
}

/* Release: what the writer did before is visible to whoever acquires the value, such as a term's bytes behind a position. */
static inline void fl_counter_set(fl_atomic_i64_t *value, int64_t to)
{
    atomic_store_explicit(value, to, memory_order_release);
}

static inline void fl_counter_set_relaxed(fl_atomic_i64_t *value, int64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

/* For a counter with several writers: add what one cycle summed up. */
static inline void fl_counter_add(fl_atomic_i64_t *value, int64_t delta)
{
    atomic_fetch_add_explicit(value, delta, memory_order_relaxed);
}

/* For a counter with one writer: no locked instruction. */
static inline void fl_counter_add_single(fl_atomic_i64_t *value, int64_t delta)
{
    atomic_store_explicit(
        value, atomic_load_explicit(value, memory_order_relaxed) + delta, memory_order_relaxed);
}

/* Read a record. The label and key are copied, the label's length is bounded.
 *
 * returns   state of the record; -FL_EINVAL if there is no such id
 * thread    any
 */
typedef struct fl_counter_snapshot
{
    int32_t id;
    int32_t state;
    int32_t type_id;
    int32_t label_length;
    int64_t value;
    int64_t registration_id;
    int64_t owner_id;
    int64_t reference_id;
    uint8_t key[112];
    char label[384];                /* terminated behind label_length */
} fl_counter_snapshot_t;

int fl_counters_read(const fl_counters_t *counters, int32_t id, fl_counter_snapshot_t *snapshot);

/* Find the next allocated counter from `from` on; -1 if there is none: the walk ends at the first unused record. */
int32_t fl_counters_next(const fl_counters_t *counters, int32_t from);

typedef struct fl_counters_manager fl_counters_manager_t;

/* Begin to manage zeroed sections. cool_down_ms: how long a freed id rests before reuse, 0 or more.
 * Returns NULL with error text: lengths, or no memory. All of the manager: control thread only. */
fl_counters_manager_t *fl_counters_manager_new(
    void *metadata, int64_t metadata_length, void *values, int64_t values_length, int64_t cool_down_ms);
void fl_counters_manager_free(fl_counters_manager_t *manager);

const fl_counters_t *fl_counters_manager_view(const fl_counters_manager_t *manager);

/* Take an id without showing it: its value record is zero, and readers pass over it until it is published.
 * Returns the id, or -FL_ENOBUFS with error text if all are in use or resting. now_ms: epoch. */
int32_t fl_counters_reserve(fl_counters_manager_t *manager, int64_t now_ms);

/* Show a reserved id. Key and label are cut at 112 and 380 bytes. Returns 0, or -FL_EINVAL if the id is not reserved. */
int fl_counters_publish(
    fl_counters_manager_t *manager,
    int32_t id,
    int32_t type_id,
    const void *key,
    int32_t key_length,
    const char *label,
    int32_t label_length);

/* Both at once, as shm 5.3. Returns the id or -FL_ENOBUFS. */
int32_t fl_counters_allocate(
    fl_counters_manager_t *manager,
    int64_t now_ms,
    int32_t type_id,
    const void *key,
    int32_t key_length,
    const char *label,
    int32_t label_length);

/* Free an allocated or reserved id. Returns 0, or -FL_EINVAL if it is neither. */
int fl_counters_free(fl_counters_manager_t *manager, int32_t id, int64_t now_ms);

/* Set what readers match on, after allocation (shm 5.3). Returns 0 or -FL_EINVAL. */
int fl_counters_set_ids(
    fl_counters_manager_t *manager, int32_t id, int64_t registration_id, int64_t owner_id, int64_t reference_id);

/* Replace or extend a label; cut at 380 bytes. Returns the bytes written or -FL_EINVAL. */
int32_t fl_counters_label_update(fl_counters_manager_t *manager, int32_t id, const char *label, int32_t length);
int32_t fl_counters_label_append(fl_counters_manager_t *manager, int32_t id, const char *label, int32_t length);

#endif
