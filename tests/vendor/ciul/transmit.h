/* What both ways of sending share. */
#ifndef FL_CIUL_TRANSMIT_H
#define FL_CIUL_TRANSMIT_H

#include "vi_state.h"

/* What every function that sends begins with: fl_ciul_enter(). Aborts where a CTPIO send waits for its fallback. */
fl_ciul_vi_t *fl_ciul_transmit_enter(ef_vi *vi, const char *caller);

void fl_ciul_transmit_check_id(ef_request_id id, const char *caller);

/* Add one descriptor. A packet's last has the id, the others EF_REQUEST_ID_MASK. */
void fl_ciul_transmit_add(
    fl_ciul_vi_t *own, const uint8_t *data, size_t length, bool is_last, bool is_ctpio, ef_request_id id);

/* The packet from first up to own->sent has left: say so, in the event before where it can be. */
void fl_ciul_transmit_complete(fl_ciul_vi_t *own, uint32_t first);

/* Whether an error has stopped the queue: it says so once, and sends nothing until it is made anew. */
bool fl_ciul_transmit_fails(fl_ciul_vi_t *own);

/* Send what is in own->staging. 0, -EAGAIN, or -ENODEV once the adapter is gone. */
int fl_ciul_transmit_wire(fl_ciul_vi_t *own, size_t length);

/* Gather a CTPIO frame in own->staging, and in copy unless it is NULL. */
void fl_ciul_transmit_gather(fl_ciul_vi_t *own, size_t frame_len, const struct iovec *iov, int iov_len, void *copy);

void fl_ciul_transmit_fifo_ops(ef_vi *vi);

#endif
