/* The netstack: makes a datagram transport of a port (Ethernet device). Control plane's side. */
#ifndef FL_API_NETSTACK_H
#define FL_API_NETSTACK_H

#include <framelane/host.h>
#include <framelane/port.h>
#include <framelane/transport.h>

#include "api/common.h"

/* Who answers ARP and NDP, knows the routes and joins groups. */
#define FL_NETSTACK_KERNEL 1   /* the interface stays with Linux; the control plane feeds what netlink says */
#define FL_NETSTACK_OWN 2      /* the device was taken from Linux; addresses and routes are configured */

#define FL_NETSTACK_NO_UDP_CHECKSUM 1   /* IPv4: send 0 and do not verify */
#define FL_NETSTACK_LEAVE_OPEN 2        /* its close leaves the port open, for whoever opened it to close */

typedef struct fl_netstack_config
{
    uint32_t mode;                 /* FL_NETSTACK_KERNEL or FL_NETSTACK_OWN */
    uint32_t flags;                /* FL_NETSTACK_NO_UDP_CHECKSUM, FL_NETSTACK_LEAVE_OPEN */
    uint32_t vlan;                 /* 0xffff: untagged */
    uint32_t mtu_length;           /* longest IP packet; 0: the port's */
    uint32_t interface_index;      /* kernel mode: of the interface that has the addresses (the VLAN's, if there is
                                    * one) */
    uint32_t neighbour_capacity;   /* a power of two; 0: 1024 */
    uint32_t pending_capacity;     /* datagrams that may wait for neighbours, for each queue; 0: 64 */
    uint32_t reachable_ms;         /* own mode: how long a neighbour's answer counts, times 0.5 to 1.5; 0: 30 s */
    char interface_name[32];       /* kernel mode: reservations are bound to it; else empty */
    char name[32];                 /* of the transport */
} fl_netstack_config_t;

/* An address of the interface. */
typedef struct fl_interface_address
{
    fl_address_t address;          /* port 0 */
    uint32_t prefix_length;
    uint32_t reserved;
} fl_interface_address_t;

typedef struct fl_netstack_route
{
    fl_address_t network;          /* port 0 */
    fl_address_t gateway;          /* family FL_FAMILY_NONE: on link */
    fl_address_t source;           /* preferred; family FL_FAMILY_NONE: none */
    uint32_t prefix_length;
    uint32_t metric;
    uint32_t mtu_length;           /* 0: the interface's */
    uint32_t reserved;
} fl_netstack_route_t;

/* A line of the neighbour table, in both directions. */
typedef struct fl_netstack_neighbour
{
    fl_address_t address;          /* port 0 */
    uint8_t mac[6];
    uint16_t state;                /* FL_NEIGHBOUR_* of netstack/neighbours.h */
    int64_t used_ns;               /* last use by this driver, by the host's nano_clock; 0: never */
} fl_netstack_neighbour_t;

/* Ask a port what it is, before there is a netstack on it.
 *
 * port_ops, port   fl_port_ops_t * and fl_port_t * as the plugin returned them
 * name             of the transport, for messages
 * returns          0, or a negative FL_E* with the error text set: not a port, another ABI, a required entry missing,
 *                  or what the port says
 * thread           control
 */
int fl_port_attributes(const void *port_ops, void *port, const char *name, fl_port_attributes_t *attributes);

/* Turn a port into a datagram transport: fl_transport_t of fl_netstack_ops. Opens nothing itself: the port is open and
 * not started; the netstack starts and stops it, and closes it in its `close` unless it is to leave it open.
 *
 * port_ops, port   fl_port_ops_t * and fl_port_t *; ops are copied
 * host             outlives the netstack
 * queues           most queues to use; 0: as many as the port steers to
 * returns          NULL with the error text set: not a port, another ABI, a required entry missing, an MTU under 576,
 *                  no memory, or the port failed to start
 * thread           control
 */
fl_transport_t *fl_netstack_open(
    const void *port_ops, void *port, const fl_netstack_config_t *config, const fl_host_t *host, uint32_t queues);

/* The ops of one netstack (`queues` differs between them); valid until its close. */
const fl_transport_ops_t *fl_netstack_ops(fl_transport_t *netstack);

/* Replace the interface's addresses, or the routes. Thread: the feeding thread (one at a time); own mode: control. */
int fl_netstack_set_addresses(fl_transport_t *netstack, const fl_interface_address_t *addresses, uint32_t count);
int fl_netstack_set_routes(fl_transport_t *netstack, const fl_netstack_route_t *routes, uint32_t count);

/* Kernel mode: what netlink says of a neighbour; state FL_NEIGHBOUR_NONE removes it. Thread: the feeding thread. */
int fl_netstack_set_neighbour(fl_transport_t *netstack, const fl_netstack_neighbour_t *neighbour);

/* Kernel mode: take next hops that a poller wanted and did not find. Returns how many were written. The descriptor
 * becomes readable when there are any. Thread: the feeding thread. */
int fl_netstack_wishes(fl_transport_t *netstack, fl_address_t *next_hops, uint32_t capacity);
int fl_netstack_wish_descriptor(fl_transport_t *netstack);

/* Copy the neighbour table, for `used_ns` and for people. Returns how many there are; at most capacity are written.
 * Any thread but the pollers'. */
int fl_netstack_neighbours(fl_transport_t *netstack, fl_netstack_neighbour_t *neighbours, uint32_t capacity);

#endif
