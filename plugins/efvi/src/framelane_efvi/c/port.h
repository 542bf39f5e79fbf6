/* An open port. */
#ifndef FL_EFVI_PORT_H
#define FL_EFVI_PORT_H

#include <framelane/linux_port.h>

#include "device.h"
#include "filters.h"
#include "queue.h"

#define FL_EFVI_QUEUES_MAXIMUM 16

/* Types that Aeron reserves for counters of ef_vi besides those of figures (bypass 6.8). */
#define FL_EFVI_COUNTER_PORT_INFO 50
#define FL_EFVI_COUNTER_TRANSPORT 51

struct fl_port
{
    fl_linux_port_t base;          /* its loss is FL_EFVI_ALIVE, or why the device is lost */
    fl_efvi_settings_t settings;
    fl_efvi_device_t device;       /* as it was at open */
    fl_efvi_abilities_t abilities;
    fl_efvi_facts_t facts;
    fl_efvi_filters_t filters;
    uint8_t mac[6];

    ef_driver_handle handle;       /* of the protection domain */
    ef_pd pd;
    bool has_pd;
    uint32_t open_count;           /* queues that are open */
    fl_efvi_queue_t *queues;
    int64_t *link_counter;         /* 1 with link; NULL where the host has no room for counters */
};

/* Give everything back; -FL_EBUSY while a queue is in use. */
int fl_efvi_port_close(fl_port_t *port);

/* events, stats and housekeeping of port.h. */
int fl_efvi_port_events(fl_port_t *port, fl_event_t *events, uint32_t capacity);
int fl_efvi_port_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity);
int fl_efvi_port_housekeeping(fl_port_t *port, int64_t now_ns);

/* -FL_ENODEV with its text. */
int fl_efvi_port_gone(const fl_port_t *port);

#endif
