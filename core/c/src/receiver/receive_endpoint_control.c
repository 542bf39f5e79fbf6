/* What the control plane does with receive endpoints: each call is one step of the receiver. */
#include <stdlib.h>

#include "driver/driver.h"
#include "protocol/timestamp.h"
#include "receiver/image.h"
#include "receiver/receive_endpoint.h"
#include "transport/address.h"
#include "util/error.h"

/* ---- opening and closing ---- */

typedef struct fl_receive_endpoint_call
{
    fl_receive_endpoint_t *endpoint;
    int32_t stream_id;
    int32_t session_id;
    bool has_session_id;
    bool is_changed;
    const fl_interest_t *interest;     /* out: what the control thread frees */
    const fl_address_t *control;
    _Atomic int64_t *counter;
} fl_receive_endpoint_call_t;

static void fl_receive_endpoint_on_attached(fl_attachment_t *attachment, const fl_endpoint_params_t *granted)
{
    fl_receive_endpoint_t *endpoint = (fl_receive_endpoint_t *)attachment;
    endpoint->stamps_arrival = FL_CLOCK_NONE == granted->receive_clock;
    fl_peer_forget(&endpoint->control);
    for (fl_image_t *image = endpoint->owner->images; NULL != image; image = image->next)
    {
        fl_peer_forget(&image->connections[endpoint->slot].source);
    }
    if (endpoint->has_control)
    {
        fl_receive_endpoint_elicit(endpoint, 0, 0, &endpoint->control, NULL);
        fl_timer_schedule(&endpoint->receiver->wheel, &endpoint->control_timer,
            fl_clock_nano_now(endpoint->receiver->context->clock) + FL_SETUP_TIMEOUT_NS);
    }
}

static int64_t fl_receive_endpoint_call_stop(void *argument)
{
    fl_receive_endpoint_t *endpoint = ((fl_receive_endpoint_call_t *)argument)->endpoint;
    fl_timer_cancel(&endpoint->receiver->wheel, &endpoint->setup_timer);
    fl_timer_cancel(&endpoint->receiver->wheel, &endpoint->control_timer);
    return 0;
}

static int64_t fl_receiver_take_id(fl_receiver_t *receiver)
{
    if (0 == receiver->next_receiver_id)
    {
        receiver->next_receiver_id++;   /* 0 addresses any receiver (wire 2.10) */
    }
    const int64_t id = receiver->next_receiver_id;
    receiver->next_receiver_id = (int64_t)((uint64_t)id + 1);
    return id;
}

/* owner: NULL for one that owns. Returns NULL with error text. */
static fl_receive_endpoint_t *fl_receive_endpoint_new(
    fl_driver_t *driver, fl_receive_endpoint_t *owner, const fl_receive_endpoint_params_t *receive_params)
{
    const uint32_t capacity = fl_session_map_capacity(0);
    fl_receive_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    fl_session_t *sessions = NULL == owner ? calloc(capacity, sizeof(*sessions)) : NULL;
    if (NULL == endpoint || (NULL == owner && NULL == sessions))
    {
        fl_error(FL_ENOMEM, "no memory for a receive endpoint");
        free(endpoint);
        free(sessions);
        return NULL;
    }
    fl_attachment_init(&endpoint->attachment, FL_ROLE_RECEIVER, receive_params->id, fl_receive_endpoint_on_run,
        fl_receive_endpoint_on_attached);
    endpoint->receiver = &driver->receiver;
    endpoint->owner = NULL == owner ? endpoint : owner;
    endpoint->is_multicast = receive_params->is_multicast;
    endpoint->has_control = receive_params->has_control && !receive_params->is_multicast;
    endpoint->ttl = receive_params->ttl;
    endpoint->control.address = receive_params->control;
    atomic_init(&endpoint->time_of_last_run_ns, fl_clock_nano_now(driver->context.clock));
    fl_receive_endpoint_init_timers(endpoint);
    if (NULL == owner)
    {
        endpoint->receiver_id = fl_receiver_take_id(&driver->receiver);
        endpoint->group_tag = receive_params->group_tag;
        endpoint->has_group_tag = receive_params->has_group_tag;
        endpoint->media_timestamp_at = receive_params->media_timestamp_at;
        endpoint->channel_timestamp_at = receive_params->channel_timestamp_at;
        endpoint->is_stamping = FL_TIMESTAMP_NOWHERE != receive_params->media_timestamp_at ||
            FL_TIMESTAMP_NOWHERE != receive_params->channel_timestamp_at;
        fl_session_map_init(&endpoint->sessions, sessions, capacity, fl_driver_random(&driver->context));
    }
    return endpoint;
}

static void fl_receive_endpoint_free(fl_receive_endpoint_t *endpoint)
{
    free((void *)(uintptr_t)endpoint->interest);
    free(endpoint->sessions.sessions);
    free(endpoint);
}

fl_receive_endpoint_t *fl_receive_endpoint_open(fl_driver_t *driver, fl_binding_t *binding,
    fl_endpoint_params_t *params, const fl_receive_endpoint_params_t *receive_params)
{
    fl_receive_endpoint_t *endpoint = fl_receive_endpoint_new(driver, NULL, receive_params);
    if (NULL == endpoint)
    {
        return NULL;
    }
    endpoint->members[0] = endpoint;
    endpoint->receiving = endpoint;
    if (0 != fl_attachment_attach(driver, &endpoint->attachment, binding, params))
    {
        fl_receive_endpoint_free(endpoint);
        return NULL;
    }
    return endpoint;
}

/* ---- destinations ---- */

fl_receive_endpoint_t *fl_receive_endpoint_new_owner(
    fl_driver_t *driver, const fl_receive_endpoint_params_t *receive_params)
{
    return fl_receive_endpoint_new(driver, NULL, receive_params);
}

/* The images there are: one with a control address reports to it at once. */
static int64_t fl_receive_endpoint_call_join(void *argument)
{
    fl_receive_endpoint_t *member = ((fl_receive_endpoint_call_t *)argument)->endpoint;
    fl_receive_endpoint_t *owner = member->owner;
    const int64_t now_ns = fl_clock_nano_now(owner->receiver->context->clock);
    owner->members[member->slot] = member;
    for (fl_image_t *image = owner->images; NULL != image; image = image->next)
    {
        image->connections[member->slot] = (fl_image_connection_t){.is_known = false};
        if (fl_receive_endpoint_has_fixed_control(member))
        {
            fl_image_connect(image, member->slot, NULL, NULL, now_ns);
        }
    }
    return 0;
}

static int64_t fl_receive_endpoint_call_leave(void *argument)
{
    fl_receive_endpoint_t *member = ((fl_receive_endpoint_call_t *)argument)->endpoint;
    fl_receive_endpoint_t *owner = member->owner;
    owner->members[member->slot] = NULL;
    owner->receiving = NULL;
    for (uint32_t i = 0; i < owner->setup_count; i++)
    {
        fl_setup_t *setup = &owner->setups[i];
        setup->slot = member->slot == setup->slot ? FL_ENDPOINT_MEMBERS : setup->slot;
    }
    for (fl_image_t *image = owner->images; NULL != image; image = image->next)
    {
        image->connections[member->slot] = (fl_image_connection_t){.is_known = false};
    }
    return 0;
}

fl_receive_endpoint_t *fl_receive_endpoint_open_member(fl_driver_t *driver, fl_receive_endpoint_t *owner,
    fl_binding_t *binding, fl_endpoint_params_t *params, const fl_receive_endpoint_params_t *receive_params)
{
    uint32_t slot = 0;
    while (slot < FL_ENDPOINT_MEMBERS && NULL != owner->members[slot])
    {
        slot++;
    }
    if (FL_ENDPOINT_MEMBERS == slot)
    {
        fl_error(FL_EBUSY, "receive endpoint %lld has %d destinations, which is all that it can have",
            (long long)owner->attachment.id, FL_ENDPOINT_MEMBERS);
        return NULL;
    }
    fl_receive_endpoint_t *member = fl_receive_endpoint_new(driver, owner, receive_params);
    if (NULL == member)
    {
        return NULL;
    }
    member->slot = slot;
    fl_receive_endpoint_call_t call = {.endpoint = member};
    fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_join, &call);
    if (0 != fl_attachment_attach(driver, &member->attachment, binding, params))
    {
        fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_leave, &call);
        fl_receive_endpoint_free(member);
        return NULL;
    }
    return member;
}

int fl_receive_endpoint_detach(fl_driver_t *driver, fl_receive_endpoint_t *endpoint)
{
    return fl_attachment_detach(driver, &endpoint->attachment);
}

int fl_receive_endpoint_attach(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, fl_binding_t *binding, fl_endpoint_params_t *params)
{
    return fl_attachment_attach(driver, &endpoint->attachment, binding, params);
}

static bool fl_receive_endpoint_has_other_members(const fl_receive_endpoint_t *endpoint)
{
    bool has_others = false;
    for (uint32_t i = 0; i < FL_ENDPOINT_MEMBERS; i++)
    {
        has_others = has_others || (NULL != endpoint->members[i] && endpoint != endpoint->members[i]);
    }
    return has_others;
}

int fl_receive_endpoint_close(fl_driver_t *driver, fl_receive_endpoint_t *endpoint)
{
    if (endpoint->image_count > 0 || fl_receive_endpoint_has_other_members(endpoint))
    {
        return fl_error(FL_EBUSY, "receive endpoint %lld has %u images or destinations; remove them first",
            (long long)endpoint->attachment.id, endpoint->image_count);
    }
    /* In this order: what is received may arm the timers. */
    const int result = fl_attachment_detach(driver, &endpoint->attachment);
    fl_receive_endpoint_call_t call = {.endpoint = endpoint};
    fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_stop, &call);
    if (endpoint != endpoint->owner)
    {
        fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_leave, &call);
    }
    fl_receive_endpoint_free(endpoint);
    return result;
}

int fl_receive_endpoint_local_address(fl_receive_endpoint_t *endpoint, fl_address_t *address)
{
    return endpoint->attachment.binding->ops.local_address(endpoint->attachment.endpoint, address);
}

int64_t fl_receive_endpoint_receiver_id(fl_receive_endpoint_t *endpoint)
{
    return endpoint->receiver_id;
}

int64_t fl_receive_endpoint_time_of_last_run(fl_receive_endpoint_t *endpoint)
{
    return atomic_load_explicit(&endpoint->time_of_last_run_ns, memory_order_relaxed);
}

static int64_t fl_receive_endpoint_call_set_control(void *argument)
{
    fl_receive_endpoint_call_t *call = argument;
    call->endpoint->control = (fl_peer_t){.address = *call->control};
    return 0;
}

int fl_receive_endpoint_set_control(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, const fl_address_t *control)
{
    fl_receive_endpoint_call_t call = {.endpoint = endpoint, .control = control};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_set_control, &call);
}

static int64_t fl_receive_endpoint_call_count_unstamped(void *argument)
{
    const fl_receive_endpoint_call_t *call = argument;
    call->endpoint->unstamped_counter = call->counter;
    return 0;
}

int fl_receive_endpoint_count_unstamped(fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t counter_id)
{
    fl_receive_endpoint_call_t call = {
        .endpoint = endpoint, .counter = fl_driver_counter(&driver->context, counter_id)};
    if (NULL == call.counter)
    {
        return fl_error(FL_EINVAL, "receive endpoint %lld: %d is no counter of this driver",
            (long long)endpoint->attachment.id, counter_id);
    }
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_count_unstamped, &call);
}

/* ---- interest ---- */

static int64_t fl_receive_endpoint_call_elicit(void *argument)
{
    fl_receive_endpoint_call_t *call = argument;
    for (uint32_t i = 0; i < FL_ENDPOINT_MEMBERS; i++)
    {
        fl_receive_endpoint_t *member = call->endpoint->members[i];
        if (NULL != member && member->has_control)
        {
            fl_receive_endpoint_elicit(member, call->stream_id, call->session_id, &member->control, NULL);
        }
    }
    return 0;
}

int fl_receive_endpoint_elicit_session(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id)
{
    fl_receive_endpoint_call_t call = {.endpoint = endpoint, .stream_id = stream_id, .session_id = session_id};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_elicit, &call);
}

static int64_t fl_receive_endpoint_call_add_stream(void *argument)
{
    fl_receive_endpoint_call_t *call = argument;
    fl_receive_endpoint_t *endpoint = call->endpoint;
    const fl_interest_t *old = endpoint->interest;
    endpoint->interest = call->interest;
    call->interest = old;
    return call->has_session_id && call->is_changed ? fl_receive_endpoint_call_elicit(call) : 0;
}

/* Sessions that nobody wants any more are forgotten; their images end for want of subscribers. */
static int64_t fl_receive_endpoint_call_remove_stream(void *argument)
{
    fl_receive_endpoint_call_t *call = argument;
    fl_receive_endpoint_t *endpoint = call->endpoint;
    const fl_interest_t *old = endpoint->interest;
    endpoint->interest = call->interest;
    call->interest = old;
    for (uint32_t i = 0; call->is_changed && i < endpoint->sessions.capacity;)
    {
        fl_session_t *session = &endpoint->sessions.sessions[i];
        if (FL_SESSION_NONE == session->state || session->stream_id != call->stream_id ||
            fl_interest_has_session(endpoint->interest, session->stream_id, session->session_id))
        {
            i++;
            continue;
        }
        if (session->image == endpoint->last_image)
        {
            endpoint->last_image = NULL;
        }
        fl_receive_endpoint_forget(endpoint, session);   /* another one may have moved here: look again */
    }
    return 0;
}

int fl_receive_endpoint_add_stream(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int has_session_id, int32_t session_id)
{
    fl_receive_endpoint_call_t call = {
        .endpoint = endpoint, .stream_id = stream_id, .session_id = session_id, .has_session_id = 0 != has_session_id};
    call.interest =
        fl_interest_with(endpoint->interest, stream_id, 0 != has_session_id, session_id, &call.is_changed);
    if (NULL == call.interest)
    {
        return -FL_ENOMEM;
    }
    fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_add_stream, &call);
    free((void *)(uintptr_t)call.interest);
    return 0;
}

int fl_receive_endpoint_remove_stream(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int has_session_id, int32_t session_id)
{
    fl_receive_endpoint_call_t call = {.endpoint = endpoint, .stream_id = stream_id};
    call.interest =
        fl_interest_without(endpoint->interest, stream_id, 0 != has_session_id, session_id, &call.is_changed);
    if (NULL == call.interest)
    {
        return -FL_ENOENT;
    }
    fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_remove_stream, &call);
    free((void *)(uintptr_t)call.interest);
    return 0;
}

/* ---- answers of the control plane about sessions ---- */

static int64_t fl_receive_endpoint_call_refuse(void *argument)
{
    fl_receive_endpoint_call_t *call = argument;
    fl_session_t *session = fl_session_map_find(&call->endpoint->sessions, call->stream_id, call->session_id);
    if (NULL == session || FL_SESSION_INIT_IN_PROGRESS != session->state)
    {
        return -FL_ENOENT;
    }
    fl_receive_endpoint_forget(call->endpoint, session);
    return 0;
}

int fl_receive_endpoint_refuse_setup(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id)
{
    fl_receive_endpoint_call_t call = {.endpoint = endpoint, .stream_id = stream_id, .session_id = session_id};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_refuse, &call);
}

static int64_t fl_receive_endpoint_call_warm(void *argument)
{
    fl_receive_endpoint_call_t *call = argument;
    fl_session_t *session = fl_session_map_find(&call->endpoint->sessions, call->stream_id, call->session_id);
    if (NULL == session || FL_SESSION_COOL_DOWN != session->state)
    {
        return -FL_ENOENT;
    }
    fl_session_map_remove(&call->endpoint->sessions, session);
    return 0;
}

int fl_receive_endpoint_remove_cool_down(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id)
{
    fl_receive_endpoint_call_t call = {.endpoint = endpoint, .stream_id = stream_id, .session_id = session_id};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_receive_endpoint_call_warm, &call);
}
