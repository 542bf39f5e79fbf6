/* Addresses of the ABI as the kernel's socket addresses, and back. */
#ifndef FL_SOCKETS_ADDRESS_H
#define FL_SOCKETS_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

#include <framelane/types.h>

/* Long enough for "[ipv6%scope]:port". */
#define FL_ADDRESS_TEXT_LENGTH 80

/* A socket address of either family. It fits the cache of an fl_peer_t. */
typedef union fl_name
{
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} fl_name_t;

static_assert(sizeof(fl_name_t) <= sizeof(((fl_peer_t *)0)->cache), "a name fits a peer's cache");

/* Returns the name's length, or 0 for a family that is neither IPv4 nor IPv6. */
socklen_t fl_name_from_address(fl_name_t *name, const fl_address_t *address);

/* Write every byte of `address`. A name of another family gives FL_FAMILY_NONE. */
void fl_address_from_name(fl_address_t *address, const fl_name_t *name);

bool fl_address_is_wildcard(const fl_address_t *address);
bool fl_address_is_multicast(const fl_address_t *address);

/* Whether the address means nothing without an interface: IPv6 fe80::/10, and multicast of interface or link scope. */
bool fl_address_needs_scope(const fl_address_t *address);

/* Write the terminated text, such as "10.0.0.1:40123" or "[fe80::1%2]:40123". Returns `text`. */
const char *fl_address_format(const fl_address_t *address, char text[FL_ADDRESS_TEXT_LENGTH]);

#endif
