/* An open port. */
#ifndef FL_XDP_PORT_H
#define FL_XDP_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "api/xdp.h"
#include "filters.h"
#include "program.h"
#include "queue.h"

#define FL_XDP_QUEUES_MAXIMUM 64

struct fl_port
{
    const fl_host_t *host;
    fl_xdp_settings_t settings;
    fl_xdp_device_t device;        /* as it was at open */
    fl_xdp_program_t program;
    fl_xdp_filters_t filters;
    fl_xdp_facts_t facts;
    pid_t pid;                     /* a forked child does nothing to the device */
    int control;                   /* for ioctls; in the interface's network namespace */

    uint32_t socket_count;         /* queues of the device */
    uint32_t queue_count;          /* started; 0: not started */
    fl_xdp_socket_t *sockets;
    fl_xdp_queue_t *queues;

    /* Written by housekeeping and by the queues, read by events: relaxed, for each says all there is to say. */
    _Atomic bool is_dead;
    _Atomic bool has_link;
    bool is_dead_reported;
    bool has_link_reported;
    bool is_note_reported;
    bool is_gap_reported;          /* queues that came after opening, and have no socket */
    int64_t checked_ns;            /* when events last looked whether the program is there */

    int64_t closed_counters[FL_QUEUE_COUNTERS];   /* of queues that were stopped */
};

/* Make queues over the port's sockets and let frames in; end that. Thread: control. */
int fl_xdp_port_start(fl_port_t *port, uint32_t queues);
int fl_xdp_port_stop(fl_port_t *port);

/* events, stats and housekeeping of port.h. */
int fl_xdp_port_events(fl_port_t *port, fl_event_t *events, uint32_t capacity);
int fl_xdp_port_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity);
int fl_xdp_port_housekeeping(fl_port_t *port, int64_t now_ns);

/* Hand the error's text to the host. Returns code. */
int fl_xdp_port_fail(const fl_port_t *port, int code, const fl_xdp_error_t *error);

/* -FL_ENODEV with its text. */
int fl_xdp_port_gone(const fl_port_t *port);

static inline bool fl_xdp_port_is_dead(const fl_port_t *port)
{
    return atomic_load_explicit(&port->is_dead, memory_order_relaxed);
}

#endif
