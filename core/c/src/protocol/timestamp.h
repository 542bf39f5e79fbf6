/* Timestamps in data frames (wire 6): nanoseconds since the Unix epoch, put into the frame by the drivers on its way.
 *
 * Where one goes is the byte of the frame at which it begins: that of the reserved value, or in the payload, aligned or
 * not; FL_TIMESTAMP_NOWHERE for none. Nothing in a frame says that it has one.
 */
#ifndef FL_PROTOCOL_TIMESTAMP_H
#define FL_PROTOCOL_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocol/frames.h"

#define FL_TIMESTAMP_NOWHERE 0
#define FL_TIMESTAMP_LENGTH 8

/* Put a timestamp into a frame if it has room for all of it, header and payload of `length` bytes. */
static inline void fl_timestamp_put(uint8_t *frame, uint32_t length, uint32_t at, int64_t time_ns)
{
    if ((uint64_t)at + FL_TIMESTAMP_LENGTH <= length)
    {
        memcpy(frame + at, &time_ns, sizeof(time_ns));
    }
}

#endif
