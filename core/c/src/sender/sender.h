/* The sender agent: UDP publications and send endpoints (design: data plane, who owns what). */
#ifndef FL_SENDER_SENDER_H
#define FL_SENDER_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/notice.h"
#include "agent/poll_set.h"
#include "api/publications.h"
#include "driver/context.h"
#include "util/timer_wheel.h"

/* What one cycle adds to the system counters. */
typedef struct fl_sender_cycle
{
    int64_t bytes_sent;
    int64_t bytes_received;
    int64_t short_sends;
} fl_sender_cycle_t;

typedef struct fl_sender
{
    fl_driver_context_t *context;
    fl_poll_set_t polls;                    /* of transports with a queue for the sender alone */
    fl_timer_wheel_t wheel;
    fl_notice_pool_t notices;               /* PUBLICATION_ERROR and RESPONSE_SETUP */
    fl_publication_t **publications;        /* dense; visited once a cycle from a rotating start */
    uint32_t publication_count;
    uint32_t publication_capacity;
    uint32_t start_index;
    uint32_t cycles_since_poll;
    int64_t time_of_last_poll_ns;
    int32_t run_length;                     /* most bytes a publication sends in one cycle */
    fl_sender_cycle_t cycle;
} fl_sender_t;

/* Make the sender's state; config and counters of the context are in place. Returns 0 or a negative FL_E* with text. */
int fl_sender_init(fl_sender_t *sender, fl_driver_context_t *context);
void fl_sender_destroy(fl_sender_t *sender);

/* One duty cycle: send what publications have, poll for control frames when it is time, fire timers (wire 3.2).
 * Returns the work done. */
int fl_sender_do_work(void *sender, int64_t now_ns);

/* Whether there is no publication to look at and no timer: then only datagrams and calls bring work. */
bool fl_sender_is_at_rest(const void *sender);

#endif
