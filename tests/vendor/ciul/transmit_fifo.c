/* Sending where an adapter has nothing but CTPIO (EFCT, EF10CT): every frame is copied into its FIFO, and credit comes
 * back with the completion. bypass-apis 1.11.
 */
#include <errno.h>
#include <string.h>

#include "transmit.h"

#define FL_CIUL_FIFO_BYTES 32768

/* Send what is in own->staging; its descriptor holds a length and no buffer. */
static int fl_ciul_fifo_send(fl_ciul_vi_t *own, size_t length, ef_request_id id)
{
    bool has_room = 0 < ef_vi_transmit_space(own->vi) && (int)length <= ef_vi_transmit_space_bytes(own->vi) &&
        !own->settings.has_no_credits;
    bool is_broken = has_room && fl_ciul_transmit_fails(own);
    if (!has_room || (!is_broken && fl_ciul_transmit_wire(own, length) < 0))
    {
        return -EAGAIN;
    }
    uint32_t first = own->sent;
    fl_ciul_transmit_add(own, NULL, 0, true, true, own->is_warming ? (ef_request_id)EF_REQUEST_ID_MASK : id);
    own->sends[(own->state.txq.added - 1) & own->vi->vi_txq.mask].length = (uint32_t)length;
    own->state.txq.ct_added += (uint32_t)length;
    own->state.txq.previous = own->state.txq.added;
    own->state.evq.min_unused_evq_slots--;
    if (!is_broken)
    {
        own->sent = own->state.txq.added;
        fl_ciul_transmit_complete(own, first);
    }
    return 0;
}

static int fl_ciul_fifo_transmitv(ef_vi *vi, const ef_iovec *iov, int iov_len, ef_request_id id)
{
    fl_ciul_vi_t *own = fl_ciul_transmit_enter(vi, "ef_vi_transmitv");
    fl_ciul_transmit_check_id(id, "ef_vi_transmitv");
    size_t length = 0;
    for (int i = 0; i < iov_len; i++)
    {
        if (sizeof(own->staging) < length + iov[i].iov_len)
        {
            fl_ciul_misuse("ef_vi_transmitv: a packet of more than %zu bytes", sizeof(own->staging));
        }
        memcpy(own->staging + length,
            fl_ciul_region_at(own->pd_id, iov[i].iov_base, iov[i].iov_len, "ef_vi_transmitv"), iov[i].iov_len);
        length += iov[i].iov_len;
    }
    int result = fl_ciul_fifo_send(own, length, id);
    fl_ciul_leave(own);
    return result;
}

static void fl_ciul_fifo_push(ef_vi *vi)
{
    (void)vi;
}

static void fl_ciul_fifo_ctpio_copy(
    ef_vi *vi, size_t frame_len, const struct iovec *iov, int iov_len, unsigned threshold, void *fallback)
{
    (void)threshold;
    fl_ciul_vi_t *own = fl_ciul_transmit_enter(vi, "ef_vi_transmitv_ctpio");
    fl_ciul_transmit_gather(own, frame_len, iov, iov_len, fallback);
    own->ctpio_went = !own->settings.ctpio_fails && 0 == fl_ciul_fifo_send(own, frame_len, 0);
    own->ctpio_waits = true;
    fl_ciul_leave(own);
}

static void fl_ciul_fifo_ctpio(
    ef_vi *vi, size_t frame_len, const struct iovec *iov, int iov_len, unsigned threshold)
{
    fl_ciul_fifo_ctpio_copy(vi, frame_len, iov, iov_len, threshold, NULL);
}

static int fl_ciul_fifo_fallback(ef_vi *vi, const ef_iovec *iov, int iov_len, ef_request_id id)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    if (!own->ctpio_waits)
    {
        fl_ciul_misuse("ef_vi_transmit_ctpio_fallback: no CTPIO send before it");
    }
    if (!own->ctpio_went)
    {
        int result = fl_ciul_fifo_transmitv(vi, iov, iov_len, id);
        own->ctpio_waits = 0 != result;
        return result;
    }
    own->ctpio_waits = false;
    if (!own->is_warming)
    {
        vi->vi_txq.ids[(own->state.txq.added - 1) & vi->vi_txq.mask] = (uint32_t)id;
    }
    return 0;
}

void fl_ciul_transmit_fifo_ops(ef_vi *vi)
{
    vi->vi_txq.ct_fifo_bytes = FL_CIUL_FIFO_BYTES;
    vi->ops.transmitv = fl_ciul_fifo_transmitv;
    vi->ops.transmitv_init = fl_ciul_fifo_transmitv;
    vi->ops.transmit_push = fl_ciul_fifo_push;
    vi->ops.transmitv_ctpio = fl_ciul_fifo_ctpio;
    vi->ops.transmitv_ctpio_copy = fl_ciul_fifo_ctpio_copy;
    vi->ops.transmitv_ctpio_fallback = fl_ciul_fifo_fallback;
}
