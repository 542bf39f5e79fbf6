#include "transport/binding.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const char *fl_binding_missing(const fl_transport_ops_t *ops)
{
    return NULL == ops->open_endpoint ? "open_endpoint"
        : NULL == ops->close_endpoint ? "close_endpoint"
        : NULL == ops->local_address  ? "local_address"
        : NULL == ops->poller_open    ? "poller_open"
        : NULL == ops->poller_close   ? "poller_close"
        : NULL == ops->poller_add     ? "poller_add"
        : NULL == ops->poller_remove  ? "poller_remove"
        : NULL == ops->poll           ? "poll"
        : NULL == ops->release        ? "release"
        : NULL == ops->send           ? "send"
        : NULL == ops->close          ? "close"
                                      : NULL;
}

static void fl_binding_complete(fl_transport_ops_t *ops)
{
    ops->set_peer = NULL != ops->set_peer ? ops->set_peer : fl_binding_no_set_peer;
    ops->poller_enter = NULL != ops->poller_enter ? ops->poller_enter : fl_binding_no_poller;
    ops->poller_leave = NULL != ops->poller_leave ? ops->poller_leave : fl_binding_no_poller;
    ops->reap = NULL != ops->reap ? ops->reap : fl_binding_no_reap;
    ops->arm = NULL != ops->arm ? ops->arm : fl_binding_no_poller;
    ops->disarm = NULL != ops->disarm ? ops->disarm : fl_binding_no_poller;
    ops->housekeeping = NULL != ops->housekeeping ? ops->housekeeping : fl_binding_no_housekeeping;
    ops->events = NULL != ops->events ? ops->events : fl_binding_no_events;
    ops->stats = NULL != ops->stats ? ops->stats : fl_binding_no_stats;
    ops->register_memory = NULL != ops->register_memory ? ops->register_memory : fl_binding_no_register;
    ops->unregister_memory = NULL != ops->unregister_memory ? ops->unregister_memory : fl_binding_no_unregister;
}

fl_binding_t *fl_binding_new(const void *ops, void *object, const char *name)
{
    if (NULL == ops || NULL == object)
    {
        fl_error(FL_EINVAL, "transport '%s': open returned no %s", name, NULL == ops ? "ops table" : "object");
        return NULL;
    }

    /* The first three words are the same in every table, so they can be looked at before the kind is known. */
    uint32_t head[3];
    memcpy(head, ops, sizeof(head));
    if (FL_PORT_MAGIC == head[0])
    {
        fl_error(
            FL_ENOTSUP,
            "transport '%s' is a port (layer 2), which moves Ethernet frames: it is bound as what fl_netstack_open makes of "
            "it; a plugin declares it with level port",
            name);
        return NULL;
    }
    if (FL_TRANSPORT_MAGIC != head[0])
    {
        fl_error(
            FL_EINVAL, "transport '%s': not an ops table: magic is 0x%08" PRIx32 ", expected 0x%08x", name, head[0],
            FL_TRANSPORT_MAGIC);
        return NULL;
    }
    if (FL_ABI_VERSION != head[2])
    {
        fl_error(
            FL_EINVAL,
            "transport '%s': ABI version is %" PRIu32 ", this driver's is %d; install a release of the plugin that was "
            "built for ABI version %d",
            name, head[2], FL_ABI_VERSION, FL_ABI_VERSION);
        return NULL;
    }
    if (head[1] < FL_BINDING_OPS_MINIMUM)
    {
        fl_error(
            FL_EINVAL, "transport '%s': ops table is %" PRIu32 " bytes, at least %zu expected", name, head[1],
            (size_t)FL_BINDING_OPS_MINIMUM);
        return NULL;
    }

    fl_binding_t *binding = calloc(1, sizeof(*binding));
    if (NULL == binding)
    {
        fl_error(FL_ENOMEM, "transport '%s': no memory", name);
        return NULL;
    }
    memcpy(&binding->ops, ops, head[1] < sizeof(binding->ops) ? head[1] : sizeof(binding->ops));
    binding->ops.size = sizeof(binding->ops);
    binding->transport = object;
    snprintf(binding->name, sizeof(binding->name), "%s", name);

    const char *missing = fl_binding_missing(&binding->ops);
    if (NULL != missing)
    {
        fl_error(FL_EINVAL, "transport '%s': required entry %s is absent from its ops table", name, missing);
        free(binding);
        return NULL;
    }
    fl_binding_complete(&binding->ops);
    return binding;
}

void fl_binding_free(fl_binding_t *binding)
{
    free(binding);
}
