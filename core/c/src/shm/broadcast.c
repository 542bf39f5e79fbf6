#include <framelane/types.h>
#include <string.h>

#include "api/records.h"
#include "shm/words.h"
#include "util/error.h"

#define FL_BROADCAST_CAPACITY_MIN 64
#define FL_BROADCAST_POSITION_MASK (~(int64_t)(FL_RECORD_ALIGNMENT - 1))

static int fl_broadcast_capacity(int64_t length)
{
    const int64_t capacity = length - FL_BROADCAST_TRAILER_LENGTH;
    if (capacity < FL_BROADCAST_CAPACITY_MIN || capacity > INT32_MAX || !fl_is_power_of_two(capacity))
    {
        return fl_error(
            FL_EINVAL,
            "to-clients broadcast: section of %lld bytes, which is not a power of two of at least %d and a "
            "trailer of %d",
            (long long)length,
            FL_BROADCAST_CAPACITY_MIN,
            FL_BROADCAST_TRAILER_LENGTH);
    }
    return (int)capacity;
}

int fl_broadcast_transmitter_init(fl_broadcast_transmitter_t *transmitter, void *section, int64_t length)
{
    const int capacity = fl_broadcast_capacity(length);
    if (capacity < 0)
    {
        return capacity;
    }
    transmitter->buffer = section;
    transmitter->trailer = (fl_broadcast_trailer_t *)(transmitter->buffer + capacity);
    transmitter->capacity = capacity;
    transmitter->max_message_length = capacity / 8;
    transmitter->tail = fl_i64_load_relaxed(&transmitter->trailer->tail);
    return 0;
}

int fl_broadcast_receiver_init(fl_broadcast_receiver_t *receiver, const void *section, int64_t length)
{
    const int capacity = fl_broadcast_capacity(length);
    if (capacity < 0)
    {
        return capacity;
    }
    receiver->buffer = section;
    receiver->trailer = (const fl_broadcast_trailer_t *)(receiver->buffer + capacity);
    receiver->capacity = capacity;
    receiver->max_message_length = capacity / 8;
    receiver->next = fl_i64_load_acquire(&receiver->trailer->latest) & FL_BROADCAST_POSITION_MASK;
    receiver->lapped_count = 0;
    return 0;
}

/* Announce what is about to be overwritten, before any of it is. */
static void fl_broadcast_announce(fl_broadcast_transmitter_t *transmitter, int64_t intent)
{
    fl_i64_store_release(&transmitter->trailer->tail_intent, intent);
    /* Release fence: pairs with the acquire fence in receive. Who copied a byte stored below sees the intent. */
    fl_fence_release();
}

/* A message may be read while it is overwritten, so both sides go word by word; records are aligned to words. */
static void fl_broadcast_store(void *to, const void *message, int32_t length)
{
    for (int32_t at = 0; at < length; at += (int32_t)sizeof(int64_t))
    {
        int64_t word = 0;
        const size_t rest = (size_t)(length - at);
        memcpy(&word, (const uint8_t *)message + at, rest < sizeof(word) ? rest : sizeof(word));
        fl_i64_store_relaxed((uint8_t *)to + at, word);
    }
}

static void fl_broadcast_load(void *into, const void *from, int32_t length)
{
    for (int32_t at = 0; at < length; at += (int32_t)sizeof(int64_t))
    {
        const int64_t word = fl_i64_load_relaxed((const uint8_t *)from + at);
        const size_t rest = (size_t)(length - at);
        memcpy((uint8_t *)into + at, &word, rest < sizeof(word) ? rest : sizeof(word));
    }
}

int fl_broadcast_transmit(
    fl_broadcast_transmitter_t *transmitter, int32_t type_id, const void *message, int32_t length)
{
    if (type_id < 1 || length < 0 || length > transmitter->max_message_length)
    {
        return fl_error(
            FL_EINVAL,
            "to-clients broadcast: event of type %d with %d bytes; types begin with 1 and at most %d bytes fit",
            type_id,
            length,
            transmitter->max_message_length);
    }
    const int32_t record_length = length + FL_RECORD_HEADER_LENGTH;
    const int32_t need = (int32_t)fl_align(record_length, FL_RECORD_ALIGNMENT);
    int64_t tail = transmitter->tail;
    int32_t index = (int32_t)(tail & (transmitter->capacity - 1));
    const int32_t to_end = transmitter->capacity - index;
    fl_record_header_t *record = (fl_record_header_t *)(transmitter->buffer + index);
    if (to_end < need)
    {
        fl_broadcast_announce(transmitter, tail + need + to_end);
        fl_i32_store_relaxed(&record->type_id, FL_RECORD_PADDING);
        fl_i32_store_relaxed(&record->length, to_end);
        tail += to_end;
        record = (fl_record_header_t *)transmitter->buffer;
    }
    else
    {
        fl_broadcast_announce(transmitter, tail + need);
    }
    fl_i32_store_relaxed(&record->length, record_length);
    fl_i32_store_relaxed(&record->type_id, type_id);
    fl_broadcast_store(record + 1, message, length);
    fl_i64_store_release(&transmitter->trailer->latest, tail);
    transmitter->tail = tail + need;
    /* Release: pairs with the acquire in receive; the record is there before the tail says so. */
    fl_i64_store_release(&transmitter->trailer->tail, transmitter->tail);
    return 0;
}

static bool fl_broadcast_is_valid(const fl_broadcast_receiver_t *receiver, int64_t position)
{
    return fl_i64_sub(fl_i64_load_acquire(&receiver->trailer->tail_intent), position) < receiver->capacity;
}

/* Go on behind the latest record: what lies between is lost. */
static int32_t fl_broadcast_lapped(fl_broadcast_receiver_t *receiver, int code)
{
    receiver->lapped_count += 1;
    receiver->next = fl_i64_load_acquire(&receiver->trailer->tail) & FL_BROADCAST_POSITION_MASK;
    return fl_error(code, "to-clients broadcast: events were lost: this client was too slow or a record is corrupt");
}

int32_t fl_broadcast_receive(fl_broadcast_receiver_t *receiver, int32_t *type_id, void *into)
{
    int64_t position = receiver->next;
    /* Acquire: pairs with the release in transmit. */
    if (fl_i64_load_acquire(&receiver->trailer->tail) <= position)
    {
        return -FL_EAGAIN;
    }
    if (!fl_broadcast_is_valid(receiver, position))
    {
        return fl_broadcast_lapped(receiver, FL_ENOBUFS);
    }
    int32_t index = (int32_t)(position & (receiver->capacity - 1));
    const fl_record_header_t *record = (const fl_record_header_t *)(receiver->buffer + index);
    if (FL_RECORD_PADDING == fl_i32_load_relaxed(&record->type_id))
    {
        position += receiver->capacity - index;
        index = 0;
        record = (const fl_record_header_t *)receiver->buffer;
    }
    const int32_t length = fl_i32_load_relaxed(&record->length);
    const int32_t type = fl_i32_load_relaxed(&record->type_id);
    const bool is_sound = length >= FL_RECORD_HEADER_LENGTH &&
        length <= receiver->max_message_length + FL_RECORD_HEADER_LENGTH && length <= receiver->capacity - index;
    if (is_sound)
    {
        fl_broadcast_load(into, record + 1, length - FL_RECORD_HEADER_LENGTH);
    }
    /* Acquire fence: pairs with the release fence in transmit. If a byte above was overwritten, the intent says so. */
    fl_fence_acquire();
    if (!fl_broadcast_is_valid(receiver, receiver->next))
    {
        return fl_broadcast_lapped(receiver, FL_ENOBUFS);
    }
    if (!is_sound)
    {
        return fl_broadcast_lapped(receiver, FL_EIO);
    }
    receiver->next = position + fl_align(length, FL_RECORD_ALIGNMENT);
    *type_id = type;
    return length - FL_RECORD_HEADER_LENGTH;
}
