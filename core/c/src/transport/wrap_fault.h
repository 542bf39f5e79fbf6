/* The wrapper that treats datagrams badly. Its contract is in api/transport_fault.h.
 *
 * A datagram to which nothing happens stays in the run that it came in and is not copied; runs are cut only where
 * something happens to one of their datagrams. All else goes through a datagram store: of the endpoint for sending, of
 * the poller for receiving.
 */
#ifndef FL_TRANSPORT_WRAP_FAULT_H
#define FL_TRANSPORT_WRAP_FAULT_H

#include "api/transport_fault.h"

#define FL_FAULT_BATCH 64                        /* runs taken from the wrapped transport at once */
#define FL_FAULT_REORDER_PASSES 8                /* most datagrams that pass one that is held back */
#define FL_FAULT_REORDER_LIMIT_NS 1000000
#define FL_FAULT_DELAY_MAXIMUM_NS 10000000000

#endif
