/* Sending through descriptors and pushes (EF10), and what every way of sending needs. bypass-apis 1.10.
 *
 * What a pushed descriptor names is read when the wire takes it, and compared with what was pushed when its completion
 * is unbundled: who writes to a buffer before that is found out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transmit.h"

#define FL_CIUL_PAGE ((size_t)EF_VI_NIC_PAGE_SIZE)

static uint32_t fl_ciul_digest(const uint8_t *data, size_t length)
{
    uint64_t digest = 0xcbf29ce484222325u ^ length;
    for (; 8 <= length; data += 8, length -= 8)
    {
        uint64_t word;
        memcpy(&word, data, 8);
        digest = (digest ^ word) * 0x9e3779b97f4a7c15u;
        digest ^= digest >> 29;
    }
    for (; 0 != length; data++, length--)
    {
        digest = (digest ^ *data) * 0x100000001b3u;
    }
    return (uint32_t)(digest ^ digest >> 32);
}

fl_ciul_vi_t *fl_ciul_transmit_enter(ef_vi *vi, const char *caller)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    if (0 == vi->vi_txq.mask)
    {
        fl_ciul_misuse("%s: the virtual interface has no transmit queue", caller);
    }
    fl_ciul_enter(own, caller);
    if (own->is_ring && own->ctpio_waits)
    {
        fl_ciul_misuse("%s: the CTPIO send before it has had no fallback", caller);
    }
    return own;
}

void fl_ciul_transmit_add(
    fl_ciul_vi_t *own, const uint8_t *data, size_t length, bool is_last, bool is_ctpio, ef_request_id id)
{
    uint32_t at = own->state.txq.added++ & own->vi->vi_txq.mask;
    own->sends[at] = (fl_ciul_send_t){.data = data,
        .length = (uint32_t)length,
        .digest = fl_ciul_digest(data, length),
        .is_last = is_last,
        .is_ctpio = is_ctpio};
    own->vi->vi_txq.ids[at] = is_last ? (uint32_t)id : EF_REQUEST_ID_MASK;
    if (own->is_ring)
    {
        fl_ciul_event_check_room(own, "transmit");
    }
}

void fl_ciul_transmit_check_id(ef_request_id id, const char *caller)
{
    if ((ef_request_id)EF_REQUEST_ID_MASK == id)
    {
        fl_ciul_misuse("%s: request id 0x%x marks descriptors without one", caller, EF_REQUEST_ID_MASK);
    }
}

/* Add the descriptors of one packet: one for each part of an entry that stays within its 4 KiB. */
static int fl_ciul_transmit_describe(
    fl_ciul_vi_t *own, const ef_iovec *iov, int iov_len, ef_request_id id, bool is_ctpio, const char *caller)
{
    fl_ciul_transmit_check_id(id, caller);
    int needed = 0;
    for (int i = 0; i < iov_len; i++)
    {
        size_t first = FL_CIUL_PAGE - iov[i].iov_base % FL_CIUL_PAGE;
        size_t after = iov[i].iov_len <= first ? 0 : iov[i].iov_len - first;
        needed += 1 + (int)((after + FL_CIUL_PAGE - 1) / FL_CIUL_PAGE);
    }
    if (iov_len <= 0)
    {
        fl_ciul_misuse("%s: a packet of %d pieces", caller, iov_len);
    }
    if (ef_vi_transmit_space(own->vi) < needed)
    {
        return -EAGAIN;
    }
    for (int i = 0; i < iov_len; i++)
    {
        ef_addr base = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        do
        {
            size_t part = FL_CIUL_PAGE - base % FL_CIUL_PAGE;
            part = left < part ? left : part;
            left -= part;
            const uint8_t *data = fl_ciul_region_at(own->pd_id, base, part, caller);
            fl_ciul_transmit_add(own, data, part, 0 == left && i + 1 == iov_len, is_ctpio, id);
            base += part;
        } while (0 != left);
    }
    return 0;
}

/* ---- completion ---- */

static void fl_ciul_transmit_stamp(const fl_ciul_vi_t *own, ef_event *event)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->tx_timestamp.ts_sec = (uint32_t)now.tv_sec;
    event->tx_timestamp.ts_nsec = (uint32_t)now.tv_nsec & 0x3fffffff;
    unsigned flags = 0;
    if (FL_CIUL_CLOCK_SYNC == own->settings.clock)
    {
        flags = EF_EVENT_TX_WITH_TIMESTAMP_SYNC_MASK;
    }
    else if (FL_CIUL_CLOCK_SET == own->settings.clock)
    {
        flags = EF_VI_SYNC_FLAG_CLOCK_SET;
    }
    event->tx_timestamp.ts_flags = flags & 3;
}

void fl_ciul_transmit_complete(fl_ciul_vi_t *own, uint32_t first)
{
    const fl_ciul_send_t *send = &own->sends[(own->sent - 1) & own->vi->vi_txq.mask];
    ef_event event;
    memset(&event, 0, sizeof(event));
    if (0 != (own->vi->vi_flags & EF_VI_TX_TIMESTAMPS))
    {
        event.tx_timestamp.type = EF_EVENT_TYPE_TX_WITH_TIMESTAMP;
        event.tx_timestamp.flags = send->is_ctpio ? EF_EVENT_FLAG_CTPIO : 0;
        fl_ciul_transmit_stamp(own, &event);
        fl_ciul_event_put(own, &event);
        return;
    }
    if (own->events_head != own->events_tail)
    {
        ef_event *last = &own->events[(own->events_tail - 1) & own->events_mask];
        if (EF_EVENT_TYPE_TX == EF_EVENT_TYPE(*last) && send->is_ctpio == (0 != EF_EVENT_TX_CTPIO(*last)) &&
            last->tx.desc_id == (uint16_t)first && last->tx.deferred_evs + own->sent - first <= EF_VI_TRANSMIT_BATCH)
        {
            last->tx.deferred_evs = (uint16_t)(last->tx.deferred_evs + own->sent - first);
            last->tx.desc_id = (uint16_t)own->sent;
            return;
        }
    }
    event.tx.type = EF_EVENT_TYPE_TX;
    event.tx.flags = send->is_ctpio ? EF_EVENT_FLAG_CTPIO : 0;
    event.tx.desc_id = (uint16_t)own->sent;
    event.tx.deferred_evs = (uint16_t)(own->sent - first);
    fl_ciul_event_put(own, &event);
}

bool fl_ciul_transmit_fails(fl_ciul_vi_t *own)
{
    if (0 <= own->settings.tx_error && !own->is_tx_broken)
    {
        ef_event event;
        memset(&event, 0, sizeof(event));
        event.tx_error.type = EF_EVENT_TYPE_TX_ERROR;
        event.tx_error.desc_id = (uint16_t)own->sent;
        event.tx_error.subtype = (uint16_t)own->settings.tx_error;
        fl_ciul_event_put(own, &event);
        own->is_tx_broken = true;
    }
    return own->is_tx_broken;
}

int fl_ciul_transmit_wire(fl_ciul_vi_t *own, size_t length)
{
    if (own->is_dead || own->settings.is_lost)
    {
        return -ENODEV;
    }
    if (own->settings.is_stalled)
    {
        return -EAGAIN;
    }
    int result = own->is_warming ? 0 : own->wire->send(own->wire, own->staging, length);
    own->is_dead |= -ENODEV == result;
    return result;
}

static void fl_ciul_transmit_changed(const fl_ciul_vi_t *own, uint32_t index)
{
    const fl_ciul_send_t *send = &own->sends[index & own->vi->vi_txq.mask];
    if (!send->is_ctpio && send->digest != fl_ciul_digest(send->data, send->length))
    {
        fl_ciul_misuse("transmit: the buffer of request %u was written before its completion",
            own->vi->vi_txq.ids[index & own->vi->vi_txq.mask]);
    }
}

void fl_ciul_transmit_run(fl_ciul_vi_t *own)
{
    ef_vi *vi = own->vi;
    bool ip = 0 == (vi->vi_flags & EF_VI_TX_IP_CSUM_DIS);
    bool l4 = 0 == (vi->vi_flags & EF_VI_TX_TCPUDP_CSUM_DIS);
    while (own->sent != own->state.txq.previous && !own->settings.has_no_credits && !fl_ciul_transmit_fails(own))
    {
        size_t length = 0;
        uint32_t end = own->sent;
        const fl_ciul_send_t *send;
        do
        {
            fl_ciul_transmit_changed(own, end);
            send = &own->sends[end++ & vi->vi_txq.mask];
            if (sizeof(own->staging) < length + send->length)
            {
                fl_ciul_misuse("transmit: a packet of more than %zu bytes", sizeof(own->staging));
            }
            memcpy(own->staging + length, send->data, send->length);
            length += send->length;
        } while (!send->is_last);
        if (own->is_ring)
        {
            fl_ciul_checksums_fill(own->staging, length, ip, l4);
        }
        if (fl_ciul_transmit_wire(own, length) < 0)
        {
            return;
        }
        uint32_t first = own->sent;
        own->sent = end;
        fl_ciul_transmit_complete(own, first);
    }
}

bool fl_ciul_transmit_finish(fl_ciul_vi_t *own)
{
    const fl_ciul_send_t *send = &own->sends[own->state.txq.removed & own->vi->vi_txq.mask];
    if (own->is_ring)
    {
        fl_ciul_transmit_changed(own, own->state.txq.removed);
    }
    else
    {
        own->state.txq.ct_removed += send->length;
    }
    own->state.txq.removed++;
    return send->is_last;
}

int ef_vi_transmit_unbundle(ef_vi *ep, const ef_event *event, ef_request_id *ids)
{
    fl_ciul_vi_t *own = fl_ciul_vi(ep);
    unsigned type = EF_EVENT_TYPE(*event);
    if (EF_EVENT_TYPE_TX != type && EF_EVENT_TYPE_TX_ERROR != type)
    {
        fl_ciul_misuse("ef_vi_transmit_unbundle: an event of type %u completes nothing", type);
    }
    fl_ciul_enter(own, "ef_vi_transmit_unbundle");
    int count = 0;
    /* deferred_evs is how many descriptors the event stands for, desc_id the one behind them. */
    uint16_t left = (uint16_t)(event->tx.desc_id - (uint16_t)own->state.txq.removed);
    if (EF_EVENT_TYPE_TX == type && event->tx.deferred_evs != left)
    {
        fl_ciul_misuse("ef_vi_transmit_unbundle: the event was unbundled before, or one before it was not");
    }
    for (; 0 != left; left--)
    {
        uint32_t id = ep->vi_txq.ids[own->state.txq.removed & ep->vi_txq.mask];
        if (fl_ciul_transmit_finish(own))
        {
            ids[count++] = (ef_request_id)id;
        }
    }
    fl_ciul_leave(own);
    return count;
}

int __ef_vi_reinit_txq_post_error(ef_vi *vi)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_enter(own, "ef_vi_reinit_txq_post_error");
    own->state.txq = (ef_vi_txq_state){0};
    own->sent = 0;
    own->ctpio_waits = false;
    own->is_tx_broken = false;
    fl_ciul_leave(own);
    return 0;
}

/* ---- descriptor rings ---- */

static int fl_ciul_ring_transmitv_init(ef_vi *vi, const ef_iovec *iov, int iov_len, ef_request_id id)
{
    fl_ciul_vi_t *own = fl_ciul_transmit_enter(vi, "ef_vi_transmitv_init");
    int result = fl_ciul_transmit_describe(own, iov, iov_len, id, false, "ef_vi_transmitv_init");
    fl_ciul_leave(own);
    return result;
}

static void fl_ciul_ring_transmit_push(ef_vi *vi)
{
    fl_ciul_vi_t *own = fl_ciul_transmit_enter(vi, "ef_vi_transmit_push");
    if (own->state.txq.previous == own->state.txq.added)
    {
        fl_ciul_misuse("ef_vi_transmit_push: there is nothing to push");
    }
    own->state.txq.previous = own->state.txq.added;
    fl_ciul_transmit_run(own);
    fl_ciul_leave(own);
}

static int fl_ciul_ring_transmitv(ef_vi *vi, const ef_iovec *iov, int iov_len, ef_request_id id)
{
    int result = fl_ciul_ring_transmitv_init(vi, iov, iov_len, id);
    if (0 == result)
    {
        fl_ciul_ring_transmit_push(vi);
    }
    return result;
}

void fl_ciul_transmit_gather(fl_ciul_vi_t *own, size_t frame_len, const struct iovec *iov, int iov_len, void *copy)
{
    size_t length = 0;
    if (0 == (own->vi->vi_flags & EF_VI_TX_CTPIO))
    {
        fl_ciul_misuse("ef_vi_transmitv_ctpio: the virtual interface was allocated without EF_VI_TX_CTPIO");
    }
    for (int i = 0; i < iov_len; i++)
    {
        if (sizeof(own->staging) < length + iov[i].iov_len)
        {
            fl_ciul_misuse("ef_vi_transmitv_ctpio: a frame of more than %zu bytes", sizeof(own->staging));
        }
        memcpy(own->staging + length, iov[i].iov_base, iov[i].iov_len);
        length += iov[i].iov_len;
    }
    if (length != frame_len)
    {
        fl_ciul_misuse("ef_vi_transmitv_ctpio: a frame of %zu bytes in pieces of %zu in all", frame_len, length);
    }
    if (NULL != copy)
    {
        memcpy(copy, own->staging, length);
    }
}

static void fl_ciul_ring_transmitv_ctpio_copy(
    ef_vi *vi, size_t frame_len, const struct iovec *iov, int iov_len, unsigned threshold, void *fallback)
{
    (void)threshold;
    fl_ciul_vi_t *own = fl_ciul_transmit_enter(vi, "ef_vi_transmitv_ctpio");
    fl_ciul_transmit_gather(own, frame_len, iov, iov_len, fallback);
    bool is_drained = own->sent == own->state.txq.added;
    own->ctpio_waits = true;
    own->ctpio_went = is_drained && !own->settings.ctpio_fails && !own->settings.has_no_credits &&
        !fl_ciul_transmit_fails(own) && 0 < ef_vi_transmit_space(vi) && 0 == fl_ciul_transmit_wire(own, frame_len);
    fl_ciul_leave(own);
}

static void fl_ciul_ring_transmitv_ctpio(
    ef_vi *vi, size_t frame_len, const struct iovec *iov, int iov_len, unsigned threshold)
{
    fl_ciul_ring_transmitv_ctpio_copy(vi, frame_len, iov, iov_len, threshold, NULL);
}

static int fl_ciul_ring_transmitv_ctpio_fallback(ef_vi *vi, const ef_iovec *iov, int iov_len, ef_request_id id)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_enter(own, "ef_vi_transmit_ctpio_fallback");
    if (!own->ctpio_waits)
    {
        fl_ciul_misuse("ef_vi_transmit_ctpio_fallback: no CTPIO send before it");
    }
    uint32_t first = own->state.txq.added;
    int result =
        fl_ciul_transmit_describe(own, iov, iov_len, id, own->ctpio_went, "ef_vi_transmit_ctpio_fallback");
    if (0 == result)
    {
        own->ctpio_waits = false;
        own->state.txq.previous = own->state.txq.added;
        if (own->ctpio_went)
        {
            own->sent = own->state.txq.added;
            fl_ciul_transmit_complete(own, first);
        }
        else
        {
            fl_ciul_transmit_run(own);
        }
    }
    fl_ciul_leave(own);
    return result;
}

static int fl_ciul_transmit_pio_region(ef_vi *vi, int offset, int len, ef_request_id id, const void *copy)
{
    fl_ciul_vi_t *own = fl_ciul_transmit_enter(vi, "ef_vi_transmit_pio");
    fl_ciul_transmit_check_id(id, "ef_vi_transmit_pio");
    if (NULL == own->pio)
    {
        fl_ciul_misuse("ef_vi_transmit_pio: no PIO region is linked to the virtual interface");
    }
    if (0 != offset % 64 || offset < 0 || len < 16 || (int)own->pio->pio_len < offset + len)
    {
        fl_ciul_misuse("ef_vi_transmit_pio: %d bytes at %d are not 16 or more at a multiple of 64 within %u", len,
            offset, own->pio->pio_len);
    }
    int result = -EAGAIN;
    if (0 < ef_vi_transmit_space(vi))
    {
        if (NULL != copy)
        {
            memcpy(own->pio->pio_buffer + offset, copy, (size_t)len);
        }
        fl_ciul_transmit_add(own, own->pio->pio_buffer + offset, (size_t)len, true, false, id);
        own->state.txq.previous = own->state.txq.added;
        fl_ciul_transmit_run(own);
        result = 0;
    }
    fl_ciul_leave(own);
    return result;
}

static int fl_ciul_transmit_pio(ef_vi *vi, int offset, int len, ef_request_id id)
{
    return fl_ciul_transmit_pio_region(vi, offset, len, id, NULL);
}

static int fl_ciul_transmit_copy_pio(ef_vi *vi, int offset, const void *src, int len, ef_request_id id)
{
    return fl_ciul_transmit_pio_region(vi, offset, len, id, src);
}

/* ---- common ---- */

static int fl_ciul_transmit_one(ef_vi *vi, ef_addr base, int len, ef_request_id id)
{
    ef_iovec whole = {.iov_base = base, .iov_len = (unsigned)len};
    return vi->ops.transmitv(vi, &whole, 1, id);
}

static int fl_ciul_transmit_fallback_one(ef_vi *vi, ef_addr base, size_t len, ef_request_id id)
{
    ef_iovec whole = {.iov_base = base, .iov_len = (unsigned)len};
    return vi->ops.transmitv_ctpio_fallback(vi, &whole, 1, id);
}

int ef_vi_transmit_init(ef_vi *vi, ef_addr addr, int bytes, ef_request_id dma_id)
{
    ef_iovec whole = {.iov_base = addr, .iov_len = (unsigned)bytes};
    return vi->ops.transmitv_init(vi, &whole, 1, dma_id);
}

void ef_vi_transmit_init_undo(ef_vi *vi)
{
    fl_ciul_vi_t *own = fl_ciul_transmit_enter(vi, "ef_vi_transmit_init_undo");
    own->state.txq.added = own->state.txq.previous;
    fl_ciul_leave(own);
}

void ef_vi_set_tx_push_threshold(ef_vi *vi, unsigned threshold)
{
    (void)vi;
    (void)threshold;
}

static void fl_ciul_transmit_warm(ef_vi *vi, ef_vi_tx_warm_state *state, char *dummy)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    state->removed = own->state.txq.removed;
    state->vi_ctpio_mmap_ptr = dummy;
    own->is_warming = true;
}

static void fl_ciul_transmit_cool(ef_vi *vi, ef_vi_tx_warm_state *state)
{
    (void)state;
    fl_ciul_vi(vi)->is_warming = false;
}

int fl_ciul_transmit_open(fl_ciul_vi_t *own, int capacity)
{
    ef_vi *vi = own->vi;
    vi->vi_txq.mask = (uint32_t)capacity - 1;
    vi->vi_txq.ids = (uint32_t *)calloc((size_t)capacity, sizeof(uint32_t));
    own->sends = (fl_ciul_send_t *)calloc((size_t)capacity, sizeof(fl_ciul_send_t));
    vi->ops.transmit = fl_ciul_transmit_one;
    vi->ops.transmit_ctpio_fallback = fl_ciul_transmit_fallback_one;
    vi->ops.start_transmit_warm = fl_ciul_transmit_warm;
    vi->ops.stop_transmit_warm = fl_ciul_transmit_cool;
    if (own->is_ring)
    {
        vi->ops.transmitv = fl_ciul_ring_transmitv;
        vi->ops.transmitv_init = fl_ciul_ring_transmitv_init;
        vi->ops.transmit_push = fl_ciul_ring_transmit_push;
        vi->ops.transmit_pio = fl_ciul_transmit_pio;
        vi->ops.transmit_copy_pio = fl_ciul_transmit_copy_pio;
        vi->ops.transmitv_ctpio = fl_ciul_ring_transmitv_ctpio;
        vi->ops.transmitv_ctpio_copy = fl_ciul_ring_transmitv_ctpio_copy;
        vi->ops.transmitv_ctpio_fallback = fl_ciul_ring_transmitv_ctpio_fallback;
    }
    else
    {
        fl_ciul_transmit_fifo_ops(vi);
    }
    return NULL == vi->vi_txq.ids || NULL == own->sends ? -ENOMEM : 0;
}
