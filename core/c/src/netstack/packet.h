/* A received frame, taken apart as far as it was checked. Pointers lead into the frame, which is read-only. */
#ifndef FL_NETSTACK_PACKET_H
#define FL_NETSTACK_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <framelane/types.h>

typedef struct fl_packet
{
    const uint8_t *frame;              /* from the destination MAC on */
    uint32_t frame_length;
    uint16_t ether_type;               /* of what follows the VLAN tag, if there was one */
    uint8_t protocol;                  /* of the transport part; behind IPv6 extension headers */
    uint8_t hop_limit;                 /* TTL */
    const uint8_t *network;            /* ARP packet or IP header */
    uint32_t network_length;           /* ARP: bytes that there are; IP: its own length, without the frame's padding */
    const uint8_t *transport;          /* behind the IP header, its options and extension headers; NULL: not IP */
    uint32_t transport_length;
    bool has_router_alert;             /* IPv4 option or IPv6 hop-by-hop option */
    fl_address_t source;               /* port 0 */
    fl_address_t destination;
} fl_packet_t;

#endif
