/* The transmitting half of a queue. */
#include "gate.h"
#include "memif.h"

#include <string.h>

#include <rte_ether.h>
#include <rte_prefetch.h>

#define FL_LEAST_FRAME 60       /* without FCS */
#define FL_REAPS_A_CLEANUP 32   /* a clean-up walks the device's ring, so not every idle cycle pays for one */

/* An mbuf in a pool has one reference and one segment, and where its data lies follows from its address; the rest of it
 * is written when its frame is. So nothing of it is touched here. */
int fl_port_tx_alloc(fl_port_t *port, uint32_t queue_id, fl_tx_frame_t *frames, uint32_t count)
{
    fl_queue_t *queue = &port->queues[queue_id];
    const int code = fl_gate_pass(queue);
    if (__builtin_expect(0 != code, 0))
    {
        return -FL_EAGAIN == code ? 0 : code;
    }
    struct rte_mbuf *mbufs[FL_BURST];
    uint32_t total = 0;
    while (total < count)
    {
        uint32_t part = count - total < FL_BURST ? count - total : FL_BURST;
        if (0 != rte_mempool_get_bulk(queue->tx_pool, (void **)mbufs, part))
        {
            /* A bulk is all or nothing; the last ones come one by one. */
            if (0 != rte_mempool_get_bulk(queue->tx_pool, (void **)mbufs, 1))
            {
                fl_figure_add(&queue->counters[FL_TX_NOBUFS], count - total);
                break;
            }
            part = 1;
        }
        for (uint32_t i = 0; i < part; i++)
        {
            uint8_t *data = (uint8_t *)rte_mbuf_buf_addr(mbufs[i], queue->tx_pool) + FL_TX_OFFSET;
            rte_prefetch0_write(mbufs[i]);
            rte_prefetch0_write(data);
            rte_prefetch0_write(data + RTE_CACHE_LINE_SIZE);
            frames[total + i].data = data;
            frames[total + i].token = (uint64_t)(uintptr_t)mbufs[i];
        }
        total += part;
    }
    return (int)total;
}

void fl_port_tx_free(fl_port_t *port, uint32_t queue_id, const fl_tx_frame_t *frames, uint32_t count)
{
    (void)port;
    (void)queue_id;
    fl_mbufs_free(&frames->token, sizeof(*frames), count);
}

static uint64_t fl_offload_flags(const fl_tx_frame_t *frame)
{
    const bool is_ipv4 = 4 == frame->data[frame->l2_length] >> 4;
    uint64_t flags = is_ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    flags |= is_ipv4 && 0 != (frame->flags & FL_TX_CHECKSUM_IPV4) ? RTE_MBUF_F_TX_IP_CKSUM : 0;
    flags |= 0 != (frame->flags & FL_TX_CHECKSUM_UDP) ? RTE_MBUF_F_TX_UDP_CKSUM : 0;
    return flags;
}

/* Whichever thread frees the last reference to a payload. */
static void fl_payload_freed(void *address, void *opaque)
{
    (void)address;
    fl_payload_t *payload = opaque;
    /* Release: pairs with the acquire in fl_port_tx_reap. The device has read the payload before it may change. */
    atomic_store_explicit(&payload->is_free, 1, memory_order_release);
}

/* Chain an mbuf that refers to the frame's payload behind its headers. Returns whether there was room for one more. */
static bool fl_payload_attach(fl_queue_t *queue, struct rte_mbuf *headers, const fl_tx_frame_t *frame)
{
    if (NULL == queue->payload_pool || queue->payload_head - queue->payload_tail >= FL_PAYLOADS)
    {
        return false;
    }
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->payload_pool);
    if (NULL == mbuf)
    {
        return false;
    }
    fl_payload_t *payload = &queue->payloads[queue->payload_head++ & (FL_PAYLOADS - 1)];
    payload->completion = frame->completion;
    payload->shared.free_cb = fl_payload_freed;
    payload->shared.fcb_opaque = payload;
    rte_mbuf_ext_refcnt_set(&payload->shared, 1);
    atomic_store_explicit(&payload->is_free, 0, memory_order_relaxed);

    /* Memory is registered in virtual-address mode alone, where the device's address is the pointer. */
    void *memory = (void *)(uintptr_t)frame->payload;
    rte_pktmbuf_attach_extbuf(mbuf, memory, (rte_iova_t)(uintptr_t)memory, frame->payload_length, &payload->shared);
    mbuf->data_len = frame->payload_length;
    mbuf->pkt_len = frame->payload_length;
    headers->next = mbuf;
    headers->nb_segs = 2;
    headers->pkt_len += frame->payload_length;
    return true;
}

/* Give back the payload references of frames that the device did not take; they are the newest ones. */
static void fl_payloads_detach(fl_queue_t *queue, struct rte_mbuf **mbufs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
    {
        if (NULL != mbufs[i]->next)
        {
            rte_pktmbuf_free(mbufs[i]->next);
            mbufs[i]->next = NULL;
            mbufs[i]->nb_segs = 1;
            queue->payload_head--;
        }
    }
}

/* Write a frame's lengths and wishes into its mbuf. Returns false if there is no room for its payload reference. */
static inline bool fl_frame_prepare(fl_queue_t *queue, struct rte_mbuf *mbuf, const fl_tx_frame_t *frame)
{
    uint32_t length = frame->length;
    if (__builtin_expect(length < FL_LEAST_FRAME && 0 == frame->payload_length, 0))
    {
        memset(frame->data + length, 0, FL_LEAST_FRAME - length);
        length = FL_LEAST_FRAME;
    }
    mbuf->data_off = FL_TX_OFFSET;
    mbuf->data_len = (uint16_t)length;
    mbuf->pkt_len = length;
    mbuf->ol_flags = 0;
    if (0 != frame->flags)
    {
        mbuf->l2_len = frame->l2_length;
        mbuf->l3_len = frame->l3_length;
        mbuf->ol_flags = fl_offload_flags(frame);
    }
    return 0 == frame->payload_length || fl_payload_attach(queue, mbuf, frame);
}

int fl_port_tx_burst(fl_port_t *port, uint32_t queue_id, const fl_tx_frame_t *frames, uint32_t count)
{
    fl_queue_t *queue = &port->queues[queue_id];
    const int code = fl_gate_pass(queue);
    if (__builtin_expect(0 != code, 0))
    {
        return -FL_EAGAIN == code ? 0 : code;
    }
    struct rte_mbuf *mbufs[FL_MAX_TX_BURST];
    count = count < FL_MAX_TX_BURST ? count : FL_MAX_TX_BURST;
    uint32_t flags = 0;
    uint32_t filled = 0;
    int64_t bytes = 0;
    for (; filled < count; filled++)
    {
        struct rte_mbuf *mbuf = (struct rte_mbuf *)(uintptr_t)frames[filled].token;
        mbufs[filled] = mbuf;
        flags |= frames[filled].flags;
        if (!fl_frame_prepare(queue, mbuf, &frames[filled]))
        {
            fl_figure_add(&queue->counters[FL_TX_NOBUFS], 1);
            break;
        }
        bytes += mbuf->pkt_len;
    }
    uint32_t ready = filled;
    if (0 != flags)
    {
        /* The driver finishes what its device leaves to it, and stops at a frame that the device cannot send. */
        ready = rte_eth_tx_prepare(queue->ethdev, queue->id, mbufs, (uint16_t)filled);
    }
    fl_memif_burst_begin(queue);
    const uint32_t sent = rte_eth_tx_burst(queue->ethdev, queue->id, mbufs, (uint16_t)ready);
    fl_memif_burst_end(queue);
    fl_figure_add(&queue->counters[FL_TX_PKTS], sent);
    uint32_t accepted = sent;
    if (__builtin_expect(sent < filled, 0))
    {
        for (uint32_t i = sent; i < filled; i++)
        {
            bytes -= mbufs[i]->pkt_len;
        }
        fl_payloads_detach(queue, mbufs + sent, filled - sent);
        if (sent < ready)
        {
            fl_figure_add(&queue->counters[FL_TX_EAGAIN], ready - sent);
        }
        else
        {
            rte_pktmbuf_free(mbufs[sent]);
            fl_figure_add(&queue->counters[FL_TX_ERROR], 1);
            accepted++;
        }
    }
    fl_figure_add(&queue->counters[FL_TX_BYTES], bytes);
    return (int)accepted;
}

int fl_port_tx_reap(fl_port_t *port, uint32_t queue_id, fl_completion_t *completions, uint32_t capacity)
{
    fl_queue_t *queue = &port->queues[queue_id];
    const bool is_lost = -FL_ENODEV == fl_gate_pass(queue);
    if (queue->payload_head == queue->payload_tail)
    {
        return is_lost ? -FL_ENODEV : 0;
    }
    /* The device's driver frees sent mbufs only when it sends more: a quiet queue must ask. */
    if (0 == ++queue->reaps % FL_REAPS_A_CLEANUP && 0 == fl_gate_pass(queue))
    {
        fl_memif_burst_begin(queue);
        rte_eth_tx_done_cleanup(queue->ethdev, queue->id, 0);
        fl_memif_burst_end(queue);
    }
    uint32_t count = 0;
    while (queue->payload_tail != queue->payload_head && count < capacity)
    {
        const fl_payload_t *payload = &queue->payloads[queue->payload_tail & (FL_PAYLOADS - 1)];
        /* Acquire: pairs with the release in fl_payload_freed. */
        const bool is_free = 0 != atomic_load_explicit(&payload->is_free, memory_order_acquire);
        if (!is_free && !is_lost)
        {
            break;
        }
        queue->payload_tail++;
        if (0 != payload->completion)
        {
            completions[count++] =
                (fl_completion_t){.token = payload->completion, .status = is_free ? 0 : -FL_ENODEV};
        }
    }
    return (int)count;
}
