/* The fault wrapper's own structs, shared by wrap_fault.c (life of objects) and fault_io.c (datagrams). */
#ifndef FL_TRANSPORT_FAULT_INTERNAL_H
#define FL_TRANSPORT_FAULT_INTERNAL_H

#include "transport/fault_rules.h"
#include "transport/wrapper.h"

struct fl_fault
{
    fl_wrapper_t base;
    const fl_host_t *host;
    uint64_t seed;
    uint64_t endpoints_opened;
    uint32_t open_objects;           /* endpoints and pollers */
    _Atomic bool is_removed;         /* the device is gone */
    fl_event_t removed_event;        /* kind 0: there is none, or it was taken */
    fl_fault_rules_t send;
    fl_fault_rules_t receive;
};

struct fl_endpoint
{
    fl_wrapped_endpoint_t base;
    fl_fault_t *fault;
    fl_endpoint_t *next_on_poller;
    void *context;
    fl_address_t connected;
    uint64_t random_send;
    uint64_t random_receive;
    fl_datagram_store_t *store;      /* held back from sending */
};

struct fl_poller
{
    fl_wrapped_poller_t base;
    fl_fault_t *fault;
    fl_endpoint_t *endpoints;
    fl_datagram_store_t *store;      /* held back from receiving, and copies that the host has */
    uint32_t batch_count;            /* runs of the wrapped transport, not yet released to it */
    uint32_t batch_index;            /* the run to go on with */
    uint32_t batch_segment;          /* and its datagram */
    uint32_t outstanding;            /* runs that the host has not released */
    fl_run_t batch[FL_FAULT_BATCH];
};

static inline bool fl_fault_is_removed(const fl_fault_t *fault)
{
    /* Acquire: pairs with the release in fl_fault_remove_device(), which stored the event. */
    return atomic_load_explicit(&fault->is_removed, memory_order_acquire);
}

/* Send what is due. Stops where the wrapped transport takes no more; what it refuses for good is lost. */
void fl_fault_send_due(fl_endpoint_t *endpoint, int64_t now_ns);

/* The ops of the duty cycle. Thread: poller. */
int fl_fault_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count);
int fl_fault_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity);
void fl_fault_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count);
int fl_fault_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity);
int fl_fault_arm(fl_poller_t *poller);

#endif
