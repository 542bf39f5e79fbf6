#include "transport/simnet.h"

#include <stdlib.h>

#include "transport/address.h"
#include "transport/simnet_internal.h"
#include "util/error.h"

/* ---- hosts and their addresses ---- */

bool fl_sim_host_has(const fl_transport_t *host, const fl_address_t *address)
{
    for (uint32_t i = 0; i < host->address_count; i++)
    {
        if (fl_address_is_same_host(&host->addresses[i], address))
        {
            return true;
        }
    }
    return fl_address_is_loopback(address);
}

/* Whether two sockets of one host may not be bound to these addresses at once, as the kernel judges with
 * SO_REUSEADDR. */
static bool fl_sim_is_taken(const fl_transport_t *host, const fl_address_t *address, uint32_t flags)
{
    for (const fl_endpoint_t *e = host->endpoints; NULL != e; e = e->next)
    {
        const bool overlaps = e->local.port == address->port && e->local.family == address->family &&
            (fl_address_is_wildcard(&e->local) || fl_address_is_wildcard(address) ||
             fl_address_is_same_host(&e->local, address));
        if (overlaps && 0 == (flags & e->flags & FL_ENDPOINT_REUSE_ADDRESS))
        {
            return true;
        }
    }
    return false;
}

static int fl_sim_choose_port(fl_transport_t *host, fl_address_t *address)
{
    for (uint32_t i = FL_SIMNET_FIRST_PORT; i <= FL_SIMNET_LAST_PORT; i++)
    {
        address->port = host->next_port;
        host->next_port =
            FL_SIMNET_LAST_PORT == host->next_port ? FL_SIMNET_FIRST_PORT : (uint16_t)(host->next_port + 1);
        if (!fl_sim_is_taken(host, address, 0))
        {
            return 0;
        }
    }
    return fl_error(FL_EADDRINUSE, "simulated network: every port of the ephemeral range is in use");
}

/* ---- endpoints ---- */

static int fl_sim_bind(fl_endpoint_t *endpoint, const fl_endpoint_params_t *params)
{
    fl_transport_t *host = endpoint->host;
    char text[FL_ADDRESS_TEXT_LENGTH];
    endpoint->local = params->bind;
    if (FL_FAMILY_NONE == endpoint->local.family)
    {
        endpoint->local.family = params->peer.family;
    }
    if (FL_FAMILY_IPV4 != endpoint->local.family && FL_FAMILY_IPV6 != endpoint->local.family)
    {
        return fl_error(FL_EINVAL, "simulated network: an endpoint needs a bind address or a peer");
    }
    if (FL_FAMILY_NONE != params->peer.family && params->peer.family != endpoint->local.family)
    {
        return fl_error(FL_EAFNOSUPPORT, "simulated network: bind address and peer are of different families");
    }
    if (FL_FAMILY_NONE != params->interface_address.family)
    {
        if (!fl_sim_host_has(host, &params->interface_address))
        {
            return fl_error(
                FL_EADDRNOTAVAIL, "simulated network: no interface has the address %s",
                fl_address_format(&params->interface_address, text));
        }
        endpoint->source = params->interface_address;
    }

    if (fl_address_is_multicast(&endpoint->local))
    {
        endpoint->group = endpoint->local;
        if (FL_ROLE_SENDER == params->role)
        {
            /* The control group is received from; data leaves from a unicast address of its own. */
            endpoint->local = (fl_address_t){ .family = endpoint->group.family };
        }
    }
    else if (!fl_address_is_wildcard(&endpoint->local) && !fl_sim_host_has(host, &endpoint->local))
    {
        return fl_error(
            FL_EADDRNOTAVAIL, "simulated network: cannot bind to %s: the host does not have that address",
            fl_address_format(&endpoint->local, text));
    }

    if (0 == endpoint->local.port)
    {
        return fl_sim_choose_port(host, &endpoint->local);
    }
    if (fl_sim_is_taken(host, &endpoint->local, params->flags))
    {
        return fl_error(
            FL_EADDRINUSE, "simulated network: cannot bind to %s: the address is in use",
            fl_address_format(&endpoint->local, text));
    }
    return 0;
}

static uint32_t fl_sim_buffer_length(uint32_t asked)
{
    const uint32_t wanted = 0 == asked ? FL_SIMNET_BUFFER_DEFAULT : asked;
    uint32_t length = FL_SIMNET_BUFFER_MINIMUM;
    while (length < wanted && length < FL_SIMNET_BUFFER_MAXIMUM)
    {
        length *= 2;
    }
    return length;
}

static int fl_sim_open_endpoint(fl_transport_t *host, fl_endpoint_params_t *params, fl_endpoint_t **result)
{
    if (params->mtu_length > FL_UDP_PAYLOAD_MAXIMUM)
    {
        return fl_error(
            FL_EMSGSIZE, "simulated network: mtu_length is %u, at most %d", params->mtu_length, FL_UDP_PAYLOAD_MAXIMUM);
    }
    fl_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint)
    {
        return fl_error(FL_ENOMEM, "simulated network: no memory for an endpoint");
    }
    endpoint->host = host;
    endpoint->flags = params->flags;
    endpoint->peer = params->peer;
    int status = fl_sim_bind(endpoint, params);
    if (status < 0)
    {
        goto failed;
    }
    endpoint->ring_length = fl_sim_buffer_length(params->receive_buffer_length);
    endpoint->ring = calloc(1, endpoint->ring_length);
    if (NULL == endpoint->ring)
    {
        status = fl_error(FL_ENOMEM, "simulated network: no memory for a receive buffer");
        goto failed;
    }
    endpoint->send_buffer_length = fl_sim_buffer_length(params->send_buffer_length);
    endpoint->next = host->endpoints;
    host->endpoints = endpoint;

    params->max_run_segments = FL_SIMNET_RUN_SEGMENTS;
    params->max_run_length = FL_UDP_PAYLOAD_MAXIMUM;
    params->send_buffer_granted = endpoint->send_buffer_length;
    params->receive_buffer_granted = (uint32_t)endpoint->ring_length;
    params->note[0] = '\0';
    params->receive_clock = FL_CLOCK_SOFTWARE;
    *result = endpoint;
    return 0;

failed:
    free(endpoint);
    return status;
}

void fl_sim_endpoint_free_if_done(fl_endpoint_t *endpoint)
{
    if (endpoint->is_closed && 0 == endpoint->unreleased)
    {
        free(endpoint->ring);
        free(endpoint);
    }
}

static int fl_sim_close_endpoint(fl_endpoint_t *endpoint)
{
    if (NULL != endpoint->poller)
    {
        return fl_error(FL_EBUSY, "simulated network: the endpoint is on a poller");
    }
    fl_endpoint_t **link = &endpoint->host->endpoints;
    while (*link != endpoint)
    {
        link = &(*link)->next;
    }
    *link = endpoint->next;
    endpoint->is_closed = true;
    fl_sim_endpoint_free_if_done(endpoint);
    return 0;
}

static int fl_sim_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    *address = endpoint->local;
    return 0;
}

static int fl_sim_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    if (peer->address.family != endpoint->local.family)
    {
        return fl_error(FL_EAFNOSUPPORT, "simulated network: the peer is of another family than the endpoint");
    }
    endpoint->peer = peer->address;
    return 0;
}

/* ---- pollers ---- */

static int fl_sim_poller_open(fl_transport_t *host, uint32_t queue, uint32_t roles, fl_poller_t **result)
{
    (void)roles;
    for (const fl_poller_t *p = host->pollers; NULL != p; p = p->next)
    {
        if (p->queue == queue)
        {
            return fl_error(FL_EBUSY, "simulated network: queue %u has a poller", queue);
        }
    }
    fl_poller_t *poller = calloc(1, sizeof(*poller));
    if (NULL == poller)
    {
        return fl_error(FL_ENOMEM, "simulated network: no memory for a poller");
    }
    poller->host = host;
    poller->queue = queue;
    poller->next = host->pollers;
    host->pollers = poller;
    *result = poller;
    return 0;
}

static int fl_sim_poller_enter_or_leave(fl_poller_t *poller)
{
    (void)poller;
    return 0;
}

static int fl_sim_poller_close(fl_poller_t *poller)
{
    if (NULL != poller->endpoints)
    {
        return fl_error(FL_EBUSY, "simulated network: the poller has endpoints");
    }
    fl_poller_t **link = &poller->host->pollers;
    while (*link != poller)
    {
        link = &(*link)->next;
    }
    *link = poller->next;
    free(poller);
    return 0;
}

static int fl_sim_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    if (NULL != endpoint->poller)
    {
        return fl_error(FL_EBUSY, "simulated network: the endpoint is on a poller");
    }
    endpoint->poller = poller;
    endpoint->context = context;
    fl_sim_append(poller, endpoint);
    return 0;
}

static int fl_sim_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    if (endpoint->poller != poller)
    {
        return fl_error(FL_EINVAL, "simulated network: the endpoint is not on this poller");
    }
    fl_endpoint_t **link = &poller->endpoints;
    while (*link != endpoint)
    {
        link = &(*link)->next_on_poller;
    }
    *link = endpoint->next_on_poller;
    endpoint->poller = NULL;
    return 0;
}

static int fl_sim_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    (void)poller, (void)completions, (void)capacity;
    return 0;
}

/* ---- the transport ---- */

static int fl_sim_events(fl_transport_t *host, fl_event_t *events, uint32_t capacity)
{
    (void)host, (void)events, (void)capacity;
    return 0;
}

static int fl_sim_stats(fl_transport_t *host, fl_stat_t *stats, uint32_t capacity)
{
    const fl_simnet_totals_t *totals = &host->net->totals;
    const fl_stat_t all[] = {
        { "simulated-delivered", totals->delivered },
        { "simulated-no-host", totals->no_host },
        { "simulated-no-endpoint", totals->no_endpoint },
        { "simulated-buffer-full", totals->buffer_full },
    };
    const uint32_t count = sizeof(all) / sizeof(all[0]);
    if (0 != capacity)
    {
        memcpy(stats, all, (capacity < count ? capacity : count) * sizeof(all[0]));
    }
    return (int)(0 != capacity && capacity < count ? capacity : count);
}

static int fl_sim_close(fl_transport_t *host)
{
    if (NULL != host->endpoints || NULL != host->pollers)
    {
        return fl_error(FL_EBUSY, "simulated network: the host has open endpoints or pollers");
    }
    fl_transport_t **link = &host->net->hosts;
    while (*link != host)
    {
        link = &(*link)->next;
    }
    *link = host->next;
    free(host);
    return 0;
}

static const fl_transport_ops_t fl_sim_ops = {
    .magic = FL_TRANSPORT_MAGIC,
    .size = sizeof(fl_transport_ops_t),
    .abi_version = FL_ABI_VERSION,
    .queues = 0,
    .open_endpoint = fl_sim_open_endpoint,
    .close_endpoint = fl_sim_close_endpoint,
    .local_address = fl_sim_local_address,
    .set_peer = fl_sim_set_peer,
    .poller_open = fl_sim_poller_open,
    .poller_enter = fl_sim_poller_enter_or_leave,
    .poller_leave = fl_sim_poller_enter_or_leave,
    .poller_close = fl_sim_poller_close,
    .poller_add = fl_sim_poller_add,
    .poller_remove = fl_sim_poller_remove,
    .poll = fl_sim_poll,
    .release = fl_sim_release,
    .send = fl_sim_send,
    .reap = fl_sim_reap,
    .events = fl_sim_events,
    .stats = fl_sim_stats,
    .close = fl_sim_close,
};

const void *fl_simnet_ops(void)
{
    return &fl_sim_ops;
}

fl_transport_t *fl_simnet_attach(
    fl_simnet_t *net, const fl_host_t *host, const fl_address_t *addresses, uint32_t address_count)
{
    char text[FL_ADDRESS_TEXT_LENGTH];
    if (address_count > FL_SIMNET_HOST_ADDRESSES)
    {
        fl_error(
            FL_EINVAL, "simulated network: %u addresses for a host, at most %d", address_count,
            FL_SIMNET_HOST_ADDRESSES);
        return NULL;
    }
    for (uint32_t i = 0; i < address_count; i++)
    {
        for (const fl_transport_t *other = net->hosts; NULL != other; other = other->next)
        {
            if (fl_sim_host_has(other, &addresses[i]))
            {
                fl_error(
                    FL_EADDRINUSE, "simulated network: another host has %s", fl_address_format(&addresses[i], text));
                return NULL;
            }
        }
    }
    fl_transport_t *transport = calloc(1, sizeof(*transport));
    if (NULL == transport)
    {
        fl_error(FL_ENOMEM, "simulated network: no memory for a host");
        return NULL;
    }
    transport->net = net;
    transport->host = host;
    transport->address_count = address_count;
    if (0 != address_count)
    {
        memcpy(transport->addresses, addresses, address_count * sizeof(*addresses));
    }
    transport->next_port = FL_SIMNET_FIRST_PORT;
    transport->next = net->hosts;
    net->hosts = transport;
    return transport;
}

fl_simnet_t *fl_simnet_new(fl_clock_t *clock, int64_t latency_ns)
{
    fl_simnet_t *net = calloc(1, sizeof(*net));
    if (NULL != net)
    {
        net->clock = clock;
        net->latency_ns = latency_ns;
        net->last_due_ns = INT64_MIN;
    }
    return net;
}

void fl_simnet_free(fl_simnet_t *net)
{
    free(net);
}

void fl_simnet_set_latency(fl_simnet_t *net, int64_t latency_ns)
{
    net->latency_ns = latency_ns;
}

void fl_simnet_totals(fl_simnet_t *net, fl_simnet_totals_t *totals)
{
    *totals = net->totals;
}
