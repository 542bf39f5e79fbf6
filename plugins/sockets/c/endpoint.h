/* An endpoint: one socket, or two for a multicast publication, which sends to the data group from a socket of its
 * own and receives what is sent to the control group (wire 5.4). */
#ifndef FL_SOCKETS_ENDPOINT_H
#define FL_SOCKETS_ENDPOINT_H

#include "transport.h"

struct fl_endpoint
{
    fl_endpoint_base_t base;

    /* The poller's thread, once added. */
    int send_fd;
    int receive_fd;            /* equal to send_fd but for a multicast publication */
    int family;                /* AF_INET or AF_INET6 */
    bool is_connected;         /* the send socket is connected to the peer */
    bool is_wildcard;          /* received datagrams tell their local address, and a reply leaves from it */
    bool is_segmenting;        /* runs go out with UDP_SEGMENT */
    socklen_t peer_length;     /* 0: no peer */
    fl_address_t local;        /* where datagrams come to, unless is_wildcard */
    fl_socket_name_t peer_name;
    uint64_t generation;       /* the transport's */

    /* Written by the poller's thread, taken by the control thread in `events`: the errno for which the kernel
     * refused to segment, 0 if it did not. Relaxed: the value is all that is passed. */
    _Atomic int32_t segmentation_refused;

    /* The control thread. */
    uint32_t mtu_length;
    bool is_not_accelerated;   /* there is an accelerator, and it leaves a socket of this to the kernel */
    bool is_any_address;       /* opened with the wildcard: a new peer may need another source address */
    unsigned interface_index;  /* of multicast; 0: none in particular, or no multicast */
    fl_address_t interface_address;
    fl_address_t group;        /* that the receiving socket has joined */
    uint32_t ttl;
};

int fl_endpoint_open(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **endpoint);
int fl_endpoint_close(fl_endpoint_t *endpoint);
int fl_endpoint_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer);

/* Datagrams that the kernel dropped because the receive buffer was full. */
int64_t fl_endpoint_overflows(const fl_endpoint_t *endpoint);

/* If the kernel refused to segment since the last call, keep a note that says so. Thread: control. */
void fl_endpoint_report(fl_endpoint_t *endpoint);

/* If the interface of multicast was deleted and made again, join the group there and send there, and keep a note that
 * says so. The kernel forgets both with the interface, without a word to the socket. Thread: control. */
void fl_endpoint_follow_interface(fl_endpoint_t *endpoint);

/* Send: see transport.h. */
int fl_endpoint_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count);

#endif
