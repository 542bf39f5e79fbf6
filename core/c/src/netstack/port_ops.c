#include "netstack/port_ops.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include <framelane/transport.h>

#include "util/error.h"

static int fl_port_no_queue(fl_port_t *port, uint32_t queue)
{
    (void)port, (void)queue;
    return -FL_ENOTSUP;
}

static int fl_port_no_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    (void)port, (void)queue, (void)vlan, (void)address, (void)source;
    return -FL_ENOTSUP;
}

static int fl_port_no_group(fl_port_t *port, const fl_address_t *group)
{
    (void)port, (void)group;
    return -FL_ENOTSUP;
}

static int fl_port_no_reap(fl_port_t *port, uint32_t queue, fl_completion_t *completions, uint32_t capacity)
{
    (void)port, (void)queue, (void)completions, (void)capacity;
    return -FL_ENOTSUP;
}

static int fl_port_no_register(fl_port_t *port, void *memory, size_t length, uint64_t *region)
{
    (void)port, (void)memory, (void)length, (void)region;
    return -FL_ENOTSUP;
}

static int fl_port_no_unregister(fl_port_t *port, uint64_t region)
{
    (void)port, (void)region;
    return -FL_ENOTSUP;
}

static int fl_port_no_housekeeping(fl_port_t *port, int64_t now_ns)
{
    (void)port, (void)now_ns;
    return -FL_ENOTSUP;
}

static int fl_port_no_events(fl_port_t *port, fl_event_t *events, uint32_t capacity)
{
    (void)port, (void)events, (void)capacity;
    return -FL_ENOTSUP;
}

static int fl_port_no_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity)
{
    (void)port, (void)stats, (void)capacity;
    return -FL_ENOTSUP;
}

static const char *fl_port_missing(const fl_port_ops_t *ops)
{
    return NULL == ops->attributes ? "attributes"
        : NULL == ops->start       ? "start"
        : NULL == ops->stop        ? "stop"
        : NULL == ops->rx_burst    ? "rx_burst"
        : NULL == ops->rx_release  ? "rx_release"
        : NULL == ops->tx_alloc    ? "tx_alloc"
        : NULL == ops->tx_free     ? "tx_free"
        : NULL == ops->tx_burst    ? "tx_burst"
        : NULL == ops->close       ? "close"
                                   : NULL;
}

static void fl_port_fill(fl_port_ops_t *ops)
{
    ops->queue_enter = NULL != ops->queue_enter ? ops->queue_enter : fl_port_no_queue;
    ops->queue_leave = NULL != ops->queue_leave ? ops->queue_leave : fl_port_no_queue;
    ops->add_filter = NULL != ops->add_filter ? ops->add_filter : fl_port_no_filter;
    ops->remove_filter = NULL != ops->remove_filter ? ops->remove_filter : fl_port_no_filter;
    ops->join_group = NULL != ops->join_group ? ops->join_group : fl_port_no_group;
    ops->leave_group = NULL != ops->leave_group ? ops->leave_group : fl_port_no_group;
    ops->tx_reap = NULL != ops->tx_reap ? ops->tx_reap : fl_port_no_reap;
    ops->arm = NULL != ops->arm ? ops->arm : fl_port_no_queue;
    ops->disarm = NULL != ops->disarm ? ops->disarm : fl_port_no_queue;
    ops->register_memory = NULL != ops->register_memory ? ops->register_memory : fl_port_no_register;
    ops->unregister_memory = NULL != ops->unregister_memory ? ops->unregister_memory : fl_port_no_unregister;
    ops->housekeeping = NULL != ops->housekeeping ? ops->housekeeping : fl_port_no_housekeeping;
    ops->events = NULL != ops->events ? ops->events : fl_port_no_events;
    ops->stats = NULL != ops->stats ? ops->stats : fl_port_no_stats;
}

int fl_port_ops_complete(fl_port_ops_t *complete, const void *ops, const char *name)
{
    /* The first three words are the same in every table, so they can be looked at before the kind is known. */
    uint32_t head[3];
    memcpy(head, ops, sizeof(head));
    if (FL_PORT_MAGIC != head[0])
    {
        return fl_error(
            FL_EINVAL, "port '%s': not a port's ops table: magic is 0x%08" PRIx32 ", expected 0x%08x%s", name, head[0],
            FL_PORT_MAGIC, FL_TRANSPORT_MAGIC == head[0] ? "; it is a datagram transport, which needs no netstack" : "");
    }
    if (FL_ABI_VERSION != head[2])
    {
        return fl_error(
            FL_EINVAL,
            "port '%s': ABI version is %" PRIu32 ", this driver's is %d; install a release of the plugin that was built "
            "for ABI version %d",
            name, head[2], FL_ABI_VERSION, FL_ABI_VERSION);
    }
    if (head[1] < offsetof(fl_port_ops_t, attributes))
    {
        return fl_error(
            FL_EINVAL, "port '%s': ops table is %" PRIu32 " bytes, at least %zu expected", name, head[1],
            offsetof(fl_port_ops_t, attributes));
    }
    memset(complete, 0, sizeof(*complete));
    memcpy(complete, ops, head[1] < sizeof(*complete) ? head[1] : sizeof(*complete));
    complete->size = sizeof(*complete);
    const char *missing = fl_port_missing(complete);
    if (NULL != missing)
    {
        return fl_error(FL_EINVAL, "port '%s': required entry %s is absent from its ops table", name, missing);
    }
    fl_port_fill(complete);
    return 0;
}
