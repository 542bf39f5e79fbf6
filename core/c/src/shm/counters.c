#include "shm/counters.h"

#include <framelane/types.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

int fl_counters_init(
    fl_counters_t *counters, void *metadata, int64_t metadata_length, void *values, int64_t values_length)
{
    if (values_length <= 0 || 0 != values_length % FL_COUNTER_VALUE_LENGTH ||
        values_length / FL_COUNTER_VALUE_LENGTH > INT32_MAX ||
        metadata_length / FL_COUNTER_METADATA_LENGTH < values_length / FL_COUNTER_VALUE_LENGTH)
    {
        return fl_error(
            FL_EINVAL,
            "counters: %lld bytes of values and %lld of metadata; values come in %d bytes, metadata four times as long",
            (long long)values_length,
            (long long)metadata_length,
            FL_COUNTER_VALUE_LENGTH);
    }
    counters->metadata = metadata;
    counters->values = values;
    counters->count = (int32_t)(values_length / FL_COUNTER_VALUE_LENGTH);
    return 0;
}

int64_t *fl_counters_value(const fl_counters_t *counters, int32_t id)
{
    return id >= 0 && id < counters->count ? &counters->values[id].value : NULL;
}

int64_t fl_counters_load(const int64_t *value)
{
    return fl_counter_get(value);
}

void fl_counters_store(int64_t *value, int64_t to)
{
    fl_counter_set(value, to);
}

void fl_counters_add(int64_t *value, int64_t delta)
{
    fl_counter_add(value, delta);
}

int fl_counters_read(const fl_counters_t *counters, int32_t id, fl_counter_snapshot_t *snapshot)
{
    if (id < 0 || id >= counters->count)
    {
        return fl_error(FL_EINVAL, "counters: id %d is not in 0 to %d", id, counters->count - 1);
    }
    const fl_counter_metadata_t *metadata = &counters->metadata[id];
    const fl_counter_value_t *value = &counters->values[id];
    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->id = id;
    /* Acquire: pairs with the release in publish. */
    snapshot->state = fl_i32_load_acquire(&metadata->state);
    snapshot->type_id = fl_i32_load_relaxed(&metadata->type_id);
    snapshot->value = fl_i64_load_acquire(&value->value);
    snapshot->registration_id = fl_i64_load_acquire(&value->registration_id);
    snapshot->owner_id = fl_i64_load_relaxed(&value->owner_id);
    snapshot->reference_id = fl_i64_load_relaxed(&value->reference_id);
    memcpy(snapshot->key, metadata->key, sizeof(snapshot->key));
    /* Acquire: pairs with the release of the length in update and append. */
    const int32_t length = fl_i32_load_acquire(&metadata->label_length);
    snapshot->label_length = length < 0 ? 0 : length > FL_COUNTER_LABEL_LENGTH ? FL_COUNTER_LABEL_LENGTH : length;
    memcpy(snapshot->label, metadata->label, (size_t)snapshot->label_length);
    return snapshot->state;
}

int32_t fl_counters_next(const fl_counters_t *counters, int32_t from)
{
    for (int32_t id = from < 0 ? 0 : from; id < counters->count; id++)
    {
        const int32_t state = fl_i32_load_acquire(&counters->metadata[id].state);
        if (FL_COUNTER_ALLOCATED == state)
        {
            return id;
        }
        if (FL_COUNTER_UNUSED == state)
        {
            break;
        }
    }
    return FL_COUNTER_NULL;
}

enum fl_counter_use
{
    FL_COUNTER_IS_FREE = 0,
    FL_COUNTER_IS_RESERVED = 1,
    FL_COUNTER_IS_PUBLISHED = 2
};

typedef struct fl_counter_rest
{
    int32_t id;
    int64_t deadline_ms;
} fl_counter_rest_t;

struct fl_counters_manager
{
    fl_counters_t counters;
    int64_t cool_down_ms;
    int32_t unused;            /* the first id never used */
    int32_t resting_first;     /* ring of freed ids, oldest first; all rest equally long, so the oldest is due first */
    int32_t resting_count;
    fl_counter_rest_t *resting;
    uint8_t *use;              /* enum fl_counter_use of each id */
};

fl_counters_manager_t *fl_counters_manager_new(
    void *metadata, int64_t metadata_length, void *values, int64_t values_length, int64_t cool_down_ms)
{
    fl_counters_manager_t *manager = calloc(1, sizeof(*manager));
    if (NULL == manager)
    {
        fl_error(FL_ENOMEM, "counters: no memory for the manager");
        return NULL;
    }
    if (fl_counters_init(&manager->counters, metadata, metadata_length, values, values_length) < 0)
    {
        goto fail;
    }
    manager->cool_down_ms = cool_down_ms;
    manager->resting = calloc((size_t)manager->counters.count, sizeof(*manager->resting));
    manager->use = calloc((size_t)manager->counters.count, sizeof(*manager->use));
    if (NULL == manager->resting || NULL == manager->use)
    {
        fl_error(FL_ENOMEM, "counters: no memory for the state of %d counters", manager->counters.count);
        goto fail;
    }
    return manager;

fail:
    fl_counters_manager_free(manager);
    return NULL;
}

void fl_counters_manager_free(fl_counters_manager_t *manager)
{
    if (NULL != manager)
    {
        free(manager->use);
        free(manager->resting);
        free(manager);
    }
}

const fl_counters_t *fl_counters_manager_view(const fl_counters_manager_t *manager)
{
    return &manager->counters;
}

static bool fl_counters_is(const fl_counters_manager_t *manager, int32_t id, enum fl_counter_use use)
{
    return id >= 0 && id < manager->counters.count && use == manager->use[id];
}

int32_t fl_counters_reserve(fl_counters_manager_t *manager, int64_t now_ms)
{
    int32_t id;
    if (manager->resting_count > 0 && now_ms >= manager->resting[manager->resting_first].deadline_ms)
    {
        id = manager->resting[manager->resting_first].id;
        manager->resting_first = (manager->resting_first + 1) % manager->counters.count;
        manager->resting_count -= 1;
    }
    else if (manager->unused < manager->counters.count)
    {
        id = manager->unused++;
    }
    else
    {
        return fl_error(
            FL_ENOBUFS,
            "counters: all %d are in use or were freed less than %lld ms ago; raise the counters buffer length",
            manager->counters.count,
            (long long)manager->cool_down_ms);
    }
    manager->use[id] = FL_COUNTER_IS_RESERVED;
    fl_counter_value_t *value = &manager->counters.values[id];
    fl_i64_store_release(&value->registration_id, 0);
    fl_i64_store_relaxed(&value->owner_id, 0);
    fl_i64_store_relaxed(&value->reference_id, 0);
    fl_i64_store_release(&value->value, 0);
    /* Readers stop at an unused record but pass over a reclaimed one. */
    fl_i32_store_release(&manager->counters.metadata[id].state, FL_COUNTER_RECLAIMED);
    return id;
}

static int32_t fl_counters_clip(int32_t length, int32_t longest)
{
    return length < 0 ? 0 : length > longest ? longest : length;
}

int fl_counters_publish(
    fl_counters_manager_t *manager,
    int32_t id,
    int32_t type_id,
    const void *key,
    int32_t key_length,
    const char *label,
    int32_t label_length)
{
    if (!fl_counters_is(manager, id, FL_COUNTER_IS_RESERVED))
    {
        return fl_error(FL_EINVAL, "counters: id %d is not reserved", id);
    }
    fl_counter_metadata_t *metadata = &manager->counters.metadata[id];
    const size_t key_bytes = (size_t)fl_counters_clip(key_length, FL_COUNTER_KEY_LENGTH);
    const size_t label_bytes = (size_t)fl_counters_clip(label_length, FL_COUNTER_LABEL_LENGTH);
    fl_i32_store_relaxed(&metadata->type_id, type_id);
    fl_i64_store_relaxed(&metadata->free_for_reuse_deadline_ms, INT64_MAX);
    memset(metadata->key, 0, sizeof(metadata->key));
    if (key_bytes > 0)
    {
        memcpy(metadata->key, key, key_bytes);
    }
    if (label_bytes > 0)
    {
        memcpy(metadata->label, label, label_bytes);
    }
    fl_i32_store_release(&metadata->label_length, (int32_t)label_bytes);
    manager->use[id] = FL_COUNTER_IS_PUBLISHED;
    /* Release: pairs with the acquire of readers; the record is whole before it counts. */
    fl_i32_store_release(&metadata->state, FL_COUNTER_ALLOCATED);
    return 0;
}

int32_t fl_counters_allocate(
    fl_counters_manager_t *manager,
    int64_t now_ms,
    int32_t type_id,
    const void *key,
    int32_t key_length,
    const char *label,
    int32_t label_length)
{
    const int32_t id = fl_counters_reserve(manager, now_ms);
    if (id >= 0)
    {
        fl_counters_publish(manager, id, type_id, key, key_length, label, label_length);
    }
    return id;
}

int fl_counters_free(fl_counters_manager_t *manager, int32_t id, int64_t now_ms)
{
    if (!fl_counters_is(manager, id, FL_COUNTER_IS_PUBLISHED) && !fl_counters_is(manager, id, FL_COUNTER_IS_RESERVED))
    {
        return fl_error(FL_EINVAL, "counters: id %d is not allocated", id);
    }
    fl_counter_metadata_t *metadata = &manager->counters.metadata[id];
    const int64_t deadline_ms = now_ms + manager->cool_down_ms;
    fl_i32_store_release(&metadata->state, FL_COUNTER_RECLAIMED);
    memset(metadata->key, 0, sizeof(metadata->key));
    fl_i64_store_release(&metadata->free_for_reuse_deadline_ms, deadline_ms);
    manager->use[id] = FL_COUNTER_IS_FREE;
    const int32_t last =
        (int32_t)(((int64_t)manager->resting_first + manager->resting_count) % manager->counters.count);
    manager->resting[last] = (fl_counter_rest_t){.id = id, .deadline_ms = deadline_ms};
    manager->resting_count += 1;
    return 0;
}

int fl_counters_set_ids(
    fl_counters_manager_t *manager, int32_t id, int64_t registration_id, int64_t owner_id, int64_t reference_id)
{
    if (!fl_counters_is(manager, id, FL_COUNTER_IS_PUBLISHED) && !fl_counters_is(manager, id, FL_COUNTER_IS_RESERVED))
    {
        return fl_error(FL_EINVAL, "counters: id %d is not allocated", id);
    }
    fl_counter_value_t *value = &manager->counters.values[id];
    fl_i64_store_relaxed(&value->owner_id, owner_id);
    fl_i64_store_relaxed(&value->reference_id, reference_id);
    /* Release: pairs with readers that match on the registration id and then read the others. */
    fl_i64_store_release(&value->registration_id, registration_id);
    return 0;
}

static int32_t fl_counters_label_write(
    fl_counters_manager_t *manager, int32_t id, const char *label, int32_t length, bool append)
{
    if (!fl_counters_is(manager, id, FL_COUNTER_IS_PUBLISHED))
    {
        return fl_error(FL_EINVAL, "counters: id %d has no label to change: it is not allocated", id);
    }
    fl_counter_metadata_t *metadata = &manager->counters.metadata[id];
    const int32_t before =
        append ? fl_counters_clip(fl_i32_load_relaxed(&metadata->label_length), FL_COUNTER_LABEL_LENGTH) : 0;
    const int32_t bytes = fl_counters_clip(length, FL_COUNTER_LABEL_LENGTH - before);
    if (bytes > 0)
    {
        memcpy(metadata->label + before, label, (size_t)bytes);
    }
    /* Release: pairs with the acquire in read. */
    fl_i32_store_release(&metadata->label_length, before + bytes);
    return bytes;
}

int32_t fl_counters_label_update(fl_counters_manager_t *manager, int32_t id, const char *label, int32_t length)
{
    return fl_counters_label_write(manager, id, label, length, false);
}

int32_t fl_counters_label_append(fl_counters_manager_t *manager, int32_t id, const char *label, int32_t length)
{
    return fl_counters_label_write(manager, id, label, length, true);
}
