/* ICMP (RFC 792) and ICMPv6 (RFC 4443): echo is answered, what says that a datagram did not arrive is counted, nothing
 * else is sent (bypass 5.6). */
#include "netstack/control_internal.h"

#include <stdio.h>

#define FL_ICMP_LENGTH 8
#define FL_ICMP_ECHO_REPLY 0
#define FL_ICMP_UNREACHABLE 3
#define FL_ICMP_FRAGMENTATION_NEEDED 4
#define FL_ICMP_ECHO 8
#define FL_ICMPV6_UNREACHABLE 1
#define FL_ICMPV6_TOO_BIG 2
#define FL_ICMPV6_ECHO 128
#define FL_ICMPV6_ECHO_REPLY 129

static bool fl_icmp_is_usable_source(fl_control_t *control, const fl_address_t *source)
{
    return !fl_address_is_wildcard(source) && !fl_address_is_multicast(source) && !fl_address_is_loopback(source) &&
        !fl_addresses_is_broadcast(control->config.addresses, source) &&
        !fl_addresses_has(control->config.addresses, source);
}

/* Answer to where the frame came from, so that an echo needs no neighbour and makes none. One to a group or broadcast
 * address is not answered: its answers would multiply. Returns false if it asks nothing of us. */
static bool fl_icmp_echo(fl_control_t *control, const fl_packet_t *packet, uint8_t reply_type, int64_t now_ns)
{
    const uint8_t *mac = packet->frame + FL_MAC_LENGTH;
    fl_control_frame_t frame;
    uint32_t capacity;
    if (!fl_addresses_has(control->config.addresses, &packet->destination) ||
        !fl_icmp_is_usable_source(control, &packet->source) || !fl_mac_is_unicast(mac))
    {
        return false;
    }
    uint8_t *message = fl_control_frame_begin(
        control, &frame, mac, &packet->destination, &packet->source, packet->protocol, 64, false, &capacity);
    if (packet->transport_length > capacity)
    {
        return false;
    }
    if (!fl_limit_take(&control->echoes, now_ns))
    {
        fl_control_count(control, FL_COUNT_ECHO_LIMITED);
        return true;
    }
    memcpy(message, packet->transport, packet->transport_length);
    message[0] = reply_type;
    if (0 == fl_control_frame_send(control, &frame, packet->transport_length))
    {
        fl_control_count(control, FL_COUNT_ECHO_ANSWERS);
    }
    return true;
}

/* A datagram of ours was too long for a link on its way. `quoted` is that datagram's destination. */
static void fl_icmp_note_mtu(
    fl_control_t *control, const fl_address_t *quoted, const fl_address_t *reporter, uint32_t mtu_length,
    int64_t now_ns)
{
    if (!fl_limit_take(&control->mtu_notes, now_ns))
    {
        return;
    }
    char destination[FL_ADDRESS_TEXT_LENGTH];
    char router[FL_ADDRESS_TEXT_LENGTH];
    char text[400];
    snprintf(
        text, sizeof(text),
        "a datagram to %s was too long for a link on its way: %s says it takes packets of %u bytes, this interface "
        "sends up to %u; set an mtu that fits on the channel or the interface",
        fl_address_format(quoted, destination), fl_address_format(reporter, router), (unsigned)mtu_length,
        (unsigned)control->config.mtu_length);
    control->config.host->log(control->config.host, FL_LOG_WARNING, text);
}

/* Read source and destination of the packet that an error quotes. Returns whether it is a UDP datagram that we may have
 * sent. */
static bool fl_icmp_quotes_ours(fl_control_t *control, const fl_packet_t *packet, fl_address_t *destination)
{
    const uint8_t *quoted = packet->transport + FL_ICMP_LENGTH;
    const uint32_t length = packet->transport_length - FL_ICMP_LENGTH;
    const bool is_v6 = FL_FAMILY_IPV6 == packet->source.family;
    fl_address_t source = { .family = packet->source.family };
    *destination = source;
    if (is_v6)
    {
        const fl_ipv6_header_t *header = (const fl_ipv6_header_t *)quoted;
        if (length < sizeof(*header) || 6 != quoted[0] >> 4 || FL_IP_PROTOCOL_UDP != header->next_header)
        {
            return false;
        }
        memcpy(source.bytes, header->source, sizeof(header->source));
        memcpy(destination->bytes, header->destination, sizeof(header->destination));
    }
    else
    {
        const fl_ipv4_header_t *header = (const fl_ipv4_header_t *)quoted;
        if (length < sizeof(*header) || 4 != quoted[0] >> 4 || FL_IP_PROTOCOL_UDP != header->protocol)
        {
            return false;
        }
        memcpy(source.bytes, header->source, sizeof(header->source));
        memcpy(destination->bytes, header->destination, sizeof(header->destination));
    }
    return fl_addresses_has(control->config.addresses, &source);
}

/* Returns false if the error is of nothing that we sent. */
static bool fl_icmp_error(
    fl_control_t *control, const fl_packet_t *packet, bool is_too_long, uint32_t mtu_length, int64_t now_ns)
{
    fl_address_t destination;
    if (!fl_addresses_has(control->config.addresses, &packet->destination) ||
        !fl_icmp_quotes_ours(control, packet, &destination))
    {
        return false;
    }
    fl_control_count(control, FL_COUNT_UNREACHABLES);
    if (is_too_long)
    {
        fl_icmp_note_mtu(control, &destination, &packet->source, mtu_length, now_ns);
    }
    return true;
}

void fl_icmp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns)
{
    const uint8_t *message = packet->transport;
    if (packet->transport_length < FL_ICMP_LENGTH)
    {
        fl_control_count(control, FL_COUNT_RX_MALFORMED);
        return;
    }
    if (0xffff != fl_checksum_fold(fl_checksum_sum(message, packet->transport_length)))
    {
        fl_control_count(control, FL_COUNT_RX_CHECKSUM_CONTROL);
        return;
    }
    bool is_useful = false;
    if (FL_ICMP_ECHO == message[0] && 0 == message[1])
    {
        is_useful = fl_icmp_echo(control, packet, FL_ICMP_ECHO_REPLY, now_ns);
    }
    else if (FL_ICMP_UNREACHABLE == message[0])
    {
        is_useful = fl_icmp_error(
            control, packet, FL_ICMP_FRAGMENTATION_NEEDED == message[1], fl_load_u16(message + 6), now_ns);
    }
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}

void fl_icmpv6_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns)
{
    const uint8_t *message = packet->transport;
    if (packet->transport_length < FL_ICMP_LENGTH)
    {
        fl_control_count(control, FL_COUNT_RX_MALFORMED);
        return;
    }
    const uint64_t pseudo = fl_checksum_pseudo(
        &packet->source, &packet->destination, FL_IP_PROTOCOL_ICMPV6, packet->transport_length);
    if (0xffff != fl_checksum_fold(fl_checksum_add(pseudo, fl_checksum_sum(message, packet->transport_length))))
    {
        fl_control_count(control, FL_COUNT_RX_CHECKSUM_CONTROL);
        return;
    }
    bool is_useful = false;
    if (FL_ICMPV6_ECHO == message[0] && 0 == message[1])
    {
        is_useful = fl_icmp_echo(control, packet, FL_ICMPV6_ECHO_REPLY, now_ns);
    }
    else if (FL_ICMPV6_UNREACHABLE == message[0] || FL_ICMPV6_TOO_BIG == message[0])
    {
        is_useful = fl_icmp_error(
            control, packet, FL_ICMPV6_TOO_BIG == message[0], fl_load_u32(message + 4), now_ns);
    }
    else if (message[0] >= 133 && message[0] <= 137)
    {
        fl_ndp_input(control, packet, now_ns);
        return;
    }
    else if ((message[0] >= 130 && message[0] <= 132) || 143 == message[0])
    {
        fl_mld_input(control, packet, now_ns);
        return;
    }
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}
