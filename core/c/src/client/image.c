#include "client/image.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/frames.h"
#include "shm/counters.h"
#include "shm/term.h"
#include "util/error.h"

#define FL_UNFRAGMENTED (FL_DATA_FLAG_BEGIN | FL_DATA_FLAG_END)
#define FL_ASSEMBLER_MAX_LENGTH ((size_t)16 * 1024 * 1024)
#define FL_ASSEMBLER_FIRST_CAPACITY 4096

/* ---- assembling ---- */

/* Append a fragment. Memory grows by doubling; false if there is none, or the message is longer than any can be. */
static bool fl_assembler_append(fl_assembler_t *assembler, const uint8_t *payload, size_t length)
{
    if (assembler->length + length > assembler->capacity)
    {
        size_t capacity = 0 == assembler->capacity ? FL_ASSEMBLER_FIRST_CAPACITY : assembler->capacity;
        while (capacity < assembler->length + length)
        {
            capacity *= 2;
        }
        uint8_t *buffer = capacity <= 2 * FL_ASSEMBLER_MAX_LENGTH ? realloc(assembler->buffer, capacity) : NULL;
        if (NULL == buffer)
        {
            return false;
        }
        assembler->buffer = buffer;
        assembler->capacity = capacity;
    }
    memcpy(assembler->buffer + assembler->length, payload, length);
    assembler->length += length;
    return true;
}

/* Take a fragment of a longer message. Returns true if it completed the message, whose content `fragment` then has. */
static bool fl_assembler_take(
    fl_assembler_t *assembler, fl_fragment_t *fragment, int32_t term_offset, int32_t next_offset)
{
    if (0 != (fragment->flags & FL_DATA_FLAG_BEGIN))
    {
        assembler->length = 0;
        assembler->reserved_value = fragment->reserved_value;
    }
    else if (assembler->next_term_offset != term_offset)
    {
        assembler->next_term_offset = -1;
        return false;
    }
    assembler->next_term_offset =
        fl_assembler_append(assembler, fragment->data, fragment->length) ? next_offset : -1;
    if (assembler->next_term_offset < 0 || 0 == (fragment->flags & FL_DATA_FLAG_END))
    {
        return false;
    }
    assembler->next_term_offset = -1;
    fragment->data = assembler->buffer;
    fragment->length = (uint32_t)assembler->length;
    fragment->flags |= FL_DATA_FLAG_BEGIN;
    fragment->reserved_value = assembler->reserved_value;
    return true;
}

/* ---- reading ---- */

uint32_t fl_client_image_read(fl_client_image_t *image, fl_fragment_t *fragments, uint32_t limit, bool assemble)
{
    if (0 != atomic_load_explicit(&image->is_closed, memory_order_acquire))
    {
        return 0;
    }
    const fl_log_t *log = image->log;
    const uint8_t *term = fl_log_term(log, image->read_position);
    const int64_t term_begin = image->read_position & ~(int64_t)log->term_mask;
    int64_t offset = image->read_position - term_begin;
    uint32_t count = 0;
    while (count < limit && offset < log->term_length)
    {
        const int32_t frame_length = fl_frame_length_acquire(term, (int32_t)offset);
        if (frame_length <= 0)
        {
            break;
        }
        const uint8_t *frame = term + offset;
        const int64_t next = offset + fl_align(frame_length, 32);
        uint16_t type;
        memcpy(&type, frame + 6, sizeof(type));
        if (next > log->term_length)
        {
            break;   /* somebody scribbled: there is nothing behind it to read */
        }
        if (FL_FRAME_PAD == type || frame_length < FL_DATA_HEADER_LENGTH)
        {
            offset = next;
            continue;
        }
        fl_fragment_t *fragment = &fragments[count];
        fragment->data = frame + FL_DATA_HEADER_LENGTH;
        fragment->length = (uint32_t)frame_length - FL_DATA_HEADER_LENGTH;
        fragment->flags = frame[5];
        memcpy(&fragment->reserved_value, frame + 24, sizeof(fragment->reserved_value));
        fragment->session_id = log->session_id;
        fragment->stream_id = log->stream_id;
        fragment->position = term_begin + next;
        fragment->image = image;
        const bool is_whole = FL_UNFRAGMENTED == (fragment->flags & FL_UNFRAGMENTED);
        if (!assemble || is_whole)
        {
            count++;
        }
        else if (fl_assembler_take(&image->assembler, fragment, (int32_t)offset, (int32_t)next))
        {
            /* The assembler's memory is given out until the next poll, so this image stops here. */
            count++;
            offset = next;
            break;
        }
        offset = next;
    }
    image->read_position = term_begin + offset;
    return count;
}

/* ---- life and state ---- */

fl_client_image_t *fl_client_image_new(fl_log_t *log, int64_t *subscriber_position, int64_t correlation_id)
{
    fl_client_image_t *image = calloc(1, sizeof(*image));
    if (NULL == image)
    {
        fl_error(FL_ENOMEM, "no memory for an image");
        return NULL;
    }
    image->log = log;
    image->position = subscriber_position;
    image->correlation_id = correlation_id;
    image->join_position = image->read_position = fl_counter_get(image->position);
    image->assembler.next_term_offset = -1;
    if (image->join_position < 0 || 0 != image->join_position % 32)
    {
        fl_error(
            FL_EINVAL, "the join position %lld of image %lld is not a multiple of 32 from 0 on; the driver is at fault",
            (long long)image->join_position, (long long)correlation_id);
        free(image);
        return NULL;
    }
    return image;
}

void fl_client_image_close(fl_client_image_t *image)
{
    if (0 == atomic_load_explicit(&image->is_closed, memory_order_acquire))
    {
        image->final_position = fl_counter_get(image->position);
        image->final_end_of_stream = fl_i64_load_acquire(&image->log->metadata->end_of_stream_position);
        image->final_is_revoked = fl_u8_load_acquire(&image->log->metadata->is_publication_revoked);
        atomic_store_explicit(&image->is_closed, 1, memory_order_release);
    }
}

void fl_client_image_free(fl_client_image_t *image)
{
    free(image->assembler.buffer);
    free(image);
}

int fl_client_image_is_closed(fl_client_image_t *image)
{
    return 0 != atomic_load_explicit(&image->is_closed, memory_order_acquire);
}

int64_t fl_client_image_position(fl_client_image_t *image)
{
    return fl_client_image_is_closed(image) ? image->final_position : fl_counter_get(image->position);
}

int64_t fl_client_image_join_position(fl_client_image_t *image)
{
    return image->join_position;
}

int64_t fl_client_image_end_of_stream_position(fl_client_image_t *image)
{
    return fl_client_image_is_closed(image) ? image->final_end_of_stream
                                            : fl_i64_load_acquire(&image->log->metadata->end_of_stream_position);
}

int fl_client_image_is_end_of_stream(fl_client_image_t *image)
{
    return fl_client_image_position(image) >= fl_client_image_end_of_stream_position(image);
}

int fl_client_image_is_revoked(fl_client_image_t *image)
{
    return 0 != (fl_client_image_is_closed(image) ? image->final_is_revoked
                                                  : fl_u8_load_acquire(&image->log->metadata->is_publication_revoked));
}

int32_t fl_client_image_active_transport_count(fl_client_image_t *image)
{
    return fl_client_image_is_closed(image) ? 0
                                            : fl_i32_load_acquire(&image->log->metadata->active_transport_count);
}
