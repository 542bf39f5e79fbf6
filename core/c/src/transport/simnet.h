/* The in-memory network. Its contract is in api/transport_simnet.h.
 *
 * A receiving endpoint owns a ring of bytes, as a socket owns its receive buffer. A run that is sent becomes one record
 * in the ring of each endpoint that it reaches and is polled as one run, as the kernel's GRO would give it.
 */
#ifndef FL_TRANSPORT_SIMNET_H
#define FL_TRANSPORT_SIMNET_H

#include "api/transport_simnet.h"

#define FL_SIMNET_HOST_ADDRESSES 8
#define FL_SIMNET_RUN_SEGMENTS 64
#define FL_SIMNET_BUFFER_DEFAULT (1u << 20)     /* receive and send buffer if none is asked for, bytes */
#define FL_SIMNET_BUFFER_MINIMUM (1u << 18)
#define FL_SIMNET_BUFFER_MAXIMUM (1u << 26)
#define FL_SIMNET_SENDS_IN_FLIGHT 4096          /* most runs of one endpoint under way; a power of two */
#define FL_SIMNET_FIRST_PORT 32768              /* of those given for port 0 */
#define FL_SIMNET_LAST_PORT 60999

#endif
