/* An AF_XDP socket: one queue of the device, with frame memory and four rings of its own.
 *
 * The memory is cut into chunks: the first `receive_chunks` go round between the fill ring, the receive ring and
 * whoever holds a frame; the others are transmit buffers. The fill ring has room for every receive chunk and the
 * transmit ring for every transmit buffer, so that giving back or sending never fails.
 */
#ifndef FL_XDP_SOCKET_H
#define FL_XDP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include <xdp/xsk.h>

#include <framelane/errors.h>

#include "api/xdp.h"

/* The kernel keeps this much of a chunk in front of a received frame. */
#define FL_XDP_RECEIVE_HEADROOM 256
/* Where a transmitted frame begins in its buffer: the IP header is aligned to 4 bytes, IPv4's UDP payload to 64. */
#define FL_XDP_TRANSMIT_OFFSET 22
/* Bytes of a frame besides its IP packet: Ethernet header and one VLAN tag. */
#define FL_XDP_FRAME_OVERHEAD 18
/* Descriptors that the kernel takes in one call by default in copy mode. */
#define FL_XDP_KICK_LIMIT 32

/* How memory and rings are laid out, the same for every socket of a port. */
typedef struct fl_xdp_layout
{
    uint32_t chunk_length;         /* 2048 or 4096 */
    uint32_t receive_chunks;
    uint32_t buffer_chunks;        /* of one transmit buffer; 1 unless frames span several */
    uint32_t transmit_buffers;
    uint32_t ring_size;
    bool is_multi_buffer;
} fl_xdp_layout_t;

typedef struct fl_xdp_socket
{
    /* Used in every burst, by the queue's thread. */
    _Alignas(64) struct xsk_ring_cons receive;
    struct xsk_ring_prod fill;
    struct xsk_ring_prod transmit;
    struct xsk_ring_cons completion;
    uint8_t *memory;
    uint64_t *free_buffers;        /* stack of transmit buffers, by address: the last one used is the first reused */
    uint32_t free_count;
    uint32_t outstanding;          /* descriptors given to the kernel and not yet complete */
    uint32_t completed;            /* since the last kick that moved nothing */
    uint32_t patience;             /* cycles to wait before the next such kick */
    bool is_stalled;               /* the last kick moved nothing */
    bool is_link_down;             /* it said so */
    bool is_zero_copy;
    bool uses_need_wakeup;
    bool is_busy_polled;
    bool can_transmit;
    int fd;
    uint8_t *descriptors_left;     /* of each transmit buffer in flight; with multi-buffer frames only */

    /* Set-up. */
    fl_xdp_layout_t layout;
    uint32_t device_queue;
    uint64_t memory_length;        /* as mapped */
    struct xsk_umem *umem;
    struct xsk_socket *handle;
} fl_xdp_socket_t;

/* The layout for IP packets of this length. */
void fl_xdp_layout_init(fl_xdp_layout_t *layout, uint32_t ring_size, uint32_t mtu_length);

/* Make the memory, and a socket bound to the device queue; transmit chunks only with can_transmit. With copy
 * FL_XDP_AUTO, zero-copy is tried first if may_zero_copy; why it was not to be had is appended to note. */
int fl_xdp_socket_open(
    fl_xdp_socket_t *socket,
    const fl_xdp_layout_t *layout,
    const fl_xdp_settings_t *settings,
    uint32_t device_queue,
    bool can_transmit,
    bool may_zero_copy,
    char *note,
    size_t note_length,
    fl_failure_t *error);

void fl_xdp_socket_close(fl_xdp_socket_t *socket);

#endif
