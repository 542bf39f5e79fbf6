/* What happens to a device: link, reset, loss. */
#include "eal.h"
#include "gate.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>

#define FL_UNPLUG_LIMIT_MS 1000

void fl_port_event(fl_port_t *port, uint32_t kind, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&port->event_mutex);
    /* Where nobody collects, notes and link changes give way; the last place is for the loss. */
    if (port->event_count < FL_EVENTS - 1 || (FL_EVENT_REMOVED == kind && port->event_count < FL_EVENTS))
    {
        fl_event_t *event = &port->events[port->event_count++];
        memset(event, 0, sizeof(*event));
        event->kind = kind;
        vsnprintf(event->text, sizeof(event->text), format, arguments);
    }
    pthread_mutex_unlock(&port->event_mutex);
    va_end(arguments);
}

int fl_port_events(fl_port_t *port, fl_event_t *events, uint32_t capacity)
{
    pthread_mutex_lock(&port->event_mutex);
    const uint32_t count = port->event_count < capacity ? port->event_count : capacity;
    memcpy(events, port->events, count * sizeof(*events));
    port->event_count -= count;
    memmove(port->events, port->events + count, port->event_count * sizeof(*events));
    pthread_mutex_unlock(&port->event_mutex);
    return (int)count;
}

void fl_port_lose(fl_port_t *port, const char *why)
{
    bool was_lost = false;
    if (atomic_compare_exchange_strong_explicit(
            &port->is_lost, &was_lost, true, memory_order_acq_rel, memory_order_acquire))
    {
        fl_port_event(port, FL_EVENT_REMOVED, "%s is gone: %s", port->settings.name, why);
    }
    fl_gate_shut(port);
}

static int fl_port_restart(fl_port_t *port, char *text, size_t length)
{
    int code = rte_eth_dev_stop(port->ethdev);
    if (0 != code)
    {
        snprintf(text, length, "stop: %s", rte_strerror(-code));
        return code;
    }
    code = rte_eth_dev_reset(port->ethdev);
    if (0 != code && -ENOTSUP != code)
    {
        snprintf(text, length, "reset: %s", rte_strerror(-code));
        return code;
    }
    code = fl_ethernet_configure(port, text, length);
    if (0 == code)
    {
        code = fl_ethernet_begin(port, text, length);
    }
    if (0 == code)
    {
        fl_groups_restore(port);
        code = fl_filters_restore(port);
        snprintf(text, length, "put the filters back");
    }
    return code;
}

/* The environment's thread: reset the device once no queue's thread is inside. That may take as long as the driver's threads
 * take to come by, which for an invoker is its caller's affair. */
static void fl_port_reset(void *argument)
{
    fl_port_t *port = argument;
    fl_gate_close(port, UINT32_MAX);
    pthread_mutex_lock(&port->control);
    if (port->is_started && !atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        char text[160];
        if (0 == fl_port_restart(port, text, sizeof(text)))
        {
            fl_gate_open(port);
            fl_port_event(port, FL_EVENT_RESET, "%s was reset", port->settings.name);
        }
        else
        {
            fl_port_lose(port, text);
        }
    }
    pthread_mutex_unlock(&port->control);
    atomic_store_explicit(&port->is_resetting, false, memory_order_release);
}

int fl_dpdk_request_reset(fl_port_t *port)
{
    if (atomic_exchange_explicit(&port->is_resetting, true, memory_order_acq_rel))
    {
        return 0;
    }
    const int code = fl_eal_run(fl_port_reset, port, false);
    if (0 != code)
    {
        atomic_store_explicit(&port->is_resetting, false, memory_order_release);
    }
    return code;
}

int fl_dpdk_unplug(fl_port_t *port)
{
    fl_port_lose(port, "it was unplugged");
    return fl_gate_close(port, FL_UNPLUG_LIMIT_MS) ? 0 : -FL_EBUSY;
}

/* DPDK's interrupt thread, or whoever takes the device away from DPDK. */
static int fl_port_on_event(uint16_t ethdev, enum rte_eth_event_type type, void *argument, void *result)
{
    (void)ethdev;
    (void)result;
    fl_port_t *port = argument;
    switch (type)
    {
        case RTE_ETH_EVENT_INTR_RMV:
            fl_port_lose(port, "the device was removed");
            break;

        case RTE_ETH_EVENT_DESTROY:
            fl_port_lose(port, "it was taken from DPDK");
            break;

        case RTE_ETH_EVENT_INTR_RESET:
            fl_dpdk_request_reset(port);
            break;

        default:
            break;
    }
    return 0;
}

static const enum rte_eth_event_type fl_watched[] = {
    RTE_ETH_EVENT_INTR_RMV, RTE_ETH_EVENT_DESTROY, RTE_ETH_EVENT_INTR_RESET};

int fl_events_begin(fl_port_t *port)
{
    int code = 0;
    for (size_t i = 0; i < sizeof(fl_watched) / sizeof(*fl_watched) && 0 == code; i++)
    {
        code = rte_eth_dev_callback_register(port->ethdev, fl_watched[i], fl_port_on_event, port);
    }
    return code;
}

void fl_events_end(fl_port_t *port)
{
    for (size_t i = 0; i < sizeof(fl_watched) / sizeof(*fl_watched); i++)
    {
        rte_eth_dev_callback_unregister(port->ethdev, fl_watched[i], fl_port_on_event, port);
    }
}

static void fl_port_look_at_link(fl_port_t *port)
{
    struct rte_eth_link link = {0};
    if (0 != rte_eth_link_get_nowait(port->ethdev, &link) || (RTE_ETH_LINK_UP == link.link_status) == port->is_link_up)
    {
        return;
    }
    port->is_link_up = !port->is_link_up;
    fl_port_event(
        port, port->is_link_up ? FL_EVENT_LINK_UP : FL_EVENT_LINK_DOWN, "%s: link %s", port->settings.name,
        port->is_link_up ? "up" : "down");
}

int fl_port_housekeeping(fl_port_t *port, int64_t now_ns)
{
    (void)now_ns;
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        return -FL_ENODEV;
    }
    if (!port->is_started || atomic_load_explicit(&port->is_resetting, memory_order_acquire))
    {
        return 0;
    }
    /* A virtual device over an interface of the kernel does not say when that goes. */
    if (0 != port->interface_index && port->interface_index != if_nametoindex(port->settings.interface))
    {
        fl_port_lose(port, "the kernel's interface was deleted");
        return -FL_ENODEV;
    }
    uint64_t ticks;
    if (0 != port->timestamp_flag && 0 == rte_eth_read_clock(port->ethdev, &ticks))
    {
        fl_device_clock_read(&port->clock, ticks, port->host->epoch_clock(port->host));
    }
    fl_port_look_at_link(port);
    return 0;
}
