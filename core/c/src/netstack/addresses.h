/* The addresses of the interface behind a netstack, and the networks that they are on.
 *
 * One writer at a time (the thread that feeds the netstack: control before the pollers run, then the netlink thread),
 * any number of readers: a snapshot under a latch, read by copying; nobody waits. Readers are off the fast path: they
 * fill a peer's cache, or answer a control frame.
 */
#ifndef FL_NETSTACK_ADDRESSES_H
#define FL_NETSTACK_ADDRESSES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "api/netstack.h"
#include "netstack/latch.h"

#define FL_INTERFACE_ADDRESSES 64

typedef struct fl_addresses
{
    _Atomic uint32_t sequence;
    struct
    {
        _Atomic uint64_t count;
        _Atomic uint64_t entries[FL_INTERFACE_ADDRESSES][FL_LATCH_WORDS(fl_interface_address_t)];
    } copies[2];
} fl_addresses_t;

/* Whether the address is of link scope: fe80::/10 or ff02::/16. */
static inline bool fl_address_is_link_local(const fl_address_t *address)
{
    return FL_FAMILY_IPV6 == address->family &&
        ((0xfe == address->bytes[0] && 0x80 == (address->bytes[1] & 0xc0)) ||
         (0xff == address->bytes[0] && 0x02 == (address->bytes[1] & 0x0f)));
}

/* Replace all. Returns 0, or -FL_ENOSPC with the error text set if there are more than FL_INTERFACE_ADDRESSES. */
int fl_addresses_set(fl_addresses_t *addresses, const fl_interface_address_t *entries, uint32_t count);

/* Whether the address is one of ours; ports are ignored. */
bool fl_addresses_has(fl_addresses_t *addresses, const fl_address_t *address);

/* Whether it is a broadcast address of one of our IPv4 networks, or the limited one. */
bool fl_addresses_is_broadcast(fl_addresses_t *addresses, const fl_address_t *address);

/* Whether the destination is on one of our networks (no gateway is needed). */
bool fl_addresses_is_on_link(fl_addresses_t *addresses, const fl_address_t *address);

/* The longest prefix of our networks that the address is in, or -1. Link-local IPv6 is in ours if we have any IPv6. */
int fl_addresses_prefix_of(fl_addresses_t *addresses, const fl_address_t *address);

/* Whether the first `prefix_length` bits of two addresses of one family are equal. */
bool fl_address_is_in(const fl_address_t *address, const fl_address_t *network, uint32_t prefix_length);

/* Choose the source address for a destination: on the same network (the longest prefix), else the first of the family
 * and, for IPv6, of the same scope; a link-local destination takes a wider one if there is no other. Returns false if
 * there is none. */
bool fl_addresses_source_for(fl_addresses_t *addresses, const fl_address_t *destination, fl_address_t *source);

/* Copy all into entries[FL_INTERFACE_ADDRESSES]. Returns how many there are. */
uint32_t fl_addresses_copy(fl_addresses_t *addresses, fl_interface_address_t *entries);

#endif
