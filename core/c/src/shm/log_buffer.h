/* Arithmetic of log buffers, and the words of the metadata that the driver writes. api/shm.h has the rest. */
#ifndef FL_SHM_LOG_BUFFER_H
#define FL_SHM_LOG_BUFFER_H

#include <framelane/types.h>

#include "api/shm.h"
#include "protocol/frames.h"
#include "shm/words.h"

/* Positions (shm 7.1, wire 1.3). Term ids wrap at 32 bits. */

static inline int32_t fl_term_count(int32_t term_id, int32_t initial_term_id)
{
    return (int32_t)((uint32_t)term_id - (uint32_t)initial_term_id);
}

static inline int32_t fl_term_id_add(int32_t term_id, int32_t delta)
{
    return (int32_t)((uint32_t)term_id + (uint32_t)delta);
}

/* Negative for a term id before the initial one: the caller drops that (wire 9.2 item 7). */
static inline int64_t fl_position(int32_t term_id, int32_t term_offset, int32_t bits, int32_t initial_term_id)
{
    return (int64_t)fl_term_count(term_id, initial_term_id) * (INT64_C(1) << bits) + term_offset;
}

static inline int64_t fl_log_position(const fl_log_t *log, int32_t term_id, int32_t term_offset)
{
    return fl_position(term_id, term_offset, log->position_bits_to_shift, log->initial_term_id);
}

static inline int32_t fl_log_term_id(const fl_log_t *log, int64_t position)
{
    return fl_term_id_add(log->initial_term_id, (int32_t)(position >> log->position_bits_to_shift));
}

static inline int32_t fl_log_term_offset(const fl_log_t *log, int64_t position)
{
    return (int32_t)(position & log->term_mask);
}

/* position: not negative. */
static inline int32_t fl_log_partition(const fl_log_t *log, int64_t position)
{
    return (int32_t)((uint64_t)(position >> log->position_bits_to_shift) % FL_LOG_PARTITIONS);
}

/* The term that holds a position; not negative. */
static inline uint8_t *fl_log_term(const fl_log_t *log, int64_t position)
{
    return log->terms[fl_log_partition(log, position)];
}

/* term_count: not negative. */
static inline int32_t fl_partition_of_count(int32_t term_count)
{
    return (int32_t)((uint32_t)term_count % FL_LOG_PARTITIONS);
}

static inline int64_t fl_log_max_position(const fl_log_t *log)
{
    return (int64_t)log->term_length << 31;
}

static inline int64_t fl_raw_tail(int32_t term_id, int32_t term_offset)
{
    return (int64_t)(((uint64_t)(uint32_t)term_id << 32) | (uint32_t)term_offset);
}

static inline int32_t fl_raw_tail_term_id(int64_t raw_tail)
{
    return (int32_t)((uint64_t)raw_tail >> 32);
}

/* Clamped: publishers that collide at the end push the tail past the term. */
static inline int32_t fl_raw_tail_offset(int64_t raw_tail, int32_t term_length)
{
    const int64_t offset = raw_tail & INT64_C(0xffffffff);
    return (int32_t)(offset < term_length ? offset : term_length);
}

/* Where publishers are, from the metadata (shm 7.5): the active term and its tail.
 *
 * returns  a position that the log can have, which the caller still compares with its limits; -FL_EINVAL if count and
 *          tail do not belong together (a client wrote nonsense, or terms went by meanwhile): keep the last one
 * thread   any
 */
static inline int64_t fl_log_producer_position(const fl_log_t *log)
{
    /* Acquire: pair with the publishers' CAS on rotation and fetch-add on the tail. */
    const int32_t count = fl_i32_load_acquire(&log->metadata->active_term_count);
    if (count < 0)
    {
        return -FL_EINVAL;
    }
    const int64_t raw_tail = fl_i64_load_acquire(&log->metadata->term_tail_counters[fl_partition_of_count(count)]);
    const int32_t term_id = fl_raw_tail_term_id(raw_tail);
    const int32_t offset = fl_raw_tail_offset(raw_tail, log->term_length);
    if (fl_term_count(term_id, log->initial_term_id) != count)
    {
        return -FL_EINVAL;
    }
    return fl_log_position(log, term_id, offset);
}

/* Publication state for clients; the driver writes, release as the partners acquire (shm 7.2). */
static inline void fl_log_set_connected(fl_log_t *log, bool is_connected)
{
    fl_i32_store_release(&log->metadata->is_connected, is_connected ? 1 : 0);
}

static inline void fl_log_set_end_of_stream_position(fl_log_t *log, int64_t position)
{
    fl_i64_store_release(&log->metadata->end_of_stream_position, position);
}

static inline void fl_log_set_active_transport_count(fl_log_t *log, int32_t count)
{
    fl_i32_store_release(&log->metadata->active_transport_count, count);
}

static inline void fl_log_set_revoked(fl_log_t *log)
{
    fl_u8_store_release(&log->metadata->is_publication_revoked, 1);
}

#endif
