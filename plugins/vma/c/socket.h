/* One UDP socket of VMA, from creation to connection. Control thread, but for fl_socket_connect. */
#ifndef FL_VMA_SOCKET_H
#define FL_VMA_SOCKET_H

#include "transport.h"

/* What a socket is to do. */
typedef struct fl_socket_plan
{
    const fl_endpoint_params_t *params;
    const fl_address_t *bind;     /* NULL: leave the address to the kernel */
    const fl_address_t *peer;     /* NULL: do not connect */
    bool receives;
} fl_socket_plan_t;

/* Make a socket: ring, options, address, group, peer, in this order, so that nothing arrives before what it depends on
 * is set. Its ring is one for sockets of its role, so that sender and receiver, which are different threads, do not
 * wait for each other in VMA. A multicast `bind` is joined. Returns the descriptor, or negative FL_E* with the error
 * text set. */
int fl_socket_open(const fl_transport_t *transport, const fl_socket_plan_t *plan);

/* Ask for a buffer of `asked` bytes (0: leave the default) with SO_SNDBUF or SO_RCVBUF. Returns what was granted, on
 * the same scale: the kernel reports the double of what it was asked for. */
uint32_t fl_socket_buffer(const fl_transport_t *transport, int fd, int option, uint32_t asked);

#endif
