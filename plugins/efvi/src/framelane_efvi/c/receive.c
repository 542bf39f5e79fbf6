/* Receiving: events become frames. With descriptor rings they lie in buffers of ours, which are posted again; with
 * shared queues in the adapter's, which others read too and which are given back at once. */
#include <string.h>

#include "queue.h"

/* Where frames go: to the caller while it has room, then to the queue's store. */
typedef struct fl_receive_sink
{
    fl_efvi_queue_t *queue;
    fl_rx_frame_t *next;
    fl_rx_frame_t *end;
    bool is_kept;                 /* the caller has no more room: next is in the store */
    int64_t bytes;
} fl_receive_sink_t;

static __attribute__((noinline)) void fl_sink_overflow(fl_receive_sink_t *sink)
{
    fl_efvi_queue_t *queue = sink->queue;
    sink->is_kept = true;
    sink->next = queue->pending + queue->pending_count;
    sink->end = queue->pending + FL_EFVI_PENDING;
}

/* packet   where the adapter's own part begins, which has the time
 * data     the frame itself, behind it */
static inline void fl_sink_put(
    fl_receive_sink_t *sink, const uint8_t *packet, const uint8_t *data, uint32_t length, uint64_t token)
{
    fl_efvi_queue_t *queue = sink->queue;
    if (__builtin_expect(sink->next == sink->end, 0))
    {
        fl_sink_overflow(sink);
    }
    fl_rx_frame_t *frame = sink->next++;
    __builtin_prefetch(data);
    frame->data = data;
    frame->length = length;
    frame->vlan = 0xffff;
    frame->checksum = FL_CHECKSUM_UNKNOWN;
    frame->clock = FL_CLOCK_NONE;
    frame->timestamp_ns = 0;
    frame->token = token;
    if (queue->is_stamped)
    {
        const unsigned in_step = EF_VI_SYNC_FLAG_CLOCK_SET | EF_VI_SYNC_FLAG_CLOCK_IN_SYNC;
        unsigned flags = 0;
        if (0 == fl_efvi_receive_time(&queue->vi, packet, &frame->timestamp_ns, &flags))
        {
            frame->clock = in_step == (flags & in_step) ? FL_CLOCK_HARDWARE_SYNC : FL_CLOCK_HARDWARE;
        }
        else
        {
            fl_figure_add(&queue->counters[FL_EFVI_RX_UNSTAMPED], 1);
        }
    }
    sink->bytes += length;
}

/* ---- descriptor rings ---- */

void fl_efvi_queue_refill(fl_efvi_queue_t *queue)
{
    const uint32_t space = (uint32_t)ef_vi_receive_space(&queue->vi);
    const uint32_t count = (queue->rx_free_count < space ? queue->rx_free_count : space) & ~(FL_EFVI_REFILL - 1u);
    if (0 == count)
    {
        return;
    }
    const uint32_t *top = queue->rx_free + queue->rx_free_count;
    uint32_t posted = 0;
    for (; posted < count; posted++)
    {
        const uint32_t buffer = *--top;
        const ef_addr address = ef_memreg_dma_addr(&queue->registration, (size_t)buffer * queue->stride);
        if (0 != ef_vi_receive_init(&queue->vi, address, (ef_request_id)buffer))
        {
            break;
        }
    }
    queue->rx_free_count -= posted;
    if (0 != posted)
    {
        ef_vi_receive_push(&queue->vi);
    }
}

static inline bool fl_queue_has_buffer(fl_efvi_queue_t *queue, uint32_t buffer)
{
    if (__builtin_expect(buffer < queue->rx_count, 1))
    {
        return true;
    }
    fl_figure_add(&queue->counters[FL_EFVI_RX_INVALID], 1);
    return false;
}

static inline void fl_queue_recycle(fl_efvi_queue_t *queue, uint32_t buffer)
{
    if (fl_queue_has_buffer(queue, buffer))
    {
        queue->rx_free[queue->rx_free_count++] = buffer;
    }
}

/* length: with the prefix */
static inline void fl_queue_accept(fl_receive_sink_t *sink, uint32_t buffer, uint32_t length, bool is_whole)
{
    fl_efvi_queue_t *queue = sink->queue;
    if (!fl_queue_has_buffer(queue, buffer))
    {
        return;
    }
    const uint32_t frame_length = length - queue->prefix;    /* what is shorter than the prefix becomes very long */
    if (!is_whole || frame_length > queue->frame_room)
    {
        /* A frame has one buffer; of a longer one the adapter hands over the pieces. */
        fl_figure_add(&queue->counters[FL_EFVI_RX_INVALID], 1);
        queue->rx_free[queue->rx_free_count++] = buffer;
        return;
    }
    const uint8_t *packet = queue->memory + (uint64_t)buffer * queue->stride;
    fl_sink_put(sink, packet, packet + queue->prefix, frame_length, buffer);
}

static void fl_queue_count_discards(fl_efvi_queue_t *queue, unsigned type, int64_t frames)
{
    static const fl_efvi_counter_t counters[] = {
        [EF_EVENT_RX_DISCARD_CSUM_BAD] = FL_EFVI_RX_DISCARD_CHECKSUM,
        [EF_EVENT_RX_DISCARD_MCAST_MISMATCH] = FL_EFVI_RX_DISCARD_MULTICAST,
        [EF_EVENT_RX_DISCARD_CRC_BAD] = FL_EFVI_RX_DISCARD_CRC,
        [EF_EVENT_RX_DISCARD_TRUNC] = FL_EFVI_RX_DISCARD_TRUNCATED,
        [EF_EVENT_RX_DISCARD_RIGHTS] = FL_EFVI_RX_DISCARD_RIGHTS,
        [EF_EVENT_RX_DISCARD_EV_ERROR] = FL_EFVI_RX_DISCARD_EVENT,
        [EF_EVENT_RX_DISCARD_OTHER] = FL_EFVI_RX_DISCARD_OTHER,
        [EF_EVENT_RX_DISCARD_INNER_CSUM_BAD] = FL_EFVI_RX_DISCARD_INNER,
    };
    fl_figure_add(&queue->counters[FL_EFVI_RX_DISCARD], frames);
    const bool is_known = type < sizeof(counters) / sizeof(counters[0]);
    fl_figure_add(&queue->counters[is_known ? counters[type] : FL_EFVI_RX_DISCARD_OTHER], frames);
}

static void fl_queue_unbundle(fl_receive_sink_t *sink, const ef_event *event)
{
    fl_efvi_queue_t *queue = sink->queue;
    ef_request_id buffers[EF_VI_RECEIVE_BATCH];
    const int count = ef_vi_receive_unbundle(&queue->vi, event, buffers);
    const bool is_whole = EF_EVENT_RX_MULTI_SOP(*event) && !EF_EVENT_RX_MULTI_CONT(*event);
    fl_figure_add(&queue->counters[FL_EFVI_RX_MERGED], count > 1);
    for (int i = 0; i < count; i++)
    {
        uint16_t length = 0;
        const uint32_t buffer = (uint32_t)buffers[i];
        const bool is_measured = buffer < queue->rx_count &&
            0 == ef_vi_receive_get_bytes(&queue->vi, queue->memory + (uint64_t)buffer * queue->stride, &length);
        fl_queue_accept(sink, buffer, length + queue->prefix, is_whole && is_measured);
    }
}

static void fl_queue_unbundle_discards(fl_efvi_queue_t *queue, const ef_event *event)
{
    ef_request_id buffers[EF_VI_RECEIVE_BATCH];
    const int count = ef_vi_receive_unbundle(&queue->vi, event, buffers);
    fl_queue_count_discards(queue, EF_EVENT_RX_MULTI_DISCARD_TYPE(*event), count);
    for (int i = 0; i < count; i++)
    {
        fl_queue_recycle(queue, (uint32_t)buffers[i]);
    }
}

/* ---- shared queues ---- */

#ifdef FL_EFVI_HAS_RX_REF
static inline void fl_queue_accept_shared(fl_receive_sink_t *sink, const ef_event *event)
{
    fl_efvi_queue_t *queue = sink->queue;
    const uint32_t id = event->rx_ref.pkt_id;
    const uint32_t length = event->rx_ref.len;
    const uint8_t *packet = efct_vi_rxpkt_get(&queue->vi, id);
    if (fl_efvi_wanted_has(&queue->wanted, packet, length))
    {
        fl_sink_put(sink, packet, packet, length, id);
        return;
    }
    fl_figure_add(&queue->counters[FL_EFVI_RX_OTHERS], 1);
    efct_vi_rxpkt_release(&queue->vi, id);
}
#endif

/* ---- both ---- */

/* Any event but those of frames that are whole. */
static __attribute__((noinline)) void fl_queue_handle(fl_receive_sink_t *sink, const ef_event *event)
{
    fl_efvi_queue_t *queue = sink->queue;
    switch (EF_EVENT_TYPE(*event))
    {
        case EF_EVENT_TYPE_RX_MULTI:
            fl_queue_unbundle(sink, event);
            break;

        case EF_EVENT_TYPE_RX_DISCARD:
            fl_queue_count_discards(queue, EF_EVENT_RX_DISCARD_TYPE(*event), 1);
            fl_queue_recycle(queue, EF_EVENT_RX_DISCARD_RQ_ID(*event));
            break;

        case EF_EVENT_TYPE_RX_MULTI_DISCARD:
            fl_queue_unbundle_discards(queue, event);
            break;

        case EF_EVENT_TYPE_RX_NO_DESC_TRUNC:
            fl_figure_add(&queue->counters[FL_EFVI_RX_INVALID], 1);
            break;

#ifdef FL_EFVI_HAS_RX_REF
        case EF_EVENT_TYPE_RX_REF_DISCARD:
            fl_queue_count_discards(queue, fl_efvi_discard_subtype(event->rx_ref_discard.flags), 1);
            efct_vi_rxpkt_release(&queue->vi, event->rx_ref_discard.pkt_id);
            break;
#endif

        case EF_EVENT_TYPE_TX:
        case EF_EVENT_TYPE_TX_WITH_TIMESTAMP:
        case EF_EVENT_TYPE_TX_ERROR:
            fl_efvi_queue_complete(queue, event);
            break;

        case EF_EVENT_TYPE_OFLOW:
            fl_efvi_queue_die(queue, FL_EFVI_OVERFLOW);
            break;

        case EF_EVENT_TYPE_RESET:
            fl_efvi_queue_die(queue, FL_EFVI_RESET);
            break;

        default:
            fl_figure_add(&queue->counters[FL_EFVI_UNKNOWN_EVENTS], 1);
            break;
    }
}

static uint32_t fl_queue_take_pending(fl_efvi_queue_t *queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    const uint32_t left = queue->pending_count - queue->pending_at;
    const uint32_t taken = left < capacity ? left : capacity;
    if (0 != taken)
    {
        memcpy(frames, queue->pending + queue->pending_at, taken * sizeof(*frames));
        queue->pending_at += taken;
    }
    if (queue->pending_at == queue->pending_count)
    {
        queue->pending_at = queue->pending_count = 0;
    }
    return taken;
}

static inline __attribute__((always_inline)) void fl_queue_poll(fl_receive_sink_t *sink, uint32_t events_wanted)
{
    fl_efvi_queue_t *queue = sink->queue;
    ef_event events[FL_EFVI_EVENTS];
    const uint32_t limit = events_wanted < EF_VI_EVENT_POLL_MIN_EVS ? EF_VI_EVENT_POLL_MIN_EVS
        : events_wanted < FL_EFVI_EVENTS ? events_wanted : FL_EFVI_EVENTS;
    const int count = ef_eventq_poll(&queue->vi, events, (int)limit);
    for (const ef_event *event = events; event < events + count; event++)
    {
        const unsigned type = EF_EVENT_TYPE(*event);
        if (EF_EVENT_TYPE_RX == type)
        {
            fl_queue_accept(
                sink, EF_EVENT_RX_RQ_ID(*event), EF_EVENT_RX_BYTES(*event),
                EF_EVENT_RX_SOP(*event) && !EF_EVENT_RX_CONT(*event));
        }
#ifdef FL_EFVI_HAS_RX_REF
        else if (EF_EVENT_TYPE_RX_REF == type)
        {
            fl_queue_accept_shared(sink, event);
        }
#endif
        else
        {
            fl_queue_handle(sink, event);
        }
    }
}

/* Poll once. Returns the frames that were written; what goes beyond their room is kept. Without room it is for
 * completions. */
static uint32_t fl_queue_receive(fl_efvi_queue_t *queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    fl_receive_sink_t sink = {.queue = queue, .next = frames, .end = frames + capacity};
    fl_queue_poll(&sink, 0 != capacity ? capacity : FL_EFVI_EVENTS);
    const uint32_t written = sink.is_kept ? capacity : (uint32_t)(sink.next - frames);
    const uint32_t known = queue->pending_count;
    queue->pending_count = sink.is_kept ? (uint32_t)(sink.next - queue->pending) : known;
    const int64_t total = (int64_t)written + queue->pending_count - known;
    if (0 != total)
    {
        fl_figure_add(&queue->counters[FL_EFVI_RX_FRAMES], total);
        fl_figure_add(&queue->counters[FL_EFVI_RX_BYTES], sink.bytes);
    }
    return written;
}

#ifdef FL_EFVI_HAS_RX_REF
static void fl_queue_release_deferred(fl_efvi_queue_t *queue)
{
    while (0 != queue->rx_free_count)
    {
        efct_vi_rxpkt_release(&queue->vi, queue->rx_free[--queue->rx_free_count]);
    }
}
#endif

int fl_efvi_queue_receive(fl_efvi_queue_t *queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    if (0 == capacity || !fl_efvi_gate_pass(&queue->gate))
    {
        return 0;
    }
    uint32_t count = fl_queue_take_pending(queue, frames, capacity);
    if (count < capacity)
    {
        count += fl_queue_receive(queue, frames + count, capacity - count);
    }
    if (!queue->is_shared)
    {
        fl_efvi_queue_refill(queue);
    }
#ifdef FL_EFVI_HAS_RX_REF
    else if (0 != queue->rx_free_count)
    {
        fl_queue_release_deferred(queue);
    }
#endif
    return (int)count;
}

void fl_efvi_queue_release(fl_efvi_queue_t *queue, const fl_rx_frame_t *frames, uint32_t count)
{
    const bool may_touch = fl_efvi_gate_pass(&queue->gate);
#ifdef FL_EFVI_HAS_RX_REF
    if (queue->is_shared && may_touch)
    {
        for (uint32_t i = 0; i < count; i++)
        {
            efct_vi_rxpkt_release(&queue->vi, (uint32_t)frames[i].token);
        }
        return;
    }
#endif
    uint32_t *top = queue->rx_free + queue->rx_free_count;
    for (uint32_t i = 0; i < count; i++)
    {
        top[i] = (uint32_t)frames[i].token;
    }
    queue->rx_free_count += count;
    if (may_touch && !queue->is_shared)
    {
        fl_efvi_queue_refill(queue);
    }
}

/* Completions come through the same event queue as frames, so received ones are kept for the next call. */
int fl_efvi_queue_reap(fl_efvi_queue_t *queue)
{
    if (queue->tx_free_count < queue->tx_count / 2 && 0 == queue->pending_count && fl_efvi_gate_pass(&queue->gate))
    {
        fl_queue_receive(queue, NULL, 0);
    }
    return 0;
}
