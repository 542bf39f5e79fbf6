#include "netstack/parse.h"

#include "netstack/checksum.h"

#define FL_PARSE_OPTION_ROUTER_ALERT 148     /* IPv4 (RFC 2113) */
#define FL_PARSE_OPTION6_ROUTER_ALERT 5      /* IPv6 hop-by-hop (RFC 2711) */
#define FL_PARSE_EXTENSIONS 8                /* most extension headers of a packet */
#define FL_PARSE_ROUTING 43
#define FL_PARSE_DESTINATION 60

static bool fl_parse_has_router_alert(const uint8_t *options, uint32_t length)
{
    for (uint32_t at = 0; at < length && 0 != options[at];)
    {
        if (1 == options[at])
        {
            at++;
            continue;
        }
        if (FL_PARSE_OPTION_ROUTER_ALERT == options[at])
        {
            return true;
        }
        if (at + 1 >= length || options[at + 1] < 2)
        {
            return false;
        }
        at += options[at + 1];
    }
    return false;
}

static bool fl_parse_has_router_alert6(const uint8_t *options, uint32_t length)
{
    for (uint32_t at = 0; at < length;)
    {
        if (0 == options[at])
        {
            at++;
            continue;
        }
        if (FL_PARSE_OPTION6_ROUTER_ALERT == options[at])
        {
            return true;
        }
        if (at + 1 >= length)
        {
            return false;
        }
        at += 2u + options[at + 1];
    }
    return false;
}

static fl_count_t fl_parse_ipv4(fl_packet_t *packet, uint32_t head_left, uint32_t left, bool has_verdict)
{
    fl_ipv4_header_t header;
    if (head_left < FL_IPV4_LENGTH)
    {
        return FL_COUNT_RX_MALFORMED;
    }
    memcpy(&header, packet->network, sizeof(header));
    const uint32_t header_length = 4u * (header.version_and_length & 0xf);
    const uint32_t total_length = ntohs(header.total_length);
    if (4 != header.version_and_length >> 4 || header_length < FL_IPV4_LENGTH || header_length > head_left ||
        total_length < header_length || total_length > left)
    {
        return FL_COUNT_RX_MALFORMED;
    }
    if (!has_verdict && 0xffff != fl_checksum_fold(fl_checksum_sum(packet->network, header_length)))
    {
        return FL_COUNT_RX_CHECKSUM_IP;
    }
    if (0 != (ntohs(header.flags_and_offset) & 0x3fff))
    {
        return FL_COUNT_RX_FRAGMENTS;
    }
    packet->source.family = packet->destination.family = FL_FAMILY_IPV4;
    memcpy(packet->source.bytes, header.source, 4);
    memcpy(packet->destination.bytes, header.destination, 4);
    packet->protocol = header.protocol;
    packet->hop_limit = header.ttl;
    packet->network_length = total_length;
    packet->transport = packet->network + header_length;
    packet->transport_length = total_length - header_length;
    packet->has_router_alert =
        fl_parse_has_router_alert(packet->network + FL_IPV4_LENGTH, header_length - FL_IPV4_LENGTH);
    return FL_COUNT_LIMIT;
}

/* Walk the extension headers; `at` and `head_left` count from the IPv6 header. */
static fl_count_t fl_parse_extensions(fl_packet_t *packet, uint32_t head_left)
{
    uint32_t at = FL_IPV6_LENGTH;
    for (int i = 0; i <= FL_PARSE_EXTENSIONS; i++)
    {
        const uint8_t kind = packet->protocol;
        if (FL_IP_PROTOCOL_IPV6_FRAGMENT == kind)
        {
            return FL_COUNT_RX_FRAGMENTS;
        }
        if (FL_IP_PROTOCOL_HOP_BY_HOP != kind && FL_PARSE_ROUTING != kind && FL_PARSE_DESTINATION != kind)
        {
            packet->transport = packet->network + at;
            packet->transport_length = packet->network_length - at;
            return FL_COUNT_LIMIT;
        }
        if (at + 8 > packet->network_length || at + 8 > head_left)
        {
            return FL_COUNT_RX_MALFORMED;
        }
        const uint8_t *header = packet->network + at;
        const uint32_t length = 8u * (1u + header[1]);
        if (at + length > packet->network_length || at + length > head_left ||
            (FL_IP_PROTOCOL_HOP_BY_HOP == kind && FL_IPV6_LENGTH != at))
        {
            return FL_COUNT_RX_MALFORMED;
        }
        if (FL_PARSE_ROUTING == kind && 0 != header[3])
        {
            return FL_COUNT_RX_PROTOCOL;   /* to be passed on to somebody else */
        }
        if (FL_IP_PROTOCOL_HOP_BY_HOP == kind)
        {
            packet->has_router_alert = fl_parse_has_router_alert6(header + 2, length - 2);
        }
        packet->protocol = header[0];
        at += length;
    }
    return FL_COUNT_RX_MALFORMED;
}

static fl_count_t fl_parse_ipv6(fl_packet_t *packet, uint32_t head_left, uint32_t left)
{
    fl_ipv6_header_t header;
    if (head_left < FL_IPV6_LENGTH)
    {
        return FL_COUNT_RX_MALFORMED;
    }
    memcpy(&header, packet->network, sizeof(header));
    packet->network_length = FL_IPV6_LENGTH + ntohs(header.payload_length);
    if (6 != ntohl(header.version_and_flow) >> 28 || packet->network_length > left)
    {
        return FL_COUNT_RX_MALFORMED;
    }
    packet->source.family = packet->destination.family = FL_FAMILY_IPV6;
    memcpy(packet->source.bytes, header.source, 16);
    memcpy(packet->destination.bytes, header.destination, 16);
    packet->protocol = header.next_header;
    packet->hop_limit = header.hop_limit;
    return fl_parse_extensions(packet, head_left);
}

/* Step over a tag. Returns the offset of what follows, 0: not this netstack's frame, or cut short. */
static uint32_t fl_parse_tag(
    fl_packet_t *packet, const uint8_t *head, uint32_t head_length, const fl_parse_rules_t *rules, fl_count_t *reason)
{
    uint32_t offset = FL_ETHERNET_LENGTH;
    uint32_t vlan = FL_VLAN_NONE == rules->vlan_taken ? 0 : rules->vlan_taken & 0xfff;
    packet->ether_type = fl_load_u16(head + offset - 2);
    *reason = FL_COUNT_RX_VLAN;
    if (FL_ETHER_TYPE_VLAN == packet->ether_type && FL_VLAN_NONE == rules->vlan_taken)
    {
        if (head_length < FL_ETHERNET_LENGTH + FL_VLAN_LENGTH)
        {
            *reason = FL_COUNT_RX_MALFORMED;
            return 0;
        }
        vlan = fl_load_u16(head + offset) & 0xfff;
        offset += FL_VLAN_LENGTH;
        packet->ether_type = fl_load_u16(head + offset - 2);
    }
    if (FL_ETHER_TYPE_VLAN == packet->ether_type || FL_ETHER_TYPE_QINQ == packet->ether_type)
    {
        return 0;
    }
    /* A tag of 0 states a priority only (802.1Q), so it counts as none. */
    return vlan == (FL_VLAN_NONE == rules->vlan_own ? 0 : rules->vlan_own) ? offset : 0;
}

fl_count_t fl_parse(
    fl_packet_t *packet, const uint8_t *head, uint32_t head_length, uint32_t length, const fl_parse_rules_t *rules)
{
    fl_count_t reason = FL_COUNT_RX_MALFORMED;
    memset(packet, 0, sizeof(*packet));
    if (head_length < FL_ETHERNET_LENGTH)
    {
        return reason;
    }
    const uint32_t offset = fl_parse_tag(packet, head, head_length, rules, &reason);
    if (0 == offset)
    {
        return reason;
    }
    packet->frame = head;
    packet->frame_length = length;
    packet->network = head + offset;
    packet->network_length = length - offset;
    switch (packet->ether_type)
    {
        case FL_ETHER_TYPE_IPV4:
            return fl_parse_ipv4(packet, head_length - offset, length - offset, rules->has_verdict);
        case FL_ETHER_TYPE_IPV6:
            return fl_parse_ipv6(packet, head_length - offset, length - offset);
        case FL_ETHER_TYPE_ARP:
            return FL_COUNT_LIMIT;
        default:
            return FL_COUNT_RX_ETHER_TYPE;
    }
}
