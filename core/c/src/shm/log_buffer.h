/* Log buffers: three terms and a metadata page in one file (shm 7).
 *
 * fl_log_t holds the driver's private truth. Clients can write the whole mapping, so term length, MTU and ids are never
 * read from the metadata again, and every word that is read (tails, active term count, frame lengths) is checked. */
#ifndef FL_SHM_LOG_BUFFER_H
#define FL_SHM_LOG_BUFFER_H

#include <framelane/types.h>

#include "api/layout.h"
#include "protocol/frames.h"
#include "shm/mapped_file.h"
#include "shm/words.h"

typedef struct fl_log
{
    uint8_t *terms[FL_LOG_PARTITIONS];
    fl_log_metadata_t *metadata;
    int32_t term_length;
    int32_t term_mask;               /* term_length - 1 */
    int32_t position_bits_to_shift;  /* log2(term_length) */
    int32_t initial_term_id;
    int32_t mtu_length;
    int32_t session_id;
    int32_t stream_id;
    int32_t page_size;
    uint8_t type;                    /* FL_LOG_TYPE_* */
    uint8_t default_header[FL_DATA_HEADER_LENGTH];
    int64_t correlation_id;
    fl_mapped_file_t file;
} fl_log_t;

/* Everything of the metadata that is constant (shm 7.2). */
typedef struct fl_log_params
{
    int64_t correlation_id;          /* registration id of the publication, or correlation id of the image */
    int32_t session_id;
    int32_t stream_id;
    int32_t initial_term_id;
    int32_t starting_term_id;        /* publications: equal to initial_term_id unless a position was asked for */
    int32_t starting_term_offset;    /* publications: multiple of 32 in [0, term_length] */
    int32_t mtu_length;
    int32_t term_length;
    int32_t page_size;
    int32_t publication_window_length;
    int32_t receiver_window_length;
    int32_t socket_sndbuf_length;
    int32_t os_default_socket_sndbuf_length;
    int32_t os_max_socket_sndbuf_length;
    int32_t socket_rcvbuf_length;
    int32_t os_default_socket_rcvbuf_length;
    int32_t os_max_socket_rcvbuf_length;
    int32_t max_resend;
    int64_t entity_tag;              /* publications: -1 if none; images: 0 */
    int64_t response_correlation_id; /* publications: -1 if none; images: 0 */
    int64_t linger_timeout_ns;
    int64_t untethered_window_limit_timeout_ns;
    int64_t untethered_resting_timeout_ns;
    int64_t untethered_linger_timeout_ns;
    uint8_t group;
    uint8_t is_response;
    uint8_t rejoin;
    uint8_t reliable;
    uint8_t sparse;                  /* also how the file is made */
    uint8_t signal_eos;
    uint8_t spies_simulate_connection;
    uint8_t tether;
    uint8_t type;                    /* FL_LOG_TYPE_* */
    uint8_t reserved[7];
} fl_log_params_t;

/* Bytes of a log file: align(3 * term_length + 4096, page_size). */
static inline int64_t fl_log_file_length(int32_t term_length, int32_t page_size)
{
    return fl_align((int64_t)FL_LOG_PARTITIONS * term_length + FL_LOG_METADATA_LENGTH, page_size);
}

/* Create, fill and map a log file. Tails begin as shm 7.2 says for publications; for images they stay zero.
 *
 * returns  0; -FL_EINVAL for a parameter out of range; as fl_mapped_file_create
 * thread   control plane or its helper; blocks
 */
int fl_log_create(fl_log_t *log, const char *path, const fl_log_params_t *params);

/* Map a log file that another process made, after checking it: lengths, page size, and that the file is as long as they
 * say. The ids are taken from the default header.
 *
 * returns  0; -FL_EINVAL with what is wrong; as fl_mapped_file_open
 * thread   any; blocks
 */
int fl_log_open(fl_log_t *log, const char *path, bool writable);

/* Unmap; the file stays. Nothing in a forked child. */
void fl_log_close(fl_log_t *log);

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
