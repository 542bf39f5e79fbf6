#include "transport/binding.h"

#include <stdio.h>
#include <stdlib.h>

#include "transport/ops_table.h"
#include "util/error.h"

/* What stands in for the entries that a transport does not have. */
static int fl_binding_no_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    (void)endpoint, (void)peer;
    return -FL_ENOTSUP;
}

static int fl_binding_no_poller(fl_poller_t *poller)
{
    (void)poller;
    return -FL_ENOTSUP;
}

static int fl_binding_no_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    (void)poller, (void)completions, (void)capacity;
    return -FL_ENOTSUP;
}

static int fl_binding_no_housekeeping(fl_transport_t *transport, int64_t now_ns)
{
    (void)transport, (void)now_ns;
    return -FL_ENOTSUP;
}

static int fl_binding_no_events(fl_transport_t *transport, fl_event_t *events, uint32_t capacity)
{
    (void)transport, (void)events, (void)capacity;
    return -FL_ENOTSUP;
}

static int fl_binding_no_stats(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    (void)transport, (void)stats, (void)capacity;
    return -FL_ENOTSUP;
}

static int fl_binding_no_register(fl_transport_t *transport, void *memory, size_t length, uint64_t *region)
{
    (void)transport, (void)memory, (void)length, (void)region;
    return -FL_ENOTSUP;
}

static int fl_binding_no_unregister(fl_transport_t *transport, uint64_t region)
{
    (void)transport, (void)region;
    return -FL_ENOTSUP;
}

static const fl_ops_entry_t FL_BINDING_REQUIRED[] = {
    FL_OPS_ENTRY(fl_transport_ops_t, open_endpoint),
    FL_OPS_ENTRY(fl_transport_ops_t, close_endpoint),
    FL_OPS_ENTRY(fl_transport_ops_t, local_address),
    FL_OPS_ENTRY(fl_transport_ops_t, poller_open),
    FL_OPS_ENTRY(fl_transport_ops_t, poller_close),
    FL_OPS_ENTRY(fl_transport_ops_t, poller_add),
    FL_OPS_ENTRY(fl_transport_ops_t, poller_remove),
    FL_OPS_ENTRY(fl_transport_ops_t, poll),
    FL_OPS_ENTRY(fl_transport_ops_t, release),
    FL_OPS_ENTRY(fl_transport_ops_t, send),
    FL_OPS_ENTRY(fl_transport_ops_t, close),
};

static const fl_ops_kind_t FL_BINDING_KIND = {
    .name = "transport",
    .magic = FL_TRANSPORT_MAGIC,
    .other_magic = FL_PORT_MAGIC,
    .other_name = "a port (layer 2), which moves Ethernet frames: it is bound as what fl_netstack_open makes of it; a "
                  "plugin declares it with level port",
    .size = sizeof(fl_transport_ops_t),
    .head_length = offsetof(fl_transport_ops_t, open_endpoint),
    .required = FL_BINDING_REQUIRED,
    .required_count = sizeof(FL_BINDING_REQUIRED) / sizeof(FL_BINDING_REQUIRED[0]),
};

static void fl_binding_complete(fl_transport_ops_t *ops)
{
    FL_OPS_FILL(ops, set_peer, fl_binding_no_set_peer);
    FL_OPS_FILL(ops, poller_enter, fl_binding_no_poller);
    FL_OPS_FILL(ops, poller_leave, fl_binding_no_poller);
    FL_OPS_FILL(ops, reap, fl_binding_no_reap);
    FL_OPS_FILL(ops, arm, fl_binding_no_poller);
    FL_OPS_FILL(ops, disarm, fl_binding_no_poller);
    FL_OPS_FILL(ops, housekeeping, fl_binding_no_housekeeping);
    FL_OPS_FILL(ops, events, fl_binding_no_events);
    FL_OPS_FILL(ops, stats, fl_binding_no_stats);
    FL_OPS_FILL(ops, register_memory, fl_binding_no_register);
    FL_OPS_FILL(ops, unregister_memory, fl_binding_no_unregister);
}

fl_binding_t *fl_binding_new(const void *ops, void *object, const char *name)
{
    fl_binding_t *binding = calloc(1, sizeof(*binding));
    if (NULL == binding)
    {
        fl_error(FL_ENOMEM, "transport '%s': no memory", name);
        return NULL;
    }
    if (fl_ops_table_copy(&FL_BINDING_KIND, &binding->ops, ops, object, name) < 0)
    {
        free(binding);
        return NULL;
    }
    binding->transport = object;
    snprintf(binding->name, sizeof(binding->name), "%s", name);
    fl_binding_complete(&binding->ops);
    return binding;
}

void fl_binding_free(fl_binding_t *binding)
{
    free(binding);
}
