/* The to-driver ring: many producers, one consumer (shm 3).
 *
 * Any client can write anything anywhere in the ring, so the consumer keeps its head to itself, copies a record before
 * anybody looks at it, and checks every length against the ring and the tail. api/records.h has the rest. */
#ifndef FL_SHM_MPSC_RING_H
#define FL_SHM_MPSC_RING_H

#include "api/records.h"
#include "shm/words.h"

/* The consumer's cheap look before a read: is the record at the head committed? */
static inline bool fl_mpsc_ring_is_ready(const fl_mpsc_ring_t *ring)
{
    /* Acquire: pairs with the release in commit. */
    return fl_i32_load_acquire(ring->buffer + (ring->head & (ring->capacity - 1))) > 0;
}

#endif
