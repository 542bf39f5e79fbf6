/* Frames in: poll and release.
 *
 * A frame of a known flow is recognised by a few words of its headers, each read once. Any other one is judged from a copy
 * of its headers and, if an endpoint takes it, makes its flow known.
 */
#include <string.h>

#include "netstack/checksum.h"
#include "netstack/netstack.h"
#include "netstack/parse.h"
#include "transport/address.h"

#define FL_RECEIVE_AHEAD 4     /* frames: how far ahead headers are fetched, which another core or the device wrote */
#define FL_RECEIVE_FAST_HEADERS (FL_ETHERNET_LENGTH + FL_IPV4_LENGTH + FL_UDP_LENGTH)

/* What one poll has come to. */
typedef struct fl_receive
{
    fl_poller_t *poller;
    fl_run_t *runs;
    uint32_t count;
    uint32_t capacity;
    int64_t packets;
    int64_t bytes;
    uint32_t dropped_first;   /* frames to give back at once: those from here */
    uint32_t dropped_end;     /* up to here */
} fl_receive_t;

static inline uint64_t fl_receive_u64(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static inline uint32_t fl_receive_u32(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* The 16 bits that lie at an offset of a word as it was loaded. */
static inline uint16_t fl_receive_part(uint64_t word, uint32_t offset)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (uint16_t)(word >> (8 * offset));
#else
    return (uint16_t)(word >> (48 - 8 * offset));
#endif
}

static inline uint64_t fl_receive_halves(uint64_t word)
{
    return (word & 0xffffffff) + (word >> 32);
}

/* Byte 15, the type of service, may differ within a flow. */
static inline uint64_t fl_receive_mask_second(uint64_t word)
{
    static const uint8_t mask[8] = { 255, 255, 255, 255, 255, 255, 255, 0 };
    return word & fl_receive_u64(mask);
}

/* So may total length, id, the bit "do not fragment", and the TTL, in bytes 16 to 23. */
static inline uint64_t fl_receive_mask_third(uint64_t word)
{
    static const uint8_t mask[8] = { 0, 0, 0, 0, 0xbf, 255, 0, 255 };
    return word & fl_receive_u64(mask);
}

static inline fl_flow_t *fl_receive_flow(fl_poller_t *poller, uint64_t addresses, uint32_t ports)
{
    const uint64_t mixed = (addresses ^ (uint64_t)ports << 16 ^ ports) * UINT64_C(0x9e3779b97f4a7c15);
    return &poller->flows[mixed >> 55 & (FL_NETSTACK_FLOWS - 1)];
}

void fl_flows_clear(fl_poller_t *poller)
{
    for (uint32_t i = 0; i < FL_NETSTACK_FLOWS; i++)
    {
        poller->flows[i].endpoint = NULL;
        poller->flows[i].is_fast = false;
    }
}

/* ---- giving frames back ---- */

static void fl_receive_give_back(fl_receive_t *receive)
{
    fl_poller_t *poller = receive->poller;
    if (receive->dropped_first < receive->dropped_end)
    {
        poller->ops->rx_release(
            poller->port, poller->queue, &poller->frames[receive->dropped_first],
            receive->dropped_end - receive->dropped_first);
    }
    receive->dropped_first = receive->dropped_end = 0;
}

static void fl_receive_drop(fl_receive_t *receive, uint32_t index)
{
    receive->poller->references[index] = 0;
    if (receive->dropped_end != index || receive->dropped_first == receive->dropped_end)
    {
        fl_receive_give_back(receive);
        receive->dropped_first = index;
    }
    receive->dropped_end = index + 1;
}

void fl_netstack_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    uint32_t first = 0;
    uint32_t end = 0;   /* frames from first to end are to be given back */
    if (poller->is_plain && count == poller->held)
    {
        /* All that the poll gave, as a rule. */
        memset(&poller->references[poller->plain_first], 0, count);
        poller->held = 0;
        poller->is_plain = false;
        poller->ops->rx_release(poller->port, poller->queue, &poller->frames[poller->plain_first], count);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
    {
        const uint32_t index = (uint32_t)runs[i].token;
        if (index >= FL_NETSTACK_BURST || 0 == poller->references[index])
        {
            continue;
        }
        poller->held--;
        if (0 != --poller->references[index] || (NULL != poller->carry && poller->next == index))
        {
            continue;
        }
        if (index != end)
        {
            if (first < end)
            {
                poller->ops->rx_release(poller->port, poller->queue, &poller->frames[first], end - first);
            }
            first = index;
        }
        end = index + 1;
    }
    if (first < end)
    {
        poller->ops->rx_release(poller->port, poller->queue, &poller->frames[first], end - first);
    }
}

void fl_receive_abandon(fl_poller_t *poller)
{
    poller->carry = NULL;
    if (poller->next < poller->taken)
    {
        poller->ops->rx_release(
            poller->port, poller->queue, &poller->frames[poller->next], poller->taken - poller->next);
    }
    poller->next = poller->taken = 0;
}

void fl_receive_forget(fl_poller_t *poller, const fl_endpoint_t *endpoint)
{
    while (NULL != poller->carry && endpoint == poller->carry->endpoint)
    {
        poller->carry = fl_demux_next(poller->carry, poller->carried.local);
        if (NULL == poller->carry)
        {
            const uint32_t index = poller->next++;
            if (0 == poller->references[index])
            {
                poller->ops->rx_release(poller->port, poller->queue, &poller->frames[index], 1);
            }
        }
    }
}

/* ---- the known flow ---- */

static inline void fl_receive_stamp(fl_run_t *run, const fl_rx_frame_t *frame)
{
    if (FL_CLOCK_SOFTWARE == frame->clock || FL_CLOCK_HARDWARE_SYNC == frame->clock)
    {
        run->timestamp_ns = frame->timestamp_ns;
        run->flags |= FL_RUN_TIMESTAMP;
    }
}

static inline void fl_receive_write(
    fl_run_t *run, const uint8_t *data, uint32_t length, const fl_peer_t *peer, const fl_address_t *local, void *context,
    uint32_t index)
{
    *run = (fl_run_t){
        .data = data,
        .length = length,
        .segment_length = length,
        .peer = peer,
        .local = local,
        .context = context,
        .token = index,
    };
}

/* Take a frame of a known flow. Returns false if it is none, or if anything is wrong with it. */
static inline bool fl_receive_fast(fl_receive_t *receive, uint32_t index, bool verifies_udp)
{
    fl_poller_t *poller = receive->poller;
    const fl_rx_frame_t *frame = &poller->frames[index];
    const uint8_t *data = frame->data;
    if (frame->length < FL_RECEIVE_FAST_HEADERS || FL_CHECKSUM_BAD == frame->checksum)
    {
        return false;
    }
    const uint64_t first = fl_receive_u64(data);
    const uint64_t second = fl_receive_u64(data + 8);
    const uint64_t third = fl_receive_u64(data + 16);
    const uint64_t addresses = fl_receive_u64(data + 26);
    const uint32_t ports = fl_receive_u32(data + 34);
    const uint32_t length_and_sum = fl_receive_u32(data + 38);
    fl_flow_t *flow = fl_receive_flow(poller, addresses, ports);
    if (!flow->is_fast ||
        0 != ((first ^ flow->words[0]) | (fl_receive_mask_second(second) ^ flow->words[1]) |
              (fl_receive_mask_third(third) ^ flow->words[2]) | (addresses ^ flow->words[3]) | (ports ^ flow->ports)))
    {
        return false;
    }
    uint16_t udp[2];
    memcpy(udp, &length_and_sum, sizeof(udp));
    const uint32_t total_length = ntohs(fl_receive_part(third, 0));
    const uint32_t udp_length = ntohs(udp[0]);
    if (total_length + FL_ETHERNET_LENGTH > frame->length || udp_length < FL_UDP_LENGTH ||
        udp_length + FL_IPV4_LENGTH > total_length)
    {
        return false;
    }
    const uint32_t length = udp_length - FL_UDP_LENGTH;
    if (FL_CHECKSUM_GOOD != frame->checksum)
    {
        uint16_t header_sum;
        memcpy(&header_sum, data + 24, sizeof(header_sum));
        const uint64_t sum = fl_receive_part(second, 6) + fl_receive_halves(third) + fl_receive_halves(addresses) + header_sum;
        if (0xffff != fl_checksum_fold(sum))
        {
            return false;
        }
        if (verifies_udp && 0 != udp[1] &&
            0xffff != fl_checksum_fold(fl_checksum_add(
                          fl_checksum_sum(data + FL_RECEIVE_FAST_HEADERS, length), flow->pseudo + 2u * udp[0] + udp[1])))
        {
            return false;
        }
    }
    flow->turn = poller->turn;
    fl_run_t *run = &receive->runs[receive->count++];
    fl_receive_write(run, data + FL_RECEIVE_FAST_HEADERS, length, &flow->peer, &flow->local, flow->context, index);
    if (flow->has_timestamps)
    {
        fl_receive_stamp(run, frame);
    }
    poller->references[index] = 1;
    receive->packets++;
    receive->bytes += length;
    return true;
}

/* ---- any other frame ---- */

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

/* The next listener from `listener` on that wants what comes from `source`. */
static fl_listener_t *fl_receive_listener(
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
        flow->words[0] = fl_receive_u64(head);
        flow->words[1] = fl_receive_mask_second(fl_receive_u64(head + 8));
        flow->words[2] = fl_receive_mask_third(fl_receive_u64(head + 16));
        flow->words[3] = fl_receive_u64(head + 26);
        flow->ports = fl_receive_u32(head + 34);
        flow->pseudo = fl_checksum_pseudo(&packet->source, &packet->destination, FL_IP_PROTOCOL_UDP, 0);
        flow->pseudo = fl_checksum_fold(fl_checksum_add(flow->pseudo, flow->ports));
    }
}

/* Write the runs of one datagram, one for each listener. Where the capacity ends before them, the next poll goes on with
 * poller->carry. */
static void fl_receive_deliver(
    fl_receive_t *receive, uint32_t index, const fl_packet_t *packet, const uint8_t *head, uint32_t length,
    fl_listener_t *listener)
{
    fl_poller_t *poller = receive->poller;
    const fl_rx_frame_t *frame = &poller->frames[index];
    uint64_t addresses = 0;
    for (uint32_t at = 0; at < 16; at += 8)
    {
        addresses ^= fl_receive_u64(packet->source.bytes + at) * 3 ^ fl_receive_u64(packet->destination.bytes + at);
    }
    if (FL_FAMILY_IPV4 == packet->source.family)
    {
        uint8_t both[8];
        memcpy(both, packet->source.bytes, 4);
        memcpy(both + 4, packet->destination.bytes, 4);
        addresses = fl_receive_u64(both);
    }
    fl_flow_t *flow = fl_receive_flow(poller, addresses, fl_receive_u32(packet->transport));
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
    else if (fl_address_is_same(&flow->peer.address, &packet->source) && fl_address_is_same(&flow->local, &packet->destination))
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

/* Judge a frame from a copy of its headers. Returns what it is dropped under, or FL_COUNT_LIMIT if it was taken: `is_held`
 * says whether runs hold it. */
static fl_count_t fl_receive_slow(fl_receive_t *receive, uint32_t index, bool *is_held)
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

/* ---- poll ---- */

/* Go on with the frame that the poll before could not hand to all its listeners. */
static void fl_receive_carried(fl_receive_t *receive)
{
    fl_poller_t *poller = receive->poller;
    const uint32_t index = poller->next;
    while (NULL != poller->carry && receive->count < receive->capacity)
    {
        fl_endpoint_t *endpoint = poller->carry->endpoint;
        fl_run_t *run = &receive->runs[receive->count++];
        *run = poller->carried;
        run->context = endpoint->context;
        if (0 != (endpoint->flags & FL_ENDPOINT_TIMESTAMPS))
        {
            fl_receive_stamp(run, &poller->frames[index]);
        }
        poller->references[index]++;
        poller->carry = fl_receive_listener(
            fl_demux_next(poller->carry, poller->carried.local), &poller->carried.peer->address, poller->carried.local);
    }
    poller->next += NULL == poller->carry;
}

/* Take frames from the port once those of the poll before are all handed out. */
static int fl_receive_take(fl_poller_t *poller, uint32_t capacity)
{
    if (poller->next < poller->taken)
    {
        return 1;
    }
    const int taken = fl_netstack_note(
        poller->netstack, poller->ops->rx_burst(poller->port, poller->queue, poller->frames, capacity));
    poller->next = 0;
    poller->taken = taken > 0 ? (uint32_t)taken : 0;
    return taken;
}

int fl_netstack_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    fl_transport_t *netstack = poller->netstack;
    if (__builtin_expect(0 != poller->held, 0))
    {
        return -FL_EBUSY;
    }
    if (__builtin_expect(fl_netstack_is_lost(netstack), 0))
    {
        return -FL_ENODEV;
    }
    fl_poller_duties(poller);
    poller->turn++;
    fl_receive_t receive = {
        .poller = poller,
        .runs = runs,
        .capacity = capacity < poller->burst ? capacity : poller->burst,
    };
    if (NULL != poller->carry)
    {
        fl_receive_carried(&receive);
    }
    /* A run of the carried frame is out: its place is not to be filled again yet. */
    const int result = 0 == receive.count ? fl_receive_take(poller, receive.capacity) : 1;
    if (result <= 0)
    {
        return result;
    }
    const uint32_t first = poller->next;
    const bool verifies_udp = 0 == (netstack->config.flags & FL_NETSTACK_NO_UDP_CHECKSUM);
    while (poller->next < poller->taken && receive.count < receive.capacity)
    {
        const uint32_t index = poller->next;
        if (index + FL_RECEIVE_AHEAD < poller->taken)
        {
            __builtin_prefetch(poller->frames[index + FL_RECEIVE_AHEAD].data);
        }
        if (fl_receive_fast(&receive, index, verifies_udp))
        {
            poller->next++;
            continue;
        }
        bool is_held;
        const fl_count_t reason = fl_receive_slow(&receive, index, &is_held);
        if (FL_COUNT_LIMIT != reason)
        {
            fl_counts_add(poller->counts, reason, 1);
        }
        if (!is_held)
        {
            fl_receive_drop(&receive, index);
        }
        poller->next += NULL == poller->carry;
    }
    fl_receive_give_back(&receive);
    if (0 != receive.packets)
    {
        fl_counts_add(poller->counts, FL_COUNT_RX_PACKETS, receive.packets);
        fl_counts_add(poller->counts, FL_COUNT_RX_BYTES, receive.bytes);
    }
    /* Each frame gave one run, in order. */
    poller->is_plain = 0 != receive.count && receive.count == receive.packets && receive.count == poller->next - first;
    poller->plain_first = first;
    poller->held = receive.count;
    return (int)receive.count;
}
