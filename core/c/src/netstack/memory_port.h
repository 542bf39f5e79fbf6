/* The port in memory: its structs, shared by memory_port.c (life and control), memory_queue.c (the ops of a queue's
 * thread) and memory_wire.c (what goes in and out). */
#ifndef FL_NETSTACK_MEMORY_PORT_H
#define FL_NETSTACK_MEMORY_PORT_H

#include <pthread.h>
#include <stdbool.h>

#include <framelane/port.h>

#include "api/memory_port.h"

#define FL_MEMORY_PORT_FILTERS 4096
#define FL_MEMORY_PORT_GROUPS 512
#define FL_MEMORY_PORT_REGIONS 64
#define FL_MEMORY_PORT_EVENTS 16

/* A piece of memory for one frame. It begins 2 bytes before an address that is aligned to 64. */
typedef struct fl_memory_slot
{
    uint8_t *data;
    uint32_t length;
    bool is_out;                     /* at the netstack: held, or allocated */
    uint8_t checksum;                /* received: FL_CHECKSUM_*, as the faults were when it arrived */
    fl_memory_port_sent_t sent;
} fl_memory_slot_t;

/* Slots: those that are free, and those that wait, in order. */
typedef struct fl_memory_ring
{
    fl_memory_slot_t *slots;
    uint8_t *memory;
    uint32_t count;
    uint32_t *vacant;                /* a stack of slots */
    uint32_t vacant_count;
    uint32_t *waiting;               /* a queue of slots */
    uint32_t waiting_first;
    uint32_t waiting_count;
} fl_memory_ring_t;

typedef struct fl_memory_queue
{
    fl_memory_ring_t received;
    fl_memory_ring_t transmit;
    fl_completion_t *completions;
    uint32_t completion_first;
    uint32_t completion_count;
    uint32_t held;
    int descriptor;                  /* eventfd */
    bool is_armed;
} fl_memory_queue_t;

typedef struct fl_memory_filter
{
    fl_address_t address;
    uint32_t queue;
    uint32_t vlan;
} fl_memory_filter_t;

typedef struct fl_memory_region
{
    const uint8_t *memory;
    size_t length;
} fl_memory_region_t;

struct fl_port
{
    fl_memory_port_config_t config;
    const fl_host_t *host;
    struct fl_port *far;             /* NULL: transmitted frames wait in `sent` */
    pthread_mutex_t mutex;           /* of everything below, which the far port's thread uses too */
    bool is_started;
    bool has_started;
    bool is_up;
    fl_memory_port_faults_t faults;
    fl_memory_port_totals_t totals;
    fl_memory_queue_t *queues;
    fl_memory_ring_t sent;
    fl_memory_filter_t *filters;
    uint32_t filter_count;
    fl_address_t groups[FL_MEMORY_PORT_GROUPS];
    uint32_t group_count;
    fl_memory_region_t regions[FL_MEMORY_PORT_REGIONS];
    fl_event_t events[FL_MEMORY_PORT_EVENTS];
    uint32_t event_count;
    bool said_removed;
};

int fl_memory_ring_init(fl_memory_ring_t *ring, uint32_t count, uint32_t length);
void fl_memory_ring_destroy(fl_memory_ring_t *ring);

static inline uint32_t fl_memory_frame_maximum(const fl_port_t *port)
{
    const uint32_t whole = port->config.mtu_length + 18;
    return whole > port->config.headroom ? whole : port->config.headroom;
}

/* Put a slot behind those that wait, and take the first of them: FL_MEMORY_NO_SLOT if there is none. */
#define FL_MEMORY_NO_SLOT UINT32_MAX
void fl_memory_ring_append(fl_memory_ring_t *ring, uint32_t slot);
uint32_t fl_memory_ring_take(fl_memory_ring_t *ring);

/* Let a transmitted frame arrive where it goes: at the far port, here, or in `sent`. The port's mutex is not held.
 * Returns false if there is no room in `sent`. */
bool fl_memory_transmit(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frame);

/* Put a frame into a queue; the mutex is held. Returns 0 or -FL_ENOBUFS. */
int fl_memory_arrive(fl_port_t *port, uint32_t queue, const uint8_t *frame, uint32_t length);

static inline bool fl_memory_port_is_dead(const fl_port_t *port)
{
    return 0 != port->faults.is_removed;
}

/* Whether frames may move now; who moves them at another time is counted. */
static inline bool fl_memory_port_moves(fl_port_t *port)
{
    port->totals.late_calls += !port->is_started;
    return port->is_started;
}

/* The ops of a queue's thread. */
int fl_memory_rx_burst(fl_port_t *port, uint32_t queue, fl_rx_frame_t *frames, uint32_t capacity);
void fl_memory_rx_release(fl_port_t *port, uint32_t queue, const fl_rx_frame_t *frames, uint32_t count);
int fl_memory_tx_alloc(fl_port_t *port, uint32_t queue, fl_tx_frame_t *frames, uint32_t count);
void fl_memory_tx_free(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_memory_tx_burst(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_memory_tx_reap(fl_port_t *port, uint32_t queue, fl_completion_t *completions, uint32_t capacity);
int fl_memory_arm(fl_port_t *port, uint32_t queue);
int fl_memory_disarm(fl_port_t *port, uint32_t queue);

#endif
