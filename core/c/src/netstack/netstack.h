/* The netstack's own structs: the transport over a port, its pollers and endpoints.
 *
 * netstack.c (open, close, feeding, figures), endpoint.c and reserve.c (control), poller.c (duties and life of a
 * poller), demux.c and receive.c (frames in), header.c, pending.c and send.c (frames out). Contracts are in
 * api/netstack.h.
 */
#ifndef FL_NETSTACK_NETSTACK_H
#define FL_NETSTACK_NETSTACK_H

#include <stdatomic.h>
#include <stdbool.h>

#include <framelane/port.h>
#include <framelane/transport.h>

#include "api/netstack.h"
#include "netstack/addresses.h"
#include "netstack/control.h"
#include "netstack/counts.h"
#include "netstack/headers.h"
#include "netstack/neighbours.h"
#include "netstack/port_ops.h"
#include "netstack/routes.h"

#define FL_NETSTACK_BURST 64                 /* frames moved by one call of the port */
#define FL_NETSTACK_QUEUES 64
#define FL_NETSTACK_FLOWS 512                /* a power of two */
#define FL_NETSTACK_BUCKETS 256              /* a power of two */
#define FL_NETSTACK_HOLDS 256                /* held runs under way on one poller; a power of two */
#define FL_NETSTACK_REGIONS 64
#define FL_NETSTACK_WISHES 64                /* a power of two */
#define FL_NETSTACK_RUN_SEGMENTS 64
#define FL_NETSTACK_RUN_LENGTH 65536
#define FL_NETSTACK_MTU_MINIMUM 576
#define FL_NETSTACK_HEADER_ROOM 80           /* most header bytes, rounded up so that they are stamped in whole words */
#define FL_NETSTACK_HEAD 256                 /* bytes of a frame within which all headers must lie */
#define FL_NETSTACK_UNICAST_TTL 64
#define FL_NETSTACK_MULTICAST_TTL 1
#define FL_NETSTACK_PENDING_PER_NEIGHBOUR 3
#define FL_NETSTACK_PENDING_NS INT64_C(3000000000)
#define FL_NETSTACK_ADDRESS_GROUPS (2 * FL_INTERFACE_ADDRESSES + 2)
#define FL_NETSTACK_FIRST_PORT 49152         /* of those given for port 0 in own mode */
#define FL_NETSTACK_LAST_PORT 65535

/* ---- frames out: headers ---- */

/* Headers of one endpoint to one peer, kept while nothing that they were made from changed. All but the fields that
 * depend on the length of the datagram stands in `bytes`. */
typedef struct fl_header
{
    uint8_t bytes[FL_NETSTACK_HEADER_ROOM];
    uint64_t generation;             /* of the netstack when it was made; 0: none is */
    uint32_t slot;                   /* of the neighbour: it is used */
    fl_address_t peer;
    fl_address_t local;              /* asked for by the run; family none: not */
    uint32_t length;                 /* bytes of headers: 42 to 62 */
    uint8_t l2_length;
    uint8_t l3_length;
    uint16_t flags;                  /* FL_TX_* */
    uint32_t most_payload;           /* that the route's MTU allows */
    uint32_t payload;                /* the length that `bytes` is set to; UINT32_MAX: none yet */
    uint64_t ip_sum;                 /* of the IPv4 header without length and checksum */
    uint64_t udp_sum;                /* of pseudo-header and UDP header without lengths and checksum */
    uint64_t sum;                    /* of all that is checksummed but the payload, for `payload` */
    bool has_checksum;               /* UDP's is computed here */
} fl_header_t;

/* What a peer's cache holds. */
typedef struct fl_way
{
    uint8_t mac[FL_MAC_LENGTH];
    uint16_t mtu_length;
    uint32_t endpoint_id;
    uint32_t slot;                   /* of the neighbour */
    uint8_t source[16];
    uint8_t hop_limit;
    uint8_t reserved[15];
} fl_way_t;

static_assert(sizeof(fl_way_t) == sizeof(((fl_peer_t *)0)->cache), "fl_way_t");

/* ---- endpoints ---- */

/* An address at which an endpoint receives, in a poller's table. */
typedef struct fl_listener
{
    struct fl_listener *next;
    fl_endpoint_t *endpoint;
    fl_address_t address;            /* bytes zero: any of ours */
} fl_listener_t;

/* A filter that the port holds for an endpoint. */
typedef struct fl_filter
{
    fl_address_t address;
    uint32_t queue;
} fl_filter_t;

struct fl_endpoint
{
    fl_transport_t *netstack;
    fl_endpoint_t *next;             /* control */
    uint32_t id;                     /* never 0 */
    uint32_t flags;
    uint32_t role;
    uint32_t ttl;                    /* of multicast */
    uint32_t most_payload;           /* that the interface's MTU allows */
    fl_address_t local;              /* bytes zero: wildcard */
    fl_address_t group;              /* received from; family none: no group */
    fl_address_t source;             /* unicast source that was asked for; family none: the route's; port is local's */
    _Atomic(const fl_peer_t *) connected;
    fl_peer_t first_peer;            /* that of open_endpoint */
    bool hears_peer_only;            /* connected, and the peer is no group */
    /* Control. */
    fl_filter_t *filters;
    uint32_t filter_count;
    uint32_t filter_capacity;
    bool joined_port;
    bool joined_control;
    int sockets[2];                  /* kernel mode: what reserves the local address, and the group; -1: none */
    _Atomic uint32_t queue;          /* of the poller that it was last put on; the filters follow */
    /* The poller's thread. */
    _Atomic(fl_poller_t *) poller;
    void *context;
    uint32_t held;                   /* runs with FL_RUN_HOLD under way */
    fl_listener_t listeners[2];
    fl_header_t header;              /* last used */
};

/* ---- pollers ---- */

/* Frames of one UDP flow, recognised by their headers' words: what the demultiplexer found for them. */
typedef struct fl_flow
{
    uint64_t words[4];               /* of the frame, masked; see receive.c */
    uint32_t ports;
    bool is_fast;                    /* words are set: untagged IPv4 without options */
    bool has_timestamps;             /* the endpoint asked for them */
    uint64_t addresses_sum;
    uint64_t pseudo;                 /* sum of pseudo-header and ports, without lengths */
    fl_endpoint_t *endpoint;         /* NULL: not valid, or a group that several endpoints hear */
    void *context;
    uint64_t turn;                   /* poll in which a run last pointed here */
    fl_peer_t peer;
    fl_address_t local;
} fl_flow_t;

/* Where a run points if the flow's place in the table is taken by another one of the same poll. */
typedef struct fl_spill
{
    fl_peer_t peer;
    fl_address_t local;
} fl_spill_t;

/* A datagram that waits for its neighbour. */
typedef struct fl_pending
{
    fl_endpoint_t *endpoint;
    fl_address_t destination;
    fl_address_t local;              /* asked for by the run; family none: not */
    fl_address_t next_hop;
    int64_t queued_ns;
    uint32_t length;
    uint8_t *data;
} fl_pending_t;

/* A held run. */
typedef struct fl_hold
{
    fl_endpoint_t *endpoint;
    uint64_t token;
    uint32_t frames;                 /* not yet completed */
    int32_t status;
    bool is_void;                    /* nothing of it is under way, so nothing comes back */
} fl_hold_t;

/* Next hops that a poller wants; one producer, one consumer. */
typedef struct fl_wishes
{
    _Atomic uint32_t tail;
    _Atomic uint32_t head;
    fl_address_t entries[FL_NETSTACK_WISHES];
} fl_wishes_t;

/* Which part of a burst belongs to which run. */
typedef struct fl_burst_part
{
    fl_run_t *run;
    fl_hold_t *hold;
    uint32_t frames;
    bool points;                     /* at the run's memory */
} fl_burst_part_t;

struct fl_poller
{
    fl_transport_t *netstack;
    const fl_port_ops_t *ops;
    fl_port_t *port;
    fl_counts_t *counts;
    uint32_t queue;
    uint32_t roles;
    uint64_t generation;             /* that flows and pending datagrams were last looked at with */
    int64_t tick_ns;
    uint32_t membership;             /* version of the groups that was applied */
    uint32_t announced;              /* version of `announce` that was acted on */
    uint32_t endpoint_count;
    /* Receive. */
    uint64_t turn;                   /* counts polls */
    uint32_t held;                   /* runs not yet released */
    uint32_t burst;                  /* most frames of one poll */
    bool is_plain;                   /* each run of the last poll is one frame, from plain_first on */
    uint32_t plain_first;
    uint32_t next;                   /* of frames: the first not yet looked at, or not yet with all its listeners */
    uint32_t taken;                  /* frames that the port gave */
    fl_rx_frame_t frames[FL_NETSTACK_BURST];
    uint8_t references[FL_NETSTACK_BURST];             /* runs that hold each */
    fl_listener_t *carry;            /* who gets frames[next] in the next poll, while others have it; NULL: nobody */
    fl_run_t carried;                /* its run */
    fl_flow_t *flows;
    fl_spill_t spills[FL_NETSTACK_BURST];
    fl_listener_t *buckets[FL_NETSTACK_BUCKETS];
    uint8_t *control_frame;          /* copy of a frame for the control protocols */
    /* Send. */
    uint32_t ready;                  /* transmit buffers in out[] */
    uint32_t filled;                 /* of them with a frame in it */
    uint32_t part_count;
    bool has_payloads;               /* some frame in out[] points at a payload */
    fl_tx_frame_t out[FL_NETSTACK_BURST];
    fl_burst_part_t parts[FL_NETSTACK_BURST];
    fl_pending_t *pending;
    uint32_t pending_count;
    fl_wishes_t *wishes;
    uint32_t hold_tail;
    uint32_t hold_head;
    fl_hold_t holds[FL_NETSTACK_HOLDS];
};

/* ---- the transport ---- */

typedef struct fl_membership
{
    fl_address_t group;
    _Atomic uint32_t wanted;         /* joins less leaves; control */
    _Atomic uint32_t applied;        /* queue 0's poller */
} fl_membership_t;

/* Registered memory; length and id are written before the memory. */
typedef struct fl_region
{
    _Atomic uintptr_t memory;        /* 0: the entry is free */
    size_t length;
    uint64_t id;
} fl_region_t;

struct fl_transport
{
    fl_transport_ops_t ops;
    fl_port_ops_t port_ops;
    fl_port_t *port;
    const fl_host_t *host;
    fl_netstack_config_t config;     /* complete */
    fl_port_attributes_t attributes;
    uint32_t queues;
    _Atomic uint64_t generation;
    _Atomic int64_t now_ns;
    _Atomic bool is_lost;
    _Atomic uint32_t announce;       /* raised when the link came up or addresses changed */
    fl_addresses_t addresses;
    fl_routes_t routes;
    fl_neighbours_t neighbours;
    fl_control_t *control;           /* own mode; queue 0's poller */
    fl_counts_t *counts;             /* one for each queue */
    _Atomic(fl_poller_t *) *pollers; /* one for each queue */
    fl_wishes_t *wishes;             /* likewise */
    int wish_fd;
    _Atomic uint32_t membership;     /* version of `memberships` */
    fl_membership_t memberships[FL_CONTROL_GROUPS];
    fl_region_t regions[FL_NETSTACK_REGIONS];
    _Atomic uint16_t port_users[2][65536];   /* endpoints of each port: [0] senders, [1] receivers */
    /* Control. */
    fl_endpoint_t *endpoints;
    uint32_t next_id;
    fl_address_t address_groups[FL_NETSTACK_ADDRESS_GROUPS];   /* own mode: joined on the port for the addresses */
    uint32_t address_group_count;
    bool is_started;
    bool said_removed;
    _Atomic uint32_t addresses_version;
    uint32_t filters_version;        /* of the addresses that wildcard filters were made for */
    uint32_t said_version;           /* of the addresses that an event told of */
};

/* Note what a port's call returned. Returns it; -FL_ENODEV makes the netstack lost for good. Any thread. */
static inline int fl_netstack_note(fl_transport_t *netstack, int result)
{
    if (__builtin_expect(-FL_ENODEV == result, 0))
    {
        /* Relaxed: the flag publishes nothing else. */
        atomic_store_explicit(&netstack->is_lost, true, memory_order_relaxed);
    }
    return result;
}

static inline bool fl_netstack_is_lost(fl_transport_t *netstack)
{
    return atomic_load_explicit(&netstack->is_lost, memory_order_relaxed);
}

static inline bool fl_netstack_is_own(const fl_transport_t *netstack)
{
    return FL_NETSTACK_OWN == netstack->config.mode;
}

static inline int64_t fl_netstack_now(fl_transport_t *netstack)
{
    return atomic_load_explicit(&netstack->now_ns, memory_order_relaxed);
}

/* Acquire: pairs with the release of whoever changed a neighbour, a route or an address. */
static inline uint64_t fl_netstack_generation(fl_transport_t *netstack)
{
    return atomic_load_explicit(&netstack->generation, memory_order_acquire);
}

/* ---- endpoint.c and reserve.c: control ---- */

int fl_netstack_open_endpoint(fl_transport_t *netstack, fl_endpoint_params_t *params, fl_endpoint_t **endpoint);
int fl_netstack_close_endpoint(fl_endpoint_t *endpoint);
int fl_netstack_local_address(fl_endpoint_t *endpoint, fl_address_t *address);
int fl_netstack_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer);

/* Follow the interface's addresses and the endpoints' pollers with the port's filters. Thread: control. */
void fl_netstack_follow_filters(fl_transport_t *netstack);

/* Take the endpoint's `local` (port 0: any free one, written) and, if it has a family, its `group`. */
int fl_netstack_reserve(fl_endpoint_t *endpoint);
void fl_netstack_unreserve(fl_endpoint_t *endpoint);

/* Join and leave on the port and, in own mode, tell the poller of queue 0. */
int fl_netstack_join(fl_endpoint_t *endpoint);
void fl_netstack_leave(fl_endpoint_t *endpoint);

/* Own mode: join the groups on the port that the interface's addresses need. */
void fl_netstack_follow_groups(fl_transport_t *netstack);

/* ---- poller.c ---- */

int fl_netstack_poller_open(fl_transport_t *netstack, uint32_t queue, uint32_t roles, fl_poller_t **poller);
int fl_netstack_poller_enter(fl_poller_t *poller);
int fl_netstack_poller_leave(fl_poller_t *poller);
int fl_netstack_poller_close(fl_poller_t *poller);
int fl_netstack_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context);
int fl_netstack_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint);
int fl_netstack_arm(fl_poller_t *poller);
int fl_netstack_disarm(fl_poller_t *poller);

/* What is due besides frames: timers, wishes, memberships, datagrams that wait. Thread: poller. */
void fl_poller_duties(fl_poller_t *poller);

/* Tell whoever resolves that a next hop is wanted. Thread: poller. */
void fl_poller_wish(fl_poller_t *poller, const fl_address_t *next_hop);

/* Send a frame of the control protocols; fl_control_emit_t with the netstack as context. */
int fl_poller_emit(void *netstack, const uint8_t *frame, uint32_t length);

/* ---- demux.c ---- */

void fl_demux_add(fl_poller_t *poller, fl_endpoint_t *endpoint);
void fl_demux_remove(fl_poller_t *poller, fl_endpoint_t *endpoint);

/* Find who receives at a local address, exactly or by wildcard: the first listener, NULL if nobody does. Further ones
 * of a group follow by fl_demux_next. */
fl_listener_t *fl_demux_find(fl_poller_t *poller, const fl_address_t *local);
fl_listener_t *fl_demux_next(fl_listener_t *listener, const fl_address_t *local);

/* ---- receive.c ---- */

int fl_netstack_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity);
void fl_netstack_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count);

/* Give back the frames that were not handed out; those that runs hold stay held. */
void fl_receive_abandon(fl_poller_t *poller);

/* Before an endpoint goes: hand nothing more to it. */
void fl_receive_forget(fl_poller_t *poller, const fl_endpoint_t *endpoint);

/* Forget what was found for flows: endpoints or addresses changed. Runs that point at them stay valid. */
void fl_flows_clear(fl_poller_t *poller);

/* ---- header.c ---- */

/* Make endpoint->header that of (peer, local) unless it is, and find the way first where the peer's cache is too old.
 *
 * local     source that the run asks for, or NULL
 * returns   0; -FL_EAGAIN: the neighbour is not known, `next_hop` says which; -FL_EHOSTUNREACH, -FL_ENETUNREACH,
 *           -FL_EADDRNOTAVAIL, -FL_EAFNOSUPPORT
 */
int fl_header_make(
    fl_poller_t *poller, fl_endpoint_t *endpoint, const fl_peer_t *peer, const fl_address_t *local, uint64_t generation,
    fl_address_t *next_hop);

/* Set the fields that depend on the length of the payload. */
void fl_header_set_payload(fl_header_t *header, uint32_t payload);

/* ---- pending.c ---- */

/* Keep a datagram until its neighbour is known. Returns 0, or -FL_EAGAIN: too many wait. */
int fl_pending_add(
    fl_poller_t *poller, fl_endpoint_t *endpoint, const fl_address_t *destination, const fl_address_t *local,
    const fl_address_t *next_hop, const uint8_t *data, uint32_t length);

/* Try all that wait again. */
void fl_pending_retry(fl_poller_t *poller);

/* Do so if a neighbour may be known now: what waits goes before what is sent next. */
static inline void fl_pending_follow(fl_poller_t *poller, uint64_t generation)
{
    if (0 != poller->pending_count && generation != poller->generation)
    {
        poller->generation = generation;
        fl_flows_clear(poller);
        fl_pending_retry(poller);
    }
}

/* Drop those of an endpoint, or of all if it is NULL. */
void fl_pending_drop(fl_poller_t *poller, const fl_endpoint_t *endpoint);

/* ---- send.c ---- */

int fl_netstack_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count);

/* Send one datagram with the endpoint's header. Returns 0, or -FL_EAGAIN and so on. */
int fl_send_one(fl_poller_t *poller, fl_endpoint_t *endpoint, const uint8_t *data, uint32_t length);

/* Have `wanted` transmit buffers ready, as far as the port has them. Returns how many are, or a negative FL_E*. */
int fl_send_make_ready(fl_poller_t *poller, uint32_t wanted);

/* Give unused transmit buffers back. */
void fl_send_return_buffers(fl_poller_t *poller);

/* ---- hold.c ---- */

/* Begin to hold a run. NULL: too many are held. */
fl_hold_t *fl_hold_take(fl_poller_t *poller, fl_endpoint_t *endpoint, uint64_t token);

/* Find the registered memory that a run lies in. Returns whether there is any. */
bool fl_hold_region(fl_transport_t *netstack, const fl_run_t *run, uint64_t *region);

int fl_netstack_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity);

#endif
