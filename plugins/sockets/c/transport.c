#include "transport.h"

#include <stdlib.h>

#include "endpoint.h"
#include "poller.h"

#define FL_MOST_RECEIVE_BUFFERS 256

static const char *const fl_counter_names[FL_POLLER_COUNTERS] = {
    [FL_TX_DATAGRAMS] = "sockets-tx-datagrams",
    [FL_TX_SYSCALLS] = "sockets-tx-syscalls",
    [FL_TX_SEGMENTED] = "sockets-tx-segmented",
    [FL_TX_EAGAIN] = "sockets-tx-eagain",
    [FL_TX_ERRORS] = "sockets-tx-errors",
    [FL_TX_SEGMENTATION_REFUSED] = "sockets-tx-segmentation-refused",
    [FL_RX_DATAGRAMS] = "sockets-rx-datagrams",
    [FL_RX_SYSCALLS] = "sockets-rx-syscalls",
    [FL_RX_EMPTY] = "sockets-rx-empty",
    [FL_RX_COALESCED] = "sockets-rx-coalesced",
    [FL_RX_TRUNCATED] = "sockets-rx-truncated",
    [FL_RX_ERRORS] = "sockets-rx-errors",
    [FL_ICMP_ERRORS] = "sockets-icmp-errors",
};

void fl_transport_note(fl_transport_t *transport, const fl_address_t *address, const char *text)
{
    if (transport->notes_count < FL_NOTES_CAPACITY)
    {
        fl_event_t *event = &transport->notes[transport->notes_count++];
        memset(event, 0, sizeof(*event));
        event->kind = FL_EVENT_NOTE;
        event->address = *address;
        snprintf(event->text, sizeof(event->text), "%s", text);
    }
}

int fl_sockets_open(
    const fl_host_t *host,
    const fl_sockets_settings_t *settings,
    char *text,
    size_t length,
    fl_transport_t **transport)
{
    int code = fl_host_check(host, text, length);
    if (0 != code)
    {
        return code;
    }
    if (settings->receive_buffers < 1 || settings->receive_buffers > FL_MOST_RECEIVE_BUFFERS)
    {
        return fl_text_error(
            text, length, FL_EINVAL, "receive_buffers %u is not in 1 to %d", settings->receive_buffers,
            FL_MOST_RECEIVE_BUFFERS);
    }

    fl_transport_t *opened = calloc(1, sizeof(*opened));
    if (NULL == opened)
    {
        return fl_text_error(text, length, FL_ENOMEM, "no memory for the transport");
    }
    code = fl_sockets_probe(&opened->offloads);
    if (0 != code)
    {
        free(opened);
        return fl_text_error(text, length, fl_socket_error(-code), "open a UDP socket: %s", strerror(-code));
    }

    fl_transport_base_open(opened, host, fl_counter_names, opened->closed_counters, FL_POLLER_COUNTERS);
    opened->settings = *settings;
    *transport = opened;
    return 0;
}

void fl_sockets_offloads(const fl_transport_t *transport, fl_sockets_offloads_t *offloads)
{
    *offloads = transport->offloads;
}

static int fl_transport_events(fl_transport_t *transport, fl_event_t *events, uint32_t capacity)
{
    for (fl_endpoint_t *endpoint = transport->base.endpoints; NULL != endpoint; endpoint = endpoint->base.next_open)
    {
        fl_endpoint_report(endpoint);
        fl_endpoint_follow_interface(endpoint);
    }
    const uint32_t count = transport->notes_count < capacity ? transport->notes_count : capacity;
    memcpy(events, transport->notes, count * sizeof(*events));
    transport->notes_count -= count;
    memmove(transport->notes, transport->notes + count, transport->notes_count * sizeof(*events));
    return (int)count;
}

static int fl_transport_stats(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    fl_transport_base_stats(transport, stats, capacity);
    const fl_endpoint_t *first = transport->base.endpoints;
    if (capacity > FL_POLLER_COUNTERS)
    {
        int64_t overflows = transport->closed_overflows;
        for (const fl_endpoint_t *endpoint = first; NULL != endpoint; endpoint = endpoint->base.next_open)
        {
            overflows += fl_endpoint_overflows(endpoint);
        }
        fl_stat_set(&stats[FL_POLLER_COUNTERS], "sockets-rx-overflows", overflows);
    }
    /* Only with an accelerator, which is the same as long as the transport is open. */
    const uint32_t figures = FL_POLLER_COUNTERS + (FL_ACCELERATOR_NONE == transport->offloads.accelerator ? 1 : 2);
    if (capacity >= figures && figures > FL_POLLER_COUNTERS + 1)
    {
        int64_t not_accelerated = 0;
        for (const fl_endpoint_t *endpoint = first; NULL != endpoint; endpoint = endpoint->base.next_open)
        {
            not_accelerated += endpoint->is_not_accelerated;
        }
        fl_stat_set(&stats[FL_POLLER_COUNTERS + 1], "sockets-not-accelerated", not_accelerated);
    }
    return fl_stats_written(figures, capacity);
}

/* The kernel keeps sockets up by itself. */
static int fl_transport_housekeeping(fl_transport_t *transport, int64_t now_ns)
{
    (void)transport;
    (void)now_ns;
    return 0;
}

static int fl_transport_close(fl_transport_t *transport)
{
    const int code = fl_transport_base_close(transport);
    if (code <= 0)
    {
        return code;
    }
    free(transport);
    return 0;
}

const fl_transport_ops_t *fl_sockets_ops(void)
{
    static const fl_transport_ops_t ops = {
        .magic = FL_TRANSPORT_MAGIC,
        .size = sizeof(fl_transport_ops_t),
        .abi_version = FL_ABI_VERSION,
        .queues = 0,
        .open_endpoint = fl_endpoint_open,
        .close_endpoint = fl_endpoint_close,
        .local_address = fl_endpoint_base_local_address,
        .set_peer = fl_endpoint_set_peer,
        .poller_open = fl_poller_open,
        .poller_enter = fl_poller_enter,
        .poller_leave = fl_poller_leave,
        .poller_close = fl_poller_close,
        .poller_add = fl_poller_add,
        .poller_remove = fl_poller_remove,
        .poll = fl_poller_poll,
        .release = fl_poller_release,
        .send = fl_endpoint_send,
        .reap = fl_poller_reap,
        .arm = fl_poller_arm,
        .disarm = fl_poller_disarm,
        .housekeeping = fl_transport_housekeeping,
        .events = fl_transport_events,
        .stats = fl_transport_stats,
        .close = fl_transport_close,
    };
    return &ops;
}
