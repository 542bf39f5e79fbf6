/* A ring of records of any length between one producer and one consumer thread.
 *
 * The producer claims, writes and commits one record at a time. The consumer reads ahead of what it gives back: a
 * record that was read stays where it is until fl_byte_ring_release.
 */
#ifndef FL_TRANSPORT_BYTE_RING_H
#define FL_TRANSPORT_BYTE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct fl_byte_ring
{
    uint8_t *memory;
    uint64_t length;             /* a power of two */
    uint64_t claimed;            /* producer: end of the record being written */
    uint64_t read;               /* consumer: start of the next record to read */
    _Atomic uint64_t committed;  /* end of what the consumer may read */
    _Atomic uint64_t released;   /* start of what the producer may not write */
} fl_byte_ring_t;

/* Returns 0 or -FL_ENOMEM. length: bytes, rounded up to a power of two; at least 256 KiB, for records of up to 128
 * KiB. */
int fl_byte_ring_init(fl_byte_ring_t *ring, uint64_t length);
void fl_byte_ring_free(fl_byte_ring_t *ring);

/* Memory for a record of `length` bytes, aligned to 16; NULL: full. A claim that is not committed is forgotten by the
 * next one. Producer. */
void *fl_byte_ring_claim(fl_byte_ring_t *ring, uint32_t length);
void fl_byte_ring_commit(fl_byte_ring_t *ring);

/* The longest record that could be claimed now, 0 if none. Producer. */
uint32_t fl_byte_ring_room(const fl_byte_ring_t *ring);

/* Read the next record; NULL: there is none. Consumer. */
void *fl_byte_ring_read(fl_byte_ring_t *ring);

/* Give back every record that was read. Consumer. */
void fl_byte_ring_release(fl_byte_ring_t *ring);

/* Whether all that was committed was read. Consumer. */
bool fl_byte_ring_is_drained(const fl_byte_ring_t *ring);

/* Everything that was committed before ends here, and whether the consumer read it. */
uint64_t fl_byte_ring_end(const fl_byte_ring_t *ring);
bool fl_byte_ring_has_read(const fl_byte_ring_t *ring, uint64_t end);

#endif
