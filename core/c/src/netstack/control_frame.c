/* IP packets of the control protocols. */
#include "netstack/control_internal.h"

void fl_control_group_mac(const fl_address_t *group, uint8_t mac[FL_MAC_LENGTH])
{
    if (FL_FAMILY_IPV6 == group->family)
    {
        mac[0] = 0x33;
        mac[1] = 0x33;
        memcpy(mac + 2, group->bytes + 12, 4);
        return;
    }
    mac[0] = 0x01;
    mac[1] = 0x00;
    mac[2] = 0x5e;
    mac[3] = group->bytes[1] & 0x7f;
    mac[4] = group->bytes[2];
    mac[5] = group->bytes[3];
}

void fl_control_solicited_node(const fl_address_t *address, fl_address_t *group)
{
    *group = (fl_address_t){ .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [11] = 0x01, [12] = 0xff } };
    memcpy(group->bytes + 13, address->bytes + 13, 3);
}

uint8_t *fl_control_frame_begin(
    fl_control_t *control, fl_control_frame_t *frame, const uint8_t *mac, const fl_address_t *source,
    const fl_address_t *destination, uint8_t protocol, uint8_t hop_limit, bool has_router_alert, uint32_t *capacity)
{
    static const uint8_t alert4[4] = { 0x94, 0x04, 0x00, 0x00 };
    const bool is_v6 = FL_FAMILY_IPV6 == destination->family;
    fl_ethernet_header_t *ethernet = (fl_ethernet_header_t *)frame->bytes;
    memcpy(ethernet->destination, mac, FL_MAC_LENGTH);
    memcpy(ethernet->source, control->config.mac, FL_MAC_LENGTH);
    ethernet->ether_type = htons(is_v6 ? FL_ETHER_TYPE_IPV6 : FL_ETHER_TYPE_IPV4);
    uint8_t *ip = frame->bytes + FL_ETHERNET_LENGTH;
    uint32_t header_length;
    if (is_v6)
    {
        /* Hop-by-hop header: next header, 8 bytes in all, the router alert option (RFC 2711), two bytes of padding. */
        const uint8_t alert6[8] = { protocol, 0, 0x05, 0x02, 0x00, 0x00, 0x01, 0x00 };
        fl_ipv6_header_t header = {
            .version_and_flow = htonl(6u << 28),
            .next_header = has_router_alert ? FL_IP_PROTOCOL_HOP_BY_HOP : protocol,
            .hop_limit = hop_limit,
        };
        memcpy(header.source, source->bytes, sizeof(header.source));
        memcpy(header.destination, destination->bytes, sizeof(header.destination));
        memcpy(ip, &header, sizeof(header));
        memcpy(ip + FL_IPV6_LENGTH, alert6, sizeof(alert6));
        header_length = FL_IPV6_LENGTH + (has_router_alert ? sizeof(alert6) : 0);
    }
    else
    {
        header_length = FL_IPV4_LENGTH + (has_router_alert ? sizeof(alert4) : 0);
        fl_ipv4_header_t header = {
            .version_and_length = (uint8_t)(0x40 | header_length / 4),
            .type_of_service = has_router_alert ? 0xc0 : 0,   /* internetwork control (RFC 3376 4) */
            .flags_and_offset = htons(0x4000),
            .ttl = hop_limit,
            .protocol = protocol,
        };
        memcpy(header.source, source->bytes, sizeof(header.source));
        memcpy(header.destination, destination->bytes, sizeof(header.destination));
        memcpy(ip, &header, sizeof(header));
        memcpy(ip + FL_IPV4_LENGTH, alert4, sizeof(alert4));
    }
    frame->l4_offset = FL_ETHERNET_LENGTH + header_length;
    frame->source = *source;
    frame->destination = *destination;
    frame->protocol = protocol;
    const uint32_t mtu_length = control->config.mtu_length < FL_CONTROL_FRAME_MAXIMUM - FL_ETHERNET_LENGTH
        ? control->config.mtu_length
        : FL_CONTROL_FRAME_MAXIMUM - FL_ETHERNET_LENGTH;
    *capacity = mtu_length - header_length;
    return frame->bytes + frame->l4_offset;
}

int fl_control_frame_send(fl_control_t *control, fl_control_frame_t *frame, uint32_t length)
{
    uint8_t *ip = frame->bytes + FL_ETHERNET_LENGTH;
    uint8_t *message = frame->bytes + frame->l4_offset;
    const uint32_t ip_length = frame->l4_offset - FL_ETHERNET_LENGTH + length;
    uint64_t pseudo = 0;
    if (FL_FAMILY_IPV6 == frame->destination.family)
    {
        fl_store_u16(ip + offsetof(fl_ipv6_header_t, payload_length), (uint16_t)(ip_length - FL_IPV6_LENGTH));
        pseudo = fl_checksum_pseudo(&frame->source, &frame->destination, frame->protocol, length);
    }
    else
    {
        fl_store_u16(ip + offsetof(fl_ipv4_header_t, total_length), (uint16_t)ip_length);
        const uint16_t checksum = fl_checksum_finish(fl_checksum_sum(ip, ip_length - length));
        memcpy(ip + offsetof(fl_ipv4_header_t, checksum), &checksum, sizeof(checksum));
    }
    memset(message + 2, 0, 2);
    const uint16_t checksum = fl_checksum_finish(fl_checksum_add(pseudo, fl_checksum_sum(message, length)));
    memcpy(message + 2, &checksum, sizeof(checksum));
    return control->config.emit(control->config.emit_context, frame->bytes, frame->l4_offset + length);
}
