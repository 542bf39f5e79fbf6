/* Where a destination's next hop is. Writer and readers as in addresses.h. */
#ifndef FL_NETSTACK_ROUTES_H
#define FL_NETSTACK_ROUTES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "netstack/addresses.h"

#define FL_NETSTACK_ROUTES 256

typedef struct fl_routes
{
    _Atomic uint32_t sequence;
    struct
    {
        _Atomic uint64_t count;
        /* Longest prefix first, then lowest metric. */
        _Atomic uint64_t entries[FL_NETSTACK_ROUTES][FL_LATCH_WORDS(fl_netstack_route_t)];
    } copies[2];
} fl_routes_t;

/* Replace all; they are sorted here. Returns 0, or -FL_ENOSPC with the error text set. */
int fl_routes_set(fl_routes_t *routes, const fl_netstack_route_t *entries, uint32_t count);

/* Find the next hop of a unicast destination: itself on an own network or an on-link route, else the gateway. The
 * longest prefix decides, and between equal ones the route, which may name a source and an MTU.
 *
 * next_hop   written, with port 0
 * source     written: the route's preferred source, else that of fl_addresses_source_for
 * mtu        written: of the route, 0 if it has none
 * returns    0, or -FL_ENETUNREACH
 */
int fl_routes_find(
    fl_routes_t *routes, fl_addresses_t *addresses, const fl_address_t *destination, fl_address_t *next_hop,
    fl_address_t *source, uint32_t *mtu);

#endif
