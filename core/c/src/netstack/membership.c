/* Which groups we are members of, and when that is said: the part that IGMP and MLD have in common (bypass 5.5).
 *
 * Every membership is in exclude mode with no sources excluded: all senders are wanted. So the answer to any query for
 * a group, also for some of its sources, is that state.
 */
#include "netstack/control_internal.h"

#define FL_OLDER_QUERIER_NS (400 * FL_SECOND_NS)
#define FL_CHANGE_INTERVAL_NS FL_SECOND_NS              /* unsolicited reports, IGMPv3 and MLDv2: a random part of it */
#define FL_OLD_REPORT_INTERVAL_NS (10 * FL_SECOND_NS)   /* IGMPv2 and MLDv1 */

void fl_membership_init(fl_control_t *control)
{
    control->memberships[0] = (fl_membership_family_t){ &fl_igmp_protocol, FL_NEVER_NS, FL_NEVER_NS };
    control->memberships[1] = (fl_membership_family_t){ &fl_mld_protocol, FL_NEVER_NS, FL_NEVER_NS };
}

static fl_membership_family_t *fl_membership_of(fl_control_t *control, uint8_t family)
{
    return &control->memberships[FL_FAMILY_IPV6 == family];
}

static fl_group_t *fl_group_find(fl_control_t *control, const fl_address_t *address)
{
    for (uint32_t i = 0; i < control->group_count; i++)
    {
        if (fl_address_is_same_host(&control->groups[i].address, address))
        {
            return &control->groups[i];
        }
    }
    return NULL;
}

static void fl_group_remove(fl_control_t *control, fl_group_t *group)
{
    *group = control->groups[--control->group_count];
}

static bool fl_group_is_wanted(const fl_group_t *group)
{
    return group->joins > 0 || group->is_solicited_node;
}

/* The group of which everybody is a member: 224.0.0.1 or ff02::1. */
static bool fl_group_is_everybody(const fl_address_t *address)
{
    static const uint8_t all_hosts[16] = { 224, 0, 0, 1 };
    static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 0x01 };
    return 0 == memcmp(address->bytes, FL_FAMILY_IPV6 == address->family ? all_nodes : all_hosts, sizeof(all_nodes));
}

/* That group, and those that do not leave the node, are never reported (RFC 3376 4.2, RFC 3810 6). */
static bool fl_group_is_never_reported(const fl_address_t *address)
{
    return fl_group_is_everybody(address) || (FL_FAMILY_IPV6 == address->family && (address->bytes[1] & 0x0f) <= 1);
}

/* Begin to say that a group was joined or left. */
static void fl_group_change(fl_group_t *group, bool is_leaving, int64_t now_ns)
{
    group->is_leaving = is_leaving;
    group->changes_left = group->is_silent ? 0 : FL_ROBUSTNESS;
    group->change_ns = now_ns;
    group->response_ns = FL_NEVER_NS;
}

/* Find or make a group. A place that is kept only to say that its group was left is given up for it. NULL: all are
 * wanted. */
static fl_group_t *fl_group_take(fl_control_t *control, const fl_address_t *address, int64_t now_ns)
{
    fl_group_t *group = fl_group_find(control, address);
    for (uint32_t i = 0; NULL == group && FL_GROUPS_LIMIT == control->group_count && i < FL_GROUPS_LIMIT; i++)
    {
        if (control->groups[i].is_leaving)
        {
            fl_group_remove(control, &control->groups[i]);
            break;
        }
    }
    if (NULL == group && control->group_count < FL_GROUPS_LIMIT)
    {
        group = &control->groups[control->group_count++];
        *group = (fl_group_t){ .address = { .family = address->family } };
        memcpy(group->address.bytes, address->bytes, sizeof(address->bytes));
        group->is_silent = fl_group_is_never_reported(address);
        fl_group_change(group, false, now_ns);
    }
    else if (NULL != group && group->is_leaving)
    {
        fl_group_change(group, false, now_ns);
    }
    return group;
}

static void fl_group_drop_if_unwanted(fl_control_t *control, fl_group_t *group, int64_t now_ns)
{
    if (fl_group_is_wanted(group) || group->is_leaving)
    {
        return;
    }
    if (group->is_silent)
    {
        fl_group_remove(control, group);
        return;
    }
    fl_group_change(group, true, now_ns);
}

int fl_control_join(fl_control_t *control, const fl_address_t *group, int64_t now_ns)
{
    fl_group_t *entry = fl_group_find(control, group);
    if (NULL == entry || 0 == entry->joins)
    {
        uint32_t joined = 0;
        for (uint32_t i = 0; i < control->group_count; i++)
        {
            joined += control->groups[i].joins > 0;
        }
        entry = joined < FL_CONTROL_GROUPS ? fl_group_take(control, group, now_ns) : NULL;
        if (NULL == entry)
        {
            return -FL_ENOSPC;
        }
    }
    entry->joins++;
    fl_membership_tick(control, now_ns);
    return 0;
}

void fl_control_leave(fl_control_t *control, const fl_address_t *group, int64_t now_ns)
{
    fl_group_t *entry = fl_group_find(control, group);
    if (NULL != entry && entry->joins > 0)
    {
        entry->joins--;
        fl_group_drop_if_unwanted(control, entry, now_ns);
        fl_membership_tick(control, now_ns);
    }
}

bool fl_control_wants_group(fl_control_t *control, const fl_address_t *group)
{
    const fl_group_t *entry = fl_group_find(control, group);
    return fl_group_is_everybody(group) || (NULL != entry && fl_group_is_wanted(entry));
}

void fl_membership_start(fl_control_t *control, int64_t now_ns)
{
    fl_interface_address_t addresses[FL_INTERFACE_ADDRESSES];
    const uint32_t count = fl_addresses_copy(control->config.addresses, addresses);
    for (uint32_t i = 0; i < control->group_count; i++)
    {
        control->groups[i].is_solicited_node = false;
    }
    for (uint32_t i = 0; i < count; i++)
    {
        if (FL_FAMILY_IPV6 == addresses[i].address.family)
        {
            fl_address_t address;
            fl_control_solicited_node(&addresses[i].address, &address);
            fl_group_t *group = fl_group_take(control, &address, now_ns);
            if (NULL != group)
            {
                group->is_solicited_node = true;
            }
        }
    }
    for (uint32_t i = control->group_count; i > 0; i--)
    {
        fl_group_t *group = &control->groups[i - 1];
        fl_group_drop_if_unwanted(control, group, now_ns);
        if (i <= control->group_count && !group->is_leaving)
        {
            fl_group_change(group, false, now_ns);
        }
    }
    fl_membership_tick(control, now_ns);
}

bool fl_membership_is_settling(const fl_control_t *control)
{
    for (uint32_t i = 0; i < control->group_count; i++)
    {
        if (control->groups[i].is_solicited_node && FL_ROBUSTNESS == control->groups[i].changes_left)
        {
            return true;
        }
    }
    return false;
}

/* Nothing that was planned in one version is said in another (RFC 3376 7.2.1). */
static void fl_membership_forget_plans(fl_control_t *control, fl_membership_family_t *membership)
{
    membership->general_ns = FL_NEVER_NS;
    for (uint32_t i = control->group_count; i > 0; i--)
    {
        fl_group_t *group = &control->groups[i - 1];
        if (group->address.family != membership->protocol->routers.family)
        {
            continue;
        }
        group->response_ns = FL_NEVER_NS;
        group->changes_left = 0;
        if (group->is_leaving)
        {
            fl_group_remove(control, group);
        }
    }
}

/* Answer at a random time within the query's, unless that is planned for earlier. */
static void fl_membership_plan(fl_control_t *control, int64_t *planned_ns, int64_t max_response_ns, int64_t now_ns)
{
    const int64_t response_ns =
        now_ns + (max_response_ns > 0 ? (int64_t)fl_control_random(control, (uint64_t)max_response_ns) : 0);
    *planned_ns = response_ns < *planned_ns ? response_ns : *planned_ns;
}

bool fl_membership_query(
    fl_control_t *control, const fl_address_t *group, bool is_older, int64_t max_response_ns, int64_t now_ns)
{
    const bool is_general = fl_address_is_wildcard(group);
    fl_membership_family_t *membership = fl_membership_of(control, group->family);
    if (!is_general && !fl_address_is_multicast(group))
    {
        return false;
    }
    if (is_older)
    {
        if (FL_NEVER_NS == membership->older_until_ns)
        {
            fl_membership_forget_plans(control, membership);
        }
        membership->older_until_ns = now_ns + FL_OLDER_QUERIER_NS;
    }
    if (!is_general)
    {
        fl_group_t *entry = fl_group_find(control, group);
        if (NULL == entry || entry->is_leaving || entry->is_silent)
        {
            return false;
        }
        if (FL_NEVER_NS == membership->general_ns || membership->general_ns > now_ns + max_response_ns)
        {
            fl_membership_plan(control, &entry->response_ns, max_response_ns, now_ns);
        }
        return true;
    }
    if (FL_NEVER_NS == membership->older_until_ns)
    {
        fl_membership_plan(control, &membership->general_ns, max_response_ns, now_ns);
        return true;
    }
    for (uint32_t i = 0; i < control->group_count; i++)
    {
        fl_group_t *entry = &control->groups[i];
        if (group->family == entry->address.family && !entry->is_leaving && !entry->is_silent)
        {
            fl_membership_plan(control, &entry->response_ns, max_response_ns, now_ns);
        }
    }
    return true;
}

bool fl_membership_heard(fl_control_t *control, const fl_packet_t *packet, const fl_address_t *group)
{
    if (fl_mac_is_same(packet->frame + FL_MAC_LENGTH, control->config.mac) ||
        !fl_address_is_same_host(group, &packet->destination))
    {
        return false;
    }
    fl_group_t *entry = fl_group_find(control, group);
    if (NULL == entry || entry->is_leaving || FL_NEVER_NS == fl_membership_of(control, group->family)->older_until_ns ||
        (0 == entry->changes_left && FL_NEVER_NS == entry->response_ns))
    {
        return false;
    }
    entry->changes_left = 0;
    entry->response_ns = FL_NEVER_NS;
    return true;
}

static bool fl_group_is_change_due(const fl_group_t *group, int64_t now_ns)
{
    return group->changes_left > 0 && now_ns >= group->change_ns;
}

/* What was due for the group was said. */
static void fl_group_was_reported(fl_control_t *control, fl_group_t *group, bool is_older, int64_t now_ns)
{
    if (fl_group_is_change_due(group, now_ns))
    {
        /* The older versions' leave is said once. */
        group->changes_left = is_older && group->is_leaving ? 0 : group->changes_left - 1;
        group->change_ns = now_ns +
            (is_older ? FL_OLD_REPORT_INTERVAL_NS : (int64_t)fl_control_random(control, FL_CHANGE_INTERVAL_NS));
    }
    if (now_ns >= group->response_ns)
    {
        group->response_ns = FL_NEVER_NS;
    }
    if (group->is_leaving && 0 == group->changes_left)
    {
        fl_group_remove(control, group);
    }
}

/* Say what is due in one family. Returns how many groups were reported. */
static int fl_membership_tick_family(fl_control_t *control, fl_membership_family_t *membership, int64_t now_ns)
{
    const fl_membership_protocol_t *protocol = membership->protocol;
    if (FL_NEVER_NS != membership->older_until_ns && now_ns >= membership->older_until_ns)
    {
        fl_membership_forget_plans(control, membership);
        membership->older_until_ns = FL_NEVER_NS;
    }
    const bool is_older = FL_NEVER_NS != membership->older_until_ns;
    const bool is_general = now_ns >= membership->general_ns;
    fl_group_record_t records[FL_MEMBERSHIP_BATCH];
    uint32_t due[FL_MEMBERSHIP_BATCH];
    uint32_t count = 0;
    /* One packet: what is left of the shortest MTU behind IP header, router alert and message header. */
    const uint32_t fitting = (control->config.mtu_length - FL_IPV6_LENGTH - 8 - FL_MEMBERSHIP_REPORT_LENGTH) /
        fl_membership_record_length(protocol);
    const uint32_t limit = fitting < FL_MEMBERSHIP_BATCH ? fitting : FL_MEMBERSHIP_BATCH;
    for (uint32_t i = 0; i < control->group_count; i++)
    {
        fl_group_t *group = &control->groups[i];
        if (group->address.family != protocol->routers.family || group->is_silent)
        {
            continue;
        }
        if (is_general && !group->is_leaving)
        {
            group->response_ns = now_ns;
        }
        const bool is_change = fl_group_is_change_due(group, now_ns);
        if (count < limit && (is_change || now_ns >= group->response_ns))
        {
            due[count] = i;
            records[count].group = &group->address;
            records[count++].type = !is_change ? FL_RECORD_IS_EXCLUDE
                : group->is_leaving            ? FL_RECORD_TO_INCLUDE
                                               : FL_RECORD_TO_EXCLUDE;
        }
    }
    membership->general_ns = is_general ? FL_NEVER_NS : membership->general_ns;
    uint32_t said = 0;
    if (is_older)
    {
        while (said < count && 0 == fl_membership_say_old(control, protocol, &records[said]))
        {
            fl_control_count(control, FL_COUNT_MULTICAST_REPORTS);
            said++;
        }
    }
    else if (count > 0 && 0 == fl_membership_say(control, protocol, records, count))
    {
        fl_control_count(control, FL_COUNT_MULTICAST_REPORTS);
        said = count;
    }
    /* From the back, because a group that was left for good gives its place to the last one. */
    for (uint32_t i = said; i > 0; i--)
    {
        fl_group_was_reported(control, &control->groups[due[i - 1]], is_older, now_ns);
    }
    return (int)said;
}

int fl_membership_tick(fl_control_t *control, int64_t now_ns)
{
    return fl_membership_tick_family(control, &control->memberships[0], now_ns) +
        fl_membership_tick_family(control, &control->memberships[1], now_ns);
}
