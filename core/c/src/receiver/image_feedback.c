#include <string.h>

#include "protocol/encode.h"
#include "receiver/image.h"
#include "shm/counters.h"

/* Send a frame to every connection that is alive (wire 4.4).
 *
 * sent      out: how many took it
 * returns   0, or -FL_EAGAIN if one had no room for it
 */
static int fl_image_send(fl_image_t *image, const uint8_t *frame, size_t length, int64_t now_ns, int64_t *sent)
{
    int result = 0;
    *sent = 0;
    for (uint32_t i = 0; !image->is_silent && i < image->connection_count; i++)
    {
        fl_image_connection_t *connection = &image->connections[i];
        fl_receive_endpoint_t *member = image->endpoint->members[i];
        if (NULL == member || !connection->is_known ||
            now_ns - connection->time_of_last_activity_ns > FL_CONNECTION_TIMEOUT_NS)
        {
            continue;
        }
        const fl_peer_t *peer =
            fl_receive_endpoint_has_fixed_control(member) ? &member->control : &connection->source;
        const int status = fl_receive_endpoint_send(member, frame, length, peer, &connection->local);
        if (0 == status)
        {
            (*sent)++;
        }
        else if (-FL_EAGAIN == status || -FL_ENOBUFS == status)
        {
            result = -FL_EAGAIN;
        }
    }
    image->receiver->has_sums = true;
    return result;
}

static int fl_image_send_status_message(fl_image_t *image, int64_t now_ns)
{
    uint8_t frame[FL_SM_GROUP_TAG_LENGTH];
    const fl_log_t *log = image->log;
    const int64_t position = image->next_sm_position;
    int64_t sent;
    const size_t length = fl_sm_encode(frame, FL_IMAGE_DRAINING == image->state ? FL_SM_FLAG_EOS : 0, image->session_id,
        image->stream_id, fl_log_term_id(log, position), fl_log_term_offset(log, position), image->next_sm_window,
        image->endpoint->receiver_id, fl_receive_endpoint_group_tag(image->endpoint));
    const int result = fl_image_send(image, frame, length, now_ns, &sent);
    image->receiver->sums.status_messages += sent;
    if (0 == result)
    {
        image->last_sm_position = position;
        image->overrun_threshold = position + log->term_length / 2;
    }
    return result;
}

static int fl_image_send_error(fl_image_t *image, int64_t now_ns)
{
    uint8_t frame[FL_ERR_LENGTH + FL_ERR_TEXT_LENGTH_MAX];
    const int32_t image_rejected = 13;
    int64_t sent;
    const size_t length = fl_err_encode(frame, image->session_id, image->stream_id, image->endpoint->receiver_id,
        fl_receive_endpoint_group_tag(image->endpoint), image_rejected, image->reject_text, image->reject_length);
    const int result = fl_image_send(image, frame, length, now_ns, &sent);
    image->receiver->sums.errors_sent += sent;
    return result;
}

int fl_image_send_feedback(fl_image_t *image, int64_t now_ns)
{
    const int result =
        image->is_rejected ? fl_image_send_error(image, now_ns) : fl_image_send_status_message(image, now_ns);
    image->sm_due = 0 != result;
    if (image->sm_due)
    {
        return 0;
    }
    image->sm_deadline_ns = now_ns + image->receiver->context->config.status_message_timeout_ns;
    return 1;
}

void fl_image_send_nak(fl_image_t *image, int64_t position, int32_t length, int64_t now_ns)
{
    uint8_t frame[FL_NAK_LENGTH];
    int64_t sent;
    const size_t frame_length = fl_nak_encode(frame, image->session_id, image->stream_id,
        fl_log_term_id(image->log, position), fl_log_term_offset(image->log, position), length);
    fl_image_send(image, frame, frame_length, now_ns, &sent);   /* what is not sent now is sent after the retry delay */
    image->receiver->sums.naks += sent;
    fl_counter_add_single(image->naks_sent_counter, sent);
}

void fl_image_send_response_setup(fl_image_t *image, int64_t now_ns)
{
    uint8_t frame[FL_RSP_SETUP_LENGTH];
    int64_t sent;
    const size_t length =
        fl_rsp_setup_encode(frame, image->session_id, image->stream_id, image->response_session_id);
    fl_image_send(image, frame, length, now_ns, &sent);
}

void fl_image_send_rttm(fl_image_t *image, uint8_t flags, int64_t echo_timestamp, int64_t now_ns)
{
    uint8_t frame[FL_RTTM_LENGTH];
    int64_t sent;
    const size_t length = fl_rttm_encode(
        frame, flags, image->session_id, image->stream_id, echo_timestamp, 0, image->endpoint->receiver_id);
    fl_image_send(image, frame, length, now_ns, &sent);
}
