/* What the wrappers share: each is a transport around another one, and most of its ops go on to the other as they are.
 *
 * A wrapper's transport, endpoints and pollers begin with these structs.
 */
#ifndef FL_TRANSPORT_WRAPPER_H
#define FL_TRANSPORT_WRAPPER_H

#include "api/transport.h"

typedef struct fl_wrapper
{
    fl_transport_ops_t ops;
    fl_binding_t *inner;
} fl_wrapper_t;

typedef struct fl_wrapped_endpoint
{
    fl_wrapper_t *wrapper;
    fl_endpoint_t *inner;
} fl_wrapped_endpoint_t;

typedef struct fl_wrapped_poller
{
    fl_wrapper_t *wrapper;
    fl_poller_t *inner;
} fl_wrapped_poller_t;

/* Begin a wrapper. own: its entries; those it leaves to the other transport are the functions below. */
void fl_wrapper_init(fl_wrapper_t *wrapper, fl_binding_t *inner, const fl_transport_ops_t *own);

int fl_wrapper_local_address(fl_endpoint_t *endpoint, fl_address_t *address);
int fl_wrapper_poller_enter(fl_poller_t *poller);
int fl_wrapper_poller_leave(fl_poller_t *poller);
int fl_wrapper_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity);
int fl_wrapper_arm(fl_poller_t *poller);
int fl_wrapper_disarm(fl_poller_t *poller);
int fl_wrapper_housekeeping(fl_transport_t *transport, int64_t now_ns);
int fl_wrapper_events(fl_transport_t *transport, fl_event_t *events, uint32_t capacity);
int fl_wrapper_register_memory(fl_transport_t *transport, void *memory, size_t length, uint64_t *region);
int fl_wrapper_unregister_memory(fl_transport_t *transport, uint64_t region);

#endif
