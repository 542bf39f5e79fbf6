#include "port.h"

#include <errno.h>
#include <string.h>

int fl_efvi_port_gone(const fl_port_t *port)
{
    fl_failure_t error;
    return fl_linux_port_fail(
        port, fl_fail(&error, ENODEV, "the virtual interfaces of %s are lost", port->settings.interface), &error);
}

static int fl_port_attributes(fl_port_t *port, fl_port_attributes_t *attributes)
{
    if (fl_linux_port_is_lost(port))
    {
        return fl_efvi_port_gone(port);
    }
    fl_port_attributes_t found = {
        .size = sizeof(found),
        .offloads = FL_PORT_KERNEL_COEXISTS | FL_PORT_STEERING |
            (0 != port->facts.rx_timestamps ? FL_PORT_RX_TIMESTAMP : 0),
        .queues = port->facts.queues,
        .mtu_length = port->facts.mtu_length,
        .interface_index = 0 != port->settings.vlan_index ? port->settings.vlan_index : port->device.index,
        .headroom = port->facts.mtu_length + FL_EFVI_FRAME_OVERHEAD,
        .numa_node = port->device.numa_node,
        .max_hold = port->facts.rx_queue_size,
    };
    memcpy(found.mac, port->mac, sizeof(found.mac));
    fl_port_attributes_give(attributes, &found);
    return 0;
}

static int fl_port_start(fl_port_t *port, uint32_t queues)
{
    fl_failure_t error;
    if (fl_linux_port_is_lost(port))
    {
        return fl_efvi_port_gone(port);
    }
    const int code = fl_linux_port_check_start(port, queues, port->facts.queues, &error);
    if (0 != code)
    {
        return fl_linux_port_fail(port, code, &error);
    }
    port->base.queue_count = queues;
    fl_linux_port_wait_for_link(port, port->settings.link_wait_ms);
    return 0;
}

static int fl_port_stop(fl_port_t *port)
{
    if (!fl_linux_port_is_mine(port))
    {
        return 0;
    }
    for (uint32_t i = 0; i < port->base.queue_count; i++)
    {
        if (atomic_load_explicit(&port->queues[i].gate.is_entered, memory_order_acquire))
        {
            fl_failure_t error;
            return fl_linux_port_fail(
                port, fl_fail(&error, EBUSY, "stop: queue %u was not left by its thread", i), &error);
        }
    }
    for (uint32_t i = 0; i < port->base.queue_count; i++)
    {
        fl_efvi_filters_clear(&port->filters, &port->queues[i], i);
    }
    port->base.queue_count = 0;
    return 0;
}

static int fl_port_queue_enter(fl_port_t *port, uint32_t queue)
{
    if (fl_linux_port_is_lost(port))
    {
        return -FL_ENODEV;
    }
    const int code = fl_linux_port_check_queue(port, queue);
    if (0 == code)
    {
        fl_efvi_gate_enter(&port->queues[queue].gate);
    }
    return code;
}

static int fl_port_queue_leave(fl_port_t *port, uint32_t queue)
{
    const int code = fl_linux_port_check_queue(port, queue);
    if (0 == code)
    {
        fl_efvi_gate_leave(&port->queues[queue].gate);
    }
    return code;
}

typedef int (*fl_filter_change_t)(
    fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, uint32_t number, uint16_t vlan, const fl_address_t *address,
    fl_failure_t *error);

static int fl_port_change_filter(
    fl_port_t *port, fl_filter_change_t change, uint32_t number, uint16_t vlan, const fl_address_t *address)
{
    fl_failure_t error;
    if (fl_linux_port_is_lost(port))
    {
        return fl_efvi_port_gone(port);
    }
    if (number >= port->base.queue_count)
    {
        return fl_linux_port_fail(
            port, fl_fail(
                &error, EINVAL, "filter for queue %u: %s has %u", number, port->settings.interface,
                port->base.queue_count),
            &error);
    }
    fl_efvi_queue_t *queue = &port->queues[number];
    if (!fl_efvi_gate_close(&queue->gate))
    {
        return fl_linux_port_fail(
            port, fl_fail(
                &error, EBUSY, "filter for queue %u of %s: its thread does not come to a point where it can be added",
                number, port->settings.interface), &error);
    }
    const int code = change(&port->filters, queue, number, vlan, address, &error);
    fl_efvi_gate_open(&queue->gate);
    return fl_linux_port_fail(port, code, &error);
}

static int fl_port_add_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    (void)source;
    return fl_port_change_filter(port, fl_efvi_filters_add, queue, vlan, address);
}

static int fl_port_remove_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    (void)source;
    return fl_port_change_filter(port, fl_efvi_filters_remove, queue, vlan, address);
}

/* The filter for its address is all that a group wants; the kernel's membership, which the netstack holds, has the
 * switch send it (bypass 1.13). */
static int fl_port_group(fl_port_t *port, const fl_address_t *group)
{
    (void)group;
    return fl_linux_port_is_lost(port) ? fl_efvi_port_gone(port) : 0;
}

static int fl_port_rx_burst(fl_port_t *port, uint32_t queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_efvi_queue_receive(&port->queues[queue], frames, capacity);
}

static void fl_port_rx_release(fl_port_t *port, uint32_t queue, const fl_rx_frame_t *frames, uint32_t count)
{
    if (!fl_linux_port_is_lost(port))
    {
        fl_efvi_queue_release(&port->queues[queue], frames, count);
    }
}

static int fl_port_tx_alloc(fl_port_t *port, uint32_t queue, fl_tx_frame_t *frames, uint32_t count)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_efvi_queue_allocate(&port->queues[queue], frames, count);
}

static void fl_port_tx_free(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count)
{
    fl_efvi_queue_free(&port->queues[queue], frames, count);
}

static int fl_port_tx_burst(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_efvi_queue_transmit(&port->queues[queue], frames, count);
}

/* No payload frames are offered, so there are no completions of them. */
static int fl_port_tx_reap(fl_port_t *port, uint32_t queue, fl_completion_t *completions, uint32_t capacity)
{
    (void)completions;
    (void)capacity;
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_efvi_queue_reap(&port->queues[queue]);
}

static int fl_port_arm(fl_port_t *port, uint32_t queue)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_efvi_queue_arm(&port->queues[queue]);
}

/* An interrupt that was asked for comes once at most. */
static int fl_port_disarm(fl_port_t *port, uint32_t queue)
{
    (void)port;
    (void)queue;
    return 0;
}

static int fl_port_close(fl_port_t *port)
{
    return fl_linux_port_is_mine(port) ? fl_efvi_port_close(port) : 0;
}

const fl_port_ops_t *fl_efvi_ops(void)
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
        .join_group = fl_port_group,
        .leave_group = fl_port_group,
        .rx_burst = fl_port_rx_burst,
        .rx_release = fl_port_rx_release,
        .tx_alloc = fl_port_tx_alloc,
        .tx_free = fl_port_tx_free,
        .tx_burst = fl_port_tx_burst,
        .tx_reap = fl_port_tx_reap,
        .arm = fl_port_arm,
        .disarm = fl_port_disarm,
        .housekeeping = fl_efvi_port_housekeeping,
        .events = fl_efvi_port_events,
        .stats = fl_efvi_port_stats,
        .close = fl_port_close,
    };
    return &ops;
}
