/* The floor of a device: what `framelane bench frames` measures a transport against. A plugin's floor moves the same
 * datagrams through the same device in a plain loop over the device's own calls, without the driver and its netstack.
 * What a loop is asked for and what it counted stands here; the work on each frame is in floor_work.h, the same for
 * every device, and keeping time in measure.h, the same for the transport too.
 */
#ifndef FRAMELANE_FLOOR_H
#define FRAMELANE_FLOOR_H

#include <stdint.h>

#include <framelane/types.h>

FL_BEGIN_DECLS

#define FL_FLOOR_BATCH_MAXIMUM 512

typedef struct fl_floor_params
{
    uint32_t length;         /* of a datagram's payload, bytes; 0: uniform between min_length and max_length */
    uint32_t min_length;     /* at least 18: no frame has to be padded */
    uint32_t max_length;
    uint32_t seed;           /* of the mixed lengths */
    uint32_t batch;          /* frames given to the device, or taken from it, at once; 1 to FL_FLOOR_BATCH_MAXIMUM */
    uint32_t has_checksums;  /* 1: UDP checksums are computed and verified; 0: neither, and the field is 0 */
    int64_t duration_ns;     /* sending side: how long */
    int64_t idle_ns;         /* receiving side: end this long after the last one, if the sending side has ended */
    int32_t end_fd;          /* receiving side: readable when the sending side has ended */
} fl_floor_params_t;

typedef struct fl_floor_result
{
    uint64_t messages;       /* datagrams: given to the device; or received, verified and copied out */
    uint64_t bytes;          /* of their payload */
    uint64_t system_calls;   /* of the loop itself; 0 where it makes none */
    int64_t elapsed_ns;      /* sending side: from the first that was taken; receiving side: from the first to the
                              * last */
    int64_t cpu_ns;          /* of the process */
} fl_floor_result_t;

FL_END_DECLS

#endif
