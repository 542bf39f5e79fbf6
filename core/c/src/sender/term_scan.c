#include "sender/term_scan.h"

#include <stdbool.h>
#include <string.h>

#include "protocol/frames.h"
#include "protocol/timestamp.h"
#include "shm/term.h"
#include "util/word.h"

/* The second word of a header without its flags: version 0, and the type. */
#define FL_SCAN_TYPE_MASK UINT32_C(0xffff00ff)
#define FL_SCAN_TYPE_DATA ((uint32_t)FL_FRAME_DATA << 16)
#define FL_SCAN_TYPE_PAD ((uint32_t)FL_FRAME_PAD << 16)
#define FL_SCAN_FLAG_BEGIN ((uint32_t)FL_DATA_FLAG_BEGIN << 8)

static inline uint64_t fl_scan_pair(int32_t low, int32_t high)
{
    return (uint64_t)(uint32_t)high << 32 | (uint32_t)low;
}

/* Append a datagram to the last run if it is as long as that run's others, or shorter and the run's end; else begin a
 * run with it. Returns false, and appends nothing, if there is no run left. */
static inline bool fl_scan_append(
    fl_scan_t *scan, const fl_scan_bounds_t *bounds, uint32_t *segments_left, const uint8_t *data, uint32_t length)
{
    fl_run_t *run = &scan->runs[scan->run_count - (scan->run_count > 0)];
    if (*segments_left > 0 && length <= run->segment_length && run->length + length <= bounds->max_run_length)
    {
        run->length += length;
        *segments_left = length == run->segment_length ? *segments_left - 1 : 0;
    }
    else
    {
        if (FL_SCAN_RUNS == scan->run_count)
        {
            return false;
        }
        scan->runs[scan->run_count++] = (fl_run_t){.data = data, .length = length, .segment_length = length};
        *segments_left = bounds->max_run_segments - 1;
    }
    scan->bytes += length;
    scan->datagrams++;
    return true;
}

uint32_t fl_term_scan(fl_scan_t *scan, const fl_scan_bounds_t *bounds, const uint8_t *term, int32_t term_id,
    int32_t offset, int32_t limit)
{
    const uint64_t stream_and_term = fl_scan_pair(bounds->stream_id, term_id);
    const int32_t first = offset;
    const int32_t left = bounds->term_length - offset;
    const int32_t scan_end = offset + (limit < left ? limit : left);
    int32_t start = offset;                /* of the datagram being packed */
    int32_t datagram_end = scan_end - start < bounds->mtu_length ? scan_end : start + bounds->mtu_length;
    uint32_t segments_left = 0;            /* room in the last run */
    int64_t pad_beyond = 0;
    scan->run_count = 0;
    scan->bytes = 0;
    scan->datagrams = 0;
    scan->end = FL_SCAN_FULL;

    while (offset < scan_end)
    {
        const uint8_t *frame = term + offset;
        const int32_t length = fl_frame_length_acquire(term, offset);
        if (length <= 0)
        {
            scan->end = FL_SCAN_EMPTY;
            break;
        }
        const uint32_t type = fl_word_u32(frame + 4) & FL_SCAN_TYPE_MASK;
        const int64_t extent = fl_align(length, FL_FRAME_ALIGNMENT);
        if (__builtin_expect(
                fl_word_u64(frame + 8) != fl_scan_pair(offset, bounds->session_id) ||
                    fl_word_u64(frame + 16) != stream_and_term || length < FL_DATA_HEADER_LENGTH ||
                    extent > bounds->term_length - offset ||
                    (FL_SCAN_TYPE_DATA != type && FL_SCAN_TYPE_PAD != type) ||
                    (FL_SCAN_TYPE_DATA == type && extent > bounds->mtu_length),
                0))
        {
            scan->end = FL_SCAN_INVALID;
            break;
        }
        const int32_t taken = FL_SCAN_TYPE_DATA == type ? (int32_t)extent : FL_DATA_HEADER_LENGTH;
        if (taken > datagram_end - offset)
        {
            /* The datagram is full, or empty because the limit ends inside this frame. */
            if (taken > scan_end - offset || scan->datagrams + 1 >= bounds->max_datagrams)
            {
                break;
            }
            if (!fl_scan_append(scan, bounds, &segments_left, term + start, (uint32_t)(offset - start)))
            {
                offset = start;
                break;
            }
            start = offset;
            datagram_end = scan_end - start < bounds->mtu_length ? scan_end : start + bounds->mtu_length;
        }
        offset += taken;
        if (__builtin_expect(FL_SCAN_TYPE_PAD == type, 0))
        {
            pad_beyond = extent - taken;
            scan->end = FL_SCAN_PADDED;
            break;
        }
    }
    if (offset > start &&
        !fl_scan_append(scan, bounds, &segments_left, term + start, (uint32_t)(offset - start)))
    {
        offset = start;
        pad_beyond = 0;
        scan->end = FL_SCAN_FULL;
    }
    scan->extent = offset - first + pad_beyond;
    return scan->run_count;
}

void fl_scan_stamp(const fl_scan_t *scan, uint8_t *start, uint32_t at, int64_t time_ns)
{
    uint8_t *datagram = start;   /* the runs follow each other in the term */
    for (uint32_t i = 0; i < scan->run_count; i++)
    {
        const fl_run_t *run = &scan->runs[i];
        for (uint32_t left = run->length; left > 0;)
        {
            const uint32_t length = left < run->segment_length ? left : run->segment_length;
            const uint32_t word = fl_word_u32(datagram + 4);
            const int32_t frame_length = fl_i32_load_relaxed(datagram);
            if (FL_SCAN_TYPE_DATA == (word & FL_SCAN_TYPE_MASK) && 0 != (word & FL_SCAN_FLAG_BEGIN) && frame_length > 0)
            {
                /* Read anew, so bounded by what the scan has found. */
                fl_timestamp_put(
                    datagram, (uint32_t)frame_length < length ? (uint32_t)frame_length : length, at, time_ns);
            }
            datagram += length;
            left -= length;
        }
    }
}

int64_t fl_scan_accept(fl_scan_t *scan, int taken)
{
    scan->accepted_bytes = scan->bytes;
    scan->accepted_datagrams = scan->datagrams;
    if ((uint32_t)taken == scan->run_count)
    {
        return scan->extent;
    }
    /* The runs go to one peer, so the first that was not taken whole is the last of which anything was. */
    scan->accepted_bytes = scan->accepted_datagrams = 0;
    for (uint32_t i = 0; i < scan->run_count; i++)
    {
        const fl_run_t *run = &scan->runs[i];
        const uint64_t accepted = (uint64_t)run->accepted * run->segment_length;
        if (accepted < run->length)
        {
            scan->accepted_bytes += (uint32_t)accepted;
            scan->accepted_datagrams += run->accepted;
            return scan->accepted_bytes;
        }
        scan->accepted_bytes += run->length;
        scan->accepted_datagrams += (run->length + run->segment_length - 1) / run->segment_length;
    }
    return scan->extent;
}
