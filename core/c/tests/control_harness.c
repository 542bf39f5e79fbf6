/* The control protocols of the netstack behind a plain interface, for tests in Python: frames in, frames out, a clock
 * and a random number that the test chooses. It judges frames as the netstack does before it hands them on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/control.h"
#include "netstack/parse.h"
#include "transport/address.h"

#define HARNESS_FRAMES 512
#define HARNESS_LOG_LENGTH 8192
#define HARNESS_EXPORT __attribute__((visibility("default")))

typedef struct harness
{
    fl_host_t host;   /* first: the host's functions get this pointer */
    fl_addresses_t addresses;
    fl_routes_t routes;
    fl_neighbours_t neighbours;
    fl_counts_t counts;
    _Atomic uint64_t generation;
    fl_control_t *control;
    uint8_t mac[FL_MAC_LENGTH];
    uint64_t random;
    uint32_t room;    /* frames that the port still takes */
    uint32_t emitted;
    uint32_t lengths[HARNESS_FRAMES];
    uint8_t frames[HARNESS_FRAMES][FL_CONTROL_FRAME_MAXIMUM];
    char log[HARNESS_LOG_LENGTH];
} harness_t;

static uint64_t harness_random(const fl_host_t *host)
{
    return ((const harness_t *)host)->random;
}

static void harness_write_log(const fl_host_t *host, int32_t level, const char *text)
{
    harness_t *harness = (harness_t *)(uintptr_t)host;
    const size_t used = strlen(harness->log);
    snprintf(harness->log + used, sizeof(harness->log) - used, "%d %s\n", (int)level, text);
}

static int harness_emit(void *context, const uint8_t *frame, uint32_t length)
{
    harness_t *harness = context;
    if (length > FL_CONTROL_FRAME_MAXIMUM)
    {
        abort();
    }
    if (0 == harness->room || HARNESS_FRAMES == harness->emitted)
    {
        return -FL_EAGAIN;
    }
    harness->room--;
    memcpy(harness->frames[harness->emitted], frame, length);
    harness->lengths[harness->emitted++] = length;
    return 0;
}

HARNESS_EXPORT harness_t *harness_new(
    const uint8_t *mac, uint32_t mtu_length, int64_t reachable_ns, uint32_t neighbour_capacity)
{
    harness_t *harness = calloc(1, sizeof(*harness));
    harness->host = (fl_host_t){ .random = harness_random, .log = harness_write_log };
    harness->generation = 1;
    harness->room = UINT32_MAX;
    memcpy(harness->mac, mac, FL_MAC_LENGTH);
    if (0 != fl_neighbours_init(&harness->neighbours, neighbour_capacity, &harness->generation))
    {
        abort();
    }
    fl_control_config_t config = {
        .mtu_length = mtu_length,
        .addresses = &harness->addresses,
        .routes = &harness->routes,
        .neighbours = &harness->neighbours,
        .counts = &harness->counts,
        .host = &harness->host,
        .emit = harness_emit,
        .emit_context = harness,
        .reachable_ns = reachable_ns,
    };
    memcpy(config.mac, mac, FL_MAC_LENGTH);
    harness->control = fl_control_new(&config);
    return harness;
}

HARNESS_EXPORT void harness_free(harness_t *harness)
{
    fl_control_free(harness->control);
    fl_neighbours_destroy(&harness->neighbours);
    free(harness);
}

HARNESS_EXPORT int harness_set_addresses(harness_t *harness, const fl_interface_address_t *addresses, uint32_t count)
{
    return fl_addresses_set(&harness->addresses, addresses, count);
}

HARNESS_EXPORT void harness_set_random(harness_t *harness, uint64_t value)
{
    harness->random = value;
}

HARNESS_EXPORT void harness_set_room(harness_t *harness, uint32_t frames)
{
    harness->room = frames;
}

HARNESS_EXPORT void harness_start(harness_t *harness, int64_t now_ns)
{
    fl_control_start(harness->control, now_ns);
}

HARNESS_EXPORT int harness_tick(harness_t *harness, int64_t now_ns)
{
    return fl_control_tick(harness->control, now_ns);
}

static bool harness_is_mine(harness_t *harness, const fl_packet_t *packet)
{
    const fl_address_t *destination = &packet->destination;
    const bool is_to_mac = 0 != (packet->frame[0] & 1) || 0 == memcmp(packet->frame, harness->mac, FL_MAC_LENGTH);
    if (!is_to_mac || FL_ETHER_TYPE_ARP == packet->ether_type)
    {
        return is_to_mac;
    }
    return fl_address_is_multicast(destination) ? fl_control_wants_group(harness->control, destination)
                                                : fl_addresses_has(&harness->addresses, destination) ||
            fl_addresses_is_broadcast(&harness->addresses, destination);
}

HARNESS_EXPORT void harness_input(harness_t *harness, const uint8_t *frame, uint32_t length, int64_t now_ns)
{
    const fl_parse_rules_t rules = { .vlan_own = FL_VLAN_NONE, .vlan_taken = FL_VLAN_NONE };
    fl_packet_t packet;
    /* A copy of the very length, so that a sanitizer sees every byte read behind it. */
    uint8_t *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, frame, length);
    const fl_count_t fault = fl_parse(&packet, copy, length, length, &rules);
    if (FL_COUNT_LIMIT != fault)
    {
        fl_counts_add(&harness->counts, fault, 1);
    }
    else if (!harness_is_mine(harness, &packet))
    {
        fl_counts_add(&harness->counts, FL_COUNT_RX_NOT_MINE, 1);
    }
    else if (NULL != packet.transport && FL_IP_PROTOCOL_UDP == packet.protocol)
    {
        fl_counts_add(&harness->counts, FL_COUNT_RX_NO_LISTENER, 1);
    }
    else
    {
        fl_control_input(harness->control, &packet, now_ns);
    }
    free(copy);
}

HARNESS_EXPORT void harness_resolve(harness_t *harness, const fl_address_t *next_hop, int64_t now_ns)
{
    fl_control_resolve(harness->control, next_hop, now_ns);
}

HARNESS_EXPORT int harness_join(harness_t *harness, const fl_address_t *group, int64_t now_ns)
{
    return fl_control_join(harness->control, group, now_ns);
}

HARNESS_EXPORT void harness_leave(harness_t *harness, const fl_address_t *group, int64_t now_ns)
{
    fl_control_leave(harness->control, group, now_ns);
}

/* What a poller does that sends to the next hop. */
HARNESS_EXPORT uint32_t harness_use(harness_t *harness, const fl_address_t *next_hop, int64_t now_ns, uint8_t *mac)
{
    uint32_t slot;
    return fl_neighbours_find(&harness->neighbours, next_hop, now_ns, mac, &slot);
}

/* A look at the table that uses nothing. */
HARNESS_EXPORT uint32_t harness_neighbours(harness_t *harness, fl_netstack_neighbour_t *lines, uint32_t capacity)
{
    return fl_neighbours_copy(&harness->neighbours, lines, capacity);
}

HARNESS_EXPORT uint64_t harness_generation(harness_t *harness)
{
    return harness->generation;
}

HARNESS_EXPORT uint32_t harness_emitted(harness_t *harness)
{
    return harness->emitted;
}

HARNESS_EXPORT uint32_t harness_frame(harness_t *harness, uint32_t index, uint8_t *frame)
{
    memcpy(frame, harness->frames[index], harness->lengths[index]);
    return harness->lengths[index];
}

HARNESS_EXPORT void harness_forget_frames(harness_t *harness)
{
    harness->emitted = 0;
}

HARNESS_EXPORT const char *harness_log(harness_t *harness)
{
    return harness->log;
}

HARNESS_EXPORT int64_t harness_count(harness_t *harness, uint32_t count)
{
    return count < FL_COUNT_LIMIT ? harness->counts.values[count] : -1;
}

HARNESS_EXPORT const char *harness_count_name(uint32_t count)
{
    static const char *const names[] = {
#define HARNESS_NAME(name, suffix) suffix,
        FL_NETSTACK_COUNTS(HARNESS_NAME)
#undef HARNESS_NAME
    };
    return count < FL_COUNT_LIMIT ? names[count] : NULL;
}
