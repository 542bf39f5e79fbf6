/* Questions about addresses and runs that the transports of the core ask, and an address in other forms. */
#ifndef FL_TRANSPORT_ADDRESS_H
#define FL_TRANSPORT_ADDRESS_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <framelane/types.h>

#define FL_ADDRESS_TEXT_LENGTH 64
#define FL_UDP_PAYLOAD_MAXIMUM 65507   /* 65535 less the headers of IPv4 and UDP */

static inline bool fl_address_is_same_host(const fl_address_t *a, const fl_address_t *b)
{
    return a->family == b->family && 0 == memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static inline bool fl_address_is_same(const fl_address_t *a, const fl_address_t *b)
{
    return a->port == b->port && fl_address_is_same_host(a, b);
}

static inline bool fl_address_is_wildcard(const fl_address_t *address)
{
    static const uint8_t zeros[16];
    return 0 == memcmp(address->bytes, zeros, sizeof(zeros));
}

static inline bool fl_address_is_multicast(const fl_address_t *address)
{
    return FL_FAMILY_IPV6 == address->family ? 0xff == address->bytes[0]
                                             : FL_FAMILY_IPV4 == address->family && 0xe0 == (address->bytes[0] & 0xf0);
}

static inline bool fl_address_is_loopback(const fl_address_t *address)
{
    static const uint8_t one[16] = { [15] = 1 };
    return FL_FAMILY_IPV6 == address->family ? 0 == memcmp(address->bytes, one, sizeof(one))
                                             : FL_FAMILY_IPV4 == address->family && 127 == address->bytes[0];
}

/* Write the address as text, such as 10.0.0.1:40123 or [::1]:40123. Returns text. */
static inline const char *fl_address_format(const fl_address_t *address, char text[FL_ADDRESS_TEXT_LENGTH])
{
    char host[INET6_ADDRSTRLEN] = "none";
    if (FL_FAMILY_NONE != address->family)
    {
        inet_ntop(FL_FAMILY_IPV6 == address->family ? AF_INET6 : AF_INET, address->bytes, host, sizeof(host));
    }
    snprintf(
        text, FL_ADDRESS_TEXT_LENGTH, FL_FAMILY_IPV6 == address->family ? "[%s]:%u" : "%s:%u", host, address->port);
    return text;
}

/* An address as the kernel's socket calls take it. */
typedef union fl_socket_name
{
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} fl_socket_name_t;

/* Returns the length of what was written. */
static inline socklen_t fl_socket_name_make(fl_socket_name_t *name, const fl_address_t *address)
{
    memset(name, 0, sizeof(*name));
    if (FL_FAMILY_IPV6 == address->family)
    {
        name->v6.sin6_family = AF_INET6;
        name->v6.sin6_port = htons(address->port);
        name->v6.sin6_scope_id = address->scope_id;
        memcpy(&name->v6.sin6_addr, address->bytes, 16);
        return sizeof(name->v6);
    }
    name->v4.sin_family = AF_INET;
    name->v4.sin_port = htons(address->port);
    memcpy(&name->v4.sin_addr, address->bytes, 4);
    return sizeof(name->v4);
}

/* Forget what a transport knew of a peer; the address stays. Thread: the one that sends to it. */
static inline void fl_peer_forget(fl_peer_t *peer)
{
    peer->generation = 0;
    memset(peer->cache, 0, sizeof(peer->cache));
}

/* How many datagrams a run holds; 0 if its lengths contradict each other. */
static inline uint32_t fl_run_segments(const fl_run_t *run)
{
    return 0 == run->length            ? 1
        : 0 == run->segment_length     ? 0
                                       : run->length / run->segment_length + (0 != run->length % run->segment_length);
}

/* Bytes of the first `segments` datagrams of a run. */
static inline uint32_t fl_run_extent(const fl_run_t *run, uint32_t segments)
{
    const uint64_t extent = (uint64_t)segments * run->segment_length;
    return extent < run->length ? (uint32_t)extent : run->length;
}

/* Where a run goes: its peer, or the connected one. */
static inline const fl_address_t *fl_run_destination(const fl_run_t *run, const fl_address_t *connected)
{
    return NULL != run->peer ? &run->peer->address : connected;
}

/* The status that runs[index] inherits: that of an earlier run of the call to the same destination that was not taken
 * whole, else 0. */
static inline int32_t fl_run_inherited_status(const fl_run_t *runs, uint32_t index, const fl_address_t *connected)
{
    const fl_address_t *destination = fl_run_destination(&runs[index], connected);
    for (uint32_t i = 0; i < index; i++)
    {
        if (0 != runs[i].status && fl_address_is_same(fl_run_destination(&runs[i], connected), destination))
        {
            return runs[i].status;
        }
    }
    return 0;
}

#endif
