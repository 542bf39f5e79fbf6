#include "transport/wrap_fault.h"

#include <stdio.h>
#include <stdlib.h>

#include "transport/address.h"
#include "transport/fault_internal.h"
#include "util/error.h"

static fl_fault_t *fl_fault_of(fl_transport_t *transport)
{
    return (fl_fault_t *)transport;
}

/* ---- endpoints and pollers ---- */

static int fl_fault_open_endpoint(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **result)
{
    fl_fault_t *fault = fl_fault_of(transport);
    if (fl_fault_is_removed(fault))
    {
        return fl_error(FL_ENODEV, "fault wrapper: the device was removed");
    }
    int status = -FL_ENOMEM;
    fl_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint || NULL == (endpoint->store = fl_datagram_store_new()))
    {
        fl_error(FL_ENOMEM, "fault wrapper: no memory for an endpoint");
        goto failed;
    }
    status = fault->base.inner->ops.open_endpoint(fault->base.inner->transport, params, &endpoint->base.inner);
    if (status < 0)
    {
        goto failed;
    }
    endpoint->base.wrapper = &fault->base;
    endpoint->fault = fault;
    endpoint->connected = params->peer;
    endpoint->random_send = fl_fault_mix(fault->seed + 2 * fault->endpoints_opened);
    endpoint->random_receive = fl_fault_mix(fault->seed + 2 * fault->endpoints_opened + 1);
    fault->endpoints_opened++;
    fault->open_objects++;
    *result = endpoint;
    return 0;

failed:
    if (NULL != endpoint)
    {
        fl_datagram_store_free(endpoint->store);
        free(endpoint);
    }
    return status;
}

static int fl_fault_close_endpoint(fl_endpoint_t *endpoint)
{
    const int status = endpoint->fault->base.inner->ops.close_endpoint(endpoint->base.inner);
    if (0 <= status)
    {
        endpoint->fault->open_objects--;
        fl_datagram_store_free(endpoint->store);
        free(endpoint);
    }
    return status;
}

static int fl_fault_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    if (fl_fault_is_removed(endpoint->fault))
    {
        return -FL_ENODEV;
    }
    /* What was accepted goes to the old peer, so it leaves now; what cannot is lost. */
    fl_fault_send_due(endpoint, INT64_MAX);
    fl_datagram_store_drop(endpoint->store, NULL);
    const int status = endpoint->fault->base.inner->ops.set_peer(endpoint->base.inner, peer);
    if (0 <= status)
    {
        endpoint->connected = peer->address;
    }
    return status;
}

static int fl_fault_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **result)
{
    fl_fault_t *fault = fl_fault_of(transport);
    if (fl_fault_is_removed(fault))
    {
        return fl_error(FL_ENODEV, "fault wrapper: the device was removed");
    }
    int status = -FL_ENOMEM;
    fl_poller_t *poller = calloc(1, sizeof(*poller));
    if (NULL == poller || NULL == (poller->store = fl_datagram_store_new()))
    {
        fl_error(FL_ENOMEM, "fault wrapper: no memory for a poller");
        goto failed;
    }
    status = fault->base.inner->ops.poller_open(fault->base.inner->transport, queue, roles, &poller->base.inner);
    if (status < 0)
    {
        goto failed;
    }
    poller->base.wrapper = &fault->base;
    poller->fault = fault;
    fault->open_objects++;
    *result = poller;
    return 0;

failed:
    if (NULL != poller)
    {
        fl_datagram_store_free(poller->store);
        free(poller);
    }
    return status;
}

static int fl_fault_poller_leave(fl_poller_t *poller)
{
    if (0 != poller->batch_count)
    {
        poller->fault->base.inner->ops.release(poller->base.inner, poller->batch, poller->batch_count);
        poller->batch_count = 0;
        poller->batch_index = 0;
    }
    return fl_wrapper_poller_leave(poller);
}

static int fl_fault_poller_close(fl_poller_t *poller)
{
    const int status = poller->fault->base.inner->ops.poller_close(poller->base.inner);
    if (0 <= status)
    {
        poller->fault->open_objects--;
        fl_datagram_store_free(poller->store);
        free(poller);
    }
    return status;
}

static int fl_fault_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    const int status = poller->fault->base.inner->ops.poller_add(poller->base.inner, endpoint->base.inner, endpoint);
    if (0 <= status)
    {
        endpoint->context = context;
        endpoint->next_on_poller = poller->endpoints;
        poller->endpoints = endpoint;
    }
    return status;
}

static int fl_fault_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    const int status = poller->fault->base.inner->ops.poller_remove(poller->base.inner, endpoint->base.inner);
    if (status < 0)
    {
        return status;
    }
    fl_endpoint_t **link = &poller->endpoints;
    while (*link != endpoint)
    {
        link = &(*link)->next_on_poller;
    }
    *link = endpoint->next_on_poller;
    fl_datagram_store_drop(poller->store, endpoint);
    fl_datagram_store_drop(endpoint->store, NULL);
    for (uint32_t i = poller->batch_index; i < poller->batch_count; i++)
    {
        if (poller->batch[i].context == endpoint)
        {
            poller->batch[i].context = NULL;
        }
    }
    return 0;
}

/* ---- the transport ---- */

static int fl_fault_events(fl_transport_t *transport, fl_event_t *events, uint32_t capacity)
{
    fl_fault_t *fault = fl_fault_of(transport);
    if (!fl_fault_is_removed(fault) || 0 == fault->removed_event.kind || 0 == capacity)
    {
        return fl_wrapper_events(transport, events, capacity);
    }
    events[0] = fault->removed_event;
    fault->removed_event.kind = 0;
    return 1;
}

static int fl_fault_stats(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    const fl_fault_t *fault = fl_fault_of(transport);
    const int of_inner = fault->base.inner->ops.stats(fault->base.inner->transport, stats, capacity);
    const uint32_t first = of_inner > 0 ? (uint32_t)of_inner : 0;
    if (0 == capacity)
    {
        return (int)(first + 2 * FL_FAULT_STATS);
    }
    uint32_t count = first;
    count += fl_fault_rules_stats(&fault->send, "fault-tx", &stats[count], capacity - count);
    count += fl_fault_rules_stats(&fault->receive, "fault-rx", &stats[count], capacity - count);
    return (int)count;
}

static int fl_fault_close(fl_transport_t *transport)
{
    fl_fault_t *fault = fl_fault_of(transport);
    if (0 != fault->open_objects)
    {
        return fl_error(FL_EBUSY, "fault wrapper: endpoints or pollers are still open");
    }
    free(fault);
    return 0;
}

fl_fault_t *fl_fault_new(fl_binding_t *inner, const fl_host_t *host, uint64_t seed)
{
    static const fl_transport_ops_t own = {
        .open_endpoint = fl_fault_open_endpoint,
        .close_endpoint = fl_fault_close_endpoint,
        .local_address = fl_wrapper_local_address,
        .set_peer = fl_fault_set_peer,
        .poller_open = fl_fault_poller_open,
        .poller_enter = fl_wrapper_poller_enter,
        .poller_leave = fl_fault_poller_leave,
        .poller_close = fl_fault_poller_close,
        .poller_add = fl_fault_poller_add,
        .poller_remove = fl_fault_poller_remove,
        .poll = fl_fault_poll,
        .release = fl_fault_release,
        .send = fl_fault_send,
        .reap = fl_fault_reap,
        .arm = fl_fault_arm,
        .disarm = fl_wrapper_disarm,
        .housekeeping = fl_wrapper_housekeeping,
        .events = fl_fault_events,
        .stats = fl_fault_stats,
        .close = fl_fault_close,
    };
    fl_fault_t *fault = calloc(1, sizeof(*fault));
    if (NULL == fault)
    {
        fl_error(FL_ENOMEM, "fault wrapper: no memory");
        return NULL;
    }
    fl_wrapper_init(&fault->base, inner, &own);
    fault->host = host;
    fault->seed = seed;
    return fault;
}

const void *fl_fault_ops(const fl_fault_t *fault)
{
    return &fault->base.ops;
}

/* ---- settings and totals ---- */

int fl_fault_configure(fl_fault_t *fault, const fl_fault_settings_t *settings)
{
    if (!fl_fault_is_valid(&settings->send) || !fl_fault_is_valid(&settings->receive) ||
        settings->receive.refuse != 0.0)
    {
        return fl_error(
            FL_EINVAL,
            "faults: a probability is outside 0 to 1, a delay or jitter outside 0 to 10 s, or receiving is to be "
            "refused");
    }
    fl_fault_set(&fault->send, &settings->send, true);
    fl_fault_set(&fault->receive, &settings->receive, false);
    return 0;
}

void fl_fault_remove_device(fl_fault_t *fault, const char *text)
{
    if (NULL != text)
    {
        fault->removed_event = (fl_event_t){.kind = FL_EVENT_REMOVED};
        snprintf(fault->removed_event.text, sizeof(fault->removed_event.text), "%s", text);
    }
    /* Release: pairs with the acquire in fl_fault_is_removed(). The event must be there before it is looked at. */
    atomic_store_explicit(&fault->is_removed, true, memory_order_release);
}

void fl_fault_totals(fl_fault_t *fault, fl_fault_totals_t *send, fl_fault_totals_t *receive)
{
    fl_fault_read(&fault->send, send);
    fl_fault_read(&fault->receive, receive);
}
