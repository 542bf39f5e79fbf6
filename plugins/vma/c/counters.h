/* The figures of a poller: written by its thread alone, summed over pollers by the control thread for `stats`. */
#ifndef FL_VMA_COUNTERS_H
#define FL_VMA_COUNTERS_H

#include <framelane/figures.h>

enum
{
    FL_TX_DATAGRAMS,         /* datagrams that VMA took */
    FL_TX_EAGAIN,            /* sends that ended because there was no room */
    FL_TX_ERRORS,            /* runs not taken whole for another reason */
    FL_RX_DATAGRAMS,
    FL_RX_ZERO_COPY_BYTES,   /* of them: bytes that the driver read in VMA's memory */
    FL_RX_DATA_COPY_BYTES,   /* bytes that were copied: by VMA, or here because they came in pieces */
    FL_RX_GATHERED,          /* datagrams that came in pieces */
    FL_RX_HELD,              /* packets of VMA that are not given back yet */
    FL_RX_NOT_FREED,         /* packets that VMA did not take back */
    FL_RX_DISCARD,           /* datagrams of others at a connected endpoint */
    FL_RX_TRUNCATED,
    FL_RX_ERRORS,
    FL_ICMP_ERRORS,          /* ICMP errors that a call was repeated for */
    FL_POLLER_COUNTERS
};

#endif
