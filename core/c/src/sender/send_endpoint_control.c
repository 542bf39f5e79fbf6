/* What the control plane does with send endpoints. */
#include <stdlib.h>

#include "driver/driver.h"
#include "sender/publication.h"
#include "transport/address.h"
#include "util/error.h"

#define FL_MTU_OF_ANY_ROUTE 1440      /* UDP payload of Ethernet over IPv6, in whole frames */

typedef struct fl_send_endpoint_call
{
    fl_send_endpoint_t *endpoint;
    const fl_peer_t *peer;
    const fl_address_t *address;
    int64_t id;
} fl_send_endpoint_call_t;

static int64_t fl_send_endpoint_call_set_peer(void *argument)
{
    fl_send_endpoint_call_t *call = argument;
    fl_attachment_t *attachment = &call->endpoint->attachment;
    return attachment->binding->ops.set_peer(attachment->endpoint, call->peer);
}

void fl_send_endpoint_bound_runs(const fl_send_endpoint_t *endpoint, fl_scan_bounds_t *bounds)
{
    /* Segments are not fragmented, and nobody can tell what routes destinations will be reached by. */
    const bool may_need_fragments = NULL != endpoint->destinations && bounds->mtu_length > FL_MTU_OF_ANY_ROUTE;
    bounds->max_run_segments =
        endpoint->max_run_segments > 1 && !may_need_fragments ? endpoint->max_run_segments : 1;
    bounds->max_run_length = endpoint->max_run_length;
}

static void fl_send_endpoint_on_attached(fl_attachment_t *attachment, const fl_endpoint_params_t *granted)
{
    fl_send_endpoint_t *endpoint = (fl_send_endpoint_t *)attachment;
    endpoint->max_run_segments = granted->max_run_segments;
    endpoint->max_run_length = granted->max_run_length;
    fl_peer_forget(&endpoint->peers[0]);
    fl_peer_forget(&endpoint->peers[1]);
    if (NULL != endpoint->destinations)
    {
        fl_destinations_forget_caches(endpoint->destinations);
    }
    const fl_sender_t *sender = endpoint->sender;
    for (uint32_t i = 0; i < sender->publication_count; i++)
    {
        if (sender->publications[i]->endpoint == endpoint)
        {
            fl_send_endpoint_bound_runs(endpoint, &sender->publications[i]->bounds);
            fl_peer_forget(&sender->publications[i]->response_peer);
        }
    }
}

static void fl_send_endpoint_free(fl_send_endpoint_t *endpoint)
{
    fl_publication_table_destroy(&endpoint->publications);
    free(endpoint->destinations);
    free(endpoint);
}

static int fl_send_endpoint_init(
    fl_send_endpoint_t *endpoint, fl_driver_t *driver, const fl_send_endpoint_params_t *send_params)
{
    if (fl_publication_table_init(&endpoint->publications, 1) < 0)
    {
        return -FL_ENOMEM;
    }
    if (FL_DESTINATIONS_NONE != send_params->destinations)
    {
        endpoint->destinations = fl_destinations_new(FL_DESTINATIONS_DYNAMIC == send_params->destinations,
            fl_driver_counter(&driver->context, send_params->destinations_counter_id));
        if (NULL == endpoint->destinations)
        {
            return -FL_ENOMEM;
        }
    }
    fl_attachment_init(&endpoint->attachment, FL_ROLE_SENDER, send_params->id, fl_send_endpoint_on_run,
        fl_send_endpoint_on_attached);
    endpoint->sender = &driver->sender;
    endpoint->is_multicast = send_params->is_multicast;
    atomic_init(&endpoint->time_of_last_sm_ns, fl_clock_nano_now(driver->context.clock));
    return 0;
}

fl_send_endpoint_t *fl_send_endpoint_open(fl_driver_t *driver, fl_binding_t *binding, fl_endpoint_params_t *params,
    const fl_send_endpoint_params_t *send_params)
{
    fl_send_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint || fl_send_endpoint_init(endpoint, driver, send_params) < 0)
    {
        fl_error(FL_ENOMEM, "send endpoint %lld: no memory", (long long)send_params->id);
        goto failed;
    }
    if (0 == fl_attachment_attach(driver, &endpoint->attachment, binding, params))
    {
        return endpoint;
    }
failed:
    if (NULL != endpoint)
    {
        fl_send_endpoint_free(endpoint);
    }
    return NULL;
}

int fl_send_endpoint_detach(fl_driver_t *driver, fl_send_endpoint_t *endpoint)
{
    return fl_attachment_detach(driver, &endpoint->attachment);
}

int fl_send_endpoint_attach(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, fl_binding_t *binding, fl_endpoint_params_t *params)
{
    return fl_attachment_attach(driver, &endpoint->attachment, binding, params);
}

int fl_send_endpoint_close(fl_driver_t *driver, fl_send_endpoint_t *endpoint)
{
    if (endpoint->publications.count > 0)
    {
        return fl_error(FL_EBUSY, "send endpoint %lld: %u publications are still on it",
            (long long)endpoint->attachment.id, endpoint->publications.count);
    }
    const int result = fl_attachment_detach(driver, &endpoint->attachment);
    fl_send_endpoint_free(endpoint);
    return result;
}

int fl_send_endpoint_local_address(fl_send_endpoint_t *endpoint, fl_address_t *address)
{
    return endpoint->attachment.binding->ops.local_address(endpoint->attachment.endpoint, address);
}

int fl_send_endpoint_set_peer(fl_driver_t *driver, fl_send_endpoint_t *endpoint, const fl_address_t *peer)
{
    fl_peer_t *next = &endpoint->peers[1 - endpoint->peer_index];
    *next = (fl_peer_t){.address = *peer};
    fl_send_endpoint_call_t call = {.endpoint = endpoint, .peer = next};
    const int result = (int)fl_driver_call(driver, FL_AGENT_SENDER, fl_send_endpoint_call_set_peer, &call);
    if (result < 0)
    {
        return fl_error(-result, "send endpoint %lld: transport '%s' did not take the new peer: error %d",
            (long long)endpoint->attachment.id, endpoint->attachment.binding->name, -result);
    }
    endpoint->peer_index = 1 - endpoint->peer_index;
    return 0;
}

int64_t fl_send_endpoint_time_of_last_sm(fl_send_endpoint_t *endpoint)
{
    return atomic_load_explicit(&endpoint->time_of_last_sm_ns, memory_order_relaxed);
}

/* ---- destinations ---- */

static int64_t fl_send_endpoint_call_add_destination(void *argument)
{
    fl_send_endpoint_call_t *call = argument;
    fl_send_endpoint_t *endpoint = call->endpoint;
    return fl_destinations_add(endpoint->destinations, call->id, call->address,
        fl_clock_nano_now(endpoint->sender->context->clock));
}

static int64_t fl_send_endpoint_call_set_destination(void *argument)
{
    fl_send_endpoint_call_t *call = argument;
    fl_destination_t *destination = fl_destinations_find(call->endpoint->destinations, call->id);
    if (NULL == destination)
    {
        return -FL_ENOENT;
    }
    destination->peer = (fl_peer_t){.address = *call->address};
    destination->has_receiver_id = false;
    return 0;
}

static int64_t fl_send_endpoint_call_remove_destination(void *argument)
{
    fl_send_endpoint_call_t *call = argument;
    return fl_destinations_remove(call->endpoint->destinations, call->id);
}

static int64_t fl_send_endpoint_call_destination_activity(void *argument)
{
    fl_send_endpoint_call_t *call = argument;
    const fl_destination_t *destination = fl_destinations_find(call->endpoint->destinations, call->id);
    return NULL == destination ? -FL_ENOENT : destination->time_of_last_activity_ns;
}

/* Have the sender do one of these. */
static int64_t fl_send_endpoint_call_destination(fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id,
    const fl_address_t *address, int64_t (*call_of_sender)(void *))
{
    fl_send_endpoint_call_t call = {.endpoint = endpoint, .address = address, .id = id};
    if (NULL == endpoint->destinations || endpoint->destinations->is_dynamic)
    {
        return fl_error(FL_EINVAL, "send endpoint %lld takes no destinations", (long long)endpoint->attachment.id);
    }
    return fl_driver_call(driver, FL_AGENT_SENDER, call_of_sender, &call);
}

int fl_send_endpoint_add_destination(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id, const fl_address_t *address)
{
    const int result = (int)fl_send_endpoint_call_destination(
        driver, endpoint, id, address, fl_send_endpoint_call_add_destination);
    return -FL_EBUSY == result
        ? fl_error(FL_EBUSY, "send endpoint %lld has %d destinations, which is all that it can have",
              (long long)endpoint->attachment.id, FL_DESTINATIONS_MAX)
        : result;
}

int fl_send_endpoint_set_destination(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id, const fl_address_t *address)
{
    return (int)fl_send_endpoint_call_destination(
        driver, endpoint, id, address, fl_send_endpoint_call_set_destination);
}

int fl_send_endpoint_remove_destination(fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id)
{
    return (int)fl_send_endpoint_call_destination(
        driver, endpoint, id, NULL, fl_send_endpoint_call_remove_destination);
}

int64_t fl_send_endpoint_destination_activity(fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id)
{
    return fl_send_endpoint_call_destination(
        driver, endpoint, id, NULL, fl_send_endpoint_call_destination_activity);
}
