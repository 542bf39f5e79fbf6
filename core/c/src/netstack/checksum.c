#include "netstack/checksum_body.h"

#include <arpa/inet.h>

#if defined(__x86_64__)
FL_CHECKSUM_AVX2 static uint64_t fl_checksum_sum_avx2(const uint8_t *bytes, size_t length)
{
    return fl_checksum_body(NULL, bytes, length);
}

FL_CHECKSUM_AVX2 static uint64_t fl_checksum_copy_avx2(uint8_t *to, const uint8_t *from, size_t length)
{
    return fl_checksum_body(to, from, length);
}
#endif

uint64_t fl_checksum_sum(const uint8_t *bytes, size_t length)
{
#if defined(__x86_64__)
    if (length >= FL_CHECKSUM_STEP && fl_checksum_has_avx2())
    {
        return fl_checksum_sum_avx2(bytes, length);
    }
#endif
    return fl_checksum_body(NULL, bytes, length);
}

uint64_t fl_checksum_copy(uint8_t *to, const uint8_t *from, size_t length)
{
#if defined(__x86_64__)
    if (length >= FL_CHECKSUM_STEP && fl_checksum_has_avx2())
    {
        return fl_checksum_copy_avx2(to, from, length);
    }
#endif
    return fl_checksum_body(to, from, length);
}

uint64_t fl_checksum_pseudo(
    const fl_address_t *source, const fl_address_t *destination, uint8_t protocol, uint32_t length)
{
    /* Unused bytes of an IPv4 address are zero, and add nothing. */
    const uint64_t addresses = fl_checksum_add(
        fl_checksum_sum(source->bytes, sizeof(source->bytes)),
        fl_checksum_sum(destination->bytes, sizeof(destination->bytes)));
    return fl_checksum_add(addresses, (uint64_t)htonl(protocol) + htonl(length));
}
