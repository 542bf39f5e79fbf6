/* Frames of no known flow: judged from a copy of their headers. What an endpoint takes makes its flow known. */
#include "netstack/receive.h"

#include "netstack/checksum.h"
#include "netstack/parse.h"
#include "transport/address.h"

/* Whether a frame's MAC address and, for UDP, the IP address behind it are for us. */
static bool fl_receive_is_for_us(fl_poller_t *poller, const uint8_t *head)
{
    return 0 != (head[0] & 1) || 0 == memcmp(head, poller->netstack->attributes.mac, FL_MAC_LENGTH);
}

/* Hand a frame to the control protocols, from a copy of the whole of it. */
static fl_count_t fl_receive_control(fl_poller_t *poller, const fl_rx_frame_t *frame, const fl_parse_rules_t *rules)
{
    fl_transport_t *netstack = poller->netstack;
    fl_packet_t packet;
    if (NULL == netstack->control || 0 != poller->queue)
    {
        return FL_COUNT_RX_PROTOCOL;
    }
    if (frame->length > netstack->config.mtu_length + FL_ETHERNET_LENGTH + FL_VLAN_LENGTH)
    {
        return FL_COUNT_RX_MALFORMED;
    }
    memcpy(poller->control_frame, frame->data, frame->length);
    const fl_count_t reason = fl_parse(&packet, poller->control_frame, frame->length, frame->length, rules);
    if (FL_COUNT_LIMIT != reason)
    {
        return reason;
    }
    if (FL_ETHER_TYPE_ARP != packet.ether_type)
    {
        if (FL_IP_PROTOCOL_ICMP != packet.protocol && FL_IP_PROTOCOL_IGMP != packet.protocol &&
            FL_IP_PROTOCOL_ICMPV6 != packet.protocol)
        {
            return FL_COUNT_RX_PROTOCOL;
        }
        const bool is_wanted = fl_address_is_multicast(&packet.destination)
            ? fl_control_wants_group(netstack->control, &packet.destination)
            : fl_addresses_has(&netstack->addresses, &packet.destination) ||
                fl_addresses_is_broadcast(&netstack->addresses, &packet.destination);
        if (!is_wanted)
        {
            return FL_COUNT_RX_NOT_MINE;
        }
    }
    fl_control_input(netstack->control, &packet, fl_netstack_now(netstack));
    return FL_COUNT_LIMIT;
}

/* Check the UDP part and read its ports into the packet's addresses. */
static fl_count_t fl_receive_udp(
    fl_poller_t *poller, fl_packet_t *packet, const fl_rx_frame_t *frame, const uint8_t *head, uint32_t head_length,
    fl_udp_header_t *udp)
{
    const uint32_t offset = (uint32_t)(packet->transport - head);
    if (packet->transport_length < FL_UDP_LENGTH || offset + FL_UDP_LENGTH > head_length)
    {
        return FL_COUNT_RX_MALFORMED;
    }
    memcpy(udp, packet->transport, sizeof(*udp));
    const uint32_t length = ntohs(udp->length);
    if (length < FL_UDP_LENGTH || length > packet->transport_length)
    {
        return FL_COUNT_RX_MALFORMED;
    }
    packet->source.port = ntohs(udp->source_port);
    packet->destination.port = ntohs(udp->destination_port);
    if (FL_CHECKSUM_GOOD == frame->checksum)
    {
        return FL_COUNT_LIMIT;
    }
    const bool is_ipv4 = FL_FAMILY_IPV4 == packet->source.family;
    if (is_ipv4 &&
        (0 == udp->checksum || 0 != (poller->netstack->config.flags & FL_NETSTACK_NO_UDP_CHECKSUM)) &&
        FL_CHECKSUM_BAD != frame->checksum)
    {
        return FL_COUNT_LIMIT;
    }
    if ((!is_ipv4 && 0 == udp->checksum) || FL_CHECKSUM_BAD == frame->checksum)
    {
        return FL_COUNT_RX_CHECKSUM_UDP;
    }
    uint64_t sum = fl_checksum_pseudo(&packet->source, &packet->destination, FL_IP_PROTOCOL_UDP, length);
    sum = fl_checksum_add(sum, fl_checksum_sum((const uint8_t *)udp, sizeof(*udp)));
    sum = fl_checksum_add(sum, fl_checksum_sum(frame->data + offset + FL_UDP_LENGTH, length - FL_UDP_LENGTH));
    return 0xffff == fl_checksum_fold(sum) ? FL_COUNT_LIMIT : FL_COUNT_RX_CHECKSUM_UDP;
}

/* Why nobody takes a datagram. */
static fl_count_t fl_receive_why_not(fl_poller_t *poller, const fl_address_t *local)
{
    fl_transport_t *netstack = poller->netstack;
    if (fl_address_is_multicast(local) || !fl_addresses_has(&netstack->addresses, local))
    {
        return FL_COUNT_RX_NOT_MINE;
    }
    const bool has_sender = 0 != atomic_load_explicit(&netstack->port_users[0][local->port], memory_order_relaxed);
    const bool has_receiver = 0 != atomic_load_explicit(&netstack->port_users[1][local->port], memory_order_relaxed);
    return FL_ROLE_SENDER == poller->roles && has_receiver && !has_sender ? FL_COUNT_RX_SENDER_DISCARD
        : FL_ROLE_RECEIVER == poller->roles && has_sender && !has_receiver ? FL_COUNT_RX_RECEIVER_DISCARD
                                                                          : FL_COUNT_RX_NO_LISTENER;
}

static bool fl_receive_hears(const fl_endpoint_t *endpoint, const fl_address_t *source)
{
    const fl_peer_t *peer = atomic_load_explicit(&endpoint->connected, memory_order_relaxed);
    return !endpoint->hears_peer_only || (NULL != peer && fl_address_is_same(&peer->address, source));
}

fl_listener_t *fl_receive_listener(
    fl_listener_t *listener, const fl_address_t *source, const fl_address_t *local)
{
    while (NULL != listener && !fl_receive_hears(listener->endpoint, source))
    {
        listener = fl_demux_next(listener, local);
    }
    return listener;
}

/* Make a flow known by the words of its headers. */
static void fl_receive_learn(
    fl_poller_t *poller, fl_flow_t *flow, const fl_packet_t *packet, fl_endpoint_t *endpoint, const uint8_t *head)
{
    flow->endpoint = endpoint;
    flow->context = endpoint->context;
    flow->has_timestamps = 0 != (endpoint->flags & FL_ENDPOINT_TIMESTAMPS);
    flow->is_fast = packet->network == head + FL_ETHERNET_LENGTH && 0x45 == packet->network[0] &&
        FL_VLAN_NONE == poller->netstack->config.vlan;
    if (flow->is_fast)
    {
        flow->words[0] = fl_word_u64(head);
        flow->words[1] = fl_receive_mask_second(fl_word_u64(head + 8));
        flow->words[2] = fl_receive_mask_third(fl_word_u64(head + 16));
        flow->words[3] = fl_word_u64(head + 26);
        flow->ports = fl_word_u32(head + 34);
        flow->addresses_sum = fl_receive_halves(flow->words[3]);
        flow->pseudo = fl_checksum_pseudo(&packet->source, &packet->destination, FL_IP_PROTOCOL_UDP, 0);
        flow->pseudo = fl_checksum_fold(fl_checksum_add(flow->pseudo, flow->ports));
    }
}

/* Write the runs of one datagram, one for each listener. Where the capacity ends before them, the next poll goes on
 * with poller->carry. */
static void fl_receive_deliver(
    fl_receive_t *receive, uint32_t index, const fl_packet_t *packet, const uint8_t *head, uint32_t length,
    fl_listener_t *listener)
{
    fl_poller_t *poller = receive->poller;
    const fl_rx_frame_t *frame = &poller->frames[index];
    uint64_t addresses = 0;
    for (uint32_t at = 0; at < 16; at += 8)
    {
        addresses ^= fl_word_u64(packet->source.bytes + at) * 3 ^ fl_word_u64(packet->destination.bytes + at);
    }
    if (FL_FAMILY_IPV4 == packet->source.family)
    {
        uint8_t both[8];
        memcpy(both, packet->source.bytes, 4);
        memcpy(both + 4, packet->destination.bytes, 4);
        addresses = fl_word_u64(both);
    }
    fl_flow_t *flow = fl_receive_flow(poller, addresses, fl_word_u32(packet->transport));
    const fl_peer_t *peer = &poller->spills[index].peer;
    const fl_address_t *local = &poller->spills[index].local;
    fl_listener_t *further = fl_receive_listener(
        fl_demux_next(listener, &packet->destination), &packet->source, &packet->destination);
    if (flow->turn != poller->turn)
    {
        flow->turn = poller->turn;
        flow->peer = (fl_peer_t){ .address = packet->source };
        flow->local = packet->destination;
        flow->endpoint = NULL;
        flow->is_fast = false;
        if (NULL == further)
        {
            fl_receive_learn(poller, flow, packet, listener->endpoint, head);
        }
        peer = &flow->peer;
        local = &flow->local;
    }
    else if (fl_address_is_same(&flow->peer.address, &packet->source) &&
        fl_address_is_same(&flow->local, &packet->destination))
    {
        peer = &flow->peer;
        local = &flow->local;
    }
    else
    {
        poller->spills[index] = (fl_spill_t){ .peer.address = packet->source, .local = packet->destination };
    }
    const uint8_t *data = frame->data + (packet->transport - head) + FL_UDP_LENGTH;
    poller->references[index] = 0;
    receive->packets++;
    receive->bytes += length;
    while (NULL != listener && receive->count < receive->capacity)
    {
        fl_run_t *run = &receive->runs[receive->count++];
        fl_receive_write(run, data, length, peer, local, listener->endpoint->context, index);
        if (0 != (listener->endpoint->flags & FL_ENDPOINT_TIMESTAMPS))
        {
            fl_receive_stamp(run, frame);
        }
        poller->references[index]++;
        listener = further;
        further = NULL == listener ? NULL
                                   : fl_receive_listener(
                                         fl_demux_next(listener, &packet->destination), &packet->source,
                                         &packet->destination);
    }
    if (NULL != listener)
    {
        if (peer != &poller->spills[index].peer)
        {
            poller->spills[index] = (fl_spill_t){ .peer.address = packet->source, .local = packet->destination };
        }
        poller->carry = listener;
        fl_receive_write(
            &poller->carried, data, length, &poller->spills[index].peer, &poller->spills[index].local, NULL, index);
    }
}

fl_count_t fl_receive_slow(fl_receive_t *receive, uint32_t index, bool *is_held)
{
    fl_poller_t *poller = receive->poller;
    fl_transport_t *netstack = poller->netstack;
    const fl_rx_frame_t *frame = &poller->frames[index];
    uint8_t head[FL_NETSTACK_HEAD];
    fl_packet_t packet;
    fl_udp_header_t udp;
    const uint32_t head_length = frame->length < sizeof(head) ? frame->length : (uint32_t)sizeof(head);
    const fl_parse_rules_t rules = {
        .vlan_own = netstack->config.vlan,
        .vlan_taken = frame->vlan,
        .has_verdict = FL_CHECKSUM_GOOD == frame->checksum,
    };
    *is_held = false;
    memcpy(head, frame->data, head_length);
    fl_count_t reason = fl_parse(&packet, head, head_length, frame->length, &rules);
    if (FL_COUNT_LIMIT != reason)
    {
        return reason;
    }
    if (!fl_receive_is_for_us(poller, head))
    {
        return FL_COUNT_RX_NOT_MINE;
    }
    if (FL_ETHER_TYPE_ARP == packet.ether_type)
    {
        return NULL == netstack->control ? FL_COUNT_RX_ETHER_TYPE : fl_receive_control(poller, frame, &rules);
    }
    if (FL_IP_PROTOCOL_UDP != packet.protocol)
    {
        return fl_receive_control(poller, frame, &rules);
    }
    reason = fl_receive_udp(poller, &packet, frame, head, head_length, &udp);
    if (FL_COUNT_LIMIT != reason)
    {
        return reason;
    }
    const bool is_group = fl_address_is_multicast(&packet.destination);
    if (fl_address_is_multicast(&packet.source) || (!is_group && 0 != (head[0] & 1)))
    {
        return FL_COUNT_RX_NOT_MINE;
    }
    fl_listener_t *listener = fl_demux_find(poller, &packet.destination);
    if (NULL == listener ||
        (fl_address_is_wildcard(&listener->address) && !fl_addresses_has(&netstack->addresses, &packet.destination)))
    {
        return fl_receive_why_not(poller, &packet.destination);
    }
    listener = fl_receive_listener(listener, &packet.source, &packet.destination);
    if (NULL == listener)
    {
        return FL_COUNT_RX_STRANGER;
    }
    fl_receive_deliver(receive, index, &packet, head, ntohs(udp.length) - FL_UDP_LENGTH, listener);
    *is_held = true;
    return FL_COUNT_LIMIT;
}
