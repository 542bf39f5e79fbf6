/* Ethernet, ARP, IP, ICMP, IGMP and UDP headers as they lie in a frame (bypass 5.2 to 5.6).
 *
 * Multi-byte fields are in network byte order. A frame's bytes need not be aligned: every struct is packed, and its
 * fields are read and written through it or with the load and store functions below.
 */
#ifndef FL_NETSTACK_HEADERS_H
#define FL_NETSTACK_HEADERS_H

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FL_MAC_LENGTH 6
#define FL_ETHERNET_LENGTH 14
#define FL_VLAN_LENGTH 4
#define FL_ETHERNET_MINIMUM 60           /* without FCS; shorter frames are padded */
#define FL_IPV4_LENGTH 20
#define FL_IPV6_LENGTH 40
#define FL_UDP_LENGTH 8

#define FL_ETHER_TYPE_IPV4 0x0800
#define FL_ETHER_TYPE_ARP 0x0806
#define FL_ETHER_TYPE_VLAN 0x8100
#define FL_ETHER_TYPE_QINQ 0x88a8
#define FL_ETHER_TYPE_IPV6 0x86dd

#define FL_IP_PROTOCOL_HOP_BY_HOP 0      /* IPv6 extension header */
#define FL_IP_PROTOCOL_ICMP 1
#define FL_IP_PROTOCOL_IGMP 2
#define FL_IP_PROTOCOL_UDP 17
#define FL_IP_PROTOCOL_IPV6_FRAGMENT 44
#define FL_IP_PROTOCOL_ICMPV6 58

#define FL_VLAN_NONE 0xffff              /* untagged */

typedef struct __attribute__((packed)) fl_ethernet_header
{
    uint8_t destination[FL_MAC_LENGTH];
    uint8_t source[FL_MAC_LENGTH];
    uint16_t ether_type;
} fl_ethernet_header_t;

typedef struct __attribute__((packed)) fl_vlan_header
{
    uint16_t tag;                        /* priority, drop eligible, id in the low 12 bits */
    uint16_t ether_type;
} fl_vlan_header_t;

typedef struct __attribute__((packed)) fl_arp_packet
{
    uint16_t hardware_type;              /* 1: Ethernet */
    uint16_t protocol_type;              /* FL_ETHER_TYPE_IPV4 */
    uint8_t hardware_length;
    uint8_t protocol_length;
    uint16_t operation;                  /* 1 request, 2 reply */
    uint8_t sender_mac[FL_MAC_LENGTH];
    uint8_t sender_ip[4];
    uint8_t target_mac[FL_MAC_LENGTH];
    uint8_t target_ip[4];
} fl_arp_packet_t;

typedef struct __attribute__((packed)) fl_ipv4_header
{
    uint8_t version_and_length;          /* 0x45 without options */
    uint8_t type_of_service;
    uint16_t total_length;
    uint16_t id;
    uint16_t flags_and_offset;           /* 0x4000 do not fragment, 0x2000 more fragments, offset / 8 in the low 13
                                          * bits */
    uint8_t ttl;
    uint8_t protocol;
    uint16_t checksum;
    uint8_t source[4];
    uint8_t destination[4];
} fl_ipv4_header_t;

typedef struct __attribute__((packed)) fl_ipv6_header
{
    uint32_t version_and_flow;           /* 6 in the top four bits */
    uint16_t payload_length;
    uint8_t next_header;
    uint8_t hop_limit;
    uint8_t source[16];
    uint8_t destination[16];
} fl_ipv6_header_t;

typedef struct __attribute__((packed)) fl_udp_header
{
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t length;                     /* with this header */
    uint16_t checksum;
} fl_udp_header_t;

static_assert(sizeof(fl_ethernet_header_t) == FL_ETHERNET_LENGTH, "fl_ethernet_header_t");
static_assert(sizeof(fl_vlan_header_t) == FL_VLAN_LENGTH, "fl_vlan_header_t");
static_assert(sizeof(fl_arp_packet_t) == 28, "fl_arp_packet_t");
static_assert(sizeof(fl_ipv4_header_t) == FL_IPV4_LENGTH, "fl_ipv4_header_t");
static_assert(offsetof(fl_ipv4_header_t, checksum) == 10, "fl_ipv4_header_t.checksum");
static_assert(sizeof(fl_ipv6_header_t) == FL_IPV6_LENGTH, "fl_ipv6_header_t");
static_assert(sizeof(fl_udp_header_t) == FL_UDP_LENGTH, "fl_udp_header_t");

/* Read and write a big-endian word at any alignment. */
static inline uint16_t fl_load_u16(const uint8_t *bytes)
{
    uint16_t word;
    memcpy(&word, bytes, sizeof(word));
    return ntohs(word);
}

static inline uint32_t fl_load_u32(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return ntohl(word);
}

static inline void fl_store_u16(uint8_t *bytes, uint16_t value)
{
    value = htons(value);
    memcpy(bytes, &value, sizeof(value));
}

static inline void fl_store_u32(uint8_t *bytes, uint32_t value)
{
    value = htonl(value);
    memcpy(bytes, &value, sizeof(value));
}

#endif
