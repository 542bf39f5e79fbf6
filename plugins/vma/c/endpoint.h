/* An endpoint: one socket, or two for a multicast publication, which sends to the data group from a socket of its own
 * and receives what is sent to the control group (wire 5.4). */
#ifndef FL_VMA_ENDPOINT_H
#define FL_VMA_ENDPOINT_H

#include "transport.h"

struct fl_endpoint
{
    fl_endpoint_base_t base;

    /* The poller's thread, once added. */
    int send_fd;
    int receive_fd;            /* equal to send_fd but for a multicast publication */
    bool is_connected;         /* the send socket is connected to the peer */
    bool hears_peer_only;      /* datagrams of others are dropped */
    bool is_zero_copy;
    bool has_peer;
    uint32_t held;             /* packets of VMA that came to this endpoint and are not released */
    struct sockaddr_in peer_name;
    fl_address_t local;        /* where datagrams come to; the wildcard: not known */

    /* The control thread. */
    struct sockaddr_in first_peer;   /* as it was when open returned; peer_name follows set_peer, on the poller's
                                      * thread */
    fl_offload_t offload;
};

int fl_endpoint_open(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **endpoint);
int fl_endpoint_close(fl_endpoint_t *endpoint);
int fl_endpoint_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer);

/* Ask VMA anew about an endpoint of which it did not know, and log a warning if it is not offloaded. Control thread. */
void fl_endpoint_review(fl_endpoint_t *endpoint);

/* Send: see transport.h. */
int fl_endpoint_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count);

#endif
