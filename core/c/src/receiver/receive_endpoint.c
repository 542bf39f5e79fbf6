#include "receiver/receive_endpoint.h"

#include <stddef.h>

#include "protocol/encode.h"

/* ---- sending ---- */

int fl_receive_endpoint_send(fl_receive_endpoint_t *endpoint, const uint8_t *frame, size_t length,
    const fl_peer_t *peer, const fl_address_t *local)
{
    fl_run_t run = {
        .data = frame,
        .length = (uint32_t)length,
        .segment_length = (uint32_t)length,
        .peer = peer,
        .local = NULL != local && FL_FAMILY_NONE != local->family ? local : NULL,
    };
    const int sent = fl_attachment_send(&endpoint->attachment, &run, 1);
    if (1 == sent)
    {
        return 0;
    }
    endpoint->receiver->sums.short_sends++;
    endpoint->receiver->has_sums = true;
    return sent < 0 ? sent : (run.status < 0 ? run.status : -FL_EIO);
}

void fl_receive_endpoint_elicit(fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id,
    const fl_peer_t *peer, const fl_address_t *local)
{
    uint8_t frame[FL_SM_GROUP_TAG_LENGTH];
    const fl_receive_endpoint_t *owner = endpoint->owner;
    const size_t length = fl_sm_encode(frame, FL_SM_FLAG_SEND_SETUP, session_id, stream_id, 0, 0, 0,
        owner->receiver_id, fl_receive_endpoint_group_tag(owner));
    if (0 == fl_receive_endpoint_send(endpoint, frame, length, peer, local))
    {
        endpoint->receiver->sums.status_messages++;
        endpoint->receiver->has_sums = true;
    }
}

/* ---- sessions that wait ---- */

fl_session_t *fl_receive_endpoint_add_setup(fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id,
    fl_session_state_t state, int64_t deadline_ns, const fl_address_t *local)
{
    if (FL_SETUPS_CAPACITY == endpoint->setup_count)
    {
        return NULL;
    }
    fl_setup_t *setup = &endpoint->setups[endpoint->setup_count];
    *setup = (fl_setup_t){.stream_id = stream_id, .session_id = session_id, .deadline_ns = deadline_ns,
        .slot = endpoint->receiving->slot};
    if (NULL != local)
    {
        setup->local = *local;
    }
    fl_session_t *session = fl_session_map_put(&endpoint->sessions, stream_id, session_id);
    session->state = state;
    session->setup_index = endpoint->setup_count++;
    if (FL_SESSION_PENDING_SETUP == state && !fl_timer_is_scheduled(&endpoint->setup_timer))
    {
        fl_timer_schedule(&endpoint->receiver->wheel, &endpoint->setup_timer, deadline_ns);
    }
    return session;
}

void fl_receive_endpoint_remove_setup(fl_receive_endpoint_t *endpoint, fl_session_t *session)
{
    const uint32_t index = session->setup_index;
    const fl_setup_t *last = &endpoint->setups[--endpoint->setup_count];
    if (index != endpoint->setup_count)
    {
        endpoint->setups[index] = *last;
        fl_session_map_find(&endpoint->sessions, last->stream_id, last->session_id)->setup_index = index;
    }
}

void fl_receive_endpoint_forget(fl_receive_endpoint_t *endpoint, fl_session_t *session)
{
    if (FL_SESSION_PENDING_SETUP == session->state || FL_SESSION_INIT_IN_PROGRESS == session->state)
    {
        fl_receive_endpoint_remove_setup(endpoint, session);
    }
    fl_session_map_remove(&endpoint->sessions, session);
}

/* Elicitations that got no answer lapse, so that the next data elicits again. All have the same timeout, so the timer
 * stands at the earliest one or before it. */
static void fl_receive_endpoint_on_setup_timer(fl_timer_t *timer, int64_t now_ns)
{
    fl_receive_endpoint_t *endpoint =
        (fl_receive_endpoint_t *)((uint8_t *)timer - offsetof(fl_receive_endpoint_t, setup_timer));
    int64_t earliest_ns = INT64_MAX;
    for (uint32_t i = endpoint->setup_count; i > 0; i--)
    {
        const fl_setup_t *setup = &endpoint->setups[i - 1];
        fl_session_t *session = fl_session_map_find(&endpoint->sessions, setup->stream_id, setup->session_id);
        if (FL_SESSION_PENDING_SETUP != session->state)
        {
            continue;
        }
        if (setup->deadline_ns <= now_ns)
        {
            fl_receive_endpoint_forget(endpoint, session);
        }
        else if (setup->deadline_ns < earliest_ns)
        {
            earliest_ns = setup->deadline_ns;
        }
    }
    if (INT64_MAX != earliest_ns)
    {
        fl_timer_schedule(&endpoint->receiver->wheel, timer, earliest_ns);
    }
}

/* Keep this receiver known at a publication with dynamic destinations (wire 4.2). */
static void fl_receive_endpoint_on_control_timer(fl_timer_t *timer, int64_t now_ns)
{
    fl_receive_endpoint_t *endpoint =
        (fl_receive_endpoint_t *)((uint8_t *)timer - offsetof(fl_receive_endpoint_t, control_timer));
    const fl_interest_t *interest = endpoint->owner->interest;
    if (NULL != interest && interest->count > 0)
    {
        fl_receive_endpoint_elicit(endpoint, 0, 0, &endpoint->control, NULL);
    }
    fl_timer_schedule(&endpoint->receiver->wheel, timer, now_ns + FL_SETUP_TIMEOUT_NS);
}

void fl_receive_endpoint_init_timers(fl_receive_endpoint_t *endpoint)
{
    fl_timer_init(&endpoint->setup_timer, fl_receive_endpoint_on_setup_timer);
    fl_timer_init(&endpoint->control_timer, fl_receive_endpoint_on_control_timer);
}
