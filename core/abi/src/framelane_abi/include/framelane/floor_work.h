/* What a floor does with each frame (floor.h).
 *
 * Sending: payload is copied from an 8 MiB region, walked through from begin to end, behind a constant header, whose
 * length fields change only where the payload's length does. Receiving: the headers are read, both checksums verified,
 * and only then is the payload copied out to another such region: a stack must not let a wrong datagram touch its
 * reader's memory.
 */
#ifndef FRAMELANE_FLOOR_WORK_H
#define FRAMELANE_FLOOR_WORK_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <framelane/floor.h>
#include <framelane/measure.h>

#define FL_FLOOR_REGION (8u << 20)
#define FL_FLOOR_HEADER 42             /* Ethernet, IPv4, UDP */
#define FL_FLOOR_PORT 20321

/* ---- checksums (RFC 1071): sums of words as they lie in memory, little-endian or big, kept in 64 bits ---- */

typedef uint64_t fl_floor_lanes_t __attribute__((vector_size(32)));

static inline uint64_t fl_floor_add(uint64_t a, uint64_t b)
{
    const uint64_t sum = a + b;
    return sum + (sum < b);
}

static inline uint16_t fl_floor_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* One word at an offset, and copy it if there is a place to copy to; `size` is a constant. */
static inline __attribute__((always_inline)) uint64_t fl_floor_take(
    uint8_t *to, const uint8_t *from, uint32_t at, uint32_t size)
{
    uint64_t word = 0;
    memcpy(&word, from + at, size);
    if (NULL != to)
    {
        memcpy(to + at, &word, size);
    }
    return word;
}

/* Sum, and copy if there is a place to copy to. */
static inline __attribute__((always_inline)) uint64_t fl_floor_sum_body(
    uint8_t *to, const uint8_t *from, uint32_t length)
{
    fl_floor_lanes_t low = {0};
    fl_floor_lanes_t high = {0};
    uint32_t at = 0;
    for (; at + 64 <= length; at += 64)
    {
        fl_floor_lanes_t first;
        fl_floor_lanes_t second;
        memcpy(&first, from + at, 32);
        memcpy(&second, from + at + 32, 32);
        if (NULL != to)
        {
            memcpy(to + at, &first, 32);
            memcpy(to + at + 32, &second, 32);
        }
        low += (first & 0xffffffff) + (second & 0xffffffff);
        high += (first >> 32) + (second >> 32);
    }
    low += high;
    uint64_t sum = low[0] + low[1] + low[2] + low[3];   /* of fewer than 2^32 halves of 32 bits */
    for (; at + 8 <= length; at += 8)
    {
        sum = fl_floor_add(sum, fl_floor_take(to, from, at, 8));
    }
    for (uint32_t size = 4; size > 0; size /= 2)
    {
        if (0 != (length & size))
        {
            sum = fl_floor_add(sum, 4 == size ? fl_floor_take(to, from, at, 4)
                    : 2 == size               ? fl_floor_take(to, from, at, 2)
                                              : fl_floor_take(to, from, at, 1));
            at += size;
        }
    }
    return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"), unused)) static uint64_t fl_floor_sum_avx2(
    uint8_t *to, const uint8_t *from, uint32_t length)
{
    return fl_floor_sum_body(to, from, length);
}
#endif

static inline uint64_t fl_floor_sum(uint8_t *to, const uint8_t *from, uint32_t length)
{
#if defined(__x86_64__)
    if (length >= 128 && 0 != __builtin_cpu_supports("avx2"))
    {
        return fl_floor_sum_avx2(to, from, length);
    }
#endif
    return fl_floor_sum_body(to, from, length);
}

/* ---- the work ---- */

typedef struct fl_floor_work
{
    uint8_t *region;
    uint32_t at;                       /* next payload in it */
    uint32_t payload;                  /* length that the header is set to */
    bool has_checksums;
    uint8_t header[48];                /* stamped whole; what is behind 42 bytes is overwritten by payload */
    uint64_t udp_sum;                  /* of pseudo-header and UDP header */
    fl_measure_lengths_t lengths;
} fl_floor_work_t;

/* A header of 10.73.0.1 to 10.73.0.2, without lengths and checksums. */
static const uint8_t fl_floor_header[48] = {
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
    0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 73, 0, 1, 10, 73, 0, 2,
    FL_FLOOR_PORT >> 8, FL_FLOOR_PORT & 0xff, FL_FLOOR_PORT >> 8, FL_FLOOR_PORT & 0xff, 0, 0, 0, 0,
};

/* Returns 0, or -FL_ENOMEM. */
static inline int fl_floor_work_open(fl_floor_work_t *work, const fl_floor_params_t *params)
{
    memset(work, 0, sizeof(*work));
    memcpy(work->header, fl_floor_header, sizeof(work->header));
    work->has_checksums = 0 != params->has_checksums;
    work->region = aligned_alloc(4096, FL_FLOOR_REGION);
    if (NULL == work->region)
    {
        return -FL_ENOMEM;
    }
    memset(work->region, 0x5a, FL_FLOOR_REGION);
    fl_measure_lengths_init(&work->lengths, params->length, params->min_length, params->max_length, params->seed);
    return 0;
}

static inline void fl_floor_work_close(fl_floor_work_t *work)
{
    free(work->region);
}

static inline uint8_t *fl_floor_place(fl_floor_work_t *work, uint32_t length)
{
    work->at = length <= FL_FLOOR_REGION - work->at ? work->at : 0;
    uint8_t *place = work->region + work->at;
    work->at += length;
    return place;
}

static inline void fl_floor_store(uint8_t *to, uint16_t value)
{
    memcpy(to, &value, sizeof(value));
}

static inline void fl_floor_set_payload(fl_floor_work_t *work, uint32_t payload)
{
    uint8_t *header = work->header;
    work->payload = payload;
    const uint16_t udp_length = htons((uint16_t)(payload + 8));
    fl_floor_store(header + 16, htons((uint16_t)(payload + 28)));
    fl_floor_store(header + 24, 0);
    fl_floor_store(header + 24, (uint16_t)~fl_floor_fold(fl_floor_sum_body(NULL, header + 14, 20)));
    fl_floor_store(header + 38, udp_length);
    /* Addresses, ports, length; the pseudo-header's protocol and length. */
    work->udp_sum = fl_floor_sum_body(NULL, header + 26, 14) + htons(17) + udp_length;
}

/* Write the next frame. Returns its length; `payload` is that of its payload. */
static inline uint32_t fl_floor_write(fl_floor_work_t *work, uint8_t *frame, uint32_t *payload)
{
    const uint32_t length = fl_measure_lengths_next(&work->lengths);
    const uint8_t *from = fl_floor_place(work, length);
    if (__builtin_expect(length != work->payload, 0))
    {
        fl_floor_set_payload(work, length);
    }
    memcpy(frame, work->header, sizeof(work->header));
    if (work->has_checksums)
    {
        const uint64_t sum = fl_floor_sum(frame + FL_FLOOR_HEADER, from, length);
        const uint16_t checksum = (uint16_t)~fl_floor_fold(fl_floor_add(sum, work->udp_sum));
        fl_floor_store(frame + 40, 0 == checksum ? 0xffff : checksum);
    }
    else
    {
        memcpy(frame + FL_FLOOR_HEADER, from, length);
    }
    *payload = length;
    return FL_FLOOR_HEADER + length;
}

/* Read, verify and copy out a frame. Returns the length of its payload, or -1 if it is none of the sender's. */
static inline int32_t fl_floor_read(fl_floor_work_t *work, const uint8_t *frame, uint32_t length)
{
    uint16_t udp_length;
    uint16_t udp_checksum;
    if (length < FL_FLOOR_HEADER || 0 != memcmp(frame + 12, fl_floor_header + 12, 2) || 0x45 != frame[14] ||
        17 != frame[23] || 0 != memcmp(frame + 26, work->header + 26, 12))
    {
        return -1;
    }
    memcpy(&udp_length, frame + 38, sizeof(udp_length));
    memcpy(&udp_checksum, frame + 40, sizeof(udp_checksum));
    const uint32_t udp = ntohs(udp_length);
    if (udp < 8 || udp + 34 > length || 0xffff != fl_floor_fold(fl_floor_sum_body(NULL, frame + 14, 20)))
    {
        return -1;
    }
    const uint8_t *payload = frame + FL_FLOOR_HEADER;
    if (work->has_checksums)
    {
        uint64_t sum = fl_floor_sum_body(NULL, frame + 26, 16) + htons(17) + udp_length;
        sum = fl_floor_add(sum, fl_floor_sum(NULL, payload, udp - 8));
        if (0 == udp_checksum || 0xffff != fl_floor_fold(sum))
        {
            return -1;
        }
    }
    memcpy(fl_floor_place(work, udp - 8), payload, udp - 8);
    return (int32_t)(udp - 8);
}

#endif
