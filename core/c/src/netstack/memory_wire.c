/* What goes into a port in memory and comes out of it: injected and taken frames, the way to the far port. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netstack/checksum.h"
#include "netstack/headers.h"
#include "netstack/memory_port.h"
#include "transport/address.h"

/* ---- rings ---- */

int fl_memory_ring_init(fl_memory_ring_t *ring, uint32_t count, uint32_t length)
{
    const size_t stride = (length + 2 + 63) / 64 * 64;
    memset(ring, 0, sizeof(*ring));
    ring->count = count;
    ring->slots = calloc(count, sizeof(*ring->slots));
    ring->vacant = calloc(count, sizeof(*ring->vacant));
    ring->waiting = calloc(count, sizeof(*ring->waiting));
    ring->memory = aligned_alloc(64, count * stride);
    if (NULL == ring->slots || NULL == ring->vacant || NULL == ring->waiting || NULL == ring->memory)
    {
        fl_memory_ring_destroy(ring);
        return -FL_ENOMEM;
    }
    memset(ring->memory, 0, count * stride);
    for (uint32_t i = 0; i < count; i++)
    {
        ring->slots[i].data = ring->memory + i * stride + 2;
        ring->vacant[i] = count - 1 - i;
    }
    ring->vacant_count = count;
    return 0;
}

void fl_memory_ring_destroy(fl_memory_ring_t *ring)
{
    free(ring->memory);
    free(ring->waiting);
    free(ring->vacant);
    free(ring->slots);
    memset(ring, 0, sizeof(*ring));
}

void fl_memory_ring_append(fl_memory_ring_t *ring, uint32_t slot)
{
    const uint32_t place = ring->waiting_first + ring->waiting_count++;
    ring->waiting[place < ring->count ? place : place - ring->count] = slot;
}

uint32_t fl_memory_ring_take(fl_memory_ring_t *ring)
{
    if (0 == ring->waiting_count)
    {
        return FL_MEMORY_NO_SLOT;
    }
    const uint32_t slot = ring->waiting[ring->waiting_first];
    ring->waiting_first = ring->waiting_first + 1 < ring->count ? ring->waiting_first + 1 : 0;
    ring->waiting_count--;
    return slot;
}

/* ---- arriving ---- */

/* The UDP destination of a frame, tag and IPv4 options skipped. Returns false if it has none. */
static bool fl_memory_destination(const uint8_t *frame, uint32_t length, fl_address_t *address, uint32_t *vlan)
{
    uint32_t at = FL_ETHERNET_LENGTH;
    memset(address, 0, sizeof(*address));
    *vlan = FL_VLAN_NONE;
    if (length >= at + FL_VLAN_LENGTH && FL_ETHER_TYPE_VLAN == fl_load_u16(frame + 12))
    {
        *vlan = fl_load_u16(frame + at) & 0xfff;
        at += FL_VLAN_LENGTH;
    }
    if (length < at + FL_IPV4_LENGTH)
    {
        return false;
    }
    const uint8_t *ip = frame + at;
    uint32_t udp = at;
    if (FL_ETHER_TYPE_IPV4 == fl_load_u16(ip - 2) && FL_IP_PROTOCOL_UDP == ip[9])
    {
        address->family = FL_FAMILY_IPV4;
        memcpy(address->bytes, ip + 16, 4);
        udp += 4u * (ip[0] & 0xf);
    }
    else if (FL_ETHER_TYPE_IPV6 == fl_load_u16(ip - 2) && length >= at + FL_IPV6_LENGTH && FL_IP_PROTOCOL_UDP == ip[6])
    {
        address->family = FL_FAMILY_IPV6;
        memcpy(address->bytes, ip + 24, 16);
        udp += FL_IPV6_LENGTH;
    }
    if (FL_FAMILY_NONE == address->family || length < udp + FL_UDP_LENGTH)
    {
        return false;
    }
    address->port = fl_load_u16(frame + udp + 2);
    return true;
}

static uint32_t fl_memory_steer(const fl_port_t *port, const uint8_t *frame, uint32_t length)
{
    fl_address_t address;
    uint32_t vlan;
    if (0 != (port->config.offloads & FL_PORT_STEERING) && fl_memory_destination(frame, length, &address, &vlan))
    {
        for (uint32_t i = 0; i < port->filter_count; i++)
        {
            if (vlan == port->filters[i].vlan && fl_address_is_same(&address, &port->filters[i].address))
            {
                return port->filters[i].queue;
            }
        }
    }
    return 0;
}

static bool fl_memory_is_filtered(const fl_port_t *port, const uint8_t *frame)
{
    static const uint8_t broadcast[] = { 255, 255, 255, 255, 255, 255 };
    if (0 == port->config.filters_groups || 0 == (frame[0] & 1) || 0 == memcmp(frame, broadcast, FL_MAC_LENGTH))
    {
        return false;
    }
    for (uint32_t i = 0; i < port->group_count; i++)
    {
        const uint8_t *bytes = port->groups[i].bytes;
        const bool matches = FL_FAMILY_IPV6 == port->groups[i].family
            ? 0x33 == frame[0] && 0 == memcmp(frame + 2, bytes + 12, 4)
            : 0x01 == frame[0] && frame[3] == (bytes[1] & 0x7f) && frame[4] == bytes[2] && frame[5] == bytes[3];
        if (matches)
        {
            return false;
        }
    }
    return true;
}

int fl_memory_arrive(fl_port_t *port, uint32_t queue, const uint8_t *frame, uint32_t length)
{
    fl_memory_queue_t *at = &port->queues[queue];
    fl_memory_ring_t *ring = &at->received;
    port->totals.injected++;
    if (fl_memory_is_filtered(port, frame))
    {
        port->totals.filtered++;
        return 0;
    }
    if (0 == ring->vacant_count)
    {
        port->totals.overflows++;
        return -FL_ENOBUFS;
    }
    const uint32_t slot = ring->vacant[--ring->vacant_count];
    memcpy(ring->slots[slot].data, frame, length);
    ring->slots[slot].length = length;
    ring->slots[slot].checksum = (uint8_t)port->faults.checksum;
    fl_memory_ring_append(ring, slot);
    if (at->is_armed)
    {
        const uint64_t one = 1;
        at->is_armed = sizeof(one) != (size_t)write(at->descriptor, &one, sizeof(one));
    }
    return 0;
}

int fl_memory_port_inject(void *object, uint32_t queue, const uint8_t *frame, uint32_t length)
{
    fl_port_t *port = object;
    if (length > fl_memory_frame_maximum(port) || queue >= port->config.queues)
    {
        return -FL_EMSGSIZE;
    }
    pthread_mutex_lock(&port->mutex);
    const int result = fl_memory_arrive(port, queue, frame, length);
    pthread_mutex_unlock(&port->mutex);
    return result;
}

/* ---- mutations ---- */

static uint64_t fl_memory_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Change a frame. Headers are hit more often than the payload. Returns its new length. */
static uint32_t fl_memory_mutate(uint8_t *frame, uint32_t length, uint32_t most, uint64_t *seed)
{
    static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x45, 0x11 };
    const uint64_t changes = fl_memory_random(seed) % (most + 1);
    for (uint64_t i = 0; i < changes && length > 0; i++)
    {
        const uint64_t drawn = fl_memory_random(seed);
        const uint32_t reach = 0 != (drawn & 7) && length > 80 ? 80 : length;
        const uint32_t place = (uint32_t)(drawn >> 32) % reach;
        switch (drawn >> 3 & 7)
        {
            case 0:
                length = place;
                break;
            case 1:
            case 2:
                frame[place] = edges[drawn >> 6 & 7];
                break;
            case 3:
                frame[place] = (uint8_t)(drawn >> 8);
                break;
            default:
                frame[place] ^= (uint8_t)(1u << (drawn >> 6 & 7));
                break;
        }
    }
    return length;
}

int fl_memory_port_inject_mutated(
    void *object, uint32_t queue, const uint8_t *frame, uint32_t length, uint32_t count, uint32_t most, uint64_t *seed)
{
    fl_port_t *port = object;
    uint8_t changed[2048];
    uint32_t done = 0;
    if (length > sizeof(changed) || length > fl_memory_frame_maximum(port) || queue >= port->config.queues)
    {
        return -FL_EMSGSIZE;
    }
    pthread_mutex_lock(&port->mutex);
    for (; done < count && 0 != port->queues[queue].received.vacant_count; done++)
    {
        memcpy(changed, frame, length);
        const uint32_t left = fl_memory_mutate(changed, length, most, seed);
        fl_memory_arrive(port, queue, changed, left);
    }
    pthread_mutex_unlock(&port->mutex);
    return (int)done;
}

/* ---- leaving ---- */

/* Do what the frame asks the device for. The frame is whole and well-formed: the netstack made it. */
static void fl_memory_fill_checksums(uint8_t *frame, uint32_t length, const fl_tx_frame_t *asked)
{
    uint8_t *ip = frame + asked->l2_length;
    uint8_t *udp = ip + asked->l3_length;
    if (0 != (asked->flags & FL_TX_CHECKSUM_IPV4))
    {
        const uint16_t sum = fl_checksum_finish(fl_checksum_sum(ip, asked->l3_length));
        memcpy(ip + offsetof(fl_ipv4_header_t, checksum), &sum, sizeof(sum));
    }
    if (0 != (asked->flags & FL_TX_CHECKSUM_UDP))
    {
        uint16_t sum = fl_checksum_finish(fl_checksum_sum(udp, length - asked->l2_length - asked->l3_length));
        sum = 0 == sum ? 0xffff : sum;
        memcpy(udp + offsetof(fl_udp_header_t, checksum), &sum, sizeof(sum));
    }
}

/* Write the frame's bytes where it goes. */
static uint32_t fl_memory_write(uint8_t *to, const fl_tx_frame_t *frame)
{
    const uint32_t length = (uint32_t)frame->length + frame->payload_length;
    memcpy(to, frame->data, frame->length);
    if (0 != frame->payload_length)
    {
        memcpy(to + frame->length, frame->payload, frame->payload_length);
    }
    if (0 != frame->flags)
    {
        fl_memory_fill_checksums(to, length, frame);
    }
    return length;
}

static void fl_memory_cross(fl_port_t *to, const fl_tx_frame_t *frame)
{
    uint8_t bytes[65536];
    const uint32_t length = fl_memory_write(bytes, frame);
    pthread_mutex_lock(&to->mutex);
    if (to->is_started && to->is_up && length <= fl_memory_frame_maximum(to))
    {
        fl_memory_arrive(to, fl_memory_steer(to, bytes, length), bytes, length);
    }
    pthread_mutex_unlock(&to->mutex);
}

bool fl_memory_transmit(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frame)
{
    if (0 != port->faults.loses_transmitted || !port->is_up)
    {
        return true;
    }
    if (0 != (port->config.offloads & FL_PORT_LOOPS_BACK) && 0 == memcmp(frame->data, port->config.mac, FL_MAC_LENGTH))
    {
        fl_memory_cross(port, frame);
        return true;
    }
    if (NULL != port->far)
    {
        fl_memory_cross(port->far, frame);
        return true;
    }
    pthread_mutex_lock(&port->mutex);
    fl_memory_ring_t *ring = &port->sent;
    const bool has_room = 0 != ring->vacant_count;
    if (has_room)
    {
        const uint32_t slot = ring->vacant[--ring->vacant_count];
        ring->slots[slot].length = fl_memory_write(ring->slots[slot].data, frame);
        ring->slots[slot].sent = (fl_memory_port_sent_t){
            .queue = queue, .flags = frame->flags, .payload_length = frame->payload_length
        };
        fl_memory_ring_append(ring, slot);
    }
    pthread_mutex_unlock(&port->mutex);
    return has_room;
}

int fl_memory_port_take(void *object, uint8_t *frame, uint32_t capacity, fl_memory_port_sent_t *sent)
{
    fl_port_t *port = object;
    pthread_mutex_lock(&port->mutex);
    const uint32_t slot = fl_memory_ring_take(&port->sent);
    uint32_t length = 0;
    if (FL_MEMORY_NO_SLOT != slot)
    {
        const fl_memory_slot_t *taken = &port->sent.slots[slot];
        length = taken->length < capacity ? taken->length : capacity;
        memcpy(frame, taken->data, length);
        if (NULL != sent)
        {
            *sent = taken->sent;
        }
        port->sent.vacant[port->sent.vacant_count++] = slot;
    }
    pthread_mutex_unlock(&port->mutex);
    return (int)length;
}
