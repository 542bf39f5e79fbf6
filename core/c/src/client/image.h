/* One publication as a client reads it. */
#ifndef FL_CLIENT_IMAGE_H
#define FL_CLIENT_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "api/client.h"
#include "shm/log_buffer.h"

/* Puts the fragments of one message together (shm 7.8). */
typedef struct fl_assembler
{
    uint8_t *buffer;
    size_t capacity;
    size_t length;
    int32_t next_term_offset;       /* where the next fragment must lie; -1: none is expected */
    int64_t reserved_value;         /* of the first fragment */
} fl_assembler_t;

struct fl_client_image
{
    fl_log_t *log;
    int64_t *position;              /* the counter */
    int64_t correlation_id;
    int64_t join_position;
    int64_t read_position;          /* up to here polls have given out */
    int64_t final_position;         /* once closed */
    int64_t final_end_of_stream;
    uint8_t final_is_revoked;
    _Atomic uint32_t is_closed;
    fl_assembler_t assembler;
};

/* Take fragments from `read_position` on. Never crosses a term end. Returns how many. Thread: the subscription's
 * poller. */
uint32_t fl_client_image_read(fl_client_image_t *image, fl_fragment_t *fragments, uint32_t limit, bool assemble);

#endif
