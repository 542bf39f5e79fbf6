/* UDP publications, owned by the sender (wire 3; shm 9.8).
 *
 * publication.c puts things on the wire, publication_feedback.c takes what receivers say, publication_life.c moves
 * limits and states, publication_control.c has the calls of the control plane.
 */
#ifndef FL_SENDER_PUBLICATION_H
#define FL_SENDER_PUBLICATION_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/subscribers.h"
#include "protocol/frames.h"
#include "sender/flow_control.h"
#include "sender/liveness.h"
#include "sender/retransmit.h"
#include "sender/send_endpoint.h"
#include "sender/sender.h"
#include "sender/term_scan.h"
#include "shm/log_buffer.h"
#include "util/timer_wheel.h"

#define FL_SETUP_INTERVAL_NS INT64_C(100000000)
#define FL_HEARTBEAT_INTERVAL_NS INT64_C(100000000)
#define FL_CLEAN_PER_CYCLE (256 * 1024)
#define FL_NEVER_NS INT64_MAX

typedef enum fl_publication_state
{
    FL_PUBLICATION_ACTIVE,
    FL_PUBLICATION_DRAINING,    /* the last client reference is gone: what was written still goes out */
    FL_PUBLICATION_LINGER,      /* everything is out: only retransmits and heartbeats */
    FL_PUBLICATION_DONE         /* silent, until the control plane removes it */
} fl_publication_state_t;

struct fl_publication
{
    /* What a cycle without work looks at: one cache line, and the line of the next frame. */
    const uint8_t *next_frame;              /* at the sender position; DONE: a frame length of 0 */
    int64_t setup_deadline_ns;              /* a SETUP goes out later than this; FL_NEVER_NS: none is wanted */
    int64_t sender_position;
    int64_t sender_limit;
    bool is_limit_due;                      /* pub-lmt or cleaning has to follow something that changed, or spies */
    uint8_t state;                          /* fl_publication_state_t */
    bool is_back_pressured;                 /* this episode is counted */
    bool is_end_of_stream;                  /* ended, and everything was sent */
    int32_t burst_length;                   /* most bytes of one cycle */
    fl_retransmit_t retransmit;

    fl_log_t *log;
    fl_send_endpoint_t *endpoint;
    fl_sender_t *sender;
    fl_scan_bounds_t bounds;
    int64_t time_of_last_send_ns;           /* of data or a heartbeat */
    int64_t time_of_last_setup_ns;
    _Atomic int64_t *sender_position_counter;
    _Atomic int64_t *sender_limit_counter;
    _Atomic int64_t *sender_bpe_counter;
    _Atomic int64_t *sender_naks_counter;
    _Atomic int64_t *publisher_limit_counter;
    _Atomic int64_t *publisher_position_counter;

    int64_t publisher_limit;                /* what pub-lmt holds */
    int64_t publisher_position;             /* as last believed; what pub-pos holds */
    int64_t clean_position;
    int64_t window_length;                  /* of the publication: publishers may be this far ahead of the sender */
    int64_t end_of_stream_position;         /* INT64_MAX while ACTIVE */
    int64_t invalid_position;               /* of the frame that holds the stream up because it is not one; -1: none */
    int64_t checked_position;               /* sender position when it last moved, or was not held up */
    int64_t time_of_checked_position_ns;
    int64_t unblock_deadline_ns;            /* not before */
    int64_t linger_deadline_ns;
    int64_t linger_timeout_ns;
    bool has_initial_connection;            /* a status message was ever accepted */
    bool is_setup_elicited;
    bool is_connected;
    bool is_exclusive;
    bool is_revoked;
    bool spies_simulate_connection;
    bool signal_eos;
    bool has_received_unicast_eos;
    int32_t ttl;
    uint8_t setup_flags;
    bool is_response;                       /* sends to response_peer alone, once there is one (wire 3.10) */
    fl_peer_t response_peer;                /* who asked for the last SETUP; of family FL_FAMILY_NONE: nobody yet */
    uint32_t timestamp_at;                  /* of the time of sending in a frame; FL_TIMESTAMP_NOWHERE: none is put */
    int64_t resend_limit;                   /* bytes of one NAK that are sent again */
    fl_timer_t timer;                       /* heartbeat, liveness of receivers, states: at least every 100 ms */
    fl_subscribers_t spies;                 /* who read the log itself (wire 3.11) */
    fl_flow_control_t *flow;
    fl_liveness_t liveness;
    fl_object_t object;
};

static_assert(offsetof(fl_publication_t, retransmit.pending) + sizeof(uint32_t) <= 64, "the idle cycle's cache line");

/* ---- publication.c ---- */

/* One publication's part of a duty cycle. Returns the bytes sent. */
int64_t fl_publication_do_work(fl_publication_t *publication, int64_t now_ns);

/* Send again what lies in [position, position + length).
 *
 * bytes    grows by what was sent
 * returns  the extent that was sent; 0 if nothing there can be sent; -FL_EAGAIN if the transport took nothing
 */
int64_t fl_publication_resend(
    fl_publication_t *publication, int64_t position, int64_t length, int64_t *bytes, int64_t now_ns);

/* Is a position one that a NAK may ask for: sent, and neither cleaned nor about to be (wire 3.7)? */
bool fl_publication_can_resend(const fl_publication_t *publication, int64_t position);

void fl_publication_send_heartbeat(fl_publication_t *publication, int64_t now_ns);

/* Send a frame of the driver's own to where the data goes. Returns whether the transport took it. */
bool fl_publication_send_frame(
    fl_publication_t *publication, const uint8_t *frame, size_t length, int64_t now_ns);

/* Set next_frame after the sender position was set. */
void fl_publication_seek(fl_publication_t *publication);

/* ---- publication_life.c ---- */

/* Follow the spies, move pub-lmt and clean, as far as a cycle may. */
void fl_publication_update_limit(fl_publication_t *publication);

/* Receivers or spies changed: is it connected, and what follows from that. */
void fl_publication_update_connected(fl_publication_t *publication);

/* Read the producer position, believe what is possible, and store pub-pos. */
void fl_publication_update_publisher_position(fl_publication_t *publication);

/* Set the sender limit that flow control chose. */
void fl_publication_set_sender_limit(fl_publication_t *publication, int64_t limit);

/* Let flow control drop the receivers that are gone, and set the limit of those that stay. */
void fl_publication_look_at_receivers(fl_publication_t *publication, int64_t now_ns);

/* The sender position moved, or the end did. */
void fl_publication_update_end_of_stream(fl_publication_t *publication);

/* Does it take a spy now: ACTIVE, or DRAINING with others and unsent data (shm 9.4)? */
bool fl_publication_takes_spies(const fl_publication_t *publication);

void fl_publication_drain_now(fl_publication_t *publication);
void fl_publication_revoke_now(fl_publication_t *publication, int64_t now_ns);
void fl_publication_on_timer(fl_timer_t *timer, int64_t now_ns);

/* ---- publication_feedback.c: what receivers say, in datagrams that are well-formed (wire 9.1) ---- */

/* Each returns FL_TAKEN, or the reason for which the frame does nothing, FL_DROP_*. length: of the datagram. */
#define FL_TAKEN (-1)

int fl_publication_on_status_message(fl_publication_t *publication, const fl_sm_frame_t *frame, size_t length,
    const fl_address_t *source, int64_t now_ns);
int fl_publication_on_nak(fl_publication_t *publication, const fl_nak_frame_t *frame, int64_t now_ns);
int fl_publication_on_error(
    fl_publication_t *publication, const fl_err_frame_t *frame, const fl_address_t *source, int64_t now_ns);
int fl_publication_on_response_setup(fl_publication_t *publication, const fl_rsp_setup_frame_t *frame);
int fl_publication_on_rttm(fl_publication_t *publication, const fl_rttm_frame_t *frame, int64_t now_ns);

#endif
