/* An image: one publication's stream as received here.
 *
 * The image is the receiver's from fl_image_add to fl_image_remove. Clients map terms, metadata and position counters
 * writable, so every decision rests on the fields below: positions that came off the wire and were checked, or off a
 * counter and believed only in between those.
 *
 *   clean_position <= last_sm_position <= rebuild_position <= hwm <= overrun_threshold <= clean_position + 3 terms
 */
#ifndef FL_RECEIVER_IMAGE_H
#define FL_RECEIVER_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/object.h"
#include "driver/subscribers.h"
#include "protocol/frames.h"
#include "receiver/congestion_control.h"
#include "receiver/loss_detector.h"
#include "receiver/receive_endpoint.h"
#include "receiver/receiver.h"
#include "shm/log_buffer.h"

#define FL_IMAGE_CONNECTIONS FL_ENDPOINT_MEMBERS  /* by the slot of the member */
#define FL_IMAGE_CLEAN_PER_CYCLE (256 * 1024)
#define FL_IMAGE_SCAN_PER_CYCLE (1024 * 1024)    /* most bytes that one gap scan walks */
#define FL_IMAGE_DRAIN_SM_TIMEOUTS 5             /* end-of-stream status messages before LINGER (wire 4.10) */

typedef enum fl_image_state
{
    FL_IMAGE_ACTIVE,
    FL_IMAGE_DRAINING,
    FL_IMAGE_LINGER,
    FL_IMAGE_DONE
} fl_image_state_t;

/* A way by which the stream arrives and feedback returns (wire 4.4). */
typedef struct fl_image_connection
{
    bool is_known;                   /* the stream was heard there, or feedback goes to a control address */
    fl_peer_t source;                /* of the first frame; takes feedback unless the member has a control address */
    fl_address_t local;              /* where that came to; family FL_FAMILY_NONE: unknown */
    bool is_end_of_stream;
    int64_t end_of_stream_position;
    int64_t time_of_last_activity_ns;
    int64_t time_of_last_frame_ns;
} fl_image_connection_t;

struct fl_image
{
    fl_object_t object;
    fl_receiver_t *receiver;
    fl_receive_endpoint_t *endpoint;
    fl_log_t *log;
    fl_image_t *next;                /* of the endpoint */
    int32_t stream_id;
    int32_t session_id;
    fl_image_state_t state;
    uint32_t active_index;           /* on the receiver's active list, with is_active */
    bool is_active;
    bool is_silent;                  /* a newer image of the session speaks */
    bool is_reliable;
    bool is_rejected;
    bool is_revoked;
    bool is_end_of_stream;
    bool scan_due;                   /* something arrived that may open, move or close a gap */
    bool sm_due;                     /* a status message, or an ERR frame in its place, waits to be sent */

    int64_t hwm;
    int64_t rebuild_position;
    int64_t last_sm_position;        /* of the last status message that was sent; nothing before it is taken */
    int64_t overrun_threshold;       /* nothing beyond it is taken */
    int64_t end_of_stream_position;  /* with is_end_of_stream */
    int64_t time_of_last_packet_ns;

    int64_t next_sm_position;
    int32_t next_sm_window;
    int32_t max_window_length;
    int64_t clean_position;
    int64_t clean_target;
    int64_t tracked_hwm;             /* what the counters hold */
    int64_t tracked_rebuild_position;
    fl_subscribers_t subscribers;
    fl_congestion_control_t *congestion_control;
    fl_loss_detector_t loss_detector;
    fl_image_connection_t connections[FL_IMAGE_CONNECTIONS];
    uint32_t connection_count;       /* those beyond are not known */
    int32_t active_transport_count;

    _Atomic int64_t *hwm_counter;
    _Atomic int64_t *rebuild_counter;
    _Atomic int64_t *naks_sent_counter;

    int64_t loss_end;                /* losses up to here are counted */
    int64_t loss_bytes;
    int64_t loss_count;
    int64_t loss_bytes_given;        /* what the control plane knows of loss_bytes */
    bool is_loss_raised;
    bool is_loss_report_full;
    fl_loss_record_t *loss_record;

    bool is_responding;              /* RSP_SETUP goes out with each status message timeout (wire 3.10) */
    int32_t response_session_id;
    int64_t sm_deadline_ns;
    int64_t state_deadline_ns;       /* DRAINING: earliest LINGER; LINGER: DONE */
    fl_timer_t sm_timer;             /* lazily re-armed: fires, sees sm_deadline_ns moved, and goes on */
    fl_timer_t state_timer;          /* liveness, drain, linger */
    char *reject_text;               /* of is_rejected */
    int32_t reject_length;
};

/* ---- image.c: insertion. Thread: receiver ---- */

/* Session and stream as the data header holds them, in one word. */
static inline uint64_t fl_data_key(const uint8_t *datagram)
{
    uint64_t key;
    __builtin_memcpy(&key, datagram + offsetof(fl_data_header_t, session_id), sizeof(key));
    return key;
}

/* Whether a datagram passes the datagram level of wire 9.1 as DATA or PAD: version 0, type 0 or 1, frame length not
 * negative, a multiple of 32 bytes. Says nothing about the reason if not. */
static inline bool fl_is_data_datagram(const uint8_t *datagram, uint32_t length)
{
    uint64_t word;
    if (length < FL_DATA_HEADER_LENGTH || 0 != (length & (FL_FRAME_ALIGNMENT - 1)))
    {
        return false;
    }
    __builtin_memcpy(&word, datagram, sizeof(word));
    return 0 == (word & UINT64_C(0xfffe00ff80000000));
}

/* Insert the datagram at `offset` of a run, which passed fl_is_data_datagram and is of this image's session, and those
 * behind it that are and do too. Returns the offset of the first that was not consumed, or the run's length. */
uint32_t fl_image_insert(fl_image_t *image, const fl_run_t *run, uint32_t offset, int64_t now_ns);

/* A SETUP, or a round trip time measurement, for an image that exists. */
/* Note a connection. source, local: NULL for one with a control address, which nothing came from yet. */
void fl_image_connect(
    fl_image_t *image, uint32_t slot, const fl_address_t *source, const fl_address_t *local, int64_t now_ns);

void fl_image_on_setup(fl_image_t *image, int64_t now_ns);
void fl_image_on_rttm(fl_image_t *image, const fl_rttm_frame_t *frame, int64_t now_ns);

/* ---- rebuild.c ---- */

/* Lowest position of the subscribers, of which there is at least one; on a frame boundary's alignment, whatever their
 * counters say, since it goes on the wire and decides what is cleaned. Thread: receiver. */
static inline int64_t fl_image_lowest_position(fl_image_t *image)
{
    int64_t lowest;
    int64_t highest;
    fl_subscribers_read(&image->subscribers, image->rebuild_position, &lowest, &highest);
    return lowest & ~(int64_t)(FL_FRAME_ALIGNMENT - 1);
}

/* What an active image needs in a cycle: gaps, positions, cleaning, status messages, end of stream. Takes the image off
 * the active list when nothing is left to do. Returns the work done. Thread: receiver. */
int fl_image_track(fl_image_t *image, int64_t now_ns);

/* ---- image_feedback.c: what an image says to its publication. Thread: receiver ---- */

/* Send the status message, or ERR frame, that is due, to every live connection. Without room in the transport it stays
 * due. Returns 1 if it was sent, else 0. */
int fl_image_send_feedback(fl_image_t *image, int64_t now_ns);

void fl_image_send_nak(fl_image_t *image, int64_t position, int32_t length, int64_t now_ns);
void fl_image_send_response_setup(fl_image_t *image, int64_t now_ns);
void fl_image_send_rttm(fl_image_t *image, uint8_t flags, int64_t echo_timestamp, int64_t now_ns);

/* ---- image_state.c: life cycle (wire 4.10). Thread: receiver ---- */

void fl_image_start_timers(fl_image_t *image, int64_t now_ns);

/* Look at the state before long: something that it depends on changed outside the cycle. */
void fl_image_check_state_soon(fl_image_t *image, int64_t now_ns);

/* Leave the current state if its condition holds. Returns whether it changed. */
bool fl_image_check_state(fl_image_t *image, int64_t now_ns);

/* Take the image out of the dispatch: data no longer reaches it. */
void fl_image_detach(fl_image_t *image, bool cool_down);

/* Number of connections with a frame within the image liveness timeout, into the metadata when it changed. */
void fl_image_update_active_transports(fl_image_t *image, int64_t now_ns);

#endif
