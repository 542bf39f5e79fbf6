#include "netstack/routes.h"

#include "transport/address.h"
#include "util/error.h"

#define FL_ROUTE_WORDS FL_LATCH_WORDS(fl_netstack_route_t)

static bool fl_route_goes_before(const fl_netstack_route_t *a, const fl_netstack_route_t *b)
{
    return a->prefix_length != b->prefix_length ? a->prefix_length > b->prefix_length : a->metric < b->metric;
}

int fl_routes_set(fl_routes_t *routes, const fl_netstack_route_t *entries, uint32_t count)
{
    if (count > FL_NETSTACK_ROUTES)
    {
        return fl_error(
            FL_ENOSPC, "%u routes over one interface; the netstack takes %d", (unsigned)count, FL_NETSTACK_ROUTES);
    }
    /* Sorted by insertion: rare, and equal ones keep their order. */
    const fl_netstack_route_t *sorted[FL_NETSTACK_ROUTES];
    for (uint32_t i = 0; i < count; i++)
    {
        uint32_t at = i;
        for (; at > 0 && fl_route_goes_before(&entries[i], sorted[at - 1]); at--)
        {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = &entries[i];
    }
    for (int pass = 0; pass < 2; pass++)
    {
        const uint32_t left = 1 & atomic_load_explicit(&routes->sequence, memory_order_relaxed);
        fl_latch_publish(&routes->sequence);
        for (uint32_t i = 0; i < count; i++)
        {
            fl_latch_store(routes->copies[left].entries[i], sorted[i], FL_ROUTE_WORDS);
        }
        const uint64_t length = count;
        fl_latch_store(&routes->copies[left].count, &length, 1);
    }
    return 0;
}

/* Copy the first route that the destination is in. Returns whether there is one. */
static bool fl_routes_match(fl_routes_t *routes, const fl_address_t *destination, fl_netstack_route_t *route)
{
    bool is_found;
    uint32_t begun;
    do
    {
        uint64_t count;
        begun = fl_latch_begin(&routes->sequence);
        fl_latch_load(&routes->copies[begun & 1].count, &count, 1);
        is_found = false;
        for (uint64_t i = 0; i < count && !is_found; i++)
        {
            fl_latch_load(routes->copies[begun & 1].entries[i], route, FL_ROUTE_WORDS);
            is_found = fl_address_is_in(destination, &route->network, route->prefix_length);
        }
    }
    while (fl_latch_has_moved(&routes->sequence, begun));
    return is_found;
}

int fl_routes_find(
    fl_routes_t *routes, fl_addresses_t *addresses, const fl_address_t *destination, fl_address_t *next_hop,
    fl_address_t *source, uint32_t *mtu)
{
    fl_netstack_route_t route;
    const bool has_route = fl_routes_match(routes, destination, &route);
    const int own_prefix = fl_addresses_prefix_of(addresses, destination);
    if (!has_route && own_prefix < 0)
    {
        return -FL_ENETUNREACH;
    }
    const bool is_routed = has_route && (int)route.prefix_length >= own_prefix;
    *next_hop = is_routed && FL_FAMILY_NONE != route.gateway.family ? route.gateway : *destination;
    next_hop->port = 0;
    *mtu = is_routed ? route.mtu_length : 0;
    if (is_routed && FL_FAMILY_NONE != route.source.family)
    {
        *source = route.source;
        source->port = 0;
        return 0;
    }
    /* Our address on the gateway's network; an IPv6 gateway goes by its link-local address, which says nothing of
     * ours. */
    const fl_address_t *towards = FL_FAMILY_IPV4 == destination->family ? next_hop : destination;
    return fl_addresses_source_for(addresses, towards, source) ? 0 : -FL_ENETUNREACH;
}
