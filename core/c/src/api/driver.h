/* The driver's data plane as the control plane sees it.
 *
 * One thread, the control thread, makes all calls here except fl_driver_wake. Calls that change what an agent owns run
 * on that agent's thread: the control thread hands a closure over and waits until the agent has executed it between two
 * duty cycles. So when such a call returns, the change is in force, and freeing what was removed is safe.
 *
 * Nothing in the other direction waits: objects raise bits (fl_driver_event_t), which are level-triggered and never
 * lost.
 *
 * Functions return 0 or a value, or a negative FL_E* with the reason in fl_error_text(). Functions that return a
 * pointer return NULL then. Counters are given by id: the data plane writes their values.
 */
#ifndef FL_API_DRIVER_H
#define FL_API_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include <framelane/types.h>

#include "api/common.h"
#include "api/shm.h"
#include "api/transport.h"

/* Threading modes, as Aeron names them. */
#define FL_THREADING_DEDICATED 0
#define FL_THREADING_SHARED_NETWORK 1
#define FL_THREADING_SHARED 2
#define FL_THREADING_INVOKER 3

/* Idle strategies. */
#define FL_IDLE_BACKOFF 0
#define FL_IDLE_SLEEP 1
#define FL_IDLE_YIELD 2
#define FL_IDLE_SPIN 3
#define FL_IDLE_NOOP 4
#define FL_IDLE_WAIT 5

typedef struct fl_idle_config
{
    uint32_t kind;                      /* FL_IDLE_* */
    uint64_t max_spins;                 /* backoff and wait */
    uint64_t max_yields;
    int64_t min_park_ns;                /* backoff; sleep: how long */
    int64_t max_park_ns;
    int64_t wait_max_ns;                /* wait: longest sleep with clients, the latency it may add */
    int64_t wait_max_no_clients_ns;     /* wait: longest sleep without */
} fl_idle_config_t;

/* The agents, as indices. */
#define FL_AGENT_CONDUCTOR 0
#define FL_AGENT_SENDER 1
#define FL_AGENT_RECEIVER 2
#define FL_AGENTS 3

/* Reasons for which a received datagram does nothing; each has a counter, in this order (docs/counters.md). */
#define FL_DROP_SHORT 0               /* shorter than its type demands */
#define FL_DROP_VERSION 1             /* header version is not 0 */
#define FL_DROP_TYPE 2                /* unknown type, or one that this driver does not take */
#define FL_DROP_FRAME_LENGTH 3        /* frame length negative, or beyond the datagram */
#define FL_DROP_ALIGNMENT 4           /* data datagram's length is no multiple of 32 */
#define FL_DROP_DATA_FIELDS 5         /* the walk over a data datagram's frames failed */
#define FL_DROP_SETUP_FIELDS 6
#define FL_DROP_NAK_FIELDS 7
#define FL_DROP_SM_FIELDS 8
#define FL_DROP_ERR_FIELDS 9
#define FL_DROP_WRONG_SIDE 10         /* a sender's frame at a send endpoint, or a receiver's at a receive endpoint */
#define FL_DROP_NO_INTEREST 11        /* no subscription for the stream or session */
#define FL_DROP_NO_IMAGE 12           /* interest, but the image is not there yet, cools down, or is refused */
#define FL_DROP_NO_PUBLICATION 13     /* SM, NAK, ERR, RTTM for a stream and session that is not here */
#define FL_DROP_OVER_RUN 14
#define FL_DROP_UNDER_RUN 15
#define FL_DROP_DUPLICATE 16          /* bytes that the image had already */
#define FL_DROP_TERM 17               /* term id before the initial one, or of a term that cannot be */
#define FL_DROP_IMAGE_CLOSED 18       /* image rejected, revoked, or at its end */
#define FL_DROP_SM_REJECTED 19        /* position outside half a term around the sender position */
#define FL_DROP_NAK_IGNORED 20        /* empty, covered by an action, out of the window, or no slot */
#define FL_DROP_SETUP_IGNORED 21      /* session limit, no interest, cool-down, or no room to ask for an image */
#define FL_DROP_RTTM_IGNORED 22
#define FL_DROP_TRUNCATED 23          /* longer than the transport's buffer */
#define FL_DROPS 24

typedef struct fl_driver fl_driver_t;
typedef struct fl_send_endpoint fl_send_endpoint_t;
typedef struct fl_receive_endpoint fl_receive_endpoint_t;
typedef struct fl_publication fl_publication_t;
typedef struct fl_ipc_publication fl_ipc_publication_t;
typedef struct fl_image fl_image_t;

typedef struct fl_driver_config
{
    fl_clock_t *clock;                          /* outlives the driver */
    fl_cnc_t *cnc;                              /* outlives the driver */
    uint32_t threading_mode;                    /* FL_THREADING_* */
    fl_idle_config_t idle[FL_AGENTS];           /* SHARED: [0]; SHARED_NETWORK: [0] and [1] */
    int32_t cpu_affinity[FL_AGENTS];            /* -1: none; of the thread that runs the agent, as for idle */
    int64_t cycle_threshold_ns[FL_AGENTS];
    uint32_t thread_naming_new;                 /* 1: aeron-md-* names */
    uint32_t sender_poll_runs;                  /* runs taken in one poll by the sender; 0: as many as there is room
                                                 * for */
    uint32_t receiver_poll_runs;
    uint64_t seed;                              /* of receiver ids, NAK back-off and the host's random */
    int64_t timer_interval_ns;
    int64_t client_liveness_timeout_ns;
    /* sender */
    int64_t publication_connection_timeout_ns;
    int64_t retransmit_delay_ns;
    int64_t retransmit_linger_ns;
    uint32_t send_to_status_poll_ratio;
    uint32_t send_run_length;                   /* most bytes a publication sends in one cycle */
    uint32_t max_messages_per_send;             /* most datagrams a publication sends in one cycle; 0: no such limit */
    /* receiver */
    int64_t status_message_timeout_ns;
    int64_t image_liveness_timeout_ns;
    int64_t nak_unicast_delay_ns;
    int64_t nak_unicast_retry_ratio;
    int64_t nak_multicast_max_backoff_ns;
    int32_t nak_multicast_group_size;
    int32_t stream_session_limit;
    int64_t cubic_initial_rtt_ns;
    uint8_t cubic_measures_rtt;
    uint8_t cubic_tcp_mode;
    uint8_t reserved[6];
    /* conductor */
    int64_t publication_unblock_timeout_ns;
    int32_t system_counter_ids[46];
    int32_t drop_counter_ids[FL_DROPS];
} fl_driver_config_t;

/* ---- life ---- */

/* Make the data plane over a CnC file whose version is not stored yet. Starts no thread. Transports are added after
 * fl_driver_start, since their pollers are entered by the agents, and removed before fl_driver_stop. */
fl_driver_t *fl_driver_new(const fl_driver_config_t *config);

/* Start the agent threads; all signals are blocked in them. INVOKER: starts none. */
int fl_driver_start(fl_driver_t *driver);

/* INVOKER: one duty cycle of every agent, on the calling thread, which is then the control thread too. Returns the
 * work done; in a forked child nothing happens and it is 0. */
int fl_driver_invoke(fl_driver_t *driver);

/* Stop the agents and join their threads. Afterwards calls execute on the control thread. In a forked child:
 * nothing. */
int fl_driver_stop(fl_driver_t *driver);

/* Free the data plane: after fl_driver_stop, every object and transport removed. In a forked child: nothing. */
void fl_driver_free(fl_driver_t *driver);

/* ---- what the control plane waits for ---- */

#define FL_WAIT_COMMAND 1
#define FL_WAIT_EVENT 2

/* Block, without the GIL, until something that is wanted is there, somebody calls fl_driver_wake, or timeout_ns passed.
 * While a command waits for slow work, the control plane wants no further one, and events only.
 *
 * wanted    FL_WAIT_* bits
 * returns   those that are there; 0 if none is
 *
 * INVOKER: never blocks. */
int fl_driver_wait(fl_driver_t *driver, int wanted, int64_t timeout_ns);

/* End a wait. Any thread. */
void fl_driver_wake(fl_driver_t *driver);

/* Take the next client command that the conductor agent read. The bytes are as the client wrote them.
 *
 * type_id    set to the record's type
 * buffer     at least capacity bytes; capacity at least 131072, the longest message of a default ring
 * returns    length of the body; -FL_EAGAIN if there is none; -FL_EMSGSIZE if it is longer than capacity (it is
 *            skipped)
 */
int fl_driver_next_command(fl_driver_t *driver, int32_t *type_id, uint8_t *buffer, int32_t capacity);

/* Kinds of objects. */
#define FL_OBJECT_PUBLICATION 1
#define FL_OBJECT_IPC_PUBLICATION 2
#define FL_OBJECT_IMAGE 3
#define FL_OBJECT_SETUP 4
#define FL_OBJECT_PUBLICATION_ERROR 5
#define FL_OBJECT_CONDUCTOR 6
#define FL_OBJECT_TRANSPORTS 7
#define FL_OBJECT_RESPONSE_SETUP 8

/* Bits of publications, UDP and IPC. */
#define FL_EVENT_PUBLICATION_LINGER 1      /* spies or IPC subscribers lose the image: announce, then unlink them */
#define FL_EVENT_PUBLICATION_DONE 2        /* its agent has let go: remove it */
#define FL_EVENT_PUBLICATION_REVOKED 4     /* revocation took effect */
#define FL_EVENT_PUBLICATION_COOLED 8      /* IPC: the cool-down after a rejection is over: link subscribers again */
#define FL_EVENT_PUBLICATION_INVALID 16    /* UDP: its log holds what is no frame of it, and the stream stays before
                                            * that */
#define FL_EVENT_PUBLICATION_CONNECTED 32  /* UDP, of a response channel: its receiver is there */
/* Bits of images. */
#define FL_EVENT_IMAGE_UNAVAILABLE 1       /* DRAINING -> LINGER: announce to its subscribers */
#define FL_EVENT_IMAGE_DONE 2              /* remove it */
#define FL_EVENT_IMAGE_LOSS 4              /* first loss: make a loss report entry and give it to the image */
#define FL_EVENT_IMAGE_REVOKED 8
/* Bits of the conductor agent. */
#define FL_EVENT_CONDUCTOR_TIMER 1         /* a timer pass is due */
#define FL_EVENT_CONDUCTOR_MALFORMED 2     /* records of the to-driver ring that could not be read were skipped */

/* Bits of the transports under one agent. */
#define FL_EVENT_TRANSPORTS_GONE 1         /* one answers -FL_ENODEV: ask each fl_driver_is_transport_gone */

/* What happened to one object. Fields below `mask` are filled by kind. */
typedef struct fl_driver_event
{
    uint32_t kind;           /* FL_OBJECT_* */
    uint32_t mask;           /* FL_EVENT_* bits of that kind */
    int64_t id;              /* as given when the object was made; SETUP: the endpoint's id */
    /* SETUP: a stream without an image. Answer with fl_image_add or fl_receive_endpoint_refuse_setup.
     * PUBLICATION_ERROR: an ERR frame that removed a receiver; id is the publication's.
     * RESPONSE_SETUP: who takes a request publication responds in this session; id is the publication's (wire 3.10). */
    int32_t session_id;
    int32_t stream_id;
    int32_t initial_term_id;
    int32_t active_term_id;
    int32_t term_offset;
    int32_t term_length;
    int32_t mtu_length;
    int32_t ttl;
    uint32_t flags;          /* of the frame */
    int32_t error_code;
    int64_t receiver_id;
    int64_t group_tag;
    int64_t destination_id;  /* PUBLICATION_ERROR: of the destination that the receiver was given as; -1: it was not */
    fl_address_t source;
    uint32_t text_length;
    char text[1024];
} fl_driver_event_t;

/* Take the next event. Returns 1 if there was one, else 0. */
int fl_driver_next_event(fl_driver_t *driver, fl_driver_event_t *event);

/* Tell the agents whether any client is connected; decides how long `wait` may sleep. */
void fl_driver_set_has_clients(fl_driver_t *driver, int has_clients);

/* CLIENT_KEEPALIVE commands refresh these heartbeats, natively. Adding a known client changes its counter. */
int fl_driver_add_client(fl_driver_t *driver, int64_t client_id, int32_t heartbeat_counter_id);
int fl_driver_remove_client(fl_driver_t *driver, int64_t client_id);

/* ---- transports ---- */

/* Put an opened transport under the agents: its pollers are opened and entered on their threads. The binding outlives
 * its stay. -FL_EBUSY: it has one queue, and sender and receiver are different threads. */
int fl_driver_add_transport(fl_driver_t *driver, fl_binding_t *binding);

/* Take it off again; every endpoint on it was closed or detached before. */
int fl_driver_remove_transport(fl_driver_t *driver, fl_binding_t *binding);

/* Has an agent seen that a transport answers -FL_ENODEV? 1 or 0. */
int fl_driver_is_transport_gone(fl_driver_t *driver, fl_binding_t *binding);

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

/* ---- receive endpoints ---- */

typedef struct fl_receive_endpoint_params
{
    int64_t id;
    uint8_t is_multicast;
    uint8_t has_group_tag;
    uint8_t has_control;                /* explicit control address: periodic elicitation (wire 4.2) */
    uint8_t reserved[5];
    int64_t group_tag;
    fl_address_t control;               /* multicast: the control group; with has_control: that address */
    int32_t ttl;                        /* own, to notice an asymmetry; 0: the system's */
    int32_t reserved2;
    uint32_t media_timestamp_at;        /* byte of a frame at which the time of its arrival goes (wire 6); 0: it does
                                         * not */
    uint32_t channel_timestamp_at;      /* as well, the time at which the driver takes it */
} fl_receive_endpoint_params_t;

fl_receive_endpoint_t *fl_receive_endpoint_open(
    fl_driver_t *driver, fl_binding_t *binding, fl_endpoint_params_t *params,
    const fl_receive_endpoint_params_t *receive_params);

/* Multi-destination subscriptions (wire 4.12): an endpoint that is never attached, and any number of members, up to
 * 16, that are. Streams, interest, images, group tag and timestamps are the owner's; bind, control address and ttl a
 * member's. Members are closed as any endpoint, before their owner. */
fl_receive_endpoint_t *fl_receive_endpoint_new_owner(
    fl_driver_t *driver, const fl_receive_endpoint_params_t *receive_params);
fl_receive_endpoint_t *fl_receive_endpoint_open_member(fl_driver_t *driver, fl_receive_endpoint_t *owner,
    fl_binding_t *binding, fl_endpoint_params_t *params, const fl_receive_endpoint_params_t *receive_params);

/* As for send endpoints: sessions, images, their positions and timers go on. */
int fl_receive_endpoint_detach(fl_driver_t *driver, fl_receive_endpoint_t *endpoint);
int fl_receive_endpoint_attach(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, fl_binding_t *binding, fl_endpoint_params_t *params);

/* Close it; every image on it was removed and every subscription taken off before. */
int fl_receive_endpoint_close(fl_driver_t *driver, fl_receive_endpoint_t *endpoint);

/* Count in a counter the datagrams that came without the timestamp which their transport was to give. */
int fl_receive_endpoint_count_unstamped(fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t counter_id);

/* -FL_ENODEV: it is detached. */
int fl_receive_endpoint_local_address(fl_receive_endpoint_t *endpoint, fl_address_t *address);
int64_t fl_receive_endpoint_receiver_id(fl_receive_endpoint_t *endpoint);

/* Monotonic time of the last datagrams, for re-resolution (wire 5.9); kept for endpoints with an explicit control
 * address. */
int64_t fl_receive_endpoint_time_of_last_run(fl_receive_endpoint_t *endpoint);

/* The control name resolves to another address now. */
int fl_receive_endpoint_set_control(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, const fl_address_t *control);

/* Interest in a stream, in all its sessions or in one. Interest is counted: each add needs its remove (wire 4.1). */
int fl_receive_endpoint_add_stream(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int has_session_id, int32_t session_id);
int fl_receive_endpoint_remove_stream(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int has_session_id, int32_t session_id);

/* Ask for a SETUP of one session, at every control address that the endpoint has. */
int fl_receive_endpoint_elicit_session(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id);

/* No image will be made for a SETUP event: the next SETUP may ask again. */
int fl_receive_endpoint_refuse_setup(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id);

/* After an image ended before its stream did, the session cools down (wire 4.10); this ends it, for rejoin=true. */
int fl_receive_endpoint_remove_cool_down(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id);

/* ---- images ---- */

#define FL_CONGESTION_CONTROL_STATIC 0
#define FL_CONGESTION_CONTROL_CUBIC 1

typedef struct fl_image_params
{
    int64_t correlation_id;
    fl_log_t *log;
    int32_t initial_window_length;      /* rcv-wnd or the driver's */
    uint32_t congestion_control;        /* FL_CONGESTION_CONTROL_* */
    int64_t join_position;              /* from the SETUP */
    fl_address_t source;
    uint8_t is_reliable;
    uint8_t treat_as_group;
    uint8_t reserved[6];
    int64_t nak_delay_ns;               /* -1: the driver's */
    int32_t rcv_hwm_counter_id;
    int32_t rcv_pos_counter_id;
    int32_t rcv_naks_sent_counter_id;
    int32_t rtt_counter_id;             /* CUBIC: holds the round trip time, ns; -1: none does, as the next */
    int32_t window_counter_id;          /* holds the window, bytes */
    int32_t reserved2;
} fl_image_params_t;

/* Make the image that a SETUP event asked for, with its first subscribers, all at the join position, in one step.
 * The position counters are stored (release) before it returns. */
fl_image_t *fl_image_add(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, const fl_image_params_t *params,
    const int64_t *subscription_ids, const int32_t *position_counter_ids, uint32_t subscribers);

/* Tell the publication of an image, with each status message timeout, in which session it is responded to; and tell
 * it no more (wire 3.10). */
int fl_image_respond(fl_driver_t *driver, fl_image_t *image, int32_t response_session_id);
int fl_image_stop_responding(fl_driver_t *driver, fl_image_t *image);

/* As for IPC publications, by the receiver. -FL_EAGAIN if the image takes no subscribers now. */
int64_t fl_image_link(
    fl_driver_t *driver, fl_image_t *image, int64_t subscription_id, int32_t position_counter_id);
int fl_image_unlink(fl_driver_t *driver, fl_image_t *image, int64_t subscription_id);
int fl_image_is_behind(fl_driver_t *driver, fl_image_t *image, int64_t subscription_id);

/* A subscriber rejects the image: it takes no more data and answers ERR in place of status messages (wire 4.11). */
int fl_image_reject(fl_driver_t *driver, fl_image_t *image, const char *reason, uint32_t length);

/* Where the receiver notes further losses, from FL_EVENT_IMAGE_LOSS; NULL: the report is full. The first loss is in the
 * entry already. */
int fl_image_set_loss_entry(fl_driver_t *driver, fl_image_t *image, fl_loss_record_t *record);

/* What was lost up to now, for the entry: bytes and count. */
int fl_image_loss(fl_driver_t *driver, fl_image_t *image, int64_t *bytes, int64_t *count);

/* Take it from the receiver, in whatever state, and free it. */
int fl_image_remove(fl_driver_t *driver, fl_image_t *image);

#endif
