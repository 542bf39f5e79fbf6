#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

socklen_t fl_name_from_address(fl_name_t *name, const fl_address_t *address)
{
    memset(name, 0, sizeof(*name));
    switch (address->family)
    {
        case FL_FAMILY_IPV4:
            name->v4.sin_family = AF_INET;
            name->v4.sin_port = htons(address->port);
            memcpy(&name->v4.sin_addr, address->bytes, sizeof(name->v4.sin_addr));
            return sizeof(name->v4);

        case FL_FAMILY_IPV6:
            name->v6.sin6_family = AF_INET6;
            name->v6.sin6_port = htons(address->port);
            name->v6.sin6_scope_id = address->scope_id;
            memcpy(&name->v6.sin6_addr, address->bytes, sizeof(name->v6.sin6_addr));
            return sizeof(name->v6);

        default:
            return 0;
    }
}

void fl_address_from_name(fl_address_t *address, const fl_name_t *name)
{
    memset(address, 0, sizeof(*address));
    if (AF_INET == name->any.sa_family)
    {
        address->family = FL_FAMILY_IPV4;
        address->port = ntohs(name->v4.sin_port);
        memcpy(address->bytes, &name->v4.sin_addr, sizeof(name->v4.sin_addr));
    }
    else if (AF_INET6 == name->any.sa_family)
    {
        address->family = FL_FAMILY_IPV6;
        address->port = ntohs(name->v6.sin6_port);
        address->scope_id = name->v6.sin6_scope_id;
        memcpy(address->bytes, &name->v6.sin6_addr, sizeof(name->v6.sin6_addr));
    }
}

bool fl_address_is_wildcard(const fl_address_t *address)
{
    static const uint8_t zeroes[sizeof(address->bytes)];
    return 0 == memcmp(address->bytes, zeroes, sizeof(zeroes));
}

bool fl_address_is_multicast(const fl_address_t *address)
{
    return FL_FAMILY_IPV4 == address->family ? 0xe0 == (address->bytes[0] & 0xf0)
                                             : FL_FAMILY_IPV6 == address->family && 0xff == address->bytes[0];
}

bool fl_address_needs_scope(const fl_address_t *address)
{
    if (FL_FAMILY_IPV6 != address->family)
    {
        return false;
    }
    const uint8_t *bytes = address->bytes;
    return (0xfe == bytes[0] && 0x80 == (bytes[1] & 0xc0)) || (0xff == bytes[0] && (bytes[1] & 0x0f) <= 2);
}

const char *fl_address_format(const fl_address_t *address, char text[FL_ADDRESS_TEXT_LENGTH])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (FL_FAMILY_IPV4 == address->family)
    {
        inet_ntop(AF_INET, address->bytes, host, sizeof(host));
        snprintf(text, FL_ADDRESS_TEXT_LENGTH, "%s:%u", host, address->port);
    }
    else if (FL_FAMILY_IPV6 == address->family)
    {
        inet_ntop(AF_INET6, address->bytes, host, sizeof(host));
        if (0 != address->scope_id)
        {
            snprintf(text, FL_ADDRESS_TEXT_LENGTH, "[%s%%%u]:%u", host, address->scope_id, address->port);
        }
        else
        {
            snprintf(text, FL_ADDRESS_TEXT_LENGTH, "[%s]:%u", host, address->port);
        }
    }
    else
    {
        snprintf(text, FL_ADDRESS_TEXT_LENGTH, "no address");
    }
    return text;
}
