/* What the control plane does with send endpoints. */
#include <stdlib.h>

#include "driver/driver.h"
#include "sender/publication.h"
#include "transport/address.h"
#include "util/error.h"

typedef struct fl_send_endpoint_call
{
    fl_send_endpoint_t *endpoint;
    const fl_peer_t *peer;
} fl_send_endpoint_call_t;

static int64_t fl_send_endpoint_call_set_peer(void *argument)
{
    fl_send_endpoint_call_t *call = argument;
    fl_attachment_t *attachment = &call->endpoint->attachment;
    return attachment->binding->ops.set_peer(attachment->endpoint, call->peer);
}

void fl_send_endpoint_bound_runs(const fl_send_endpoint_t *endpoint, fl_scan_bounds_t *bounds)
{
    bounds->max_run_segments = endpoint->max_run_segments > 1 ? endpoint->max_run_segments : 1;
    bounds->max_run_length = endpoint->max_run_length;
}

static void fl_send_endpoint_on_attached(fl_attachment_t *attachment, const fl_endpoint_params_t *granted)
{
    fl_send_endpoint_t *endpoint = (fl_send_endpoint_t *)attachment;
    endpoint->max_run_segments = granted->max_run_segments;
    endpoint->max_run_length = granted->max_run_length;
    fl_peer_forget(&endpoint->peers[0]);
    fl_peer_forget(&endpoint->peers[1]);
    const fl_sender_t *sender = endpoint->sender;
    for (uint32_t i = 0; i < sender->publication_count; i++)
    {
        if (sender->publications[i]->endpoint == endpoint)
        {
            fl_send_endpoint_bound_runs(endpoint, &sender->publications[i]->bounds);
        }
    }
}

fl_send_endpoint_t *fl_send_endpoint_open(
    fl_driver_t *driver, fl_binding_t *binding, int64_t id, fl_endpoint_params_t *params, int is_multicast)
{
    fl_send_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint || fl_publication_table_init(&endpoint->publications, 1) < 0)
    {
        fl_error(FL_ENOMEM, "send endpoint %lld: no memory", (long long)id);
        free(endpoint);
        return NULL;
    }
    fl_attachment_init(
        &endpoint->attachment, FL_ROLE_SENDER, id, fl_send_endpoint_on_run, fl_send_endpoint_on_attached);
    endpoint->sender = &driver->sender;
    endpoint->is_multicast = is_multicast;
    atomic_init(&endpoint->time_of_last_sm_ns, fl_clock_nano_now(driver->context.clock));
    if (fl_attachment_attach(driver, &endpoint->attachment, binding, params) < 0)
    {
        fl_publication_table_destroy(&endpoint->publications);
        free(endpoint);
        return NULL;
    }
    return endpoint;
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
    fl_publication_table_destroy(&endpoint->publications);
    free(endpoint);
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
