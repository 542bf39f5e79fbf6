#include "sender/send_endpoint.h"

#include "protocol/validate.h"
#include "sender/publication.h"

/* The datagram level's reasons as counters. */
static int fl_send_endpoint_drop_of(int32_t reason)
{
    switch (reason)
    {
        case -FL_INVALID_SHORT:
            return FL_DROP_SHORT;
        case -FL_INVALID_VERSION:
            return FL_DROP_VERSION;
        case -FL_INVALID_FRAME_LENGTH:
            return FL_DROP_FRAME_LENGTH;
        case -FL_INVALID_ALIGNMENT:
            return FL_DROP_ALIGNMENT;
        default:
            return FL_DROP_TYPE;
    }
}

/* Session and stream id stand at 8 and 12 in every frame that a receiver sends. */
static fl_publication_t *fl_send_endpoint_find(const fl_send_endpoint_t *endpoint, const uint8_t *datagram)
{
    const fl_sm_frame_t *frame = (const fl_sm_frame_t *)datagram;
    fl_publication_t *publication =
        fl_publication_table_find(&endpoint->publications, frame->stream_id, frame->session_id);
    return NULL != publication && FL_PUBLICATION_DONE != publication->state ? publication : NULL;
}

/* A status message for a stream that is not here is normal: session and stream 0 ask for any (wire 9.2 item 15). It
 * counts as received, and its fields are held against the longest term there is (wire 3.6.1). Its sender is a
 * destination all the same (wire 3.8). */
static int fl_send_endpoint_on_unknown_status(
    fl_send_endpoint_t *endpoint, const fl_sm_frame_t *frame, const fl_address_t *source, int64_t now_ns)
{
    fl_driver_context_t *context = endpoint->sender->context;
    if (fl_sm_check(frame, FL_LOG_TERM_LENGTH_MAX) < 0)
    {
        fl_count(context, FL_COUNTER_INVALID_PACKETS, 1);
        return FL_DROP_SM_FIELDS;
    }
    fl_count(context, FL_COUNTER_STATUS_MESSAGES_RECEIVED, 1);
    const bool is_destination = NULL != endpoint->destinations &&
        fl_destinations_on_status_message(endpoint->destinations, frame->receiver_id, source, now_ns);
    return is_destination ? FL_TAKEN : FL_DROP_NO_PUBLICATION;
}

/* Take one datagram. Returns FL_TAKEN or the reason it is dropped for. */
static int fl_send_endpoint_on_datagram(
    fl_send_endpoint_t *endpoint, const uint8_t *datagram, size_t length, const fl_address_t *source, int64_t now_ns)
{
    const int32_t type = fl_datagram_check(datagram, length);
    if (type < 0)
    {
        fl_count(endpoint->sender->context, FL_COUNTER_INVALID_PACKETS, 1);
        return fl_send_endpoint_drop_of(type);
    }
    switch (type)
    {
        case FL_FRAME_SM:
        case FL_FRAME_NAK:
        case FL_FRAME_ERR:
        case FL_FRAME_RTTM:
        case FL_FRAME_RSP_SETUP:
            break;
        case FL_FRAME_PAD:
        case FL_FRAME_DATA:
        case FL_FRAME_SETUP:
            return FL_DROP_WRONG_SIDE;
        default:
            return FL_DROP_TYPE;   /* RES has a socket of its own */
    }
    fl_publication_t *publication = fl_send_endpoint_find(endpoint, datagram);
    if (NULL == publication)
    {
        return FL_FRAME_SM == type
            ? fl_send_endpoint_on_unknown_status(endpoint, (const fl_sm_frame_t *)datagram, source, now_ns)
            : FL_DROP_NO_PUBLICATION;
    }
    switch (type)
    {
        case FL_FRAME_SM:
            return fl_publication_on_status_message(
                publication, (const fl_sm_frame_t *)datagram, length, source, now_ns);
        case FL_FRAME_NAK:
            return fl_publication_on_nak(publication, (const fl_nak_frame_t *)datagram, now_ns);
        case FL_FRAME_ERR:
            return fl_publication_on_error(publication, (const fl_err_frame_t *)datagram, source, now_ns);
        case FL_FRAME_RSP_SETUP:
            return fl_publication_on_response_setup(publication, (const fl_rsp_setup_frame_t *)datagram);
        default:
            return fl_publication_on_rttm(publication, (const fl_rttm_frame_t *)datagram, now_ns);
    }
}

void fl_send_endpoint_on_run(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns)
{
    fl_send_endpoint_t *endpoint = (fl_send_endpoint_t *)sink;
    uint32_t offset = 0;
    do
    {
        /* A truncated run is one datagram of which the end is missing. */
        const uint32_t left = run->length - offset;
        const uint32_t length = left < run->segment_length ? left : run->segment_length;
        const int drop = 0 != (run->flags & FL_RUN_TRUNCATED)
            ? FL_DROP_TRUNCATED
            : fl_send_endpoint_on_datagram(endpoint, run->data + offset, length, &run->peer->address, now_ns);
        if (FL_TAKEN != drop)
        {
            fl_count_drop(endpoint->sender->context, drop, 1);
        }
        offset += length;
    }
    while (offset < run->length && run->segment_length > 0);
}
