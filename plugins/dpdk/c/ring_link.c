#include "ring_link.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>

#include "device_port.h"

#define FL_LINK_NAME 16
#define FL_LINK_CACHE 256
#define FL_LINK_NOBODY UINT16_MAX

struct fl_link
{
    char name[FL_LINK_NAME];
    uint32_t mtu_length;
    uint32_t queues;
    uint32_t descriptors;
    uint16_t ends[2];                        /* ethdevs; FL_LINK_NOBODY */
    struct rte_ring *rings[2];               /* from end 0 to end 1, and back */
    struct rte_ring *idle[2 * FL_MAX_QUEUES];   /* that further queues receive from: always empty */
    struct rte_mempool *pool;
    fl_link_t *next;
};

static pthread_mutex_t fl_links_mutex = PTHREAD_MUTEX_INITIALIZER;
static fl_link_t *fl_links;

typedef int (*fl_from_rings_t)(
    const char *, struct rte_ring *const[], unsigned, struct rte_ring *const[], unsigned, unsigned);

/* DPDK loads its drivers itself, with names that only the library shows; linking to one would load it twice where its
 * file has two paths. */
static fl_from_rings_t fl_link_from_rings(void)
{
    char file[64];
    snprintf(file, sizeof(file), "librte_net_ring.so.%d", FL_DPDK_ABI_MAJOR);
    void *library = dlopen(file, RTLD_NOW | RTLD_NOLOAD);
    void *symbol = NULL == library ? dlsym(RTLD_DEFAULT, "rte_eth_from_rings") : dlsym(library, "rte_eth_from_rings");
    fl_from_rings_t function;
    memcpy(&function, &symbol, sizeof(function));
    return function;
}

struct rte_mempool *fl_link_pool(const fl_link_t *link)
{
    return link->pool;
}

static void fl_ring_drain(struct rte_ring *ring)
{
    void *mbuf = NULL;
    while (0 == rte_ring_dequeue(ring, &mbuf))
    {
        rte_pktmbuf_free(mbuf);
    }
}

static void fl_link_free(fl_link_t *link)
{
    for (int i = 0; i < 2; i++)
    {
        if (NULL != link->rings[i])
        {
            fl_ring_drain(link->rings[i]);
        }
        rte_ring_free(link->rings[i]);
    }
    for (uint32_t i = 0; i < 2 * FL_MAX_QUEUES; i++)
    {
        rte_ring_free(link->idle[i]);
    }
    rte_mempool_free(link->pool);
    free(link);
}

static struct rte_ring *fl_link_ring(
    const fl_link_t *link, const char *kind, uint32_t number, uint32_t count, bool many)
{
    char name[RTE_RING_NAMESIZE];
    snprintf(name, sizeof(name), "fl_%.12s_%s%u", link->name, kind, number % 100);
    return rte_ring_create(name, count, SOCKET_ID_ANY, (many ? 0 : RING_F_SP_ENQ) | RING_F_SC_DEQ);
}

static fl_link_t *fl_link_create(
    const char *name, uint32_t mtu_length, uint32_t queues, uint32_t descriptors, char *text, size_t length)
{
    fl_link_t *link = calloc(1, sizeof(*link));
    if (NULL == link)
    {
        snprintf(text, length, "no memory for link %s", name);
        return NULL;
    }
    snprintf(link->name, sizeof(link->name), "%s", name);
    link->mtu_length = mtu_length;
    link->queues = queues;
    link->descriptors = rte_align32pow2(descriptors);
    link->ends[0] = link->ends[1] = FL_LINK_NOBODY;
    bool is_whole = true;
    for (uint32_t i = 0; i < 2; i++)
    {
        link->rings[i] = fl_link_ring(link, "way", i, link->descriptors, queues > 1);
        is_whole = is_whole && NULL != link->rings[i];
    }
    for (uint32_t i = 0; i < 2 * (queues - 1); i++)
    {
        link->idle[i] = fl_link_ring(link, "idle", i, 2, false);
        is_whole = is_whole && NULL != link->idle[i];
    }
    char pool[RTE_MEMPOOL_NAMESIZE];
    snprintf(pool, sizeof(pool), "fl_%s", name);
    const uint32_t held = FL_MAX_HOLD + FL_BURST + FL_MAX_TX_BURST * 2 + FL_LINK_CACHE * 3 / 2;
    link->pool = fl_pools_make(
        pool, 2 * (link->descriptors + queues * held), FL_LINK_CACHE, fl_pools_room(mtu_length), SOCKET_ID_ANY);
    if (!is_whole || NULL == link->pool)
    {
        snprintf(
            text, length, "rings and buffers of link %s: %s; give DPDK more memory (memory = MiB)", name,
            rte_strerror(rte_errno));
        fl_link_free(link);
        return NULL;
    }
    return link;
}

/* Make the ethdev of one end. Returns its number, or a negative errno. */
static int fl_link_make_end(fl_link_t *link, int end, char *text, size_t length)
{
    const fl_from_rings_t from_rings = fl_link_from_rings();
    if (NULL == from_rings)
    {
        return fl_text_error(
            text, length, FL_ENOENT, "DPDK has not loaded its net_ring driver (librte_net_ring.so.%d)",
            FL_DPDK_ABI_MAJOR);
    }
    struct rte_ring *receive[FL_MAX_QUEUES];
    struct rte_ring *transmit[FL_MAX_QUEUES];
    for (uint32_t i = 0; i < link->queues; i++)
    {
        receive[i] = 0 == i ? link->rings[1 - end] : link->idle[(uint32_t)end * (link->queues - 1) + i - 1];
        transmit[i] = link->rings[end];
    }
    char name[32];
    snprintf(name, sizeof(name), "%s_%d", link->name, end);
    const int node = rte_socket_id_by_idx(0);
    const int port = from_rings(name, receive, link->queues, transmit, link->queues, node < 0 ? 0 : (unsigned)node);
    if (port < 0)
    {
        return fl_text_error(text, length, FL_EIO, "port of link %s: %s", link->name, rte_strerror(rte_errno));
    }
    return port;
}

static fl_link_t *fl_link_find(const char *name)
{
    fl_link_t *link = fl_links;
    while (NULL != link && 0 != strcmp(link->name, name))
    {
        link = link->next;
    }
    return link;
}

/* Forget a link that nobody is at. */
static void fl_link_drop_if_empty(fl_link_t *link)
{
    if (FL_LINK_NOBODY != link->ends[0] || FL_LINK_NOBODY != link->ends[1])
    {
        return;
    }
    fl_link_t **place = &fl_links;
    while (*place != link)
    {
        place = &(*place)->next;
    }
    *place = link->next;
    fl_link_free(link);
}

int fl_link_join(
    const char *name,
    uint32_t mtu_length,
    uint32_t queues,
    uint32_t descriptors,
    fl_link_t **joined,
    uint16_t *ethdev,
    char *text,
    size_t length)
{
    int code = 0;
    pthread_mutex_lock(&fl_links_mutex);
    fl_link_t *link = fl_link_find(name);
    if (NULL == link)
    {
        link = fl_link_create(name, mtu_length, queues, descriptors, text, length);
        if (NULL == link)
        {
            code = -FL_ENOMEM;
            goto out;
        }
        link->next = fl_links;
        fl_links = link;
    }
    const int end = FL_LINK_NOBODY == link->ends[0] ? 0 : 1;
    if (FL_LINK_NOBODY != link->ends[end])
    {
        snprintf(text, length, "link %s has two ends, and both are in use", name);
        code = -FL_EBUSY;
        goto out;
    }
    if (link->mtu_length != mtu_length || link->queues != queues || link->descriptors != rte_align32pow2(descriptors))
    {
        snprintf(
            text, length,
            "link %s: this end asks for MTU %u, %u queues, %u descriptors; the other has %u, %u, %u", name,
            mtu_length, queues, descriptors, link->mtu_length, link->queues, link->descriptors);
        code = -FL_EINVAL;
        goto out;
    }
    code = fl_link_make_end(link, end, text, length);
    if (code < 0)
    {
        fl_link_drop_if_empty(link);
        goto out;
    }
    link->ends[end] = (uint16_t)code;
    *ethdev = (uint16_t)code;
    *joined = link;
    code = 0;
out:
    pthread_mutex_unlock(&fl_links_mutex);
    return code;
}

void fl_link_leave(fl_link_t *link, uint16_t ethdev)
{
    pthread_mutex_lock(&fl_links_mutex);
    const int end = link->ends[0] == ethdev ? 0 : 1;
    link->ends[end] = FL_LINK_NOBODY;
    fl_ring_drain(link->rings[1 - end]);   /* what came for this end; nobody else takes from that ring */
    fl_link_drop_if_empty(link);
    pthread_mutex_unlock(&fl_links_mutex);
}
