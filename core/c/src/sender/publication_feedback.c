/* What receivers say to a publication (wire 3.6.1, 3.7, 3.9). */
#include <string.h>

#include "protocol/encode.h"
#include "protocol/validate.h"
#include "sender/publication.h"

static void fl_publication_on_setup_elicited(
    fl_publication_t *publication, const fl_status_t *status, int64_t now_ns)
{
    if (!publication->is_end_of_stream)
    {
        publication->is_setup_elicited = true;
        publication->setup_deadline_ns = publication->time_of_last_setup_ns + FL_SETUP_INTERVAL_NS;
        publication->flow->ops->on_setup_elicited(publication->flow, status, now_ns);
    }
}

static void fl_publication_on_status(fl_publication_t *publication, const fl_status_t *status, int64_t now_ns)
{
    if (status->is_end_of_stream)
    {
        fl_liveness_remove(&publication->liveness, status->receiver_id);
    }
    else
    {
        fl_liveness_touch(&publication->liveness, status->receiver_id, now_ns);
    }
    /* A receiver that comes back after its end takes the early end back too. */
    publication->has_received_unicast_eos =
        status->is_end_of_stream && !fl_send_endpoint_has_group(publication->endpoint);
    if (!publication->has_initial_connection)
    {
        publication->has_initial_connection = true;
        if (!publication->is_setup_elicited)
        {
            publication->setup_deadline_ns = FL_NEVER_NS;
        }
    }
    const int32_t half_window = status->receiver_window / 2;
    const int32_t most = publication->sender->run_length;
    const int32_t least = publication->log->mtu_length;
    const int32_t burst = half_window < most ? half_window : most;
    publication->burst_length = burst > least ? burst : least;
    fl_publication_set_sender_limit(publication,
        publication->flow->ops->on_status_message(publication->flow, status, publication->sender_limit, now_ns));
    if (status->is_end_of_stream)
    {
        fl_publication_look_at_receivers(publication, now_ns);
    }
    fl_publication_update_connected(publication);
    if (publication->has_received_unicast_eos && FL_PUBLICATION_LINGER == publication->state)
    {
        fl_timer_schedule(&publication->sender->wheel, &publication->timer, now_ns);
    }
}

int fl_publication_on_status_message(fl_publication_t *publication, const fl_sm_frame_t *frame, size_t length,
    const fl_address_t *source, int64_t now_ns)
{
    const fl_log_t *log = publication->log;
    fl_driver_context_t *context = publication->sender->context;
    if (fl_sm_check(frame, log->term_length) < 0)
    {
        fl_count(context, FL_COUNTER_INVALID_PACKETS, 1);
        return FL_DROP_SM_FIELDS;
    }
    fl_count(context, FL_COUNTER_STATUS_MESSAGES_RECEIVED, 1);
    fl_status_t status = {
        .receiver_id = frame->receiver_id,
        .position = fl_log_position(log, frame->consumption_term_id, frame->consumption_term_offset),
        .receiver_window = frame->receiver_window,
        .is_end_of_stream = 0 != (frame->header.flags & FL_SM_FLAG_EOS),
        .has_group_tag = fl_sm_has_group_tag(frame, length),
    };
    if (status.has_group_tag)
    {
        status.group_tag = frame->group_tag;
    }
    const bool asks_for_setup = 0 != (frame->header.flags & FL_SM_FLAG_SEND_SETUP);
    const int64_t half_term = log->term_length / 2;
    if (!asks_for_setup && (status.position < 0 || status.position < publication->sender_position - half_term ||
        status.position > publication->sender_position + half_term))
    {
        fl_count(context, FL_COUNTER_STATUS_MESSAGES_REJECTED, 1);
        return FL_DROP_SM_REJECTED;
    }
    fl_destinations_t *destinations = publication->endpoint->destinations;
    if (NULL != destinations)
    {
        fl_destinations_on_status_message(destinations, frame->receiver_id, source, now_ns);
    }
    if (asks_for_setup)
    {
        if (publication->is_response)
        {
            publication->response_peer = (fl_peer_t){.address = *source};
        }
        fl_publication_on_setup_elicited(publication, &status, now_ns);
        return FL_TAKEN;
    }
    /* Relaxed: the control plane reads it now and then, and it publishes nothing else. */
    atomic_store_explicit(&publication->endpoint->time_of_last_sm_ns, now_ns, memory_order_relaxed);
    fl_publication_on_status(publication, &status, now_ns);
    return FL_TAKEN;
}

int fl_publication_on_nak(fl_publication_t *publication, const fl_nak_frame_t *frame, int64_t now_ns)
{
    const fl_log_t *log = publication->log;
    fl_driver_context_t *context = publication->sender->context;
    if (fl_nak_check(frame, log->term_length) < 0)
    {
        fl_count(context, FL_COUNTER_INVALID_PACKETS, 1);
        return FL_DROP_NAK_FIELDS;
    }
    fl_count(context, FL_COUNTER_NAKS_RECEIVED, 1);
    atomic_fetch_add_explicit(publication->sender_naks_counter, 1, memory_order_relaxed);
    const int64_t position = fl_log_position(log, frame->term_id, frame->term_offset);
    const int64_t length = frame->length < publication->resend_limit ? frame->length : publication->resend_limit;
    if (0 == length || !fl_publication_can_resend(publication, position))
    {
        return FL_DROP_NAK_IGNORED;
    }
    const int result = fl_retransmit_on_nak(&publication->retransmit, position, position + length, now_ns);
    if (-FL_ENOSPC == result)
    {
        fl_count(context, FL_COUNTER_RETRANSMIT_OVERFLOW, 1);
    }
    if (result <= 0)
    {
        return FL_DROP_NAK_IGNORED;
    }
    fl_retransmit_work(&publication->retransmit, publication, now_ns);
    return FL_TAKEN;
}

int fl_publication_on_error(
    fl_publication_t *publication, const fl_err_frame_t *frame, const fl_address_t *source, int64_t now_ns)
{
    fl_driver_context_t *context = publication->sender->context;
    if (fl_err_check(frame) < 0)
    {
        fl_count(context, FL_COUNTER_INVALID_PACKETS, 1);
        return FL_DROP_ERR_FIELDS;
    }
    fl_count(context, FL_COUNTER_ERROR_FRAMES_RECEIVED, 1);
    publication->flow->ops->on_error(publication->flow, frame->receiver_id, now_ns);
    fl_publication_look_at_receivers(publication, now_ns);
    if (!fl_liveness_has(&publication->liveness, frame->receiver_id))
    {
        return FL_TAKEN;
    }
    /* Without a notice the receiver stays, so that its next ERR is reported. */
    fl_notice_t *notice = fl_notice_take(&publication->sender->notices, FL_OBJECT_PUBLICATION_ERROR);
    if (NULL == notice)
    {
        return FL_TAKEN;
    }
    fl_driver_event_t *event = &notice->content;
    event->id = publication->object.id;
    event->session_id = publication->log->session_id;
    event->stream_id = publication->log->stream_id;
    event->flags = frame->header.flags;
    event->error_code = frame->error_code;
    event->receiver_id = frame->receiver_id;
    event->group_tag = 0 != (frame->header.flags & FL_ERR_FLAG_HAS_GROUP_TAG) ? frame->group_tag : -1;
    event->source = *source;
    event->destination_id = fl_send_endpoint_destination_of(publication->endpoint, frame->receiver_id, source);
    event->text_length = (uint32_t)frame->error_length;
    memcpy(event->text, frame->text, event->text_length);
    fl_notice_raise(notice, &context->events);
    fl_liveness_remove(&publication->liveness, frame->receiver_id);
    fl_publication_update_connected(publication);
    return FL_TAKEN;
}

int fl_publication_on_response_setup(fl_publication_t *publication, const fl_rsp_setup_frame_t *frame)
{
    if (0 == (publication->setup_flags & FL_SETUP_FLAG_SEND_RESPONSE))
    {
        return FL_DROP_TYPE;   /* nobody asked */
    }
    /* Without a notice the next one tells: they come until somebody answers. */
    fl_notice_t *notice = fl_notice_take(&publication->sender->notices, FL_OBJECT_RESPONSE_SETUP);
    if (NULL != notice)
    {
        notice->content.id = publication->object.id;
        notice->content.stream_id = publication->log->stream_id;
        notice->content.session_id = frame->response_session_id;
        fl_notice_raise(notice, &publication->sender->context->events);
    }
    return FL_TAKEN;
}

int fl_publication_on_rttm(fl_publication_t *publication, const fl_rttm_frame_t *frame, int64_t now_ns)
{
    uint8_t reply[FL_RTTM_LENGTH];
    if (0 == (frame->header.flags & FL_RTTM_FLAG_REPLY))
    {
        return FL_DROP_RTTM_IGNORED;   /* an answer; this driver's senders ask nothing */
    }
    const size_t length = fl_rttm_encode(reply, 0, publication->log->session_id, publication->log->stream_id,
        frame->echo_timestamp, 0, frame->receiver_id);
    fl_publication_send_frame(publication, reply, length, now_ns);
    return FL_TAKEN;
}
