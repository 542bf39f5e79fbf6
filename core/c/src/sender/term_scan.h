/* Cutting the next frames of a term into runs of datagrams (wire 3.4; design: the run).
 *
 * What is sent is the term buffer itself, which clients can write. So every frame is held against what the driver
 * knows: its length is read once, its end lies in the term, version and type are those of a data or padding frame, and
 * offset, session, stream and term are where and whose it is. That costs three loads from a cache line that is there
 * already. A frame that fails is not sent, and nothing behind it is: it has no length that could be trusted. The check
 * is not proof against a client that rewrites a header before the transport has copied it: only a copy of our own would
 * be.
 */
#ifndef FL_SENDER_TERM_SCAN_H
#define FL_SENDER_TERM_SCAN_H

#include <stdint.h>

#include <framelane/types.h>

#define FL_SCAN_RUNS 64    /* most runs of one scan */

/* Why a scan ended. */
#define FL_SCAN_EMPTY 0      /* the next frame is not complete yet */
#define FL_SCAN_FULL 1       /* the next frame does not fit the limit, or a datagram or run more is not allowed */
#define FL_SCAN_PADDED 2     /* behind a padding frame */
#define FL_SCAN_INVALID 3    /* the next frame is not one of this stream */

typedef struct fl_scan_bounds
{
    int32_t term_length;
    int32_t mtu_length;
    uint32_t max_datagrams;
    uint32_t max_run_segments;   /* at least 1 */
    uint32_t max_run_length;     /* at least mtu_length */
    int32_t session_id;
    int32_t stream_id;
} fl_scan_bounds_t;

typedef struct fl_scan
{
    fl_run_t runs[FL_SCAN_RUNS];
    uint32_t run_count;
    uint32_t bytes;              /* of all runs */
    uint32_t datagrams;
    int64_t extent;              /* what they take in the term: bytes, and what a closing PAD spans beyond its header */
    uint32_t end;                /* FL_SCAN_* */
    uint32_t accepted_bytes;     /* by fl_scan_accept */
    uint32_t accepted_datagrams;
} fl_scan_t;

/* Build the runs for the frames from `offset` on.
 *
 * term      the term's buffer
 * term_id   of that term
 * offset    of a frame, a multiple of 32 in [0, term_length)
 * limit     bytes that may be sent, a PAD counting 32
 * returns   the number of runs, which is scan->run_count
 * thread    the owner of the publication; does not block
 */
uint32_t fl_term_scan(fl_scan_t *scan, const fl_scan_bounds_t *bounds, const uint8_t *term, int32_t term_id,
    int32_t offset, int32_t limit);

/* Put the time of sending into the first frame of each datagram of the runs, if it is a DATA frame that begins a
 * message and has room (wire 6).
 *
 * start    of the scanned frames in the term
 * at       byte of the frame, see protocol/timestamp.h
 */
void fl_scan_stamp(const fl_scan_t *scan, uint8_t *start, uint32_t at, int64_t time_ns);

/* Look at what the transport took of the runs.
 *
 * taken     what its send returned
 * returns   that part of the extent: the whole of it if everything was taken
 */
int64_t fl_scan_accept(fl_scan_t *scan, int taken);

#endif
