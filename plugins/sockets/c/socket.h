/* One UDP socket, from creation to connection. Control thread, but for fl_socket_connect, which set_peer also calls. */
#ifndef FL_SOCKETS_SOCKET_H
#define FL_SOCKETS_SOCKET_H

#include "address.h"
#include "transport.h"

/* What a socket is to do. */
typedef struct fl_socket_plan
{
    const fl_endpoint_params_t *params;
    const fl_address_t *bind;     /* NULL: leave the address to the kernel */
    const fl_address_t *peer;     /* NULL: do not connect */
    bool receives;
    bool tells_local;             /* received datagrams say which local address they came to */
    bool coalesces;
} fl_socket_plan_t;

/* Make a socket: options, address, group, peer, in this order, so that nothing arrives before what it depends on is
 * set. A multicast `bind` is joined. Returns the descriptor, or negative FL_E* with the error text set. */
int fl_socket_open(const fl_transport_t *transport, const fl_socket_plan_t *plan);

/* Connect, and let nothing of others into the receive queue meanwhile. `rebind`: first forget the peer and the source
 * address that went with it; the port stays. Returns 0 or a negative errno. Does not block. */
int fl_socket_connect(int fd, const fl_name_t *peer, socklen_t length, bool rebind);

/* Ask for a buffer of `asked` bytes (0: leave the default) with SO_SNDBUF or SO_RCVBUF. Returns what was granted on
 * the same scale. The kernel doubles what it is asked for, to pay for its own structures, and reports the double;
 * granted is half of that, so that it compares with `asked` and with net.core.[rw]mem_max. The default is not doubled:
 * it is net.core.[rw]mem_default. */
uint32_t fl_socket_buffer(int fd, int option, uint32_t asked);

#endif
