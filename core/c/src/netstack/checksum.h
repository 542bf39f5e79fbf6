/* The Internet checksum (RFC 1071).
 *
 * Sums are kept unfolded in 64 bits, in the machine's byte order over the bytes as they lie, so that parts can be added
 * in any order as long as each begins at an even offset of what is summed. Any thread.
 */
#ifndef FL_NETSTACK_CHECKSUM_H
#define FL_NETSTACK_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <framelane/types.h>

/* The sum of some bytes, at any alignment; an odd last byte counts as followed by zero. */
uint64_t fl_checksum_sum(const uint8_t *bytes, size_t length);

/* Copy and sum in one pass. The areas do not overlap. */
uint64_t fl_checksum_copy(uint8_t *to, const uint8_t *from, size_t length);

/* The sum of a pseudo-header: addresses, protocol, and the length of the transport header with what follows it. Both
 * addresses are of one family. */
uint64_t fl_checksum_pseudo(
    const fl_address_t *source, const fl_address_t *destination, uint8_t protocol, uint32_t length);

static inline uint64_t fl_checksum_add(uint64_t a, uint64_t b)
{
    const uint64_t sum = a + b;
    return sum + (sum < b);
}

/* Fold a sum to 16 bits. Over bytes whose checksum field is right it is 0xffff. */
static inline uint16_t fl_checksum_fold(uint64_t sum)
{
    /* Added to itself with its halves exchanged, the upper half is the sum of both with the carry brought round. */
    sum += sum << 32 | sum >> 32;
    uint32_t half = (uint32_t)(sum >> 32);
    half += half << 16 | half >> 16;
    return (uint16_t)(half >> 16);
}

/* Whether a sum over bytes with their checksum field says that it is right: it folds to 0xffff, which any multiple of
 * 0xffff does but 0, and not all of those bytes are zero. Multiplied with the inverse of 0xffff modulo 2^64, multiples
 * become what they are multiples by, and anything else becomes more. */
static inline bool fl_checksum_is_right(uint64_t sum)
{
    return sum * UINT64_C(0xfffefffefffeffff) <= UINT64_MAX / 0xffff;
}

/* The value for a checksum field, as it is stored with memcpy. */
static inline uint16_t fl_checksum_finish(uint64_t sum)
{
    return (uint16_t)~fl_checksum_fold(sum);
}

#endif
