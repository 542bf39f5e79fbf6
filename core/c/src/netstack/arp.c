/* ARP (RFC 826, RFC 5227; bypass 5.3). */
#include "netstack/control_internal.h"

#define FL_ARP_REQUEST 1
#define FL_ARP_REPLY 2

static const uint8_t BROADCAST[FL_MAC_LENGTH] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t NOBODY[FL_MAC_LENGTH];

static int fl_arp_send(
    fl_control_t *control, uint16_t operation, const uint8_t *destination, const uint8_t *sender_ip,
    const uint8_t *target_mac, const uint8_t *target_ip)
{
    struct __attribute__((packed))
    {
        fl_ethernet_header_t ethernet;
        fl_arp_packet_t arp;
    } frame = {
        .ethernet = { .ether_type = htons(FL_ETHER_TYPE_ARP) },
        .arp = {
            .hardware_type = htons(1),
            .protocol_type = htons(FL_ETHER_TYPE_IPV4),
            .hardware_length = FL_MAC_LENGTH,
            .protocol_length = 4,
            .operation = htons(operation),
        },
    };
    memcpy(frame.ethernet.destination, destination, FL_MAC_LENGTH);
    memcpy(frame.ethernet.source, control->config.mac, FL_MAC_LENGTH);
    memcpy(frame.arp.sender_mac, control->config.mac, FL_MAC_LENGTH);
    memcpy(frame.arp.sender_ip, sender_ip, 4);
    memcpy(frame.arp.target_mac, target_mac, FL_MAC_LENGTH);
    memcpy(frame.arp.target_ip, target_ip, 4);
    return control->config.emit(control->config.emit_context, (const uint8_t *)&frame, sizeof(frame));
}

int fl_arp_request(fl_control_t *control, const fl_address_t *target, const uint8_t *mac)
{
    fl_address_t source;
    if (!fl_addresses_source_for(control->config.addresses, target, &source))
    {
        return -FL_EADDRNOTAVAIL;
    }
    const int result = fl_arp_send(
        control, FL_ARP_REQUEST, NULL != mac ? mac : BROADCAST, source.bytes, NOBODY, target->bytes);
    if (0 == result)
    {
        fl_control_count(control, FL_COUNT_NEIGHBOUR_REQUESTS);
    }
    return result;
}

int fl_arp_detect(fl_control_t *control, const fl_address_t *address)
{
    static const uint8_t unspecified[4];
    return fl_arp_send(control, FL_ARP_REQUEST, BROADCAST, unspecified, NOBODY, address->bytes);
}

int fl_arp_announce(fl_control_t *control, const fl_address_t *address)
{
    return fl_arp_send(control, FL_ARP_REQUEST, BROADCAST, address->bytes, NOBODY, address->bytes);
}

static fl_address_t fl_arp_address(const uint8_t *bytes)
{
    fl_address_t address = { .family = FL_FAMILY_IPV4 };
    memcpy(address.bytes, bytes, 4);
    return address;
}

static void fl_arp_answer(fl_control_t *control, const fl_arp_packet_t *request, int64_t now_ns)
{
    if (fl_limit_take(&control->answers, now_ns) &&
        0 == fl_arp_send(
            control, FL_ARP_REPLY, request->sender_mac, request->target_ip, request->sender_mac, request->sender_ip))
    {
        fl_control_count(control, FL_COUNT_NEIGHBOUR_ANSWERS);
    }
}

void fl_arp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns)
{
    const fl_arp_packet_t *arp = (const fl_arp_packet_t *)packet->network;
    if (packet->network_length < sizeof(*arp) || htons(1) != arp->hardware_type ||
        htons(FL_ETHER_TYPE_IPV4) != arp->protocol_type || FL_MAC_LENGTH != arp->hardware_length ||
        4 != arp->protocol_length || !fl_mac_is_unicast(arp->sender_mac))
    {
        fl_control_count(control, FL_COUNT_RX_MALFORMED);
        return;
    }
    const uint16_t operation = ntohs(arp->operation);
    const fl_address_t sender = fl_arp_address(arp->sender_ip);
    const fl_address_t target = fl_arp_address(arp->target_ip);
    const bool is_probe = fl_address_is_wildcard(&sender);
    /* A frame of ours that a bridge sent back says nothing. */
    bool is_useful = (FL_ARP_REQUEST == operation || FL_ARP_REPLY == operation) &&
        !fl_mac_is_same(arp->sender_mac, control->config.mac);
    if (is_useful && !is_probe && fl_addresses_has(control->config.addresses, &sender))
    {
        fl_control_duplicate(control, &sender, arp->sender_mac, now_ns);
    }
    else if (is_useful && !fl_addresses_has(control->config.addresses, &target))
    {
        is_useful = !is_probe && fl_control_suspect(control, &sender, arp->sender_mac, now_ns);
    }
    else if (is_useful && FL_ARP_REQUEST == operation)
    {
        if (!is_probe)
        {
            fl_control_learn(control, &sender, arp->sender_mac, now_ns);
        }
        fl_arp_answer(control, arp, now_ns);
    }
    else if (is_useful)
    {
        is_useful = !is_probe && (fl_control_confirm(control, &sender, arp->sender_mac, now_ns) ||
                                  fl_control_suspect(control, &sender, arp->sender_mac, now_ns));
    }
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}
