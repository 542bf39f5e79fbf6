/* The life of an image (wire 4.10, shm 9.8), natively: no timeout of it depends on the control plane. */
#include <stddef.h>

#include "receiver/image.h"

static fl_image_t *fl_image_of_timer(fl_timer_t *timer, size_t member)
{
    return (fl_image_t *)((uint8_t *)timer - member);
}

void fl_image_update_active_transports(fl_image_t *image, int64_t now_ns)
{
    const int64_t liveness_ns = image->receiver->context->config.image_liveness_timeout_ns;
    int32_t count = 0;
    for (uint32_t i = 0; i < image->connection_count; i++)
    {
        const fl_image_connection_t *connection = &image->connections[i];
        const bool is_heard = connection->is_known && 0 != connection->time_of_last_frame_ns;
        count += is_heard && now_ns - connection->time_of_last_frame_ns < liveness_ns ? 1 : 0;
    }
    if (count != image->active_transport_count)
    {
        image->active_transport_count = count;
        fl_log_set_active_transport_count(image->log, count);
    }
}

void fl_image_detach(fl_image_t *image, bool cool_down)
{
    fl_receive_endpoint_t *endpoint = image->endpoint;
    fl_session_t *session = fl_session_map_find(&endpoint->sessions, image->stream_id, image->session_id);
    if (NULL != session && FL_SESSION_ACTIVE == session->state && session->image == image)
    {
        if (cool_down)
        {
            session->state = FL_SESSION_COOL_DOWN;
            session->image = NULL;
        }
        else
        {
            fl_session_map_remove(&endpoint->sessions, session);
        }
    }
    if (endpoint->last_image == image)
    {
        endpoint->last_image = NULL;
    }
}

/* ---- leaving a state ---- */

static void fl_image_drain(fl_image_t *image, int64_t now_ns)
{
    image->state = FL_IMAGE_DRAINING;
    image->state_deadline_ns =
        now_ns + FL_IMAGE_DRAIN_SM_TIMEOUTS * image->receiver->context->config.status_message_timeout_ns;
    image->sm_due = true;
    fl_receiver_activate(image->receiver, image);
}

static void fl_image_linger(fl_image_t *image, int64_t now_ns)
{
    fl_receiver_t *receiver = image->receiver;
    if (image->sm_due)
    {
        fl_image_send_feedback(image, now_ns);   /* of an image that is revoked: the only one with the EOS flag */
    }
    image->state = FL_IMAGE_LINGER;
    image->state_deadline_ns = now_ns + receiver->context->config.image_liveness_timeout_ns;
    fl_image_detach(image, !image->is_end_of_stream);
    fl_receiver_deactivate(receiver, image);
    fl_timer_cancel(&receiver->wheel, &image->sm_timer);
    fl_object_raise(&receiver->context->events, &image->object, FL_EVENT_IMAGE_UNAVAILABLE);
}

static bool fl_image_has_ended(const fl_image_t *image, int64_t now_ns)
{
    return image->is_revoked || 0 == image->subscribers.count ||
        (image->is_end_of_stream && image->rebuild_position >= image->hwm) ||
        now_ns - image->time_of_last_packet_ns > image->receiver->context->config.image_liveness_timeout_ns;
}

static bool fl_image_is_drained(fl_image_t *image)
{
    return 0 == image->subscribers.count || fl_image_lowest_position(image) >= image->rebuild_position;
}

bool fl_image_check_state(fl_image_t *image, int64_t now_ns)
{
    const fl_image_state_t before = image->state;
    if (FL_IMAGE_ACTIVE == image->state && fl_image_has_ended(image, now_ns))
    {
        fl_image_drain(image, now_ns);
    }
    if (FL_IMAGE_DRAINING == image->state &&
        (image->is_revoked || (now_ns >= image->state_deadline_ns && fl_image_is_drained(image))))
    {
        fl_image_linger(image, now_ns);
    }
    if (FL_IMAGE_LINGER == image->state &&
        (0 == image->subscribers.count || now_ns >= image->state_deadline_ns))
    {
        image->state = FL_IMAGE_DONE;
        fl_timer_cancel(&image->receiver->wheel, &image->state_timer);
        fl_object_raise(&image->receiver->context->events, &image->object, FL_EVENT_IMAGE_DONE);
    }
    if (image->state != before && FL_IMAGE_DONE != image->state)
    {
        fl_timer_schedule(&image->receiver->wheel, &image->state_timer, image->state_deadline_ns);
    }
    return image->state != before;
}

/* ---- timers ---- */

static void fl_image_on_state_timer(fl_timer_t *timer, int64_t now_ns)
{
    fl_image_t *image = fl_image_of_timer(timer, offsetof(fl_image_t, state_timer));
    if (fl_image_check_state(image, now_ns))
    {
        return;
    }
    if (FL_IMAGE_ACTIVE == image->state)
    {
        /* Liveness: packets that came meanwhile moved the deadline without touching the wheel. */
        fl_timer_schedule(&image->receiver->wheel, timer,
            image->time_of_last_packet_ns + image->receiver->context->config.image_liveness_timeout_ns + 1);
    }
    else if (now_ns < image->state_deadline_ns)
    {
        fl_timer_schedule(&image->receiver->wheel, timer, image->state_deadline_ns);
    }
    else
    {
        /* DRAINING with a subscriber behind: an active image, which looks in every cycle. */
        fl_receiver_activate(image->receiver, image);
    }
}

static void fl_image_on_sm_timer(fl_timer_t *timer, int64_t now_ns)
{
    fl_image_t *image = fl_image_of_timer(timer, offsetof(fl_image_t, sm_timer));
    const int64_t timeout_ns = image->receiver->context->config.status_message_timeout_ns;
    fl_image_update_active_transports(image, now_ns);
    if (image->is_responding)
    {
        fl_image_send_response_setup(image, now_ns);
    }
    if (now_ns >= image->sm_deadline_ns && 0 == fl_image_send_feedback(image, now_ns))
    {
        fl_receiver_activate(image->receiver, image);   /* no room: tried again in every cycle */
    }
    fl_timer_schedule(&image->receiver->wheel, timer,
        image->sm_deadline_ns > now_ns ? image->sm_deadline_ns : now_ns + timeout_ns);
}

void fl_image_start_timers(fl_image_t *image, int64_t now_ns)
{
    const fl_driver_config_t *config = &image->receiver->context->config;
    fl_timer_init(&image->sm_timer, fl_image_on_sm_timer);
    fl_timer_init(&image->state_timer, fl_image_on_state_timer);
    image->sm_deadline_ns = now_ns + config->status_message_timeout_ns;
    fl_timer_schedule(&image->receiver->wheel, &image->sm_timer, image->sm_deadline_ns);
    fl_timer_schedule(
        &image->receiver->wheel, &image->state_timer, now_ns + config->image_liveness_timeout_ns + 1);
}

void fl_image_check_state_soon(fl_image_t *image, int64_t now_ns)
{
    if (FL_IMAGE_DONE != image->state)
    {
        fl_timer_schedule(&image->receiver->wheel, &image->state_timer, now_ns);
    }
}
