/* Multicast reception: the device's list of MAC addresses, else all multicast, else everything; a device that has none
 * of them stays as it is, and a note says so (bypass-apis 2.13). */
#include "device_port.h"

#include <stdio.h>
#include <string.h>

#include <rte_errno.h>

/* The MAC address that carries a group (bypass-apis 5.5). */
static void fl_group_mac(const fl_address_t *group, struct rte_ether_addr *mac)
{
    if (FL_FAMILY_IPV4 == group->family)
    {
        const uint8_t bytes[6] = {
            0x01, 0x00, 0x5e, group->bytes[1] & 0x7f, group->bytes[2], group->bytes[3]};
        memcpy(mac->addr_bytes, bytes, sizeof(bytes));
    }
    else
    {
        const uint8_t bytes[6] = {
            0x33, 0x33, group->bytes[12], group->bytes[13], group->bytes[14], group->bytes[15]};
        memcpy(mac->addr_bytes, bytes, sizeof(bytes));
    }
}

static void fl_groups_apply(fl_port_t *port)
{
    if (port->is_promiscuous || 0 != port->settings.isolated)
    {
        return;   /* isolated: filters alone decide what comes */
    }
    if (0 == rte_eth_dev_set_mc_addr_list(port->ethdev, port->groups, port->group_count))
    {
        return;
    }
    if (0 == port->group_count || port->has_noted_groups)
    {
        return;
    }
    port->has_noted_groups = true;
    if (0 == rte_eth_allmulticast_enable(port->ethdev))
    {
        return;
    }
    const bool was_promiscuous = 1 == rte_eth_promiscuous_get(port->ethdev);   /* as net_memif is from the start */
    const int code = rte_eth_promiscuous_enable(port->ethdev);
    port->is_promiscuous = 0 == code;
    if (0 == code && !was_promiscuous)
    {
        port->has_made_promiscuous = true;
        fl_port_event(
            port, FL_EVENT_NOTE, "%s cannot filter multicast: it is promiscuous now", port->settings.name);
    }
    else if (0 != code && 0 != port->settings.no_multicast)
    {
        fl_port_event(
            port, FL_EVENT_NOTE, "%s (%s) has no multicast filter, and its network delivers no multicast either",
            port->settings.name, port->driver);
    }
    /* Without any of them, as on virtual devices, everything that reaches the device comes up as it is. */
}

static int fl_group_find(const fl_port_t *port, const struct rte_ether_addr *mac)
{
    for (int i = 0; i < port->group_count; i++)
    {
        if (rte_is_same_ether_addr(&port->groups[i], mac))
        {
            return i;
        }
    }
    return -1;
}

int fl_port_join_group(fl_port_t *port, const fl_address_t *group)
{
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        return fl_host_error(port->host, FL_ENODEV, "%s is gone", port->settings.name);
    }
    struct rte_ether_addr mac;
    fl_group_mac(group, &mac);
    int code = 0;
    pthread_mutex_lock(&port->control);
    const int place = fl_group_find(port, &mac);
    if (place >= 0)
    {
        port->group_holds[place]++;
    }
    else if (port->group_count < FL_MAX_GROUPS)
    {
        port->groups[port->group_count] = mac;
        port->group_holds[port->group_count] = 1;
        port->group_count++;
        fl_groups_apply(port);
    }
    else
    {
        code = fl_host_error(port->host, FL_ENOSPC, "%s takes %d groups", port->settings.name, FL_MAX_GROUPS);
    }
    pthread_mutex_unlock(&port->control);
    return code;
}

int fl_port_leave_group(fl_port_t *port, const fl_address_t *group)
{
    struct rte_ether_addr mac;
    fl_group_mac(group, &mac);
    pthread_mutex_lock(&port->control);
    const int place = fl_group_find(port, &mac);
    if (place >= 0 && 0 == --port->group_holds[place])
    {
        port->group_count--;
        port->groups[place] = port->groups[port->group_count];
        port->group_holds[place] = port->group_holds[port->group_count];
        if (!atomic_load_explicit(&port->is_lost, memory_order_acquire))
        {
            fl_groups_apply(port);
        }
    }
    pthread_mutex_unlock(&port->control);
    return place >= 0 ? 0 : fl_host_error(port->host, FL_ENOENT, "%s has not joined that group", port->settings.name);
}

void fl_groups_restore(fl_port_t *port)
{
    port->has_noted_groups = false;
    port->is_promiscuous = false;
    if (port->group_count > 0)
    {
        fl_groups_apply(port);
    }
}

void fl_groups_take_back(fl_port_t *port)
{
    if (port->has_made_promiscuous && !atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        rte_eth_promiscuous_disable(port->ethdev);
    }
    port->has_made_promiscuous = false;
}
