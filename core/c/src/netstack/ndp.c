/* Neighbour discovery (RFC 4861, RFC 4862; bypass 5.3): solicitations and advertisements. Routers are configured, so
 * their advertisements and redirects are not listened to. */
#include "netstack/control_internal.h"

#define FL_NDP_SOLICITATION 135
#define FL_NDP_ADVERTISEMENT 136
#define FL_NDP_OPTION_SOURCE 1
#define FL_NDP_OPTION_TARGET 2
#define FL_NDP_SOLICITED 0x40
#define FL_NDP_OVERRIDE 0x20

/* Both messages: type, code, checksum, flags and reserved, target; then an option with a MAC address. */
#define FL_NDP_LENGTH 24
#define FL_NDP_OPTION_LENGTH 8

static const fl_address_t UNSPECIFIED = { .family = FL_FAMILY_IPV6 };
static const fl_address_t ALL_NODES = { .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [15] = 0x01 } };

/* Send one of the two; option 0: none. */
static int fl_ndp_send(
    fl_control_t *control, const uint8_t *mac, const fl_address_t *source, const fl_address_t *destination,
    uint8_t type, uint8_t flags, const fl_address_t *target, uint8_t option)
{
    fl_control_frame_t frame;
    uint32_t capacity;
    uint8_t *message = fl_control_frame_begin(
        control, &frame, mac, source, destination, FL_IP_PROTOCOL_ICMPV6, 255, false, &capacity);
    memset(message, 0, FL_NDP_LENGTH + FL_NDP_OPTION_LENGTH);
    message[0] = type;
    message[4] = flags;
    memcpy(message + 8, target->bytes, sizeof(target->bytes));
    if (0 == option)
    {
        return fl_control_frame_send(control, &frame, FL_NDP_LENGTH);
    }
    message[FL_NDP_LENGTH] = option;
    message[FL_NDP_LENGTH + 1] = FL_NDP_OPTION_LENGTH / 8;
    memcpy(message + FL_NDP_LENGTH + 2, control->config.mac, FL_MAC_LENGTH);
    return fl_control_frame_send(control, &frame, FL_NDP_LENGTH + FL_NDP_OPTION_LENGTH);
}

int fl_ndp_solicit(fl_control_t *control, const fl_address_t *target, const uint8_t *mac)
{
    fl_address_t source;
    fl_address_t destination = *target;
    uint8_t group_mac[FL_MAC_LENGTH];
    if (!fl_addresses_source_for(control->config.addresses, target, &source))
    {
        return -FL_EADDRNOTAVAIL;
    }
    if (NULL == mac)
    {
        fl_control_solicited_node(target, &destination);
        fl_control_group_mac(&destination, group_mac);
        mac = group_mac;
    }
    const int result =
        fl_ndp_send(control, mac, &source, &destination, FL_NDP_SOLICITATION, 0, target, FL_NDP_OPTION_SOURCE);
    if (0 == result)
    {
        fl_control_count(control, FL_COUNT_NEIGHBOUR_REQUESTS);
    }
    return result;
}

int fl_ndp_detect(fl_control_t *control, const fl_address_t *address)
{
    fl_address_t group;
    uint8_t mac[FL_MAC_LENGTH];
    fl_control_solicited_node(address, &group);
    fl_control_group_mac(&group, mac);
    return fl_ndp_send(control, mac, &UNSPECIFIED, &group, FL_NDP_SOLICITATION, 0, address, 0);
}

int fl_ndp_announce(fl_control_t *control, const fl_address_t *address)
{
    uint8_t mac[FL_MAC_LENGTH];
    fl_control_group_mac(&ALL_NODES, mac);
    return fl_ndp_send(
        control, mac, address, &ALL_NODES, FL_NDP_ADVERTISEMENT, FL_NDP_OVERRIDE, address, FL_NDP_OPTION_TARGET);
}

/* Find an option's MAC address; NULL if there is none. Returns false if the options are malformed. */
static bool fl_ndp_option(const fl_packet_t *packet, uint8_t type, const uint8_t **mac)
{
    *mac = NULL;
    for (uint32_t at = FL_NDP_LENGTH; at < packet->transport_length;)
    {
        const uint32_t left = packet->transport_length - at;
        const uint8_t *option = packet->transport + at;
        if (left < 2 || 0 == option[1] || option[1] * 8u > left)
        {
            return false;
        }
        if (type == option[0] && NULL == *mac)
        {
            if (FL_NDP_OPTION_LENGTH != option[1] * 8u || !fl_mac_is_unicast(option + 2))
            {
                return false;
            }
            *mac = option + 2;
        }
        at += option[1] * 8u;
    }
    return true;
}

/* Returns whether the solicitation asks something of us. */
static bool fl_ndp_solicited(
    fl_control_t *control, const fl_packet_t *packet, const fl_address_t *target, const uint8_t *option_mac,
    int64_t now_ns)
{
    const uint8_t *frame_mac = packet->frame + FL_MAC_LENGTH;
    const bool is_detection = fl_address_is_wildcard(&packet->source);
    if (!is_detection && fl_addresses_has(control->config.addresses, &packet->source))
    {
        fl_control_duplicate(control, &packet->source, frame_mac, now_ns);
        return true;
    }
    if (!fl_addresses_has(control->config.addresses, target))
    {
        return false;
    }
    uint8_t mac[FL_MAC_LENGTH];
    if (is_detection)
    {
        fl_control_group_mac(&ALL_NODES, mac);
    }
    else
    {
        memcpy(mac, NULL != option_mac ? option_mac : frame_mac, FL_MAC_LENGTH);
        if (NULL != option_mac)
        {
            fl_control_learn(control, &packet->source, option_mac, now_ns);
        }
    }
    const uint8_t flags = is_detection ? FL_NDP_OVERRIDE : FL_NDP_OVERRIDE | FL_NDP_SOLICITED;
    if (fl_limit_take(&control->answers, now_ns) &&
        0 == fl_ndp_send(
            control, mac, target, is_detection ? &ALL_NODES : &packet->source, FL_NDP_ADVERTISEMENT, flags, target,
            FL_NDP_OPTION_TARGET))
    {
        fl_control_count(control, FL_COUNT_NEIGHBOUR_ANSWERS);
    }
    return true;
}

/* Returns whether the advertisement tells us something. */
static bool fl_ndp_advertised(
    fl_control_t *control, const fl_packet_t *packet, const fl_address_t *target, const uint8_t *option_mac,
    int64_t now_ns)
{
    if (fl_addresses_has(control->config.addresses, target))
    {
        fl_control_duplicate(
            control, target, NULL != option_mac ? option_mac : packet->frame + FL_MAC_LENGTH, now_ns);
        return true;
    }
    const uint8_t flags = packet->transport[4];
    if (0 != (flags & FL_NDP_SOLICITED) && !fl_address_is_multicast(&packet->destination))
    {
        const fl_neighbour_t *entry = fl_neighbours_entry(control->config.neighbours, target);
        /* Without the override flag, as a proxy answers, another MAC address than the known one is no answer. */
        if (NULL != entry && NULL != option_mac && 0 == (flags & FL_NDP_OVERRIDE) &&
            fl_neighbour_is_usable(entry->view.state) && !fl_mac_is_same(entry->view.mac, option_mac))
        {
            return fl_control_suspect(control, target, option_mac, now_ns);
        }
        if (fl_control_confirm(control, target, option_mac, now_ns))
        {
            return true;
        }
    }
    return NULL != option_mac && fl_control_suspect(control, target, option_mac, now_ns);
}

void fl_ndp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns)
{
    const uint8_t type = packet->transport[0];
    if (FL_NDP_SOLICITATION != type && FL_NDP_ADVERTISEMENT != type)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
        return;
    }
    const bool is_solicitation = FL_NDP_SOLICITATION == type;
    fl_address_t target = { .family = FL_FAMILY_IPV6 };
    const uint8_t *mac = NULL;
    bool is_valid = 255 == packet->hop_limit && 0 == packet->transport[1] &&
        packet->transport_length >= FL_NDP_LENGTH &&
        fl_ndp_option(packet, is_solicitation ? FL_NDP_OPTION_SOURCE : FL_NDP_OPTION_TARGET, &mac);
    if (is_valid)
    {
        memcpy(target.bytes, packet->transport + 8, sizeof(target.bytes));
        fl_address_t group;
        fl_control_solicited_node(&target, &group);
        const bool is_from_nobody = fl_address_is_wildcard(&packet->source);
        /* RFC 4861 7.1.1 and 7.1.2. */
        is_valid = !fl_address_is_multicast(&target) && !fl_address_is_multicast(&packet->source) &&
            (is_solicitation
                 ? !is_from_nobody || (NULL == mac && fl_address_is_same_host(&packet->destination, &group))
                 : !is_from_nobody &&
                     (!fl_address_is_multicast(&packet->destination) ||
                      0 == (packet->transport[4] & FL_NDP_SOLICITED)));
    }
    if (!is_valid)
    {
        fl_control_count(control, FL_COUNT_RX_MALFORMED);
        return;
    }
    const bool is_from_us = fl_mac_is_same(packet->frame + FL_MAC_LENGTH, control->config.mac);
    const bool is_useful = !is_from_us &&
        (is_solicitation ? fl_ndp_solicited(control, packet, &target, mac, now_ns)
                         : fl_ndp_advertised(control, packet, &target, mac, now_ns));
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}
