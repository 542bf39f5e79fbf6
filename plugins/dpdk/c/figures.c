/* A port's figures: ours by queue, the device's, and what the driver says beyond (xstats). */
#include "device_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* None of the names that the netstack above has for its datagrams: the driver shows both. */
static const char *const fl_counter_names[FL_QUEUE_COUNTERS] = {
    [FL_TX_PKTS] = "dpdk-tx-frames",
    [FL_TX_BYTES] = "dpdk-tx-frame-bytes",
    [FL_TX_NOBUFS] = "dpdk-tx-buffers-out",
    [FL_TX_EAGAIN] = "dpdk-tx-ring-full",
    [FL_TX_ERROR] = "dpdk-tx-refused",
    [FL_RX_PKTS] = "dpdk-rx-frames",
    [FL_RX_BYTES] = "dpdk-rx-frame-bytes",
    [FL_RX_JOINED] = "dpdk-rx-joined",
    [FL_RX_ERROR] = "dpdk-rx-error",
};

#define FL_DEVICE_FIGURES 5
/* Types that Aeron reserves (bypass-apis 6.8). */
#define FL_COUNTER_PORT_INFO 75
#define FL_COUNTER_TRANSPORT 76

/* Figures that repeat ours or the device's, or one queue's alone. */
static bool fl_xstat_is_new(const char *name)
{
    static const char *const repeated[] = {
        "rx_good_", "tx_good_", "rx_missed_errors", "rx_errors", "tx_errors",
        "rx_mbuf_allocation_errors", "rx_q", "tx_q"};
    for (size_t i = 0; i < sizeof(repeated) / sizeof(*repeated); i++)
    {
        if (0 == strncmp(name, repeated[i], strlen(repeated[i])))
        {
            return false;
        }
    }
    return true;
}

int fl_dpdk_xstat_label(const char *name, char *label, size_t length)
{
    if (!fl_xstat_is_new(name))
    {
        return 0;
    }
    snprintf(label, length, "dpdk-xstat-%.44s", name);
    for (char *at = label; '\0' != *at; at++)
    {
        *at = '_' == *at ? '-' : *at;
    }
    return 1;
}

void fl_figures_begin(fl_port_t *port)
{
    const int count = rte_eth_xstats_get_names(port->ethdev, NULL, 0);
    struct rte_eth_xstat_name *names = count > 0 ? calloc((size_t)count, sizeof(*names)) : NULL;
    if (NULL != names && rte_eth_xstats_get_names(port->ethdev, names, (unsigned)count) == count)
    {
        for (int i = 0; i < count && port->xstat_count < FL_MAX_XSTATS; i++)
        {
            char *label = port->xstat_names[port->xstat_count];
            if (0 != fl_dpdk_xstat_label(names[i].name, label, sizeof(port->xstat_names[0])))
            {
                port->xstat_ids[port->xstat_count++] = (uint64_t)i;
            }
        }
    }
    free(names);
}

void fl_figures_show(fl_port_t *port)
{
    const fl_host_t *host = port->host;
    if (NULL == host->counter_allocate || NULL != port->link_counter)
    {
        return;   /* no room for counters is no failure; a second start goes on with those of the first */
    }
    const uint8_t *mac = port->mac.addr_bytes;
    const char *name = port->settings.name;
    char label[192];
    snprintf(
        label, sizeof(label), "dpdk-port: %s %02x:%02x:%02x:%02x:%02x:%02x mtu %u %s", name, mac[0], mac[1], mac[2],
        mac[3], mac[4], mac[5], port->mtu_length, port->driver);
    port->link_counter = host->counter_allocate(host, FL_COUNTER_PORT_INFO, name, strlen(name), label);
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        snprintf(
            label, sizeof(label), "dpdk-transport: %s queue %u rx %u tx %u", name, i, port->rx_descriptors,
            port->tx_descriptors);
        int64_t *counter = host->counter_allocate(host, FL_COUNTER_TRANSPORT, &i, sizeof(i), label);
        if (NULL != counter)
        {
            __atomic_store_n(counter, 1, __ATOMIC_RELAXED);
        }
    }
}

void fl_figures_show_link(fl_port_t *port, bool is_up)
{
    if (NULL != port->link_counter)
    {
        __atomic_store_n(port->link_counter, is_up, __ATOMIC_RELAXED);
    }
}

/* Read the device's figures; those of a device that is gone or stopped stay as they were. */
static void fl_figures_read(fl_port_t *port)
{
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire) ||
        atomic_load_explicit(&port->is_resetting, memory_order_acquire))
    {
        return;
    }
    pthread_mutex_lock(&port->control);
    rte_eth_stats_get(port->ethdev, &port->last_stats);
    uint64_t values[FL_MAX_XSTATS];
    if (port->xstat_count > 0 &&
        rte_eth_xstats_get_by_id(port->ethdev, port->xstat_ids, values, port->xstat_count) == (int)port->xstat_count)
    {
        for (uint32_t i = 0; i < port->xstat_count; i++)
        {
            port->xstat_values[i] = (int64_t)values[i];
        }
    }
    pthread_mutex_unlock(&port->control);
}

int fl_port_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity)
{
    const uint32_t figures = FL_QUEUE_COUNTERS + FL_DEVICE_FIGURES + port->xstat_count;
    if (0 == capacity)
    {
        return (int)figures;
    }
    fl_figures_read(port);
    fl_stat_t all[FL_QUEUE_COUNTERS + FL_DEVICE_FIGURES + FL_MAX_XSTATS];
    fl_stat_t *stat = all;
    for (int id = 0; id < FL_QUEUE_COUNTERS; id++)
    {
        int64_t value = 0;
        for (uint32_t queue = 0; queue < FL_MAX_QUEUES; queue++)
        {
            value += fl_figure_get(&port->queues[queue].counters[id]);
        }
        fl_stat_set(stat++, fl_counter_names[id], value);
    }
    fl_stat_set(stat++, "dpdk-rx-missed", (int64_t)port->last_stats.imissed);
    fl_stat_set(stat++, "dpdk-rx-nombuf", (int64_t)port->last_stats.rx_nombuf);
    fl_stat_set(stat++, "dpdk-rx-device-errors", (int64_t)port->last_stats.ierrors);
    fl_stat_set(stat++, "dpdk-tx-device-errors", (int64_t)port->last_stats.oerrors);
    fl_stat_set(stat++, "dpdk-mempool-available", (int64_t)fl_pools_available(port));
    for (uint32_t i = 0; i < port->xstat_count; i++)
    {
        fl_stat_set(stat++, port->xstat_names[i], port->xstat_values[i]);
    }
    const uint32_t count = figures < capacity ? figures : capacity;
    memcpy(stats, all, count * sizeof(*stats));
    return (int)count;
}
