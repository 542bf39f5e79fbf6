/* The figures of a poller: written by its thread alone, summed over pollers by the control thread for `stats`. */
#ifndef FL_SOCKETS_COUNTERS_H
#define FL_SOCKETS_COUNTERS_H

#include <framelane/figures.h>

enum
{
    FL_TX_DATAGRAMS,            /* datagrams that the kernel took */
    FL_TX_SYSCALLS,
    FL_TX_SEGMENTED,            /* of the datagrams: those that the kernel cut from a longer run */
    FL_TX_EAGAIN,               /* sends that ended because there was no room */
    FL_TX_ERRORS,               /* runs not taken whole for another reason */
    FL_TX_SEGMENTATION_REFUSED, /* endpoints that went back to plain datagrams at run time */
    FL_RX_DATAGRAMS,
    FL_RX_SYSCALLS,
    FL_RX_EMPTY,                /* of the receiving calls: those that brought nothing */
    FL_RX_COALESCED,            /* of the datagrams: those that came joined to others */
    FL_RX_TRUNCATED,
    FL_RX_ERRORS,
    FL_ICMP_ERRORS,             /* ICMP errors that a call was repeated for; others pass unseen inside a sendmmsg */
    FL_POLLER_COUNTERS
};

#endif
