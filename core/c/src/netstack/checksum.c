#include "netstack/checksum.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

/* 32 bytes are added as four pairs of 32-bit halves into 64-bit lanes, which, and whose sum, overflow for no length below
 * 2^32. The compiler makes SSE2 of it, or AVX2 in the copy that is built for it. */
typedef uint64_t fl_lanes_t __attribute__((vector_size(32)));

#define FL_ALWAYS_INLINE static inline __attribute__((always_inline))

/* Take `size` bytes, a constant, as a word in which zeros follow them in memory; copy them if there is a place. */
FL_ALWAYS_INLINE uint64_t fl_checksum_take(uint8_t **to, const uint8_t **from, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, *from, size);
    *from += size;
    if (NULL != *to)
    {
        memcpy(*to, &word, size);
        *to += size;
    }
    return word;
}

/* The body of both: `to` is NULL for a sum without copy, which the compiler knows in every copy of the body. */
FL_ALWAYS_INLINE uint64_t fl_checksum_body(uint8_t *to, const uint8_t *from, size_t length)
{
    uint64_t sum = 0;
    if (length >= 2 * sizeof(fl_lanes_t))
    {
        fl_lanes_t low = { 0 };
        fl_lanes_t high = { 0 };
        for (; length >= 2 * sizeof(fl_lanes_t); length -= 2 * sizeof(fl_lanes_t), from += 2 * sizeof(fl_lanes_t))
        {
            fl_lanes_t first;
            fl_lanes_t second;
            memcpy(&first, from, sizeof(first));
            memcpy(&second, from + sizeof(first), sizeof(second));
            if (NULL != to)
            {
                memcpy(to, &first, sizeof(first));
                memcpy(to + sizeof(first), &second, sizeof(second));
                to += 2 * sizeof(fl_lanes_t);
            }
            low += (first & 0xffffffff) + (second & 0xffffffff);
            high += (first >> 32) + (second >> 32);
        }
        low += high;
        sum = (low[0] + low[1]) + (low[2] + low[3]);
    }
    for (; length >= sizeof(uint64_t); length -= sizeof(uint64_t))
    {
        sum = fl_checksum_add(sum, fl_checksum_take(&to, &from, sizeof(uint64_t)));
    }
    if (0 != (length & 4))
    {
        sum = fl_checksum_add(sum, fl_checksum_take(&to, &from, 4));
    }
    if (0 != (length & 2))
    {
        sum = fl_checksum_add(sum, fl_checksum_take(&to, &from, 2));
    }
    if (0 != (length & 1))
    {
        sum = fl_checksum_add(sum, fl_checksum_take(&to, &from, 1));
    }
    return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t fl_checksum_sum_avx2(const uint8_t *bytes, size_t length)
{
    return fl_checksum_body(NULL, bytes, length);
}

__attribute__((target("avx2"))) static uint64_t fl_checksum_copy_avx2(uint8_t *to, const uint8_t *from, size_t length)
{
    return fl_checksum_body(to, from, length);
}

/* A look at what the processor said at start; not an indirect function, whose resolver would run before a sanitizer's start. */
static inline bool fl_checksum_has_avx2(void)
{
    return 0 != __builtin_cpu_supports("avx2");
}
#endif

uint64_t fl_checksum_sum(const uint8_t *bytes, size_t length)
{
#if defined(__x86_64__)
    if (length >= 2 * sizeof(fl_lanes_t) && fl_checksum_has_avx2())
    {
        return fl_checksum_sum_avx2(bytes, length);
    }
#endif
    return fl_checksum_body(NULL, bytes, length);
}

uint64_t fl_checksum_copy(uint8_t *to, const uint8_t *from, size_t length)
{
#if defined(__x86_64__)
    if (length >= 2 * sizeof(fl_lanes_t) && fl_checksum_has_avx2())
    {
        return fl_checksum_copy_avx2(to, from, length);
    }
#endif
    return fl_checksum_body(to, from, length);
}

uint64_t fl_checksum_pseudo(const fl_address_t *source, const fl_address_t *destination, uint8_t protocol, uint32_t length)
{
    /* Unused bytes of an IPv4 address are zero, and add nothing. */
    const uint64_t addresses = fl_checksum_add(
        fl_checksum_sum(source->bytes, sizeof(source->bytes)),
        fl_checksum_sum(destination->bytes, sizeof(destination->bytes)));
    return fl_checksum_add(addresses, (uint64_t)htonl(protocol) + htonl(length));
}
