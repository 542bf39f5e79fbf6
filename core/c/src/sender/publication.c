#include "sender/publication.h"

#include "protocol/encode.h"
#include "protocol/timestamp.h"
#include "shm/term.h"

static int64_t fl_min(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

void fl_publication_seek(fl_publication_t *publication)
{
    publication->next_frame = fl_log_term(publication->log, publication->sender_position) +
        fl_log_term_offset(publication->log, publication->sender_position);
}

/* ---- what goes out ---- */

/* Give runs to the endpoint. A response publication without a receiver has nobody to send to. */
static int fl_publication_send(fl_publication_t *publication, fl_run_t *runs, uint32_t count, int64_t now_ns)
{
    if (__builtin_expect(publication->is_response, 0))
    {
        if (FL_FAMILY_NONE == publication->response_peer.address.family)
        {
            return 0;
        }
        for (uint32_t i = 0; i < count; i++)
        {
            runs[i].peer = &publication->response_peer;
        }
    }
    return fl_send_endpoint_send(publication->endpoint, runs, count, now_ns);
}

bool fl_publication_send_frame(
    fl_publication_t *publication, const uint8_t *frame, size_t length, int64_t now_ns)
{
    fl_run_t run = {.data = frame, .length = (uint32_t)length, .segment_length = (uint32_t)length};
    if (1 != fl_publication_send(publication, &run, 1, now_ns))
    {
        publication->sender->cycle.short_sends++;
        return false;
    }
    publication->sender->cycle.bytes_sent += (int64_t)length;
    return true;
}

/* Wire 3.3. The time is stamped even if the transport takes nothing: nothing is gained by asking it in every cycle. */
static void fl_publication_send_setup(fl_publication_t *publication, int64_t now_ns)
{
    const fl_log_t *log = publication->log;
    uint8_t frame[FL_SETUP_LENGTH];
    const size_t length = fl_setup_encode(frame, publication->setup_flags,
        fl_log_term_offset(log, publication->sender_position), log->session_id, log->stream_id, log->initial_term_id,
        fl_log_term_id(log, publication->sender_position), log->term_length, log->mtu_length, publication->ttl);
    if (publication->is_setup_elicited)
    {
        publication->flow->ops->on_setup_sent(publication->flow, publication->sender_limit, now_ns);
    }
    const bool has_target =
        !publication->is_response || FL_FAMILY_NONE != publication->response_peer.address.family;
    if (has_target && fl_publication_send_frame(publication, frame, length, now_ns) && publication->liveness.count > 0)
    {
        publication->is_setup_elicited = false;
    }
    publication->time_of_last_setup_ns = now_ns;
    publication->setup_deadline_ns = publication->has_initial_connection && !publication->is_setup_elicited
        ? FL_NEVER_NS
        : now_ns + FL_SETUP_INTERVAL_NS;
}

void fl_publication_send_heartbeat(fl_publication_t *publication, int64_t now_ns)
{
    const fl_log_t *log = publication->log;
    uint8_t frame[FL_DATA_HEADER_LENGTH];
    uint8_t flags = FL_DATA_UNFRAGMENTED;
    if (publication->is_revoked)
    {
        flags |= FL_DATA_FLAG_EOS | FL_DATA_FLAG_REVOKED;
    }
    else if (publication->signal_eos && publication->is_end_of_stream)
    {
        flags |= FL_DATA_FLAG_EOS;
    }
    const size_t length = fl_heartbeat_encode(frame, flags, fl_log_term_offset(log, publication->sender_position),
        log->session_id, log->stream_id, fl_log_term_id(log, publication->sender_position));
    if (fl_publication_send_frame(publication, frame, length, now_ns))
    {
        publication->time_of_last_send_ns = now_ns;
        fl_count(publication->sender->context, FL_COUNTER_HEARTBEATS_SENT, 1);
    }
}

/* Scan from a position and send what was found, in one call of the transport. Returns the extent that left, or
 * -FL_EAGAIN if there was something to send and the transport took none of it. */
static int64_t fl_publication_send_runs(
    fl_publication_t *publication, fl_scan_t *scan, int64_t position, int64_t limit, int64_t now_ns)
{
    const fl_log_t *log = publication->log;
    uint8_t *term = fl_log_term(log, position);
    const int32_t offset = fl_log_term_offset(log, position);
    if (0 == fl_term_scan(
            scan, &publication->bounds, term, fl_log_term_id(log, position), offset, (int32_t)limit))
    {
        return 0;
    }
    if (__builtin_expect(FL_TIMESTAMP_NOWHERE != publication->timestamp_at, 0))
    {
        /* What is sent again, or was not taken before, is stamped again. */
        fl_scan_stamp(scan, term + offset, publication->timestamp_at,
            fl_clock_epoch_now(publication->sender->context->clock));
    }
    const int64_t extent =
        fl_scan_accept(scan, fl_publication_send(publication, scan->runs, scan->run_count, now_ns));
    publication->sender->cycle.short_sends += extent < scan->extent;
    publication->sender->cycle.bytes_sent += scan->accepted_bytes;
    return extent > 0 ? extent : -FL_EAGAIN;
}

/* Count an episode once: it ends with the next send. */
static void fl_publication_on_back_pressure(fl_publication_t *publication)
{
    if (!publication->is_back_pressured)
    {
        publication->is_back_pressured = true;
        fl_count(publication->sender->context, FL_COUNTER_SENDER_FLOW_CONTROL_LIMITS, 1);
        /* Relaxed: a figure with one writer that publishes nothing else. */
        atomic_fetch_add_explicit(publication->sender_bpe_counter, 1, memory_order_relaxed);
    }
}

/* The frame at the sender position is not one of this stream, and nothing tells where the next one begins. The stream
 * stays there; it is an error of whoever wrote it, reported once. */
static void fl_publication_on_invalid_frame(fl_publication_t *publication)
{
    if (publication->invalid_position != publication->sender_position)
    {
        publication->invalid_position = publication->sender_position;
        fl_object_raise(
            &publication->sender->context->events, &publication->object, FL_EVENT_PUBLICATION_INVALID);
    }
}

/* A complete frame is there (wire 3.4). Returns the bytes sent. */
static int64_t fl_publication_send_data(fl_publication_t *publication, int64_t now_ns)
{
    const int64_t window = publication->sender_limit - publication->sender_position;
    if (window <= 0)
    {
        fl_publication_on_back_pressure(publication);
        return 0;
    }
    fl_scan_t scan;
    const int64_t extent = fl_publication_send_runs(
        publication, &scan, publication->sender_position, fl_min(window, publication->burst_length), now_ns);
    if (extent <= 0)
    {
        if (0 == extent && FL_SCAN_FULL == scan.end)
        {
            fl_publication_on_back_pressure(publication);
        }
        else if (0 == extent && FL_SCAN_INVALID == scan.end)
        {
            fl_publication_on_invalid_frame(publication);
        }
        return 0;
    }
    publication->sender_position += extent;
    publication->time_of_last_send_ns = now_ns;
    publication->is_back_pressured = false;
    publication->is_limit_due = true;
    fl_publication_seek(publication);
    /* Release: pairs with the acquire of whoever follows the sender, such as a spy. */
    fl_i64_store_release(publication->sender_position_counter, publication->sender_position);
    if (FL_PUBLICATION_ACTIVE != publication->state)
    {
        fl_publication_update_end_of_stream(publication);
    }
    return scan.accepted_bytes;
}

bool fl_publication_can_resend(const fl_publication_t *publication, int64_t position)
{
    const int64_t term_length = publication->log->term_length;
    const int64_t lowest =
        publication->sender_position - term_length / 2 - fl_min(term_length / 8, FL_MESSAGE_LENGTH_MAX);
    return position >= 0 && lowest <= position && position < publication->sender_position;
}

int64_t fl_publication_resend(
    fl_publication_t *publication, int64_t position, int64_t length, int64_t *bytes, int64_t now_ns)
{
    if (!fl_publication_can_resend(publication, position))
    {
        return 0;
    }
    fl_scan_t scan;
    const int64_t extent = fl_publication_send_runs(publication, &scan, position,
        fl_min(fl_min(length, publication->sender_position - position), publication->burst_length), now_ns);
    if (extent > 0)
    {
        fl_driver_context_t *context = publication->sender->context;
        fl_count(context, FL_COUNTER_RETRANSMITS_SENT, scan.accepted_datagrams);
        fl_count(context, FL_COUNTER_RETRANSMITTED_BYTES, scan.accepted_bytes);
        *bytes += scan.accepted_bytes;
    }
    return extent;
}

/* ---- the cycle ---- */

int64_t fl_publication_do_work(fl_publication_t *publication, int64_t now_ns)
{
    int64_t bytes = 0;
    if (__builtin_expect(now_ns > publication->setup_deadline_ns, 0))
    {
        fl_publication_send_setup(publication, now_ns);
    }
    /* Acquire: pairs with the release of the publisher that completed the frame. */
    if (fl_i32_load_acquire(publication->next_frame) > 0)
    {
        bytes = fl_publication_send_data(publication, now_ns);
    }
    if (__builtin_expect(publication->retransmit.pending > 0, 0))
    {
        bytes += fl_retransmit_work(&publication->retransmit, publication, now_ns);
    }
    if (publication->is_limit_due)
    {
        fl_publication_update_limit(publication);
    }
    return bytes;
}
