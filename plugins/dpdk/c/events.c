/* What happens to a device: link, reset, loss. */
#include "eal.h"
#include "gate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>

#define FL_UNPLUG_LIMIT_MS 1000
#define FL_LOOKS_A_RESTART 50   /* without a link, to a restart of a device that had found its peer */
#define FL_LOOKS_A_TRY 5   /* of housekeeping, ten a second, to one try at starting a device without its peer */

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
        fl_figures_show_link(port, false);
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

/* The environment's thread: reset the device once no queue's thread is inside. That may take as long as the driver's
 * threads take to come by, which for an invoker is its caller's affair. */
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
            if (!atomic_load_explicit(&port->is_waiting, memory_order_acquire))
            {
                fl_gate_open(port);
            }
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

static void fl_port_hear(fl_port_t *port, int type)
{
    switch (type)
    {
        case RTE_ETH_EVENT_INTR_RMV:
            fl_port_lose(port, "the device was removed");
            break;

        case RTE_ETH_EVENT_DESTROY:
            atomic_store_explicit(&port->is_taken, true, memory_order_release);
            fl_port_lose(port, "it was taken from DPDK");
            break;

        case RTE_ETH_EVENT_INTR_RESET:
            fl_dpdk_request_reset(port);
            break;

        default:
            break;
    }
}

/* DPDK's interrupt thread, or whoever takes a device away from DPDK. */
static int fl_events_hear(uint16_t ethdev, enum rte_eth_event_type type, void *argument, void *result)
{
    (void)argument;
    (void)result;
    fl_ports_tell(ethdev, fl_port_hear, (int)type);
    return 0;
}

/* One listener for all devices, for good: that of a device that was taken from DPDK could not be ended any more. */
int fl_events_watch(void)
{
    static const enum rte_eth_event_type types[] = {
        RTE_ETH_EVENT_INTR_RMV, RTE_ETH_EVENT_DESTROY, RTE_ETH_EVENT_INTR_RESET};
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static size_t watched;
    int code = 0;
    pthread_mutex_lock(&mutex);
    while (watched < sizeof(types) / sizeof(*types) && 0 == code)
    {
        code = rte_eth_dev_callback_register(RTE_ETH_ALL, types[watched], fl_events_hear, NULL);
        watched += 0 == code ? 1 : 0;
    }
    pthread_mutex_unlock(&mutex);
    return code;
}

static int fl_port_look_at_link(fl_port_t *port)
{
    bool is_up = port->is_link_up;
    if (0 != fl_ethernet_look_at_link(port, &is_up))
    {
        char why[64];
        snprintf(why, sizeof(why), "the kernel's interface %s was deleted", port->settings.interface);
        fl_port_lose(port, why);
        return -FL_ENODEV;
    }
    if (is_up != port->is_link_up)
    {
        port->is_link_up = is_up;
        fl_figures_show_link(port, is_up);
        fl_port_event(
            port, is_up ? FL_EVENT_LINK_UP : FL_EVENT_LINK_DOWN, "%s: link %s",
            port->settings.name, is_up ? "up" : "down");
    }
    return 0;
}

static void fl_port_try_again(void *port)
{
    fl_ethernet_try_again(port);
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
    uint64_t ticks;
    if (0 != port->timestamp_flag && 0 == rte_eth_read_clock(port->ethdev, &ticks))
    {
        fl_device_clock_read(&port->clock, ticks, port->host->epoch_clock(port->host));
    }
    if (!atomic_load_explicit(&port->is_waiting, memory_order_acquire))
    {
        const int code = fl_port_look_at_link(port);
        port->looks = port->is_link_up ? 0 : port->looks + 1;
        /* A memif server listens before it is started, and turns away a client that comes meanwhile; the client stays
         * without a link then until it is started anew. */
        if (0 == code && 0 != port->settings.waits_for_peer && port->looks >= FL_LOOKS_A_RESTART)
        {
            port->looks = 0;
            fl_dpdk_request_reset(port);
        }
        return code;
    }
    if (0 == ++port->looks % FL_LOOKS_A_TRY)
    {
        fl_eal_run(fl_port_try_again, port, false);
    }
    return 0;
}
