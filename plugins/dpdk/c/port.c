/* What a port says of itself, and the ops table. */
#include <string.h>

#include "device_port.h"

uint32_t fl_port_offloads(const fl_port_t *port)
{
    const uint64_t rx_checksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    const bool has_checksums = 0 != port->settings.checksum_offload;
    const uint64_t rx = port->info.rx_offload_capa;
    const uint64_t tx = port->info.tx_offload_capa;
    uint32_t offloads = 0;
    offloads |= has_checksums && rx_checksums == (rx & rx_checksums) ? FL_PORT_RX_CHECKSUM : 0;
    offloads |= has_checksums && 0 != (tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) ? FL_PORT_TX_CHECKSUM_IPV4 : 0;
    offloads |= has_checksums && 0 != (tx & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) ? FL_PORT_TX_CHECKSUM_UDP : 0;
    offloads |= 0 != port->settings.zero_copy_tx ? FL_PORT_TX_PAYLOAD : 0;
    offloads |= 0 != port->timestamp_flag ? FL_PORT_RX_TIMESTAMP : 0;
    offloads |= port->can_steer ? FL_PORT_STEERING : 0;
    offloads |= 0 != port->settings.kernel_coexists ? FL_PORT_KERNEL_COEXISTS : 0;
    return offloads;
}

static int fl_port_attributes(fl_port_t *port, fl_port_attributes_t *attributes)
{
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        return fl_host_error(port->host, FL_ENODEV, "%s is gone", port->settings.name);
    }
    fl_port_attributes_t own = {
        .size = attributes->size,
        .offloads = fl_port_offloads(port),
        .queues = port->is_started ? port->queue_count : port->max_queues,
        .mtu_length = port->mtu_length,
        .interface_index = 0 != port->settings.kernel_coexists ? port->interface_index : 0,
        .headroom = (uint32_t)(fl_pools_room(port->mtu_length) - FL_TX_OFFSET),
        .numa_node = SOCKET_ID_ANY == port->node ? -1 : port->node,
        .max_hold = FL_MAX_HOLD,
    };
    memcpy(own.mac, port->mac.addr_bytes, sizeof(own.mac));
    memcpy(attributes, &own, attributes->size < sizeof(own) ? attributes->size : sizeof(own));
    return 0;
}

void fl_dpdk_abilities(const fl_port_t *port, fl_dpdk_abilities_t *abilities)
{
    memset(abilities, 0, sizeof(*abilities));
    memcpy(abilities->driver, port->driver, sizeof(abilities->driver));
    abilities->queues = port->max_queues;
    abilities->mtu_length = port->mtu_length;
    abilities->offloads = fl_port_offloads(port);
    abilities->is_multicast = 0 == port->settings.no_multicast;
}

const fl_port_ops_t *fl_dpdk_ops(void)
{
    static const fl_port_ops_t ops = {
        .magic = FL_PORT_MAGIC,
        .size = sizeof(fl_port_ops_t),
        .abi_version = FL_ABI_VERSION,
        .attributes = fl_port_attributes,
        .start = fl_port_start,
        .stop = fl_port_stop,
        .queue_enter = fl_port_queue_enter,
        .queue_leave = fl_port_queue_leave,
        .add_filter = fl_port_add_filter,
        .remove_filter = fl_port_remove_filter,
        .join_group = fl_port_join_group,
        .leave_group = fl_port_leave_group,
        .rx_burst = fl_port_rx_burst,
        .rx_release = fl_port_rx_release,
        .tx_alloc = fl_port_tx_alloc,
        .tx_free = fl_port_tx_free,
        .tx_burst = fl_port_tx_burst,
        .tx_reap = fl_port_tx_reap,
        .register_memory = fl_port_register_memory,
        .unregister_memory = fl_port_unregister_memory,
        .housekeeping = fl_port_housekeeping,
        .events = fl_port_events,
        .stats = fl_port_stats,
        .close = fl_port_close,
    };
    return &ops;
}
