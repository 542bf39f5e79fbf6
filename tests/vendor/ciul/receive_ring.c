/* Receiving into the caller's buffers (EF10): bypass-apis 1.9.
 *
 * A buffer is the adapter's from ef_vi_receive_init until its event. It is filled with a pattern meanwhile, so that who
 * writes to it is found out and who still reads from it reads nonsense. A push exposes descriptors by eights.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vi_state.h"

static int fl_ciul_ring_init(ef_vi *vi, ef_addr address, ef_request_id id)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    if (0 == vi->vi_rxq.mask)
    {
        fl_ciul_misuse("ef_vi_receive_init: the virtual interface has no receive queue");
    }
    fl_ciul_enter(own, "ef_vi_receive_init");
    int result = -EAGAIN;
    if (0 < ef_vi_receive_space(vi))
    {
        if (0 != address % EF_VI_DMA_ALIGN)
        {
            fl_ciul_misuse("ef_vi_receive_init: DMA address 0x%llx is not aligned to %d bytes",
                (unsigned long long)address, EF_VI_DMA_ALIGN);
        }
        uint32_t at = own->state.rxq.added & vi->vi_rxq.mask;
        own->buffers[at] = fl_ciul_region_at(own->pd_id, address, vi->rx_buffer_len, "ef_vi_receive_init");
        fl_ciul_region_lend(address, true, "ef_vi_receive_init");
        memset(own->buffers[at], FL_CIUL_POISON, vi->rx_buffer_len);
        own->addresses[at] = address;
        vi->vi_rxq.ids[at] = (uint32_t)id;
        own->state.rxq.added++;
        fl_ciul_event_check_room(own, "ef_vi_receive_init");
        result = 0;
    }
    fl_ciul_leave(own);
    return result;
}

static void fl_ciul_ring_push(ef_vi *vi)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_enter(own, "ef_vi_receive_push");
    own->state.rxq.posted = own->state.rxq.added & ~7u;
    fl_ciul_leave(own);
}

/* Take the next descriptor. Its buffer is the caller's from now on. */
static uint8_t *fl_ciul_ring_take(fl_ciul_vi_t *own, uint32_t *index)
{
    *index = own->consumed++ & own->vi->vi_rxq.mask;
    uint8_t *buffer = own->buffers[*index];
    for (unsigned i = 0; i < own->vi->rx_buffer_len; i++)
    {
        if (FL_CIUL_POISON != buffer[i])
        {
            fl_ciul_misuse("buffer %u was written at byte %u while it was the adapter's",
                own->vi->vi_rxq.ids[*index], i);
        }
    }
    fl_ciul_region_lend(own->addresses[*index], false, "receive");
    return buffer;
}

static void fl_ciul_ring_prefix(uint8_t *prefix, const fl_ciul_frame_t *frame)
{
    uint32_t ticks = (uint32_t)(frame->time_ns % 1000000000u) * 4;
    memset(prefix, 0, FL_CIUL_PREFIX);
    prefix[FL_CIUL_PREFIX_LENGTH_AT] = (uint8_t)frame->length;
    prefix[FL_CIUL_PREFIX_LENGTH_AT + 1] = (uint8_t)(frame->length >> 8);
    memcpy(prefix + FL_CIUL_PREFIX - sizeof(ticks), &ticks, sizeof(ticks));
}

/* Put a merged event for one more descriptor, in the one before it where that is of the same kind and not full. */
static int fl_ciul_ring_merge(ef_event *event, bool may_join, unsigned flags, bool is_discard, unsigned subtype)
{
    if (may_join && !is_discard && EF_EVENT_TYPE_RX_MULTI == EF_EVENT_TYPE(event[-1]) &&
        EF_EVENT_FLAG_SOP == flags && EF_EVENT_FLAG_SOP == event[-1].rx_multi.flags &&
        event[-1].rx_multi.n_descs < EF_VI_RECEIVE_BATCH)
    {
        event[-1].rx_multi.n_descs++;
        return 0;
    }
    memset(event, 0, sizeof(*event));
    event->rx_multi.type = is_discard ? EF_EVENT_TYPE_RX_MULTI_DISCARD : EF_EVENT_TYPE_RX_MULTI;
    event->rx_multi.n_descs = 1;
    event->rx_multi.flags = (uint16_t)flags;
    if (is_discard)
    {
        event->rx_multi_discard.subtype = (uint16_t)subtype;
    }
    return 1;
}

int fl_ciul_receive_ring_deliver(
    fl_ciul_vi_t *own, const fl_ciul_frame_t *frame, unsigned flags, ef_event *evs, int space)
{
    ef_vi *vi = own->vi;
    size_t total = vi->rx_prefix_len + frame->length;
    uint32_t pieces = (uint32_t)((total + vi->rx_buffer_len - 1) / vi->rx_buffer_len);
    if ((uint32_t)space < pieces)
    {
        return -ENOSPC;
    }
    if (own->state.rxq.posted - own->consumed < pieces || pieces > own->state.rxq.posted)
    {
        own->drops++;
        own->stats.rx_ev_lost++;
        return 0;
    }
    bool is_merged = 0 != (vi->vi_flags & EF_VI_RX_EVENT_MERGE);
    unsigned subtype = ef_vi_get_rx_discard_subtype_from_flags(flags);
    int count = 0;
    size_t done = 0;
    for (uint32_t piece = 0; piece < pieces; piece++)
    {
        uint32_t index;
        uint8_t *buffer = fl_ciul_ring_take(own, &index);
        size_t room = vi->rx_buffer_len;
        uint8_t *at = buffer;
        if (0 == piece && 0 != vi->rx_prefix_len)
        {
            fl_ciul_ring_prefix(buffer, frame);
            at += vi->rx_prefix_len;
            room -= vi->rx_prefix_len;
        }
        size_t part = frame->length - done < room ? frame->length - done : room;
        memcpy(at, frame->data + done, part);
        done += part;
        if (0 == piece && own->stamps_count < FL_CIUL_STAMPS)
        {
            own->stamps[own->stamps_count++] = (fl_ciul_stamp_t){.packet = buffer, .time_ns = frame->time_ns};
        }
        unsigned event_flags = (0 == piece ? EF_EVENT_FLAG_SOP : 0u) | (piece + 1 < pieces ? EF_EVENT_FLAG_CONT : 0u);
        if (is_merged)
        {
            count += fl_ciul_ring_merge(evs + count, 1 < own->stamps_count, event_flags, 0 != flags, subtype);
            continue;
        }
        ef_event *event = &evs[count++];
        memset(event, 0, sizeof(*event));
        event->rx.type = 0 == flags ? EF_EVENT_TYPE_RX : EF_EVENT_TYPE_RX_DISCARD;
        event->rx.rq_id = vi->vi_rxq.ids[index];
        event->rx.len = (uint16_t)(done + vi->rx_prefix_len);
        event->rx.flags = (uint16_t)event_flags;
        if (0 != flags)
        {
            event->rx_discard.subtype = (uint16_t)subtype;
        }
        own->state.rxq.removed++;
    }
    return count;
}

static int fl_ciul_ring_set_discards(ef_vi *vi, unsigned flags)
{
    fl_ciul_vi(vi)->discard_mask = flags;
    return 0;
}

static uint64_t fl_ciul_ring_get_discards(ef_vi *vi)
{
    return fl_ciul_vi(vi)->discard_mask;
}

static int32_t fl_ciul_ring_no_filter_id(ef_vi *vi, const ef_event *event, const void *packet)
{
    (void)vi;
    (void)event;
    (void)packet;
    return -EOPNOTSUPP;
}

int fl_ciul_receive_ring_open(fl_ciul_vi_t *own, int capacity)
{
    ef_vi *vi = own->vi;
    vi->vi_rxq.mask = (uint32_t)capacity - 1;
    vi->vi_rxq.ids = (uint32_t *)calloc((size_t)capacity, sizeof(uint32_t));
    own->buffers = (uint8_t **)calloc((size_t)capacity, sizeof(uint8_t *));
    own->addresses = (ef_addr *)calloc((size_t)capacity, sizeof(ef_addr));
    vi->ops.receive_init = fl_ciul_ring_init;
    vi->ops.receive_push = fl_ciul_ring_push;
    vi->ops.receive_set_discards = fl_ciul_ring_set_discards;
    vi->ops.receive_get_discards = fl_ciul_ring_get_discards;
    vi->ops.receive_get_filter_id = fl_ciul_ring_no_filter_id;
    return NULL == vi->vi_rxq.ids || NULL == own->buffers || NULL == own->addresses ? -ENOMEM : 0;
}

/* ---- what is called by name ---- */

int ef_vi_receive_post(ef_vi *vi, ef_addr addr, ef_request_id dma_id)
{
    int result = ef_vi_receive_init(vi, addr, dma_id);
    if (0 == result)
    {
        ef_vi_receive_push(vi);
    }
    return result;
}

int ef_vi_receive_unbundle(ef_vi *ep, const ef_event *event, ef_request_id *ids)
{
    fl_ciul_vi_t *own = fl_ciul_vi(ep);
    unsigned type = EF_EVENT_TYPE(*event);
    if (EF_EVENT_TYPE_RX_MULTI != type && EF_EVENT_TYPE_RX_MULTI_DISCARD != type)
    {
        fl_ciul_misuse("ef_vi_receive_unbundle: an event of type %u is not merged", type);
    }
    int count = (int)event->rx_multi.n_descs;
    if (own->consumed - own->state.rxq.removed < (uint32_t)count)
    {
        fl_ciul_misuse("ef_vi_receive_unbundle: the event was unbundled before");
    }
    for (int i = 0; i < count; i++)
    {
        ids[i] = (ef_request_id)ep->vi_rxq.ids[own->state.rxq.removed++ & ep->vi_rxq.mask];
    }
    return count;
}

ef_request_id ef_vi_rxq_next_desc_id(ef_vi *vi)
{
    return (ef_request_id)vi->vi_rxq.ids[fl_ciul_vi(vi)->state.rxq.removed & vi->vi_rxq.mask];
}

int ef_vi_receive_get_bytes(ef_vi *vi, const void *pkt, uint16_t *bytes_out)
{
    if (0 == vi->rx_prefix_len)
    {
        return -EOPNOTSUPP;
    }
    const uint8_t *prefix = (const uint8_t *)pkt;
    *bytes_out = (uint16_t)(prefix[FL_CIUL_PREFIX_LENGTH_AT] | prefix[FL_CIUL_PREFIX_LENGTH_AT + 1] << 8);
    return 0;
}

int ef_vi_receive_query_layout(ef_vi *vi, const ef_vi_layout_entry **const layout_out, int *layout_len_out)
{
    static const ef_vi_layout_entry without[] = {{EF_VI_LAYOUT_FRAME, 0, "Ethernet frame"}};
    static const ef_vi_layout_entry with[] = {{EF_VI_LAYOUT_FRAME, FL_CIUL_PREFIX, "Ethernet frame"},
        {EF_VI_LAYOUT_MINOR_TICKS, FL_CIUL_PREFIX - 4, "time stamp"},
        {EF_VI_LAYOUT_PACKET_LENGTH, FL_CIUL_PREFIX_LENGTH_AT, "packet length"}};
    if (!fl_ciul_vi(vi)->is_ring)
    {
        return -EOPNOTSUPP;
    }
    *layout_out = 0 == vi->rx_prefix_len ? without : with;
    *layout_len_out = 0 == vi->rx_prefix_len ? 1 : 3;
    return 0;
}
