/* Receiving from shared queues (EFCT, EF10CT): bypass-apis 1.11.
 *
 * Packets lie in superbuffers that the program sees read-only. One that is lent keeps its whole superbuffer; with all
 * superbuffers kept, frames are lost. A packet that was given back is overwritten at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <etherfabric/efct_vi.h>

#include "vi_state.h"

#define FL_CIUL_SUPERBUFFER ((size_t)FL_CIUL_SLOT * FL_CIUL_SLOTS)

static int fl_ciul_shared_init(ef_vi *vi, ef_addr address, ef_request_id id)
{
    (void)vi;
    (void)address;
    (void)id;
    return -ENOSYS;
}

static void fl_ciul_shared_push(ef_vi *vi)
{
    (void)vi;
}

static int fl_ciul_shared_set_discards(ef_vi *vi, unsigned flags)
{
    fl_ciul_vi(vi)->discard_mask = flags;
    return 0;
}

static uint64_t fl_ciul_shared_get_discards(ef_vi *vi)
{
    return fl_ciul_vi(vi)->discard_mask;
}

static int32_t fl_ciul_shared_filter_id(ef_vi *vi, const ef_event *event, const void *packet)
{
    (void)vi;
    (void)packet;
    return (int32_t)event->rx_ref.filter_id;
}

static int fl_ciul_shared_set_buffers(ef_vi *vi, size_t count)
{
    (void)vi;
    (void)count;
    return -EOPNOTSUPP;
}

int fl_ciul_receive_shared_open(fl_ciul_vi_t *own, int capacity)
{
    ef_vi *vi = own->vi;
    own->superbuffers = ((size_t)capacity + FL_CIUL_SLOTS - 1) / FL_CIUL_SLOTS + 1;
    size_t length = own->superbuffers * FL_CIUL_SUPERBUFFER;
    own->memory_fd = memfd_create("ciul-superbuffers", MFD_CLOEXEC);
    if (own->memory_fd < 0 || 0 != ftruncate(own->memory_fd, (off_t)length))
    {
        return -errno;
    }
    void *slots = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, own->memory_fd, 0);
    void *packets = mmap(NULL, length, PROT_READ, MAP_SHARED, own->memory_fd, 0);
    own->slots = MAP_FAILED == slots ? NULL : (uint8_t *)slots;
    own->packets = MAP_FAILED == packets ? NULL : (const uint8_t *)packets;
    own->lent = (uint16_t *)calloc(own->superbuffers, sizeof(uint16_t));
    own->is_lent = (bool *)calloc(own->superbuffers * FL_CIUL_SLOTS, sizeof(bool));
    if (NULL == own->slots || NULL == own->packets || NULL == own->lent || NULL == own->is_lent)
    {
        return -ENOMEM;
    }
    vi->vi_rxq.mask = (uint32_t)capacity - 1;
    vi->ops.receive_init = fl_ciul_shared_init;
    vi->ops.receive_push = fl_ciul_shared_push;
    vi->ops.receive_set_discards = fl_ciul_shared_set_discards;
    vi->ops.receive_get_discards = fl_ciul_shared_get_discards;
    vi->ops.receive_get_filter_id = fl_ciul_shared_filter_id;
    own->queue_ops.set_client_buf_count = fl_ciul_shared_set_buffers;
    vi->efct_rxqs.ops = &own->queue_ops;
    return 0;
}

void fl_ciul_receive_shared_close(fl_ciul_vi_t *own)
{
    size_t length = own->superbuffers * FL_CIUL_SUPERBUFFER;
    if (NULL != own->slots)
    {
        munmap(own->slots, length);
    }
    if (NULL != own->packets)
    {
        munmap((void *)(uintptr_t)own->packets, length);
    }
    if (0 <= own->memory_fd)
    {
        close(own->memory_fd);
    }
    free(own->lent);
    free(own->is_lent);
}

/* Make room for a packet; false while every superbuffer is kept by a packet that is lent. */
static bool fl_ciul_shared_advance(fl_ciul_vi_t *own)
{
    if (own->filled < FL_CIUL_SLOTS)
    {
        return true;
    }
    for (size_t i = 1; i <= own->superbuffers; i++)
    {
        size_t next = (own->current + i) % own->superbuffers;
        if (0 == own->lent[next])
        {
            own->current = next;
            own->filled = 0;
            return true;
        }
    }
    return false;
}

int fl_ciul_receive_shared_deliver(
    fl_ciul_vi_t *own, const fl_ciul_frame_t *frame, unsigned flags, int filter, ef_event *event)
{
    if (!fl_ciul_shared_advance(own))
    {
        own->drops++;
        own->stats.rx_ev_lost++;
        return 0;
    }
    size_t length = frame->length;
    if (FL_CIUL_SLOT - 64 < length)
    {
        length = FL_CIUL_SLOT - 64;
        flags |= EF_VI_DISCARD_RX_ETH_LEN_ERR;
    }
    size_t packet = own->current * FL_CIUL_SLOTS + own->filled++;
    memcpy(own->slots + packet * FL_CIUL_SLOT, frame->data, length);
    own->is_lent[packet] = true;
    own->lent[own->current]++;
    own->stamps[own->stamps_count++] = (fl_ciul_stamp_t){
        .packet = own->packets + packet * FL_CIUL_SLOT, .time_ns = frame->time_ns, .filter = filter};
    memset(event, 0, sizeof(*event));
    event->rx_ref.type = 0 == flags ? EF_EVENT_TYPE_RX_REF : EF_EVENT_TYPE_RX_REF_DISCARD;
    event->rx_ref.len = (uint16_t)length;
    event->rx_ref.pkt_id = (uint32_t)packet;
    event->rx_ref.filter_id = (uint16_t)(filter < 0 ? 0xffff : filter);
    if (0 != flags)
    {
        event->rx_ref_discard.flags = (uint16_t)flags;
    }
    return 1;
}

static fl_ciul_vi_t *fl_ciul_shared_check(ef_vi *vi, uint32_t packet, const char *caller)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    if (own->is_ring || NULL == own->is_lent)
    {
        fl_ciul_misuse("%s: the virtual interface has no shared receive queue", caller);
    }
    if (own->superbuffers * FL_CIUL_SLOTS <= packet || !own->is_lent[packet])
    {
        fl_ciul_misuse("%s: packet %u is not lent: it was released before, or never received", caller, packet);
    }
    return own;
}

const void *efct_vi_rxpkt_get(struct ef_vi *vi, uint32_t pkt_id)
{
    return fl_ciul_shared_check(vi, pkt_id, "efct_vi_rxpkt_get")->packets + (size_t)pkt_id * FL_CIUL_SLOT;
}

void efct_vi_rxpkt_release(struct ef_vi *vi, uint32_t pkt_id)
{
    fl_ciul_vi_t *own = fl_ciul_shared_check(vi, pkt_id, "efct_vi_rxpkt_release");
    fl_ciul_enter(own, "efct_vi_rxpkt_release");
    own->is_lent[pkt_id] = false;
    own->lent[pkt_id / FL_CIUL_SLOTS]--;
    memset(own->slots + (size_t)pkt_id * FL_CIUL_SLOT, FL_CIUL_POISON, FL_CIUL_SLOT);
    fl_ciul_leave(own);
}
