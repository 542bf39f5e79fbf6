#include "netstack/port_ops.h"

#include <string.h>

#include "api/netstack.h"
#include "transport/ops_table.h"
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

static const fl_ops_entry_t FL_PORT_REQUIRED[] = {
    FL_OPS_ENTRY(fl_port_ops_t, attributes),
    FL_OPS_ENTRY(fl_port_ops_t, start),
    FL_OPS_ENTRY(fl_port_ops_t, stop),
    FL_OPS_ENTRY(fl_port_ops_t, rx_burst),
    FL_OPS_ENTRY(fl_port_ops_t, rx_release),
    FL_OPS_ENTRY(fl_port_ops_t, tx_alloc),
    FL_OPS_ENTRY(fl_port_ops_t, tx_free),
    FL_OPS_ENTRY(fl_port_ops_t, tx_burst),
    FL_OPS_ENTRY(fl_port_ops_t, close),
};

static const fl_ops_kind_t FL_PORT_KIND = {
    .name = "port",
    .magic = FL_PORT_MAGIC,
    .other_magic = FL_TRANSPORT_MAGIC,
    .other_name = "a datagram transport, which needs no netstack; a plugin declares it with level datagram",
    .size = sizeof(fl_port_ops_t),
    .head_length = offsetof(fl_port_ops_t, attributes),
    .required = FL_PORT_REQUIRED,
    .required_count = sizeof(FL_PORT_REQUIRED) / sizeof(FL_PORT_REQUIRED[0]),
};

int fl_port_ops_complete(fl_port_ops_t *ops, const void *from, const void *port, const char *name)
{
    const int code = fl_ops_table_copy(&FL_PORT_KIND, ops, from, port, name);
    if (code < 0)
    {
        return code;
    }
    FL_OPS_FILL(ops, queue_enter, fl_port_no_queue);
    FL_OPS_FILL(ops, queue_leave, fl_port_no_queue);
    FL_OPS_FILL(ops, add_filter, fl_port_no_filter);
    FL_OPS_FILL(ops, remove_filter, fl_port_no_filter);
    FL_OPS_FILL(ops, join_group, fl_port_no_group);
    FL_OPS_FILL(ops, leave_group, fl_port_no_group);
    FL_OPS_FILL(ops, tx_reap, fl_port_no_reap);
    FL_OPS_FILL(ops, arm, fl_port_no_queue);
    FL_OPS_FILL(ops, disarm, fl_port_no_queue);
    FL_OPS_FILL(ops, register_memory, fl_port_no_register);
    FL_OPS_FILL(ops, unregister_memory, fl_port_no_unregister);
    FL_OPS_FILL(ops, housekeeping, fl_port_no_housekeeping);
    FL_OPS_FILL(ops, events, fl_port_no_events);
    FL_OPS_FILL(ops, stats, fl_port_no_stats);
    return 0;
}

int fl_port_ops_attributes(
    const fl_port_ops_t *ops, fl_port_t *port, const char *name, fl_port_attributes_t *attributes)
{
    memset(attributes, 0, sizeof(*attributes));
    attributes->size = sizeof(*attributes);
    const int code = ops->attributes(port, attributes);
    if (code < 0)
    {
        fl_error_append(" (attributes of port '%s')", name);
    }
    return code < 0 ? code : 0;
}

int fl_port_attributes(const void *port_ops, void *port, const char *name, fl_port_attributes_t *attributes)
{
    fl_port_ops_t ops;
    const int code = fl_port_ops_complete(&ops, port_ops, port, name);
    return code < 0 ? code : fl_port_ops_attributes(&ops, port, name, attributes);
}
