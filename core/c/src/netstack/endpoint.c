/* Endpoints: opening and closing, and the port's filters that follow them. Everything here is the control thread's, but
 * set_peer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/netstack.h"
#include "transport/address.h"
#include "util/error.h"

/* ---- filters ---- */

static uint32_t fl_endpoint_queue(const fl_transport_t *netstack, uint32_t role)
{
    for (uint32_t queue = 0; queue < netstack->queues; queue++)
    {
        const fl_poller_t *poller = atomic_load_explicit(&netstack->pollers[queue], memory_order_relaxed);
        if (NULL != poller && 0 != (poller->roles & role))
        {
            return queue;
        }
    }
    return FL_ROLE_RECEIVER == role && netstack->queues > 1 ? 1 : 0;
}

static void fl_endpoint_remove_filter(fl_endpoint_t *endpoint, uint32_t index)
{
    fl_transport_t *netstack = endpoint->netstack;
    static const fl_address_t any = { .family = FL_FAMILY_NONE };
    const fl_filter_t filter = endpoint->filters[index];
    endpoint->filters[index] = endpoint->filters[--endpoint->filter_count];
    fl_netstack_note(
        netstack,
        netstack->port_ops.remove_filter(
            netstack->port, filter.queue, (uint16_t)netstack->config.vlan, &filter.address, &any));
}

static int fl_endpoint_add_filter(fl_endpoint_t *endpoint, const fl_address_t *address, uint32_t queue)
{
    fl_transport_t *netstack = endpoint->netstack;
    static const fl_address_t any = { .family = FL_FAMILY_NONE };
    if (endpoint->filter_count == endpoint->filter_capacity)
    {
        const uint32_t capacity = 0 == endpoint->filter_capacity ? 2 : 4 * endpoint->filter_capacity;
        fl_filter_t *filters = realloc(endpoint->filters, capacity * sizeof(*filters));
        if (NULL == filters)
        {
            return fl_error(FL_ENOMEM, "port '%s': no memory for filters", netstack->config.name);
        }
        endpoint->filters = filters;
        endpoint->filter_capacity = capacity;
    }
    const int result = fl_netstack_note(
        netstack,
        netstack->port_ops.add_filter(netstack->port, queue, (uint16_t)netstack->config.vlan, address, &any));
    if (-FL_ENOTSUP == result)
    {
        return 0;
    }
    if (result < 0)
    {
        char text[FL_ADDRESS_TEXT_LENGTH];
        fl_error_append(" (filter of port '%s' for %s)", netstack->config.name, fl_address_format(address, text));
        return result;
    }
    endpoint->filters[endpoint->filter_count++] = (fl_filter_t){ .address = *address, .queue = queue };
    return 0;
}

/* The addresses to filter for: those of the interface for a wildcard, and the group. Returns how many. */
static uint32_t fl_endpoint_wanted(fl_endpoint_t *endpoint, fl_address_t *wanted)
{
    uint32_t count = 0;
    if (fl_address_is_wildcard(&endpoint->local))
    {
        fl_interface_address_t own[FL_INTERFACE_ADDRESSES];
        const uint32_t total = fl_addresses_copy(&endpoint->netstack->addresses, own);
        for (uint32_t i = 0; i < total; i++)
        {
            if (own[i].address.family == endpoint->local.family)
            {
                wanted[count] = own[i].address;
                wanted[count++].port = endpoint->local.port;
            }
        }
    }
    else if (!fl_address_is_multicast(&endpoint->local))
    {
        wanted[count++] = endpoint->local;
    }
    if (FL_FAMILY_NONE != endpoint->group.family)
    {
        wanted[count++] = endpoint->group;
    }
    return count;
}

/* Make the port's filters those that are wanted, on the queue of the endpoint's poller. */
static int fl_endpoint_set_filters(fl_endpoint_t *endpoint)
{
    fl_address_t wanted[FL_INTERFACE_ADDRESSES + 1];
    bool is_there[FL_INTERFACE_ADDRESSES + 1] = { false };
    const uint32_t count = fl_endpoint_wanted(endpoint, wanted);
    const uint32_t queue = atomic_load_explicit(&endpoint->queue, memory_order_relaxed);
    for (uint32_t i = endpoint->filter_count; i-- > 0;)
    {
        uint32_t k = 0;
        while (k < count && !fl_address_is_same(&wanted[k], &endpoint->filters[i].address))
        {
            k++;
        }
        if (k < count && queue == endpoint->filters[i].queue)
        {
            is_there[k] = true;
        }
        else
        {
            fl_endpoint_remove_filter(endpoint, i);
        }
    }
    for (uint32_t k = 0; k < count; k++)
    {
        const int result = is_there[k] ? 0 : fl_endpoint_add_filter(endpoint, &wanted[k], queue);
        if (result < 0)
        {
            return result;
        }
    }
    return 0;
}

void fl_netstack_follow_filters(fl_transport_t *netstack)
{
    /* Acquire: pairs with the release in fl_netstack_set_addresses(). */
    const uint32_t version = atomic_load_explicit(&netstack->addresses_version, memory_order_acquire);
    for (fl_endpoint_t *endpoint = netstack->endpoints; NULL != endpoint; endpoint = endpoint->next)
    {
        const bool is_elsewhere = endpoint->filter_count > 0 &&
            endpoint->filters[0].queue != atomic_load_explicit(&endpoint->queue, memory_order_relaxed);
        const bool is_stale = version != netstack->filters_version && fl_address_is_wildcard(&endpoint->local);
        if ((is_elsewhere || is_stale) && fl_endpoint_set_filters(endpoint) < 0)
        {
            char text[FL_ADDRESS_TEXT_LENGTH];
            char line[256];
            snprintf(
                line, sizeof(line), "'%s': the filters for %s could not follow a change: %s", netstack->config.name,
                fl_address_format(&endpoint->local, text), fl_error_text());
            netstack->host->log(netstack->host, FL_LOG_WARNING, line);
            fl_error_clear();
        }
    }
    netstack->filters_version = version;
}

/* ---- opening ---- */

static uint32_t fl_endpoint_overhead(uint8_t family)
{
    return (FL_FAMILY_IPV6 == family ? FL_IPV6_LENGTH : FL_IPV4_LENGTH) + FL_UDP_LENGTH;
}

static int fl_endpoint_check(fl_transport_t *netstack, const fl_endpoint_params_t *params, const fl_address_t *bind)
{
    char text[FL_ADDRESS_TEXT_LENGTH];
    const char *name = netstack->config.name;
    if (FL_FAMILY_IPV4 != bind->family && FL_FAMILY_IPV6 != bind->family)
    {
        return fl_error(FL_EINVAL, "'%s': an endpoint needs a bind address or a peer", name);
    }
    if (FL_ROLE_SENDER != params->role && FL_ROLE_RECEIVER != params->role)
    {
        return fl_error(FL_EINVAL, "'%s': role %u of an endpoint is neither sender nor receiver", name, params->role);
    }
    if (FL_FAMILY_NONE != params->peer.family && params->peer.family != bind->family)
    {
        return fl_error(
            FL_EAFNOSUPPORT, "'%s': bind address and peer %s are of different families", name,
            fl_address_format(&params->peer, text));
    }
    const uint32_t overhead = fl_endpoint_overhead(bind->family);
    if (params->mtu_length > netstack->config.mtu_length - overhead)
    {
        return fl_error(
            FL_EMSGSIZE,
            "'%s': datagrams of %u bytes and %u bytes of headers do not fit into the %u bytes that an IP packet may "
            "have there, and fragments are not sent; set mtu_length to %u or less, or raise the MTU of the device",
            name, params->mtu_length, overhead, netstack->config.mtu_length, netstack->config.mtu_length - overhead);
    }
    const fl_address_t *own[] = { bind, &params->interface_address };
    for (uint32_t i = 0; i < 2; i++)
    {
        if (FL_FAMILY_NONE != own[i]->family && !fl_address_is_wildcard(own[i]) && !fl_address_is_multicast(own[i]) &&
            !fl_addresses_has(&netstack->addresses, own[i]))
        {
            return fl_error(
                FL_EADDRNOTAVAIL, "'%s': cannot bind to %s: its interface does not have that address", name,
                fl_address_format(own[i], text));
        }
    }
    if (0 != params->interface_index && 0 != netstack->config.interface_index &&
        params->interface_index != netstack->config.interface_index)
    {
        return fl_error(
            FL_EADDRNOTAVAIL, "'%s': interface %u was asked for, it serves interface %u", name, params->interface_index,
            netstack->config.interface_index);
    }
    return 0;
}

/* Fill in the addresses of an endpoint: what it is bound to, the group it hears, the source it sends from. */
static void fl_endpoint_address(fl_endpoint_t *endpoint, const fl_endpoint_params_t *params, const fl_address_t *bind)
{
    endpoint->local = *bind;
    endpoint->source.family = FL_FAMILY_NONE;
    const bool has_interface = FL_FAMILY_NONE != params->interface_address.family &&
        !fl_address_is_wildcard(&params->interface_address) && params->interface_address.family == bind->family;
    if (fl_address_is_multicast(bind))
    {
        endpoint->group = *bind;
        if (FL_ROLE_SENDER == params->role)
        {
            /* The control group is received from; data leaves from a unicast address and a port of its own. */
            endpoint->local = (fl_address_t){ .family = bind->family };
            fl_address_t source;
            if (has_interface)
            {
                endpoint->local = params->interface_address;
            }
            else if (fl_addresses_source_for(&endpoint->netstack->addresses, &params->peer, &source))
            {
                endpoint->local = source;
            }
            endpoint->local.port = 0;
        }
    }
    if (has_interface)
    {
        endpoint->source = params->interface_address;
    }
    if (!fl_address_is_wildcard(&endpoint->local) && !fl_address_is_multicast(&endpoint->local))
    {
        endpoint->source = endpoint->local;
    }
    endpoint->source.port = 0;
}

static void fl_endpoint_count_user(fl_endpoint_t *endpoint, int delta)
{
    const uint16_t ports[] = { endpoint->local.port,
                               FL_FAMILY_NONE != endpoint->group.family ? endpoint->group.port : endpoint->local.port };
    for (int i = 0; i < 2; i++)
    {
        /* Relaxed: it only tells why a datagram is dropped. */
        atomic_fetch_add_explicit(
            &endpoint->netstack->port_users[FL_ROLE_RECEIVER == endpoint->role][ports[i]], (uint16_t)delta,
            memory_order_relaxed);
    }
}

static void fl_endpoint_free(fl_endpoint_t *endpoint)
{
    while (endpoint->filter_count > 0)
    {
        fl_endpoint_remove_filter(endpoint, endpoint->filter_count - 1);
    }
    free(endpoint->filters);
    free(endpoint);
}

int fl_netstack_open_endpoint(fl_transport_t *netstack, fl_endpoint_params_t *params, fl_endpoint_t **result)
{
    if (fl_netstack_is_lost(netstack))
    {
        return fl_error(FL_ENODEV, "'%s': the device is gone", netstack->config.name);
    }
    fl_address_t bind = params->bind;
    if (FL_FAMILY_NONE == bind.family)
    {
        bind = (fl_address_t){ .family = params->peer.family };
    }
    int status = fl_endpoint_check(netstack, params, &bind);
    if (status < 0)
    {
        return status;
    }
    fl_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint)
    {
        return fl_error(FL_ENOMEM, "'%s': no memory for an endpoint", netstack->config.name);
    }
    endpoint->netstack = netstack;
    endpoint->sockets[0] = endpoint->sockets[1] = -1;
    endpoint->role = params->role;
    endpoint->flags = params->flags;
    endpoint->ttl = 0 != params->ttl ? params->ttl : FL_NETSTACK_MULTICAST_TTL;
    endpoint->most_payload = netstack->config.mtu_length - fl_endpoint_overhead(bind.family);
    endpoint->first_peer.address = params->peer;
    atomic_init(&endpoint->connected, FL_FAMILY_NONE != params->peer.family ? &endpoint->first_peer : NULL);
    endpoint->hears_peer_only = 0 != (params->flags & FL_ENDPOINT_CONNECT) && FL_FAMILY_NONE != params->peer.family &&
        !fl_address_is_multicast(&params->peer);
    atomic_init(&endpoint->queue, fl_endpoint_queue(netstack, params->role));
    fl_endpoint_address(endpoint, params, &bind);

    status = fl_netstack_reserve(endpoint);
    if (status < 0)
    {
        goto failed;
    }
    status = fl_endpoint_set_filters(endpoint);
    if (status < 0)
    {
        goto reserved;
    }
    status = fl_netstack_join(endpoint);
    if (status < 0)
    {
        goto reserved;
    }
    endpoint->id = netstack->next_id++;
    netstack->next_id += 0 == netstack->next_id;
    endpoint->next = netstack->endpoints;
    netstack->endpoints = endpoint;
    fl_endpoint_count_user(endpoint, 1);
    params->max_run_segments = FL_NETSTACK_RUN_SEGMENTS;
    params->max_run_length = FL_NETSTACK_RUN_LENGTH;
    params->send_buffer_granted = 0;
    params->receive_buffer_granted = 0;
    params->note[0] = '\0';
    params->receive_clock = 0 != (netstack->attributes.offloads & FL_PORT_RX_TIMESTAMP) ? FL_CLOCK_HARDWARE_SYNC
                                                                                         : FL_CLOCK_NONE;
    *result = endpoint;
    return 0;

reserved:
    fl_netstack_unreserve(endpoint);
failed:
    fl_endpoint_free(endpoint);
    return status;
}

int fl_netstack_close_endpoint(fl_endpoint_t *endpoint)
{
    fl_transport_t *netstack = endpoint->netstack;
    /* Acquire: pairs with the release in fl_netstack_poller_remove(); the poller is done with the endpoint. */
    if (NULL != atomic_load_explicit(&endpoint->poller, memory_order_acquire) ||
        (0 != endpoint->held && !fl_netstack_is_lost(netstack)))
    {
        return fl_error(
            FL_EBUSY, "'%s': the endpoint is on a poller or has held runs under way", netstack->config.name);
    }
    fl_endpoint_t **link = &netstack->endpoints;
    while (*link != endpoint)
    {
        link = &(*link)->next;
    }
    *link = endpoint->next;
    fl_endpoint_count_user(endpoint, -1);
    fl_netstack_leave(endpoint);
    fl_netstack_unreserve(endpoint);
    fl_endpoint_free(endpoint);
    return 0;
}

int fl_netstack_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    *address = endpoint->local;
    return 0;
}

int fl_netstack_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    if (peer->address.family != endpoint->local.family)
    {
        return -FL_EAFNOSUPPORT;
    }
    endpoint->hears_peer_only =
        0 != (endpoint->flags & FL_ENDPOINT_CONNECT) && !fl_address_is_multicast(&peer->address);
    atomic_store_explicit(&endpoint->connected, peer, memory_order_relaxed);
    fl_poller_t *poller = atomic_load_explicit(&endpoint->poller, memory_order_relaxed);
    if (NULL != poller)
    {
        fl_flows_clear(poller);
    }
    return 0;
}
