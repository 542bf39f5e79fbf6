/* Frames out.
 *
 * Runs are cut into frames in poller->out, up to FL_NETSTACK_BURST of them, across runs; each burst goes to the port at
 * once. What the port did not accept is taken back from the runs that it came from.
 */
#include <string.h>

#include "netstack/checksum_body.h"
#include "netstack/netstack.h"
#include "transport/address.h"

#define FL_SEND_AHEAD 4     /* frames: how far ahead buffers are fetched, which another core or the device had last */
#define FL_SEND_FETCH 2048  /* bytes: how much of the next run is fetched while one is copied */
#define FL_SEND_LINE 64

/* What one call of send has come to. */
typedef struct fl_sending
{
    fl_poller_t *poller;
    fl_endpoint_t *endpoint;
    int32_t stopped;      /* 0, or why nothing more goes out in this call */
    int64_t packets;
    int64_t bytes;
} fl_sending_t;

/* ---- transmit buffers ---- */

int fl_send_make_ready(fl_poller_t *poller, uint32_t wanted)
{
    if (poller->ready >= wanted)
    {
        return (int)poller->ready;
    }
    const int allocated = fl_netstack_note(
        poller->netstack,
        poller->ops->tx_alloc(poller->port, poller->queue, &poller->out[poller->ready], wanted - poller->ready));
    if (allocated < 0)
    {
        return allocated;
    }
    poller->ready += (uint32_t)allocated;
    if (poller->ready < wanted)
    {
        fl_counts_add(poller->counts, FL_COUNT_TX_NO_BUFFERS, 1);
    }
    return (int)poller->ready;
}

void fl_send_return_buffers(fl_poller_t *poller)
{
    if (0 != poller->ready)
    {
        poller->ops->tx_free(poller->port, poller->queue, poller->out, poller->ready);
    }
    poller->ready = poller->filled = poller->part_count = 0;
}

/* Put the buffers from `first` on to the front. What points nowhere but at its buffer stays so in all of out[], so that
 * only frames with a payload elsewhere need to be cleared. */
static void fl_send_keep_buffers(fl_poller_t *poller, uint32_t first)
{
    const uint32_t kept = poller->ready - first;
    for (uint32_t i = 0; i < poller->filled && poller->has_payloads; i++)
    {
        fl_tx_frame_t *frame = &poller->out[i];
        *frame = (fl_tx_frame_t){ .data = frame->data, .token = frame->token };
    }
    for (uint32_t i = 0; i < kept; i++)
    {
        poller->out[i].data = poller->out[first + i].data;
        poller->out[i].token = poller->out[first + i].token;
    }
    poller->has_payloads = false;
    poller->ready = kept;
    poller->filled = 0;
}

/* ---- a burst ---- */

static uint32_t fl_send_payload(const fl_tx_frame_t *frame, const fl_header_t *header)
{
    return frame->length + frame->payload_length - header->length;
}

/* Take frames that were not accepted back from their runs, the last ones first. */
static void fl_send_take_back(fl_sending_t *sending, uint32_t frames, int32_t status)
{
    fl_poller_t *poller = sending->poller;
    for (uint32_t i = poller->part_count; frames > 0 && i-- > 0;)
    {
        fl_burst_part_t *part = &poller->parts[i];
        const uint32_t taken = part->frames < frames ? part->frames : frames;
        frames -= taken;
        part->run->accepted -= taken;
        part->run->status = status;
        if (NULL != part->hold)
        {
            part->hold->frames -= part->points ? taken : 0;
            part->hold->is_void = 0 == part->run->accepted;
        }
    }
}

/* Give the filled frames to the port. Returns 0, or why not all of them were accepted. */
static int32_t fl_send_flush(fl_sending_t *sending)
{
    fl_poller_t *poller = sending->poller;
    const uint32_t filled = poller->filled;
    if (0 == filled)
    {
        return 0;
    }
    const int result = fl_netstack_note(
        poller->netstack, poller->ops->tx_burst(poller->port, poller->queue, poller->out, filled));
    const uint32_t accepted = result > 0 ? (uint32_t)result : 0;
    int32_t status = 0;
    if (__builtin_expect(accepted < filled, 0))
    {
        status = result < 0 ? result : -FL_EAGAIN;
        for (uint32_t i = accepted; i < filled; i++)
        {
            sending->packets--;
            sending->bytes -= fl_send_payload(&poller->out[i], &sending->endpoint->header);
        }
        fl_counts_add(poller->counts, result < 0 ? FL_COUNT_TX_ERROR : FL_COUNT_TX_EAGAIN, 1);
        fl_send_take_back(sending, filled - accepted, status);
    }
    fl_send_keep_buffers(poller, accepted);
    poller->part_count = 0;
    return status;
}

/* ---- frames ---- */

/* Make `count` frames of payloads of one length that lie one behind the other: stamp the headers, copy the payload
 * behind them with its checksum. */
FL_ALWAYS_INLINE void fl_send_copy_with(
    fl_tx_frame_t *frames, uint32_t count, const fl_header_t *header, const uint8_t *data, uint32_t length,
    uint32_t header_length, uint32_t stamp_length, bool has_checksum)
{
    const uint64_t sum = header->sum;
    const uint8_t l2_length = header->l2_length;
    const uint8_t l3_length = header->l3_length;
    const uint16_t flags = header->flags;
    for (uint32_t i = 0; i < count; i++, data += length)
    {
        fl_tx_frame_t *frame = &frames[i];
        uint8_t *to = frame->data;
        if (i + FL_SEND_AHEAD < count)
        {
            __builtin_prefetch(frames[i + FL_SEND_AHEAD].data, 1);
        }
        memcpy(to, header->bytes, stamp_length);
        if (has_checksum)
        {
            uint16_t checksum =
                fl_checksum_finish(fl_checksum_add(fl_checksum_body(to + header_length, data, length), sum));
            checksum = 0 == checksum ? 0xffff : checksum;
            memcpy(to + header_length - 2, &checksum, sizeof(checksum));
        }
        else if (0 != length)
        {
            memcpy(to + header_length, data, length);
        }
        frame->length = (uint16_t)(header_length + length);
        frame->payload_length = 0;
        frame->l2_length = l2_length;
        frame->l3_length = l3_length;
        frame->flags = flags;
    }
}

FL_ALWAYS_INLINE void fl_send_copy_body(
    fl_tx_frame_t *frames, uint32_t count, const fl_header_t *header, const uint8_t *data, uint32_t length)
{
    const uint32_t plain = FL_ETHERNET_LENGTH + FL_IPV4_LENGTH + FL_UDP_LENGTH;
    if (plain == header->length && header->has_checksum)
    {
        fl_send_copy_with(frames, count, header, data, length, plain, 48, true);
    }
    else if (plain == header->length)
    {
        fl_send_copy_with(frames, count, header, data, length, plain, 48, false);
    }
    else
    {
        fl_send_copy_with(
            frames, count, header, data, length, header->length, FL_NETSTACK_HEADER_ROOM, header->has_checksum);
    }
}

FL_CHECKSUM_AVX2 static void fl_send_copy_avx2(
    fl_tx_frame_t *frames, uint32_t count, const fl_header_t *header, const uint8_t *data, uint32_t length)
{
    fl_send_copy_body(frames, count, header, data, length);
}

static void fl_send_copy_any(
    fl_tx_frame_t *frames, uint32_t count, const fl_header_t *header, const uint8_t *data, uint32_t length)
{
    fl_send_copy_body(frames, count, header, data, length);
}

static void fl_send_copy(
    fl_tx_frame_t *frames, uint32_t count, const fl_header_t *header, const uint8_t *data, uint32_t length)
{
    (fl_checksum_has_avx2() ? fl_send_copy_avx2 : fl_send_copy_any)(frames, count, header, data, length);
}

/* The same with the payload left where it is. */
static void fl_send_point(
    fl_tx_frame_t *frames, uint32_t count, const fl_header_t *header, const uint8_t *data, uint32_t length,
    uint64_t region, uint64_t completion)
{
    for (uint32_t i = 0; i < count; i++, data += length)
    {
        fl_tx_frame_t *frame = &frames[i];
        memcpy(frame->data, header->bytes, FL_NETSTACK_HEADER_ROOM);
        if (header->has_checksum)
        {
            uint16_t checksum = fl_checksum_finish(fl_checksum_add(fl_checksum_sum(data, length), header->sum));
            checksum = 0 == checksum ? 0xffff : checksum;
            memcpy(frame->data + header->length - 2, &checksum, sizeof(checksum));
        }
        frame->length = (uint16_t)header->length;
        frame->payload_length = (uint16_t)length;
        frame->l2_length = header->l2_length;
        frame->l3_length = header->l3_length;
        frame->flags = header->flags;
        frame->payload = data;
        frame->region = region;
        frame->completion = completion;
    }
}

/* Cut a run into frames. Its headers are the endpoint's. `more` is how many frames are still to come after it, at
 * least. */
static void fl_send_cut(fl_sending_t *sending, fl_run_t *run, uint32_t segments, uint32_t more, fl_hold_t *hold)
{
    fl_poller_t *poller = sending->poller;
    fl_header_t *header = &sending->endpoint->header;
    const uint8_t *data = run->data;
    uint32_t left = run->length;
    uint64_t region = 0;
    const bool points = NULL != hold && 0 != run->length && fl_hold_region(poller->netstack, run, &region);
    const uint64_t completion = points ? (uint64_t)(hold - poller->holds) + FL_NETSTACK_HOLDS : 0;
    while (segments > 0)
    {
        if (FL_NETSTACK_BURST == poller->filled)
        {
            sending->stopped = fl_send_flush(sending);
            if (0 != sending->stopped)
            {
                run->status = sending->stopped;
                return;
            }
        }
        if (poller->filled == poller->ready)
        {
            const uint32_t wanted = poller->filled + segments + more;
            const int ready = fl_send_make_ready(poller, wanted < FL_NETSTACK_BURST ? wanted : FL_NETSTACK_BURST);
            if (poller->filled == poller->ready)
            {
                /* What is filled goes out first: a later refusal then counts from there. */
                const int32_t status = fl_send_flush(sending);
                sending->stopped = 0 != status ? status : ready < 0 ? ready : -FL_EAGAIN;
                run->status = sending->stopped;
                return;
            }
        }
        uint32_t room = poller->ready - poller->filled;
        room = room < segments ? room : segments;
        fl_tx_frame_t *frame = &poller->out[poller->filled];
        poller->parts[poller->part_count++] =
            (fl_burst_part_t){ .run = run, .hold = hold, .frames = room, .points = points };
        poller->has_payloads = poller->has_payloads || points;
        for (uint32_t done = 0; done < room;)
        {
            /* All whole segments at once, then the shorter last one. */
            const uint32_t length = left < run->segment_length ? left : run->segment_length;
            const uint32_t whole = 0 != length ? left / length : 1;
            const uint32_t alike = whole < room - done ? whole : room - done;
            if (length != header->payload)
            {
                fl_header_set_payload(header, length);
            }
            if (points)
            {
                fl_send_point(frame + done, alike, header, data, length, region, completion);
            }
            else
            {
                fl_send_copy(frame + done, alike, header, data, length);
            }
            data += alike * length;
            left -= alike * length;
            sending->bytes += alike * length;
            done += alike;
        }
        poller->filled += room;
        run->accepted += room;
        sending->packets += room;
        segments -= room;
        if (points)
        {
            hold->frames += room;
        }
    }
}

/* ---- datagrams to neighbours that are not known ---- */

static void fl_send_wait(
    fl_sending_t *sending, fl_run_t *run, uint32_t segments, const fl_address_t *peer, const fl_address_t *next_hop)
{
    const uint8_t *data = run->data;
    uint32_t left = run->length;
    run->status = 0;
    for (uint32_t i = 0; i < segments; i++)
    {
        const uint32_t length = left < run->segment_length ? left : run->segment_length;
        run->status =
            fl_pending_add(sending->poller, sending->endpoint, peer, run->local, next_hop, data, length);
        if (run->status < 0)
        {
            return;
        }
        run->accepted++;
        data += length;
        left -= length;
    }
}

/* ---- send ---- */

/* Fetch a run's first bytes while the one before is copied: the publication's core wrote them. Within a run the
 * processor sees by itself what is read next; between short ones, and over their ends, it does not. */
static inline void fl_send_fetch(const fl_run_t *run)
{
    const uint8_t *data = run->data;
    const uint32_t length = run->length < FL_SEND_FETCH ? run->length : FL_SEND_FETCH;
    for (uint32_t at = 0; at < length; at += FL_SEND_LINE)
    {
        __builtin_prefetch(data + at);
    }
}

/* Send one run, as far as it goes. Writes accepted and status. */
static void fl_send_run(fl_sending_t *sending, fl_run_t *run, uint32_t more, uint64_t generation)
{
    fl_poller_t *poller = sending->poller;
    fl_endpoint_t *endpoint = sending->endpoint;
    const fl_peer_t *peer =
        NULL != run->peer ? run->peer : atomic_load_explicit(&endpoint->connected, memory_order_relaxed);
    const uint32_t segments = run->length == run->segment_length ? 1 : fl_run_segments(run);
    fl_address_t next_hop;
    if (NULL == peer || 0 == segments)
    {
        run->status = -FL_EINVAL;
        return;
    }
    fl_hold_t *hold = NULL;
    if (__builtin_expect(0 != (run->flags & FL_RUN_HOLD), 0) &&
        0 != (poller->netstack->attributes.offloads & FL_PORT_TX_PAYLOAD))
    {
        hold = fl_hold_take(poller, endpoint, run->token);
        if (NULL == hold)
        {
            run->status = -FL_EAGAIN;
            return;
        }
    }
    const uint32_t longest = run->length < run->segment_length ? run->length : run->segment_length;
    int result = longest > endpoint->most_payload ? -FL_EMSGSIZE : 0;
    if (0 == result)
    {
        result = fl_header_make(poller, endpoint, peer, run->local, generation, &next_hop);
    }
    if (0 == result && longest <= endpoint->header.most_payload)
    {
        run->status = 0;
        fl_send_cut(sending, run, segments, more, hold);
    }
    else if (-FL_EAGAIN == result)
    {
        fl_send_wait(sending, run, segments, &peer->address, &next_hop);
    }
    else
    {
        run->status = 0 == result ? -FL_EMSGSIZE : result;
        fl_counts_add(poller->counts, FL_COUNT_TX_ERROR, 1);
    }
    if (NULL != hold && 0 == run->accepted)
    {
        hold->is_void = true;
    }
}

int fl_netstack_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    fl_poller_t *poller = atomic_load_explicit(&endpoint->poller, memory_order_relaxed);
    fl_sending_t sending = { .poller = poller, .endpoint = endpoint };
    sending.stopped = fl_netstack_is_lost(endpoint->netstack) ? -FL_ENODEV : NULL == poller ? -FL_EINVAL : 0;
    uint64_t generation = 0;
    if (0 == sending.stopped)
    {
        generation = fl_netstack_generation(poller->netstack);
        fl_pending_follow(poller, generation);
    }
    bool has_failed = false;
    for (uint32_t i = 0; i < count; i++)
    {
        fl_run_t *run = &runs[i];
        run->accepted = 0;
        run->status = sending.stopped;
        if (__builtin_expect(0 != sending.stopped, 0))
        {
            continue;
        }
        if (__builtin_expect(has_failed, 0))
        {
            const fl_peer_t *connected = atomic_load_explicit(&endpoint->connected, memory_order_relaxed);
            run->status = NULL != connected || NULL != run->peer
                ? fl_run_inherited_status(runs, i, NULL != connected ? &connected->address : NULL)
                : -FL_EINVAL;
            if (0 != run->status)
            {
                continue;
            }
        }
        if (i + 1 < count)
        {
            fl_send_fetch(&run[1]);
        }
        fl_send_run(&sending, run, count - i - 1, generation);
        has_failed = has_failed || 0 != run->status;
    }
    if (NULL != poller && 0 == sending.stopped)
    {
        fl_send_flush(&sending);
    }
    if (0 != sending.packets)
    {
        fl_counts_add(poller->counts, FL_COUNT_TX_PACKETS, sending.packets);
        fl_counts_add(poller->counts, FL_COUNT_TX_BYTES, sending.bytes);
    }
    int whole = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        whole += 0 == runs[i].status;
    }
    return whole;
}

int fl_send_one(fl_poller_t *poller, fl_endpoint_t *endpoint, const uint8_t *data, uint32_t length)
{
    fl_sending_t sending = { .poller = poller, .endpoint = endpoint };
    fl_run_t run = { .data = data, .length = length, .segment_length = length };
    if (length > endpoint->header.most_payload)
    {
        return -FL_EMSGSIZE;
    }
    fl_send_cut(&sending, &run, 1, 0, NULL);
    if (0 == sending.stopped)
    {
        fl_send_flush(&sending);
    }
    fl_counts_add(poller->counts, FL_COUNT_TX_PACKETS, sending.packets);
    fl_counts_add(poller->counts, FL_COUNT_TX_BYTES, sending.bytes);
    return run.status;
}
