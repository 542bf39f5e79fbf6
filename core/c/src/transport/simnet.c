#include "transport/simnet.h"

#include <stdlib.h>

#include "transport/address.h"
#include "util/clock.h"
#include "util/error.h"

/* One run in a receive buffer, followed by its bytes. */
typedef struct fl_sim_record
{
    uint32_t extent;           /* of the record in the ring, with header and alignment */
    bool is_padding;           /* to the ring's end; nothing but this and extent is written then */
    bool is_released;
    uint32_t length;
    uint32_t segment_length;
    int64_t due_ns;
    fl_endpoint_t *endpoint;
    fl_peer_t source;
    fl_address_t local;
} fl_sim_record_t;

#define FL_SIM_RECORD_ALIGNMENT 64u
#define FL_SIM_RECORD_HEADER \
    ((uint32_t)((sizeof(fl_sim_record_t) + FL_SIM_RECORD_ALIGNMENT - 1) & ~(size_t)(FL_SIM_RECORD_ALIGNMENT - 1)))

/* What left and has not arrived: it fills the send buffer. */
typedef struct fl_sim_sent
{
    int64_t due_ns;
    uint32_t length;
} fl_sim_sent_t;

struct fl_endpoint
{
    fl_transport_t *host;
    fl_endpoint_t *next;             /* on the host */
    fl_poller_t *poller;
    fl_endpoint_t *next_on_poller;
    void *context;
    uint32_t flags;
    bool is_closed;                  /* only waits for its last run to be released */
    fl_address_t local;              /* bytes zero: wildcard; of a multicast receiver: the group */
    fl_address_t group;              /* that is received from; family none: no group */
    fl_address_t peer;               /* family none: none */
    fl_address_t source;             /* interface's address; family none: chosen by the destination */
    /* The receive buffer: released <= polled <= written, in bytes ever. */
    uint8_t *ring;
    uint64_t ring_length;
    uint64_t released;
    uint64_t polled;
    uint64_t written;
    uint32_t unreleased;             /* runs */
    /* The send buffer. */
    uint32_t send_buffer_length;
    uint32_t in_flight;              /* bytes */
    uint32_t sent_first;
    uint32_t sent_count;
    fl_sim_sent_t sent[FL_SIMNET_SENDS_IN_FLIGHT];
};

struct fl_poller
{
    fl_transport_t *host;
    fl_poller_t *next;
    uint32_t queue;
    fl_endpoint_t *endpoints;        /* the one whose turn it is comes first */
};

struct fl_transport
{
    fl_simnet_t *net;
    fl_transport_t *next;
    const fl_host_t *host;
    fl_address_t addresses[FL_SIMNET_HOST_ADDRESSES];
    uint32_t address_count;
    uint16_t next_port;
    fl_endpoint_t *endpoints;
    fl_poller_t *pollers;
};

struct fl_simnet
{
    fl_clock_t *clock;
    int64_t latency_ns;
    int64_t last_due_ns;             /* nothing overtakes: due times never decrease */
    fl_transport_t *hosts;
    fl_simnet_totals_t totals;
};

/* ---- hosts and their addresses ---- */

static bool fl_sim_host_has(const fl_transport_t *host, const fl_address_t *address)
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

static fl_transport_t *fl_sim_find_host(fl_simnet_t *net, fl_transport_t *from, const fl_address_t *address)
{
    if (fl_sim_host_has(from, address))
    {
        return from;
    }
    fl_transport_t *host = net->hosts;
    while (NULL != host && !fl_sim_host_has(host, address))
    {
        host = host->next;
    }
    return host;
}

/* Whether two sockets of one host may not be bound to these addresses at once, as the kernel judges with SO_REUSEADDR. */
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
        host->next_port = FL_SIMNET_LAST_PORT == host->next_port ? FL_SIMNET_FIRST_PORT : (uint16_t)(host->next_port + 1);
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
    *result = endpoint;
    return 0;

failed:
    free(endpoint);
    return status;
}

static void fl_sim_endpoint_free_if_done(fl_endpoint_t *endpoint)
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

/* ---- delivery ---- */

static uint8_t *fl_sim_record_data(fl_sim_record_t *record)
{
    return (uint8_t *)record + FL_SIM_RECORD_HEADER;
}

/* The record at a position, behind padding if there is some; moves the position onto it. NULL: none written yet. */
static fl_sim_record_t *fl_sim_record_at(fl_endpoint_t *endpoint, uint64_t *position)
{
    while (*position != endpoint->written)
    {
        fl_sim_record_t *record = (fl_sim_record_t *)(endpoint->ring + (*position & (endpoint->ring_length - 1)));
        if (!record->is_padding)
        {
            return record;
        }
        *position += record->extent;
    }
    return NULL;
}

static fl_sim_record_t *fl_sim_record_claim(fl_endpoint_t *endpoint, uint32_t length)
{
    const uint32_t extent =
        (FL_SIM_RECORD_HEADER + length + FL_SIM_RECORD_ALIGNMENT - 1) & ~(FL_SIM_RECORD_ALIGNMENT - 1);
    const uint64_t index = endpoint->written & (endpoint->ring_length - 1);
    const uint64_t to_end = endpoint->ring_length - index;
    const uint64_t padding = to_end < extent ? to_end : 0;
    if (endpoint->written + padding + extent - endpoint->released > endpoint->ring_length)
    {
        return NULL;
    }
    if (0 != padding)
    {
        fl_sim_record_t *filler = (fl_sim_record_t *)(endpoint->ring + index);
        filler->extent = (uint32_t)padding;
        filler->is_padding = true;
        endpoint->written += padding;
    }
    fl_sim_record_t *record = (fl_sim_record_t *)(endpoint->ring + (endpoint->written & (endpoint->ring_length - 1)));
    *record = (fl_sim_record_t){ .endpoint = endpoint, .extent = extent };
    endpoint->written += extent;
    return record;
}

static void fl_sim_deliver(
    fl_endpoint_t *endpoint, const fl_address_t *source, const fl_address_t *destination, const fl_run_t *run,
    uint32_t segments, int64_t due_ns)
{
    fl_simnet_totals_t *totals = &endpoint->host->net->totals;
    const uint32_t length = fl_run_extent(run, segments);
    fl_sim_record_t *record = fl_sim_record_claim(endpoint, length);
    if (NULL == record)
    {
        totals->buffer_full += segments;
        return;
    }
    record->due_ns = due_ns;
    record->source.address = *source;
    record->local = *destination;
    record->length = length;
    record->segment_length = length < run->segment_length ? length : run->segment_length;
    if (0 != length)
    {
        memcpy(fl_sim_record_data(record), run->data, length);
    }
    totals->delivered += segments;
}

/* How well an endpoint fits a unicast datagram: 0 not at all; a connected one before an address before a wildcard. */
static int fl_sim_score(const fl_endpoint_t *endpoint, const fl_address_t *source, const fl_address_t *destination)
{
    const bool is_wildcard = fl_address_is_wildcard(&endpoint->local);
    if (endpoint->local.port != destination->port || endpoint->local.family != destination->family ||
        (!is_wildcard && !fl_address_is_same_host(&endpoint->local, destination)))
    {
        return 0;
    }
    const bool is_connected = 0 != (endpoint->flags & FL_ENDPOINT_CONNECT);
    if (is_connected && !fl_address_is_same(&endpoint->peer, source))
    {
        return 0;
    }
    return 1 + (is_wildcard ? 0 : 1) + (is_connected ? 2 : 0);
}

static void fl_sim_route(
    fl_endpoint_t *from, const fl_address_t *source, const fl_address_t *destination, const fl_run_t *run,
    uint32_t segments, int64_t due_ns)
{
    fl_simnet_t *net = from->host->net;
    if (fl_address_is_multicast(destination))
    {
        bool is_wanted = false;
        for (fl_transport_t *host = net->hosts; NULL != host; host = host->next)
        {
            for (fl_endpoint_t *e = host->endpoints; NULL != e; e = e->next)
            {
                if (fl_address_is_same(&e->group, destination))
                {
                    fl_sim_deliver(e, source, destination, run, segments, due_ns);
                    is_wanted = true;
                }
            }
        }
        net->totals.no_endpoint += is_wanted ? 0 : segments;
        return;
    }

    fl_transport_t *host = fl_sim_find_host(net, from->host, destination);
    if (NULL == host)
    {
        net->totals.no_host += segments;
        return;
    }
    fl_endpoint_t *best = NULL;
    int best_score = 0;
    for (fl_endpoint_t *e = host->endpoints; NULL != e; e = e->next)
    {
        const int score = fl_sim_score(e, source, destination);
        if (score > best_score)
        {
            best = e;
            best_score = score;
        }
    }
    if (NULL == best)
    {
        net->totals.no_endpoint += segments;
        return;
    }
    fl_sim_deliver(best, source, destination, run, segments, due_ns);
}

/* ---- sending ---- */

static fl_address_t fl_sim_source(const fl_endpoint_t *endpoint, const fl_run_t *run, const fl_address_t *destination)
{
    fl_address_t source = endpoint->local;
    if (fl_address_is_wildcard(&source) || fl_address_is_multicast(&source))
    {
        const fl_transport_t *host = endpoint->host;
        const fl_address_t *chosen = FL_FAMILY_NONE != endpoint->source.family ? &endpoint->source : NULL;
        if (NULL != run->local && fl_sim_host_has(host, run->local))
        {
            chosen = run->local;
        }
        if (NULL == chosen && fl_address_is_loopback(destination))
        {
            chosen = destination;
        }
        for (uint32_t i = 0; NULL == chosen && i < host->address_count; i++)
        {
            chosen = host->addresses[i].family == destination->family ? &host->addresses[i] : NULL;
        }
        if (NULL != chosen)
        {
            memcpy(source.bytes, chosen->bytes, sizeof(source.bytes));
        }
    }
    return source;
}

static void fl_sim_arrive(fl_endpoint_t *endpoint, int64_t now_ns)
{
    while (0 != endpoint->sent_count && endpoint->sent[endpoint->sent_first].due_ns <= now_ns)
    {
        endpoint->in_flight -= endpoint->sent[endpoint->sent_first].length;
        endpoint->sent_first = (endpoint->sent_first + 1) % FL_SIMNET_SENDS_IN_FLIGHT;
        endpoint->sent_count--;
    }
}

/* How many datagrams of a run the send buffer takes now; one always fits into an empty buffer. */
static uint32_t fl_sim_admit(fl_endpoint_t *endpoint, const fl_run_t *run, uint32_t segments)
{
    if (FL_SIMNET_SENDS_IN_FLIGHT == endpoint->sent_count)
    {
        return 0;
    }
    uint32_t admitted = segments;
    while (0 != admitted && 0 != endpoint->in_flight + (segments - admitted) &&
           endpoint->in_flight + fl_run_extent(run, admitted) > endpoint->send_buffer_length)
    {
        admitted--;
    }
    return admitted;
}

static int32_t fl_sim_check(const fl_endpoint_t *endpoint, const fl_run_t *run, uint32_t segments)
{
    const fl_address_t *destination = fl_run_destination(run, &endpoint->peer);
    if (0 == segments || FL_FAMILY_NONE == destination->family)
    {
        return -FL_EINVAL;
    }
    if (destination->family != endpoint->local.family)
    {
        return -FL_EAFNOSUPPORT;
    }
    return segments > FL_SIMNET_RUN_SEGMENTS || run->length > FL_UDP_PAYLOAD_MAXIMUM ? -FL_EMSGSIZE : 0;
}

static int fl_sim_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    fl_simnet_t *net = endpoint->host->net;
    const int64_t now_ns = fl_clock_nano_now(net->clock);
    int whole = 0;
    fl_sim_arrive(endpoint, now_ns);
    for (uint32_t i = 0; i < count; i++)
    {
        fl_run_t *run = &runs[i];
        const uint32_t segments = fl_run_segments(run);
        run->accepted = 0;
        run->status = fl_run_inherited_status(runs, i, &endpoint->peer);
        run->status = 0 != run->status ? run->status : fl_sim_check(endpoint, run, segments);
        if (0 != run->status)
        {
            continue;
        }
        run->accepted = fl_sim_admit(endpoint, run, segments);
        if (0 != run->accepted)
        {
            const fl_address_t *destination = fl_run_destination(run, &endpoint->peer);
            const fl_address_t source = fl_sim_source(endpoint, run, destination);
            const int64_t due_ns = now_ns + net->latency_ns;
            net->last_due_ns = due_ns > net->last_due_ns ? due_ns : net->last_due_ns;
            if (net->last_due_ns > now_ns)
            {
                const uint32_t index = (endpoint->sent_first + endpoint->sent_count++) % FL_SIMNET_SENDS_IN_FLIGHT;
                endpoint->sent[index].due_ns = net->last_due_ns;
                endpoint->sent[index].length = fl_run_extent(run, run->accepted);
                endpoint->in_flight += endpoint->sent[index].length;
            }
            fl_sim_route(endpoint, &source, destination, run, run->accepted, net->last_due_ns);
        }
        if (run->accepted == segments)
        {
            whole++;
        }
        else
        {
            run->status = -FL_EAGAIN;
        }
    }
    return whole;
}

static int fl_sim_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    (void)poller, (void)completions, (void)capacity;
    return 0;
}

/* ---- polling ---- */

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

static void fl_sim_append(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    fl_endpoint_t **link = &poller->endpoints;
    while (NULL != *link)
    {
        link = &(*link)->next_on_poller;
    }
    endpoint->next_on_poller = NULL;
    *link = endpoint;
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

static bool fl_sim_take(fl_endpoint_t *endpoint, int64_t now_ns, fl_run_t *run)
{
    fl_sim_record_t *record = fl_sim_record_at(endpoint, &endpoint->polled);
    if (NULL == record || record->due_ns > now_ns)
    {
        return false;
    }
    endpoint->polled += record->extent;
    endpoint->unreleased++;
    *run = (fl_run_t){
        .data = fl_sim_record_data(record),
        .length = record->length,
        .segment_length = record->segment_length,
        .peer = &record->source,
        .local = &record->local,
        .context = endpoint->context,
        .token = (uint64_t)(uintptr_t)record,
    };
    if (0 != (endpoint->flags & FL_ENDPOINT_TIMESTAMPS))
    {
        run->timestamp_ns = fl_clock_epoch_now(endpoint->host->net->clock) - (now_ns - record->due_ns);
        run->flags = FL_RUN_TIMESTAMP;
    }
    return true;
}

static int fl_sim_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    const int64_t now_ns = fl_clock_nano_now(poller->host->net->clock);
    uint32_t taken = 0;
    uint32_t before;
    do
    {
        before = taken;
        for (fl_endpoint_t *e = poller->endpoints; NULL != e && taken < capacity; e = e->next_on_poller)
        {
            taken += fl_sim_take(e, now_ns, &runs[taken]) ? 1 : 0;
        }
    } while (taken < capacity && taken != before);

    fl_endpoint_t *first = poller->endpoints;
    if (NULL != first && NULL != first->next_on_poller)
    {
        poller->endpoints = first->next_on_poller;
        fl_sim_append(poller, first);
    }
    return (int)taken;
}

static void fl_sim_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    (void)poller;
    for (uint32_t i = 0; i < count; i++)
    {
        fl_sim_record_t *record = (fl_sim_record_t *)(uintptr_t)runs[i].token;
        fl_endpoint_t *endpoint = record->endpoint;
        record->is_released = true;
        endpoint->unreleased--;
        fl_sim_record_t *oldest = record;
        while (endpoint->released != endpoint->polled &&
               NULL != (oldest = fl_sim_record_at(endpoint, &endpoint->released)) && oldest->is_released)
        {
            endpoint->released += oldest->extent;
        }
        fl_sim_endpoint_free_if_done(endpoint);
    }
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

int64_t fl_simnet_next_arrival(fl_simnet_t *net)
{
    const int64_t now_ns = fl_clock_nano_now(net->clock);
    int64_t next_ns = INT64_MAX;
    for (fl_transport_t *host = net->hosts; NULL != host; host = host->next)
    {
        for (fl_endpoint_t *e = host->endpoints; NULL != e; e = e->next)
        {
            uint64_t position = e->polled;
            for (fl_sim_record_t *record; NULL != (record = fl_sim_record_at(e, &position)); position += record->extent)
            {
                if (record->due_ns > now_ns)
                {
                    next_ns = record->due_ns < next_ns ? record->due_ns : next_ns;
                    break;
                }
            }
        }
    }
    return next_ns;
}

void fl_simnet_totals(fl_simnet_t *net, fl_simnet_totals_t *totals)
{
    *totals = net->totals;
}
