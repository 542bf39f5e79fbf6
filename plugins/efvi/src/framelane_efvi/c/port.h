/* An open port. */
#ifndef FL_EFVI_PORT_H
#define FL_EFVI_PORT_H

#include <sys/types.h>

#include "device.h"
#include "filters.h"
#include "queue.h"

#define FL_EFVI_QUEUES_MAXIMUM 16

/* Types that Aeron reserves for counters of ef_vi besides those of figures (bypass 6.8). */
#define FL_EFVI_COUNTER_PORT_INFO 50
#define FL_EFVI_COUNTER_TRANSPORT 51

struct fl_port
{
    const fl_host_t *host;
    fl_efvi_settings_t settings;
    fl_efvi_device_t device;       /* as it was at open */
    fl_efvi_abilities_t abilities;
    fl_efvi_facts_t facts;
    fl_efvi_filters_t filters;
    uint8_t mac[6];
    pid_t pid;                     /* a forked child does nothing to the device */
    int control;                   /* for ioctls; in the interface's network namespace */

    ef_driver_handle handle;       /* of the protection domain */
    ef_pd pd;
    bool has_pd;
    uint32_t open_count;           /* queues that are open */
    uint32_t queue_count;          /* started; 0: not started */
    fl_efvi_queue_t *queues;
    int64_t *link_counter;         /* 1 with link; NULL where the host has no room for counters */

    /* Written by housekeeping and by the queues, read by events: relaxed, for each says all there is to say. */
    _Atomic int death;             /* FL_EFVI_ALIVE, or why the device is lost */
    _Atomic bool has_link;
    bool is_dead_reported;
    bool has_link_reported;
    bool is_note_reported;
};

/* Give everything back; -FL_EBUSY while a queue is in use. */
int fl_efvi_port_close(fl_port_t *port);

/* events, stats and housekeeping of port.h. */
int fl_efvi_port_events(fl_port_t *port, fl_event_t *events, uint32_t capacity);
int fl_efvi_port_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity);
int fl_efvi_port_housekeeping(fl_port_t *port, int64_t now_ns);

/* Hand the error's text to the host. Returns code. */
int fl_efvi_port_fail(const fl_port_t *port, int code, const fl_efvi_error_t *error);

/* -FL_ENODEV with its text. */
int fl_efvi_port_gone(const fl_port_t *port);

static inline bool fl_efvi_port_is_dead(const fl_port_t *port)
{
    return FL_EFVI_ALIVE != atomic_load_explicit(&port->death, memory_order_relaxed);
}

#endif
