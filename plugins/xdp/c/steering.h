/* ntuple rules: which queue of the device a datagram goes to. */
#ifndef FL_XDP_STEERING_H
#define FL_XDP_STEERING_H

#include <framelane/errors.h>

#include "api/xdp.h"

/* Insert the rule of a filter. A rule for the same datagrams that is there already, such as one of a driver that was
 * killed (rules outlive processes), is replaced if it leads to another queue and adopted if it leads to this one.
 * location is set for fl_xdp_steering_delete. */
int fl_xdp_steering_insert(
    int device,
    const char *interface,
    uint32_t queue,
    uint16_t vlan,
    const fl_address_t *address,
    const fl_address_t *source,
    uint32_t *location,
    fl_failure_t *error);

void fl_xdp_steering_delete(int device, const char *interface, uint32_t location);

#endif
