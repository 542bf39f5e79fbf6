/* A datagram transport: the contract between the driver and whatever moves UDP datagrams for it.
 *
 * Objects
 *   transport   the opened device or stack; made by the plugin's own native open function
 *   endpoint    one bound address on it, with an optional peer
 *   poller      one rx/tx queue pair, or a set of sockets; has exactly one thread
 *
 * Threads
 *   control     one thread of the driver, the same for all calls so marked
 *   poller      the agent thread that owns the poller: between poller_enter and poller_leave, and no other
 *
 * An endpoint is opened on the control thread, handed to a poller by its thread (poller_add), used for send and poll by
 * that thread alone, taken back by it (poller_remove), and closed on the control thread. No call blocks on a poller
 * thread. After a fork the child calls nothing but may exit; nothing that a finaliser does then may touch the device.
 *
 * Errors are negative FL_E* values. A call that fails on the control thread has set the error text through the host.
 *
 * Losing the device
 *   A device that died, was unplugged or was taken by force does two things, in any order:
 *     - open_endpoint, set_peer, poller_open, poll, send, reap and arm return -FL_ENODEV, for good. send has written
 *       accepted and status of every run as always. The host learns of the loss from `poll`.
 *     - `events` gives FL_EVENT_REMOVED, once; its text names the device, such as "eth1 was deleted", for the error
 *       log. A transport without the entry `events` leaves the operator with its name alone.
 *   What gives something back goes on to do so, and none of it waits for the device: release, poller_remove,
 *   close_endpoint, poller_leave, poller_close and close return 0 or -FL_ENODEV, which both mean done. local_address
 *   goes on to tell the address. Held runs (FL_RUN_HOLD) that were not reaped count as returned once close_endpoint has
 *   returned: the transport does not look at their memory after that.
 *   The host then takes every endpoint off (poller_remove, close_endpoint), closes the pollers and the transport, and
 *   opens the endpoints again on the next transport of the order that can bind their addresses, with their ports. So by
 *   the time close_endpoint returns the address and port are free, whatever reserved them. Where no transport can, the
 *   host opens this one again, once a second, with a new call of the plugin's `open`.
 *   An interface whose link is down, or that is away while the transport itself can wait for it (sockets), is no loss.
 */
#ifndef FRAMELANE_TRANSPORT_H
#define FRAMELANE_TRANSPORT_H

#include <framelane/host.h>
#include <framelane/types.h>

FL_BEGIN_DECLS

typedef struct fl_transport fl_transport_t;
typedef struct fl_endpoint fl_endpoint_t;
typedef struct fl_poller fl_poller_t;

typedef struct fl_transport_ops
{
    uint32_t magic;         /* FL_TRANSPORT_MAGIC */
    uint32_t size;          /* sizeof(fl_transport_ops_t) of the transport; the host treats what lies behind as
                             * absent */
    uint32_t abi_version;   /* FL_ABI_VERSION of the transport; the host refuses another than its own */
    uint32_t queues;        /* most pollers at once: 1 makes one thread serve sender and receiver; 0 is no limit */

    /* Entries may be NULL; the host puts a stub that returns -FL_ENOTSUP in their place. Required: open_endpoint,
     * close_endpoint, local_address, poller_open, poller_close, poller_add, poller_remove, poll, release, send,
     * close. */

    /* Open an endpoint. The kernel's or the device's resources are taken here; nothing is received before poller_add.
     *
     * params    in and out, see fl_endpoint_params_t; not kept
     * endpoint  set on success
     * returns   0; -FL_EADDRINUSE, -FL_EADDRNOTAVAIL, -FL_EACCES, -FL_EAFNOSUPPORT, -FL_EMSGSIZE (mtu_length is more
     *           than this transport carries), -FL_ENOTSUP (such as multicast on a transport that has none)
     * thread    control
     */
    int (*open_endpoint)(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **endpoint);

    /* Close an endpoint that is on no poller and has no held runs (else -FL_EBUSY). Thread: control. */
    int (*close_endpoint)(fl_endpoint_t *endpoint);

    /* Write the bound address with its final port; final as soon as open_endpoint returned. Thread: control. */
    int (*local_address)(fl_endpoint_t *endpoint, fl_address_t *address);

    /* Change the connected peer of a send endpoint; datagrams already accepted go to the old one. The peer's memory
     * stays valid until the next set_peer or close. Thread: poller, or control while the endpoint is on no poller. */
    int (*set_peer)(fl_endpoint_t *endpoint, const fl_peer_t *peer);

    /* Make the poller of one queue. roles: FL_ROLE_* bits. -FL_EBUSY if the queue has one. Thread: control. */
    int (*poller_open)(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller);

    /* First and last call on the poller's thread. */
    int (*poller_enter)(fl_poller_t *poller);
    int (*poller_leave)(fl_poller_t *poller);

    /* Free the poller, after poller_leave (or when poller_enter was never called). Thread: control. */
    int (*poller_close)(fl_poller_t *poller);

    /* Put an endpoint on a poller: from now on it may send, and its runs come out of poll with `context`. An endpoint
     * that receives in two places (a multicast publication) has one context. poller_remove takes it off again; runs
     * of it that are not yet released stay valid until they are. Thread: poller. */
    int (*poller_add)(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context);
    int (*poller_remove)(fl_poller_t *poller, fl_endpoint_t *endpoint);

    /* Take what has arrived. Never blocks.
     *
     * runs       written, up to capacity of them; memory behind them is the transport's and read-only
     * returns    how many; 0 if nothing came
     * order      datagrams from one peer to one endpoint come out in the order in which they arrived
     * limits     at most `capacity` runs of at most 64 KiB each a call; endpoints take turns, so a busy one starves
     *            none
     * thread     poller
     */
    int (*poll)(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity);

    /* Give back received runs. The host releases every run of a poll, in any order and in any number of calls, before
     * it polls that poller again. Thread: poller. */
    void (*release)(fl_poller_t *poller, const fl_run_t *runs, uint32_t count);

    /* Send. Never blocks.
     *
     * runs       in order; accepted and status of every run are written
     * returns    how many runs were taken whole
     * partial    runs to one peer are taken in order and stop at the first that is not taken whole: what follows for
     *            that peer has accepted 0 and the same status. Another peer's runs in the same call go on.
     * status     -FL_EAGAIN: no room now. -FL_ECONNREFUSED, -FL_EHOSTUNREACH and -FL_ENETUNREACH report an ICMP error
     *            of an earlier datagram only if the repeated send failed too; none of them is an error of the endpoint.
     *            -FL_EMSGSIZE: longer than max_datagram or the route's MTU allows.
     * memory     the caller's again on return, except runs flagged FL_RUN_HOLD, which come back from reap. A transport
     *            that does not declare zero_copy_tx ignores the flag and completes such a run on return.
     * thread     poller
     */
    int (*send)(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count);

    /* Collect held runs whose memory is free again, in the order of sending per endpoint, and do what transmission
     * needs (completions, credits). Called in every cycle, also an idle one. Returns how many were written. Thread:
     * poller. */
    int (*reap)(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity);

    /* Prepare to sleep. Returns a descriptor that becomes readable when poll has something to give, -FL_EAGAIN if it
     * has already, -FL_ENOTSUP if the transport cannot say. The descriptor is the transport's and the same every time.
     * disarm follows before the next poll. Thread: poller. */
    int (*arm)(fl_poller_t *poller);
    int (*disarm)(fl_poller_t *poller);

    /* Slow upkeep, ten times a second. Thread: the conductor agent; does not block. */
    int (*housekeeping)(fl_transport_t *transport, int64_t now_ns);

    /* Take what happened since the last call. Returns how many were written. Thread: control. */
    int (*events)(fl_transport_t *transport, fl_event_t *events, uint32_t capacity);

    /* Write the transport's figures, always the same ones in the same order; with capacity 0 only return how many there
     * are. Thread: control. */
    int (*stats)(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity);

    /* Make memory usable for FL_RUN_HOLD, and end that: after the last held run in it was reaped. Thread: control. */
    int (*register_memory)(fl_transport_t *transport, void *memory, size_t length, uint64_t *region);
    int (*unregister_memory)(fl_transport_t *transport, uint64_t region);

    /* Close the device. Every endpoint and poller was closed before. Thread: control. */
    int (*close)(fl_transport_t *transport);
} fl_transport_ops_t;

FL_END_DECLS

#endif
