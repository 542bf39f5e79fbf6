#include "transport/byte_ring.h"

#include <stdlib.h>

#include <framelane/types.h>

/* Twice the longest record and some, so that one fits into an empty ring wherever it begins. */
#define FL_BYTE_RING_MINIMUM (UINT64_C(1) << 18)
#define FL_BYTE_RING_ALIGNMENT 16u

/* Before each record. */
typedef struct fl_byte_ring_header
{
    uint32_t extent;       /* to the next header */
    uint32_t is_padding;
    uint64_t reserved;
} fl_byte_ring_header_t;

static_assert(sizeof(fl_byte_ring_header_t) == FL_BYTE_RING_ALIGNMENT, "a header fits wherever a record ends");

int fl_byte_ring_init(fl_byte_ring_t *ring, uint64_t length)
{
    ring->length = FL_BYTE_RING_MINIMUM;
    while (ring->length < length)
    {
        ring->length *= 2;
    }
    ring->claimed = 0;
    ring->read = 0;
    atomic_init(&ring->committed, 0);
    atomic_init(&ring->released, 0);
    ring->memory = aligned_alloc(4096, ring->length);
    return NULL != ring->memory ? 0 : -FL_ENOMEM;
}

void fl_byte_ring_free(fl_byte_ring_t *ring)
{
    free(ring->memory);
    ring->memory = NULL;
}

static fl_byte_ring_header_t *fl_byte_ring_at(const fl_byte_ring_t *ring, uint64_t position)
{
    return (fl_byte_ring_header_t *)(ring->memory + (position & (ring->length - 1)));
}

void *fl_byte_ring_claim(fl_byte_ring_t *ring, uint32_t length)
{
    uint64_t position = atomic_load_explicit(&ring->committed, memory_order_relaxed);
    /* Acquire: pairs with the release in fl_byte_ring_release; the consumer is done with what lies before. */
    const uint64_t released = atomic_load_explicit(&ring->released, memory_order_acquire);
    const uint64_t extent = ((uint64_t)length + sizeof(fl_byte_ring_header_t) + FL_BYTE_RING_ALIGNMENT - 1) &
        ~(uint64_t)(FL_BYTE_RING_ALIGNMENT - 1);
    const uint64_t to_end = ring->length - (position & (ring->length - 1));
    const uint64_t padding = to_end < extent ? to_end : 0;
    if (position + padding + extent - released > ring->length)
    {
        return NULL;
    }
    if (0 != padding)
    {
        *fl_byte_ring_at(ring, position) = (fl_byte_ring_header_t){ .extent = (uint32_t)padding, .is_padding = 1 };
        position += padding;
    }
    fl_byte_ring_header_t *header = fl_byte_ring_at(ring, position);
    *header = (fl_byte_ring_header_t){ .extent = (uint32_t)extent };
    ring->claimed = position + extent;
    return header + 1;
}

void fl_byte_ring_commit(fl_byte_ring_t *ring)
{
    /* Release: pairs with the acquire in fl_byte_ring_read; publishes the record. */
    atomic_store_explicit(&ring->committed, ring->claimed, memory_order_release);
}

uint32_t fl_byte_ring_room(const fl_byte_ring_t *ring)
{
    const uint64_t position = atomic_load_explicit(&ring->committed, memory_order_relaxed);
    /* Acquire: as in fl_byte_ring_claim. */
    const uint64_t released = atomic_load_explicit(&ring->released, memory_order_acquire);
    const uint64_t free_length = ring->length - (position - released);
    const uint64_t to_end = ring->length - (position & (ring->length - 1));
    const uint64_t before_end = free_length < to_end ? free_length : to_end;
    const uint64_t behind_end = free_length - before_end;
    const uint64_t longest = before_end > behind_end ? before_end : behind_end;
    return longest <= sizeof(fl_byte_ring_header_t) ? 0 : (uint32_t)(longest - sizeof(fl_byte_ring_header_t));
}

void *fl_byte_ring_read(fl_byte_ring_t *ring)
{
    /* Acquire: pairs with the release in fl_byte_ring_commit. */
    const uint64_t committed = atomic_load_explicit(&ring->committed, memory_order_acquire);
    while (ring->read != committed)
    {
        fl_byte_ring_header_t *header = fl_byte_ring_at(ring, ring->read);
        ring->read += header->extent;
        if (0 == header->is_padding)
        {
            return header + 1;
        }
    }
    return NULL;
}

void fl_byte_ring_release(fl_byte_ring_t *ring)
{
    /* Release: pairs with the acquire in fl_byte_ring_claim; the memory may be written again. */
    atomic_store_explicit(&ring->released, ring->read, memory_order_release);
}

bool fl_byte_ring_is_drained(const fl_byte_ring_t *ring)
{
    return ring->read == atomic_load_explicit(&ring->committed, memory_order_relaxed);
}

uint64_t fl_byte_ring_end(const fl_byte_ring_t *ring)
{
    return atomic_load_explicit(&ring->committed, memory_order_relaxed);
}

bool fl_byte_ring_has_read(const fl_byte_ring_t *ring, uint64_t end)
{
    return ring->read >= end;
}
