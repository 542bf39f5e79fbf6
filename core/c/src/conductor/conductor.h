/* The conductor agent: drains the to-driver ring so that clients never wait for the control plane, keeps the consumer
 * heartbeat, and owns IPC publications. */
#ifndef FL_CONDUCTOR_CONDUCTOR_H
#define FL_CONDUCTOR_CONDUCTOR_H

#include <stdint.h>

#include "driver/context.h"

typedef struct fl_conductor fl_conductor_t;

#endif
