#include "shm/mpsc_ring.h"

#include <framelane/types.h>
#include <string.h>

#include "util/error.h"

#define FL_RING_CAPACITY_MIN 64

int fl_mpsc_ring_init(fl_mpsc_ring_t *ring, void *section, int64_t length)
{
    const int64_t capacity = length - FL_MPSC_RING_TRAILER_LENGTH;
    if (capacity < FL_RING_CAPACITY_MIN || capacity > INT32_MAX || !fl_is_power_of_two(capacity))
    {
        return fl_error(
            FL_EINVAL,
            "to-driver ring: section of %lld bytes, which is not a power of two of at least %d and a trailer of %d",
            (long long)length,
            FL_RING_CAPACITY_MIN,
            FL_MPSC_RING_TRAILER_LENGTH);
    }
    ring->buffer = section;
    ring->trailer = (fl_mpsc_ring_trailer_t *)(ring->buffer + capacity);
    ring->capacity = (int32_t)capacity;
    ring->max_message_length = (int32_t)(capacity / 8);
    ring->head = fl_i64_load_acquire(&ring->trailer->head) & ~(int64_t)(FL_RECORD_ALIGNMENT - 1);
    return 0;
}

/* Reserve `need` bytes that do not wrap (shm 3.2). Returns the index of the record or a negative error. */
static int32_t fl_mpsc_ring_reserve(fl_mpsc_ring_t *ring, int32_t need)
{
    fl_mpsc_ring_trailer_t *trailer = ring->trailer;
    const int64_t mask = ring->capacity - 1;
    /* Acquire: pairs with the release of whoever looked at the head last; what is before it has been zeroed. */
    int64_t head = fl_i64_load_acquire(&trailer->head_cache);
    for (;;)
    {
        const int64_t tail = fl_i64_load_acquire(&trailer->tail);
        if (0 != (tail & (FL_RECORD_ALIGNMENT - 1)))
        {
            return fl_error(FL_EIO, "to-driver ring: somebody wrote over the tail, which is %lld", (long long)tail);
        }
        if (need > ring->capacity - fl_i64_sub(tail, head))
        {
            /* Acquire: pairs with the consumer's release in read. */
            head = fl_i64_load_acquire(&trailer->head);
            if (need > ring->capacity - fl_i64_sub(tail, head))
            {
                return -FL_EAGAIN;
            }
            fl_i64_store_release(&trailer->head_cache, head);
        }
        const int32_t index = (int32_t)(tail & mask);
        const int32_t to_end = ring->capacity - index;
        int32_t padding = 0;
        if (need > to_end)
        {
            if (need > (head & mask))
            {
                head = fl_i64_load_acquire(&trailer->head);
                if (need > (head & mask))
                {
                    return -FL_EAGAIN;
                }
                fl_i64_store_release(&trailer->head_cache, head);
            }
            padding = to_end;
        }
        if (!fl_i64_cas(&trailer->tail, tail, tail + need + padding))
        {
            continue;
        }
        if (0 == padding)
        {
            return index;
        }
        fl_record_header_t *record = (fl_record_header_t *)(ring->buffer + index);
        fl_i32_store_release(&record->length, -padding);
        fl_i32_store_relaxed(&record->type_id, FL_RECORD_PADDING);
        /* Release: pairs with the acquire in read; the type is there before the length says so. */
        fl_i32_store_release(&record->length, padding);
        return 0;
    }
}

int32_t fl_mpsc_ring_claim(fl_mpsc_ring_t *ring, int32_t type_id, int32_t length)
{
    if (type_id < 1 || length < 0 || length > ring->max_message_length)
    {
        return fl_error(
            FL_EINVAL,
            "to-driver ring: message of type %d with %d bytes; types begin with 1 and at most %d bytes fit",
            type_id,
            length,
            ring->max_message_length);
    }
    const int32_t record_length = length + FL_RECORD_HEADER_LENGTH;
    const int32_t index = fl_mpsc_ring_reserve(ring, (int32_t)fl_align(record_length, FL_RECORD_ALIGNMENT));
    if (index < 0)
    {
        return index;
    }
    fl_record_header_t *record = (fl_record_header_t *)(ring->buffer + index);
    fl_i32_store_release(&record->length, -record_length);
    /* The mark must be visible before the message, so that unblock can tell a slow producer from an absent one. */
    fl_fence_release();
    fl_i32_store_relaxed(&record->type_id, type_id);
    return index + FL_RECORD_HEADER_LENGTH;
}

/* The record of an open claim and its length; NULL with error text if there is none at offset. */
static fl_record_header_t *fl_mpsc_ring_claimed(fl_mpsc_ring_t *ring, int32_t offset, int32_t *length)
{
    const int32_t index = offset - FL_RECORD_HEADER_LENGTH;
    if (index >= 0 && index < ring->capacity && 0 == index % FL_RECORD_ALIGNMENT)
    {
        fl_record_header_t *record = (fl_record_header_t *)(ring->buffer + index);
        *length = fl_i32_load_relaxed(&record->length);
        if (*length < 0)
        {
            return record;
        }
    }
    fl_error(FL_EINVAL, "to-driver ring: there is no open claim at offset %d", offset);
    return NULL;
}

int fl_mpsc_ring_commit(fl_mpsc_ring_t *ring, int32_t offset)
{
    int32_t length;
    fl_record_header_t *record = fl_mpsc_ring_claimed(ring, offset, &length);
    if (NULL == record)
    {
        return -FL_EINVAL;
    }
    /* Release: pairs with the acquire in read; type and message are there before the length says so. */
    fl_i32_store_release(&record->length, -length);
    return 0;
}

int fl_mpsc_ring_abort(fl_mpsc_ring_t *ring, int32_t offset)
{
    int32_t length;
    fl_record_header_t *record = fl_mpsc_ring_claimed(ring, offset, &length);
    if (NULL == record)
    {
        return -FL_EINVAL;
    }
    fl_i32_store_relaxed(&record->type_id, FL_RECORD_PADDING);
    fl_i32_store_release(&record->length, -length);
    return 0;
}

int fl_mpsc_ring_write(fl_mpsc_ring_t *ring, int32_t type_id, const void *message, int32_t length)
{
    const int32_t offset = fl_mpsc_ring_claim(ring, type_id, length);
    if (offset < 0)
    {
        return offset;
    }
    if (length > 0)
    {
        memcpy(ring->buffer + offset, message, (size_t)length);
    }
    return fl_mpsc_ring_commit(ring, offset);
}

/* Bytes claimed from a position on, as far as the tail can tell; anything at all if a client wrote the tail. */
static int64_t fl_mpsc_ring_claimed_from(const fl_mpsc_ring_t *ring, int64_t position)
{
    /* Acquire: pairs with the CAS in claim. Whoever saw a record committed sees its claim here. */
    return fl_i64_sub(fl_i64_load_acquire(&ring->trailer->tail), position);
}

int32_t fl_mpsc_ring_read(fl_mpsc_ring_t *ring, uint8_t *into, int32_t capacity, int32_t limit, int32_t *malformed)
{
    const int32_t index = (int32_t)(ring->head & (ring->capacity - 1));
    const int32_t room = ring->capacity - index;
    int64_t consumed = 0;
    int32_t copied = 0;
    int32_t count = 0;
    *malformed = 0;
    while (consumed < room && count < limit)
    {
        uint8_t *at = ring->buffer + index + consumed;
        fl_record_header_t *record = (fl_record_header_t *)at;
        /* Acquire: pairs with the release in commit. */
        const int32_t length = fl_i32_load_acquire(&record->length);
        if (length <= 0)
        {
            break;
        }
        const int32_t type_id = fl_i32_load_relaxed(&record->type_id);
        const int64_t extent = fl_align(length, FL_RECORD_ALIGNMENT);
        const bool is_padding = FL_RECORD_PADDING == type_id;
        const int32_t longest = is_padding ? ring->capacity : ring->max_message_length + FL_RECORD_HEADER_LENGTH;
        const int64_t claimed = fl_mpsc_ring_claimed_from(ring, ring->head + consumed);
        if (claimed <= 0)
        {
            /* Garbage where nothing is claimed: take it away, unless a producer was just here. */
            *malformed += 1;
            fl_i32_cas(&record->length, length, 0);
            break;
        }
        if (length < FL_RECORD_HEADER_LENGTH || length > longest || extent > room - consumed || extent > claimed)
        {
            const bool is_tail_possible = claimed <= ring->capacity && 0 == claimed % FL_RECORD_ALIGNMENT;
            const int64_t dropped = is_tail_possible ? claimed : FL_RECORD_ALIGNMENT;
            *malformed += 1;
            consumed += dropped < room - consumed ? dropped : room - consumed;
            continue;
        }
        if (is_padding)
        {
            consumed += extent;
            continue;
        }
        if (type_id < 1)
        {
            *malformed += 1;
            consumed += extent;
            continue;
        }
        if (extent > capacity - copied)
        {
            break;
        }
        fl_record_header_t *copy = (fl_record_header_t *)(into + copied);
        memcpy(copy + 1, at + FL_RECORD_HEADER_LENGTH, (size_t)(extent - FL_RECORD_HEADER_LENGTH));
        copy->length = length;
        copy->type_id = type_id;
        copied += (int32_t)extent;
        consumed += extent;
        count += 1;
    }
    if (0 != consumed)
    {
        /* Producers rely on finding 0 in unclaimed headers. */
        memset(ring->buffer + index, 0, (size_t)consumed);
        ring->head += consumed;
        /* Release: pairs with the producers' acquire of the head; the zeros are there before the room is. */
        fl_i64_store_release(&ring->trailer->head, ring->head);
    }
    return copied;
}

bool fl_mpsc_ring_unblock(fl_mpsc_ring_t *ring)
{
    const int64_t mask = ring->capacity - 1;
    const int64_t claimed = fl_mpsc_ring_claimed_from(ring, ring->head);
    if (claimed <= 0 || claimed > ring->capacity)
    {
        return false;
    }
    const int64_t tail = ring->head + claimed;
    const int32_t head_index = (int32_t)(ring->head & mask);
    const int32_t tail_index = (int32_t)(tail & mask & ~(int64_t)(FL_RECORD_ALIGNMENT - 1));
    fl_record_header_t *record = (fl_record_header_t *)(ring->buffer + head_index);
    const int32_t length = fl_i32_load_acquire(&record->length);
    if (length < 0)
    {
        /* INT32_MIN has no positive: read drops whatever is out of range. */
        fl_i32_store_relaxed(&record->type_id, FL_RECORD_PADDING);
        fl_i32_store_release(&record->length, INT32_MIN == length ? INT32_MAX : -length);
        return true;
    }
    if (0 != length)
    {
        return false;
    }
    const int32_t limit = tail_index > head_index ? tail_index : ring->capacity;
    for (int32_t i = head_index + FL_RECORD_ALIGNMENT; i < limit; i += FL_RECORD_ALIGNMENT)
    {
        if (0 == fl_i32_load_acquire(ring->buffer + i))
        {
            continue;
        }
        /* A producer that was only slow has marked its record since: look again at every header before. */
        for (int32_t j = i - FL_RECORD_ALIGNMENT; j >= head_index; j -= FL_RECORD_ALIGNMENT)
        {
            if (0 != fl_i32_load_acquire(ring->buffer + j))
            {
                return false;
            }
        }
        fl_i32_store_relaxed(&record->type_id, FL_RECORD_PADDING);
        fl_i32_store_release(&record->length, i - head_index);
        return true;
    }
    return false;
}

bool fl_mpsc_ring_is_pending(const fl_mpsc_ring_t *ring)
{
    return fl_mpsc_ring_claimed_from(ring, ring->head) > 0;
}

int64_t fl_mpsc_ring_next_correlation_id(fl_mpsc_ring_t *ring)
{
    return fl_i64_fetch_add(&ring->trailer->correlation_counter, 1);
}

int64_t fl_mpsc_ring_heartbeat(const fl_mpsc_ring_t *ring)
{
    return fl_i64_load_acquire(&ring->trailer->consumer_heartbeat_ms);
}

void fl_mpsc_ring_set_heartbeat(fl_mpsc_ring_t *ring, int64_t epoch_ms)
{
    /* Release: pairs with the acquire above; a client that sees a heartbeat sees the sections initialised. */
    fl_i64_store_release(&ring->trailer->consumer_heartbeat_ms, epoch_ms);
}
