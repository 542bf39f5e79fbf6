/* The endpoints and groups that a port takes from the kernel. Control thread alone. */
#ifndef FL_XDP_FILTERS_H
#define FL_XDP_FILTERS_H

#include <framelane/port_filters.h>

#include "api/xdp.h"
#include "rules.h"

typedef struct fl_xdp_filter_entry
{
    fl_port_filter_t base;
    fl_address_t source;       /* family FL_FAMILY_NONE: any; the port is not looked at */
    struct ethtool_rx_flow_spec rule;   /* that was inserted for it; flow_type 0: none */
} fl_xdp_filter_entry_t;

typedef struct fl_xdp_filters
{
    const char *interface;
    int map;                   /* FL_XDP_MAP_FILTERS of the program */
    int device;                /* for ioctls */
    int groups;                /* packet socket that holds group memberships of the device */
    uint32_t index;
    uint32_t queues;           /* of the started port: with more than one, each filter has an ntuple rule */
    uint32_t count;
    uint32_t capacity;
    fl_xdp_filter_entry_t *entries;
    fl_xdp_rules_t rules;      /* notes of the entries' rules, in the same places */
} fl_xdp_filters_t;

/* No filters. To be called before anything else. */
void fl_xdp_filters_init(fl_xdp_filters_t *filters);

/* Make ready for an interface, with a descriptor for ioctls and the program's map, which both outlive the filters. */
int fl_xdp_filters_open(
    fl_xdp_filters_t *filters, const char *interface, uint32_t index, int device, int map, fl_failure_t *error);

/* Take off what a killed driver left; and with keeps_rules, note the rules that are made from now on. See
 * fl_xdp_rules_open. */
int fl_xdp_filters_remember(fl_xdp_filters_t *filters, const char *directory, bool keeps_rules, fl_failure_t *error);

/* As add_filter, remove_filter, join_group and leave_group of port.h. */
int fl_xdp_filters_add(
    fl_xdp_filters_t *filters, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source,
    fl_failure_t *error);
int fl_xdp_filters_remove(
    fl_xdp_filters_t *filters, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source,
    fl_failure_t *error);
int fl_xdp_filters_join(fl_xdp_filters_t *filters, const fl_address_t *group, fl_failure_t *error);
int fl_xdp_filters_leave(fl_xdp_filters_t *filters, const fl_address_t *group, fl_failure_t *error);

/* Give everything back to the kernel. is_device_there: false if the device is gone, so that another one that has its
 * name by now is left alone. */
void fl_xdp_filters_close(fl_xdp_filters_t *filters, bool is_device_there);

#endif
