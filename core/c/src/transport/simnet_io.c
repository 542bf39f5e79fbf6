/* How datagrams cross the simulated network: from `send` into receive buffers, and out of them by `poll`. */
#include "transport/address.h"
#include "transport/simnet_internal.h"
#include "util/clock.h"

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

/* ---- receive buffers ---- */

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

int fl_sim_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
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

/* ---- polling ---- */

void fl_sim_append(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    fl_endpoint_t **link = &poller->endpoints;
    while (NULL != *link)
    {
        link = &(*link)->next_on_poller;
    }
    endpoint->next_on_poller = NULL;
    *link = endpoint;
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

int fl_sim_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
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

void fl_sim_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
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
