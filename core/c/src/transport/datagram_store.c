#include "transport/datagram_store.h"

#include <stdlib.h>
#include <string.h>

#define FL_STORE_SLOTS (FL_STORE_SMALL_SLOTS + FL_STORE_LARGE_SLOTS)

struct fl_datagram_store
{
    fl_held_t *free_small;
    fl_held_t *free_large;
    uint64_t next_order;
    uint32_t heap_count;
    uint32_t overtaken_count;
    fl_held_t *heap[FL_STORE_SLOTS];              /* binary heap, earliest first */
    fl_held_t *overtaken[FL_STORE_OVERTAKEN];
    fl_held_t held[FL_STORE_SLOTS];
    uint8_t *memory;
};

fl_datagram_store_t *fl_datagram_store_new(void)
{
    fl_datagram_store_t *store = calloc(1, sizeof(*store));
    if (NULL == store)
    {
        return NULL;
    }
    store->memory = calloc(
        1, (size_t)FL_STORE_SMALL_SLOTS * FL_STORE_SMALL_LENGTH + (size_t)FL_STORE_LARGE_SLOTS * FL_STORE_LARGE_LENGTH);
    if (NULL == store->memory)
    {
        free(store);
        return NULL;
    }
    uint8_t *slot = store->memory;
    for (uint32_t i = 0; i < FL_STORE_SLOTS; i++)
    {
        const bool is_small = i < FL_STORE_SMALL_SLOTS;
        fl_held_t *held = &store->held[i];
        held->slot = slot;
        held->free_list = is_small ? &store->free_small : &store->free_large;
        fl_datagram_store_give(store, held);
        slot += is_small ? FL_STORE_SMALL_LENGTH : FL_STORE_LARGE_LENGTH;
    }
    return store;
}

void fl_datagram_store_free(fl_datagram_store_t *store)
{
    if (NULL != store)
    {
        free(store->memory);
        free(store);
    }
}

void fl_datagram_store_give(fl_datagram_store_t *store, fl_held_t *held)
{
    (void)store;
    held->next_free = *held->free_list;
    *held->free_list = held;
}

fl_held_t *fl_datagram_store_copy(fl_datagram_store_t *store, const fl_run_t *run, uint32_t offset, uint32_t length)
{
    fl_held_t **list = length <= FL_STORE_SMALL_LENGTH ? &store->free_small : &store->free_large;
    fl_held_t *held = *list;
    if (NULL == held || length > FL_STORE_LARGE_LENGTH)
    {
        return NULL;
    }
    *list = held->next_free;

    held->run = *run;
    held->run.data = held->slot;
    held->run.length = length;
    held->run.segment_length = length;
    held->run.flags = run->flags & ~(uint32_t)FL_RUN_HOLD;
    if (0 != length)
    {
        memcpy(held->slot, run->data + offset, length);
    }
    if (NULL != run->peer)
    {
        held->peer = (fl_peer_t){ .address = run->peer->address };
        held->run.peer = &held->peer;
    }
    if (NULL != run->local)
    {
        held->local = *run->local;
        held->run.local = &held->local;
    }
    return held;
}

static bool fl_held_is_before(const fl_held_t *a, const fl_held_t *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void fl_datagram_store_sift_up(fl_datagram_store_t *store, uint32_t index)
{
    fl_held_t *held = store->heap[index];
    while (0 != index && fl_held_is_before(held, store->heap[(index - 1) / 2]))
    {
        store->heap[index] = store->heap[(index - 1) / 2];
        index = (index - 1) / 2;
    }
    store->heap[index] = held;
}

static void fl_datagram_store_sift_down(fl_datagram_store_t *store, uint32_t index)
{
    fl_held_t *held = store->heap[index];
    for (;;)
    {
        uint32_t child = 2 * index + 1;
        if (child >= store->heap_count)
        {
            break;
        }
        if (child + 1 < store->heap_count && fl_held_is_before(store->heap[child + 1], store->heap[child]))
        {
            child++;
        }
        if (!fl_held_is_before(store->heap[child], held))
        {
            break;
        }
        store->heap[index] = store->heap[child];
        index = child;
    }
    store->heap[index] = held;
}

static void fl_datagram_store_push(fl_datagram_store_t *store, fl_held_t *held)
{
    store->heap[store->heap_count] = held;
    fl_datagram_store_sift_up(store, store->heap_count++);
}

static fl_held_t *fl_datagram_store_pop(fl_datagram_store_t *store)
{
    fl_held_t *first = store->heap[0];
    store->heap[0] = store->heap[--store->heap_count];
    if (0 != store->heap_count)
    {
        fl_datagram_store_sift_down(store, 0);
    }
    return first;
}

bool fl_datagram_store_hold(fl_datagram_store_t *store, fl_held_t *held, int64_t due_ns, uint32_t passes)
{
    held->due_ns = due_ns;
    held->order = store->next_order++;
    held->passes_left = passes;
    if (0 != passes && store->overtaken_count < FL_STORE_OVERTAKEN)
    {
        store->overtaken[store->overtaken_count++] = held;
        return true;
    }
    fl_datagram_store_push(store, held);
    return 0 == passes;
}

void fl_datagram_store_pass(fl_datagram_store_t *store)
{
    for (uint32_t i = 0; i < store->overtaken_count; i++)
    {
        store->overtaken[i]->passes_left -= 0 != store->overtaken[i]->passes_left ? 1 : 0;
    }
}

fl_held_t *fl_datagram_store_due(fl_datagram_store_t *store, int64_t now_ns)
{
    for (uint32_t i = 0; i < store->overtaken_count; i++)
    {
        fl_held_t *held = store->overtaken[i];
        if (0 == held->passes_left || held->due_ns <= now_ns)
        {
            store->overtaken_count--;
            memmove(
                &store->overtaken[i], &store->overtaken[i + 1],
                (store->overtaken_count - i) * sizeof(store->overtaken[0]));
            return held;
        }
    }
    return 0 != store->heap_count && store->heap[0]->due_ns <= now_ns ? fl_datagram_store_pop(store) : NULL;
}

void fl_datagram_store_drop(fl_datagram_store_t *store, const void *owner)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < store->overtaken_count; i++)
    {
        if (NULL == owner || store->overtaken[i]->owner == owner)
        {
            fl_datagram_store_give(store, store->overtaken[i]);
        }
        else
        {
            store->overtaken[kept++] = store->overtaken[i];
        }
    }
    store->overtaken_count = kept;

    const uint32_t count = store->heap_count;
    store->heap_count = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        if (NULL == owner || store->heap[i]->owner == owner)
        {
            fl_datagram_store_give(store, store->heap[i]);
        }
        else
        {
            fl_datagram_store_push(store, store->heap[i]);
        }
    }
}

bool fl_datagram_store_is_empty(const fl_datagram_store_t *store)
{
    return 0 == store->heap_count && 0 == store->overtaken_count;
}

bool fl_datagram_store_is_overtaking(const fl_datagram_store_t *store)
{
    return 0 != store->overtaken_count;
}
