#include "conductor/command_queue.h"

#include <stdlib.h>
#include <string.h>

#include "util/error.h"

#define FL_COMMAND_PADDING (-1)
#define FL_COMMAND_BATCH 32

typedef struct fl_command_record
{
    int32_t length;      /* header and body, as in the to-driver ring */
    int32_t type_id;
} fl_command_record_t;

int fl_command_queue_init(fl_command_queue_t *queue, const fl_mpsc_ring_t *ring)
{
    queue->capacity = 1024 * 1024;
    while (queue->capacity < 4 * fl_align(ring->max_message_length + (int64_t)sizeof(fl_command_record_t), 8))
    {
        queue->capacity *= 2;
    }
    queue->buffer = malloc((size_t)queue->capacity);
    atomic_init(&queue->head, 0);
    atomic_init(&queue->tail, 0);
    return NULL == queue->buffer ? fl_error(FL_ENOMEM, "no memory for a command queue of %lld bytes",
                                       (long long)queue->capacity)
                                 : 0;
}

void fl_command_queue_destroy(fl_command_queue_t *queue)
{
    free(queue->buffer);
    queue->buffer = NULL;
}

/* Show each record to `examine`. Returns how many are left for the control plane. */
static int fl_command_queue_examine(uint8_t *records, int32_t bytes,
    int (*examine)(void *state, int32_t type_id, const uint8_t *body, int32_t length), void *state)
{
    int count = 0;
    for (int32_t offset = 0; offset < bytes;)
    {
        fl_command_record_t *record = (fl_command_record_t *)(records + offset);
        const int32_t body_length = record->length - (int32_t)sizeof(*record);
        if (examine(state, record->type_id, records + offset + sizeof(*record), body_length))
        {
            record->type_id = FL_COMMAND_PADDING;
        }
        else
        {
            count++;
        }
        offset += (int32_t)fl_align(record->length, 8);
    }
    return count;
}

int fl_command_queue_fill(fl_command_queue_t *queue, fl_mpsc_ring_t *ring,
    int (*examine)(void *state, int32_t type_id, const uint8_t *body, int32_t length), void *state, int32_t *malformed)
{
    const int64_t longest = fl_align(ring->max_message_length + (int64_t)sizeof(fl_command_record_t), 8);
    int64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    /* Acquire: pairs with the release in take(); the consumer is done with those bytes. */
    const int64_t free_bytes = queue->capacity - (tail - atomic_load_explicit(&queue->head, memory_order_acquire));
    int64_t index = tail & (queue->capacity - 1);
    int64_t room = queue->capacity - index;
    *malformed = 0;
    if (room < longest)
    {
        if (free_bytes < room + longest)
        {
            return 0;
        }
        const fl_command_record_t padding = {(int32_t)room, FL_COMMAND_PADDING};
        memcpy(queue->buffer + index, &padding, sizeof(padding));
        tail += room;
        index = 0;
        room = free_bytes - room;
    }
    else if (room > free_bytes)
    {
        room = free_bytes;
    }
    if (room < longest)
    {
        return 0;
    }
    const int32_t bytes = fl_mpsc_ring_read(
        ring, queue->buffer + index, (int32_t)(room < INT32_MAX ? room : INT32_MAX), FL_COMMAND_BATCH, malformed);
    if (bytes <= 0)
    {
        return 0;   /* the padding, if any, is written again next time */
    }
    const int count = fl_command_queue_examine(queue->buffer + index, bytes, examine, state);
    if (0 == count)
    {
        return 0;   /* nothing for the control plane: it is not woken, and the next records come to the same place */
    }
    /* Sequentially consistent, hence also release: pairs with the load in is_empty() behind the control plane's store
     * of `sleeping`, and with the acquire in take(). */
    atomic_store_explicit(&queue->tail, tail + bytes, memory_order_seq_cst);
    return count;
}

int fl_command_queue_take(fl_command_queue_t *queue, int32_t *type_id, uint8_t *into, int32_t capacity)
{
    int64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    const int64_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
    int result = -FL_EAGAIN;
    while (head < tail && -FL_EAGAIN == result)
    {
        const uint8_t *at = queue->buffer + (head & (queue->capacity - 1));
        fl_command_record_t record;
        memcpy(&record, at, sizeof(record));
        head += fl_align(record.length, 8);
        if (FL_COMMAND_PADDING == record.type_id)
        {
            continue;
        }
        *type_id = record.type_id;
        result = record.length - (int32_t)sizeof(record);
        if (result > capacity)
        {
            result = fl_error(FL_EMSGSIZE, "a command of %d bytes does not fit the %d bytes given", result, capacity);
        }
        else
        {
            memcpy(into, at + sizeof(record), (size_t)result);
        }
    }
    /* Release: pairs with the acquire in fill(). */
    atomic_store_explicit(&queue->head, head, memory_order_release);
    return result;
}
