/* Opening and closing a port: DPDK takes the device and gives it back. */
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>

#include "device_port.h"
#include "eal.h"
#include "memif.h"
#include "ring_link.h"

#define FL_NO_ETHDEV UINT16_MAX
#define FL_LEAST_MTU 576
#define FL_MOST_MTU 9216

bool fl_port_is_mine(const fl_port_t *port)
{
    return getpid() == port->pid;
}

static int fl_check(const fl_host_t *host, const fl_dpdk_settings_t *settings, char *text, size_t length)
{
    const int code = fl_host_check(host, text, length);
    if (0 != code)
    {
        return code;
    }
    if (!fl_eal_is_mine())
    {
        return fl_text_error(text, length, FL_EBUSY, "DPDK's environment is not started in this process");
    }
    if (settings->queues < 1 || settings->queues > FL_MAX_QUEUES)
    {
        return fl_text_error(text, length, FL_EINVAL, "queues %u is not in 1 to %d", settings->queues, FL_MAX_QUEUES);
    }
    if (0 != settings->mtu_length && (settings->mtu_length < FL_LEAST_MTU || settings->mtu_length > FL_MOST_MTU))
    {
        return fl_text_error(
            text, length, FL_EINVAL, "MTU %u is not in %d to %d", settings->mtu_length, FL_LEAST_MTU, FL_MOST_MTU);
    }
    return 0;
}

/* Have DPDK take the device. */
static int fl_port_attach(fl_port_t *port, char *text, size_t length)
{
    const fl_dpdk_settings_t *settings = &port->settings;
    if ('\0' != settings->link[0])
    {
        const uint32_t mtu = 0 == settings->mtu_length ? RTE_ETHER_MTU : settings->mtu_length;
        return fl_link_join(
            settings->link, mtu, settings->queues, settings->rx_descriptors, &port->link, &port->ethdev, text, length);
    }
    uint16_t other;
    if (0 == rte_eth_dev_get_port_by_name(settings->name, &other))
    {
        return fl_text_error(text, length, FL_EBUSY, "%s is in use by another driver of this process", settings->name);
    }
    fl_eal_forget_words();
    const int code = rte_dev_probe(settings->devargs);
    if (0 == code && 0 == rte_eth_dev_get_port_by_name(settings->name, &port->ethdev))
    {
        return 0;
    }
    if (0 == code)
    {
        return fl_text_error(
            text, length, FL_ENODEV, "DPDK took %s, but no driver of DPDK made an Ethernet device of it",
            settings->name);
    }
    char what[512];
    snprintf(what, sizeof(what), "DPDK cannot take %.440s (%d)", settings->devargs, code);
    fl_eal_describe(text, length, what);
    return -fl_errno_code(-code);
}

/* Give the device back, unless DPDK has it no more. */
static void fl_port_detach(fl_port_t *port)
{
    if (!atomic_load_explicit(&port->is_taken, memory_order_acquire))
    {
        fl_groups_take_back(port);
        rte_eth_dev_stop(port->ethdev);
        rte_eth_dev_close(port->ethdev);
        if (NULL != port->device)
        {
            rte_dev_remove(port->device);
        }
    }
    if (NULL != port->link)
    {
        fl_link_leave(port->link, port->ethdev);
    }
}

static uint32_t fl_port_offered_queues(const fl_port_t *port)
{
    const uint32_t most = port->settings.queues < FL_MAX_QUEUES ? port->settings.queues : FL_MAX_QUEUES;
    if (NULL != port->link)
    {
        return most;
    }
    /* More than one takes a device that steers, or that can be told to receive on queue 0 alone. A virtual one spreads
     * as the other side likes. */
    if (0 != port->settings.is_virtual || (0 == port->settings.isolated && 0 == port->info.reta_size))
    {
        return 1;
    }
    const uint32_t there =
        port->info.max_rx_queues < port->info.max_tx_queues ? port->info.max_rx_queues : port->info.max_tx_queues;
    return most < there ? most : there;
}

/* The two ends of a device need different addresses. Rings have none; a TAP device has one, which its interface under
 * Linux takes, and everything that Linux sends there comes up, whatever its destination. */
static int fl_port_find_mac(fl_port_t *port)
{
    const int code = rte_eth_macaddr_get(port->ethdev, &port->mac);
    if (0 == code && rte_is_zero_ether_addr(&port->mac))
    {
        rte_eth_random_addr(port->mac.addr_bytes);
    }
    else if (0 == code && 0 != port->settings.shares_mac)
    {
        port->mac.addr_bytes[RTE_ETHER_ADDR_LEN - 1] ^= 1;
    }
    return code;
}

/* Find out what the device is. */
static int fl_port_examine(fl_port_t *port, char *text, size_t length)
{
    int code = rte_eth_dev_info_get(port->ethdev, &port->info);
    if (0 != code)
    {
        return fl_text_error(
            text, length, -code, "%s says nothing of itself: %s", port->settings.name, rte_strerror(-code));
    }
    port->device = port->info.device;
    snprintf(port->driver, sizeof(port->driver), "%s", port->info.driver_name);
    const int node = rte_eth_dev_socket_id(port->ethdev);
    port->node = node >= 0 && rte_eal_has_hugepages() ? node : SOCKET_ID_ANY;
    port->max_queues = fl_port_offered_queues(port);
    uint16_t mtu = RTE_ETHER_MTU;
    rte_eth_dev_get_mtu(port->ethdev, &mtu);
    port->mtu_length = 0 == port->settings.mtu_length ? mtu : port->settings.mtu_length;
    if ('\0' != port->settings.interface[0])
    {
        port->interface_index = if_nametoindex(port->settings.interface);
    }
    const bool can_zero_copy = 0 != (port->info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) &&
        RTE_IOVA_VA == rte_eal_iova_mode() && NULL == port->link;
    port->settings.zero_copy_tx = 0 != port->settings.zero_copy_tx && can_zero_copy;
    code = fl_port_find_mac(port);
    if (0 != code)
    {
        return fl_text_error(
            text, length, -code, "%s has no MAC address: %s", port->settings.name, rte_strerror(-code));
    }
    fl_figures_begin(port);
    code = fl_events_watch();
    if (0 != code)
    {
        snprintf(text, length, "watch %s: %s", port->settings.name, rte_strerror(-code));
    }
    return 0 == code ? 0 : -FL_EIO;
}

int fl_dpdk_open(
    const fl_host_t *host, const fl_dpdk_settings_t *settings, char *text, size_t length, fl_port_t **opened)
{
    text[0] = '\0';
    int code = fl_check(host, settings, text, length);
    if (0 != code)
    {
        return code;
    }
    fl_port_t *port = aligned_alloc(_Alignof(fl_port_t), sizeof(*port));
    if (NULL == port)
    {
        return fl_text_error(text, length, FL_ENOMEM, "no memory for a port");
    }
    memset(port, 0, sizeof(*port));
    port->host = host;
    port->settings = *settings;
    port->pid = getpid();
    port->is_link_up = true;
    port->ethdev = FL_NO_ETHDEV;
    pthread_mutex_init(&port->control, NULL);
    pthread_mutex_init(&port->event_mutex, NULL);
    fl_ports_add(port);

    sigset_t signals;
    fl_signals_block(&signals);
    code = fl_port_attach(port, text, length);
    const bool is_attached = 0 == code;
    if (is_attached)
    {
        code = fl_port_examine(port, text, length);
    }
    if (0 != code)
    {
        fl_ports_remove(port);
        if (is_attached)
        {
            fl_port_detach(port);
        }
    }
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    if (0 != code)
    {
        free(port);
        return code;
    }
    const bool is_memif = 0 == strcmp(port->driver, "net_memif");
    if (is_memif && 0 != fl_memif_guard(text, length))
    {
        fl_port_event(port, FL_EVENT_NOTE, "%s: %s", port->settings.name, text);
    }
    for (uint32_t i = 0; i < FL_MAX_QUEUES; i++)
    {
        port->queues[i].port = port;
        port->queues[i].ethdev = port->ethdev;
        port->queues[i].id = (uint16_t)i;
        port->queues[i].is_memif = is_memif;
    }
    if (0 != port->settings.needs_timers)
    {
        fl_eal_hold_timers();
    }
    *opened = port;
    return 0;
}

static void fl_nothing(void *argument)
{
    (void)argument;
}

int fl_port_close(fl_port_t *port)
{
    if (!fl_port_is_mine(port))
    {
        return 0;
    }
    const int code = fl_port_stop(port);
    if (0 != code)
    {
        return code;
    }
    if (0 != port->settings.needs_timers)
    {
        fl_eal_release_timers();
    }
    sigset_t signals;
    fl_signals_block(&signals);
    fl_ports_remove(port);                /* DPDK's events for it end here */
    fl_eal_run(fl_nothing, NULL, true);   /* what the environment's thread had to do for this port is done */
    fl_memory_forget(port);
    fl_port_detach(port);
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    fl_pools_free(port);
    pthread_mutex_destroy(&port->control);
    pthread_mutex_destroy(&port->event_mutex);
    free(port);
    return 0;
}
