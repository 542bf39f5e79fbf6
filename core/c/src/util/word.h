/* Words at any address, in the machine's byte order. */
#ifndef FL_UTIL_WORD_H
#define FL_UTIL_WORD_H

#include <stdint.h>
#include <string.h>

static inline uint32_t fl_word_u32(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static inline uint64_t fl_word_u64(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

#endif
