#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void fl_name_from_address(struct sockaddr_in *name, const fl_address_t *address)
{
    memset(name, 0, sizeof(*name));
    name->sin_family = AF_INET;
    name->sin_port = htons(address->port);
    memcpy(&name->sin_addr, address->bytes, sizeof(name->sin_addr));
}

void fl_address_from_name(fl_address_t *address, const struct sockaddr_in *name)
{
    memset(address, 0, sizeof(*address));
    address->family = FL_FAMILY_IPV4;
    address->port = ntohs(name->sin_port);
    memcpy(address->bytes, &name->sin_addr, sizeof(name->sin_addr));
}

bool fl_address_is_wildcard(const fl_address_t *address)
{
    static const uint8_t zeroes[sizeof(struct in_addr)];
    return 0 == memcmp(address->bytes, zeroes, sizeof(zeroes));
}

bool fl_address_is_multicast(const fl_address_t *address)
{
    return FL_FAMILY_IPV4 == address->family && 0xe0 == (address->bytes[0] & 0xf0);
}

const char *fl_address_format(const fl_address_t *address, char text[FL_ADDRESS_TEXT_LENGTH])
{
    snprintf(
        text, FL_ADDRESS_TEXT_LENGTH, "%u.%u.%u.%u:%u", address->bytes[0], address->bytes[1], address->bytes[2],
        address->bytes[3], address->port);
    return text;
}
