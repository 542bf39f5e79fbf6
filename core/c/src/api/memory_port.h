/* A port in memory, for tests: frames are injected and taken as bytes, or two ports are each other's far end. */
#ifndef FL_API_MEMORY_PORT_H
#define FL_API_MEMORY_PORT_H

#include <framelane/host.h>
#include <framelane/types.h>

#include "api/common.h"

/* Attributes and sizes. A port is used by one thread, or by one for each queue and the control thread. */
typedef struct fl_memory_port_config
{
    uint32_t offloads;             /* FL_PORT_* of framelane/port.h */
    uint32_t queues;               /* 0: 1 */
    uint32_t mtu_length;           /* 0: 1500 */
    uint32_t interface_index;
    uint32_t headroom;             /* 0: 128 */
    uint32_t max_hold;             /* 0: 256 */
    uint32_t ring_length;          /* frames that wait at the receiving side, for each queue; 0: 512 */
    uint32_t buffers;              /* transmit buffers, for each queue; 0: 256 */
    uint32_t filters_groups;       /* 1: a multicast frame is received only if its group was joined */
    uint8_t mac[6];
    uint8_t reserved[2];
} fl_memory_port_config_t;

/* What goes wrong, and what a received frame says of itself besides its bytes. */
typedef struct fl_memory_port_faults
{
    uint32_t tx_alloc_limit;       /* most buffers of one tx_alloc; UINT32_MAX: no limit */
    uint32_t tx_burst_limit;       /* most frames that one tx_burst accepts; UINT32_MAX: no limit */
    uint32_t is_removed;           /* every call returns -FL_ENODEV */
    uint32_t checksum;             /* verdict on frames that arrive, FL_CHECKSUM_*; with FL_PORT_RX_CHECKSUM */
    uint32_t takes_vlan;           /* a tag is taken out of received frames */
    uint32_t clock;                /* FL_CLOCK_* of the timestamps on received frames, which are the host's time */
    uint32_t holds_completions;    /* tx_reap returns none */
    uint32_t loses_transmitted;    /* accepted frames vanish, for rates */
    uint32_t repeats_received;     /* a released frame arrives again, for rates */
} fl_memory_port_faults_t;

/* Where frames are, and what was done wrong with them. The sums are right at any time: a frame is in one place. */
typedef struct fl_memory_port_totals
{
    uint64_t injected;             /* by fl_memory_port_inject or the far port */
    uint64_t delivered;            /* by rx_burst */
    uint64_t released;
    uint64_t held;                 /* delivered and not released */
    uint64_t most_held;
    uint64_t overflows;            /* no room, or more than max_hold unreleased, at the receiving side */
    uint64_t filtered;             /* to a group that was not joined */
    uint64_t allocated;            /* transmit buffers handed out */
    uint64_t freed;                /* given back unsent */
    uint64_t transmitted;
    uint64_t outstanding;          /* transmit buffers handed out, neither sent nor given back */
    uint64_t bursts;               /* calls of tx_burst with at least one frame */
    uint64_t double_releases;      /* of received frames and of transmit buffers */
    uint64_t late_calls;           /* frames moved before start or after stop */
    uint64_t bad_frames;           /* transmitted with lengths, offsets or flags that the contract forbids */
} fl_memory_port_totals_t;

/* A transmitted frame besides its bytes. */
typedef struct fl_memory_port_sent
{
    uint32_t queue;
    uint32_t flags;                /* FL_TX_* as asked for; already carried out */
    uint32_t payload_length;       /* of the bytes, how many stood behind the payload pointer */
} fl_memory_port_sent_t;

/* Make a port: the object for fl_netstack_open, or for a test that calls its ops. `host` outlives it. Its close op
 * frees it. NULL with the error text set. */
void *fl_memory_port_new(const fl_memory_port_config_t *config, const fl_host_t *host);
const void *fl_memory_port_ops(void);

/* Make two ports each other's far end, until one of them is closed. What a port transmits then arrives there. */
void fl_memory_port_connect(void *a, void *b);

void fl_memory_port_set_faults(void *port, const fl_memory_port_faults_t *faults);
void fl_memory_port_totals(void *port, fl_memory_port_totals_t *totals);

/* Let the link go up (1) or down (0): an event says so; a port that is down loses what it transmits. */
void fl_memory_port_set_link(void *port, uint32_t is_up);

/* Put a frame into a queue of the receiving side. Returns 0, or -FL_ENOBUFS: no room; -FL_EMSGSIZE. */
int fl_memory_port_inject(void *port, uint32_t queue, const uint8_t *frame, uint32_t length);

/* Put the same frame in `count` times after changing it in up to `most` bytes each time: bits flipped, bytes set to
 * edge values, cut short, or nothing; drawn from `*seed`, which moves on. `poll` is called by the caller in between:
 * returns how many were put in, fewer than `count` if the ring is full. */
int fl_memory_port_inject_mutated(
    void *port, uint32_t queue, const uint8_t *frame, uint32_t length, uint32_t count, uint32_t most, uint64_t *seed);

/* Take the oldest transmitted frame of a port that is not connected. Returns its length, or 0: there is none. */
int fl_memory_port_take(void *port, uint8_t *frame, uint32_t capacity, fl_memory_port_sent_t *sent);

/* The filters that are set: copies up to capacity of them; returns how many there are. queues may be NULL. */
int fl_memory_port_filters(void *port, fl_address_t *addresses, uint32_t *queues, uint32_t capacity);
int fl_memory_port_groups(void *port, fl_address_t *groups, uint32_t capacity);

#endif
