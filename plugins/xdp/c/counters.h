/* The figures of a queue: written by its thread alone, summed by the control thread for `stats`. */
#ifndef FL_XDP_COUNTERS_H
#define FL_XDP_COUNTERS_H

#include <framelane/figures.h>

enum
{
    FL_RX_FRAMES,
    FL_RX_BYTES,
    FL_RX_INCOMPLETE,    /* frames of several buffers that were longer than the MTU */
    FL_RX_WAKEUPS,       /* system calls to have frames received */
    FL_TX_FRAMES,
    FL_TX_BYTES,
    FL_TX_NOBUFS,        /* buffers that were asked for and not there */
    FL_TX_EAGAIN,        /* kicks after which descriptors were left */
    FL_TX_DROPPED,       /* frames that the device refused for good */
    FL_TX_ERRORS,        /* kicks that failed for another reason */
    FL_KICKS,            /* system calls to have frames sent */
    FL_QUEUE_COUNTERS
};

#endif
