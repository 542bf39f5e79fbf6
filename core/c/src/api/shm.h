/* Files in shared memory: the command and control file and the log buffers, and what the driver does inside terms. */
#ifndef FL_API_SHM_H
#define FL_API_SHM_H

#include <stdbool.h>

#include "api/layout.h"

/* ---- A shared file in memory. Made and mapped on the control plane or its helper thread only. */

typedef struct fl_mapped_file
{
    uint8_t *address;   /* NULL: not mapped */
    int64_t length;     /* of the file when it was mapped */
    int32_t pid;        /* who mapped it; in a forked child the handle is inert */
    bool is_writable;
} fl_mapped_file_t;

/* Create a file that must not exist, mode 0666 less the umask, reading as zero, and map it shared (shm 1.3).
 *
 * length   bytes, above 0
 * sparse   false: storage is allocated now (fallocate) and the mapping is pre-faulted, so that later stores cannot
 *          fail; true: sized with ftruncate only, and the caller has asked fl_storage_check before, since a full file
 *          system raises SIGBUS in whoever first touches a page
 * returns  0; -FL_ENOSPC if the file system is too small, -FL_EEXIST, -FL_ENOENT, -FL_EACCES or -FL_EIO with error
 *          text; on failure no file is left behind
 */
int fl_mapped_file_create(fl_mapped_file_t *file, const char *path, int64_t length, bool sparse);

/* Map an existing file whole and shared.
 *
 * returns  0; -FL_ENOENT if there is none; -FL_EINVAL if it is empty; -FL_EACCES, -FL_ENOMEM or -FL_EIO with error text
 */
int fl_mapped_file_open(fl_mapped_file_t *file, const char *path, bool writable);

/* Unmap. Nothing in a forked child, and nothing if not mapped. The file stays. */
void fl_mapped_file_close(fl_mapped_file_t *file);

/* Check the file system of a directory for a new file (shm 9.12).
 *
 * warning_threshold   bytes; usable space at or below it is worth a warning
 * usable              bytes usable without privilege; may be NULL
 * returns             0: enough; 1: enough, but at or below the threshold; -FL_ENOSPC with the text of shm 9.12;
 *                     -FL_ENOENT or -FL_EIO if the directory cannot be looked at
 */
int fl_storage_check(const char *directory, int64_t length, int64_t warning_threshold, int64_t *usable);

/* ---- The command and control file (shm 2). */

/* Lengths and facts of a new file. Section lengths include trailers. */
typedef struct fl_cnc_params
{
    int32_t to_driver_buffer_length;
    int32_t to_clients_buffer_length;
    int32_t counters_values_buffer_length;   /* the metadata section is four times as long */
    int32_t error_log_buffer_length;
    int64_t client_liveness_timeout_ns;
    int64_t start_timestamp_ms;
    int64_t pid;
    int32_t file_page_size;
    int32_t reserved;
} fl_cnc_params_t;

typedef struct fl_cnc
{
    fl_mapped_file_t file;
    fl_cnc_metadata_t *metadata;
    /* The sections; NULL and 0 until fl_cnc_sections has checked them. */
    uint8_t *to_driver;
    uint8_t *to_clients;
    uint8_t *counters_metadata;
    uint8_t *counters_values;
    uint8_t *error_log;
    int32_t to_driver_length;
    int32_t to_clients_length;
    int32_t counters_metadata_length;
    int32_t counters_values_length;
    int32_t error_log_length;
} fl_cnc_t;

/* Create the file with all of the metadata but the version: clients wait until fl_cnc_ready.
 *
 * returns  0; -FL_EINVAL for lengths out of range; as fl_mapped_file_create
 * thread   control plane; blocks
 */
int fl_cnc_create(fl_cnc_t *cnc, const char *path, const fl_cnc_params_t *params);

/* Store the version, with release, when ring, counters and heartbeat are there (shm 2.4), and msync. */
void fl_cnc_ready(fl_cnc_t *cnc);

/* Map an existing file, whose contents are not looked at (shm 2.5 step 2).
 *
 * returns  0; -FL_EAGAIN if it is not longer than 128 bytes but not empty; as fl_mapped_file_open
 */
int fl_cnc_map(fl_cnc_t *cnc, const char *path, bool writable);

/* Acquire the version; 0: not ready. */
int32_t fl_cnc_version(const fl_cnc_t *cnc);

/* Find the sections, each length read once and checked (shm 2.5 step 5).
 *
 * returns  0; -FL_EAGAIN with error text if the file does not cover them; -FL_EINVAL if a length is impossible
 */
int fl_cnc_sections(fl_cnc_t *cnc);

/* Unmap; the file stays. Nothing in a forked child. */
void fl_cnc_close(fl_cnc_t *cnc);

/* ---- Log buffers: three terms and a metadata page in one file (shm 7).
 *
 * fl_log_t holds the driver's private truth. Clients can write the whole mapping, so term length, MTU and ids are never
 * read from the metadata again, and every word that is read (tails, active term count, frame lengths) is checked. */

typedef struct fl_log
{
    uint8_t *terms[3];
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
    uint8_t default_header[32];
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
int64_t fl_log_file_length(int32_t term_length, int32_t page_size);

/* A zeroed log that stays where it is while agents hold it. NULL: no memory. Free closes it first. */
fl_log_t *fl_log_new(void);
void fl_log_free(fl_log_t *log);

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

/* ---- Inside terms: gaps, cleaning, unblocking and rotation.
 *
 * Frame lengths in a term may come from the network or from a client that went wrong: they are bounded by the term and
 * summed in 64 bits (wire 9.2 items 1 and 2). No function here allocates or blocks. */

typedef struct fl_gap
{
    int32_t offset;     /* of the first missing byte in its term */
    int32_t length;     /* 0: no gap */
} fl_gap_t;

/* Walk complete frames from offset and find the first gap before limit (wire 4.8).
 *
 * offset    where the walk begins, a multiple of 32: the rebuild position's
 * limit     offset of the high-water mark in this term, or the term length; the caller bounds the work of a cycle by
 *           what it passes here: a gap is cut at the limit
 * gap       out: length 0 if everything up to limit is there
 * returns   offset of the first byte not there, at most the term length: beyond limit if the last frame passes it
 * thread    the image's owner
 */
int32_t fl_term_gap_scan(const uint8_t *term, int32_t term_length, int32_t offset, int32_t limit, fl_gap_t *gap);

/* Fill a gap of an unreliable stream with one padding frame, if nothing arrived in it (wire 4.8).
 *
 * position   of the gap's first byte
 * length     multiple of 32, inside the term
 * returns    1 if filled; 0 if something is there; -FL_EINVAL if the gap is not inside one term
 * thread     the image's owner
 */
int fl_log_gap_fill(fl_log_t *log, int64_t position, int32_t length);

/* Write a padding frame: default header, type, term offset, term id, and last, with release, the length.
 * position and length as above; the caller knows that nobody else writes there. */
void fl_log_padding_write(fl_log_t *log, int64_t position, int32_t length);

/* Clean consumed bytes for reuse (shm 7.10): [from, to), but at most max_bytes and not past the end of from's term. The
 * first 8 bytes are cleared last, with release.
 *
 * from, to   positions, multiples of 32; to is what the owner computed, never a value a client wrote unchecked
 * returns    the new clean position, from + what was cleaned
 * thread     the log's owner
 */
int64_t fl_log_clean(fl_log_t *log, int64_t from, int64_t to, int32_t max_bytes);

/* Repair a publication whose publisher died between claim and commit, or before rotating (shm 7.9).
 *
 * returns   true if subscribers can go on
 * thread    the log's owner; looks at no more than one term
 */
bool fl_log_unblock(fl_log_t *log, int64_t blocked_position);

/* Make term count + 1 active, if nobody did (shm 7.5). term_id: of term `term_count`. Any publisher or the owner. */
void fl_log_rotate(fl_log_t *log, int32_t term_count, int32_t term_id);

#endif
