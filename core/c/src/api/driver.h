/* The driver's data plane as the control plane sees it: its life, what it has to say, and the transports under it. What
 * its agents own is in publications.h and images.h, of which holds the same:
 *
 * One thread, the control thread, makes all calls except fl_driver_wake. Calls that change what an agent owns run
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

#endif
