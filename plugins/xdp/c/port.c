#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

int fl_xdp_port_gone(const fl_port_t *port)
{
    fl_failure_t error;
    return fl_linux_port_fail(
        port, fl_fail(&error, ENODEV, "interface %s, or the XDP program on it, is gone", port->settings.interface),
        &error);
}

static int fl_settings_check(const fl_xdp_settings_t *settings, fl_failure_t *error)
{
    const uint32_t size = settings->ring_size;
    if (size < 64 || size > 16384 || 0 != (size & (size - 1)))
    {
        return fl_fail(error, EINVAL, "ring_size %u is not a power of two in 64 to 16384", size);
    }
    if (settings->mode > FL_XDP_GENERIC || settings->copy > FL_XDP_COPY || settings->queues > FL_XDP_QUEUES_MAXIMUM)
    {
        return fl_fail(
            error, EINVAL, "mode %u, copy %u or queues %u is out of range", settings->mode, settings->copy,
            settings->queues);
    }
    if (FL_XDP_GENERIC == settings->mode && FL_XDP_ZERO_COPY == settings->copy)
    {
        return fl_fail(error, EINVAL, "zero-copy needs native mode");
    }
    return 0;
}

static int fl_port_choose_queues(fl_port_t *port, fl_failure_t *error)
{
    const fl_xdp_device_t *device = &port->device;
    const uint32_t most = device->steers ? device->device_queues : 1;
    const uint32_t wanted = 0 == port->settings.queues ? 2 : port->settings.queues;
    if (0 != port->settings.queues && wanted > most)
    {
        return fl_fail(
            error, ENOTSUP, "%u queues on %s: %s; set transport.xdp.queues = %u", wanted, port->settings.interface,
            device->steers ? "the device has fewer (ethtool -l)"
                : device->device_queues > 1 ? "ntuple steering is off or not there (ethtool -K ... ntuple on)"
                : "the device has one queue and no ntuple steering", most);
    }
    port->facts.queues = wanted < most ? wanted : most;
    port->facts.steers = device->steers && port->facts.queues > 1;
    return 0;
}

/* Every queue of the device gets a socket, whether the port has a queue of its own for it or not: a frame that we own
 * must not come to a queue where nobody looks. */
static int fl_port_open_sockets(fl_port_t *port, fl_failure_t *error)
{
    const uint32_t wanted = port->device.device_queues;
    const uint32_t ip_mtu = port->settings.ip_mtu;
    const uint32_t most = 0 != ip_mtu && ip_mtu < FL_XDP_MTU_MAXIMUM ? ip_mtu : FL_XDP_MTU_MAXIMUM;
    port->facts.mtu_length = most < port->device.mtu_length ? most : port->device.mtu_length;
    fl_xdp_layout_t layout;
    fl_xdp_layout_init(&layout, port->settings.ring_size, port->facts.mtu_length);
    if (layout.is_multi_buffer && !port->program.is_multi_buffer)
    {
        return fl_fail(
            error, EMSGSIZE, "packets of %u bytes on %s: this kernel's XDP takes up to %d; run Linux 6.6, or set "
            "transport.xdp.ip_mtu = %d", port->facts.mtu_length, port->settings.interface, FL_XDP_SINGLE_BUFFER_MTU,
            FL_XDP_SINGLE_BUFFER_MTU);
    }
    port->sockets = aligned_alloc(64, (wanted * sizeof(fl_xdp_socket_t) + 63) / 64 * 64);
    if (NULL == port->sockets)
    {
        return fl_fail(error, ENOMEM, "no memory for %u sockets", wanted);
    }
    port->facts.is_zero_copy = 1;
    for (uint32_t queue = 0; queue < wanted; queue++)
    {
        fl_xdp_socket_t *socket = &port->sockets[queue];
        const int code = fl_xdp_socket_open(
            socket, &layout, &port->settings, queue, queue < port->facts.queues,
            port->program.is_native && 0 != port->facts.is_zero_copy, port->facts.note,
            sizeof(port->facts.note), error);
        if (0 != code)
        {
            return code;
        }
        port->socket_count++;
        port->facts.is_zero_copy = port->facts.is_zero_copy && socket->is_zero_copy;
    }
    port->facts.sockets = port->socket_count;
    port->facts.chunk_length = layout.chunk_length;
    port->facts.is_multi_buffer = layout.is_multi_buffer;
    port->facts.is_native = port->program.is_native;
    return 0;
}

static void fl_port_free(fl_port_t *port)
{
    fl_xdp_filters_close(&port->filters, !fl_linux_port_is_lost(port));
    /* The program first: no frame is redirected to a socket that is being closed. */
    fl_xdp_program_close(&port->program);
    for (uint32_t i = 0; i < port->socket_count; i++)
    {
        fl_xdp_socket_close(&port->sockets[i]);
    }
    free(port->sockets);
    fl_linux_port_close(port);
    free(port);
}

static int fl_port_open(fl_port_t *port, fl_failure_t *error)
{
    const char *interface = port->settings.interface;
    int code = fl_linux_port_open(port, error);
    if (0 != code)
    {
        return code;
    }
    code = fl_xdp_device_read(port->base.control, interface, &port->device);
    if (0 != code)
    {
        return fl_fail(error, ENODEV, "interface '%s': %s", interface, strerror(-code));
    }
    port->base.index = port->device.index;
    code = fl_port_choose_queues(port, error);
    if (0 == code)
    {
        code = fl_xdp_program_load(&port->program, port->device.device_queues, error);
    }
    if (0 != code)
    {
        return code;
    }
    code = fl_xdp_filters_open(
        &port->filters, port->settings.interface, port->device.index, port->base.control,
        port->program.maps[FL_XDP_MAP_FILTERS], error);
    if (0 == code)
    {
        code = fl_xdp_program_attach(
            &port->program, &port->device, interface, port->settings.mode, port->facts.note, sizeof(port->facts.note),
            error);
    }
    if (0 != code)
    {
        return code;
    }
    if (fl_xdp_filters_remember(&port->filters, port->settings.state_directory, 0 != port->facts.steers, error) < 0)
    {
        port->base.host->log(port->base.host, FL_LOG_WARNING, error->text);
    }
    return fl_port_open_sockets(port, error);
}

int fl_xdp_open(
    const fl_host_t *host, const fl_xdp_settings_t *settings, char *text, size_t length, fl_port_t **port)
{
    int code = fl_host_check(host, text, length);
    if (0 != code)
    {
        return code;
    }
    fl_failure_t error = {.text = "no memory for the port"};
    code = fl_settings_check(settings, &error);
    fl_port_t *opened = 0 == code ? calloc(1, sizeof(*opened)) : NULL;
    if (NULL == opened)
    {
        snprintf(text, length, "%s", error.text);
        return 0 == code ? -FL_ENOMEM : code;
    }
    opened->settings = *settings;
    opened->settings.interface[sizeof(opened->settings.interface) - 1] = '\0';
    opened->settings.state_directory[sizeof(opened->settings.state_directory) - 1] = '\0';
    fl_linux_port_init(opened, host, opened->settings.interface);
    fl_xdp_filters_init(&opened->filters);
    fl_xdp_program_init(&opened->program);
    code = fl_port_open(opened, &error);
    if (0 != code)
    {
        snprintf(text, length, "%s", error.text);
        fl_port_free(opened);
        return code;
    }
    *port = opened;
    return 0;
}

void fl_xdp_facts(const fl_port_t *port, fl_xdp_facts_t *facts)
{
    *facts = port->facts;
}

static int fl_port_attributes(fl_port_t *port, fl_port_attributes_t *attributes)
{
    if (fl_linux_port_is_lost(port))
    {
        return fl_xdp_port_gone(port);
    }
    fl_port_attributes_t found = {
        .size = sizeof(found),
        .offloads = FL_PORT_KERNEL_COEXISTS | (port->facts.steers ? FL_PORT_STEERING : 0),
        .queues = port->facts.queues,
        .mtu_length = port->facts.mtu_length,
        .interface_index = 0 != port->settings.vlan_index ? port->settings.vlan_index : port->device.index,
        .headroom = port->facts.mtu_length + FL_XDP_FRAME_OVERHEAD,
        .numa_node = port->device.numa_node,
        .max_hold = port->settings.ring_size,
    };
    memcpy(found.mac, port->device.mac, sizeof(found.mac));
    if (port->facts.is_multi_buffer && found.max_hold > FL_XDP_ASSEMBLIES)
    {
        found.max_hold = FL_XDP_ASSEMBLIES;
    }
    fl_port_attributes_give(attributes, &found);
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
        port->queues[queue].is_entered = true;
    }
    return code;
}

static int fl_port_queue_leave(fl_port_t *port, uint32_t queue)
{
    const int code = fl_linux_port_check_queue(port, queue);
    if (0 == code)
    {
        port->queues[queue].is_entered = false;
    }
    return code;
}

static int fl_port_add_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    fl_failure_t error;
    return fl_linux_port_is_lost(port) ? fl_xdp_port_gone(port)
        : fl_linux_port_fail(port, fl_xdp_filters_add(&port->filters, queue, vlan, address, source, &error), &error);
}

static int fl_port_remove_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    fl_failure_t error;
    return fl_linux_port_is_lost(port) ? fl_xdp_port_gone(port)
        : fl_linux_port_fail(port, fl_xdp_filters_remove(&port->filters, queue, vlan, address, source, &error), &error);
}

static int fl_port_join_group(fl_port_t *port, const fl_address_t *group)
{
    fl_failure_t error;
    return fl_linux_port_is_lost(port) ? fl_xdp_port_gone(port)
        : fl_linux_port_fail(port, fl_xdp_filters_join(&port->filters, group, &error), &error);
}

static int fl_port_leave_group(fl_port_t *port, const fl_address_t *group)
{
    fl_failure_t error;
    return fl_linux_port_is_lost(port) ? fl_xdp_port_gone(port)
        : fl_linux_port_fail(port, fl_xdp_filters_leave(&port->filters, group, &error), &error);
}

static int fl_port_rx_burst(fl_port_t *port, uint32_t queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_xdp_queue_receive(&port->queues[queue], frames, capacity);
}

static void fl_port_rx_release(fl_port_t *port, uint32_t queue, const fl_rx_frame_t *frames, uint32_t count)
{
    fl_xdp_queue_release(&port->queues[queue], frames, count);
}

static int fl_port_tx_alloc(fl_port_t *port, uint32_t queue, fl_tx_frame_t *frames, uint32_t count)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_xdp_queue_allocate(&port->queues[queue], frames, count);
}

static void fl_port_tx_free(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count)
{
    fl_xdp_queue_free(&port->queues[queue], frames, count);
}

static int fl_port_tx_burst(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_xdp_queue_transmit(&port->queues[queue], frames, count);
}

/* No payload frames are offered, so there are no completions of them. */
static int fl_port_tx_reap(fl_port_t *port, uint32_t queue, fl_completion_t *completions, uint32_t capacity)
{
    (void)completions;
    (void)capacity;
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_xdp_queue_reap(&port->queues[queue]);
}

static int fl_port_arm(fl_port_t *port, uint32_t queue)
{
    return fl_linux_port_is_lost(port) ? -FL_ENODEV : fl_xdp_queue_arm(&port->queues[queue]);
}

/* Nothing was switched on. */
static int fl_port_disarm(fl_port_t *port, uint32_t queue)
{
    (void)port;
    (void)queue;
    return 0;
}

static int fl_port_close(fl_port_t *port)
{
    if (!fl_linux_port_is_mine(port))
    {
        return 0;
    }
    const int code = fl_xdp_port_stop(port);
    if (0 == code)
    {
        fl_port_free(port);
    }
    return code;
}

const fl_port_ops_t *fl_xdp_ops(void)
{
    static const fl_port_ops_t ops = {
        .magic = FL_PORT_MAGIC,
        .size = sizeof(fl_port_ops_t),
        .abi_version = FL_ABI_VERSION,
        .attributes = fl_port_attributes,
        .start = fl_xdp_port_start,
        .stop = fl_xdp_port_stop,
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
        .arm = fl_port_arm,
        .disarm = fl_port_disarm,
        .housekeeping = fl_xdp_port_housekeeping,
        .events = fl_xdp_port_events,
        .stats = fl_xdp_port_stats,
        .close = fl_port_close,
    };
    return &ops;
}
