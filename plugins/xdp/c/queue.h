/* A queue of the port: the frame I/O of one thread. It has the socket of the device queue of its number; queue 0 also
 * those of all device queues that no other queue of the port has, so that no frame waits where nobody looks.
 */
#ifndef FL_XDP_QUEUE_H
#define FL_XDP_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "counters.h"
#include "socket.h"

/* Frames of several buffers are put together in these; so many may be held at once. */
#define FL_XDP_ASSEMBLIES 512

typedef struct fl_xdp_queue
{
    _Alignas(64) fl_xdp_socket_t **sockets;   /* of the port; the first one transmits */
    uint32_t socket_count;
    uint32_t next_socket;          /* where the next burst begins: sockets take turns */
    bool is_multi_buffer;
    bool is_entered;
    uint32_t frame_maximum;        /* bytes */
    uint8_t *assemblies;           /* of assembly_stride bytes each; with multi-buffer frames only */
    uint32_t assembly_stride;
    uint32_t assembly_free_count;
    uint16_t *assembly_free;       /* stack of numbers */
    int sleep_fd;                  /* epoll over the sockets; -1 with one socket, which then is it */
    _Atomic int *loss;             /* of the port */
    _Atomic int64_t counters[FL_QUEUE_COUNTERS];
} fl_xdp_queue_t;

/* Make a queue over sockets that are open. Returns 0 or negative errno. Thread: control. */
int fl_xdp_queue_open(
    fl_xdp_queue_t *queue,
    fl_xdp_socket_t *const *sockets,
    uint32_t socket_count,
    uint32_t mtu_length,
    _Atomic int *loss);
void fl_xdp_queue_close(fl_xdp_queue_t *queue);

/* As in port.h. Thread: queue. */
int fl_xdp_queue_receive(fl_xdp_queue_t *queue, fl_rx_frame_t *frames, uint32_t capacity);
void fl_xdp_queue_release(fl_xdp_queue_t *queue, const fl_rx_frame_t *frames, uint32_t count);
int fl_xdp_queue_allocate(fl_xdp_queue_t *queue, fl_tx_frame_t *frames, uint32_t count);
void fl_xdp_queue_free(fl_xdp_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_xdp_queue_transmit(fl_xdp_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_xdp_queue_reap(fl_xdp_queue_t *queue);
int fl_xdp_queue_arm(fl_xdp_queue_t *queue);

#endif
