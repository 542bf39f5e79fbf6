/* Steering with rte_flow: UDP datagrams to one address and port go to one queue (bypass-apis 2.7). */
#include "device_port.h"

#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_errno.h>

#define FL_ITEMS 5

/* A rule as DPDK takes it. It points into itself, so it stays where it was made. */
typedef struct fl_rule
{
    struct rte_flow_attr attributes;
    struct rte_flow_item items[FL_ITEMS];
    struct rte_flow_action actions[2];
    struct rte_flow_item_vlan vlan;
    struct rte_flow_item_vlan vlan_mask;
    struct rte_flow_item_ipv4 ipv4;
    struct rte_flow_item_ipv4 ipv4_mask;
    struct rte_flow_item_ipv6 ipv6;
    struct rte_flow_item_ipv6 ipv6_mask;
    struct rte_flow_item_udp udp;
    struct rte_flow_item_udp udp_mask;
    struct rte_flow_action_queue queue;
} fl_rule_t;

static void fl_rule_match_ip(fl_rule_t *rule, struct rte_flow_item *item, const fl_filter_t *filter)
{
    const bool has_source = FL_FAMILY_NONE != filter->source.family;
    if (FL_FAMILY_IPV4 == filter->address.family)
    {
        memcpy(&rule->ipv4.hdr.dst_addr, filter->address.bytes, 4);
        memset(&rule->ipv4_mask.hdr.dst_addr, 0xff, 4);
        if (has_source)
        {
            memcpy(&rule->ipv4.hdr.src_addr, filter->source.bytes, 4);
            memset(&rule->ipv4_mask.hdr.src_addr, 0xff, 4);
        }
        *item = (struct rte_flow_item){
            .type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &rule->ipv4, .mask = &rule->ipv4_mask};
        return;
    }
    memcpy(&rule->ipv6.hdr.dst_addr, filter->address.bytes, 16);
    memset(&rule->ipv6_mask.hdr.dst_addr, 0xff, 16);
    if (has_source)
    {
        memcpy(&rule->ipv6.hdr.src_addr, filter->source.bytes, 16);
        memset(&rule->ipv6_mask.hdr.src_addr, 0xff, 16);
    }
    *item = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_IPV6, .spec = &rule->ipv6, .mask = &rule->ipv6_mask};
}

static void fl_rule_make(fl_rule_t *rule, const fl_filter_t *filter)
{
    memset(rule, 0, sizeof(*rule));
    rule->attributes.ingress = 1;
    struct rte_flow_item *item = rule->items;
    *item++ = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_ETH};
    if (FL_VLAN_NONE != filter->vlan)
    {
        rule->vlan.hdr.vlan_tci = rte_cpu_to_be_16(filter->vlan);
        rule->vlan_mask.hdr.vlan_tci = rte_cpu_to_be_16(0x0fff);
        *item++ = (struct rte_flow_item){
            .type = RTE_FLOW_ITEM_TYPE_VLAN, .spec = &rule->vlan, .mask = &rule->vlan_mask};
    }
    fl_rule_match_ip(rule, item++, filter);
    rule->udp.hdr.dst_port = rte_cpu_to_be_16(filter->address.port);
    rule->udp_mask.hdr.dst_port = UINT16_MAX;
    *item++ = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &rule->udp, .mask = &rule->udp_mask};
    *item = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_END};
    rule->queue.index = filter->queue;
    rule->actions[0] = (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &rule->queue};
    rule->actions[1] = (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_END};
}

bool fl_filters_are_supported(fl_port_t *port)
{
    const fl_filter_t filter = {
        .vlan = FL_VLAN_NONE,
        .address = {.family = FL_FAMILY_IPV4, .port = 40123, .bytes = {10, 0, 0, 1}},
    };
    fl_rule_t rule;
    struct rte_flow_error error;
    fl_rule_make(&rule, &filter);
    return 0 == rte_flow_validate(port->ethdev, &rule.attributes, rule.items, rule.actions, &error);
}

static bool fl_filter_is(
    const fl_filter_t *filter, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    const bool is_same_source = NULL == source || FL_FAMILY_NONE == source->family
        ? FL_FAMILY_NONE == filter->source.family
        : 0 == memcmp(&filter->source, source, sizeof(*source));
    return filter->queue == queue && filter->vlan == vlan && is_same_source &&
        0 == memcmp(&filter->address, address, sizeof(*address));
}

static int fl_filter_install(fl_port_t *port, fl_filter_t *filter)
{
    fl_rule_t rule;
    struct rte_flow_error error = {0};
    fl_rule_make(&rule, filter);
    filter->flow = rte_flow_create(port->ethdev, &rule.attributes, rule.items, rule.actions, &error);
    if (NULL != filter->flow)
    {
        return 0;
    }
    const int code = rte_errno;
    return fl_host_error(
        port->host, code, "%s: filter for UDP port %u on queue %u: %s", port->settings.name, filter->address.port,
        filter->queue, NULL == error.message ? rte_strerror(code) : error.message);
}

int fl_port_add_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        return fl_host_error(port->host, FL_ENODEV, "%s is gone", port->settings.name);
    }
    if (!port->can_steer)
    {
        return fl_host_error(
            port->host, FL_ENOTSUP, "%s cannot steer to a queue: queue 0 carries everything", port->settings.name);
    }
    if (queue >= port->queue_count)
    {
        return fl_host_error(port->host, FL_EINVAL, "queue %u of %u", queue, port->queue_count);
    }
    fl_filter_t *filter = calloc(1, sizeof(*filter));
    if (NULL == filter)
    {
        return fl_host_error(port->host, FL_ENOMEM, "no memory for a filter");
    }
    filter->queue = (uint16_t)queue;
    filter->vlan = vlan;
    filter->address = *address;
    if (NULL != source)
    {
        filter->source = *source;
    }
    pthread_mutex_lock(&port->control);
    const int code = fl_filter_install(port, filter);
    if (0 == code)
    {
        filter->next = port->filters;
        port->filters = filter;
    }
    pthread_mutex_unlock(&port->control);
    if (0 != code)
    {
        free(filter);
    }
    return code;
}

int fl_port_remove_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    int code = -FL_ENOENT;
    pthread_mutex_lock(&port->control);
    for (fl_filter_t **place = &port->filters; NULL != *place; place = &(*place)->next)
    {
        fl_filter_t *filter = *place;
        if (fl_filter_is(filter, queue, vlan, address, source))
        {
            struct rte_flow_error error;
            if (NULL != filter->flow && !atomic_load_explicit(&port->is_lost, memory_order_acquire))
            {
                rte_flow_destroy(port->ethdev, filter->flow, &error);
            }
            *place = filter->next;
            free(filter);
            code = 0;
            break;
        }
    }
    pthread_mutex_unlock(&port->control);
    return 0 == code ? 0 : fl_host_error(port->host, FL_ENOENT, "%s has no such filter", port->settings.name);
}

int fl_filters_restore(fl_port_t *port)
{
    int code = 0;
    for (fl_filter_t *filter = port->filters; NULL != filter && 0 == code; filter = filter->next)
    {
        code = fl_filter_install(port, filter);
    }
    return code;
}

void fl_filters_forget(fl_port_t *port)
{
    while (NULL != port->filters)
    {
        fl_filter_t *filter = port->filters;
        port->filters = filter->next;
        free(filter);
    }
}
