/* One UDP socket, from creation to connection. Control thread, but for fl_socket_connect, which set_peer also calls. */
#ifndef FL_SOCKETS_SOCKET_H
#define FL_SOCKETS_SOCKET_H

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

/* The interface for multicast: the index if it is given, else that of the given address, else 0 for any. An endpoint
 * that names no group may do with an address that is on no interface, such as another one of 127.0.0.0/8. Returns 0 or
 * a negative FL_E* with the error text set. */
int fl_socket_interface(const fl_transport_t *transport, const fl_endpoint_params_t *params, unsigned *index);

/* The index of the interface that has the address, 0 if none has. */
unsigned fl_interface_of(const fl_address_t *address);

/* Send and receive multicast on another interface: the one that was made again in place of one that was deleted. Of the
 * plan, params->interface_address, params->ttl and `bind` are looked at; a multicast `bind` is joined anew. Any state
 * of the socket that is not named stays. Returns 0 or a negative FL_E* with the error text set. */
int fl_socket_move(
    const fl_transport_t *transport, int fd, const fl_socket_plan_t *plan, unsigned from_index, unsigned to_index);

/* Connect, and let nothing of others into the receive queue meanwhile. `rebind`: first forget the peer and the source
 * address that went with it; the port stays. Returns 0 or a negative errno. Does not block. */
int fl_socket_connect(int fd, const fl_socket_name_t *peer, socklen_t length, bool rebind);

/* Ask for a buffer of `asked` bytes (0: leave the default) with SO_SNDBUF or SO_RCVBUF. Returns what was granted on
 * the same scale. The kernel doubles what it is asked for, to pay for its own structures, and reports the double;
 * granted is half of that, so that it compares with `asked` and with net.core.[rw]mem_max. The default is not doubled:
 * it is net.core.[rw]mem_default. */
uint32_t fl_socket_buffer(int fd, int option, uint32_t asked);

#endif
