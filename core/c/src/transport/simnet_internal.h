/* The simulated network's own structs, shared by simnet.c (hosts, endpoints, pollers) and simnet_io.c (datagrams). */
#ifndef FL_TRANSPORT_SIMNET_INTERNAL_H
#define FL_TRANSPORT_SIMNET_INTERNAL_H

#include <stdbool.h>

#include "transport/simnet.h"

/* What left and has not arrived: it fills the send buffer. */
typedef struct fl_sim_sent
{
    int64_t due_ns;
    uint32_t length;
} fl_sim_sent_t;

struct fl_endpoint
{
    fl_transport_t *host;
    fl_endpoint_t *next;             /* on the host */
    fl_poller_t *poller;
    fl_endpoint_t *next_on_poller;
    void *context;
    uint32_t flags;
    bool is_closed;                  /* only waits for its last run to be released */
    fl_address_t local;              /* bytes zero: wildcard; of a multicast receiver: the group */
    fl_address_t group;              /* that is received from; family none: no group */
    fl_address_t peer;               /* family none: none */
    fl_address_t source;             /* interface's address; family none: chosen by the destination */
    /* The receive buffer: released <= polled <= written, in bytes ever. */
    uint8_t *ring;
    uint64_t ring_length;
    uint64_t released;
    uint64_t polled;
    uint64_t written;
    uint32_t unreleased;             /* runs */
    /* The send buffer. */
    uint32_t send_buffer_length;
    uint32_t in_flight;              /* bytes */
    uint32_t sent_first;
    uint32_t sent_count;
    fl_sim_sent_t sent[FL_SIMNET_SENDS_IN_FLIGHT];
};

struct fl_poller
{
    fl_transport_t *host;
    fl_poller_t *next;
    uint32_t queue;
    fl_endpoint_t *endpoints;        /* the one whose turn it is comes first */
};

struct fl_transport
{
    fl_simnet_t *net;
    fl_transport_t *next;
    const fl_host_t *host;
    fl_address_t addresses[FL_SIMNET_HOST_ADDRESSES];
    uint32_t address_count;
    uint16_t next_port;
    fl_endpoint_t *endpoints;
    fl_poller_t *pollers;
};

struct fl_simnet
{
    fl_clock_t *clock;
    int64_t latency_ns;
    int64_t last_due_ns;             /* nothing overtakes: due times never decrease */
    fl_transport_t *hosts;
    fl_simnet_totals_t totals;
};

/* Whether a host has the address; loopback addresses are every host's own. */
bool fl_sim_host_has(const fl_transport_t *host, const fl_address_t *address);

/* Free an endpoint that was closed, once its last run is released. */
void fl_sim_endpoint_free_if_done(fl_endpoint_t *endpoint);

/* Put an endpoint behind the others of its poller. */
void fl_sim_append(fl_poller_t *poller, fl_endpoint_t *endpoint);

int fl_sim_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count);
int fl_sim_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity);
void fl_sim_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count);

#endif
