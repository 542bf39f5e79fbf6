/* Client commands on their way from the conductor agent to the control plane: a byte ring with one producer and one
 * consumer, in private memory, so that a command that was read cannot change any more. */
#ifndef FL_CONDUCTOR_COMMAND_QUEUE_H
#define FL_CONDUCTOR_COMMAND_QUEUE_H

#include <stdatomic.h>
#include <stdint.h>

#include <framelane/types.h>

#include "shm/mpsc_ring.h"

typedef struct fl_command_queue
{
    uint8_t *buffer;
    int64_t capacity;               /* a power of two, at least four of the longest records */
    _Atomic int64_t tail;           /* producer */
    _Atomic int64_t head;           /* consumer */
} fl_command_queue_t;

/* Make a queue for the records of a ring. Returns 0 or -FL_ENOMEM with error text. */
int fl_command_queue_init(fl_command_queue_t *queue, const fl_mpsc_ring_t *ring);
void fl_command_queue_destroy(fl_command_queue_t *queue);

/* Move what is in the ring to the queue, as far as it fits; what does not fit stays in the ring, where it is safe.
 *
 * examine     called for each record before the control plane sees it; returns 1 if the record is dealt with
 * malformed   out: records that the ring could not make sense of
 * returns     records moved that are left for the control plane; if it is 0 there is nothing to wake it for
 * thread      conductor agent
 */
int fl_command_queue_fill(fl_command_queue_t *queue, fl_mpsc_ring_t *ring,
    int (*examine)(void *state, int32_t type_id, const uint8_t *body, int32_t length), void *state, int32_t *malformed);

/* Take the next command. As fl_driver_next_command. Thread: control. */
int fl_command_queue_take(fl_command_queue_t *queue, int32_t *type_id, uint8_t *into, int32_t capacity);

static inline int fl_command_queue_is_empty(fl_command_queue_t *queue)
{
    return atomic_load_explicit(&queue->tail, memory_order_seq_cst) ==
        atomic_load_explicit(&queue->head, memory_order_relaxed);
}

#endif
