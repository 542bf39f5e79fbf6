/* A poller: the endpoints of one agent, and the entries that their datagrams come in.
 *
 * An entry is a buffer and a peer. VMA writes into the buffer either a datagram, or where in its own memory the
 * datagram lies; that memory is given back when the run is released. The host gives every run back before it polls
 * again, so that each poll finds all entries free.
 */
#ifndef FL_VMA_POLLER_H
#define FL_VMA_POLLER_H

#include <netinet/in.h>

#include <framelane/receive_buffers.h>

#include "transport.h"

typedef struct fl_receive_entry
{
    uint8_t *buffer;
    fl_endpoint_t *holder;   /* its packet of VMA's is in use; NULL: the datagram was copied */
    fl_peer_t peer;
    fl_address_t local;
} fl_receive_entry_t;

struct fl_poller
{
    fl_poller_base_t base;
    uint32_t entry_count;
    fl_receive_entry_t *entries;
    fl_receive_buffers_t buffers;
    uint8_t *gathering;        /* of FL_RECEIVE_BUFFER_LENGTH: where pieces are put together */

    _Atomic int64_t counters[FL_POLLER_COUNTERS] __attribute__((aligned(64)));
};

int fl_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller);
int fl_poller_enter(fl_poller_t *poller);
int fl_poller_leave(fl_poller_t *poller);
int fl_poller_close(fl_poller_t *poller);
int fl_poller_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity);
void fl_poller_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count);

#endif
