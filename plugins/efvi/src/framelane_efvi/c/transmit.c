/* Transmitting: frames are written into the adapter (CTPIO, PIO) or read by it (DMA). */
#include <errno.h>
#include <string.h>

#include "queue.h"

#define FL_FRAME_MINIMUM 60
#define FL_PIO_UNIT 64u
/* A longer burst is read by the adapter in one go: writing each of its frames would take longer than that. */
#define FL_WRITTEN_BURST 8

int fl_efvi_queue_allocate(fl_efvi_queue_t *queue, fl_tx_frame_t *frames, uint32_t count)
{
    const uint32_t given = count < queue->tx_free_count ? count : queue->tx_free_count;
    const uint32_t *top = queue->tx_free + queue->tx_free_count;
    for (uint32_t i = 0; i < given; i++)
    {
        const uint32_t buffer = *--top;
        frames[i].data = fl_efvi_queue_tx_buffer(queue, buffer) + FL_EFVI_TRANSMIT_OFFSET;
        frames[i].token = buffer;
    }
    queue->tx_free_count -= given;
    if (given < count)
    {
        fl_figure_add(&queue->counters[FL_EFVI_TX_BUFFERS_OUT], count - given);
    }
    return (int)given;
}

void fl_efvi_queue_free(fl_efvi_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
    {
        queue->tx_free[queue->tx_free_count++] = (uint32_t)frames[i].token;
    }
}

/* A medium has no shorter frames; what follows is padding, and zero so that nothing leaks. */
static inline uint32_t fl_frame_pad(const fl_tx_frame_t *frame)
{
    if (frame->length >= FL_FRAME_MINIMUM)
    {
        return frame->length;
    }
    memset(frame->data + frame->length, 0, FL_FRAME_MINIMUM - frame->length);
    return FL_FRAME_MINIMUM;
}

/* Write the frame into the adapter, then say where it can read it if that came to nothing (bypass 1.10). The first call
 * tells no error, so the room is looked at before. */
static inline bool fl_send_ctpio(fl_efvi_queue_t *queue, const fl_tx_frame_t *frame, uint32_t length)
{
    if (queue->is_ctpio_only ? (uint32_t)ef_vi_transmit_space_bytes(&queue->vi) < length
            : 0 == ef_vi_transmit_space(&queue->vi))
    {
        return false;
    }
    const ef_addr address = fl_efvi_queue_address(queue, frame->data);
    ef_vi_transmit_ctpio(&queue->vi, frame->data, length, queue->ctpio_threshold);
    if (0 != ef_vi_transmit_ctpio_fallback(&queue->vi, address, length, (ef_request_id)frame->token))
    {
        return false;
    }
    queue->tx_way[frame->token] = FL_EFVI_BY_CTPIO;
    return true;
}

/* Room in the region is given and taken back in order, as completions come. Returns its offset, or -1. */
static inline int fl_pio_reserve(fl_efvi_queue_t *queue, uint32_t length, uint32_t *reserved)
{
    uint32_t at = queue->pio_head;
    uint32_t needed = (length + FL_PIO_UNIT - 1) & ~(FL_PIO_UNIT - 1);
    const uint32_t end = queue->pio_length - at;
    const uint32_t left_out = needed > end ? end : 0;
    if (needed > queue->pio_length || queue->pio_used + left_out + needed > queue->pio_length)
    {
        return -1;
    }
    at = 0 != left_out ? 0 : at;
    *reserved = left_out + needed;
    return (int)at;
}

static inline bool fl_send_pio(fl_efvi_queue_t *queue, const fl_tx_frame_t *frame, uint32_t length)
{
    uint32_t reserved = 0;
    const int offset = fl_pio_reserve(queue, length, &reserved);
    if (offset < 0)
    {
        return false;
    }
    if (queue->needs_push)
    {
        ef_vi_transmit_push(&queue->vi);
        queue->needs_push = false;
    }
    if (0 != ef_vi_transmit_copy_pio(
            &queue->vi, offset, frame->data, (int)length, (ef_request_id)frame->token))
    {
        return false;
    }
    queue->pio_head = ((uint32_t)offset + length + FL_PIO_UNIT - 1) & ~(FL_PIO_UNIT - 1);
    queue->pio_head = queue->pio_head == queue->pio_length ? 0 : queue->pio_head;
    queue->pio_used += reserved;
    queue->tx_pio_length[frame->token] = (uint16_t)reserved;
    queue->tx_way[frame->token] = FL_EFVI_BY_PIO;
    return true;
}

static inline bool fl_send_dma(fl_efvi_queue_t *queue, const fl_tx_frame_t *frame, uint32_t length)
{
    const ef_addr address = fl_efvi_queue_address(queue, frame->data);
    if (0 != ef_vi_transmit_init(&queue->vi, address, (int)length, (ef_request_id)frame->token))
    {
        return false;
    }
    queue->needs_push = true;
    queue->dma_outstanding++;
    queue->tx_way[frame->token] = FL_EFVI_BY_DMA;
    return true;
}

int fl_efvi_queue_transmit(fl_efvi_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count)
{
    if (0 == count || !fl_efvi_gate_pass(&queue->gate))
    {
        return 0;
    }
    /* What is written overtakes nothing that the adapter has yet to read: CTPIO would only come to its fallback. */
    const bool is_written = queue->is_ctpio_only || count <= FL_WRITTEN_BURST;
    const bool by_ctpio = FL_EFVI_CTPIO == queue->transmit && is_written && 0 == queue->dma_outstanding;
    const bool by_pio = FL_EFVI_PIO == queue->transmit && is_written;
    uint32_t sent = 0;
    int64_t bytes = 0;
    for (; sent < count; sent++)
    {
        const fl_tx_frame_t *frame = &frames[sent];
        const uint32_t length = fl_frame_pad(frame);
        const bool is_taken = by_ctpio ? fl_send_ctpio(queue, frame, length)
            : (by_pio && fl_send_pio(queue, frame, length)) || fl_send_dma(queue, frame, length);
        if (!is_taken)
        {
            break;
        }
        bytes += length;
    }
    if (queue->needs_push)
    {
        ef_vi_transmit_push(&queue->vi);
        queue->needs_push = false;
    }
    fl_figure_add(&queue->counters[FL_EFVI_TX_FRAMES], sent);
    fl_figure_add(&queue->counters[FL_EFVI_TX_BYTES], bytes);
    if (sent < count)
    {
        fl_figure_add(&queue->counters[FL_EFVI_TX_RING_FULL], count - sent);
    }
    return (int)sent;
}

/* ---- completions ---- */

static void fl_queue_reclaim(fl_efvi_queue_t *queue, uint32_t buffer, bool was_written)
{
    if (buffer >= queue->tx_count || queue->tx_free_count == queue->tx_count)
    {
        fl_figure_add(&queue->counters[FL_EFVI_UNKNOWN_EVENTS], 1);
        return;
    }
    switch (queue->tx_way[buffer])
    {
        case FL_EFVI_BY_CTPIO:
            fl_figure_add(&queue->counters[was_written ? FL_EFVI_TX_CTPIO : FL_EFVI_TX_FALLBACK], 1);
            break;

        case FL_EFVI_BY_PIO:
            queue->pio_used -= queue->tx_pio_length[buffer];
            fl_figure_add(&queue->counters[FL_EFVI_TX_PIO], 1);
            break;

        default:
            queue->dma_outstanding--;
            fl_figure_add(&queue->counters[FL_EFVI_TX_DMA], 1);
            break;
    }
    queue->tx_free[queue->tx_free_count++] = buffer;
}

static void fl_queue_note_stamp(fl_efvi_queue_t *queue, const ef_event *event)
{
    const unsigned in_step = EF_VI_SYNC_FLAG_CLOCK_SET | EF_VI_SYNC_FLAG_CLOCK_IN_SYNC;
    fl_figure_add(&queue->counters[FL_EFVI_TX_STAMPED], 1);
    if (in_step != (EF_EVENT_TX_WITH_TIMESTAMP_SYNC_FLAGS(*event) & in_step))
    {
        fl_figure_add(&queue->counters[FL_EFVI_TX_UNSYNCHRONISED], 1);
    }
    /* Relaxed: one writer, and a figure publishes nothing else. */
    atomic_store_explicit(
        &queue->counters[FL_EFVI_TX_LAST_STAMP],
        (int64_t)EF_EVENT_TX_WITH_TIMESTAMP_SEC(*event) * INT64_C(1000000000) + EF_EVENT_TX_WITH_TIMESTAMP_NSEC(*event),
        memory_order_relaxed);
}

static void fl_queue_unbundle(fl_efvi_queue_t *queue, const ef_event *event)
{
    ef_request_id buffers[EF_VI_TRANSMIT_BATCH];
    const int count = ef_vi_transmit_unbundle(&queue->vi, event, buffers);
    for (int i = 0; i < count; i++)
    {
        fl_queue_reclaim(queue, (uint32_t)buffers[i], EF_EVENT_TX_CTPIO(*event));
    }
}

/* The adapter has stopped the transmit queue. What it did not send is lost, as datagrams may be. */
static void fl_queue_restart(fl_efvi_queue_t *queue)
{
#ifdef FL_EFVI_HAS_TXQ_REINIT
    uint32_t buffer;
    ef_vi_for_each_tx_error_failed_transmit(&queue->vi, buffer)
    {
        fl_queue_reclaim(queue, buffer, false);
    }
    if (0 == ef_vi_reinit_txq_post_error(&queue->vi))
    {
        return;
    }
#endif
    fl_efvi_queue_die(queue, FL_EFVI_TX_STOPPED);
}

void fl_efvi_queue_complete(fl_efvi_queue_t *queue, const ef_event *event)
{
    switch (EF_EVENT_TYPE(*event))
    {
        case EF_EVENT_TYPE_TX:
            fl_queue_unbundle(queue, event);
            break;

        case EF_EVENT_TYPE_TX_WITH_TIMESTAMP:
            fl_queue_note_stamp(queue, event);
            fl_queue_reclaim(queue, EF_EVENT_TX_WITH_TIMESTAMP_RQ_ID(*event), EF_EVENT_TX_CTPIO(*event));
            break;

        default:
            fl_figure_add(&queue->counters[FL_EFVI_TX_ERRORS], 1);
            fl_queue_unbundle(queue, event);
            fl_queue_restart(queue);
            break;
    }
}
