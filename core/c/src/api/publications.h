/* What the control plane does with the sender's objects, send endpoints and UDP publications, and with the conductor
 * agent's, IPC publications. Threads and errors are those of driver.h. */
#ifndef FL_API_PUBLICATIONS_H
#define FL_API_PUBLICATIONS_H

#include <stdint.h>

#include <framelane/types.h>

#include "api/driver.h"
#include "api/shm.h"
#include "api/transport.h"

typedef struct fl_send_endpoint fl_send_endpoint_t;
typedef struct fl_publication fl_publication_t;
typedef struct fl_ipc_publication fl_ipc_publication_t;

/* ---- send endpoints ---- */

/* Who says where an endpoint sends to (wire 3.8). */
#define FL_DESTINATIONS_NONE 0          /* its peer, in the parameters of the transport */
#define FL_DESTINATIONS_MANUAL 1        /* fl_send_endpoint_add_destination */
#define FL_DESTINATIONS_DYNAMIC 2       /* the receivers, by their status messages */

typedef struct fl_send_endpoint_params
{
    int64_t id;                         /* the control plane's own, for messages */
    uint8_t is_multicast;
    uint8_t destinations;               /* FL_DESTINATIONS_* */
    uint8_t reserved[2];
    int32_t destinations_counter_id;    /* holds how many there are; -1: none does */
} fl_send_endpoint_params_t;

/* Open an endpoint on a transport of this driver and hand it to the sender.
 *
 * params   in and out, see types.h; role is set here
 */
fl_send_endpoint_t *fl_send_endpoint_open(fl_driver_t *driver, fl_binding_t *binding, fl_endpoint_params_t *params,
    const fl_send_endpoint_params_t *send_params);

/* Take the endpoint from its transport, whose device was lost, and close what it had open there: the address is free
 * when this returns. Publications live on without sending or hearing anything. Nothing if it is detached already. */
int fl_send_endpoint_detach(fl_driver_t *driver, fl_send_endpoint_t *endpoint);

/* Open a detached endpoint on another transport of this driver, or on the same one opened again; params as for opening.
 * Positions, flow control, retransmits and timers go on as they are. If it fails the endpoint stays detached. */
int fl_send_endpoint_attach(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, fl_binding_t *binding, fl_endpoint_params_t *params);

/* Close it; every publication on it was removed before. */
int fl_send_endpoint_close(fl_driver_t *driver, fl_send_endpoint_t *endpoint);

/* -FL_ENODEV: it is detached. */
int fl_send_endpoint_local_address(fl_send_endpoint_t *endpoint, fl_address_t *address);

/* The peer's name resolves to another address now. A detached endpoint is attached with its peer in params. */
int fl_send_endpoint_set_peer(fl_driver_t *driver, fl_send_endpoint_t *endpoint, const fl_address_t *peer);

/* Give an endpoint a destination, by an id of the control plane's. An address of family FL_FAMILY_NONE is skipped until
 * it is set. -FL_EINVAL: FL_DESTINATIONS_MANUAL is not who says so; -FL_EBUSY: there is no room for more. */
int fl_send_endpoint_add_destination(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id, const fl_address_t *address);

/* Its name resolves to another address now; and take it away. -FL_ENOENT: there is none with this id. */
int fl_send_endpoint_set_destination(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id, const fl_address_t *address);
int fl_send_endpoint_remove_destination(fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id);

/* Monotonic time of the last status message from there, at first of its adding. -FL_ENOENT as well. */
int64_t fl_send_endpoint_destination_activity(fl_driver_t *driver, fl_send_endpoint_t *endpoint, int64_t id);

/* Monotonic time of the last accepted status message on any of its publications; for re-resolution (wire 5.9). */
int64_t fl_send_endpoint_time_of_last_sm(fl_send_endpoint_t *endpoint);

/* ---- UDP publications ---- */

#define FL_FLOW_CONTROL_UNICAST 0
#define FL_FLOW_CONTROL_MAX 1
#define FL_FLOW_CONTROL_MIN 2
#define FL_FLOW_CONTROL_TAGGED 3

typedef struct fl_publication_params
{
    int64_t registration_id;
    fl_log_t *log;                      /* the publication's mapping; outlives it */
    int64_t start_position;
    int32_t publication_window_length;
    int32_t max_resend;                 /* retransmit slots; 1 for plain unicast */
    int32_t retransmit_window_multiple;
    int32_t ttl;                        /* as announced in SETUP */
    uint32_t flow_control;              /* FL_FLOW_CONTROL_* */
    uint8_t is_exclusive;
    uint8_t has_group_semantics;        /* GROUP flag in SETUP, pool of retransmit slots */
    uint8_t signal_eos;
    uint8_t spies_simulate_connection;  /* spies alone make it connected, and it runs as fast as the first of them */
    int64_t linger_timeout_ns;
    int32_t publisher_position_counter_id;
    int32_t publisher_limit_counter_id;
    int32_t sender_position_counter_id;
    int32_t sender_limit_counter_id;
    int32_t sender_bpe_counter_id;
    int32_t sender_naks_received_counter_id;
    uint32_t timestamp_at;              /* byte of a frame at which the time of sending goes (wire 6); 0: it does not */
    int32_t group_min_size;             /* min and tagged flow control, as what follows (wire 3.6.3) */
    int64_t group_tag;                  /* tagged: of the receivers that count */
    int64_t receiver_timeout_ns;
    int32_t receivers_counter_id;       /* holds how many receivers count; -1: none does */
    uint8_t is_response;                /* sends to who asked for the last SETUP alone (wire 3.10) */
    uint8_t wants_response;             /* SEND_RESPONSE flag in SETUP */
    uint8_t reserved2[2];
} fl_publication_params_t;

/* Make a publication on an endpoint and hand it to the sender. Its events carry registration_id. */
fl_publication_t *fl_publication_add(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, const fl_publication_params_t *params);

/* The last client reference is gone: publisher limit and end of stream follow, the publication drains (shm 9.8). */
int fl_publication_drain(fl_driver_t *driver, fl_publication_t *publication);

/* The metadata's revoked byte was stored: end the publication at the producer position. */
int fl_publication_revoke(fl_driver_t *driver, fl_publication_t *publication);

/* Link a spy, which reads the publication's own log, in one step of the sender; as for IPC publications. It joins at
 * the sender position.
 *
 * returns   the join position; -FL_EAGAIN if the publication takes no spies now (draining with nothing left, or over)
 */
int64_t fl_publication_link(
    fl_driver_t *driver, fl_publication_t *publication, int64_t subscription_id, int32_t position_counter_id);
int fl_publication_unlink(fl_driver_t *driver, fl_publication_t *publication, int64_t subscription_id);

/* Is a spy so far behind that it is given up if it is untethered (shm 9.9)? 1 or 0; -FL_ENOENT if it is not linked. */
int fl_publication_is_behind(fl_driver_t *driver, fl_publication_t *publication, int64_t subscription_id);

/* Take it from the sender, in whatever state, and free it. The mapping is the control plane's again. */
int fl_publication_remove(fl_driver_t *driver, fl_publication_t *publication);

/* ---- IPC publications ---- */

typedef struct fl_ipc_publication_params
{
    int64_t registration_id;
    fl_log_t *log;
    int64_t start_position;
    int32_t publication_window_length;
    uint8_t is_exclusive;
    uint8_t reserved[3];
    int32_t publisher_position_counter_id;
    int32_t publisher_limit_counter_id;
} fl_ipc_publication_params_t;

fl_ipc_publication_t *fl_ipc_publication_add(fl_driver_t *driver, const fl_ipc_publication_params_t *params);
int fl_ipc_publication_drain(fl_driver_t *driver, fl_ipc_publication_t *publication);
int fl_ipc_publication_revoke(fl_driver_t *driver, fl_ipc_publication_t *publication);

/* A subscriber rejected the image: all subscribers are unlinked and none is taken until the cool-down is over (shm
 * 9.7). */
int fl_ipc_publication_reject(fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t cool_down_ns);
int fl_ipc_publication_remove(fl_driver_t *driver, fl_ipc_publication_t *publication);

/* Link a subscriber, in one step of the conductor agent: choose the join position, store it in the counter (release),
 * append the entry.
 *
 * returns   the join position; -FL_EAGAIN if the publication takes no subscribers now (draining and drained, cool-down)
 */
int64_t fl_ipc_publication_link(
    fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t subscription_id, int32_t position_counter_id);

/* Unlink a subscriber; its counter may be freed afterwards. -FL_ENOENT if it is not linked. */
int fl_ipc_publication_unlink(
    fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t subscription_id);

/* As fl_publication_is_behind, by the conductor agent. */
int fl_ipc_publication_is_behind(
    fl_driver_t *driver, fl_ipc_publication_t *publication, int64_t subscription_id);

#endif
