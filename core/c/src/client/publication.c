/* Offering messages (shm 7.5, 7.6). */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/client.h"
#include "client/frame_writer.h"
#include "protocol/frames.h"
#include "shm/log_buffer.h"
#include "shm/term.h"
#include "util/error.h"

#define FL_FRAME_ALIGNMENT 32
#define FL_MAX_MESSAGE_LENGTH (16 * 1024 * 1024)
/* One rotation answers ADMIN_ACTION once, unless another publisher died in the middle of it: then the driver has to
 * repair the log first, and the caller decides how long to wait. */
#define FL_ADMIN_ACTION_RETRIES 16

struct fl_client_publication
{
    fl_log_t *log;
    const fl_atomic_i64_t *limit;
    _Atomic uint32_t is_closed;
    bool is_exclusive;
    int64_t max_payload_length;
    int64_t max_message_length;
    /* exclusive: where the next frame goes */
    int64_t term_begin_position;
    int32_t term_id;
    int32_t term_offset;
    int32_t partition;
};

/* ---- what shared and exclusive publications have in common ---- */

static bool fl_client_publication_is_open(fl_client_publication_t *publication)
{
    return 0 == atomic_load_explicit(&publication->is_closed, memory_order_acquire);
}

static int64_t fl_framed_length(const fl_client_publication_t *publication, int64_t length)
{
    const int64_t payload = publication->max_payload_length;
    if (length <= payload)
    {
        return fl_align(length + FL_DATA_HEADER_LENGTH, FL_FRAME_ALIGNMENT);
    }
    const int64_t rest = length % payload;
    return (length / payload) * (payload + FL_DATA_HEADER_LENGTH) +
        (rest > 0 ? fl_align(rest + FL_DATA_HEADER_LENGTH, FL_FRAME_ALIGNMENT) : 0);
}

static int64_t fl_back_pressure(fl_client_publication_t *publication, int64_t position, int64_t length)
{
    if (position + fl_align(length + FL_DATA_HEADER_LENGTH, FL_FRAME_ALIGNMENT) >=
        fl_log_max_position(publication->log))
    {
        return FL_MAX_POSITION_EXCEEDED;
    }
    return 1 == fl_i32_load_acquire(&publication->log->metadata->is_connected) ? FL_BACK_PRESSURED : FL_NOT_CONNECTED;
}

/* ---- reserving room ---- */

/* Where a message may be written. */
typedef struct fl_room
{
    uint8_t *term;
    int32_t term_id;
    int32_t offset;
} fl_room_t;

static int64_t fl_shared_reserve(
    fl_client_publication_t *publication, int64_t length, int64_t needed, fl_room_t *room)
{
    fl_log_t *log = publication->log;
    /* Acquire: pairs with the driver's release; what lies before the limit is clean. */
    const int64_t limit = atomic_load_explicit(publication->limit, memory_order_acquire);
    const int32_t count = fl_i32_load_acquire(&log->metadata->active_term_count);
    const int32_t partition = fl_partition_of_count(count);
    int64_t raw_tail = fl_i64_load_acquire(&log->metadata->term_tail_counters[partition]);
    if (count != fl_term_count(fl_raw_tail_term_id(raw_tail), log->initial_term_id))
    {
        return FL_ADMIN_ACTION;
    }
    const int64_t begin = fl_log_position(
        log, fl_raw_tail_term_id(raw_tail), fl_raw_tail_offset(raw_tail, log->term_length));
    if (begin >= limit)
    {
        return fl_back_pressure(publication, begin, length);
    }
    raw_tail = fl_i64_fetch_add(&log->metadata->term_tail_counters[partition], needed);
    room->term_id = fl_raw_tail_term_id(raw_tail);
    room->offset = fl_raw_tail_offset(raw_tail, log->term_length);
    room->term = log->terms[partition];
    const int64_t end = room->offset + needed;
    const int64_t position = fl_log_position(log, room->term_id, 0) + end;
    if (end <= log->term_length)
    {
        return position;
    }
    if (room->offset < log->term_length)
    {
        fl_write_padding(log, room->term, room->term_id, room->offset, log->term_length - room->offset);
    }
    if (position >= fl_log_max_position(log))
    {
        return FL_MAX_POSITION_EXCEEDED;
    }
    fl_log_rotate(log, fl_term_count(room->term_id, log->initial_term_id), room->term_id);
    return FL_ADMIN_ACTION;
}

static int64_t fl_exclusive_rotate(fl_client_publication_t *publication)
{
    fl_log_t *log = publication->log;
    if (publication->term_begin_position + log->term_length >= fl_log_max_position(log))
    {
        /* The padding is committed: readers may be on it, so no further offer writes it again. */
        publication->term_offset = log->term_length;
        return FL_MAX_POSITION_EXCEEDED;
    }
    publication->term_id = fl_term_id_add(publication->term_id, 1);
    publication->term_begin_position += log->term_length;
    publication->term_offset = 0;
    const int32_t count = fl_term_count(publication->term_id, log->initial_term_id);
    publication->partition = fl_partition_of_count(count);
    fl_i64_store_relaxed(
        &log->metadata->term_tail_counters[publication->partition], fl_raw_tail(publication->term_id, 0));
    /* Release: pairs with the readers' acquire; the tail of the new term is there before its count. */
    fl_i32_store_release(&log->metadata->active_term_count, count);
    return FL_ADMIN_ACTION;
}

static int64_t fl_exclusive_reserve(
    fl_client_publication_t *publication, int64_t length, int64_t needed, fl_room_t *room)
{
    fl_log_t *log = publication->log;
    const int64_t begin = publication->term_begin_position + publication->term_offset;
    /* Acquire: pairs with the driver's release; what lies before the limit is clean. */
    if (begin >= atomic_load_explicit(publication->limit, memory_order_acquire))
    {
        return fl_back_pressure(publication, begin, length);
    }
    room->term = log->terms[publication->partition];
    room->term_id = publication->term_id;
    room->offset = publication->term_offset;
    const int64_t end = room->offset + needed;
    fl_i64_store_release(&log->metadata->term_tail_counters[publication->partition],
        (int64_t)((uint64_t)(uint32_t)room->term_id << 32) + end);
    if (end > log->term_length)
    {
        if (room->offset < log->term_length)
        {
            fl_write_padding(log, room->term, room->term_id, room->offset, log->term_length - room->offset);
        }
        return fl_exclusive_rotate(publication);
    }
    publication->term_offset = (int32_t)end;
    return publication->term_begin_position + end;
}

static inline int64_t fl_reserve(fl_client_publication_t *publication, int64_t length, int64_t needed, fl_room_t *room)
{
    return publication->is_exclusive ? fl_exclusive_reserve(publication, length, needed, room)
                                     : fl_shared_reserve(publication, length, needed, room);
}

/* ---- offering ---- */

/* Write a message that spans several frames, front to back. */
static void fl_write_fragments(
    fl_client_publication_t *publication, fl_room_t *room, fl_part_reader_t *reader, int64_t length,
    int64_t reserved_value)
{
    uint8_t flags = FL_DATA_FLAG_BEGIN;
    while (length > 0)
    {
        const int32_t payload =
            (int32_t)(length < publication->max_payload_length ? length : publication->max_payload_length);
        flags |= payload == length ? FL_DATA_FLAG_END : 0;
        fl_write_frame(
            publication->log, room->term, room->term_id, room->offset, reader, payload, flags, reserved_value);
        room->offset += (int32_t)fl_align(payload + FL_DATA_HEADER_LENGTH, FL_FRAME_ALIGNMENT);
        length -= payload;
        flags = 0;
    }
}

static int64_t fl_offer(
    fl_client_publication_t *publication, fl_part_reader_t *reader, size_t length, int64_t reserved_value)
{
    fl_room_t room;
    if (!fl_client_publication_is_open(publication))
    {
        return FL_CLOSED;
    }
    if (length > (size_t)publication->max_message_length)
    {
        fl_error(FL_EMSGSIZE, "a message of %zu bytes is longer than %lld, the most that a term of %d bytes takes; "
            "send it in parts or use a longer term-length", length, (long long)publication->max_message_length,
            publication->log->term_length);
        return FL_OFFER_ERROR;
    }
    const int64_t position =
        fl_reserve(publication, (int64_t)length, fl_framed_length(publication, (int64_t)length), &room);
    if (position > 0)
    {
        if ((int64_t)length <= publication->max_payload_length)
        {
            fl_write_frame(publication->log, room.term, room.term_id, room.offset, reader, (int32_t)length,
                FL_DATA_FLAG_BEGIN | FL_DATA_FLAG_END, reserved_value);
        }
        else
        {
            fl_write_fragments(publication, &room, reader, (int64_t)length, reserved_value);
        }
    }
    return position;
}

int64_t fl_client_publication_offer(
    fl_client_publication_t *publication, const void *message, size_t length, int64_t reserved_value)
{
    const fl_part_t part = {message, length};
    fl_part_reader_t reader = {&part, 0};
    return fl_offer(publication, &reader, length, reserved_value);
}

int64_t fl_client_publication_offer_parts(
    fl_client_publication_t *publication, const fl_part_t *parts, uint32_t count, int64_t reserved_value)
{
    size_t length = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        if (parts[i].length > FL_MAX_MESSAGE_LENGTH || length > FL_MAX_MESSAGE_LENGTH)
        {
            length = FL_MAX_MESSAGE_LENGTH + 1;
            break;
        }
        length += parts[i].length;
    }
    fl_part_reader_t reader = {parts, 0};
    return fl_offer(publication, &reader, length, reserved_value);
}

int64_t fl_client_publication_offer_batch(fl_client_publication_t *publication, const uint8_t *messages,
    const uint32_t *lengths, uint32_t count, uint32_t *accepted)
{
    int64_t position = 0;
    *accepted = 0;
    while (*accepted < count)
    {
        int64_t result = FL_ADMIN_ACTION;
        for (int i = 0; FL_ADMIN_ACTION == result && i < FL_ADMIN_ACTION_RETRIES; i++)
        {
            result = fl_client_publication_offer(publication, messages, lengths[*accepted], 0);
        }
        if (result < 0)
        {
            return 0 == *accepted ? result : position;
        }
        position = result;
        messages += lengths[(*accepted)++];
    }
    return position;
}

int64_t fl_client_publication_try_claim(fl_client_publication_t *publication, size_t length, fl_claim_t *claim)
{
    fl_room_t room;
    if (!fl_client_publication_is_open(publication))
    {
        return FL_CLOSED;
    }
    if (length > (size_t)publication->max_payload_length)
    {
        fl_error(FL_EMSGSIZE, "a claim of %zu bytes is longer than %lld, the payload of one frame; use offer", length,
            (long long)publication->max_payload_length);
        return FL_OFFER_ERROR;
    }
    const int64_t position =
        fl_reserve(publication, (int64_t)length, fl_framed_length(publication, (int64_t)length), &room);
    if (position > 0)
    {
        fl_write_header(publication->log, room.term, room.term_id, room.offset,
            (int32_t)length + FL_DATA_HEADER_LENGTH, FL_DATA_FLAG_BEGIN | FL_DATA_FLAG_END, 0);
        claim->payload = room.term + room.offset + FL_DATA_HEADER_LENGTH;
        claim->length = (int32_t)length;
    }
    return position;
}

void fl_claim_set_reserved_value(const fl_claim_t *claim, int64_t reserved_value)
{
    memcpy(claim->payload - FL_DATA_HEADER_LENGTH + 24, &reserved_value, sizeof(reserved_value));
}

void fl_claim_set_flags(const fl_claim_t *claim, uint8_t flags)
{
    claim->payload[-FL_DATA_HEADER_LENGTH + 5] = flags;
}

void fl_claim_commit(const fl_claim_t *claim)
{
    fl_frame_length_release(claim->payload - FL_DATA_HEADER_LENGTH, 0, claim->length + FL_DATA_HEADER_LENGTH);
}

void fl_claim_abort(const fl_claim_t *claim)
{
    const uint16_t type = FL_FRAME_PAD;
    memcpy(claim->payload - FL_DATA_HEADER_LENGTH + 6, &type, sizeof(type));
    fl_claim_commit(claim);
}

/* ---- life and state ---- */

fl_client_publication_t *fl_client_publication_new(fl_log_t *log, const int64_t *publisher_limit, int is_exclusive)
{
    fl_client_publication_t *publication = calloc(1, sizeof(*publication));
    if (NULL == publication)
    {
        fl_error(FL_ENOMEM, "no memory for a publication");
        return NULL;
    }
    const int32_t count = fl_i32_load_acquire(&log->metadata->active_term_count);
    const int32_t partition = fl_partition_of_count(count < 0 ? 0 : count);
    const int64_t raw_tail = fl_i64_load_acquire(&log->metadata->term_tail_counters[partition]);
    if (count < 0 || fl_term_count(fl_raw_tail_term_id(raw_tail), log->initial_term_id) != count)
    {
        fl_error(FL_EINVAL, "the log's active term count %d does not fit its tail 0x%llx; the driver or another client "
            "is at fault", count, (unsigned long long)raw_tail);
        free(publication);
        return NULL;
    }
    publication->log = log;
    publication->limit = (const fl_atomic_i64_t *)publisher_limit;
    publication->is_exclusive = is_exclusive;
    publication->max_payload_length = log->mtu_length - FL_DATA_HEADER_LENGTH;
    publication->max_message_length =
        log->term_length / 8 < FL_MAX_MESSAGE_LENGTH ? log->term_length / 8 : FL_MAX_MESSAGE_LENGTH;
    publication->term_id = fl_raw_tail_term_id(raw_tail);
    publication->term_offset = fl_raw_tail_offset(raw_tail, log->term_length);
    publication->term_begin_position = fl_log_position(log, publication->term_id, 0);
    publication->partition = partition;
    return publication;
}

void fl_client_publication_close(fl_client_publication_t *publication)
{
    /* Release: pairs with the acquire in fl_client_publication_is_open(). */
    atomic_store_explicit(&publication->is_closed, 1, memory_order_release);
}

void fl_client_publication_free(fl_client_publication_t *publication)
{
    free(publication);
}

int64_t fl_client_publication_position(fl_client_publication_t *publication)
{
    if (!fl_client_publication_is_open(publication))
    {
        return FL_CLOSED;
    }
    if (publication->is_exclusive)
    {
        return publication->term_begin_position + publication->term_offset;
    }
    /* Count and tail are two loads: terms may go by between them, though hardly twice. */
    int64_t position = fl_log_producer_position(publication->log);
    for (int i = 0; position < 0 && i < FL_ADMIN_ACTION_RETRIES; i++)
    {
        position = fl_log_producer_position(publication->log);
    }
    return position < 0 ? FL_OFFER_ERROR : position;
}

int64_t fl_client_publication_limit(fl_client_publication_t *publication)
{
    return fl_client_publication_is_open(publication)
        ? atomic_load_explicit(publication->limit, memory_order_acquire)
        : FL_CLOSED;
}

int fl_client_publication_is_connected(fl_client_publication_t *publication)
{
    return fl_client_publication_is_open(publication) &&
        1 == fl_i32_load_acquire(&publication->log->metadata->is_connected);
}

int64_t fl_client_publication_max_message_length(fl_client_publication_t *publication)
{
    return publication->max_message_length;
}

int64_t fl_client_publication_max_payload_length(fl_client_publication_t *publication)
{
    return publication->max_payload_length;
}
