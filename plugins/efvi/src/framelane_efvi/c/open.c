/* Opening and closing the port: protection domain, virtual interfaces, what they turned out to be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port.h"

#define FL_ETHER_LENGTH 14

static int fl_settings_check(const fl_efvi_settings_t *settings, fl_failure_t *error)
{
    if (0 == settings->queues || settings->queues > FL_EFVI_QUEUES_MAXIMUM || settings->datapath > FL_EFVI_ENTERPRISE ||
        settings->transmit > FL_EFVI_DMA || settings->event_merge > FL_EFVI_OFF ||
        settings->share_queues > FL_EFVI_OFF || settings->hugepages > FL_EFVI_OFF)
    {
        return fl_fail(error, EINVAL, "queues %u or a choice among settings is out of range", settings->queues);
    }
    return 0;
}

static int fl_port_take_domain(fl_port_t *port, fl_failure_t *error)
{
    const fl_efvi_settings_t *settings = &port->settings;
    int flags = EF_PD_DEFAULT;
    if (FL_EFVI_EXPRESS == settings->datapath && 0 == port->abilities.express)
    {
        return fl_fail(
            error, ENOTSUP, "%s has no express datapath, or this build's release of ef_vi knows none; set "
            "transport.efvi.datapath = \"auto\"", settings->interface);
    }
#ifdef FL_EFVI_HAS_EXPRESS
    flags |= 0 != port->abilities.express && FL_EFVI_ENTERPRISE != settings->datapath ? EF_PD_EXPRESS : 0;
#endif
    const int code = ef_pd_alloc(&port->pd, port->handle, (int)port->device.index, (enum ef_pd_flags)flags);
    if (code < 0)
    {
        return fl_fail(
            error, -code, "a protection domain of %s: %s%s", settings->interface, strerror(-code),
            -EPERM == code ? "; an SFN7000 needs an Onload activation key (sfkey)" : "");
    }
    port->has_pd = true;
    return 0;
}

static uint8_t fl_port_choose_transmit(const fl_port_t *port)
{
    if (fl_efvi_is_express(&port->pd) || 0 != port->abilities.ctpio_only)
    {
        return FL_EFVI_CTPIO;
    }
    if (FL_EFVI_AUTO != port->settings.transmit)
    {
        return (uint8_t)port->settings.transmit;
    }
    return 0 != port->abilities.ctpio ? FL_EFVI_CTPIO : 0 != port->abilities.pio ? FL_EFVI_PIO : FL_EFVI_DMA;
}

static int fl_port_check_wishes(const fl_port_t *port, fl_failure_t *error)
{
    const fl_efvi_settings_t *settings = &port->settings;
    const fl_efvi_abilities_t *abilities = &port->abilities;
    const bool is_ctpio_only = 0 != abilities->ctpio_only || fl_efvi_is_express(&port->pd);
    const char *missing =
        FL_EFVI_CTPIO == settings->transmit && 0 == abilities->ctpio ? "CTPIO; set transmit = \"auto\""
        : FL_EFVI_PIO == settings->transmit && (is_ctpio_only || 0 == abilities->pio) ? "PIO; set transmit = \"auto\""
        : FL_EFVI_DMA == settings->transmit && is_ctpio_only ? "DMA to send by; set transmit = \"auto\""
        : 0 != settings->timestamps && 0 == abilities->rx_timestamps ? "receive timestamps; set timestamps = false"
        : 0 != settings->tx_timestamps && 0 == abilities->tx_timestamps
            ? "transmit timestamps; set tx_timestamps = false"
        : NULL;
    return NULL == missing ? 0 : fl_fail(
        error, ENOTSUP, "%s has no %s under [transport.efvi]", settings->interface, missing);
}

static int fl_port_open_queues(fl_port_t *port, fl_failure_t *error)
{
    const uint32_t ip_mtu = port->settings.ip_mtu;
    uint32_t mtu_length = 0 != ip_mtu && ip_mtu < FL_EFVI_MTU_MAXIMUM ? ip_mtu : FL_EFVI_MTU_MAXIMUM;
    mtu_length = mtu_length < port->device.mtu_length ? mtu_length : port->device.mtu_length;
    port->facts.mtu_length = mtu_length;
    fl_efvi_plan_t plan = {
        .settings = &port->settings,
        .abilities = &port->abilities,
        .pd = &port->pd,
        .pd_handle = port->handle,
        .mtu_length = mtu_length,
        .merges_events = FL_EFVI_ON == port->settings.event_merge,
        .transmit = fl_port_choose_transmit(port),
        .death = &port->base.loss,
        .note = port->facts.note,
        .note_length = sizeof(port->facts.note),
    };
    const size_t length = port->settings.queues * sizeof(fl_efvi_queue_t);
    port->queues = aligned_alloc(64, (length + 63) / 64 * 64);
    if (NULL == port->queues)
    {
        return fl_fail(error, ENOMEM, "no memory for %u queues", port->settings.queues);
    }
    for (uint32_t i = 0; i < port->settings.queues; i++)
    {
        const int code = fl_efvi_queue_open(&port->queues[i], &plan, error);
        if (0 != code)
        {
            return code;
        }
        port->open_count++;
    }
    const fl_efvi_queue_t *first = &port->queues[0];
    port->facts.queues = port->open_count;
    port->facts.shared_queues = first->is_shared;
    port->facts.express = fl_efvi_is_express(&port->pd);
    port->facts.transmit = plan.transmit;
    port->facts.merges_events = plan.merges_events;
    port->facts.rx_timestamps = first->is_stamped;
    port->facts.tx_timestamps = 0 != port->settings.tx_timestamps;
    port->facts.rx_queue_size = (uint32_t)ef_vi_receive_capacity(&first->vi);
    port->facts.tx_queue_size = (uint32_t)ef_vi_transmit_capacity(&first->vi);
    port->facts.hugepages = first->is_huge;
#ifdef FL_EFVI_HAS_REQUEST_WAKEUPS
    port->facts.can_arm = 1;
#else
    port->facts.can_arm = !first->is_shared;
#endif
    return 0;
}

/* Of the types that Aeron reserves; a host without room for counters is no failure. */
static void fl_port_show(fl_port_t *port)
{
    static const char *const ways[] = {[FL_EFVI_CTPIO] = "ctpio", [FL_EFVI_PIO] = "pio", [FL_EFVI_DMA] = "dma"};
    const fl_host_t *host = port->base.host;
    const uint8_t *mac = port->mac;
    char label[192];
    if (NULL == host->counter_allocate)
    {
        return;
    }
    snprintf(
        label, sizeof(label), "efvi-port: %s %02x:%02x:%02x:%02x:%02x:%02x mtu %u %s %s", port->settings.interface,
        mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], port->facts.mtu_length,
        port->facts.shared_queues ? "shared-queues" : "descriptor-rings", ways[port->facts.transmit]);
    port->link_counter = host->counter_allocate(
        host, FL_EFVI_COUNTER_PORT_INFO, port->settings.interface, strlen(port->settings.interface), label);
    for (uint32_t i = 0; i < port->open_count; i++)
    {
        fl_efvi_queue_t *queue = &port->queues[i];
        snprintf(
            label, sizeof(label), "efvi-transport: %s queue %u vi %u rx %d tx %d", port->settings.interface, i,
            ef_vi_instance(&queue->vi), ef_vi_receive_capacity(&queue->vi), ef_vi_transmit_capacity(&queue->vi));
        int64_t *counter = host->counter_allocate(host, FL_EFVI_COUNTER_TRANSPORT, &i, sizeof(i), label);
        if (NULL != counter)
        {
            __atomic_store_n(counter, 1, __ATOMIC_RELAXED);
        }
    }
}

static void fl_port_free(fl_port_t *port)
{
    for (uint32_t i = 0; i < port->open_count; i++)
    {
        fl_efvi_filters_clear(&port->filters, &port->queues[i], i);
        fl_efvi_queue_close(&port->queues[i]);
    }
    fl_efvi_filters_close(&port->filters);
    free(port->queues);
    if (port->has_pd)
    {
        ef_pd_free(&port->pd, port->handle);
    }
    if (port->handle >= 0)
    {
        ef_driver_close(port->handle);
    }
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
    code = fl_efvi_device_read(port->base.control, interface, &port->device);
    if (0 != code)
    {
        return fl_fail(error, ENODEV, "interface '%s': %s", interface, strerror(-code));
    }
    port->base.index = port->device.index;
    ef_driver_handle handle;
    code = fl_efvi_driver_open(&handle, error);
    if (0 != code)
    {
        return code;
    }
    port->handle = handle;
    code = fl_efvi_device_ask(handle, interface, port->device.index, &port->abilities, error);
    if (0 == code)
    {
        code = fl_port_take_domain(port, error);
    }
    if (0 == code)
    {
        code = fl_port_check_wishes(port, error);
    }
    if (0 == code)
    {
        code = fl_port_open_queues(port, error);
    }
    if (0 == code)
    {
        code = ef_vi_get_mac(&port->queues[0].vi, port->queues[0].handle, port->mac);
        code = code < 0 ? fl_fail(error, -code, "the MAC address of %s: %s", interface, strerror(-code)) : 0;
    }
    if (0 == code)
    {
        /* The longest frame without its checksum; 0: not told. */
        const unsigned longest = ef_vi_mtu(&port->queues[0].vi, port->queues[0].handle);
        if (longest > FL_ETHER_LENGTH && longest - FL_ETHER_LENGTH < port->facts.mtu_length)
        {
            port->facts.mtu_length = longest - FL_ETHER_LENGTH;
        }
        fl_port_show(port);
    }
    return code;
}

int fl_efvi_open(const fl_host_t *host, const fl_efvi_settings_t *settings, char *text, size_t length, fl_port_t **port)
{
    if (0 != fl_host_check(host, text, length))
    {
        return -FL_EINVAL;
    }
    fl_failure_t error = {.text = "no memory for the port"};
    int code = fl_settings_check(settings, &error);
    fl_port_t *opened = 0 == code ? calloc(1, sizeof(*opened)) : NULL;
    if (NULL == opened)
    {
        snprintf(text, length, "%s", error.text);
        return 0 == code ? -FL_ENOMEM : code;
    }
    opened->settings = *settings;
    opened->settings.interface[sizeof(opened->settings.interface) - 1] = '\0';
    fl_linux_port_init(opened, host, opened->settings.interface);
    opened->handle = -1;
    opened->filters.interface = opened->settings.interface;
    opened->filters.share_queues = settings->share_queues;
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

void fl_efvi_facts(const fl_port_t *port, fl_efvi_facts_t *facts)
{
    *facts = port->facts;
}

int fl_efvi_port_close(fl_port_t *port)
{
    for (uint32_t i = 0; i < port->base.queue_count; i++)
    {
        if (atomic_load_explicit(&port->queues[i].gate.is_entered, memory_order_acquire))
        {
            fl_failure_t error;
            return fl_linux_port_fail(
                port, fl_fail(&error, EBUSY, "close: queue %u was not left by its thread", i), &error);
        }
    }
    fl_port_free(port);
    return 0;
}
