/* The wrapper that writes a pcap file. Its contract is in api/transport_capture.h.
 *
 * A poller copies each run once into its own ring; whoever holds the capture's lock (its writer thread, or control in
 * flush and poller_close) cuts runs into datagrams and writes them. Pollers take no lock.
 */
#ifndef FL_TRANSPORT_WRAP_CAPTURE_H
#define FL_TRANSPORT_WRAP_CAPTURE_H

#include "api/transport_capture.h"

#define FL_CAPTURE_RING_DEFAULT (UINT64_C(1) << 23)
#define FL_CAPTURE_BATCH 64                 /* runs taken from the wrapped transport at once */
#define FL_CAPTURE_INTERVAL_NS 2000000      /* between two looks of the writer into the rings */

#endif
