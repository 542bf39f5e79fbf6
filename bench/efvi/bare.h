/* A virtual interface and its buffers, with ef_vi's own calls alone: the bare loop, and the far end. */
#ifndef FL_EFVI_BARE_H
#define FL_EFVI_BARE_H

#include <etherfabric/efct_vi.h>
#include <etherfabric/memreg.h>
#include <etherfabric/pd.h>
#include <etherfabric/vi.h>

#include "cost.h"

typedef struct fl_bare
{
    ef_driver_handle handle;
    ef_pd pd;
    ef_vi vi;
    ef_memreg region;
    ef_filter_cookie cookie;
    uint8_t *memory;                    /* receive buffers, then transmit buffers */
    bool is_shared;                     /* receives from shared queues and sends by CTPIO; else descriptor rings and
                                         * DMA */
    uint32_t prefix;                    /* bytes before a received frame */
    uint32_t receive_buffers;
    uint32_t receive_free;
    uint32_t transmit_free;
    uint32_t receive_stack[FL_COST_RECEIVE_BUFFERS];
    uint32_t transmit_stack[FL_COST_TRANSMIT_BUFFERS];
} fl_bare_t;

void fl_bare_open(fl_bare_t *bare, const char *interface, const fl_address_t *address);
void fl_bare_close(fl_bare_t *bare);

/* Poll once; read what arrived, give its buffers back, and take completions. Returns the frames that were good. */
uint32_t fl_bare_receive(fl_bare_t *bare, fl_floor_work_t *work);

/* Make and send `count` frames. Returns how many were taken. */
uint32_t fl_bare_transmit(fl_bare_t *bare, fl_floor_work_t *work, uint32_t count);

#endif
