/* What the control plane does with send endpoints. */
#include <stdlib.h>

#include "driver/driver.h"
#include "sender/publication.h"
#include "util/error.h"

typedef struct fl_send_endpoint_call
{
    fl_send_endpoint_t *endpoint;
    const fl_peer_t *peer;
} fl_send_endpoint_call_t;

static int64_t fl_send_endpoint_call_add(void *argument)
{
    fl_send_endpoint_t *endpoint = ((fl_send_endpoint_call_t *)argument)->endpoint;
    return endpoint->binding->ops.poller_add(endpoint->poller, endpoint->endpoint, endpoint);
}

static int64_t fl_send_endpoint_call_remove(void *argument)
{
    fl_send_endpoint_t *endpoint = ((fl_send_endpoint_call_t *)argument)->endpoint;
    return endpoint->binding->ops.poller_remove(endpoint->poller, endpoint->endpoint);
}

static int64_t fl_send_endpoint_call_set_peer(void *argument)
{
    fl_send_endpoint_call_t *call = argument;
    return call->endpoint->binding->ops.set_peer(call->endpoint->endpoint, call->peer);
}

fl_send_endpoint_t *fl_send_endpoint_open(
    fl_driver_t *driver, fl_binding_t *binding, int64_t id, fl_endpoint_params_t *params, int is_multicast)
{
    const fl_poll_entry_t *entry = fl_driver_find_poller(driver, binding, FL_ROLE_SENDER);
    if (NULL == entry)
    {
        fl_error(
            FL_ENOENT, "send endpoint %lld: transport '%s' is not under this driver", (long long)id, binding->name);
        return NULL;
    }
    fl_send_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint || fl_publication_table_init(&endpoint->publications, 1) < 0)
    {
        fl_error(FL_ENOMEM, "send endpoint %lld: no memory", (long long)id);
        free(endpoint);
        return NULL;
    }
    endpoint->sink.on_run = fl_send_endpoint_on_run;
    endpoint->sender = &driver->sender;
    endpoint->binding = binding;
    endpoint->poller = entry->poller;
    endpoint->id = id;
    endpoint->is_multicast = is_multicast;
    atomic_init(&endpoint->time_of_last_sm_ns, fl_clock_nano_now(driver->context.clock));

    params->size = sizeof(*params);
    params->role = FL_ROLE_SENDER;
    int result = binding->ops.open_endpoint(binding->transport, params, &endpoint->endpoint);
    if (result < 0)
    {
        fl_error_set_code(-result);
        goto failed;
    }
    endpoint->max_run_segments = params->max_run_segments;
    endpoint->max_run_length = params->max_run_length;

    fl_send_endpoint_call_t call = {.endpoint = endpoint};
    result = (int)fl_driver_call(driver, FL_AGENT_SENDER, fl_send_endpoint_call_add, &call);
    if (result < 0)
    {
        binding->ops.close_endpoint(endpoint->endpoint);
        fl_error(-result, "send endpoint %lld: the poller of transport '%s' did not take it: error %d", (long long)id,
            binding->name, -result);
        goto failed;
    }
    return endpoint;

failed:
    fl_publication_table_destroy(&endpoint->publications);
    free(endpoint);
    return NULL;
}

int fl_send_endpoint_close(fl_driver_t *driver, fl_send_endpoint_t *endpoint)
{
    if (endpoint->publications.count > 0)
    {
        return fl_error(FL_EBUSY, "send endpoint %lld: %u publications are still on it", (long long)endpoint->id,
            endpoint->publications.count);
    }
    fl_send_endpoint_call_t call = {.endpoint = endpoint};
    fl_driver_call(driver, FL_AGENT_SENDER, fl_send_endpoint_call_remove, &call);
    const int result = endpoint->binding->ops.close_endpoint(endpoint->endpoint);
    fl_publication_table_destroy(&endpoint->publications);
    free(endpoint);
    return result;
}

int fl_send_endpoint_local_address(fl_send_endpoint_t *endpoint, fl_address_t *address)
{
    return endpoint->binding->ops.local_address(endpoint->endpoint, address);
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
            (long long)endpoint->id, endpoint->binding->name, -result);
    }
    endpoint->peer_index = 1 - endpoint->peer_index;
    return 0;
}

int64_t fl_send_endpoint_time_of_last_sm(fl_send_endpoint_t *endpoint)
{
    return atomic_load_explicit(&endpoint->time_of_last_sm_ns, memory_order_relaxed);
}
