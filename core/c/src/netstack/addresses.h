/* The addresses of the interface behind a netstack, and the networks that they are on.
 *
 * One writer at a time (the thread that feeds the netstack: control before the pollers run, then the netlink thread), any
 * number of readers: a snapshot under a sequence count, read by copying. Readers are off the fast path: they fill a peer's
 * cache, or answer a control frame.
 */
#ifndef FL_NETSTACK_ADDRESSES_H
#define FL_NETSTACK_ADDRESSES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "api/netstack.h"

#define FL_INTERFACE_ADDRESSES 64

typedef struct fl_addresses
{
    _Atomic uint32_t sequence;         /* odd while it is written */
    uint32_t count;
    fl_interface_address_t entries[FL_INTERFACE_ADDRESSES];
} fl_addresses_t;

/* Replace all. Returns 0, or -FL_ENOSPC with the error text set if there are more than FL_INTERFACE_ADDRESSES. */
int fl_addresses_set(fl_addresses_t *addresses, const fl_interface_address_t *entries, uint32_t count);

/* Whether the address is one of ours; ports are ignored. */
bool fl_addresses_has(fl_addresses_t *addresses, const fl_address_t *address);

/* Whether it is a broadcast address of one of our IPv4 networks, or the limited one. */
bool fl_addresses_is_broadcast(fl_addresses_t *addresses, const fl_address_t *address);

/* Whether the destination is on one of our networks (no gateway is needed). */
bool fl_addresses_is_on_link(fl_addresses_t *addresses, const fl_address_t *address);

/* Choose the source address for a destination: on the same network, else the first of the family and, for IPv6, of the same
 * scope. Returns false if there is none. */
bool fl_addresses_source_for(fl_addresses_t *addresses, const fl_address_t *destination, fl_address_t *source);

/* Copy all into entries[FL_INTERFACE_ADDRESSES]. Returns how many there are. */
uint32_t fl_addresses_copy(fl_addresses_t *addresses, fl_interface_address_t *entries);

#endif
