/* What the driver does inside terms: looking for gaps, filling them, cleaning, unblocking and rotation.
 *
 * Frame lengths in a term may come from the network or from a client that went wrong: they are bounded by the term and
 * summed in 64 bits (wire 9.2 items 1 and 2). No function here allocates or blocks. */
#ifndef FL_SHM_TERM_H
#define FL_SHM_TERM_H

#include "shm/log_buffer.h"

typedef struct fl_gap
{
    int32_t offset;     /* of the first missing byte in its term */
    int32_t length;     /* 0: no gap */
} fl_gap_t;

/* The length word of the frame at offset, for readers: 0 nothing yet, negative claimed, positive complete. */
static inline int32_t fl_frame_length_acquire(const uint8_t *term, int32_t offset)
{
    /* Acquire: pairs with the release that completed the frame. */
    return fl_i32_load_acquire(term + offset);
}

static inline void fl_frame_length_release(uint8_t *term, int32_t offset, int32_t length)
{
    /* Release: pairs with the acquire above. Header and payload must be visible before the frame is. */
    fl_i32_store_release(term + offset, length);
}

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
