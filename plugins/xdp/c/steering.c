#include "steering.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <framelane/address.h>

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

/* Whether two rules are for the same datagrams, wherever they lead. */
static bool fl_rule_is_for_the_same(const struct ethtool_rx_flow_spec *one, const struct ethtool_rx_flow_spec *other)
{
    return (one->flow_type & ~FLOW_RSS) == (other->flow_type & ~FLOW_RSS) &&
        0 == memcmp(&one->h_u, &other->h_u, sizeof(one->h_u)) &&
        0 == memcmp(&one->m_u, &other->m_u, sizeof(one->m_u)) && one->h_ext.vlan_tci == other->h_ext.vlan_tci &&
        one->m_ext.vlan_tci == other->m_ext.vlan_tci;
}

/* Whether two rules lead to the same place. */
static bool fl_rule_leads_to_the_same(const struct ethtool_rx_flow_spec *one, const struct ethtool_rx_flow_spec *other)
{
    return one->ring_cookie == other->ring_cookie && (one->flow_type & FLOW_RSS) == (other->flow_type & FLOW_RSS);
}

/* The rule at a location. Returns 0 or negative errno. */
static int fl_rule_read(int device, const char *interface, uint32_t location, struct ethtool_rx_flow_spec *rule)
{
    struct ethtool_rxnfc command = {.cmd = ETHTOOL_GRXCLSRULE, .fs = {.location = location}};
    const int code = fl_xdp_device_ethtool(device, interface, &command);
    *rule = command.fs;
    rule->location = location;
    return code;
}

/* Look through the rules of the device for one that is for the same, and for a free location where the driver does not
 * choose. Returns 0 or negative errno. found: that rule, flow_type 0 if there is none; location is set then. */
static int fl_rules_look(
    int device, const char *interface, const struct ethtool_rx_flow_spec *wanted, struct ethtool_rx_flow_spec *found,
    uint32_t *location)
{
    bool has_same = false;
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
    for (uint32_t i = 0; 0 == code && i < used && !has_same; i++)
    {
        has_same = 0 == fl_rule_read(device, interface, all->rule_locs[i], found) &&
            fl_rule_is_for_the_same(found, wanted);
    }
    if (!has_same)
    {
        memset(found, 0, sizeof(*found));
    }
    if (0 == code && !has_same)
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

/* What somebody's rule does with datagrams, for an error's text. */
static void fl_rule_describe(const struct ethtool_rx_flow_spec *rule, char *text, size_t length)
{
    if (0 != (rule->flow_type & FLOW_RSS))
    {
        snprintf(text, length, "spreads it over several queues");
    }
    else if (RX_CLS_FLOW_DISC == rule->ring_cookie)
    {
        snprintf(text, length, "drops it");
    }
    else
    {
        snprintf(text, length, "steers it to queue %llu", (unsigned long long)rule->ring_cookie);
    }
}

int fl_xdp_steering_insert(
    int device,
    const char *interface,
    uint32_t queue,
    uint16_t vlan,
    const fl_address_t *address,
    const fl_address_t *source,
    struct ethtool_rx_flow_spec *rule,
    fl_failure_t *error)
{
    struct ethtool_rxnfc command = {.cmd = ETHTOOL_SRXCLSRLINS};
    struct ethtool_rx_flow_spec found = {0};
    char name[FL_ADDRESS_TEXT_LENGTH];
    fl_address_format(address, name);
    memset(rule, 0, sizeof(*rule));
    fl_rule_init(&command.fs, queue, vlan, address, source);
    int code = fl_rules_look(device, interface, &command.fs, &found, &command.fs.location);
    if (0 == code && 0 != found.flow_type)
    {
        char does[64];
        fl_rule_describe(&found, does, sizeof(does));
        return fl_rule_leads_to_the_same(&found, &command.fs) ? 0 : fl_fail(
            error, EEXIST, "direct %s to queue %u of %s: ntuple rule %u of the device, which this driver did not make, "
            "%s; delete it (ethtool -N %s delete %u), or set transport.xdp.queues = 1, which needs no rules",
            name, queue, interface, found.location, does, interface, found.location);
    }
    code = 0 == code ? fl_xdp_device_ethtool(device, interface, &command) : code;
    if (0 != code)
    {
        return fl_fail(
            error, -code, "insert an ntuple rule for %s to queue %u of %s: %s; transport.xdp.queues = 1 needs no rules",
            name, queue, interface, strerror(-code));
    }
    /* A driver may tell of a rule in other words than it was given. */
    if (0 != fl_rule_read(device, interface, command.fs.location, rule))
    {
        *rule = command.fs;
    }
    return 0;
}

void fl_xdp_steering_delete(int device, const char *interface, const struct ethtool_rx_flow_spec *rule)
{
    struct ethtool_rx_flow_spec found;
    if (0 != rule->flow_type && 0 == fl_rule_read(device, interface, rule->location, &found) &&
        fl_rule_is_for_the_same(&found, rule) && fl_rule_leads_to_the_same(&found, rule))
    {
        struct ethtool_rxnfc command = {.cmd = ETHTOOL_SRXCLSRLDEL, .fs = {.location = rule->location}};
        fl_xdp_device_ethtool(device, interface, &command);
    }
}
