/* The figures of a queue: written by its thread alone, summed over queues by the control thread for `stats`. */
#ifndef FL_DPDK_COUNTERS_H
#define FL_DPDK_COUNTERS_H

#include <framelane/figures.h>

enum
{
    FL_TX_PKTS,
    FL_TX_BYTES,
    FL_TX_NOBUFS,        /* transmit buffers asked for and not there */
    FL_TX_EAGAIN,        /* frames that found the device's ring full */
    FL_TX_ERROR,         /* frames dropped because the device cannot send such */
    FL_RX_PKTS,
    FL_RX_BYTES,
    FL_RX_JOINED,        /* frames that came in parts and were copied into one piece */
    FL_RX_ERROR,         /* frames dropped because their parts do not fit into one buffer */
    FL_QUEUE_COUNTERS
};

#endif
