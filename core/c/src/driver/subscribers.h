/* The subscribers linked to one source of data: where each has read to.
 *
 * A subscriber writes its position counter, and can write anything: a value is believed only if it lies between the
 * last believed one and the position up to which there is data, where a frame can begin.
 */
#ifndef FL_DRIVER_SUBSCRIBERS_H
#define FL_DRIVER_SUBSCRIBERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "api/driver.h"
#include "protocol/frames.h"

typedef struct fl_subscriber
{
    int64_t subscription_id;
    int64_t position;                    /* as last believed */
    const _Atomic int64_t *counter;
} fl_subscriber_t;

typedef struct fl_subscribers
{
    fl_subscriber_t *entries;
    uint32_t count;
    uint32_t capacity;
} fl_subscribers_t;

/* Read all positions.
 *
 * limit     no position beyond this is believed
 * lowest    out, and highest: INT64_MAX and INT64_MIN without subscribers
 * thread    the owner's
 */
static inline void fl_subscribers_read(
    fl_subscribers_t *subscribers, int64_t limit, int64_t *lowest, int64_t *highest)
{
    *lowest = INT64_MAX;
    *highest = INT64_MIN;
    for (uint32_t i = 0; i < subscribers->count; i++)
    {
        fl_subscriber_t *subscriber = &subscribers->entries[i];
        /* Acquire: pairs with the release in the client's poll; it has read what lies before, so that may be
         * cleaned. */
        const int64_t position = atomic_load_explicit(subscriber->counter, memory_order_acquire);
        if (position > subscriber->position && position <= limit && 0 == position % FL_FRAME_ALIGNMENT)
        {
            subscriber->position = position;
        }
        *lowest = subscriber->position < *lowest ? subscriber->position : *lowest;
        *highest = subscriber->position > *highest ? subscriber->position : *highest;
    }
}

/* Has a subscriber, as last read, left less than a quarter of the window that lies before a position (shm 9.9)?
 *
 * returns   1 or 0, or -FL_ENOENT if it is not linked
 * thread    the owner's
 */
static inline int fl_subscribers_is_behind(
    const fl_subscribers_t *subscribers, int64_t subscription_id, int64_t position, int64_t window_length)
{
    for (uint32_t i = 0; i < subscribers->count; i++)
    {
        if (subscribers->entries[i].subscription_id == subscription_id)
        {
            return subscribers->entries[i].position <= position - window_length + window_length / 4;
        }
    }
    return -FL_ENOENT;
}

/* Remove a subscriber, keeping no order. Returns 0, or -FL_ENOENT if it is not linked. Thread: the owner's. */
static inline int fl_subscribers_remove(fl_subscribers_t *subscribers, int64_t subscription_id)
{
    for (uint32_t i = 0; i < subscribers->count; i++)
    {
        if (subscribers->entries[i].subscription_id == subscription_id)
        {
            subscribers->entries[i] = subscribers->entries[--subscribers->count];
            return 0;
        }
    }
    return -FL_ENOENT;
}

#endif
