#include "transport/wrapper.h"

void fl_wrapper_init(fl_wrapper_t *wrapper, fl_binding_t *inner, const fl_transport_ops_t *own)
{
    wrapper->inner = inner;
    wrapper->ops = *own;
    wrapper->ops.magic = FL_TRANSPORT_MAGIC;
    wrapper->ops.size = sizeof(wrapper->ops);
    wrapper->ops.abi_version = FL_ABI_VERSION;
    wrapper->ops.queues = inner->ops.queues;
}

int fl_wrapper_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    const fl_wrapped_endpoint_t *wrapped = (const fl_wrapped_endpoint_t *)endpoint;
    return wrapped->wrapper->inner->ops.local_address(wrapped->inner, address);
}

int fl_wrapper_poller_enter(fl_poller_t *poller)
{
    const fl_wrapped_poller_t *wrapped = (const fl_wrapped_poller_t *)poller;
    return wrapped->wrapper->inner->ops.poller_enter(wrapped->inner);
}

int fl_wrapper_poller_leave(fl_poller_t *poller)
{
    const fl_wrapped_poller_t *wrapped = (const fl_wrapped_poller_t *)poller;
    return wrapped->wrapper->inner->ops.poller_leave(wrapped->inner);
}

int fl_wrapper_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    const fl_wrapped_poller_t *wrapped = (const fl_wrapped_poller_t *)poller;
    return wrapped->wrapper->inner->ops.reap(wrapped->inner, completions, capacity);
}

int fl_wrapper_arm(fl_poller_t *poller)
{
    const fl_wrapped_poller_t *wrapped = (const fl_wrapped_poller_t *)poller;
    return wrapped->wrapper->inner->ops.arm(wrapped->inner);
}

int fl_wrapper_disarm(fl_poller_t *poller)
{
    const fl_wrapped_poller_t *wrapped = (const fl_wrapped_poller_t *)poller;
    return wrapped->wrapper->inner->ops.disarm(wrapped->inner);
}

static const fl_binding_t *fl_wrapper_inner(const fl_transport_t *transport)
{
    return ((const fl_wrapper_t *)transport)->inner;
}

int fl_wrapper_housekeeping(fl_transport_t *transport, int64_t now_ns)
{
    const fl_binding_t *inner = fl_wrapper_inner(transport);
    return inner->ops.housekeeping(inner->transport, now_ns);
}

int fl_wrapper_events(fl_transport_t *transport, fl_event_t *events, uint32_t capacity)
{
    const fl_binding_t *inner = fl_wrapper_inner(transport);
    return inner->ops.events(inner->transport, events, capacity);
}

int fl_wrapper_register_memory(fl_transport_t *transport, void *memory, size_t length, uint64_t *region)
{
    const fl_binding_t *inner = fl_wrapper_inner(transport);
    return inner->ops.register_memory(inner->transport, memory, length, region);
}

int fl_wrapper_unregister_memory(fl_transport_t *transport, uint64_t region)
{
    const fl_binding_t *inner = fl_wrapper_inner(transport);
    return inner->ops.unregister_memory(inner->transport, region);
}
