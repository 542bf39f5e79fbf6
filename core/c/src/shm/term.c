#include "shm/term.h"

#include <string.h>


#define FL_ROTATE_ATTEMPTS 64

int32_t fl_term_gap_scan(const uint8_t *term, int32_t term_length, int32_t offset, int32_t limit, fl_gap_t *gap)
{
    *gap = (fl_gap_t){.offset = 0, .length = 0};
    if (limit > term_length)
    {
        limit = term_length;
    }
    while (offset < limit)
    {
        const int32_t length = fl_frame_length_acquire(term, offset);
        if (length <= 0)
        {
            break;
        }
        const int64_t end = offset + fl_align(length, FL_FRAME_ALIGNMENT);
        offset = end < term_length ? (int32_t)end : term_length;
    }
    if (offset < limit)
    {
        int32_t end = offset + FL_FRAME_ALIGNMENT;
        while (end < limit && 0 == fl_frame_length_acquire(term, end))
        {
            end += FL_FRAME_ALIGNMENT;
        }
        *gap = (fl_gap_t){.offset = offset, .length = (end < limit ? end : limit) - offset};
    }
    return offset;
}

void fl_log_padding_write(fl_log_t *log, int64_t position, int32_t length)
{
    uint8_t *term = fl_log_term(log, position);
    const int32_t offset = fl_log_term_offset(log, position);
    fl_data_header_t header;
    memcpy(&header, log->default_header, sizeof(header));
    header.type = FL_FRAME_PAD;
    header.term_offset = offset;
    header.term_id = fl_log_term_id(log, position);
    /* All but the commit word. */
    memcpy(
        term + offset + sizeof(int32_t), (const uint8_t *)&header + sizeof(int32_t), sizeof(header) - sizeof(int32_t));
    fl_frame_length_release(term, offset, length);
}

static bool fl_log_is_in_term(const fl_log_t *log, int64_t position, int32_t length)
{
    const int32_t offset = fl_log_term_offset(log, position);
    return position >= 0 && length > 0 && 0 == offset % FL_FRAME_ALIGNMENT && 0 == length % FL_FRAME_ALIGNMENT &&
        length <= log->term_length - offset;
}

int fl_log_gap_fill(fl_log_t *log, int64_t position, int32_t length)
{
    if (!fl_log_is_in_term(log, position, length))
    {
        return -FL_EINVAL;
    }
    const uint8_t *term = fl_log_term(log, position);
    const int32_t offset = fl_log_term_offset(log, position);
    for (int32_t at = offset + length - FL_FRAME_ALIGNMENT; at >= offset; at -= FL_FRAME_ALIGNMENT)
    {
        if (0 != fl_frame_length_acquire(term, at))
        {
            return 0;
        }
    }
    fl_log_padding_write(log, position, length);
    return 1;
}

int64_t fl_log_clean(fl_log_t *log, int64_t from, int64_t to, int32_t max_bytes)
{
    const int32_t offset = fl_log_term_offset(log, from);
    int64_t length = to - from;
    if (length > max_bytes)
    {
        length = max_bytes;
    }
    if (length > log->term_length - offset)
    {
        length = log->term_length - offset;
    }
    length &= ~(int64_t)(FL_FRAME_ALIGNMENT - 1);
    if (length <= 0)
    {
        return from;
    }
    uint8_t *at = fl_log_term(log, from) + offset;
    memset(at + sizeof(int64_t), 0, (size_t)length - sizeof(int64_t));
    /* Release: pairs with the acquire of whoever reads a commit word. No one sees a zero here and dirt behind it. */
    fl_i64_store_release(at, 0);
    return from + length;
}

void fl_log_rotate(fl_log_t *log, int32_t term_count, int32_t term_id)
{
    fl_log_metadata_t *metadata = log->metadata;
    const int32_t next_id = fl_term_id_add(term_id, 1);
    const int32_t expected_id = fl_term_id_add(next_id, -FL_LOG_PARTITIONS);
    int64_t *tail = &metadata->term_tail_counters[fl_partition_of_count((int32_t)((uint32_t)term_count + 1))];
    int attempts = 0;
    for (;;)
    {
        const int64_t raw_tail = fl_i64_load_acquire(tail);
        if (expected_id != fl_raw_tail_term_id(raw_tail) || fl_i64_cas(tail, raw_tail, fl_raw_tail(next_id, 0)))
        {
            break;
        }
        /* Each honest publisher that is three terms late makes the CAS fail once; more is somebody writing nonsense. */
        if (++attempts == FL_ROTATE_ATTEMPTS)
        {
            return;
        }
    }
    fl_i32_cas(&metadata->active_term_count, term_count, (int32_t)((uint32_t)term_count + 1));
}

/* Rotate out of the active term `term_count` if its tail belongs to it. */
static bool fl_log_unblock_rotation(fl_log_t *log, int32_t term_count)
{
    const int64_t raw_tail =
        fl_i64_load_acquire(&log->metadata->term_tail_counters[fl_partition_of_count(term_count)]);
    const int32_t term_id = fl_raw_tail_term_id(raw_tail);
    if (term_count != fl_term_count(term_id, log->initial_term_id))
    {
        return false;
    }
    fl_log_rotate(log, term_count, term_id);
    return true;
}

bool fl_log_unblock(fl_log_t *log, int64_t blocked_position)
{
    if (blocked_position < 0 || blocked_position >= fl_log_max_position(log) ||
        0 != blocked_position % FL_FRAME_ALIGNMENT)
    {
        return false;
    }
    const int32_t count = (int32_t)(blocked_position >> log->position_bits_to_shift);
    const int32_t offset = fl_log_term_offset(log, blocked_position);
    const int32_t active_count = fl_i32_load_acquire(&log->metadata->active_term_count);
    if (0 == offset && count > 0 && count - 1 == active_count)
    {
        return fl_log_unblock_rotation(log, active_count);
    }
    const int64_t raw_tail = fl_i64_load_acquire(&log->metadata->term_tail_counters[fl_partition_of_count(count)]);
    const int32_t tail_offset = fl_raw_tail_offset(raw_tail, log->term_length);
    const uint8_t *term = fl_log_term(log, blocked_position);
    const int32_t length = fl_frame_length_acquire(term, offset);
    if (length < 0)
    {
        /* The magnitude is what a client wrote: a padding frame still ends inside the term. */
        const int64_t claimed = fl_align(-(int64_t)length, FL_FRAME_ALIGNMENT);
        const int32_t room = log->term_length - offset;
        fl_log_padding_write(log, blocked_position, claimed < room ? -length : room);
        return true;
    }
    if (0 != length || count != fl_term_count(fl_raw_tail_term_id(raw_tail), log->initial_term_id))
    {
        return false;
    }
    int32_t at = offset + FL_FRAME_ALIGNMENT;
    while (at < tail_offset && 0 == fl_frame_length_acquire(term, at))
    {
        at += FL_FRAME_ALIGNMENT;
    }
    if (at < tail_offset)
    {
        /* A publisher that was only slow has marked its frame since: look again at every slot before. */
        return fl_log_gap_fill(log, blocked_position, at - offset) > 0;
    }
    if (tail_offset == log->term_length && fl_log_gap_fill(log, blocked_position, log->term_length - offset) > 0)
    {
        fl_log_rotate(log, count, fl_log_term_id(log, blocked_position));
        return true;
    }
    return false;
}
