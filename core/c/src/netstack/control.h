/* The control protocols of a netstack in own mode: ARP, NDP, ICMP and ICMPv6 echo, IGMP, MLD, and the neighbours'
 * ageing. In kernel mode Linux does all of this, and nothing of it is called.
 *
 * Everything here runs on the thread of queue 0's poller, except where it says otherwise; nothing allocates or blocks.
 * Time comes from the caller. Timers have the netstack's tick, 100 ms.
 */
#ifndef FL_NETSTACK_CONTROL_H
#define FL_NETSTACK_CONTROL_H

#include <framelane/host.h>

#include "netstack/addresses.h"
#include "netstack/counts.h"
#include "netstack/neighbours.h"
#include "netstack/packet.h"
#include "netstack/routes.h"

typedef struct fl_control fl_control_t;

/* Where frames leave: whole ones without VLAN tag, at most FL_CONTROL_FRAME_MAXIMUM bytes; copied before return. The
 * netstack adds the tag. Returns 0, or -FL_EAGAIN if there was no buffer: the protocol tries again at its next
 * timer. */
#define FL_CONTROL_FRAME_MAXIMUM 1514
typedef int (*fl_control_emit_t)(void *context, const uint8_t *frame, uint32_t length);

/* What the protocols work on; all outlives them. */
typedef struct fl_control_config
{
    uint8_t mac[FL_MAC_LENGTH];
    uint16_t reserved;
    uint32_t mtu_length;               /* longest IP packet */
    fl_addresses_t *addresses;
    fl_routes_t *routes;
    fl_neighbours_t *neighbours;
    fl_counts_t *counts;               /* of queue 0 */
    const fl_host_t *host;             /* random, log, and warnings for the user */
    fl_control_emit_t emit;
    void *emit_context;
    int64_t reachable_ns;              /* how long an answer counts, times 0.5 to 1.5; 0: 30 s */
} fl_control_config_t;

/* Make the protocols' state. NULL: no memory. Thread: control. */
fl_control_t *fl_control_new(const fl_control_config_t *config);
void fl_control_free(fl_control_t *control);

/* The link is up, for the first time or again: repeat membership reports, ask once whether somebody else has one of our
 * addresses, and announce them (three gratuitous ARPs or unsolicited advertisements a second apart). Also after the
 * addresses changed. */
void fl_control_start(fl_control_t *control, int64_t now_ns);

/* Take a received packet that is ARP, or IP for one of our addresses, a group or broadcast, and not UDP. Lengths, the
 * IP header's checksum and fragmentation were checked. Counts what it drops. */
void fl_control_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns);

/* Act on what is due. Returns the work done. Bounded: at most 64 neighbours are looked at a call, and 64 memberships of
 * each family reported. */
int fl_control_tick(fl_control_t *control, int64_t now_ns);

/* A poller wants this next hop: make its entry and ask for it, or do nothing if that is under way, or failed in the
 * last 20 s. */
void fl_control_resolve(fl_control_t *control, const fl_address_t *next_hop, int64_t now_ns);

/* Membership of a group, counted: the first join reports, the last leave leaves. Returns 0, or -FL_ENOSPC: more than
 * FL_CONTROL_GROUPS different ones. 224.0.0.1 and ff02::1 are never reported. */
#define FL_CONTROL_GROUPS 256
int fl_control_join(fl_control_t *control, const fl_address_t *group, int64_t now_ns);
void fl_control_leave(fl_control_t *control, const fl_address_t *group, int64_t now_ns);

/* Whether frames to the group are wanted: joined, or all-hosts, or one of our solicited-node groups. */
bool fl_control_wants_group(fl_control_t *control, const fl_address_t *group);

#endif
