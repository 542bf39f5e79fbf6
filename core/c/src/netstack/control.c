/* State and timers of the control protocols, and the neighbours' life (bypass 5.3). */
#include "netstack/control_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define FL_ANNOUNCEMENTS 3
#define FL_REQUEST_INTERVAL_NS FL_SECOND_NS
#define FL_REQUESTS 3                               /* to everybody, before a neighbour counts as failed */
#define FL_PROBES 3                                 /* to a neighbour in use, before everybody is asked */
#define FL_REACHABLE_NS (30 * FL_SECOND_NS)
#define FL_PROBE_DELAY_NS (5 * FL_SECOND_NS)
#define FL_FAILED_NS (20 * FL_SECOND_NS)
#define FL_SUSPECT_INTERVAL_NS FL_SECOND_NS
#define FL_TICK_NEIGHBOURS 64

fl_control_t *fl_control_new(const fl_control_config_t *config)
{
    fl_control_t *control = calloc(1, sizeof(*control));
    if (NULL == control)
    {
        return NULL;
    }
    control->config = *config;
    if (0 == control->config.reachable_ns)
    {
        control->config.reachable_ns = FL_REACHABLE_NS;
    }
    control->announce_ns = FL_NEVER_NS;
    /* The clock that limits are taken on moves by ticks of 100 ms, so a burst is no less than what a tick brings in. */
    control->answers = (fl_limit_t){ .interval_ns = FL_SECOND_NS / 1000, .burst = 256, .full_ns = INT64_MIN };
    control->echoes = (fl_limit_t){ .interval_ns = FL_SECOND_NS / 1000, .burst = 256, .full_ns = INT64_MIN };
    const fl_limit_t notes = { .interval_ns = 10 * FL_SECOND_NS, .burst = 1, .full_ns = INT64_MIN };
    control->duplicate_notes = notes;
    control->mtu_notes = notes;
    control->full_notes = notes;
    fl_membership_init(control);
    return control;
}

void fl_control_free(fl_control_t *control)
{
    free(control);
}

/* ---- neighbours ---- */

/* Ask for a neighbour. NULL mac: everybody. */
static int fl_control_ask(fl_control_t *control, const fl_address_t *address, const uint8_t *mac)
{
    return FL_FAMILY_IPV6 == address->family ? fl_ndp_solicit(control, address, mac)
                                             : fl_arp_request(control, address, mac);
}

/* Ask, and ask again in a second; at the next tick if the port had no buffer. */
static void fl_control_ask_and_wait(fl_control_t *control, fl_neighbour_t *entry, const uint8_t *mac, int64_t now_ns)
{
    entry->deadline_ns = now_ns;
    if (-FL_EAGAIN != fl_control_ask(control, &entry->view.address, mac))
    {
        entry->attempts++;
        entry->deadline_ns = now_ns + FL_REQUEST_INTERVAL_NS;
    }
}

static void fl_control_fail(fl_control_t *control, fl_neighbour_t *entry, int64_t now_ns)
{
    fl_neighbours_set(control->config.neighbours, &entry->view.address, FL_NEIGHBOUR_FAILED, NULL, now_ns);
    entry->deadline_ns = now_ns + FL_FAILED_NS;
    fl_control_count(control, FL_COUNT_NEIGHBOUR_FAILURES);
}

/* Begin to ask a neighbour that goes on being used meanwhile, from the given attempt on. */
static void fl_control_probe(fl_control_t *control, fl_neighbour_t *entry, uint16_t attempts, int64_t now_ns)
{
    fl_neighbours_set(control->config.neighbours, &entry->view.address, FL_NEIGHBOUR_PROBE, NULL, now_ns);
    entry->attempts = attempts;
    fl_control_ask_and_wait(control, entry, attempts < FL_PROBES ? entry->view.mac : NULL, now_ns);
}

static bool fl_control_is_own(fl_control_t *control, const fl_address_t *address)
{
    return fl_addresses_has(control->config.addresses, address);
}

void fl_control_resolve(fl_control_t *control, const fl_address_t *next_hop, int64_t now_ns)
{
    fl_neighbours_t *neighbours = control->config.neighbours;
    fl_neighbour_t *entry = fl_neighbours_entry(neighbours, next_hop);
    if (NULL != entry && (FL_NEIGHBOUR_FAILED != entry->view.state || now_ns < entry->deadline_ns))
    {
        return;
    }
    if (FL_FAMILY_NONE == next_hop->family || fl_address_is_multicast(next_hop) || fl_address_is_wildcard(next_hop) ||
        fl_control_is_own(control, next_hop))
    {
        return;
    }
    entry = fl_neighbours_set(neighbours, next_hop, FL_NEIGHBOUR_INCOMPLETE, NULL, now_ns);
    if (NULL == entry)
    {
        fl_control_count(control, FL_COUNT_NEIGHBOUR_FAILURES);
        if (fl_limit_take(&control->full_notes, now_ns))
        {
            char address[FL_ADDRESS_TEXT_LENGTH];
            char text[200];
            snprintf(
                text, sizeof(text), "no room for neighbour %s: all %u entries are in use; raise neighbour_capacity",
                fl_address_format(next_hop, address), (unsigned)neighbours->capacity);
            control->config.host->log(control->config.host, FL_LOG_WARNING, text);
        }
        return;
    }
    fl_neighbours_touch(neighbours, (uint32_t)(entry - neighbours->entries), now_ns);
    entry->attempts = 0;
    fl_control_ask_and_wait(control, entry, NULL, now_ns);
}

void fl_control_learn(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns)
{
    fl_neighbours_t *neighbours = control->config.neighbours;
    fl_neighbour_t *entry = fl_neighbours_entry(neighbours, address);
    if (NULL != entry && fl_neighbour_is_usable(entry->view.state))
    {
        /* Anybody can claim an address: what is in use changes only by an answer to our question. */
        fl_control_suspect(control, address, mac, now_ns);
        return;
    }
    if (NULL == entry &&
        (2 * neighbours->count >= neighbours->capacity || fl_address_is_multicast(address) ||
         fl_addresses_is_broadcast(control->config.addresses, address) ||
         !fl_addresses_is_on_link(control->config.addresses, address)))
    {
        return;
    }
    entry = fl_neighbours_set(neighbours, address, FL_NEIGHBOUR_STALE, mac, now_ns);
    if (NULL != entry)
    {
        entry->deadline_ns = FL_NEVER_NS;
    }
}

bool fl_control_confirm(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns)
{
    fl_neighbours_t *neighbours = control->config.neighbours;
    fl_neighbour_t *entry = fl_neighbours_entry(neighbours, address);
    if (NULL == entry || (FL_NEIGHBOUR_INCOMPLETE != entry->view.state && FL_NEIGHBOUR_PROBE != entry->view.state) ||
        (NULL == mac && FL_NEIGHBOUR_INCOMPLETE == entry->view.state))
    {
        return false;
    }
    const int64_t base_ns = control->config.reachable_ns;
    fl_neighbours_set(neighbours, address, FL_NEIGHBOUR_REACHABLE, mac, now_ns);
    entry->deadline_ns = now_ns + base_ns / 2 + (int64_t)fl_control_random(control, (uint64_t)base_ns);
    return true;
}

bool fl_control_suspect(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns)
{
    fl_neighbour_t *entry = fl_neighbours_entry(control->config.neighbours, address);
    if (NULL == entry)
    {
        return false;
    }
    if (FL_NEIGHBOUR_FAILED == entry->view.state)
    {
        /* It lives, then: whoever wants it may ask again. */
        fl_neighbours_remove(control->config.neighbours, address);
        return true;
    }
    if ((FL_NEIGHBOUR_REACHABLE != entry->view.state && FL_NEIGHBOUR_STALE != entry->view.state) ||
        fl_mac_is_same(entry->view.mac, mac))
    {
        return false;
    }
    /* Not more than once a second, or a flood of claims would become a flood of requests. */
    if (now_ns - entry->changed_ns >= FL_SUSPECT_INTERVAL_NS)
    {
        fl_control_probe(control, entry, FL_PROBES, now_ns);
    }
    return true;
}

void fl_control_duplicate(fl_control_t *control, const fl_address_t *address, const uint8_t *mac, int64_t now_ns)
{
    fl_control_count(control, FL_COUNT_DUPLICATE_ADDRESS);
    if (fl_limit_take(&control->duplicate_notes, now_ns))
    {
        char own[FL_ADDRESS_TEXT_LENGTH];
        char text[240];
        snprintf(
            text, sizeof(text),
            "%s is ours, and %02x:%02x:%02x:%02x:%02x:%02x on this network uses it too: give one of the two "
            "another address",
            fl_address_format(address, own), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        control->config.host->log(control->config.host, FL_LOG_WARNING, text);
    }
}

/* Let one neighbour age. Returns whether there was something to do. */
static bool fl_control_tick_neighbour(fl_control_t *control, fl_neighbour_t *entry, int64_t now_ns)
{
    fl_neighbours_t *neighbours = control->config.neighbours;
    const fl_address_t address = entry->view.address;
    if (FL_NEIGHBOUR_STALE == entry->view.state && FL_NEVER_NS == entry->deadline_ns &&
        atomic_load_explicit(&entry->used_ns, memory_order_relaxed) >= entry->changed_ns &&
        0 != atomic_load_explicit(&entry->used_ns, memory_order_relaxed))
    {
        entry->deadline_ns = now_ns + FL_PROBE_DELAY_NS;
        return true;
    }
    if (FL_NEIGHBOUR_PERMANENT == entry->view.state || now_ns < entry->deadline_ns)
    {
        return false;
    }
    switch (entry->view.state)
    {
        case FL_NEIGHBOUR_INCOMPLETE:
            if (entry->attempts >= FL_REQUESTS)
            {
                fl_control_fail(control, entry, now_ns);
            }
            else
            {
                fl_control_ask_and_wait(control, entry, NULL, now_ns);
            }
            break;
        case FL_NEIGHBOUR_REACHABLE:
            fl_neighbours_set(neighbours, &address, FL_NEIGHBOUR_STALE, NULL, now_ns);
            entry->deadline_ns = FL_NEVER_NS;
            break;
        case FL_NEIGHBOUR_STALE:
            fl_control_probe(control, entry, 0, now_ns);
            break;
        case FL_NEIGHBOUR_PROBE:
            if (entry->attempts >= FL_PROBES + FL_REQUESTS)
            {
                fl_control_fail(control, entry, now_ns);
            }
            else
            {
                fl_control_ask_and_wait(
                    control, entry, entry->attempts < FL_PROBES ? entry->view.mac : NULL, now_ns);
            }
            break;
        default:
            /* Failed long enough: the next who wants it asks again. */
            fl_neighbours_remove(neighbours, &address);
            break;
    }
    return true;
}

static int fl_control_tick_neighbours(fl_control_t *control, int64_t now_ns)
{
    fl_neighbours_t *neighbours = control->config.neighbours;
    const uint32_t looked_at = neighbours->count < FL_TICK_NEIGHBOURS ? neighbours->count : FL_TICK_NEIGHBOURS;
    int work = 0;
    /* Downwards, because an entry that is taken out gives its place in the list to the last one. */
    for (uint32_t i = 0; i < looked_at && neighbours->count > 0; i++)
    {
        if (0 == control->neighbour_cursor || control->neighbour_cursor > neighbours->count)
        {
            control->neighbour_cursor = neighbours->count;
        }
        const uint32_t slot = neighbours->live[--control->neighbour_cursor];
        work += fl_control_tick_neighbour(control, &neighbours->entries[slot], now_ns);
    }
    return work;
}

/* ---- announcements ---- */

static int fl_control_announce(fl_control_t *control, const fl_address_t *address)
{
    const bool is_v6 = FL_FAMILY_IPV6 == address->family;
    /* An announcement is answered by nobody who has the address too, so that is asked for. */
    if (FL_ANNOUNCEMENTS == control->announcements_left)
    {
        const int result = is_v6 ? fl_ndp_detect(control, address) : fl_arp_detect(control, address);
        if (0 != result)
        {
            return result;
        }
    }
    return is_v6 ? fl_ndp_announce(control, address) : fl_arp_announce(control, address);
}

static int fl_control_tick_announcements(fl_control_t *control, int64_t now_ns)
{
    /* Switches that follow MLD deliver to a solicited-node group only after its report. */
    if (now_ns < control->announce_ns || fl_membership_is_settling(control))
    {
        return 0;
    }
    fl_interface_address_t addresses[FL_INTERFACE_ADDRESSES];
    const uint32_t count = fl_addresses_copy(control->config.addresses, addresses);
    int work = 0;
    for (; control->announce_index < count; control->announce_index++, work++)
    {
        if (0 != fl_control_announce(control, &addresses[control->announce_index].address))
        {
            return work;
        }
    }
    control->announce_index = 0;
    control->announcements_left--;
    control->announce_ns = control->announcements_left > 0 ? now_ns + FL_SECOND_NS : FL_NEVER_NS;
    return work + 1;
}

/* ---- the whole ---- */

void fl_control_start(fl_control_t *control, int64_t now_ns)
{
    fl_neighbours_t *neighbours = control->config.neighbours;
    /* What was known was known of the network before: it is asked again when it is used. */
    for (uint32_t i = neighbours->count; i > 0; i--)
    {
        fl_neighbour_t *entry = &neighbours->entries[neighbours->live[i - 1]];
        const fl_address_t address = entry->view.address;
        if (FL_NEIGHBOUR_FAILED == entry->view.state)
        {
            fl_neighbours_remove(neighbours, &address);
        }
        else if (FL_NEIGHBOUR_REACHABLE == entry->view.state)
        {
            fl_neighbours_set(neighbours, &address, FL_NEIGHBOUR_STALE, NULL, now_ns);
            entry->deadline_ns = FL_NEVER_NS;
        }
    }
    fl_membership_start(control, now_ns);
    control->announcements_left = FL_ANNOUNCEMENTS;
    control->announce_index = 0;
    control->announce_ns = now_ns;
    fl_control_tick_announcements(control, now_ns);
}

void fl_control_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns)
{
    if (FL_ETHER_TYPE_ARP == packet->ether_type)
    {
        fl_arp_input(control, packet, now_ns);
    }
    else if (FL_ETHER_TYPE_IPV4 == packet->ether_type && FL_IP_PROTOCOL_ICMP == packet->protocol)
    {
        fl_icmp_input(control, packet, now_ns);
    }
    else if (FL_ETHER_TYPE_IPV4 == packet->ether_type && FL_IP_PROTOCOL_IGMP == packet->protocol)
    {
        fl_igmp_input(control, packet, now_ns);
    }
    else if (FL_ETHER_TYPE_IPV6 == packet->ether_type && FL_IP_PROTOCOL_ICMPV6 == packet->protocol)
    {
        fl_icmpv6_input(control, packet, now_ns);
    }
    else
    {
        fl_control_count(control, FL_COUNT_RX_PROTOCOL);
    }
}

int fl_control_tick(fl_control_t *control, int64_t now_ns)
{
    return fl_membership_tick(control, now_ns) + fl_control_tick_announcements(control, now_ns) +
        fl_control_tick_neighbours(control, now_ns);
}
