/* ntuple rules: which queue of the device a datagram goes to. */
#ifndef FL_XDP_STEERING_H
#define FL_XDP_STEERING_H

#include <linux/ethtool.h>

#include <framelane/errors.h>

#include "api/xdp.h"

/* Have the device direct a filter's datagrams to a queue. A rule for the same datagrams that is on the device already
 * is somebody else's, and stays: it serves if it leads to this queue, and else the filter is refused.
 *
 * rule     what was inserted, as the device tells of it, for fl_xdp_steering_delete; flow_type 0: nothing was
 * returns  0 or a negative FL_E* with its text; -FL_EEXIST: another rule is in the way */
int fl_xdp_steering_insert(
    int device,
    const char *interface,
    uint32_t queue,
    uint16_t vlan,
    const fl_address_t *address,
    const fl_address_t *source,
    struct ethtool_rx_flow_spec *rule,
    fl_failure_t *error);

/* Delete a rule, if the device still has it as it was; nothing if its flow_type is 0. */
void fl_xdp_steering_delete(int device, const char *interface, const struct ethtool_rx_flow_spec *rule);

#endif
