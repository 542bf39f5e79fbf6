/* The to-driver ring: many producers, one consumer (shm 3).
 *
 * Any client can write anything anywhere in the ring, so the consumer keeps its head to itself, copies a record before
 * anybody looks at it, and checks every length against the ring and the tail. */
#ifndef FL_SHM_MPSC_RING_H
#define FL_SHM_MPSC_RING_H

#include <stdbool.h>

#include "api/layout.h"
#include "shm/words.h"

typedef struct fl_mpsc_ring
{
    uint8_t *buffer;
    fl_mpsc_ring_trailer_t *trailer;
    int32_t capacity;               /* bytes of records, a power of two */
    int32_t max_message_length;     /* capacity / 8 */
    int64_t head;                   /* consumer: the truth; what the trailer shows is for producers */
} fl_mpsc_ring_t;

/* View a section as a ring.
 *
 * length   of the section: a power of two of at least 4096 bytes, and the trailer
 * returns  0, or -FL_EINVAL with error text
 */
int fl_mpsc_ring_init(fl_mpsc_ring_t *ring, void *section, int64_t length);

/* Claim room for a message (shm 3.2).
 *
 * type_id  1 or more
 * length   bytes of the message, 0 to max_message_length
 * returns  offset of the message in the buffer, which the caller fills before it commits or aborts; -FL_EAGAIN if the
 *          ring is full; -FL_EINVAL
 * thread   any, of any process; does not block
 */
int32_t fl_mpsc_ring_claim(fl_mpsc_ring_t *ring, int32_t type_id, int32_t length);

/* End a claim: hand the message to the consumer, or have it skipped. offset is what claim returned.
 * returns  0, or -FL_EINVAL if there is no open claim at offset */
int fl_mpsc_ring_commit(fl_mpsc_ring_t *ring, int32_t offset);
int fl_mpsc_ring_abort(fl_mpsc_ring_t *ring, int32_t offset);

/* Write a whole message. As claim; returns 0, -FL_EAGAIN or -FL_EINVAL. */
int fl_mpsc_ring_write(fl_mpsc_ring_t *ring, int32_t type_id, const void *message, int32_t length);

/* Move committed records into private memory (shm 3.3).
 *
 * Records are copied to `into` as they stand in the ring: header, message, each aligned to 8 bytes, without padding
 * records. Their lengths are checked: at least 8, at most max_message_length + 8, inside the ring and not beyond the
 * tail; their types are 1 or more. A record of which only the type is wrong is dropped alone. Behind a wrong length
 * nothing says where the next record begins but the tail, so everything up to the tail, or to the end of the ring if
 * that is first, is dropped at once; with a tail that is impossible too, 8 bytes are. Each such event adds 1 to
 * malformed. A record that does not fit `into` stays in the ring.
 *
 * into, capacity   private memory, at least max_message_length + 8 bytes
 * limit            most records to take
 * malformed        out: drops as above
 * returns          bytes in `into`; 0 if there was no record
 * thread           consumer; does not block; reads at most to the end of the ring, so a full drain takes two calls
 */
int32_t fl_mpsc_ring_read(
    fl_mpsc_ring_t *ring, uint8_t *into, int32_t capacity, int32_t limit, int32_t *malformed);

/* Repair the record at the head if its producer died (shm 3.4). To be called when the head did not move for the client
 * liveness timeout although fl_mpsc_ring_is_pending.
 *
 * returns  true if the consumer can go on
 * thread   consumer
 */
bool fl_mpsc_ring_unblock(fl_mpsc_ring_t *ring);

/* Is something claimed behind the head? Consumer only. */
static inline bool fl_mpsc_ring_is_pending(const fl_mpsc_ring_t *ring)
{
    /* Acquire: pairs with the CAS in claim. */
    return fl_i64_load_acquire(&ring->trailer->tail) > ring->head;
}

/* The consumer's cheap look before a read: is the record at the head committed? */
static inline bool fl_mpsc_ring_is_ready(const fl_mpsc_ring_t *ring)
{
    /* Acquire: pairs with the release in commit. */
    return fl_i32_load_acquire(ring->buffer + (ring->head & (ring->capacity - 1))) > 0;
}

/* The one sequence of client ids, command correlation ids and image ids (shm 3.5). Any thread. */
static inline int64_t fl_mpsc_ring_next_correlation_id(fl_mpsc_ring_t *ring)
{
    return fl_i64_fetch_add(&ring->trailer->correlation_counter, 1);
}

/* Epoch ms of the consumer's last sign of life; 0: not started; -1: closed (shm 3.6). */
static inline int64_t fl_mpsc_ring_heartbeat(const fl_mpsc_ring_t *ring)
{
    return fl_i64_load_acquire(&ring->trailer->consumer_heartbeat_ms);
}

static inline void fl_mpsc_ring_set_heartbeat(fl_mpsc_ring_t *ring, int64_t epoch_ms)
{
    /* Release: pairs with the acquire above; a client that sees a heartbeat sees the sections initialised. */
    fl_i64_store_release(&ring->trailer->consumer_heartbeat_ms, epoch_ms);
}

#endif
