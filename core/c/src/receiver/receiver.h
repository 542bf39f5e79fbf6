/* The receiver agent: receive endpoints and images (design: data plane, who owns what).
 *
 * What counts as what. Every datagram that reaches a receive endpoint either has its effect or adds one to exactly one
 * drop counter:
 *
 *   DATA, PAD       SHORT, VERSION, TYPE, FRAME_LENGTH, ALIGNMENT: the datagram level of wire 9.1
 *                   NO_INTEREST: no subscription wants the stream or the session
 *                   NO_IMAGE: wanted, but there is no image. Counted also for the datagram that elicits a SETUP and for
 *                   those that find no room to do so, since their data is gone either way
 *                   IMAGE_CLOSED: the image was rejected or revoked, or the data lies behind the end of the stream
 *                   TERM: a term before the initial one
 *                   DATA_FIELDS: the walk over the frames failed
 *                   OVER_RUN, UNDER_RUN: of data and heartbeats, also in system counters 13 and 12
 *                   DUPLICATE: the first frame was there already
 *   SETUP           SHORT ... FRAME_LENGTH, SETUP_FIELDS, NO_INTEREST as above
 *                   SETUP_IGNORED: session limit, cool-down, an image is being made already, no free notice, or
 *                   FL_SETUPS_CAPACITY sessions of the endpoint wait already
 *   RTTM            RTTM_IGNORED: another receiver's, or no image
 *   NAK, SM, ERR,   WRONG_SIDE
 *   RSP_SETUP
 *   RES             TYPE
 *   any             TRUNCATED, before anything else is looked at
 *
 * What fails a check of wire 9.1 also adds to system counter 14. Effects are: bytes inserted, a heartbeat taken (system
 * counter 10), a SETUP passed on or refreshing a connection, a round trip time answered or measured.
 */
#ifndef FL_RECEIVER_RECEIVER_H
#define FL_RECEIVER_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/notice.h"
#include "agent/poll_set.h"
#include "api/images.h"
#include "driver/context.h"
#include "util/timer_wheel.h"

#define FL_RECEIVER_NOTICES 64          /* SETUPs that the control plane has not answered yet, of all endpoints */

/* What one cycle adds to counters that other agents write too. */
typedef struct fl_receiver_sums
{
    int64_t drops[FL_DROPS];
    int64_t invalid;
    int64_t over_runs;
    int64_t under_runs;
    int64_t heartbeats;
    int64_t status_messages;
    int64_t naks;
    int64_t errors_sent;
    int64_t short_sends;
    int64_t gap_fills;
} fl_receiver_sums_t;

typedef struct fl_receiver
{
    fl_driver_context_t *context;
    fl_poll_set_t polls;                    /* of the receiver alone, and those that serve both agents */
    fl_timer_wheel_t wheel;
    fl_notice_pool_t notices;               /* SETUP */
    fl_image_t **active;                    /* images with an open gap or a subscriber behind the rebuild position */
    uint32_t active_count;
    uint32_t active_capacity;
    uint32_t image_count;                   /* changes on the control thread's request alone */
    int64_t next_receiver_id;
    bool has_sums;                          /* something was added to sums */
    fl_receiver_sums_t sums;
} fl_receiver_t;

/* Make the receiver's state; config and counters of the context are in place. Returns 0 or a negative FL_E* with text.
 * Both: control thread, no agent running. */
int fl_receiver_init(fl_receiver_t *receiver, fl_driver_context_t *context);
void fl_receiver_destroy(fl_receiver_t *receiver);

/* One duty cycle: poll and insert, then rebuild, gaps and status messages of the active images, then timers.
 * Returns the work done. */
int fl_receiver_do_work(void *receiver, int64_t now_ns);

/* Whether there is no active image and no timer: then only datagrams and calls bring work. */
bool fl_receiver_is_at_rest(const void *receiver);

/* Put an image on the active list, if it is not there, and take it off. Thread: receiver. */
void fl_receiver_activate(fl_receiver_t *receiver, fl_image_t *image);
void fl_receiver_deactivate(fl_receiver_t *receiver, fl_image_t *image);

static inline void fl_receiver_drop(fl_receiver_t *receiver, int reason)
{
    receiver->sums.drops[reason]++;
    receiver->has_sums = true;
}

/* Drop what fails validation. */
static inline void fl_receiver_drop_invalid(fl_receiver_t *receiver, int reason)
{
    receiver->sums.invalid++;
    fl_receiver_drop(receiver, reason);
}

#endif
