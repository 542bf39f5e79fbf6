/* What happens to the device, and the port's figures. */
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "device.h"
#include "port.h"

#define FL_CHECK_INTERVAL_NS 100000000

int fl_xdp_port_housekeeping(fl_port_t *port, int64_t now_ns)
{
    (void)now_ns;
    if (fl_linux_port_is_lost(port))
    {
        return -FL_ENODEV;
    }
    /* The kernel leaves ENETDOWN in the sockets of an interface that goes away. */
    int error = 0;
    socklen_t length = sizeof(error);
    const int fd = port->sockets[0].fd;
    const int has_link = fl_interface_has_link(port->base.control, port->base.interface, port->base.index);
    if (-ENODEV == has_link || (0 == getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) && ENETDOWN == error))
    {
        fl_linux_port_lose(port, 1);
        return -FL_ENODEV;
    }
    atomic_store_explicit(&port->base.has_link, 1 == has_link, memory_order_relaxed);
    return 0;
}

static void fl_port_describe_loss(const fl_port_t *port, char *text, size_t length)
{
    fl_xdp_device_t now;
    const char *interface = port->settings.interface;
    if (0 != fl_xdp_device_read(port->base.control, interface, &now))
    {
        snprintf(
            text, length, "interface %s (index %u) was deleted, renamed or moved away", interface, port->device.index);
    }
    else if (now.index != port->device.index)
    {
        snprintf(
            text, length, "interface %s was deleted and made again (index %u, now %u)", interface, port->device.index,
            now.index);
    }
    else
    {
        snprintf(text, length, "the XDP program was detached from interface %s by somebody else", interface);
    }
}

static void fl_port_describe(const fl_port_t *port, char *text, size_t length)
{
    const fl_xdp_facts_t *facts = &port->facts;
    snprintf(
        text, length, "xdp on %s: %s, %s, %u of %u queues, packets of %u bytes. %.100s", port->base.interface,
        facts->is_native ? "native" : "generic", facts->is_zero_copy ? "zero-copy" : "copy", facts->queues,
        facts->sockets, facts->mtu_length, facts->note);
}

int fl_xdp_port_events(fl_port_t *port, fl_event_t *events, uint32_t capacity)
{
    uint32_t count = 0;
    if (!fl_linux_port_is_mine(port))
    {
        return 0;
    }
    const int64_t now_ns = port->base.host->nano_clock(port->base.host);
    if (!port->base.is_loss_reported && now_ns - port->checked_ns >= FL_CHECK_INTERVAL_NS)
    {
        port->checked_ns = now_ns;
        if (!fl_xdp_program_is_attached(&port->program))
        {
            fl_linux_port_lose(port, 1);
        }
        if (!port->is_gap_reported && count < capacity &&
            fl_xdp_program_count(&port->program, FL_XDP_COUNT_NO_SOCKET) > 0)
        {
            port->is_gap_reported = true;
            fl_event_t *event = fl_event_init(&events[count++], FL_EVENT_NOTE);
            snprintf(
                event->text, sizeof(event->text),
                "%s has more queues than the %u at opening, and what comes by the others is lost; restart the driver, "
                "or take them away: ethtool -L", port->settings.interface, port->facts.sockets);
        }
    }

    return (int)count +
        fl_linux_port_events(port, events + count, capacity - count, fl_port_describe, fl_port_describe_loss);
}

static const char *const fl_counter_names[FL_QUEUE_COUNTERS] = {
    [FL_RX_FRAMES] = "xdp-rx-frames",
    [FL_RX_BYTES] = "xdp-rx-frame-bytes",
    [FL_RX_INCOMPLETE] = "xdp-rx-too-long",
    [FL_RX_WAKEUPS] = "xdp-rx-wakeups",
    [FL_TX_FRAMES] = "xdp-tx-frames",
    [FL_TX_BYTES] = "xdp-tx-frame-bytes",
    [FL_TX_NOBUFS] = "xdp-tx-buffers-out",
    [FL_TX_EAGAIN] = "xdp-kicks-in-vain",
    [FL_TX_DROPPED] = "xdp-tx-dropped",
    [FL_TX_ERRORS] = "xdp-kick-errors",
    [FL_KICKS] = "xdp-kicks",
};

/* Behind the counters of the queues. */
enum
{
    FL_FIGURE_REDIRECTED,
    FL_FIGURE_NO_SOCKET,
    FL_FIGURE_RX_DROPPED,
    FL_FIGURE_RX_RING_FULL,
    FL_FIGURE_FILL_RING_EMPTY,
    FL_FIGURE_RX_INVALID,
    FL_FIGURE_TX_INVALID,
    FL_FIGURE_NATIVE,
    FL_FIGURE_ZERO_COPY,
    FL_FIGURES
};

static const char *const fl_figure_names[FL_FIGURES] = {
    [FL_FIGURE_REDIRECTED] = "xdp-program-redirected",
    [FL_FIGURE_NO_SOCKET] = "xdp-program-no-socket",
    [FL_FIGURE_RX_DROPPED] = "xdp-rx-dropped",
    [FL_FIGURE_RX_RING_FULL] = "xdp-rx-ring-full",
    [FL_FIGURE_FILL_RING_EMPTY] = "xdp-fill-ring-empty",
    [FL_FIGURE_RX_INVALID] = "xdp-rx-invalid-descriptors",
    [FL_FIGURE_TX_INVALID] = "xdp-tx-invalid-descriptors",
    [FL_FIGURE_NATIVE] = "xdp-is-native",
    [FL_FIGURE_ZERO_COPY] = "xdp-is-zero-copy",
};

static void fl_port_read_figures(fl_port_t *port, int64_t *figures)
{
    memset(figures, 0, FL_FIGURES * sizeof(*figures));
    figures[FL_FIGURE_REDIRECTED] = fl_xdp_program_count(&port->program, FL_XDP_COUNT_REDIRECTED);
    figures[FL_FIGURE_NO_SOCKET] = fl_xdp_program_count(&port->program, FL_XDP_COUNT_NO_SOCKET);
    for (uint32_t i = 0; i < port->socket_count; i++)
    {
        struct xdp_statistics statistics = {0};
        socklen_t length = sizeof(statistics);
        if (0 == getsockopt(port->sockets[i].fd, SOL_XDP, XDP_STATISTICS, &statistics, &length))
        {
            figures[FL_FIGURE_RX_DROPPED] += (int64_t)statistics.rx_dropped;
            figures[FL_FIGURE_RX_RING_FULL] += (int64_t)statistics.rx_ring_full;
            figures[FL_FIGURE_FILL_RING_EMPTY] += (int64_t)statistics.rx_fill_ring_empty_descs;
            figures[FL_FIGURE_RX_INVALID] += (int64_t)statistics.rx_invalid_descs;
            figures[FL_FIGURE_TX_INVALID] += (int64_t)statistics.tx_invalid_descs;
        }
    }
    figures[FL_FIGURE_NATIVE] = port->facts.is_native;
    figures[FL_FIGURE_ZERO_COPY] = port->facts.is_zero_copy;
}

int fl_xdp_port_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity)
{
    const uint32_t all = FL_QUEUE_COUNTERS + FL_FIGURES;
    if (0 == capacity)
    {
        return (int)all;
    }
    int64_t figures[FL_FIGURES];
    fl_port_read_figures(port, figures);
    uint32_t count = 0;
    for (int id = 0; id < FL_QUEUE_COUNTERS && count < capacity; id++)
    {
        int64_t value = port->closed_counters[id];
        for (uint32_t i = 0; i < port->base.queue_count; i++)
        {
            value += fl_figure_get(&port->queues[i].counters[id]);
        }
        fl_stat_set(&stats[count++], fl_counter_names[id], value);
    }
    for (int id = 0; id < FL_FIGURES && count < capacity; id++)
    {
        fl_stat_set(&stats[count++], fl_figure_names[id], figures[id]);
    }
    return (int)count;
}
