/* The to-clients broadcast: one transmitter, many receivers, no flow control (shm 4). */
#ifndef FL_SHM_BROADCAST_H
#define FL_SHM_BROADCAST_H

#include "api/layout.h"
#include "shm/words.h"

typedef struct fl_broadcast_transmitter
{
    uint8_t *buffer;
    fl_broadcast_trailer_t *trailer;
    int32_t capacity;
    int32_t max_message_length;     /* capacity / 8 */
    int64_t tail;                   /* the truth; the trailer's is for receivers */
} fl_broadcast_transmitter_t;

typedef struct fl_broadcast_receiver
{
    const uint8_t *buffer;
    const fl_broadcast_trailer_t *trailer;
    int32_t capacity;
    int32_t max_message_length;
    int64_t next;                   /* position of the record that the next receive looks at */
    int64_t lapped_count;
} fl_broadcast_receiver_t;

/* View a section as a broadcast. length: a power of two of at least 4096 bytes, and the trailer. The receiver begins
 * with the latest record, which it so sees once more. Returns 0, or -FL_EINVAL with error text. */
int fl_broadcast_transmitter_init(fl_broadcast_transmitter_t *transmitter, void *section, int64_t length);
int fl_broadcast_receiver_init(fl_broadcast_receiver_t *receiver, const void *section, int64_t length);

/* Transmit one event. type_id 1 or more; length 0 to max_message_length. Returns 0 or -FL_EINVAL. One thread. */
int fl_broadcast_transmit(
    fl_broadcast_transmitter_t *transmitter, int32_t type_id, const void *message, int32_t length);

/* Take the next event into private memory: copied first, then found valid.
 *
 * into      at least max_message_length bytes
 * returns   length of the message; -FL_EAGAIN: none; -FL_ENOBUFS: events were lost because this receiver was too slow,
 *           and the next call goes on behind the latest one; -FL_EIO: the record is corrupt and the receiver goes on
 *           as if it had been too slow
 * thread    the receiver's own
 */
int32_t fl_broadcast_receive(fl_broadcast_receiver_t *receiver, int32_t *type_id, void *into);

#endif
