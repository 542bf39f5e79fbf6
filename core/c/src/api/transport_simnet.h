/* The in-memory network: transports of several hosts in one process, on one clock, without faults of its own. */
#ifndef FL_API_TRANSPORT_SIMNET_H
#define FL_API_TRANSPORT_SIMNET_H

#include "api/transport.h"

typedef struct fl_simnet fl_simnet_t;

/* Datagrams that no endpoint got. */
typedef struct fl_simnet_totals
{
    int64_t delivered;
    int64_t no_host;           /* nobody has the destination address */
    int64_t no_endpoint;       /* nobody is bound there */
    int64_t buffer_full;       /* the receiver's buffer was full */
} fl_simnet_totals_t;

/* Make a network. Everything on it is used by one thread. A datagram can be polled latency_ns after it was sent, by
 * `clock`, which outlives the network. NULL: no memory. */
fl_simnet_t *fl_simnet_new(fl_clock_t *clock, int64_t latency_ns);

/* Free the network, after its transports were closed. */
void fl_simnet_free(fl_simnet_t *net);

/* Change the latency for what is sent from now on; what was sent before never arrives later than it. */
void fl_simnet_set_latency(fl_simnet_t *net, int64_t latency_ns);

/* When the next datagram arrives that did not yet, in nanoseconds of the clock; INT64_MAX if none is under way. */
int64_t fl_simnet_next_arrival(fl_simnet_t *net);
void fl_simnet_totals(fl_simnet_t *net, fl_simnet_totals_t *totals);

/* Attach a host with up to eight addresses (ports are ignored), which nobody else has; loopback addresses are every
 * host's own. The result is the object for fl_binding_new; its close op frees it.
 * NULL with the error text set. */
fl_transport_t *fl_simnet_attach(
    fl_simnet_t *net, const fl_host_t *host, const fl_address_t *addresses, uint32_t address_count);
const void *fl_simnet_ops(void);

#endif
