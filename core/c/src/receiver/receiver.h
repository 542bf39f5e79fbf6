/* The receiver agent: receive endpoints and images (design: data plane, who owns what). */
#ifndef FL_RECEIVER_RECEIVER_H
#define FL_RECEIVER_RECEIVER_H

#include <stdint.h>

#include "agent/notice.h"
#include "agent/poll_set.h"
#include "driver/context.h"
#include "util/timer_wheel.h"

typedef struct fl_receiver
{
    fl_driver_context_t *context;
    fl_poll_set_t polls;                    /* of the receiver alone, and those that serve both agents */
    fl_timer_wheel_t wheel;
    fl_notice_pool_t notices;               /* SETUP */
    fl_image_t **active;                    /* images with an open gap or a subscriber behind the rebuild position */
    uint32_t active_count;
    uint32_t active_capacity;
    int64_t next_receiver_id;
} fl_receiver_t;

/* Make the receiver's state; config and counters of the context are in place. Returns 0 or a negative FL_E* with text. */
int fl_receiver_init(fl_receiver_t *receiver, fl_driver_context_t *context);
void fl_receiver_destroy(fl_receiver_t *receiver);

/* One duty cycle: poll and insert, then rebuild, gaps and status messages of the active images, then timers.
 * Returns the work done. */
int fl_receiver_do_work(void *receiver, int64_t now_ns);

#endif
