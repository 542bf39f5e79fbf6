/* The loop under the Internet checksum, for what sums payloads in a loop of its own.
 *
 * 32 bytes at a time are added twice: as they are, modulo 2^64, and their upper halves alone. What of the first is not
 * the second is the sum of the lower halves. Neither sum of halves, nor both together, overflows for any length below
 * 2^32. The compiler makes SSE2 of it, or AVX2 in a function that is built for it.
 */
#ifndef FL_NETSTACK_CHECKSUM_BODY_H
#define FL_NETSTACK_CHECKSUM_BODY_H

#include <string.h>

#include "netstack/checksum.h"

typedef uint64_t fl_lanes_t __attribute__((vector_size(32)));
typedef uint64_t fl_half_lanes_t __attribute__((vector_size(16)));

#define FL_ALWAYS_INLINE static inline __attribute__((always_inline))
#define FL_CHECKSUM_STEP (2 * sizeof(fl_lanes_t))

/* A look at what the processor said at start; not an indirect function, whose resolver would run before a sanitizer's
 * start. */
static inline bool fl_checksum_has_avx2(void)
{
#if defined(__x86_64__)
    return 0 != __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

#if defined(__x86_64__)
#define FL_CHECKSUM_AVX2 __attribute__((target("avx2")))
#else
#define FL_CHECKSUM_AVX2
#endif

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

/* What is left once all whole steps are taken. */
FL_ALWAYS_INLINE uint64_t fl_checksum_rest(uint64_t sum, uint8_t *to, const uint8_t *from, size_t length)
{
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

/* Sum, and copy if there is a place to copy to: `to` is NULL or not as the compiler knows. */
FL_ALWAYS_INLINE uint64_t fl_checksum_body(uint8_t *to, const uint8_t *from, size_t length)
{
    uint64_t sum = 0;
    const size_t whole = length & ~(FL_CHECKSUM_STEP - 1);
    if (0 != whole)
    {
        fl_lanes_t all = { 0 };
        fl_lanes_t high = { 0 };
        fl_half_lanes_t halves[2];
        for (size_t at = 0; at < whole; at += FL_CHECKSUM_STEP)
        {
            fl_lanes_t first;
            fl_lanes_t second;
            memcpy(&first, from + at, sizeof(first));
            memcpy(&second, from + at + sizeof(first), sizeof(second));
            if (NULL != to)
            {
                memcpy(to + at, &first, sizeof(first));
                memcpy(to + at + sizeof(first), &second, sizeof(second));
            }
            all += first + second;
            high += (first >> 32) + (second >> 32);
        }
        all = all - (high << 32) + high;
        memcpy(halves, &all, sizeof(halves));
        halves[0] += halves[1];
        sum = halves[0][0] + halves[0][1];
    }
    if (whole != length)
    {
        sum = fl_checksum_rest(sum, NULL != to ? to + whole : NULL, from + whole, length - whole);
    }
    return sum;
}

#endif
