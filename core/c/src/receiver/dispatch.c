/* From datagrams to images (wire 4.1). Which drop counter a datagram ends in is said in receiver.h. */
#include <string.h>

#include "protocol/validate.h"
#include "receiver/image.h"

static void fl_dispatch_invalid(fl_receiver_t *receiver, int reason)
{
    static const uint8_t drops[FL_INVALID_REASONS] = {
        [FL_INVALID_SHORT] = FL_DROP_SHORT,
        [FL_INVALID_VERSION] = FL_DROP_VERSION,
        [FL_INVALID_TYPE] = FL_DROP_TYPE,
        [FL_INVALID_FRAME_LENGTH] = FL_DROP_FRAME_LENGTH,
        [FL_INVALID_ALIGNMENT] = FL_DROP_ALIGNMENT,
    };
    fl_receiver_drop_invalid(receiver, drops[reason]);
}

/* Data of a session without an image: ask its sender for a SETUP, once a second. */
static void fl_dispatch_data_without_image(fl_receive_endpoint_t *endpoint, const fl_data_header_t *header,
    const fl_session_t *session, const fl_run_t *run, int64_t now_ns)
{
    const int32_t stream_id = header->stream_id;
    const int32_t session_id = header->session_id;
    if (!fl_interest_has_session(endpoint->interest, stream_id, session_id))
    {
        fl_receiver_drop(endpoint->receiver, FL_DROP_NO_INTEREST);
        return;
    }
    fl_receiver_drop(endpoint->receiver, FL_DROP_NO_IMAGE);
    if (NULL == session && 0 == (header->flags & FL_DATA_FLAG_EOS) &&
        NULL != fl_receive_endpoint_add_setup(endpoint, stream_id, session_id, FL_SESSION_PENDING_SETUP,
            now_ns + FL_SETUP_TIMEOUT_NS, run->local))
    {
        fl_receive_endpoint_t *member = endpoint->members[endpoint->receiving->slot];
        const fl_peer_t source = {.address = run->peer->address};
        fl_receive_endpoint_elicit(member, stream_id, session_id,
            fl_receive_endpoint_has_fixed_control(member) ? &member->control : &source, run->local);
    }
}

/* Returns the offset behind what was consumed. */
static uint32_t fl_dispatch_data(
    fl_receive_endpoint_t *endpoint, const fl_run_t *run, uint32_t offset, uint32_t length, int64_t now_ns)
{
    const fl_data_header_t *header = (const fl_data_header_t *)(run->data + offset);
    const fl_session_t *session =
        fl_session_map_find(&endpoint->sessions, header->stream_id, header->session_id);
    if (NULL == session || FL_SESSION_ACTIVE != session->state)
    {
        fl_dispatch_data_without_image(endpoint, header, session, run, now_ns);
        return offset + length;
    }
    endpoint->last_image = session->image;
    endpoint->last_key = fl_data_key(run->data + offset);
    return fl_image_insert(session->image, run, offset, now_ns);
}

static bool fl_dispatch_is_at_session_limit(const fl_receive_endpoint_t *endpoint, int32_t stream_id)
{
    const int32_t limit = endpoint->receiver->context->config.stream_session_limit;
    int32_t count = 0;
    if (endpoint->image_count < (uint32_t)limit)
    {
        return false;
    }
    for (const fl_image_t *image = endpoint->images; NULL != image; image = image->next)
    {
        count += image->stream_id == stream_id && image->state < FL_IMAGE_LINGER ? 1 : 0;
    }
    return count >= limit;
}

static bool fl_dispatch_ask_for_image(
    fl_receive_endpoint_t *endpoint, const fl_setup_frame_t *frame, fl_session_t *session, const fl_run_t *run)
{
    fl_receiver_t *receiver = endpoint->receiver;
    fl_notice_t *notice = fl_notice_take(&receiver->notices, FL_OBJECT_SETUP);
    if (NULL == notice)
    {
        return false;
    }
    fl_driver_event_t *content = &notice->content;
    content->id = endpoint->attachment.id;
    content->session_id = frame->session_id;
    content->stream_id = frame->stream_id;
    content->initial_term_id = frame->initial_term_id;
    content->active_term_id = frame->active_term_id;
    content->term_offset = frame->term_offset;
    content->term_length = frame->term_length;
    content->mtu_length = frame->mtu_length;
    content->ttl = frame->ttl;
    content->flags = frame->header.flags;
    content->source = run->peer->address;
    session->state = FL_SESSION_INIT_IN_PROGRESS;
    endpoint->setups[session->setup_index].slot = endpoint->receiving->slot;
    endpoint->setups[session->setup_index].local =
        NULL != run->local ? *run->local : (fl_address_t){.family = FL_FAMILY_NONE};
    fl_notice_raise(notice, &receiver->context->events);
    return true;
}

static void fl_dispatch_new_setup(
    fl_receive_endpoint_t *endpoint, const fl_setup_frame_t *frame, fl_session_t *session, const fl_run_t *run)
{
    const int32_t system_ttl = 1;
    const fl_receive_endpoint_t *member = endpoint->receiving;
    const int32_t own_ttl = 0 == member->ttl ? system_ttl : member->ttl;
    const bool is_known = NULL != session;
    if (is_known && member->is_multicast && frame->ttl > own_ttl)
    {
        fl_count(endpoint->receiver->context, FL_COUNTER_POSSIBLE_TTL_ASYMMETRY, 1);
    }
    if (!is_known)
    {
        session = fl_receive_endpoint_add_setup(
            endpoint, frame->stream_id, frame->session_id, FL_SESSION_INIT_IN_PROGRESS, 0, run->local);
    }
    if (NULL == session || !fl_dispatch_ask_for_image(endpoint, frame, session, run))
    {
        fl_receiver_drop(endpoint->receiver, FL_DROP_SETUP_IGNORED);
        if (NULL != session && !is_known)
        {
            fl_receive_endpoint_remove_setup(endpoint, session);
            fl_session_map_remove(&endpoint->sessions, session);
        }
    }
}

static void fl_dispatch_setup(
    fl_receive_endpoint_t *endpoint, const fl_setup_frame_t *frame, const fl_run_t *run, int64_t now_ns)
{
    fl_receiver_t *receiver = endpoint->receiver;
    if (fl_setup_check(frame) < 0 || fl_term_count(frame->active_term_id, frame->initial_term_id) < 0)
    {
        fl_receiver_drop_invalid(receiver, FL_DROP_SETUP_FIELDS);
        return;
    }
    if (!fl_interest_has_stream(endpoint->interest, frame->stream_id))
    {
        fl_receiver_drop(receiver, FL_DROP_NO_INTEREST);
        return;
    }
    if (fl_dispatch_is_at_session_limit(endpoint, frame->stream_id))
    {
        fl_receiver_drop(receiver, FL_DROP_SETUP_IGNORED);
        return;
    }
    fl_session_t *session = fl_session_map_find(&endpoint->sessions, frame->stream_id, frame->session_id);
    switch (NULL == session ? FL_SESSION_NONE : session->state)
    {
        case FL_SESSION_ACTIVE:
            fl_image_on_setup(session->image, now_ns);
            break;

        case FL_SESSION_INIT_IN_PROGRESS:
        case FL_SESSION_COOL_DOWN:
            fl_receiver_drop(receiver, FL_DROP_SETUP_IGNORED);
            break;

        case FL_SESSION_NONE:
            if (!fl_interest_has_session(endpoint->interest, frame->stream_id, frame->session_id))
            {
                fl_receiver_drop(receiver, FL_DROP_NO_INTEREST);
                break;
            }
            fl_dispatch_new_setup(endpoint, frame, NULL, run);
            break;

        case FL_SESSION_PENDING_SETUP:
            fl_dispatch_new_setup(endpoint, frame, session, run);
            break;
    }
}

static void fl_dispatch_rttm(fl_receive_endpoint_t *endpoint, const fl_rttm_frame_t *frame, int64_t now_ns)
{
    const fl_session_t *session = fl_session_map_find(&endpoint->sessions, frame->stream_id, frame->session_id);
    if ((0 != frame->receiver_id && endpoint->receiver_id != frame->receiver_id) || NULL == session ||
        FL_SESSION_ACTIVE != session->state)
    {
        fl_receiver_drop(endpoint->receiver, FL_DROP_RTTM_IGNORED);
        return;
    }
    fl_image_on_rttm(session->image, frame, now_ns);
}

/* One datagram that is not known to be data of the last image. Returns the offset behind what was consumed. */
static uint32_t fl_dispatch_datagram(
    fl_receive_endpoint_t *endpoint, const fl_run_t *run, uint32_t offset, uint32_t length, int64_t now_ns)
{
    const uint8_t *datagram = run->data + offset;
    const int32_t type = fl_datagram_check(datagram, length);
    switch (type)
    {
        case FL_FRAME_DATA:
        case FL_FRAME_PAD:
            return fl_dispatch_data(endpoint, run, offset, length, now_ns);

        case FL_FRAME_SETUP:
            fl_dispatch_setup(endpoint, (const fl_setup_frame_t *)datagram, run, now_ns);
            break;

        case FL_FRAME_RTTM:
            fl_dispatch_rttm(endpoint, (const fl_rttm_frame_t *)datagram, now_ns);
            break;

        case FL_FRAME_NAK:
        case FL_FRAME_SM:
        case FL_FRAME_ERR:
        case FL_FRAME_RSP_SETUP:
            fl_receiver_drop(endpoint->receiver, FL_DROP_WRONG_SIDE);
            break;

        case FL_FRAME_RES:
            fl_receiver_drop(endpoint->receiver, FL_DROP_TYPE);
            break;

        default:
            fl_dispatch_invalid(endpoint->receiver, -type);
            break;
    }
    return offset + length;
}

void fl_receive_endpoint_on_run(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns)
{
    fl_receive_endpoint_t *member = (fl_receive_endpoint_t *)sink;
    fl_receive_endpoint_t *endpoint = member->owner;
    uint32_t offset = 0;
    endpoint->receiving = member;
    endpoint->run = run;
    if (member->has_control)
    {
        /* Relaxed: the control thread compares it with a limit of seconds. */
        atomic_store_explicit(&member->time_of_last_run_ns, now_ns, memory_order_relaxed);
    }
    do
    {
        const uint32_t left = run->length - offset;
        const uint32_t length = left < run->segment_length ? left : run->segment_length;
        if (__builtin_expect(0 != (run->flags & FL_RUN_TRUNCATED), 0))
        {
            fl_receiver_drop(endpoint->receiver, FL_DROP_TRUNCATED);
            offset += length;
        }
        else if (NULL != endpoint->last_image && fl_is_data_datagram(run->data + offset, length) &&
            fl_data_key(run->data + offset) == endpoint->last_key)
        {
            offset = fl_image_insert(endpoint->last_image, run, offset, now_ns);
        }
        else
        {
            offset = fl_dispatch_datagram(endpoint, run, offset, length, now_ns);
        }
    }
    while (offset < run->length);
}
