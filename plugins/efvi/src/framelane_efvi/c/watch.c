/* What happens to the device, and the port's figures. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    if (fl_efvi_port_is_dead(port))
    {
        return -FL_ENODEV;
    }
    const int has_link = fl_efvi_device_has_link(port->control, port->settings.interface, port->device.index);
    if (has_link < 0)
    {
        atomic_store_explicit(&port->death, FL_EFVI_GONE, memory_order_relaxed);
        return -FL_ENODEV;
    }
    atomic_store_explicit(&port->has_link, 1 == has_link, memory_order_relaxed);
    fl_port_show_link(port, 1 == has_link);
    return 0;
}

static fl_event_t *fl_event_init(fl_event_t *event, uint32_t kind)
{
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    return event;
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
        causes[atomic_load_explicit(&port->death, memory_order_relaxed)]);
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
    uint32_t count = 0;
    if (getpid() != port->pid)
    {
        return 0;
    }
    if (!port->is_note_reported && count < capacity)
    {
        port->is_note_reported = true;
        fl_event_t *event = fl_event_init(&events[count++], FL_EVENT_NOTE);
        fl_port_describe(port, event->text, sizeof(event->text));
    }
    if (fl_efvi_port_is_dead(port))
    {
        if (!port->is_dead_reported && count < capacity)
        {
            port->is_dead_reported = true;
            fl_port_show_link(port, false);
            fl_event_t *event = fl_event_init(&events[count++], FL_EVENT_REMOVED);
            fl_port_describe_loss(port, event->text, sizeof(event->text));
        }
        return (int)count;
    }
    const bool has_link = atomic_load_explicit(&port->has_link, memory_order_relaxed);
    if (0 != port->queue_count && has_link != port->has_link_reported && count < capacity)
    {
        port->has_link_reported = has_link;
        snprintf(
            fl_event_init(&events[count++], has_link ? FL_EVENT_LINK_UP : FL_EVENT_LINK_DOWN)->text,
            sizeof(events[0].text), "%s", port->settings.interface);
    }
    return (int)count;
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
