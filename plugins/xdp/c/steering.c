#include "steering.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define FL_VLAN_NONE 0xffff
#define FL_VLAN_ID 0x0fff
#define FL_RULES_MAXIMUM 8192

static void fl_rule_init(
    struct ethtool_rx_flow_spec *rule, uint32_t queue, uint16_t vlan, const fl_address_t *address,
    const fl_address_t *source)
{
    memset(rule, 0, sizeof(*rule));
    const bool has_source = NULL != source && FL_FAMILY_NONE != source->family;
    if (FL_FAMILY_IPV4 == address->family)
    {
        rule->flow_type = UDP_V4_FLOW;
        memcpy(&rule->h_u.udp_ip4_spec.ip4dst, address->bytes, 4);
        memset(&rule->m_u.udp_ip4_spec.ip4dst, 0xff, 4);
        rule->h_u.udp_ip4_spec.pdst = htons(address->port);
        rule->m_u.udp_ip4_spec.pdst = 0xffff;
        if (has_source)
        {
            memcpy(&rule->h_u.udp_ip4_spec.ip4src, source->bytes, 4);
            memset(&rule->m_u.udp_ip4_spec.ip4src, 0xff, 4);
        }
    }
    else
    {
        rule->flow_type = UDP_V6_FLOW;
        memcpy(rule->h_u.udp_ip6_spec.ip6dst, address->bytes, 16);
        memset(rule->m_u.udp_ip6_spec.ip6dst, 0xff, 16);
        rule->h_u.udp_ip6_spec.pdst = htons(address->port);
        rule->m_u.udp_ip6_spec.pdst = 0xffff;
        if (has_source)
        {
            memcpy(rule->h_u.udp_ip6_spec.ip6src, source->bytes, 16);
            memset(rule->m_u.udp_ip6_spec.ip6src, 0xff, 16);
        }
    }
    if (FL_VLAN_NONE != vlan)
    {
        rule->flow_type |= FLOW_EXT;
        rule->h_ext.vlan_tci = htons(vlan);
        rule->m_ext.vlan_tci = htons(FL_VLAN_ID);
    }
    rule->ring_cookie = queue;
}

int fl_xdp_steering_rule(
    uint32_t queue,
    uint16_t vlan,
    const fl_address_t *address,
    const fl_address_t *source,
    uint8_t *rule,
    size_t capacity)
{
    struct ethtool_rx_flow_spec specification;
    if (capacity < sizeof(specification))
    {
        return -FL_ENOSPC;
    }
    fl_rule_init(&specification, queue, vlan, address, source);
    memcpy(rule, &specification, sizeof(specification));
    return (int)sizeof(specification);
}

static bool fl_rule_matches_the_same(const struct ethtool_rx_flow_spec *one, const struct ethtool_rx_flow_spec *other)
{
    return one->flow_type == other->flow_type && 0 == memcmp(&one->h_u, &other->h_u, sizeof(one->h_u)) &&
        0 == memcmp(&one->m_u, &other->m_u, sizeof(one->m_u)) && one->h_ext.vlan_tci == other->h_ext.vlan_tci &&
        one->m_ext.vlan_tci == other->m_ext.vlan_tci;
}

/* Look through the rules of the device for one that matches the same, and for a free location where the driver does not
 * choose. Returns 0 or negative errno; has_same and location are set. */
static int fl_rules_look(
    int device, const char *interface, const struct ethtool_rx_flow_spec *wanted, bool *has_same, bool *is_same_queue,
    uint32_t *location)
{
    *has_same = false;
    struct ethtool_rxnfc head = {.cmd = ETHTOOL_GRXCLSRLCNT};
    int code = fl_xdp_device_ethtool(device, interface, &head);
    if (0 != code)
    {
        return code;
    }
    const bool driver_chooses = 0 != (head.data & RX_CLS_LOC_SPECIAL);
    const uint32_t count = head.rule_cnt < FL_RULES_MAXIMUM ? head.rule_cnt : FL_RULES_MAXIMUM;
    struct ethtool_rxnfc *all = calloc(1, sizeof(*all) + (count + 1) * sizeof(uint32_t));
    if (NULL == all)
    {
        return -ENOMEM;
    }
    all->cmd = ETHTOOL_GRXCLSRLALL;
    all->rule_cnt = count;
    code = 0 == count ? 0 : fl_xdp_device_ethtool(device, interface, all);
    const uint32_t used = 0 == count ? 0 : all->rule_cnt;
    const uint32_t size = 0 != count ? (uint32_t)all->data : (uint32_t)(head.data & ~RX_CLS_LOC_SPECIAL);
    for (uint32_t i = 0; 0 == code && i < used && !*has_same; i++)
    {
        struct ethtool_rxnfc rule = {.cmd = ETHTOOL_GRXCLSRULE, .fs = {.location = all->rule_locs[i]}};
        if (0 == fl_xdp_device_ethtool(device, interface, &rule) && fl_rule_matches_the_same(&rule.fs, wanted))
        {
            *has_same = true;
            *is_same_queue = rule.fs.ring_cookie == wanted->ring_cookie;
            *location = all->rule_locs[i];
        }
    }
    if (0 == code && !*has_same)
    {
        *location = RX_CLS_LOC_ANY;
        if (!driver_chooses)
        {
            /* From the end: the last ones have the lowest priority, and administrators begin at the front. */
            bool is_free = false;
            for (uint32_t at = size; at > 0 && !is_free; at--)
            {
                is_free = true;
                for (uint32_t i = 0; i < used && is_free; i++)
                {
                    is_free = all->rule_locs[i] != at - 1;
                }
                *location = at - 1;
            }
            code = is_free ? 0 : -ENOSPC;
        }
    }
    free(all);
    return code;
}

int fl_xdp_steering_insert(
    int device,
    const char *interface,
    uint32_t queue,
    uint16_t vlan,
    const fl_address_t *address,
    const fl_address_t *source,
    uint32_t *location,
    fl_failure_t *error)
{
    struct ethtool_rxnfc rule = {.cmd = ETHTOOL_SRXCLSRLINS};
    fl_rule_init(&rule.fs, queue, vlan, address, source);
    bool has_same = false;
    bool is_same_queue = false;
    int code = fl_rules_look(device, interface, &rule.fs, &has_same, &is_same_queue, &rule.fs.location);
    if (0 == code && !(has_same && is_same_queue))
    {
        if (has_same)
        {
            fl_xdp_steering_delete(device, interface, rule.fs.location);
        }
        code = fl_xdp_device_ethtool(device, interface, &rule);
    }
    *location = rule.fs.location;
    return 0 == code ? 0 : fl_fail(
        error, -code,
        "insert an ntuple rule for UDP port %u to queue %u of %s: %s; transport.xdp.queues = 1 needs no rules",
        address->port, queue, interface, strerror(-code));
}

void fl_xdp_steering_delete(int device, const char *interface, uint32_t location)
{
    struct ethtool_rxnfc rule = {.cmd = ETHTOOL_SRXCLSRLDEL, .fs = {.location = location}};
    fl_xdp_device_ethtool(device, interface, &rule);
}
