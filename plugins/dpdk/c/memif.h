/* What net_memif needs beside the gate: its peer leaves when it likes, and DPDK's interrupt thread then unmaps the
 * memory that a burst may be reading.
 *
 * A burst of net_memif looks once, at its beginning, whether the device is connected; the interrupt thread takes that
 * mark away, closes the queues' descriptors and unmaps the memory without waiting for a burst under way (so in DPDK
 * 21.11 to 26.07). Here it waits: the close() and munmap() that net_memif calls are replaced, in the table of what that
 * library imports, by ones that first wait until every queue of a memif has left the burst it was in. A burst that
 * begins later finds the device disconnected and touches nothing.
 */
#ifndef FL_DPDK_MEMIF_H
#define FL_DPDK_MEMIF_H

#include "device_port.h"

/* Have net_memif wait for bursts, from the first call on. Returns 0, or -FL_ENOTSUP with text if the library is not
 * found or imports neither function, as where DPDK is linked statically. Control thread. */
int fl_memif_guard(char *text, size_t length);

/* Around each call of DPDK that may touch the peer's memory. Queue's thread. */
static inline void fl_memif_burst_begin(fl_queue_t *queue)
{
    if (queue->is_memif)
    {
        /* Sequentially consistent, with the fence in fl_memif_wait: either the burst sees the device disconnected, or
         * the interrupt thread sees the burst. */
        atomic_store_explicit(&queue->bursts, ++queue->burst, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
    }
}

static inline void fl_memif_burst_end(fl_queue_t *queue)
{
    if (queue->is_memif)
    {
        /* Release: pairs with the acquire in fl_memif_wait. What the burst read of the memory comes before. */
        atomic_store_explicit(&queue->bursts, ++queue->burst, memory_order_release);
    }
}

#endif
