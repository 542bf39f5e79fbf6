/* What the control plane asks about one subscriber, of the agent that owns what it reads: a publication or an image. */
#ifndef FL_DRIVER_SUBSCRIBER_CALL_H
#define FL_DRIVER_SUBSCRIBER_CALL_H

#include "driver/subscribers.h"

typedef struct fl_subscriber_call
{
    void *source;                   /* the publication or image */
    int64_t subscription_id;
    _Atomic int64_t *counter;       /* filled by fl_subscribers_link, as what follows: holds the position */
    fl_subscriber_t *larger;        /* NULL if there is room; out: what the control thread frees */
    uint32_t larger_capacity;
} fl_subscriber_call_t;

/* Link a subscriber in one step of the owning agent.
 *
 * step      gets the call; ends in fl_subscribers_append, or returns -FL_EAGAIN if the source takes no subscribers now
 * returns   what the step returned: the join position or -FL_EAGAIN; -FL_EINVAL or -FL_ENOMEM with error text
 * thread    control; count and capacity change on its request alone
 */
int64_t fl_subscribers_link(fl_subscribers_t *subscribers, fl_driver_t *driver, int agent,
    int64_t (*step)(void *call), fl_subscriber_call_t *call, int32_t position_counter_id);

/* Append the subscriber of a call at a position. Its counter holds that before it is one of those who hold the source
 * back: what it held was another's. Returns the position. Thread: the owner's. */
int64_t fl_subscribers_append(fl_subscribers_t *subscribers, fl_subscriber_call_t *call, int64_t position);

#endif
