/* Taking a received frame apart, every length checked. */
#ifndef FL_NETSTACK_PARSE_H
#define FL_NETSTACK_PARSE_H

#include "netstack/counts.h"
#include "netstack/headers.h"
#include "netstack/packet.h"

/* What a frame is judged by besides its bytes. */
typedef struct fl_parse_rules
{
    uint32_t vlan_own;       /* tag of this netstack's frames, or FL_VLAN_NONE */
    uint32_t vlan_taken;     /* tag that the device took out, or FL_VLAN_NONE */
    bool has_verdict;        /* the IPv4 header's checksum is known to be right */
} fl_parse_rules_t;

/* Take a frame apart as far as its ARP packet or the transport part of its IP packet.
 *
 * head          stable copy of the frame's first bytes, into which packet's pointers lead
 * head_length   bytes of the copy; all headers up to the transport's first 8 bytes must lie in it
 * length        bytes of the frame
 * returns       FL_COUNT_LIMIT if it is in order, else what to count it under
 */
fl_count_t fl_parse(
    fl_packet_t *packet, const uint8_t *head, uint32_t head_length, uint32_t length, const fl_parse_rules_t *rules);

#endif
