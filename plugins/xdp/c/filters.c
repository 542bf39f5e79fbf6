#include "filters.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpf/maps.h"
#include "steering.h"

void fl_xdp_filters_init(fl_xdp_filters_t *filters)
{
    memset(filters, 0, sizeof(*filters));
    filters->groups = -1;
    filters->queues = 1;
    fl_xdp_rules_init(&filters->rules);
}

int fl_xdp_filters_open(
    fl_xdp_filters_t *filters, const char *interface, uint32_t index, int device, int map, fl_failure_t *error)
{
    filters->interface = interface;
    filters->index = index;
    filters->device = device;
    filters->map = map;
    filters->groups = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);   /* protocol 0: receives nothing */
    return filters->groups >= 0 ? 0 : fl_fail(
        error, errno, "open a packet socket for groups: %s; CAP_NET_RAW is needed", strerror(errno));
}

int fl_xdp_filters_remember(fl_xdp_filters_t *filters, const char *directory, bool keeps_rules, fl_failure_t *error)
{
    return fl_xdp_rules_open(
        &filters->rules, directory, filters->device, filters->interface, filters->index, keeps_rules, error);
}

static bool fl_source_is_any(const fl_address_t *source)
{
    return NULL == source || FL_FAMILY_NONE == source->family;
}

static void fl_key_init(fl_xdp_key_t *key, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    memset(key, 0, sizeof(*key));
    key->family = address->family;
    key->vlan = vlan;
    key->port = htons(address->port);
    memcpy(key->address, address->bytes, sizeof(key->address));
    if (!fl_source_is_any(source))
    {
        memcpy(key->source, source->bytes, sizeof(key->source));
    }
}

static fl_xdp_filter_entry_t *fl_filters_find(
    fl_xdp_filters_t *filters, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    for (uint32_t i = 0; i < filters->count; i++)
    {
        fl_xdp_filter_entry_t *entry = &filters->entries[i];
        const bool is_any = fl_source_is_any(source);
        if (fl_port_filter_is_for(&entry->base, vlan, address) && is_any == fl_source_is_any(&entry->source) &&
            (is_any || 0 == memcmp(source->bytes, entry->source.bytes, sizeof(source->bytes))))
        {
            return entry;
        }
    }
    return NULL;
}

/* Bring the program's entries of one (address, port) in line with the filters: the common one first when something is
 * added, so that no moment has a source's entry that nothing leads to. Returns 0 or negative errno. */
static int fl_filters_publish(fl_xdp_filters_t *filters, uint16_t vlan, const fl_address_t *address)
{
    fl_xdp_filter_t common = {0};
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < filters->count; i++)
    {
        if (fl_port_filter_is_for(&filters->entries[i].base, vlan, address))
        {
            common.any_source |= fl_source_is_any(&filters->entries[i].source) ? 1 : 0;
            wanted++;
        }
    }
    fl_xdp_key_t key;
    fl_key_init(&key, vlan, address, NULL);
    if (0 != wanted)
    {
        return bpf_map_update_elem(filters->map, &key, &common, BPF_ANY);
    }
    const int code = bpf_map_delete_elem(filters->map, &key);
    return -ENOENT == code ? 0 : code;
}

static int fl_filters_reserve(fl_xdp_filters_t *filters)
{
    void *entries = fl_array_reserve(filters->entries, filters->count, &filters->capacity, sizeof(*filters->entries));
    filters->entries = NULL != entries ? entries : filters->entries;
    return NULL != entries ? 0 : -ENOMEM;
}

static void fl_filters_take_out(fl_xdp_filters_t *filters, fl_xdp_filter_entry_t *entry)
{
    const fl_xdp_filter_entry_t gone = *entry;
    *entry = filters->entries[--filters->count];
    fl_xdp_rules_note(&filters->rules, (uint32_t)(entry - filters->entries), &entry->rule);
    fl_xdp_rules_note(&filters->rules, filters->count, NULL);
    fl_filters_publish(filters, gone.base.vlan, &gone.base.address);
    if (!fl_source_is_any(&gone.source))
    {
        fl_xdp_key_t key;
        fl_key_init(&key, gone.base.vlan, &gone.base.address, &gone.source);
        bpf_map_delete_elem(filters->map, &key);
    }
    fl_xdp_steering_delete(filters->device, filters->interface, &gone.rule);
}

int fl_xdp_filters_add(
    fl_xdp_filters_t *filters, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source,
    fl_failure_t *error)
{
    char text[FL_ADDRESS_TEXT_LENGTH];
    int code = fl_port_filter_check(filters->interface, address, source, error);
    if (0 != code)
    {
        return code;
    }
    if (queue >= filters->queues)
    {
        return fl_fail(
            error, ENOTSUP, "direct %s to queue %u: %s has no steering for it, and queue 0 carries everything",
            fl_address_format(address, text), queue, filters->interface);
    }
    fl_xdp_filter_entry_t *found = fl_filters_find(filters, vlan, address, source);
    if (NULL != found)
    {
        return fl_port_filter_hold(&found->base, filters->interface, queue, error);
    }
    code = fl_filters_reserve(filters);
    if (0 != code)
    {
        return fl_fail(error, -code, "no memory for a filter");
    }

    fl_xdp_filter_entry_t entry = {.base = {.queue = queue, .holders = 1, .address = *address, .vlan = vlan}};
    if (!fl_source_is_any(source))
    {
        entry.source = *source;
    }
    if (filters->queues > 1)
    {
        code = fl_xdp_steering_insert(
            filters->device, filters->interface, queue, vlan, address, &entry.source, &entry.rule, error);
        if (0 != code)
        {
            return code;
        }
        code = fl_xdp_rules_note(&filters->rules, filters->count, &entry.rule);
        if (0 != code)
        {
            fl_xdp_steering_delete(filters->device, filters->interface, &entry.rule);
            return fl_fail(
                error, -code, "note the ntuple rule for %s in %s: %s; make room there",
                fl_address_format(address, text), filters->rules.path, strerror(-code));
        }
    }
    if (!fl_source_is_any(source))
    {
        const fl_xdp_filter_t own = {0};
        fl_xdp_key_t key;
        fl_key_init(&key, vlan, address, source);
        code = bpf_map_update_elem(filters->map, &key, &own, BPF_ANY);
    }
    filters->entries[filters->count++] = entry;
    if (0 == code)
    {
        code = fl_filters_publish(filters, vlan, address);
    }
    if (0 != code)
    {
        fl_filters_take_out(filters, &filters->entries[filters->count - 1]);
        return fl_fail(
            error, -code, "add %s to the filters of the XDP program on %s: %s%s", fl_address_format(address, text),
            filters->interface, strerror(-code), -E2BIG == code ? "; there are as many as fit" : "");
    }
    return 0;
}

int fl_xdp_filters_remove(
    fl_xdp_filters_t *filters, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source,
    fl_failure_t *error)
{
    fl_xdp_filter_entry_t *entry = fl_filters_find(filters, vlan, address, source);
    const int holders =
        fl_port_filter_let_go(NULL == entry ? NULL : &entry->base, filters->interface, queue, address, error);
    if (0 == holders)
    {
        fl_filters_take_out(filters, entry);
    }
    return holders < 0 ? holders : 0;
}

/* The device receives the group's MAC address as long as this socket wants it; the kernel counts joins, and forgets
 * them when the process ends. */
static int fl_filters_membership(fl_xdp_filters_t *filters, const fl_address_t *group, int option)
{
    struct packet_mreq request = {.mr_ifindex = (int)filters->index, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6};
    if (FL_FAMILY_IPV4 == group->family)
    {
        const uint8_t mac[6] = {
            0x01, 0x00, 0x5e, group->bytes[1] & 0x7f, group->bytes[2], group->bytes[3]};
        memcpy(request.mr_address, mac, sizeof(mac));
    }
    else
    {
        const uint8_t mac[6] = {
            0x33, 0x33, group->bytes[12], group->bytes[13], group->bytes[14], group->bytes[15]};
        memcpy(request.mr_address, mac, sizeof(mac));
    }
    return 0 == setsockopt(filters->groups, SOL_PACKET, option, &request, sizeof(request)) ? 0 : errno;
}

int fl_xdp_filters_join(fl_xdp_filters_t *filters, const fl_address_t *group, fl_failure_t *error)
{
    const int code = fl_filters_membership(filters, group, PACKET_ADD_MEMBERSHIP);
    char text[FL_ADDRESS_TEXT_LENGTH];
    return 0 == code ? 0 : fl_fail(
        error, code, "have %s receive the group of %s: %s", filters->interface, fl_address_format(group, text),
        strerror(code));
}

int fl_xdp_filters_leave(fl_xdp_filters_t *filters, const fl_address_t *group, fl_failure_t *error)
{
    const int code = fl_filters_membership(filters, group, PACKET_DROP_MEMBERSHIP);
    char text[FL_ADDRESS_TEXT_LENGTH];
    return 0 == code ? 0 : fl_fail(
        error, code, "leave the group of %s on %s: %s", fl_address_format(group, text), filters->interface,
        strerror(code));
}

void fl_xdp_filters_close(fl_xdp_filters_t *filters, bool is_device_there)
{
    char name[IF_NAMESIZE];
    const bool leaves_rules = !is_device_there && NULL != if_indextoname(filters->index, name);
    if (leaves_rules)
    {
        /* A device that has another name now, or lost its program: the notes stay for the next start. */
        fl_xdp_rules_close(&filters->rules, false);
    }
    while (filters->count > 0)
    {
        fl_xdp_filter_entry_t *last = &filters->entries[filters->count - 1];
        last->rule.flow_type = is_device_there ? last->rule.flow_type : 0;
        fl_filters_take_out(filters, last);
    }
    fl_xdp_rules_close(&filters->rules, true);
    free(filters->entries);
    filters->entries = NULL;
    filters->capacity = 0;
    if (filters->groups >= 0)
    {
        close(filters->groups);
    }
    filters->groups = -1;
}
