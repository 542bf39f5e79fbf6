/* What the control protocols of a netstack share. */
#ifndef FL_NETSTACK_CONTROL_INTERNAL_H
#define FL_NETSTACK_CONTROL_INTERNAL_H

#include "netstack/checksum.h"
#include "netstack/control.h"
#include "netstack/limit.h"
#include "transport/address.h"

#define FL_SECOND_NS INT64_C(1000000000)
#define FL_NEVER_NS INT64_MAX

/* ---- memberships (membership.c): IGMP and MLD differ in their bytes only ---- */

#define FL_ROBUSTNESS 2   /* how often a change is reported */
#define FL_GROUPS_LIMIT (FL_CONTROL_GROUPS + FL_INTERFACE_ADDRESSES)
#define FL_MEMBERSHIP_BATCH 64

/* Record types of IGMPv3 and MLDv2 (RFC 3376 4.2.12). */
#define FL_RECORD_IS_EXCLUDE 2
#define FL_RECORD_TO_INCLUDE 3
#define FL_RECORD_TO_EXCLUDE 4

typedef struct fl_group
{
    fl_address_t address;
    uint32_t joins;            /* of endpoints */
    bool is_solicited_node;    /* of one of our addresses */
    bool is_leaving;           /* nobody wants it any more; stays until that was said */
    bool is_silent;            /* never reported */
    uint8_t changes_left;      /* how often to say still that it was joined or left */
    int64_t change_ns;         /* when to say so next */
    int64_t response_ns;       /* when to answer a query; FL_NEVER_NS: none is open */
} fl_group_t;

typedef struct fl_group_record
{
    uint8_t type;
    const fl_address_t *group;
} fl_group_record_t;

/* One family's bytes. */
typedef struct fl_membership_protocol
{
    uint8_t ip_protocol;
    uint8_t report_type;           /* a report of records; goes to `routers` */
    uint8_t old_report_type;       /* of the older version; goes to the group itself */
    uint8_t old_leave_type;        /* of the older version; goes to `all_routers` */
    uint32_t address_length;
    uint32_t old_length;           /* of the older version's messages, which end in the group */
    fl_address_t routers;
    fl_address_t all_routers;
} fl_membership_protocol_t;

extern const fl_membership_protocol_t fl_igmp_protocol;
extern const fl_membership_protocol_t fl_mld_protocol;

typedef struct fl_membership
{
    const fl_membership_protocol_t *protocol;
    int64_t older_until_ns;    /* an older querier was heard: its version is spoken; FL_NEVER_NS: none */
    int64_t general_ns;        /* when to answer a general query */
} fl_membership_family_t;

struct fl_control
{
    fl_control_config_t config;
    uint32_t announcements_left;
    uint32_t announce_index;       /* of the address that is next in this round */
    int64_t announce_ns;
    fl_limit_t answers;            /* ARP replies and advertisements */
    fl_limit_t echoes;
    fl_limit_t duplicate_notes;
    fl_limit_t mtu_notes;
    fl_limit_t full_notes;
    uint32_t neighbour_cursor;
    uint32_t group_count;
    fl_membership_family_t memberships[2];    /* IPv4, IPv6 */
    fl_group_t groups[FL_GROUPS_LIMIT];
};

void fl_membership_init(fl_control_t *control);

/* Report all groups afresh, with the solicited-node groups of the addresses that there are now. */
void fl_membership_start(fl_control_t *control, int64_t now_ns);
int fl_membership_tick(fl_control_t *control, int64_t now_ns);

/* Whether a solicited-node group was not reported yet. */
bool fl_membership_is_settling(const fl_control_t *control);

/* A query was heard: for a group, or by the wildcard for all. Returns false if it asks nothing of us. */
bool fl_membership_query(
    fl_control_t *control, const fl_address_t *group, bool is_older, int64_t max_response_ns, int64_t now_ns);

/* A report in the older version was heard. Another host's, to the group itself, speaks for us. Returns false if it does
 * not, or we had nothing to say. */
bool fl_membership_heard(fl_control_t *control, const fl_packet_t *packet, const fl_address_t *group);

/* Say something (membership_message.c). Each returns 0, or what emit returned. */
#define FL_MEMBERSHIP_REPORT_LENGTH 8   /* in front of the records */

static inline uint32_t fl_membership_record_length(const fl_membership_protocol_t *protocol)
{
    return 4 + protocol->address_length;
}

int fl_membership_say(
    fl_control_t *control, const fl_membership_protocol_t *protocol, const fl_group_record_t *records, uint32_t count);
int fl_membership_say_old(
    fl_control_t *control, const fl_membership_protocol_t *protocol, const fl_group_record_t *record);

/* ---- frames (control_frame.c) ---- */

typedef struct fl_control_frame
{
    uint8_t bytes[FL_CONTROL_FRAME_MAXIMUM];
    uint32_t l4_offset;            /* where the message begins */
    fl_address_t source;
    fl_address_t destination;
    uint8_t protocol;
} fl_control_frame_t;

/* Whether two MAC addresses are equal; whether one can be a sender's. */
static inline bool fl_mac_is_same(const uint8_t *a, const uint8_t *b)
{
    return 0 == memcmp(a, b, FL_MAC_LENGTH);
}

static inline bool fl_mac_is_unicast(const uint8_t *mac)
{
    static const uint8_t zeros[FL_MAC_LENGTH];
    return 0 == (mac[0] & 1) && !fl_mac_is_same(mac, zeros);
}

/* Write the MAC address of a group (RFC 1112, RFC 2464). */
void fl_control_group_mac(const fl_address_t *group, uint8_t mac[FL_MAC_LENGTH]);

/* Write the solicited-node group of an IPv6 address (RFC 4291 2.7.1). */
void fl_control_solicited_node(const fl_address_t *address, fl_address_t *group);

/* Begin an IP packet. With a router alert the IPv4 option or the IPv6 hop-by-hop header is put in. Returns where the
 * message goes, and in capacity how long it may be. */
uint8_t *fl_control_frame_begin(
    fl_control_t *control, fl_control_frame_t *frame, const uint8_t *mac, const fl_address_t *source,
    const fl_address_t *destination, uint8_t protocol, uint8_t hop_limit, bool has_router_alert, uint32_t *capacity);

/* Complete lengths and checksums, the message's at its byte 2, and send. Returns what emit returned. */
int fl_control_frame_send(fl_control_t *control, fl_control_frame_t *frame, uint32_t length);

/* ---- neighbours (control.c) ---- */

/* A neighbour spoke to us and named its MAC address: who asks us will be spoken to. Only neighbours on our networks are
 * learnt, new ones into half of the table at most, so that strangers push nothing out. */
void fl_control_learn(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns);

/* A neighbour answered what was asked. NULL mac: the answer named none. Returns false if nothing was asked. */
bool fl_control_confirm(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns);

/* Somebody said, not to us, that a neighbour has this MAC address: if it contradicts what is known, ask. Returns false
 * if it does not. */
bool fl_control_suspect(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns);

/* Somebody else claims one of our addresses. */
void fl_control_duplicate(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns);

static inline void fl_control_count(fl_control_t *control, fl_count_t count)
{
    fl_counts_add(control->config.counts, count, 1);
}

static inline uint64_t fl_control_random(fl_control_t *control, uint64_t limit)
{
    return control->config.host->random(control->config.host) % limit;
}

/* ---- the protocols ---- */

void fl_arp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns);
/* NULL mac: to everybody. */
int fl_arp_request(fl_control_t *control, const fl_address_t *target, const uint8_t *mac);
/* Ask whether somebody else has our address: a probe, which unlike an announcement Linux answers. */
int fl_arp_detect(fl_control_t *control, const fl_address_t *address);
int fl_arp_announce(fl_control_t *control, const fl_address_t *address);

void fl_icmp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns);
void fl_icmpv6_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns);

/* Type 133 to 137; the checksum was verified. */
void fl_ndp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns);
/* NULL mac: to the solicited-node group. */
int fl_ndp_solicit(fl_control_t *control, const fl_address_t *target, const uint8_t *mac);
/* Ask whether somebody else has our address. */
int fl_ndp_detect(fl_control_t *control, const fl_address_t *address);
int fl_ndp_announce(fl_control_t *control, const fl_address_t *address);

void fl_igmp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns);

/* Type 130 to 132 and 143; the checksum was verified. */
void fl_mld_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns);

#endif
