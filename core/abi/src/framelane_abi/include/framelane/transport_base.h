/* What a datagram transport writes down of what is open: in whose process, which endpoints and pollers there are, whose
 * turn it is to be polled, and what the pollers count. For C sources alone; cffi does not take it.
 *
 * The transport's three structs begin with those of this header, so that a pointer to one is a pointer to the other:
 *
 *     struct fl_transport { fl_transport_base_t base; ... };
 *     struct fl_endpoint  { fl_endpoint_base_t base; ... };
 *     struct fl_poller    { fl_poller_base_t base; ... };
 *
 * The three functions that close say whether to go on. The caller then gives back what is its own, and the memory:
 *
 *     const int code = fl_poller_base_close(poller);
 *     if (code <= 0)
 *     {
 *         return code;
 *     }
 *     free(poller);
 *     return 0;
 */
#ifndef FRAMELANE_TRANSPORT_BASE_H
#define FRAMELANE_TRANSPORT_BASE_H

#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

#include <framelane/address.h>
#include <framelane/errors.h>
#include <framelane/figures.h>
#include <framelane/transport.h>

/* Control thread only, but for what never changes after open. */
typedef struct fl_transport_base
{
    /* Never change after open. */
    const fl_host_t *host;
    uint64_t generation;                /* of what is cached in peers; random, so that another transport's never pass */
    pid_t pid;                          /* who opened it; every other process leaves it alone */
    uint32_t figure_count;              /* of each poller */
    const char *const *figure_names;

    int64_t *closed_figures;            /* the sums of pollers that are gone */
    fl_endpoint_t *endpoints;
    fl_poller_t *pollers;
} fl_transport_base_t;

typedef struct fl_endpoint_base
{
    /* The poller's thread, once added. */
    fl_poller_t *poller;
    void *context;
    fl_endpoint_t *next;                /* in the poller's ring */
    fl_endpoint_t *previous;

    /* The control thread. */
    fl_transport_t *transport;
    fl_endpoint_t *next_open;
    fl_address_t bound;                 /* as it was when open returned */
} fl_endpoint_base_t;

typedef struct fl_poller_base
{
    fl_transport_t *transport;
    fl_endpoint_t *turn;                /* in the ring of endpoints: whose turn it is; NULL: there is none */
    uint32_t endpoint_count;

    /* The control thread. It comes here as rarely as it reads the figures, which are the poller's thread's too. */
    uint32_t queue;
    fl_poller_t *next_open;
    const _Atomic int64_t *figures;
} fl_poller_base_t;

static inline fl_transport_base_t *fl_transport_base(const fl_transport_t *transport)
{
    return (fl_transport_base_t *)(uintptr_t)transport;
}

static inline fl_endpoint_base_t *fl_endpoint_base(const fl_endpoint_t *endpoint)
{
    return (fl_endpoint_base_t *)(uintptr_t)endpoint;
}

static inline fl_poller_base_t *fl_poller_base(const fl_poller_t *poller)
{
    return (fl_poller_base_t *)(uintptr_t)poller;
}

/* Begin a transport that is all zero.
 *
 * names    of a poller's figures, `count` of them; stay
 * closed   where to keep the sums of closed pollers, all zero; stays
 */
static inline void fl_transport_base_open(
    fl_transport_t *transport, const fl_host_t *host, const char *const *names, int64_t *closed, uint32_t count)
{
    fl_transport_base_t *base = fl_transport_base(transport);
    base->host = host;
    base->pid = getpid();
    base->figure_names = names;
    base->figure_count = count;
    base->closed_figures = closed;
    do
    {
        base->generation = host->random(host);
    }
    while (0 == base->generation);
}

/* Whether this process opened the transport. A child of it must not touch sockets, rings and devices that it shares. */
static inline bool fl_transport_base_is_mine(const fl_transport_t *transport)
{
    return getpid() == fl_transport_base(transport)->pid;
}

/* End a transport. Returns 1: go on; 0: another process's, leave it alone; -FL_EBUSY with the error text set. */
static inline int fl_transport_base_close(const fl_transport_t *transport)
{
    const fl_transport_base_t *base = fl_transport_base(transport);
    if (!fl_transport_base_is_mine(transport))
    {
        return 0;
    }
    if (NULL != base->endpoints || NULL != base->pollers)
    {
        return fl_host_error(base->host, FL_EBUSY, "close: endpoints or pollers are still open");
    }
    return 1;
}

/* Write the figures of all pollers, open and closed, as `stats` does: the first `figure_count` of the transport's. */
static inline void fl_transport_base_stats(const fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    const fl_transport_base_t *base = fl_transport_base(transport);
    for (uint32_t id = 0; id < base->figure_count && id < capacity; id++)
    {
        int64_t value = base->closed_figures[id];
        for (const fl_poller_t *poller = base->pollers; NULL != poller; poller = fl_poller_base(poller)->next_open)
        {
            value += fl_figure_get(&fl_poller_base(poller)->figures[id]);
        }
        fl_stat_set(&stats[id], base->figure_names[id], value);
    }
}

/* What `stats` returns for a transport that has `figures` in all. */
static inline int fl_stats_written(uint32_t figures, uint32_t capacity)
{
    return (int)(0 == capacity || capacity > figures ? figures : capacity);
}

/* Check what poller_open is asked for. Returns 0, or -FL_EINVAL or -FL_EBUSY with the error text set. */
static inline int fl_poller_base_check(const fl_transport_t *transport, uint32_t queue, uint32_t roles)
{
    const fl_transport_base_t *base = fl_transport_base(transport);
    if (0 == roles || 0 != (roles & ~(uint32_t)(FL_ROLE_SENDER | FL_ROLE_RECEIVER)))
    {
        return fl_host_error(base->host, FL_EINVAL, "poller with roles 0x%x: not in the ABI", roles);
    }
    for (const fl_poller_t *other = base->pollers; NULL != other; other = fl_poller_base(other)->next_open)
    {
        if (fl_poller_base(other)->queue == queue)
        {
            return fl_host_error(base->host, FL_EBUSY, "queue %u has a poller", queue);
        }
    }
    return 0;
}

/* Write down a poller that is made, and all zero in its base. figures: the `figure_count` that its thread counts. */
static inline void fl_poller_base_open(
    fl_transport_t *transport, fl_poller_t *poller, uint32_t queue, const _Atomic int64_t *figures)
{
    fl_poller_base_t *base = fl_poller_base(poller);
    base->transport = transport;
    base->queue = queue;
    base->figures = figures;
    base->next_open = fl_transport_base(transport)->pollers;
    fl_transport_base(transport)->pollers = poller;
}

/* Strike a poller out, and keep its figures. Returns 1: go on; 0: another process's, leave it alone; -FL_EBUSY with the
 * error text set. */
static inline int fl_poller_base_close(fl_poller_t *poller)
{
    const fl_poller_base_t *base = fl_poller_base(poller);
    fl_transport_base_t *transport = fl_transport_base(base->transport);
    if (!fl_transport_base_is_mine(base->transport))
    {
        return 0;
    }
    if (0 != base->endpoint_count)
    {
        return fl_host_error(
            transport->host, FL_EBUSY, "close the poller of queue %u: it has %u endpoints", base->queue,
            base->endpoint_count);
    }
    for (uint32_t id = 0; id < transport->figure_count; id++)
    {
        transport->closed_figures[id] += fl_figure_get(&base->figures[id]);
    }
    fl_poller_t **link = &transport->pollers;
    while (*link != poller)
    {
        link = &fl_poller_base(*link)->next_open;
    }
    *link = base->next_open;
    return 1;
}

/* poller_add: an endpoint comes into the ring, behind all others. */
static inline int fl_poller_base_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    fl_poller_base_t *ring = fl_poller_base(poller);
    fl_endpoint_base_t *added = fl_endpoint_base(endpoint);
    if (NULL != added->poller)
    {
        return -FL_EBUSY;
    }
    if (NULL == ring->turn)
    {
        ring->turn = added->next = added->previous = endpoint;
    }
    else
    {
        added->next = ring->turn;
        added->previous = fl_endpoint_base(ring->turn)->previous;
        fl_endpoint_base(added->previous)->next = endpoint;
        fl_endpoint_base(added->next)->previous = endpoint;
    }
    ring->endpoint_count++;
    added->poller = poller;
    added->context = context;
    return 0;
}

/* poller_remove. */
static inline int fl_poller_base_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    fl_poller_base_t *ring = fl_poller_base(poller);
    fl_endpoint_base_t *removed = fl_endpoint_base(endpoint);
    if (poller != removed->poller)
    {
        return -FL_EINVAL;
    }
    fl_endpoint_base(removed->previous)->next = removed->next;
    fl_endpoint_base(removed->next)->previous = removed->previous;
    if (ring->turn == endpoint)
    {
        ring->turn = removed->next;
    }
    if (0 == --ring->endpoint_count)
    {
        ring->turn = NULL;
    }
    removed->poller = NULL;
    return 0;
}

/* Whether an endpoint is that of a multicast publication: it sends to the data group, its peer, and receives what is
 * sent to the control group, which it is bound to (wire 5.4). */
static inline bool fl_endpoint_is_multicast_publication(const fl_endpoint_params_t *params)
{
    return FL_ROLE_SENDER == params->role && fl_address_is_multicast(&params->bind);
}

/* Check what open_endpoint is asked for: all but the families that the transport has. Returns 0, or -FL_EINVAL or
 * -FL_EMSGSIZE with the error text set. */
static inline int fl_endpoint_base_check(const fl_transport_t *transport, const fl_endpoint_params_t *params)
{
    const fl_host_t *host = fl_transport_base(transport)->host;
    const uint32_t most_ttl = 255;
    const uint32_t flags = FL_ENDPOINT_REUSE_ADDRESS | FL_ENDPOINT_TIMESTAMPS | FL_ENDPOINT_CONNECT;
    if (params->size < sizeof(*params))
    {
        return fl_host_error(
            host, FL_EINVAL, "endpoint parameters have %u bytes, %zu are needed", params->size, sizeof(*params));
    }
    if ((FL_ROLE_SENDER != params->role && FL_ROLE_RECEIVER != params->role) || params->ttl > most_ttl ||
        0 != (params->flags & ~flags))
    {
        return fl_host_error(
            host, FL_EINVAL, "endpoint with role %u, flags 0x%x, ttl %u: not in the ABI", params->role, params->flags,
            params->ttl);
    }
    if (FL_FAMILY_NONE == params->peer.family &&
        (0 != (params->flags & FL_ENDPOINT_CONNECT) || fl_endpoint_is_multicast_publication(params)))
    {
        char text[FL_ADDRESS_TEXT_LENGTH];
        return fl_host_error(
            host, FL_EINVAL, "endpoint %s needs a peer to connect to", fl_address_format(&params->bind, text));
    }
    if (params->mtu_length > FL_UDP_PAYLOAD_MAXIMUM)
    {
        return fl_host_error(
            host, FL_EMSGSIZE, "mtu of %u bytes: UDP carries at most %d", params->mtu_length, FL_UDP_PAYLOAD_MAXIMUM);
    }
    return 0;
}

/* Write down an endpoint that is made; its transport and `bound` are set. */
static inline void fl_endpoint_base_open(fl_endpoint_t *endpoint)
{
    fl_endpoint_base_t *base = fl_endpoint_base(endpoint);
    base->next_open = fl_transport_base(base->transport)->endpoints;
    fl_transport_base(base->transport)->endpoints = endpoint;
}

/* Strike an endpoint out. Returns 1: go on; 0: another process's, leave it alone; -FL_EBUSY with the error text set. */
static inline int fl_endpoint_base_close(fl_endpoint_t *endpoint)
{
    const fl_endpoint_base_t *base = fl_endpoint_base(endpoint);
    fl_transport_base_t *transport = fl_transport_base(base->transport);
    if (!fl_transport_base_is_mine(base->transport))
    {
        return 0;
    }
    if (NULL != base->poller)
    {
        char text[FL_ADDRESS_TEXT_LENGTH];
        return fl_host_error(
            transport->host, FL_EBUSY, "close %s: it is still on a poller", fl_address_format(&base->bound, text));
    }
    fl_endpoint_t **link = &transport->endpoints;
    while (*link != endpoint)
    {
        link = &fl_endpoint_base(*link)->next_open;
    }
    *link = base->next_open;
    return 1;
}

/* local_address. */
static inline int fl_endpoint_base_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    *address = fl_endpoint_base(endpoint)->bound;
    return 0;
}

#endif
