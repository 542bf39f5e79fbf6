/* Making and removing images: the control thread allocates, and one step of the receiver puts in place (wire 4.3). */
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "receiver/image.h"
#include "shm/counters.h"
#include "util/error.h"

typedef struct fl_image_call
{
    fl_receiver_t *receiver;
    fl_image_t *image;
    const fl_address_t *source;
    void *memory;                  /* of the active list; allocated by the control thread; out: what it is to free */
    uint32_t capacity;
    fl_session_t *sessions;        /* likewise, of the endpoint's sessions */
    uint32_t session_capacity;
} fl_image_call_t;

/* ---- add ---- */

static void fl_image_free(fl_image_t *image)
{
    if (NULL != image)
    {
        if (NULL != image->congestion_control)
        {
            image->congestion_control->ops->free(image->congestion_control);
        }
        free(image->subscribers.entries);
        free(image->reject_text);
        free(image);
    }
}

static void fl_image_init_nak_delay(
    fl_image_t *image, const fl_driver_config_t *config, const fl_image_params_t *params)
{
    fl_nak_delay_t *delay = &image->loss_detector.delay;
    if (!params->is_reliable)
    {
        fl_nak_delay_init_fixed(delay, 0, 0);
    }
    else if (params->treat_as_group)
    {
        fl_nak_delay_init_group(delay, config->nak_multicast_max_backoff_ns, config->nak_multicast_group_size);
    }
    else
    {
        const int64_t asked_ns = params->nak_delay_ns >= 0 ? params->nak_delay_ns : config->nak_unicast_delay_ns;
        const int64_t first_ns = asked_ns < FL_NAK_DELAY_MIN_NS ? FL_NAK_DELAY_MIN_NS : asked_ns;
        fl_nak_delay_init_fixed(delay, first_ns, first_ns * config->nak_unicast_retry_ratio);
    }
}

static int fl_image_init_subscribers(fl_image_t *image, fl_driver_context_t *context, int64_t position,
    const int64_t *subscription_ids, const int32_t *position_counter_ids, uint32_t subscribers)
{
    image->subscribers.entries = calloc(0 == subscribers ? 1 : subscribers, sizeof(fl_subscriber_t));
    if (NULL == image->subscribers.entries)
    {
        return fl_error(FL_ENOMEM, "no memory for %u subscribers", subscribers);
    }
    image->subscribers.capacity = 0 == subscribers ? 1 : subscribers;
    for (uint32_t i = 0; i < subscribers; i++)
    {
        _Atomic int64_t *counter = fl_driver_counter(context, position_counter_ids[i]);
        if (NULL == counter)
        {
            return fl_error(FL_EINVAL, "subscriber position: %d is no counter of this driver", position_counter_ids[i]);
        }
        image->subscribers.entries[i] = (fl_subscriber_t){subscription_ids[i], position, counter};
    }
    image->subscribers.count = subscribers;
    return 0;
}

static int fl_image_init(
    fl_image_t *image, fl_driver_t *driver, fl_receive_endpoint_t *endpoint, const fl_image_params_t *params)
{
    fl_driver_context_t *context = &driver->context;
    fl_log_t *log = params->log;
    const int64_t position = params->join_position;
    if (position < 0 || 0 != position % FL_FRAME_ALIGNMENT || position >= fl_log_max_position(log))
    {
        return fl_error(FL_EINVAL, "join position %lld is not a multiple of %d in [0, %lld)", (long long)position,
            FL_FRAME_ALIGNMENT, (long long)fl_log_max_position(log));
    }
    const fl_congestion_control_params_t control_params = {
        .initial_window_length = params->initial_window_length,
        .term_length = log->term_length,
        .mtu_length = log->mtu_length,
        .now_ns = fl_clock_nano_now(context->clock),
        .initial_rtt_ns = context->config.cubic_initial_rtt_ns,
        .measures_rtt = context->config.cubic_measures_rtt,
        .tcp_mode = context->config.cubic_tcp_mode,
        .rtt_counter = fl_driver_counter(context, params->rtt_counter_id),
        .window_counter = fl_driver_counter(context, params->window_counter_id),
    };
    image->congestion_control = fl_congestion_control_new(params->congestion_control, &control_params);
    image->hwm_counter = fl_driver_counter(context, params->rcv_hwm_counter_id);
    image->rebuild_counter = fl_driver_counter(context, params->rcv_pos_counter_id);
    image->naks_sent_counter = fl_driver_counter(context, params->rcv_naks_sent_counter_id);
    if (NULL == image->congestion_control)
    {
        return -FL_EINVAL;
    }
    if (NULL == image->hwm_counter || NULL == image->rebuild_counter || NULL == image->naks_sent_counter)
    {
        return fl_error(FL_EINVAL, "counters %d, %d and %d are not all counters of this driver",
            params->rcv_hwm_counter_id, params->rcv_pos_counter_id, params->rcv_naks_sent_counter_id);
    }
    image->object.kind = FL_OBJECT_IMAGE;
    image->object.id = params->correlation_id;
    image->receiver = &driver->receiver;
    image->endpoint = endpoint;
    image->log = log;
    image->stream_id = log->stream_id;
    image->session_id = log->session_id;
    image->is_reliable = params->is_reliable;
    image->hwm = image->rebuild_position = image->last_sm_position = image->next_sm_position =
        image->clean_position = image->clean_target = image->tracked_hwm = image->tracked_rebuild_position =
            image->loss_end = position;
    image->overrun_threshold = position + log->term_length / 2;
    image->next_sm_window = image->congestion_control->initial_window_length;
    image->max_window_length = image->congestion_control->max_window_length;
    fl_image_init_nak_delay(image, &context->config, params);
    return 0;
}

/* Places for this image in the endpoint's sessions and on the active list. */
static int64_t fl_image_call_measure(void *argument)
{
    fl_image_call_t *call = argument;
    const fl_receive_endpoint_t *endpoint = call->image->endpoint;
    return endpoint->sessions.count - endpoint->setup_count;
}

static int fl_image_reserve(fl_driver_t *driver, fl_image_call_t *call)
{
    const fl_receiver_t *receiver = call->receiver;
    /* Images and cool-downs grow in number by this one alone; waiting sessions have their room already. */
    const uint32_t images = (uint32_t)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_measure, call);
    call->session_capacity = fl_session_map_capacity(images + 1);
    if (call->session_capacity > call->image->endpoint->sessions.capacity)
    {
        call->sessions = calloc(call->session_capacity, sizeof(*call->sessions));
        if (NULL == call->sessions)
        {
            return fl_error(FL_ENOMEM, "no memory for %u sessions", call->session_capacity);
        }
    }
    if (receiver->image_count == receiver->active_capacity)
    {
        call->capacity = 0 == receiver->active_capacity ? 16 : 2 * receiver->active_capacity;
        call->memory = malloc(call->capacity * sizeof(fl_image_t *));
        if (NULL == call->memory)
        {
            return fl_error(FL_ENOMEM, "no memory for %u images", call->capacity);
        }
    }
    return 0;
}

/* Older images of the session end in silence (wire 4.3 step 6). */
static void fl_image_silence_older(fl_image_t *image)
{
    for (fl_image_t *older = image->endpoint->images; NULL != older; older = older->next)
    {
        if (older->stream_id == image->stream_id && older->session_id == image->session_id)
        {
            fl_image_detach(older, false);
            older->is_silent = true;
        }
    }
}

/* Members with a control address report there from the beginning, as they do when they join (wire 4.4). */
static void fl_image_connect_fixed(fl_image_t *image, int64_t now_ns)
{
    for (uint32_t slot = 0; slot < FL_ENDPOINT_MEMBERS; slot++)
    {
        const fl_receive_endpoint_t *member = image->endpoint->members[slot];
        if (NULL != member && !image->connections[slot].is_known && fl_receive_endpoint_has_fixed_control(member))
        {
            fl_image_connect(image, slot, NULL, NULL, now_ns);
        }
    }
}

static void fl_image_attach(fl_image_t *image, const fl_address_t *source, int64_t now_ns)
{
    fl_receive_endpoint_t *endpoint = image->endpoint;
    fl_image_silence_older(image);
    fl_session_t *session = fl_session_map_put(&endpoint->sessions, image->stream_id, image->session_id);
    if (FL_SESSION_PENDING_SETUP == session->state || FL_SESSION_INIT_IN_PROGRESS == session->state)
    {
        const fl_setup_t *setup = &endpoint->setups[session->setup_index];
        if (FL_ENDPOINT_MEMBERS != setup->slot)
        {
            fl_image_connect(image, setup->slot, source, &setup->local, now_ns);
        }
        fl_receive_endpoint_remove_setup(endpoint, session);
    }
    else if (endpoint == endpoint->members[0])
    {
        fl_image_connect(image, 0, source, NULL, now_ns);
    }
    fl_image_connect_fixed(image, now_ns);
    session->state = FL_SESSION_ACTIVE;
    session->image = image;
    image->next = endpoint->images;
    endpoint->images = image;
    endpoint->image_count++;
}

static int64_t fl_image_call_add(void *argument)
{
    fl_image_call_t *call = argument;
    fl_receiver_t *receiver = call->receiver;
    fl_image_t *image = call->image;
    const int64_t now_ns = fl_clock_nano_now(receiver->context->clock);
    if (NULL != call->sessions)
    {
        call->sessions =
            fl_session_map_move(&image->endpoint->sessions, call->sessions, call->session_capacity);
    }
    if (NULL != call->memory)
    {
        fl_image_t **old = receiver->active;
        if (receiver->active_count > 0)
        {
            memcpy(call->memory, old, receiver->active_count * sizeof(*old));
        }
        receiver->active = call->memory;
        receiver->active_capacity = call->capacity;
        call->memory = old;
    }
    fl_image_attach(image, call->source, now_ns);
    receiver->image_count++;
    image->time_of_last_packet_ns = now_ns;
    fl_counter_set(image->hwm_counter, image->hwm);
    fl_counter_set(image->rebuild_counter, image->rebuild_position);
    for (uint32_t i = 0; i < image->subscribers.count; i++)
    {
        fl_counter_set((void *)(uintptr_t)image->subscribers.entries[i].counter, image->rebuild_position);
    }
    fl_image_update_active_transports(image, now_ns);
    fl_image_start_timers(image, now_ns);
    image->sm_due = true;
    fl_receiver_activate(receiver, image);
    return 0;
}

fl_image_t *fl_image_add(fl_driver_t *driver, fl_receive_endpoint_t *endpoint, const fl_image_params_t *params,
    const int64_t *subscription_ids, const int32_t *position_counter_ids, uint32_t subscribers)
{
    fl_image_t *image = calloc(1, sizeof(*image));
    fl_image_call_t call = {.receiver = &driver->receiver, .image = image, .source = &params->source};
    if (NULL == image)
    {
        fl_error(FL_ENOMEM, "no memory for image %lld", (long long)params->correlation_id);
        return NULL;
    }
    if (fl_image_init(image, driver, endpoint, params) < 0 ||
        fl_image_init_subscribers(image, &driver->context, params->join_position, subscription_ids,
            position_counter_ids, subscribers) < 0 ||
        fl_image_reserve(driver, &call) < 0)
    {
        fl_error_append("; image %lld of stream %d", (long long)params->correlation_id, params->log->stream_id);
        fl_image_free(image);
        image = NULL;
    }
    else
    {
        fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_add, &call);
    }
    free(call.sessions);
    free(call.memory);
    return image;
}

/* ---- remove ---- */

static int64_t fl_image_call_remove(void *argument)
{
    fl_image_call_t *call = argument;
    fl_receiver_t *receiver = call->receiver;
    fl_image_t *image = call->image;
    fl_image_t **link = &image->endpoint->images;
    while (image != *link)
    {
        link = &(*link)->next;
    }
    *link = image->next;
    image->endpoint->image_count--;
    receiver->image_count--;
    fl_image_detach(image, false);
    fl_receiver_deactivate(receiver, image);
    fl_timer_cancel(&receiver->wheel, &image->sm_timer);
    fl_timer_cancel(&receiver->wheel, &image->state_timer);
    return 0;
}

int fl_image_remove(fl_driver_t *driver, fl_image_t *image)
{
    fl_image_call_t call = {.receiver = &driver->receiver, .image = image};
    fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_remove, &call);
    fl_driver_forget(driver, &image->object);
    fl_image_free(image);
    return 0;
}
