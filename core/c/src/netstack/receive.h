/* What the two ways of receiving share: the known flow (receive.c) and any other frame (receive_slow.c). */
#ifndef FL_NETSTACK_RECEIVE_H
#define FL_NETSTACK_RECEIVE_H

#include <string.h>

#include "netstack/netstack.h"
#include "util/word.h"

/* What one poll has come to. */
typedef struct fl_receive
{
    fl_poller_t *poller;
    fl_run_t *runs;
    uint32_t count;
    uint32_t capacity;
    int64_t packets;
    int64_t bytes;
    uint32_t dropped_first;   /* frames to give back at once: those from here */
    uint32_t dropped_end;     /* up to here */
} fl_receive_t;

/* The 16 bits that lie at an offset of a word as it was loaded. */
static inline uint16_t fl_receive_part(uint64_t word, uint32_t offset)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (uint16_t)(word >> (8 * offset));
#else
    return (uint16_t)(word >> (48 - 8 * offset));
#endif
}

/* The word that begins at the third byte of one, and ends with the second byte of the next. */
static inline uint64_t fl_receive_straddle(uint64_t word, uint64_t next)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word >> 16 | next << 48;
#else
    return word << 16 | next >> 48;
#endif
}

static inline uint64_t fl_receive_halves(uint64_t word)
{
    return (word & 0xffffffff) + (word >> 32);
}

/* Byte 15, the type of service, may differ within a flow. */
static inline uint64_t fl_receive_mask_second(uint64_t word)
{
    static const uint8_t mask[8] = { 255, 255, 255, 255, 255, 255, 255, 0 };
    return word & fl_word_u64(mask);
}

/* So may total length, id, the bit "do not fragment", and the TTL, in bytes 16 to 23. */
static inline uint64_t fl_receive_mask_third(uint64_t word)
{
    static const uint8_t mask[8] = { 0, 0, 0, 0, 0xbf, 255, 0, 255 };
    return word & fl_word_u64(mask);
}

/* The same words without IPv4's id, in bytes 16 to 23, and without its checksum, in bytes 24 to 31. */
static inline uint64_t fl_receive_mask_id(uint64_t word)
{
    static const uint8_t mask[8] = { 255, 255, 0, 0, 255, 255, 255, 255 };
    return word & fl_word_u64(mask);
}

static inline uint64_t fl_receive_mask_header_sum(uint64_t word)
{
    static const uint8_t mask[8] = { 0, 0, 255, 255, 255, 255, 255, 255 };
    return word & fl_word_u64(mask);
}

static inline fl_flow_t *fl_receive_flow(fl_poller_t *poller, uint64_t addresses, uint32_t ports)
{
    const uint64_t mixed = (addresses ^ (uint64_t)ports << 16 ^ ports) * UINT64_C(0x9e3779b97f4a7c15);
    return &poller->flows[mixed >> 55 & (FL_NETSTACK_FLOWS - 1)];
}

static inline void fl_receive_stamp(fl_run_t *run, const fl_rx_frame_t *frame)
{
    if (FL_CLOCK_SOFTWARE == frame->clock || FL_CLOCK_HARDWARE_SYNC == frame->clock)
    {
        run->timestamp_ns = frame->timestamp_ns;
        run->flags |= FL_RUN_TIMESTAMP;
    }
}

static inline void fl_receive_write(
    fl_run_t *run, const uint8_t *data, uint32_t length, const fl_peer_t *peer, const fl_address_t *local,
    void *context, uint32_t index)
{
    *run = (fl_run_t){
        .data = data,
        .length = length,
        .segment_length = length,
        .peer = peer,
        .local = local,
        .context = context,
        .token = index,
    };
}

/* The next listener from `listener` on that wants what comes from `source`. */
fl_listener_t *fl_receive_listener(fl_listener_t *listener, const fl_address_t *source, const fl_address_t *local);

/* Judge a frame from a copy of its headers. Returns what it is dropped under, or FL_COUNT_LIMIT if it was taken:
 * `is_held` says whether runs hold it. */
fl_count_t fl_receive_slow(fl_receive_t *receive, uint32_t index, bool *is_held);

#endif
