/* What happens to the device, and the port's figures. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "port.h"

static void fl_port_show_link(fl_port_t *port, bool is_up)
{
    if (NULL != port->link_counter)
    {
        __atomic_store_n(port->link_counter, is_up, __ATOMIC_RELAXED);
    }
}

int fl_efvi_port_housekeeping(fl_port_t *port, int64_t now_ns)
{
    (void)now_ns;
    if (fl_linux_port_is_lost(port))
    {
        return -FL_ENODEV;
    }
    const int has_link = fl_interface_has_link(port->base.control, port->base.interface, port->base.index);
    if (has_link < 0)
    {
        fl_linux_port_lose(port, FL_EFVI_GONE);
        return -FL_ENODEV;
    }
    atomic_store_explicit(&port->base.has_link, 1 == has_link, memory_order_relaxed);
    fl_port_show_link(port, 1 == has_link);
    return 0;
}

static void fl_port_describe_loss(const fl_port_t *port, char *text, size_t length)
{
    static const char *const causes[] = {
        [FL_EFVI_RESET] = "the adapter was reset, or taken out",
        [FL_EFVI_OVERFLOW] = "an event queue overflowed: its thread was not run, or event_queue_size is too small",
        [FL_EFVI_TX_STOPPED] = "the adapter stopped a transmit queue that this release of ef_vi cannot restart",
        [FL_EFVI_GONE] = "the interface was deleted, renamed or moved away",
    };
    snprintf(
        text, length, "ef_vi on %s: %s", port->settings.interface,
        causes[atomic_load_explicit(&port->base.loss, memory_order_relaxed)]);
}

static void fl_port_describe(const fl_port_t *port, char *text, size_t length)
{
    static const char *const ways[] = {[FL_EFVI_CTPIO] = "CTPIO", [FL_EFVI_PIO] = "PIO", [FL_EFVI_DMA] = "DMA"};
    const fl_efvi_facts_t *facts = &port->facts;
    snprintf(
        text, length, "efvi on %s: %s, sends by %s, %u queues of %u and %u, packets of %u bytes. %.100s",
        port->settings.interface, facts->shared_queues ? "shared queues" : "descriptor rings", ways[facts->transmit],
        facts->queues, facts->rx_queue_size, facts->tx_queue_size, facts->mtu_length, facts->note);
}

int fl_efvi_port_events(fl_port_t *port, fl_event_t *events, uint32_t capacity)
{
    if (fl_linux_port_is_mine(port) && fl_linux_port_is_lost(port))
    {
        fl_port_show_link(port, false);
    }
    return fl_linux_port_events(port, events, capacity, fl_port_describe, fl_port_describe_loss);
}

static const char *const fl_counter_names[FL_EFVI_COUNTER_LIMIT] = {
#define FL_EFVI_NAME(name, suffix) [FL_EFVI_##name] = "efvi-" suffix,
    FL_EFVI_COUNTERS(FL_EFVI_NAME)
#undef FL_EFVI_NAME
};

static int64_t fl_port_figure(const fl_port_t *port, fl_efvi_counter_t id)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < port->open_count; i++)
    {
        const int64_t value = fl_figure_get(&port->queues[i].counters[id]);
        sum = FL_EFVI_TX_LAST_STAMP != id ? sum + value : value > sum ? value : sum;
    }
    return sum;
}

int fl_efvi_port_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity)
{
    const fl_stat_t gauges[] = {
        {.name = "efvi-has-shared-queues", .value = port->facts.shared_queues},
        {.name = "efvi-merges-events", .value = port->facts.merges_events},
    };
    const uint32_t gauge_count = sizeof(gauges) / sizeof(gauges[0]);
    if (0 == capacity)
    {
        return (int)(FL_EFVI_COUNTER_LIMIT + gauge_count);
    }
    uint32_t count = 0;
    for (int id = 0; id < FL_EFVI_COUNTER_LIMIT && count < capacity; id++)
    {
        fl_stat_set(&stats[count++], fl_counter_names[id], fl_port_figure(port, (fl_efvi_counter_t)id));
    }
    for (uint32_t i = 0; i < gauge_count && count < capacity; i++)
    {
        stats[count++] = gauges[i];
    }
    return (int)count;
}
