/* Setting an ethdev up, in the order of bypass-apis 2.4. */
#include "gate.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_mbuf_dyn.h>

#define FL_LINK_LOOK_US 1000

static int fl_ethernet_error(char *text, size_t length, const char *what, int code)
{
    const int error = code < 0 ? -code : code;
    snprintf(text, length, "%s: %s", what, rte_strerror(error));
    return -fl_errno_code(error);
}

static uint64_t fl_rx_offloads(const fl_port_t *port)
{
    const uint64_t checksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    uint64_t wanted = 0 != port->settings.checksum_offload ? checksums : 0;
    wanted |= 0 != port->settings.timestamps ? RTE_ETH_RX_OFFLOAD_TIMESTAMP : 0;
    return wanted & port->info.rx_offload_capa;
}

static uint64_t fl_tx_offloads(const fl_port_t *port)
{
    const uint64_t checksums = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    uint64_t wanted = 0 != port->settings.checksum_offload ? checksums : 0;
    /* Fast free takes one pool a queue and no external buffers, which is so without zero copy. */
    wanted |= 0 != port->settings.zero_copy_tx ? RTE_ETH_TX_OFFLOAD_MULTI_SEGS : RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    return wanted & port->info.tx_offload_capa;
}

/* Register the field in which the device leaves timestamps, and see that its clock can be read to make sense of
 * them. */
static void fl_timestamps_begin(fl_port_t *port)
{
    port->timestamp_flag = 0;
    uint64_t ticks;
    if (0 != (port->conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TIMESTAMP) &&
        (0 != rte_eth_read_clock(port->ethdev, &ticks) ||
         0 != rte_mbuf_dyn_rx_timestamp_register(&port->timestamp_offset, &port->timestamp_flag)))
    {
        port->timestamp_flag = 0;
    }
}

/* The longest MTU that the device says it takes. */
static uint32_t fl_longest_mtu(const fl_port_t *port)
{
    const uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    const uint32_t by_frame = port->info.max_rx_pktlen > overhead ? port->info.max_rx_pktlen - overhead : UINT32_MAX;
    return by_frame < port->info.max_mtu ? by_frame : port->info.max_mtu;
}

int fl_ethernet_configure(fl_port_t *port, char *text, size_t length)
{
    struct rte_flow_error flow_error = {0};
    if (0 != port->settings.isolated && 0 != rte_flow_isolate(port->ethdev, 1, &flow_error))
    {
        snprintf(
            text, length, "isolated mode of %s: %s; without it the kernel would lose the interface. It takes "
            "CAP_NET_RAW and CAP_NET_ADMIN", port->settings.name,
            NULL == flow_error.message ? rte_strerror(rte_errno) : flow_error.message);
        return -FL_ENOTSUP;
    }

    const bool is_spread = port->queue_count > 1 && 0 == port->settings.isolated && port->info.reta_size > 0;
    memset(&port->conf, 0, sizeof(port->conf));
    port->conf.rxmode.mq_mode = is_spread ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE;
    port->conf.rxmode.mtu =
        0 != port->settings.any_length && port->mtu_length > fl_longest_mtu(port)
            ? fl_longest_mtu(port) : port->mtu_length;
    port->conf.rxmode.offloads = fl_rx_offloads(port);
    port->conf.txmode.offloads = fl_tx_offloads(port);
    port->conf.rx_adv_conf.rss_conf.rss_hf =
        is_spread ? (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP) & port->info.flow_type_rss_offloads : 0;
    port->conf.intr_conf.lsc = 0 != (*port->info.dev_flags & RTE_ETH_DEV_INTR_LSC);
    port->conf.intr_conf.rmv = 0 != (*port->info.dev_flags & RTE_ETH_DEV_INTR_RMV);
    int code = rte_eth_dev_configure(port->ethdev, port->queue_count, port->queue_count, &port->conf);
    if (0 != code)
    {
        char what[96];
        snprintf(
            what, sizeof(what), "configure %u queues with MTU %u (the device takes %u to %u)", port->queue_count,
            port->mtu_length, port->info.min_mtu, fl_longest_mtu(port));
        return fl_ethernet_error(text, length, what, code);
    }
    port->rx_descriptors = (uint16_t)port->settings.rx_descriptors;
    port->tx_descriptors = (uint16_t)port->settings.tx_descriptors;
    code = rte_eth_dev_adjust_nb_rx_tx_desc(port->ethdev, &port->rx_descriptors, &port->tx_descriptors);
    return 0 == code ? 0 : fl_ethernet_error(text, length, "adjust the number of descriptors", code);
}

static int fl_ethernet_queues(fl_port_t *port, char *text, size_t length)
{
    struct rte_eth_rxconf rx = port->info.default_rxconf;
    struct rte_eth_txconf tx = port->info.default_txconf;
    rx.offloads = port->conf.rxmode.offloads;
    tx.offloads = port->conf.txmode.offloads;
    for (uint16_t i = 0; i < port->queue_count; i++)
    {
        int code = rte_eth_rx_queue_setup(
            port->ethdev, i, port->rx_descriptors, (unsigned)port->node, &rx, port->queues[i].rx_pool);
        if (0 != code)
        {
            return fl_ethernet_error(text, length, "set up a receive queue", code);
        }
        code = rte_eth_tx_queue_setup(port->ethdev, i, port->tx_descriptors, (unsigned)port->node, &tx);
        if (0 != code)
        {
            return fl_ethernet_error(text, length, "set up a transmit queue", code);
        }
    }
    return 0;
}

/* Without steering, make queue 0 the one that receives: every entry of the RSS table leads there. */
static int fl_ethernet_receive_on_first(fl_port_t *port, char *text, size_t length)
{
    struct rte_eth_rss_reta_entry64 table[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];
    memset(table, 0, sizeof(table));
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
    {
        table[i].mask = UINT64_MAX;
    }
    const int code = port->info.reta_size > RTE_ETH_RSS_RETA_SIZE_512
        ? -ENOTSUP
        : rte_eth_dev_rss_reta_update(port->ethdev, table, port->info.reta_size);
    if (0 == code)
    {
        return 0;
    }
    snprintf(
        text, length, "the device can neither steer to a queue (rte_flow) nor receive on queue 0 alone (RSS "
        "table: %s); set transport.dpdk.queues = 1", rte_strerror(-code));
    return -FL_ENOTSUP;
}

int fl_ethernet_begin(fl_port_t *port, char *text, size_t length)
{
    int code = fl_ethernet_queues(port, text, length);
    if (0 != code)
    {
        return code;
    }
    if (0 != port->settings.set_mtu && port->conf.rxmode.mtu == port->mtu_length)
    {
        code = rte_eth_dev_set_mtu(port->ethdev, (uint16_t)port->mtu_length);
        if (0 != code && -ENOTSUP != code)
        {
            return fl_ethernet_error(text, length, "set the MTU", code);
        }
    }
    code = rte_eth_dev_start(port->ethdev);
    if (0 != code && 0 != port->settings.waits_for_peer)
    {
        atomic_store_explicit(&port->is_waiting, true, memory_order_release);
        return 0;
    }
    if (0 != code)
    {
        return fl_ethernet_error(text, length, "start the device", code);
    }
    port->can_steer = (port->queue_count > 1 || 0 != port->settings.isolated) && fl_filters_are_supported(port);
    if (0 != port->settings.isolated && !port->can_steer)
    {
        rte_eth_dev_stop(port->ethdev);
        snprintf(
            text, length, "isolated mode brings only what rules (rte_flow) ask for, and the device takes no rule for a "
            "UDP port; it takes CAP_NET_RAW, and a firmware that steers (dmesg may say more)");
        return -FL_ENOTSUP;
    }
    if (port->queue_count > 1 && !port->can_steer && NULL == port->link)
    {
        code = fl_ethernet_receive_on_first(port, text, length);
        if (0 != code)
        {
            rte_eth_dev_stop(port->ethdev);
            return code;
        }
    }
    fl_timestamps_begin(port);
    return 0;
}

bool fl_ethernet_try_again(fl_port_t *port)
{
    pthread_mutex_lock(&port->control);
    if (atomic_load_explicit(&port->is_waiting, memory_order_acquire) && port->is_started &&
        0 == rte_eth_dev_start(port->ethdev))
    {
        atomic_store_explicit(&port->is_waiting, false, memory_order_release);
        fl_gate_open(port);
    }
    pthread_mutex_unlock(&port->control);
    return !atomic_load_explicit(&port->is_waiting, memory_order_acquire);
}

/* Ask the kernel of an interface. Returns whether there is one of that index; is_up: with a carrier. */
static bool fl_interface_look(const char *name, uint32_t index, bool *is_up)
{
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    const int asker = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool is_there = index == if_nametoindex(name);
    *is_up = is_there && 0 == ioctl(asker, SIOCGIFFLAGS, &request) &&
        (IFF_UP | IFF_RUNNING) == (request.ifr_flags & (IFF_UP | IFF_RUNNING));
    if (asker >= 0)
    {
        close(asker);
    }
    return is_there;
}

int fl_ethernet_look_at_link(fl_port_t *port, bool *is_up)
{
    struct rte_eth_link link = {0};
    if (0 != port->interface_index && !fl_interface_look(port->settings.interface, port->interface_index, is_up))
    {
        return -FL_ENODEV;
    }
    if (0 == port->interface_index)
    {
        const int code = rte_eth_link_get_nowait(port->ethdev, &link);
        *is_up = 0 == code ? RTE_ETH_LINK_UP == link.link_status : port->is_link_up;
    }
    return 0;
}

void fl_ethernet_wait_for_link(fl_port_t *port)
{
    for (uint32_t waited_us = 0;; waited_us += FL_LINK_LOOK_US)
    {
        bool is_up = false;
        if (fl_ethernet_try_again(port) && 0 == fl_ethernet_look_at_link(port, &is_up) && is_up)
        {
            port->is_link_up = true;
            return;
        }
        if (waited_us >= port->settings.link_wait_ms * 1000)
        {
            break;
        }
        usleep(FL_LINK_LOOK_US);
    }
    port->is_link_up = false;
    fl_port_event(
        port, FL_EVENT_LINK_DOWN, "%s has no link after %u ms", port->settings.name, port->settings.link_wait_ms);
}
