/* Two ports of one process, joined by rings (net_ring): what one transmits the other receives.
 *
 * The buffers themselves pass from one port to the other, so both take them from one pool, which lives until both are
 * closed. A direction is one ring that every queue of the sending port feeds and queue 0 of the receiving port empties,
 * so that queue 0 carries everything, as it does on a device that cannot steer.
 */
#ifndef FL_DPDK_RING_LINK_H
#define FL_DPDK_RING_LINK_H

#include <stddef.h>
#include <stdint.h>

typedef struct fl_link fl_link_t;
struct rte_mempool;

/* Make one end of the link of this name; the first makes the link.
 *
 * mtu_length, queues, descriptors   both ends must ask for the same
 * ethdev                            set to the port of DPDK
 * returns                           0; -FL_EBUSY if both ends are taken; -FL_EINVAL if the ends differ
 * thread                            control threads; does its own locking
 */
int fl_link_join(
    const char *name,
    uint32_t mtu_length,
    uint32_t queues,
    uint32_t descriptors,
    fl_link_t **link,
    uint16_t *ethdev,
    char *text,
    size_t length);

/* Leave it after the port was closed and its device removed. The last end frees buffers and rings. */
void fl_link_leave(fl_link_t *link, uint16_t ethdev);

struct rte_mempool *fl_link_pool(const fl_link_t *link);

#endif
