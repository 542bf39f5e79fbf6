/* What the control plane does with IPC publications: each call is one step of the conductor agent. */
#include <stdlib.h>
#include <string.h>

#include "conductor/ipc_publication.h"
#include "driver/driver.h"
#include "driver/subscriber_call.h"
#include "shm/counters.h"
#include "util/error.h"

typedef struct fl_ipc_call
{
    fl_conductor_t *conductor;
    fl_ipc_publication_t *publication;
    fl_ipc_publication_t **array;   /* allocated by the control thread; out: what it is to free */
    uint32_t capacity;
    int64_t cool_down_ns;
} fl_ipc_call_t;

/* ---- add and remove ---- */

static int64_t fl_ipc_call_add(void *argument)
{
    fl_ipc_call_t *call = argument;
    fl_conductor_t *conductor = call->conductor;
    if (NULL != call->array)
    {
        fl_ipc_publication_t **old = conductor->publications;
        if (conductor->publication_count > 0)
        {
            memcpy(call->array, old, conductor->publication_count * sizeof(fl_ipc_publication_t *));
        }
        conductor->publications = call->array;
        conductor->publication_capacity = call->capacity;
        call->array = old;
    }
    call->publication->time_of_last_consumer_change_ns = fl_clock_nano_now(conductor->context->clock);
    conductor->publications[conductor->publication_count++] = call->publication;
    return 0;
}

static int64_t fl_ipc_call_remove(void *argument)
{
    fl_ipc_call_t *call = argument;
    fl_conductor_t *conductor = call->conductor;
    for (uint32_t i = 0; i < conductor->publication_count; i++)
    {
        if (conductor->publications[i] == call->publication)
        {
            conductor->publications[i] = conductor->publications[--conductor->publication_count];
            return 0;
        }
    }
    return -FL_ENOENT;
}

fl_ipc_publication_t *fl_ipc_publication_add(fl_driver_t *driver, const fl_ipc_publication_params_t *params)
{
    fl_conductor_t *conductor = &driver->conductor;
    fl_ipc_call_t call = {.conductor = conductor};
    fl_ipc_publication_t *publication = calloc(1, sizeof(*publication));
    if (NULL == publication)
    {
        goto no_memory;
    }
    publication->object.kind = FL_OBJECT_IPC_PUBLICATION;
    publication->object.id = params->registration_id;
    publication->context = &driver->context;
    publication->log = params->log;
    publication->is_exclusive = params->is_exclusive;
    publication->window_length = params->publication_window_length;
    publication->trip_gain = params->publication_window_length / 8;
    publication->producer_position = publication->consumer_position = publication->clean_position =
        publication->clean_target = publication->last_consumer_position = publication->limit = params->start_position;
    publication->publisher_position = fl_driver_counter(&driver->context, params->publisher_position_counter_id);
    publication->publisher_limit = fl_driver_counter(&driver->context, params->publisher_limit_counter_id);
    if (NULL == publication->publisher_position || NULL == publication->publisher_limit)
    {
        fl_error(FL_EINVAL, "IPC publication %lld: counters %d and %d are not both counters of this driver",
            (long long)params->registration_id, params->publisher_position_counter_id,
            params->publisher_limit_counter_id);
        free(publication);
        return NULL;
    }
    fl_counter_set(publication->publisher_position, params->start_position);
    fl_counter_set(publication->publisher_limit, params->start_position);

    if (conductor->publication_count == conductor->publication_capacity)
    {
        call.capacity = 0 == conductor->publication_capacity ? 16 : 2 * conductor->publication_capacity;
        call.array = malloc(call.capacity * sizeof(fl_ipc_publication_t *));
        if (NULL == call.array)
        {
            free(publication);
            goto no_memory;
        }
    }
    call.publication = publication;
    fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_ipc_call_add, &call);
    free(call.array);
    return publication;

no_memory:
    fl_error(FL_ENOMEM, "no memory for IPC publication %lld", (long long)params->registration_id);
    return NULL;
}

int fl_ipc_publication_remove(fl_driver_t *driver, fl_ipc_publication_t *publication)
{
    fl_ipc_call_t call = {.conductor = &driver->conductor, .publication = publication};
    const int result = (int)fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_ipc_call_remove, &call);
    if (0 == result)
    {
        fl_driver_forget(driver, &publication->object);
        free(publication->subscribers.entries);
        free(publication);
    }
    return result;
}

/* ---- end of life ---- */

static void fl_ipc_publication_end_at_producer(fl_ipc_publication_t *publication)
{
    const int64_t position = fl_ipc_publication_producer_position(publication);
    if (publication->limit > position)
    {
        publication->limit = position;
        fl_counter_set(publication->publisher_limit, position);
    }
    fl_log_set_end_of_stream_position(publication->log, position);
}

static int64_t fl_ipc_call_drain(void *argument)
{
    fl_ipc_publication_t *publication = ((fl_ipc_call_t *)argument)->publication;
    publication->is_released = true;
    if (FL_IPC_PUBLICATION_ACTIVE == publication->state)
    {
        fl_ipc_publication_end_at_producer(publication);
        publication->state = FL_IPC_PUBLICATION_DRAINING;
    }
    return 0;
}

int fl_ipc_publication_drain(fl_driver_t *driver, fl_ipc_publication_t *publication)
{
    fl_ipc_call_t call = {.publication = publication};
    return (int)fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_ipc_call_drain, &call);
}

static int64_t fl_ipc_call_revoke(void *argument)
{
    fl_ipc_publication_t *publication = ((fl_ipc_call_t *)argument)->publication;
    if (FL_IPC_PUBLICATION_ACTIVE == publication->state || FL_IPC_PUBLICATION_DRAINING == publication->state)
    {
        fl_ipc_publication_end_at_producer(publication);
        fl_log_set_connected(publication->log, false);
        publication->state = FL_IPC_PUBLICATION_LINGER;
        fl_count(publication->context, FL_COUNTER_PUBLICATIONS_REVOKED, 1);
        fl_object_raise(&publication->context->events, &publication->object,
            FL_EVENT_PUBLICATION_LINGER | FL_EVENT_PUBLICATION_REVOKED);
    }
    return 0;
}

int fl_ipc_publication_revoke(fl_driver_t *driver, fl_ipc_publication_t *publication)
{
    fl_ipc_call_t call = {.publication = publication};
    return (int)fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_ipc_call_revoke, &call);
}

static int64_t fl_ipc_call_reject(void *argument)
{
    fl_ipc_call_t *call = argument;
    fl_ipc_publication_t *publication = call->publication;
    publication->is_cooling_down = true;
    publication->cool_down_deadline_ns = fl_clock_nano_now(publication->context->clock) + call->cool_down_ns;
    publication->subscribers.count = 0;
    fl_log_set_connected(publication->log, false);
    return 0;
}

int fl_ipc_publication_reject(fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t cool_down_ns)
{
    fl_ipc_call_t call = {.publication = publication, .cool_down_ns = cool_down_ns};
    return (int)fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_ipc_call_reject, &call);
}

/* ---- subscribers ---- */

static int64_t fl_ipc_call_link(void *argument)
{
    fl_subscriber_call_t *call = argument;
    fl_ipc_publication_t *publication = call->source;
    int64_t lowest;
    int64_t highest;
    fl_subscribers_read(&publication->subscribers, publication->producer_position, &lowest, &highest);
    const bool is_drained = FL_IPC_PUBLICATION_DRAINING == publication->state &&
        (0 == publication->subscribers.count || lowest >= publication->producer_position);
    if (publication->is_cooling_down || is_drained || publication->state > FL_IPC_PUBLICATION_DRAINING)
    {
        return -FL_EAGAIN;
    }
    const int64_t position = fl_subscribers_append(&publication->subscribers, call,
        lowest < publication->consumer_position ? lowest : publication->consumer_position);
    fl_log_set_connected(publication->log, true);
    return position;
}

int64_t fl_ipc_publication_link(
    fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t subscription_id, int32_t position_counter_id)
{
    fl_subscriber_call_t call = {.source = publication, .subscription_id = subscription_id};
    return fl_subscribers_link(
        &publication->subscribers, driver, FL_AGENT_CONDUCTOR, fl_ipc_call_link, &call, position_counter_id);
}

static int64_t fl_ipc_call_unlink(void *argument)
{
    const fl_subscriber_call_t *call = argument;
    fl_ipc_publication_t *publication = call->source;
    const int result = fl_subscribers_remove(&publication->subscribers, call->subscription_id);
    if (0 == result && 0 == publication->subscribers.count)
    {
        fl_log_set_connected(publication->log, false);
    }
    return result;
}

int fl_ipc_publication_unlink(fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t subscription_id)
{
    fl_subscriber_call_t call = {.source = publication, .subscription_id = subscription_id};
    return (int)fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_ipc_call_unlink, &call);
}

static int64_t fl_ipc_call_is_behind(void *argument)
{
    const fl_subscriber_call_t *call = argument;
    const fl_ipc_publication_t *publication = call->source;
    return fl_subscribers_is_behind(&publication->subscribers, call->subscription_id, publication->consumer_position,
        publication->window_length);
}

int fl_ipc_publication_is_behind(fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t subscription_id)
{
    fl_subscriber_call_t call = {.source = publication, .subscription_id = subscription_id};
    return (int)fl_driver_call(driver, FL_AGENT_CONDUCTOR, fl_ipc_call_is_behind, &call);
}
