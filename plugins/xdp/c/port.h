/* An open port. */
#ifndef FL_XDP_PORT_H
#define FL_XDP_PORT_H

#include <framelane/linux_port.h>

#include "api/xdp.h"
#include "filters.h"
#include "program.h"
#include "queue.h"

#define FL_XDP_QUEUES_MAXIMUM 64

struct fl_port
{
    fl_linux_port_t base;
    fl_xdp_settings_t settings;
    fl_xdp_device_t device;        /* as it was at open */
    fl_xdp_program_t program;
    fl_xdp_filters_t filters;
    fl_xdp_facts_t facts;

    uint32_t socket_count;         /* queues of the device */
    fl_xdp_socket_t *sockets;
    fl_xdp_queue_t *queues;

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

/* -FL_ENODEV with its text. */
int fl_xdp_port_gone(const fl_port_t *port);

#endif
