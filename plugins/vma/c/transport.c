#include "transport.h"

#include <stdlib.h>

#include "endpoint.h"
#include "poller.h"

#define FL_MOST_RECEIVE_BUDGET 256

/* Two of VMA's ring numbers for each transport of the process. Relaxed: they only have to differ. */
static _Atomic uint32_t fl_next_ring_user_id = 1;

static const char *const fl_counter_names[FL_POLLER_COUNTERS] = {
    [FL_TX_DATAGRAMS] = "vma-tx-datagrams",
    [FL_TX_EAGAIN] = "vma-tx-eagain",
    [FL_TX_ERRORS] = "vma-tx-errors",
    [FL_RX_DATAGRAMS] = "vma-rx-datagrams",
    [FL_RX_ZERO_COPY_BYTES] = "vma-rx-zero-copy-bytes",
    [FL_RX_DATA_COPY_BYTES] = "vma-rx-data-copy-bytes",
    [FL_RX_GATHERED] = "vma-rx-gathered",
    [FL_RX_HELD] = "vma-rx-held",
    [FL_RX_NOT_FREED] = "vma-rx-not-freed",
    [FL_RX_DISCARD] = "vma-rx-discard",
    [FL_RX_TRUNCATED] = "vma-rx-truncated",
    [FL_RX_ERRORS] = "vma-rx-errors",
    [FL_ICMP_ERRORS] = "vma-icmp-errors",
};

int fl_vma_open(
    const fl_host_t *host,
    const fl_vma_settings_t *settings,
    char *text,
    size_t length,
    fl_transport_t **transport)
{
    int code = fl_host_check(host, text, length);
    if (0 != code)
    {
        return code;
    }
    if (settings->receive_budget < 1 || settings->receive_budget > FL_MOST_RECEIVE_BUDGET)
    {
        return fl_text_error(
            text, length, FL_EINVAL, "receive_budget %u is not in 1 to %d", settings->receive_budget,
            FL_MOST_RECEIVE_BUDGET);
    }
    const fl_vma_library_t *library = fl_vma_library();
    code = NULL == library ? -FL_ENOENT : fl_vma_library_try();
    if (0 != code)
    {
        fl_text_error(
            text, length, -code, "%s makes no UDP socket: %s", NULL == library ? "no library" : library->info.path,
            strerror(-code));
        return -fl_socket_error(-code);
    }

    fl_transport_t *opened = calloc(1, sizeof(*opened));
    if (NULL == opened)
    {
        return fl_text_error(text, length, FL_ENOMEM, "no memory for the transport");
    }
    fl_transport_base_open(opened, host, fl_counter_names, opened->closed_counters, FL_POLLER_COUNTERS);
    opened->library = library;
    opened->settings = *settings;
    opened->ring_user_ids = atomic_fetch_add_explicit(&fl_next_ring_user_id, 2, memory_order_relaxed);
    *transport = opened;
    return 0;
}

static int fl_transport_stats(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    int64_t open = 0;
    int64_t not_offloaded = 0;
    for (fl_endpoint_t *endpoint = transport->base.endpoints; NULL != endpoint; endpoint = endpoint->base.next_open)
    {
        fl_endpoint_review(endpoint);
        open++;
        not_offloaded += FL_OFFLOAD_NO == endpoint->offload;
    }
    fl_transport_base_stats(transport, stats, capacity);
    if (capacity > FL_POLLER_COUNTERS)
    {
        fl_stat_set(&stats[FL_POLLER_COUNTERS], "vma-transports", open);
    }
    if (capacity > FL_POLLER_COUNTERS + 1)
    {
        fl_stat_set(&stats[FL_POLLER_COUNTERS + 1], "vma-not-offloaded", not_offloaded);
    }
    return fl_stats_written(FL_POLLER_COUNTERS + 2, capacity);
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

/* Without `arm`: what VMA's rings hold shows in no descriptor of the kernel's until they are armed one by one, which
 * the extra API offers for a ring and not for a set of sockets. So agents on VMA look, and do not sleep. */
const fl_transport_ops_t *fl_vma_ops(void)
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
        .poller_add = fl_poller_base_add,
        .poller_remove = fl_poller_base_remove,
        .poll = fl_poller_poll,
        .release = fl_poller_release,
        .send = fl_endpoint_send,
        .stats = fl_transport_stats,
        .close = fl_transport_close,
    };
    return &ops;
}
