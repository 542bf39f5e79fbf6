/* Headers of outgoing datagrams: made when the way to a peer is new, stamped on every frame. */
#include <string.h>

#include "netstack/checksum.h"
#include "netstack/netstack.h"
#include "transport/address.h"

static void fl_header_group_mac(const fl_address_t *group, uint8_t mac[FL_MAC_LENGTH])
{
    /* RFC 1112: the low 23 bits of the group; RFC 2464: the low 32. */
    static const uint8_t first4[] = { 0x01, 0x00, 0x5e };
    if (FL_FAMILY_IPV4 == group->family)
    {
        memcpy(mac, first4, 3);
        mac[3] = group->bytes[1] & 0x7f;
        mac[4] = group->bytes[2];
        mac[5] = group->bytes[3];
        return;
    }
    mac[0] = mac[1] = 0x33;
    memcpy(mac + 2, group->bytes + 12, 4);
}

static void fl_header_store(uint8_t *bytes, const fl_address_t *address)
{
    memcpy(bytes, address->bytes, FL_FAMILY_IPV6 == address->family ? 16 : 4);
}

/* The source that is sent from: the run's if it is one of ours, else the endpoint's own, else the route's. */
static bool fl_header_source(
    fl_transport_t *netstack, const fl_endpoint_t *endpoint, const fl_address_t *local, const fl_address_t *of_route,
    fl_address_t *source)
{
    if (NULL != local && local->family == endpoint->local.family && !fl_address_is_multicast(local) &&
        !fl_address_is_wildcard(local) && fl_addresses_has(&netstack->addresses, local))
    {
        *source = *local;
        return true;
    }
    *source = FL_FAMILY_NONE != endpoint->source.family ? endpoint->source : *of_route;
    return FL_FAMILY_NONE != source->family;
}

/* Find the MAC address of a next hop. */
static int fl_header_neighbour(
    fl_poller_t *poller, const fl_address_t *next_hop, uint8_t mac[FL_MAC_LENGTH], uint32_t *slot)
{
    fl_transport_t *netstack = poller->netstack;
    if (fl_addresses_has(&netstack->addresses, next_hop))
    {
        memcpy(mac, netstack->attributes.mac, FL_MAC_LENGTH);
        return 0 != (netstack->attributes.offloads & FL_PORT_LOOPS_BACK) ? 0 : -FL_EHOSTUNREACH;
    }
    const uint32_t state = fl_neighbours_find(&netstack->neighbours, next_hop, poller->tick_ns, mac, slot);
    if (fl_neighbour_is_usable(state))
    {
        return 0;
    }
    fl_poller_wish(poller, next_hop);
    return FL_NEIGHBOUR_FAILED == state ? -FL_EHOSTUNREACH : -FL_EAGAIN;
}

/* Find the way to a peer. */
static int fl_header_find_way(
    fl_poller_t *poller, fl_endpoint_t *endpoint, const fl_address_t *peer, const fl_address_t *local, fl_way_t *way,
    fl_address_t *next_hop)
{
    fl_transport_t *netstack = poller->netstack;
    fl_address_t of_route = { .family = FL_FAMILY_NONE };
    fl_address_t source;
    uint32_t mtu = 0;
    memset(way, 0, sizeof(*way));
    way->slot = FL_NEIGHBOUR_NO_SLOT;
    if (peer->family != endpoint->local.family)
    {
        return -FL_EAFNOSUPPORT;
    }
    if (fl_address_is_multicast(peer))
    {
        fl_header_group_mac(peer, way->mac);
        fl_addresses_source_for(&netstack->addresses, peer, &of_route);
        way->hop_limit = (uint8_t)(endpoint->ttl < 255 ? endpoint->ttl : 255);
    }
    else
    {
        int result = fl_routes_find(&netstack->routes, &netstack->addresses, peer, next_hop, &of_route, &mtu);
        if (0 == result)
        {
            result = fl_header_neighbour(poller, next_hop, way->mac, &way->slot);
        }
        if (result < 0)
        {
            return result;
        }
        way->hop_limit = FL_NETSTACK_UNICAST_TTL;
    }
    if (!fl_header_source(netstack, endpoint, local, &of_route, &source))
    {
        return -FL_EADDRNOTAVAIL;
    }
    fl_header_store(way->source, &source);
    way->mtu_length = (uint16_t)(0 != mtu && mtu < netstack->config.mtu_length ? mtu : netstack->config.mtu_length);
    way->endpoint_id = endpoint->id;
    return 0;
}

static uint32_t fl_header_ethernet(
    const fl_transport_t *netstack, uint8_t *bytes, const fl_way_t *way, uint16_t ether_type)
{
    uint32_t length = 2 * FL_MAC_LENGTH;
    memcpy(bytes, way->mac, FL_MAC_LENGTH);
    memcpy(bytes + FL_MAC_LENGTH, netstack->attributes.mac, FL_MAC_LENGTH);
    if (FL_VLAN_NONE != netstack->config.vlan)
    {
        fl_store_u16(bytes + length, FL_ETHER_TYPE_VLAN);
        fl_store_u16(bytes + length + 2, (uint16_t)netstack->config.vlan);
        length += FL_VLAN_LENGTH;
    }
    fl_store_u16(bytes + length, ether_type);
    return length + 2;
}

/* Write the headers of a way, but for what depends on the length of the payload. */
static void fl_header_write(
    const fl_transport_t *netstack, const fl_endpoint_t *endpoint, const fl_address_t *peer, const fl_way_t *way,
    fl_header_t *header)
{
    const bool is_ipv4 = FL_FAMILY_IPV4 == peer->family;
    const uint32_t offloads = netstack->attributes.offloads;
    fl_address_t source = { .family = peer->family };
    memcpy(source.bytes, way->source, 16);
    header->flags = 0;
    header->l2_length =
        (uint8_t)fl_header_ethernet(netstack, header->bytes, way, is_ipv4 ? FL_ETHER_TYPE_IPV4 : FL_ETHER_TYPE_IPV6);
    uint8_t *ip = header->bytes + header->l2_length;
    if (is_ipv4)
    {
        fl_ipv4_header_t written = {
            .version_and_length = 0x45,
            .flags_and_offset = htons(0x4000),   /* not fragmented, so the id may be any (RFC 6864) */
            .ttl = way->hop_limit,
            .protocol = FL_IP_PROTOCOL_UDP,
        };
        memcpy(written.source, source.bytes, 4);
        memcpy(written.destination, peer->bytes, 4);
        header->l3_length = FL_IPV4_LENGTH;
        memcpy(ip, &written, sizeof(written));
        header->ip_sum = fl_checksum_sum(ip, FL_IPV4_LENGTH);
        header->flags |= 0 != (offloads & FL_PORT_TX_CHECKSUM_IPV4) ? FL_TX_CHECKSUM_IPV4 : 0;
    }
    else
    {
        fl_ipv6_header_t written = {
            .version_and_flow = htonl(6u << 28),
            .next_header = FL_IP_PROTOCOL_UDP,
            .hop_limit = way->hop_limit,
        };
        memcpy(written.source, source.bytes, 16);
        memcpy(written.destination, peer->bytes, 16);
        header->l3_length = FL_IPV6_LENGTH;
        memcpy(ip, &written, sizeof(written));
    }
    const fl_udp_header_t udp = { .source_port = htons(endpoint->local.port), .destination_port = htons(peer->port) };
    memcpy(ip + header->l3_length, &udp, sizeof(udp));
    header->udp_sum = fl_checksum_pseudo(&source, peer, FL_IP_PROTOCOL_UDP, 0);
    header->has_checksum = !is_ipv4 || 0 == (netstack->config.flags & FL_NETSTACK_NO_UDP_CHECKSUM);
    if (header->has_checksum && 0 != (offloads & FL_PORT_TX_CHECKSUM_UDP))
    {
        header->flags |= FL_TX_CHECKSUM_UDP;
        header->has_checksum = false;
    }
    header->udp_sum = 0 != (header->flags & FL_TX_CHECKSUM_UDP)
        ? header->udp_sum
        : fl_checksum_add(header->udp_sum, fl_checksum_sum((const uint8_t *)&udp, sizeof(udp)));
    header->length = header->l2_length + header->l3_length + FL_UDP_LENGTH;
    header->most_payload = way->mtu_length - header->l3_length - FL_UDP_LENGTH;
    header->payload = UINT32_MAX;
}

int fl_header_make(
    fl_poller_t *poller, fl_endpoint_t *endpoint, const fl_peer_t *peer, const fl_address_t *local, uint64_t generation,
    fl_address_t *next_hop)
{
    static const fl_address_t none = { .family = FL_FAMILY_NONE };
    fl_header_t *header = &endpoint->header;
    const fl_address_t *wanted = NULL != local ? local : &none;
    if (header->generation == generation && 0 == memcmp(&header->peer, &peer->address, sizeof(header->peer)) &&
        0 == memcmp(&header->local, wanted, sizeof(header->local)))
    {
        fl_neighbours_touch(&poller->netstack->neighbours, header->slot, poller->tick_ns);
        return 0;
    }
    fl_way_t way;
    memcpy(&way, peer->cache, sizeof(way));
    if (peer->generation != generation || way.endpoint_id != endpoint->id || NULL != local)
    {
        const int result = fl_header_find_way(poller, endpoint, &peer->address, local, &way, next_hop);
        if (result < 0)
        {
            return result;
        }
        /* The cache is the transport's, and the caller's peer no constant (types.h). A way with a source of the run's
         * own is not kept in it. */
        fl_peer_t *own = (fl_peer_t *)(uintptr_t)peer;
        own->generation = NULL == local ? generation : 0;
        memcpy(own->cache, &way, sizeof(way));
    }
    fl_header_write(poller->netstack, endpoint, &peer->address, &way, header);
    header->peer = peer->address;
    header->local = *wanted;
    header->slot = way.slot;
    fl_neighbours_touch(&poller->netstack->neighbours, way.slot, poller->tick_ns);
    header->generation = generation;
    return 0;
}

void fl_header_set_payload(fl_header_t *header, uint32_t payload)
{
    uint8_t *ip = header->bytes + header->l2_length;
    uint8_t *udp = ip + header->l3_length;
    const uint16_t udp_length = htons((uint16_t)(payload + FL_UDP_LENGTH));
    header->payload = payload;
    if (FL_IPV4_LENGTH == header->l3_length)
    {
        const uint16_t total_length = htons((uint16_t)(payload + FL_UDP_LENGTH + FL_IPV4_LENGTH));
        memcpy(ip + offsetof(fl_ipv4_header_t, total_length), &total_length, sizeof(total_length));
        const uint16_t checksum = 0 != (header->flags & FL_TX_CHECKSUM_IPV4)
            ? 0
            : fl_checksum_finish(fl_checksum_add(header->ip_sum, total_length));
        memcpy(ip + offsetof(fl_ipv4_header_t, checksum), &checksum, sizeof(checksum));
    }
    else
    {
        memcpy(ip + offsetof(fl_ipv6_header_t, payload_length), &udp_length, sizeof(udp_length));
    }
    memcpy(udp + offsetof(fl_udp_header_t, length), &udp_length, sizeof(udp_length));
    /* The length stands in the pseudo-header and in the header. */
    const uint32_t times = 0 != (header->flags & FL_TX_CHECKSUM_UDP) ? 1 : 2;
    header->sum = fl_checksum_fold(fl_checksum_add(header->udp_sum, (uint64_t)times * udp_length));
    const uint16_t offloaded = 0 != (header->flags & FL_TX_CHECKSUM_UDP) ? (uint16_t)header->sum : 0;
    memcpy(udp + offsetof(fl_udp_header_t, checksum), &offloaded, sizeof(offloaded));
}
