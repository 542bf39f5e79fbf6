/* A receive endpoint: where datagrams of a channel come in, and which image each is for (wire 4.1, 4.2). */
#ifndef FL_RECEIVER_RECEIVE_ENDPOINT_H
#define FL_RECEIVER_RECEIVE_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/attachment.h"
#include "receiver/interest.h"
#include "receiver/receiver.h"
#include "receiver/session_map.h"

#define FL_SETUP_TIMEOUT_NS INT64_C(1000000000)        /* of an elicitation, and between periodic ones */
#define FL_CONNECTION_TIMEOUT_NS INT64_C(5000000000)   /* wire 4.4 */

#define FL_ENDPOINT_MEMBERS 16                         /* destinations of a multi-destination subscription */

/* A session in state PENDING_SETUP or INIT_IN_PROGRESS. */
typedef struct fl_setup
{
    int32_t stream_id;
    int32_t session_id;
    int64_t deadline_ns;                /* PENDING_SETUP: when the elicitation lapses */
    uint32_t slot;                      /* of the member that its datagram came to; FL_ENDPOINT_MEMBERS: it is gone */
    fl_address_t local;                 /* where there; family FL_FAMILY_NONE: unknown */
} fl_setup_t;

/* Most endpoints are alone: their own owner, and the one member. The endpoint of a multi-destination subscription is
 * never attached to a transport: its members are, one for each destination, and it owns what they have in common (wire
 * 4.12). What is below `owner` is used in the owner alone, what begins with `control` in each member. */

struct fl_receive_endpoint
{
    fl_attachment_t attachment;         /* first: its sink is the context of the transport's runs */
    fl_receiver_t *receiver;
    fl_receive_endpoint_t *owner;
    fl_receive_endpoint_t *members[FL_ENDPOINT_MEMBERS];   /* by slot; NULL: none */
    const fl_receive_endpoint_t *receiving;                /* the member whose run is being taken, */
    const fl_run_t *run;                                   /* and that run */
    uint64_t last_key;                  /* of last_image, as in fl_data_key() */
    fl_image_t *last_image;             /* took the last data; NULL: none */
    bool is_stamping;                   /* timestamps go into frames (wire 6) */
    const fl_interest_t *interest;      /* NULL: none */
    fl_session_map_t sessions;
    fl_setup_t setups[FL_SETUPS_CAPACITY];
    uint32_t setup_count;
    fl_image_t *images;                 /* all, also those that are out of the dispatch */
    uint32_t image_count;               /* changes on the control thread's request alone */
    int64_t receiver_id;
    int64_t group_tag;
    bool has_group_tag;
    uint32_t media_timestamp_at;        /* FL_TIMESTAMP_NOWHERE: none */
    uint32_t channel_timestamp_at;
    fl_timer_t setup_timer;             /* earliest lapse */

    fl_peer_t control;                  /* multicast or has_control */
    uint32_t slot;
    bool is_multicast;
    bool has_control;                   /* not multicast: feedback goes to `control`, and elicitation is periodic */
    int32_t ttl;
    bool stamps_arrival;                /* the transport does not say that it stamps: the time of the poll counts */
    _Atomic int64_t *unstamped_counter; /* NULL: not counted */
    _Atomic int64_t time_of_last_run_ns; /* with has_control: for re-resolution; else of the opening */
    fl_timer_t control_timer;
};

/* Take one run: check, dispatch and insert every datagram of it. In dispatch.c. Thread: receiver. */
void fl_receive_endpoint_on_run(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns);

/* Send one frame.
 *
 * local     source address, or NULL or of family FL_FAMILY_NONE for the system's choice
 * returns   0; the status of the transport if the frame was not taken, counted as a short send
 * thread    receiver
 */
int fl_receive_endpoint_send(fl_receive_endpoint_t *endpoint, const uint8_t *frame, size_t length,
    const fl_peer_t *peer, const fl_address_t *local);

/* Send a status message that asks for a SETUP; session and stream 0: a periodic one. Thread: receiver. */
void fl_receive_endpoint_elicit(fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id,
    const fl_peer_t *peer, const fl_address_t *local);

/* Note a session that waits, in state `state`, until `deadline_ns`. Returns it, or NULL if too many wait. */
fl_session_t *fl_receive_endpoint_add_setup(fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id,
    fl_session_state_t state, int64_t deadline_ns, const fl_address_t *local);

/* Forget a session that has no image. */
void fl_receive_endpoint_forget(fl_receive_endpoint_t *endpoint, fl_session_t *session);

/* Name what the endpoint's timers do; they are on no wheel yet. */
void fl_receive_endpoint_init_timers(fl_receive_endpoint_t *endpoint);

/* Forget that a session waits. The session itself stays. */
void fl_receive_endpoint_remove_setup(fl_receive_endpoint_t *endpoint, fl_session_t *session);

static inline bool fl_receive_endpoint_has_fixed_control(const fl_receive_endpoint_t *endpoint)
{
    return endpoint->is_multicast || endpoint->has_control;
}

static inline const int64_t *fl_receive_endpoint_group_tag(const fl_receive_endpoint_t *endpoint)
{
    return endpoint->has_group_tag ? &endpoint->group_tag : NULL;
}

#endif
