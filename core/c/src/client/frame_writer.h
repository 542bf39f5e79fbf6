/* Writing frames into a term: negative length first, so that the driver can tell a slow publisher from an absent one,
 * and the length last, which is what makes the frame readable (shm 7.5). */
#ifndef FL_CLIENT_FRAME_WRITER_H
#define FL_CLIENT_FRAME_WRITER_H

#include <stdatomic.h>
#include <string.h>

#include "api/client.h"
#include "protocol/frames.h"
#include "shm/log_buffer.h"
#include "shm/term.h"

/* Takes bytes from the parts of a message, front to back. */
typedef struct fl_part_reader
{
    const fl_part_t *part;
    size_t offset;          /* in the part */
} fl_part_reader_t;

static inline void fl_part_reader_copy(fl_part_reader_t *reader, uint8_t *to, size_t length)
{
    while (length > 0)
    {
        const size_t left = reader->part->length - reader->offset;
        const size_t take = left < length ? left : length;
        memcpy(to, (const uint8_t *)reader->part->data + reader->offset, take);
        to += take;
        length -= take;
        reader->offset += take;
        if (reader->offset == reader->part->length)
        {
            reader->part++;
            reader->offset = 0;
        }
    }
}

/* Write a header whose frame is not readable yet. */
static inline void fl_write_header(const fl_log_t *log, uint8_t *term, int32_t term_id, int32_t offset,
    int32_t frame_length, uint8_t flags, int64_t reserved_value)
{
    uint8_t *frame = term + offset;
    const uint16_t type = FL_FRAME_DATA;
    /* Release, then a fence: the mark is visible before anything of the frame is (shm 7.5). */
    fl_i32_store_release(frame, -frame_length);
    fl_fence_release();
    frame[4] = 0;
    frame[5] = flags;
    memcpy(frame + 6, &type, sizeof(type));
    memcpy(frame + 8, &offset, sizeof(offset));
    memcpy(frame + 12, &log->session_id, sizeof(log->session_id));
    memcpy(frame + 16, &log->stream_id, sizeof(log->stream_id));
    memcpy(frame + 20, &term_id, sizeof(term_id));
    memcpy(frame + 24, &reserved_value, sizeof(reserved_value));
}

static inline void fl_write_frame(const fl_log_t *log, uint8_t *term, int32_t term_id, int32_t offset,
    fl_part_reader_t *reader, int32_t payload_length, uint8_t flags, int64_t reserved_value)
{
    const int32_t frame_length = payload_length + FL_DATA_HEADER_LENGTH;
    fl_write_header(log, term, term_id, offset, frame_length, flags, reserved_value);
    fl_part_reader_copy(reader, term + offset + FL_DATA_HEADER_LENGTH, (size_t)payload_length);
    fl_frame_length_release(term, offset, frame_length);
}

static inline void fl_write_padding(const fl_log_t *log, uint8_t *term, int32_t term_id, int32_t offset, int32_t length)
{
    const uint16_t type = FL_FRAME_PAD;
    fl_write_header(log, term, term_id, offset, length, FL_DATA_FLAG_BEGIN | FL_DATA_FLAG_END, 0);
    memcpy(term + offset + 6, &type, sizeof(type));
    fl_frame_length_release(term, offset, length);
}

#endif
