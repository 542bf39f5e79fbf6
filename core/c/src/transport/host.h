/* What the driver offers to one transport: fl_host_t over the driver's clock, generator, counters and log. */
#ifndef FL_TRANSPORT_HOST_H
#define FL_TRANSPORT_HOST_H

#include "api/transport.h"

#define FL_HOST_LOG_LINES 64               /* capacity of the log's queue; a power of two */
#define FL_HOST_LOG_LINES_PER_SECOND 10
#define FL_HOST_PRIVATE_COUNTERS 256
#define FL_HOST_COUNTERS 1024              /* most counters of one transport */

#endif
