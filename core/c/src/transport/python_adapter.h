/* The adapter of level `python`. Its contract is in api/transport_python.h.
 *
 * Threads: control (open and close of endpoints, by a rendezvous with the Python thread), the one poller (sends into
 * one ring, polls the other), and the Python thread at the rings' other ends.
 */
#ifndef FL_TRANSPORT_PYTHON_ADAPTER_H
#define FL_TRANSPORT_PYTHON_ADAPTER_H

#include "api/transport_python.h"

#define FL_PYTHON_RING_DEFAULT (UINT64_C(1) << 22)
#define FL_PYTHON_RUN_SEGMENTS 64
#define FL_PYTHON_ANSWER_LIMIT_S 5       /* how long control waits for the Python thread */

#endif
