/* Questions about addresses, an address as text, and as socket calls take it. For C sources alone; cffi does not take
 * it. */
#ifndef FRAMELANE_ADDRESS_H
#define FRAMELANE_ADDRESS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <framelane/types.h>

/* Long enough for "[ipv6%scope]:port". */
#define FL_ADDRESS_TEXT_LENGTH 80

/* 65535 less the headers of IPv4 and UDP; IPv6 is held to the same. */
#define FL_UDP_PAYLOAD_MAXIMUM 65507

static inline bool fl_address_is_wildcard(const fl_address_t *address)
{
    static const uint8_t zeroes[sizeof(address->bytes)];
    return 0 == memcmp(address->bytes, zeroes, sizeof(zeroes));
}

static inline bool fl_address_is_multicast(const fl_address_t *address)
{
    return FL_FAMILY_IPV6 == address->family ? 0xff == address->bytes[0]
                                             : FL_FAMILY_IPV4 == address->family && 0xe0 == (address->bytes[0] & 0xf0);
}

/* Whether the address means nothing without an interface: IPv6 fe80::/10, and multicast of interface or link scope. */
static inline bool fl_address_needs_scope(const fl_address_t *address)
{
    const uint8_t *bytes = address->bytes;
    return FL_FAMILY_IPV6 == address->family &&
        ((0xfe == bytes[0] && 0x80 == (bytes[1] & 0xc0)) || (0xff == bytes[0] && (bytes[1] & 0x0f) <= 2));
}

/* Write the terminated text, such as "10.0.0.1:40123" or "[fe80::1%2]:40123". Returns `text`. Not inlined: the compiler
 * would warn of texts longer than any address is. */
__attribute__((noinline, unused)) static const char *fl_address_format(
    const fl_address_t *address, char text[FL_ADDRESS_TEXT_LENGTH])
{
    char host[INET6_ADDRSTRLEN] = "";
    char scope[16] = "";
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
            snprintf(scope, sizeof(scope), "%%%u", address->scope_id);
        }
        snprintf(text, FL_ADDRESS_TEXT_LENGTH, "[%s%s]:%u", host, scope, address->port);
    }
    else
    {
        snprintf(text, FL_ADDRESS_TEXT_LENGTH, "no address");
    }
    return text;
}

/* A socket address of either family. It fits the cache of an fl_peer_t. */
typedef union fl_socket_name
{
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} fl_socket_name_t;

static_assert(sizeof(fl_socket_name_t) <= sizeof(((fl_peer_t *)0)->cache), "a name fits a peer's cache");

/* The name of an IPv4 address. Writes every byte. */
static inline void fl_socket_name_make_v4(struct sockaddr_in *name, const fl_address_t *address)
{
    memset(name, 0, sizeof(*name));
    name->sin_family = AF_INET;
    name->sin_port = htons(address->port);
    memcpy(&name->sin_addr, address->bytes, sizeof(name->sin_addr));
}

/* Write every byte of `name`. Returns its length, or 0 for a family that is neither IPv4 nor IPv6. */
static inline socklen_t fl_socket_name_make(fl_socket_name_t *name, const fl_address_t *address)
{
    memset(name, 0, sizeof(*name));
    switch (address->family)
    {
        case FL_FAMILY_IPV4:
            fl_socket_name_make_v4(&name->v4, address);
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

/* The address of an IPv4 name. Writes every byte. */
static inline void fl_address_from_name_v4(fl_address_t *address, const struct sockaddr_in *name)
{
    memset(address, 0, sizeof(*address));
    address->family = FL_FAMILY_IPV4;
    address->port = ntohs(name->sin_port);
    memcpy(address->bytes, &name->sin_addr, sizeof(name->sin_addr));
}

/* Write every byte of `address`. A name of another family gives FL_FAMILY_NONE. */
static inline void fl_address_from_name(fl_address_t *address, const fl_socket_name_t *name)
{
    if (AF_INET == name->any.sa_family)
    {
        fl_address_from_name_v4(address, &name->v4);
        return;
    }
    memset(address, 0, sizeof(*address));
    if (AF_INET6 == name->any.sa_family)
    {
        address->family = FL_FAMILY_IPV6;
        address->port = ntohs(name->v6.sin6_port);
        address->scope_id = name->v6.sin6_scope_id;
        memcpy(address->bytes, &name->v6.sin6_addr, sizeof(name->v6.sin6_addr));
    }
}

#endif
