/* The packet buffers of a port: one pool a queue and direction, made at start and freed at close, because a device may
 * keep buffers until then. */
#include "device_port.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>

#include "ring_link.h"

#define FL_CACHE 256
#define FL_CACHE_SLACK (FL_CACHE * 3 / 2)   /* a cache holds up to half as much more before it is emptied */

/* Some devices count the length of a receive buffer in units of this; some want a little more than a frame. */
#define FL_BUFFER_UNIT 1024
#define FL_BUFFER_SLACK 128

uint16_t fl_pools_room(uint32_t mtu_length)
{
    const uint32_t frame = mtu_length + FL_L2_LENGTH + (FL_TX_OFFSET - RTE_PKTMBUF_HEADROOM) + FL_BUFFER_SLACK;
    const uint32_t room = (frame + FL_BUFFER_UNIT - 1) / FL_BUFFER_UNIT * FL_BUFFER_UNIT;
    return (uint16_t)(RTE_PKTMBUF_HEADROOM + (room < RTE_MBUF_DEFAULT_DATAROOM ? RTE_MBUF_DEFAULT_DATAROOM : room));
}

static void fl_pool_memory_free(struct rte_mempool_memhdr *memory, void *zone)
{
    (void)memory;
    rte_memzone_free(zone);
}

/* One piece of memory for the whole pool, where devices use virtual addresses and so see what is contiguous as that.
 * The default would, on plain pages, give each buffer a page of its own, and AF_XDP relies on buffers without gaps
 * between them. The flag alone would do for that, but leaves the buffers without an address for devices.
 * Returns the count of buffers, or a negative errno. */
static int fl_pool_populate_whole(struct rte_mempool *pool)
{
    pool->flags |= RTE_MEMPOOL_F_NO_IOVA_CONTIG;
    size_t least;
    size_t alignment;
    const ssize_t length = rte_mempool_op_calc_mem_size_default(pool, pool->size, 0, &least, &alignment);
    char name[RTE_MEMZONE_NAMESIZE];
    snprintf(name, sizeof(name), RTE_MEMPOOL_MZ_FORMAT "_0", pool->name);
    const struct rte_memzone *zone =
        length < 0 ? NULL : rte_memzone_reserve_aligned(name, (size_t)length, pool->socket_id, 0, (unsigned)alignment);
    const int code = NULL == zone
        ? -ENOMEM
        : rte_mempool_populate_iova(
              pool, zone->addr, (rte_iova_t)(uintptr_t)zone->addr, zone->len, fl_pool_memory_free,
              (void *)(uintptr_t)zone);
    if (code <= 0)
    {
        rte_memzone_free(zone);
        pool->flags &= ~(unsigned)RTE_MEMPOOL_F_NO_IOVA_CONTIG;   /* as it was, for whoever fills it in pieces */
        return -ENOMEM;
    }
    pool->flags &= ~(unsigned)RTE_MEMPOOL_F_NON_IO;   /* set with the flag above, but these have an address */
    return code;
}

struct rte_mempool *fl_pools_make(const char *name, uint32_t count, uint32_t cache, uint16_t room, int node)
{
    const struct rte_pktmbuf_pool_private sizes = {.mbuf_data_room_size = room};
    struct rte_mempool *pool = rte_mempool_create_empty(
        name, count, (unsigned)sizeof(struct rte_mbuf) + room, cache, sizeof(sizes), node, 0);
    if (NULL == pool)
    {
        return NULL;
    }
    if (0 != rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL))
    {
        rte_mempool_free(pool);
        rte_errno = ENOTSUP;
        return NULL;
    }
    rte_pktmbuf_pool_init(pool, (void *)(uintptr_t)&sizes);
    int code = RTE_IOVA_VA == rte_eal_iova_mode() ? fl_pool_populate_whole(pool) : -ENOMEM;
    if (code < 0)
    {
        code = rte_mempool_populate_default(pool);   /* in pieces */
    }
    if (code < 0)
    {
        rte_mempool_free(pool);
        rte_errno = -code;
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

static struct rte_mempool *fl_pool_create(
    const fl_port_t *port, const char *kind, uint32_t queue, uint32_t count, uint16_t room, char *text, size_t length)
{
    static _Atomic uint32_t number;
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(
        name, sizeof(name), "fl_%u_%s%u", atomic_fetch_add_explicit(&number, 1, memory_order_relaxed), kind, queue);
    struct rte_mempool *pool = fl_pools_make(name, count, FL_CACHE, room, port->node);
    if (NULL == pool)
    {
        snprintf(
            text, length, "%u packet buffers of %u bytes for queue %u: %s; give DPDK more memory (memory = MiB), or "
            "lower rx_queue_size and tx_queue_size", count, room, queue, rte_strerror(rte_errno));
    }
    return pool;
}

static int fl_queue_pools_create(fl_port_t *port, fl_queue_t *queue, char *text, size_t length)
{
    const uint16_t room = fl_pools_room(port->mtu_length);
    if (NULL != port->link)
    {
        queue->rx_pool = queue->tx_pool = fl_link_pool(port->link);
        return 0;
    }
    if (NULL == queue->rx_pool)
    {
        const uint32_t count = port->rx_descriptors + FL_MAX_HOLD + FL_BURST + FL_CACHE_SLACK;
        queue->rx_pool = fl_pool_create(port, "rx", queue->id, count, room, text, length);
    }
    if (NULL != queue->rx_pool && NULL == queue->tx_pool)
    {
        const uint32_t count = port->tx_descriptors + FL_MAX_TX_BURST * 2 + FL_CACHE_SLACK;
        queue->tx_pool = fl_pool_create(port, "tx", queue->id, count, room, text, length);
    }
    return NULL == queue->rx_pool || NULL == queue->tx_pool ? -FL_ENOMEM : 0;
}

static int fl_queue_payloads_create(fl_port_t *port, fl_queue_t *queue, char *text, size_t length)
{
    if (NULL == queue->payload_pool)
    {
        queue->payload_pool = fl_pool_create(port, "pl", queue->id, FL_PAYLOADS + FL_CACHE_SLACK, 0, text, length);
    }
    if (NULL == queue->payloads)
    {
        queue->payloads = calloc(FL_PAYLOADS, sizeof(*queue->payloads));
    }
    return NULL == queue->payload_pool || NULL == queue->payloads ? -FL_ENOMEM : 0;
}

int fl_pools_create(fl_port_t *port, char *text, size_t length)
{
    int code = 0;
    for (uint32_t i = 0; i < port->queue_count && 0 == code; i++)
    {
        fl_queue_t *queue = &port->queues[i];
        code = fl_queue_pools_create(port, queue, text, length);
        if (0 == code && 0 != port->settings.zero_copy_tx)
        {
            code = fl_queue_payloads_create(port, queue, text, length);
        }
    }
    return code;
}

void fl_pools_free(fl_port_t *port)
{
    for (uint32_t i = 0; i < FL_MAX_QUEUES; i++)
    {
        fl_queue_t *queue = &port->queues[i];
        if (NULL == port->link)
        {
            rte_mempool_free(queue->rx_pool);
            rte_mempool_free(queue->tx_pool);
        }
        rte_mempool_free(queue->payload_pool);
        free(queue->payloads);
        queue->rx_pool = queue->tx_pool = queue->payload_pool = NULL;
        queue->payloads = NULL;
    }
}

uint32_t fl_pools_available(const fl_port_t *port)
{
    uint32_t available = 0;
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        const fl_queue_t *queue = &port->queues[i];
        available += NULL == queue->tx_pool ? 0 : rte_mempool_avail_count(queue->tx_pool);
        available += NULL == queue->rx_pool || queue->rx_pool == queue->tx_pool
            ? 0
            : rte_mempool_avail_count(queue->rx_pool);
    }
    return available;
}

typedef struct fl_buffer_count
{
    uint32_t pools;
    uint32_t buffers;
    uint32_t used;
    uint32_t unreachable;
} fl_buffer_count_t;

static void fl_buffer_check(struct rte_mempool *pool, void *argument, void *object, unsigned index)
{
    (void)pool;
    (void)index;
    fl_buffer_count_t *count = argument;
    const struct rte_mbuf *mbuf = object;
    count->unreachable += rte_mem_virt2iova(mbuf->buf_addr) != rte_mbuf_iova_get(mbuf);
}

static void fl_buffers_count(struct rte_mempool *pool, void *argument)
{
    fl_buffer_count_t *count = argument;
    count->pools++;
    count->buffers += pool->size;
    count->used += rte_mempool_in_use_count(pool);
    rte_mempool_obj_iter(pool, fl_buffer_check, count);
}

void fl_dpdk_buffers(uint32_t *pools, uint32_t *buffers, uint32_t *used, uint32_t *unreachable)
{
    fl_buffer_count_t count = {0};
    if (fl_dpdk_eal_is_started())
    {
        rte_mempool_walk(fl_buffers_count, &count);
    }
    *pools = count.pools;
    *buffers = count.buffers;
    *used = count.used;
    *unreachable = count.unreachable;
}
