/* The receiving half of a queue. */
#include "gate.h"
#include "memif.h"

#include <rte_mbuf_dyn.h>
#include <rte_prefetch.h>

#define FL_PREFETCH_AHEAD 4
#define FL_ETHERTYPE_IPV6 0x86dd
#define FL_ETHERTYPE_VLAN 0x8100

static bool fl_frame_is_ipv6(const uint8_t *data, uint32_t length)
{
    const uint32_t at = length > FL_L2_LENGTH && FL_ETHERTYPE_VLAN == (data[12] << 8 | data[13]) ? 16 : 12;
    return length > FL_L2_LENGTH && FL_ETHERTYPE_IPV6 == (data[at] << 8 | data[at + 1]);
}

/* What the device found out about IP and UDP together. L4 "none" says that the field is wrong and the data right, as
 * between virtual machines of one host (bypass-apis 2.5). */
static uint8_t fl_checksum_verdict(uint64_t flags, const uint8_t *data, uint32_t length)
{
    const uint64_t ip = flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
    const uint64_t l4 = flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    if (RTE_MBUF_F_RX_IP_CKSUM_BAD == ip || RTE_MBUF_F_RX_L4_CKSUM_BAD == l4)
    {
        return FL_CHECKSUM_BAD;
    }
    if (RTE_MBUF_F_RX_L4_CKSUM_GOOD != l4 && RTE_MBUF_F_RX_L4_CKSUM_NONE != l4)
    {
        return FL_CHECKSUM_UNKNOWN;
    }
    /* IPv6 has no header checksum, so a device may leave that half open. */
    return RTE_MBUF_F_RX_IP_CKSUM_GOOD == ip || fl_frame_is_ipv6(data, length) ? FL_CHECKSUM_GOOD : FL_CHECKSUM_UNKNOWN;
}

static inline void fl_frame_fill(const fl_queue_t *queue, fl_rx_frame_t *frame, struct rte_mbuf *mbuf)
{
    const uint64_t flags = mbuf->ol_flags;
    frame->data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    frame->length = mbuf->data_len;
    frame->vlan = 0 != (flags & RTE_MBUF_F_RX_VLAN_STRIPPED) ? mbuf->vlan_tci & 0xfff : FL_VLAN_NONE;
    frame->checksum = queue->has_checksums && 0 != (flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK))
        ? fl_checksum_verdict(flags, frame->data, frame->length)
        : FL_CHECKSUM_UNKNOWN;
    frame->clock = FL_CLOCK_NONE;
    frame->timestamp_ns = 0;
    if (0 != (flags & queue->timestamp_flag))
    {
        const uint64_t ticks = *RTE_MBUF_DYNFIELD(mbuf, queue->timestamp_offset, const rte_mbuf_timestamp_t *);
        if (fl_device_clock_convert(queue->clock, ticks, &frame->timestamp_ns))
        {
            frame->clock = FL_CLOCK_HARDWARE;
        }
    }
    frame->token = (uint64_t)(uintptr_t)mbuf;
}

/* Make one piece of each frame that came in parts; drop those that do not fit. Returns how many remain. */
static uint32_t fl_queue_join_parts(fl_queue_t *queue, struct rte_mbuf **mbufs, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        if (mbufs[i]->nb_segs > 1)
        {
            if (0 != rte_pktmbuf_linearize(mbufs[i]))
            {
                rte_pktmbuf_free(mbufs[i]);
                fl_figure_add(&queue->counters[FL_RX_ERROR], 1);
                continue;
            }
            fl_figure_add(&queue->counters[FL_RX_JOINED], 1);
        }
        mbufs[kept++] = mbufs[i];
    }
    return kept;
}

/* Take one burst from the device. */
static uint32_t fl_queue_receive(fl_queue_t *queue, struct rte_mbuf **mbufs, uint32_t capacity)
{
    fl_memif_burst_begin(queue);
    const uint16_t count = rte_eth_rx_burst(queue->ethdev, queue->id, mbufs, (uint16_t)capacity);
    fl_memif_burst_end(queue);
    bool has_parts = false;
    for (uint16_t i = 0; i < count; i++)
    {
        if (i + FL_PREFETCH_AHEAD < count)
        {
            rte_prefetch0(mbufs[i + FL_PREFETCH_AHEAD]);
        }
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], const void *));
        has_parts |= mbufs[i]->nb_segs > 1;
    }
    return has_parts ? fl_queue_join_parts(queue, mbufs, count) : count;
}

static uint32_t fl_queue_deliver(
    fl_queue_t *queue, fl_rx_frame_t *frames, struct rte_mbuf **mbufs, uint32_t count)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        fl_frame_fill(queue, &frames[i], mbufs[i]);
        bytes += frames[i].length;
    }
    fl_figure_add(&queue->counters[FL_RX_PKTS], count);
    fl_figure_add(&queue->counters[FL_RX_BYTES], bytes);
    return count;
}

/* Vector drivers take whole bursts only, so a caller with less room gets his from a burst that is kept. */
static uint32_t fl_queue_deliver_kept(fl_queue_t *queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    if (queue->kept_first == queue->kept_end)
    {
        queue->kept_first = 0;
        queue->kept_end = fl_queue_receive(queue, queue->kept, FL_BURST);
    }
    const uint32_t there = queue->kept_end - queue->kept_first;
    const uint32_t count = there < capacity ? there : capacity;
    fl_queue_deliver(queue, frames, queue->kept + queue->kept_first, count);
    queue->kept_first += count;
    return count;
}

int fl_port_rx_burst(fl_port_t *port, uint32_t queue_id, fl_rx_frame_t *frames, uint32_t capacity)
{
    fl_queue_t *queue = &port->queues[queue_id];
    const int code = fl_gate_pass(queue);
    if (__builtin_expect(0 != code, 0))
    {
        return -FL_EAGAIN == code ? 0 : code;
    }
    uint32_t total = 0;
    if (queue->kept_first != queue->kept_end)
    {
        total = fl_queue_deliver_kept(queue, frames, capacity);
    }
    while (capacity - total >= FL_BURST / 2)
    {
        struct rte_mbuf *mbufs[FL_BURST];
        const uint32_t room = capacity - total < FL_BURST ? FL_BURST / 2 : FL_BURST;
        const uint32_t count = fl_queue_receive(queue, mbufs, room);
        if (0 == count)
        {
            return (int)total;
        }
        total += fl_queue_deliver(queue, frames + total, mbufs, count);
        if (count < room)
        {
            return (int)total;
        }
    }
    if (capacity > total)
    {
        total += fl_queue_deliver_kept(queue, frames + total, capacity - total);
    }
    return (int)total;
}

void fl_port_rx_release(fl_port_t *port, uint32_t queue_id, const fl_rx_frame_t *frames, uint32_t count)
{
    (void)port;
    (void)queue_id;
    fl_mbufs_free(&frames->token, sizeof(*frames), count);
}
