/* A queue of the port: one virtual interface, with the memory of its buffers. The frame I/O of one thread.
 *
 * Memory: receive buffers, then transmit buffers, all of one stride, none across a page of 4 KiB, which is how far DMA
 * addresses are contiguous (bypass 1.8). With shared queues there are transmit buffers only: received frames are in the
 * adapter's own.
 */
#ifndef FL_EFVI_QUEUE_H
#define FL_EFVI_QUEUE_H

#include <framelane/errors.h>

#include "api/efvi.h"
#include "compat.h"
#include "counters.h"
#include "gate.h"
#include "wanted.h"

/* Where a transmitted frame begins in its buffer: the IP header is aligned to 4 bytes, IPv4's UDP payload to 64. */
#define FL_EFVI_TRANSMIT_OFFSET 22
/* Bytes of a frame besides its IP packet: Ethernet header and one VLAN tag. */
#define FL_EFVI_FRAME_OVERHEAD 18
/* The adapter takes receive buffers eight at a time. */
#define FL_EFVI_REFILL 8
/* Events of one poll, and the frames that they may tell of beyond what the caller has room for. */
#define FL_EFVI_EVENTS 32
#define FL_EFVI_PENDING (FL_EFVI_EVENTS * EF_VI_RECEIVE_BATCH)

/* How a transmitted frame went to the adapter. */
enum
{
    FL_EFVI_BY_DMA,
    FL_EFVI_BY_CTPIO,
    FL_EFVI_BY_PIO
};

/* Why a virtual interface can be used no more. */
enum
{
    FL_EFVI_ALIVE,
    FL_EFVI_RESET,         /* the adapter was reset or taken out */
    FL_EFVI_OVERFLOW,      /* its event queue overflowed */
    FL_EFVI_TX_STOPPED,    /* the adapter stopped its transmit queue, and this release cannot restart it */
    FL_EFVI_GONE           /* the interface is gone */
};

typedef struct fl_efvi_queue
{
    /* Receiving. */
    _Alignas(64) uint8_t *memory;
    uint32_t stride;               /* bytes of a buffer: 2048 or 4096 */
    uint32_t rx_count;             /* receive buffers; 0 with shared queues */
    uint32_t rx_free_count;
    uint32_t *rx_free;             /* stack of those that neither adapter nor caller has; with shared queues: packets to
                                    * be released when the gate is open again */
    uint32_t prefix;               /* bytes before a received frame */
    uint32_t frame_room;           /* bytes that a receive buffer has for it */
    bool is_shared;
    bool is_stamped;
    bool needs_push;               /* transmit descriptors wait for ef_vi_transmit_push */
    uint8_t transmit;              /* FL_EFVI_CTPIO, _PIO or _DMA */
    uint32_t pending_at;
    uint32_t pending_count;
    fl_rx_frame_t *pending;        /* received and not yet taken */
    fl_efvi_wanted_t wanted;       /* of the filters; looked at with shared queues */

    /* Transmitting. */
    uint32_t tx_count;
    uint32_t tx_free_count;
    uint32_t *tx_free;             /* stack of buffers: the last one used is the first reused */
    uint8_t *tx_way;               /* of each buffer in flight, FL_EFVI_BY_... */
    uint16_t *tx_pio_length;       /* of the PIO region that it occupies, bytes */
    uint32_t dma_outstanding;      /* frames that the adapter has yet to read: CTPIO waits for them */
    uint32_t ctpio_threshold;
    uint32_t pio_length;
    uint32_t pio_head;             /* where the region's next frame begins, and where its oldest one does */
    uint32_t pio_used;             /* bytes between, what was left out at the end included */
    bool is_ctpio_only;

    fl_efvi_gate_t gate;
    _Atomic int64_t counters[FL_EFVI_COUNTER_LIMIT];
    _Atomic int *death;            /* of the port: FL_EFVI_ALIVE or why it died; relaxed, for it says all there is to
                                    * say */

    /* Set-up. */
    ef_vi vi;
    ef_driver_handle handle;       /* of its own, so that a thread can sleep on it */
    ef_memreg registration;
    ef_pio pio;
    uint64_t memory_length;        /* as mapped */
    bool is_huge;
    bool has_vi;
    bool has_registration;
    bool has_pio;
} fl_efvi_queue_t;

/* What all queues of a port have in common. */
typedef struct fl_efvi_plan
{
    const fl_efvi_settings_t *settings;
    const fl_efvi_abilities_t *abilities;
    ef_pd *pd;
    ef_driver_handle pd_handle;
    uint32_t mtu_length;
    bool merges_events;            /* written back: the licence asked for it */
    uint8_t transmit;              /* FL_EFVI_CTPIO, _PIO or _DMA; written back: what it came to */
    _Atomic int *death;
    char *note;                    /* what is not as it was asked for */
    size_t note_length;
} fl_efvi_plan_t;

/* Allocate the virtual interface, map and register its memory, and post the receive buffers. Thread: control. */
int fl_efvi_queue_open(fl_efvi_queue_t *queue, fl_efvi_plan_t *plan, fl_failure_t *error);
void fl_efvi_queue_close(fl_efvi_queue_t *queue);

/* As in port.h. Thread: queue. */
int fl_efvi_queue_receive(fl_efvi_queue_t *queue, fl_rx_frame_t *frames, uint32_t capacity);
void fl_efvi_queue_release(fl_efvi_queue_t *queue, const fl_rx_frame_t *frames, uint32_t count);
int fl_efvi_queue_allocate(fl_efvi_queue_t *queue, fl_tx_frame_t *frames, uint32_t count);
void fl_efvi_queue_free(fl_efvi_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_efvi_queue_transmit(fl_efvi_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_efvi_queue_reap(fl_efvi_queue_t *queue);
int fl_efvi_queue_arm(fl_efvi_queue_t *queue);

/* Post receive buffers, as many as there are and fit, in batches of FL_EFVI_REFILL. */
void fl_efvi_queue_refill(fl_efvi_queue_t *queue);

/* Take an event about transmission. */
void fl_efvi_queue_complete(fl_efvi_queue_t *queue, const ef_event *event);

static inline ef_addr fl_efvi_queue_address(fl_efvi_queue_t *queue, const void *data)
{
    return ef_memreg_dma_addr(&queue->registration, (size_t)((const uint8_t *)data - queue->memory));
}

static inline uint8_t *fl_efvi_queue_tx_buffer(const fl_efvi_queue_t *queue, uint32_t buffer)
{
    return queue->memory + (uint64_t)(queue->rx_count + buffer) * queue->stride;
}

static inline void fl_efvi_queue_die(fl_efvi_queue_t *queue, int cause)
{
    atomic_store_explicit(queue->death, cause, memory_order_relaxed);
}

#endif
