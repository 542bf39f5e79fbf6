/* What the control plane does with the driver as a whole: clients' heartbeats, and transports under the agents. */
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "util/error.h"

/* ---- clients ---- */

typedef struct fl_client_call
{
    fl_conductor_t *conductor;
    fl_client_heartbeat_t client;
    void *memory;
    uint32_t capacity;
} fl_client_call_t;

static fl_client_heartbeat_t *fl_client_find(fl_conductor_t *conductor, int64_t client_id)
{
    for (uint32_t i = 0; i < conductor->client_count; i++)
    {
        if (conductor->clients[i].client_id == client_id)
        {
            return &conductor->clients[i];
        }
    }
    return NULL;
}

static int64_t fl_client_call_add(void *argument)
{
    fl_client_call_t *call = argument;
    fl_conductor_t *conductor = call->conductor;
    fl_client_heartbeat_t *known = fl_client_find(conductor, call->client.client_id);
    if (NULL != known)
    {
        *known = call->client;
        return 0;
    }
    if (NULL != call->memory)
    {
        void *old = conductor->clients;
        if (conductor->client_count > 0)
        {
            memcpy(call->memory, old, conductor->client_count * sizeof(*conductor->clients));
        }
        conductor->clients = call->memory;
        conductor->client_capacity = call->capacity;
        call->memory = old;
    }
    conductor->clients[conductor->client_count++] = call->client;
    return 0;
}

int fl_driver_add_client(fl_driver_t *driver, int64_t client_id, int32_t heartbeat_counter_id)
{
    fl_conductor_t *conductor = &driver->conductor;
    fl_client_call_t call = {
        .conductor = conductor,
        .client = {client_id, fl_driver_counter(&driver->context, heartbeat_counter_id)},
    };
    if (NULL == call.client.value)
    {
        return fl_error(FL_EINVAL, "client %lld: %d is no counter of this driver", (long long)client_id,
            heartbeat_counter_id);
    }
    if (conductor->client_count == conductor->client_capacity)
    {
        call.capacity = 0 == conductor->client_capacity ? 16 : 2 * conductor->client_capacity;
        call.memory = malloc(call.capacity * sizeof(*conductor->clients));
        if (NULL == call.memory)
        {
            return fl_error(FL_ENOMEM, "no memory for %u clients", call.capacity);
        }
    }
    fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_client_call_add, &call);
    free(call.memory);
    return 0;
}

static int64_t fl_client_call_remove(void *argument)
{
    fl_client_call_t *call = argument;
    fl_client_heartbeat_t *known = fl_client_find(call->conductor, call->client.client_id);
    if (NULL == known)
    {
        return -FL_ENOENT;
    }
    *known = call->conductor->clients[--call->conductor->client_count];
    return 0;
}

int fl_driver_remove_client(fl_driver_t *driver, int64_t client_id)
{
    fl_client_call_t call = {.conductor = &driver->conductor, .client = {client_id, NULL}};
    return (int)fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_client_call_remove, &call);
}

/* ---- transports ---- */

typedef struct fl_transport_call
{
    fl_driver_t *driver;
    fl_poll_set_t *polls;
    fl_poll_entry_t entry;
} fl_transport_call_t;

static int64_t fl_transport_call_enter(void *argument)
{
    fl_transport_call_t *call = argument;
    const int result = call->entry.binding->ops.poller_enter(call->entry.poller);
    if (result < 0 && -FL_ENOTSUP != result)
    {
        return result;
    }
    call->polls->entries[call->polls->count++] = call->entry;
    return 0;
}

static int64_t fl_transport_call_leave(void *argument)
{
    fl_transport_call_t *call = argument;
    fl_poll_entry_t *entry = fl_poll_set_find(call->polls, call->entry.binding);
    if (NULL == entry)
    {
        return -FL_ENOENT;
    }
    call->entry = *entry;
    call->entry.binding->ops.poller_leave(call->entry.poller);
    *entry = call->polls->entries[--call->polls->count];
    return 0;
}

/* Open one poller and have its agent enter it. */
static int fl_driver_add_poller(
    fl_driver_t *driver, fl_binding_t *binding, uint32_t queue, uint32_t roles, int agent, fl_poll_set_t *polls)
{
    fl_transport_call_t call = {.driver = driver, .polls = polls, .entry = {.binding = binding, .roles = roles}};
    if (FL_POLL_SET_CAPACITY == polls->count)
    {
        return fl_error(FL_ENOSPC, "transport '%s' is one more than the %d that a driver can have open at once",
            binding->name, FL_POLL_SET_CAPACITY);
    }
    int result = binding->ops.poller_open(binding->transport, queue, roles, &call.entry.poller);
    if (result < 0)
    {
        fl_error_append(" (opening poller %u of transport '%s')", queue, binding->name);
        return result;
    }
    result = (int)fl_driver_call(driver, agent, fl_transport_call_enter, &call);
    if (result < 0)
    {
        binding->ops.poller_close(call.entry.poller);
        return fl_error(
            -result, "transport '%s': its poller %u could not be entered by the %s: error %d", binding->name,
            queue, driver->agents[agent].name, -result);
    }
    return 0;
}

static void fl_driver_remove_poller(fl_driver_t *driver, fl_binding_t *binding, int agent, fl_poll_set_t *polls)
{
    fl_transport_call_t call = {.driver = driver, .polls = polls, .entry = {.binding = binding}};
    if (0 == fl_driver_call(driver, agent, fl_transport_call_leave, &call))
    {
        binding->ops.poller_close(call.entry.poller);
    }
}

static int64_t fl_transport_call_housekeep(void *argument)
{
    fl_transport_call_t *call = argument;
    fl_conductor_t *conductor = &call->driver->conductor;
    conductor->bindings[conductor->binding_count++] = call->entry.binding;
    return 0;
}

static int64_t fl_transport_call_stop_housekeeping(void *argument)
{
    fl_transport_call_t *call = argument;
    fl_conductor_t *conductor = &call->driver->conductor;
    for (uint32_t i = 0; i < conductor->binding_count; i++)
    {
        if (conductor->bindings[i] == call->entry.binding)
        {
            conductor->bindings[i] = conductor->bindings[--conductor->binding_count];
            return 0;
        }
    }
    return -FL_ENOENT;
}

int fl_driver_add_transport(fl_driver_t *driver, fl_binding_t *binding)
{
    const uint32_t both = FL_ROLE_SENDER | FL_ROLE_RECEIVER;
    const bool is_one_thread = driver->runner_of[FL_AGENT_SENDER] == driver->runner_of[FL_AGENT_RECEIVER];
    int result;
    if (1 == binding->ops.queues)
    {
        if (!is_one_thread)
        {
            return fl_error(FL_EBUSY,
                "transport '%s' has one queue, and sender and receiver are different threads; use threading mode "
                "SHARED or SHARED_NETWORK, or another transport", binding->name);
        }
        result = fl_driver_add_poller(driver, binding, 0, both, FL_AGENT_RECEIVER, &driver->receiver.polls);
    }
    else
    {
        result = fl_driver_add_poller(
            driver, binding, 0, FL_ROLE_SENDER, FL_AGENT_SENDER, &driver->sender.polls);
        if (0 == result)
        {
            result = fl_driver_add_poller(
                driver, binding, 1, FL_ROLE_RECEIVER, FL_AGENT_RECEIVER, &driver->receiver.polls);
            if (result < 0)
            {
                fl_driver_remove_poller(driver, binding, FL_AGENT_SENDER, &driver->sender.polls);
            }
        }
    }
    if (0 == result)
    {
        fl_transport_call_t call = {.driver = driver, .entry = {.binding = binding}};
        fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_transport_call_housekeep, &call);
    }
    return result;
}

static int64_t fl_transport_call_is_gone(void *argument)
{
    const fl_transport_call_t *call = argument;
    const fl_poll_entry_t *entry = fl_poll_set_find(call->polls, call->entry.binding);
    return NULL != entry && 0 != entry->is_gone;
}

int fl_driver_is_transport_gone(fl_driver_t *driver, fl_binding_t *binding)
{
    fl_transport_call_t call = {.polls = &driver->sender.polls, .entry = {.binding = binding}};
    if (0 != fl_driver_call(driver, FL_AGENT_SENDER, fl_transport_call_is_gone, &call))
    {
        return 1;
    }
    call.polls = &driver->receiver.polls;
    return 0 != fl_driver_call(driver, FL_AGENT_RECEIVER, fl_transport_call_is_gone, &call);
}

int fl_driver_remove_transport(fl_driver_t *driver, fl_binding_t *binding)
{
    fl_transport_call_t call = {.driver = driver, .entry = {.binding = binding}};
    fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_transport_call_stop_housekeeping, &call);
    fl_driver_remove_poller(driver, binding, FL_AGENT_SENDER, &driver->sender.polls);
    fl_driver_remove_poller(driver, binding, FL_AGENT_RECEIVER, &driver->receiver.polls);
    return 0;
}
