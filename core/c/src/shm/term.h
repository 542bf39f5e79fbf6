/* The commit words of a term. api/shm.h has what the driver does inside terms. */
#ifndef FL_SHM_TERM_H
#define FL_SHM_TERM_H

#include "shm/log_buffer.h"

/* The length word of the frame at offset, for readers: 0 nothing yet, negative claimed, positive complete. */
static inline int32_t fl_frame_length_acquire(const uint8_t *term, int32_t offset)
{
    /* Acquire: pairs with the release that completed the frame. */
    return fl_i32_load_acquire(term + offset);
}

static inline void fl_frame_length_release(uint8_t *term, int32_t offset, int32_t length)
{
    /* Release: pairs with the acquire above. Header and payload must be visible before the frame is. */
    fl_i32_store_release(term + offset, length);
}

#endif
