/* Send endpoints: where publications send to, and where their receivers' frames come in (wire 2.2, 9.1). */
#ifndef FL_SENDER_SEND_ENDPOINT_H
#define FL_SENDER_SEND_ENDPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/attachment.h"
#include "sender/destinations.h"
#include "sender/publication_table.h"
#include "sender/sender.h"
#include "sender/term_scan.h"

struct fl_send_endpoint
{
    fl_attachment_t attachment;             /* first: its sink is what the poller calls */
    fl_sender_t *sender;
    bool is_multicast;
    fl_destinations_t *destinations;        /* multi-destination; NULL: it sends to its peer */
    uint32_t max_run_segments;
    uint32_t max_run_length;
    fl_publication_table_t publications;
    _Atomic int64_t time_of_last_sm_ns;
    fl_peer_t peers[2];                     /* one in use by the transport, one for the next set_peer */
    uint32_t peer_index;
};

/* Take a run of control frames. Thread: the poller's, which is the sender's. */
void fl_send_endpoint_on_run(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns);

/* How long runs may be is the endpoint's to say. Thread: sender, or control before the publication is the sender's. */
void fl_send_endpoint_bound_runs(const fl_send_endpoint_t *endpoint, fl_scan_bounds_t *bounds);

/* Whether one receiver of several may go while the others stay. */
static inline bool fl_send_endpoint_has_group(const fl_send_endpoint_t *endpoint)
{
    return endpoint->is_multicast || NULL != endpoint->destinations;
}

/* The id of the destination that a receiver was given as, -1 if it was not. Thread: sender. */
static inline int64_t fl_send_endpoint_destination_of(
    const fl_send_endpoint_t *endpoint, int64_t receiver_id, const fl_address_t *source)
{
    const fl_destination_t *destination = NULL == endpoint->destinations
        ? NULL
        : fl_destinations_find_receiver(endpoint->destinations, receiver_id, source);
    return NULL == destination ? -1 : destination->id;
}

/* Send runs to wherever the endpoint sends: all that publications put on the wire goes through here. As the transport's
 * send; a negative result takes nothing. Runs that name a peer go there: those of response publications.
 * Thread: sender. */
static inline int fl_send_endpoint_send(fl_send_endpoint_t *endpoint, fl_run_t *runs, uint32_t count, int64_t now_ns)
{
    return __builtin_expect(NULL == endpoint->destinations, 1)
        ? fl_attachment_send(&endpoint->attachment, runs, count)
        : fl_destinations_send(endpoint->destinations, &endpoint->attachment, runs, count, now_ns);
}

#endif
