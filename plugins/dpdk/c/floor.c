/* The floor of DPDK: bursts of a device's queue 0 and nothing else. Nothing of the port is used here, so that nothing
 * of it can slow both sides of the comparison. */
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <framelane/floor_work.h>

#include "api/floor.h"
#include "compat.h"
#include "eal.h"

#define FL_FLOOR_DESCRIPTORS 1024
#define FL_FLOOR_CACHE 512
#define FL_FLOOR_BUFFERS (4 * FL_FLOOR_DESCRIPTORS + 4 * FL_FLOOR_CACHE)
#define FL_FLOOR_WAIT_NS INT64_C(20000000000)         /* for the other end */
#define FL_FLOOR_LINK_MS 500
#define FL_FLOOR_OFFSET (RTE_PKTMBUF_HEADROOM + 22)   /* of a frame in its buffer: payload begins on a multiple of 64 */

struct fl_dpdk_floor
{
    uint16_t ethdev;
    bool is_started;
    bool is_client;
    bool is_ring;
    struct rte_mempool *pool;
};

static struct rte_mempool *fl_floor_pool(const char *name)
{
    return rte_pktmbuf_pool_create(
        name, FL_FLOOR_BUFFERS, FL_FLOOR_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
}

static struct rte_ring *fl_floor_ring(const char *name, uint32_t from)
{
    char full[RTE_RING_NAMESIZE];
    snprintf(full, sizeof(full), "%s_from%u", name, from);
    struct rte_ring *ring = rte_ring_lookup(full);
    return NULL != ring
        ? ring
        : rte_ring_create(full, FL_FLOOR_DESCRIPTORS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

/* One end of a pair of rings. Rings and buffers stay for the next pair of this name, until the process ends. */
static int fl_floor_open_ring(fl_dpdk_floor_t *floor, const char *name, uint32_t end)
{
    char file[64];
    char device[32];
    snprintf(file, sizeof(file), "librte_net_ring.so.%d", FL_DPDK_ABI_MAJOR);
    snprintf(device, sizeof(device), "%s_%u", name, end);
    void *library = dlopen(file, RTLD_NOW | RTLD_NOLOAD);
    void *symbol = dlsym(NULL == library ? RTLD_DEFAULT : library, "rte_eth_from_rings");
    int (*from_rings)(const char *, struct rte_ring *const[], unsigned, struct rte_ring *const[], unsigned, unsigned);
    memcpy(&from_rings, &symbol, sizeof(from_rings));
    struct rte_ring *mine = fl_floor_ring(name, end);
    struct rte_ring *others = fl_floor_ring(name, 1 - end);
    floor->is_ring = true;
    floor->pool = rte_mempool_lookup(name);
    floor->pool = NULL != floor->pool ? floor->pool : fl_floor_pool(name);
    if (NULL == from_rings || NULL == mine || NULL == others || NULL == floor->pool)
    {
        return NULL == from_rings ? ENOENT : ENOMEM;
    }
    const int port = from_rings(device, &others, 1, &mine, 1, 0);
    floor->ethdev = (uint16_t)port;
    return port < 0 ? rte_errno : 0;
}

static int fl_floor_open_device(fl_dpdk_floor_t *floor, const char *name, const char *devargs)
{
    int code = -rte_dev_probe(devargs);
    code = 0 != code ? code : -rte_eth_dev_get_port_by_name(name, &floor->ethdev);
    if (0 == code)
    {
        floor->pool = fl_floor_pool(name);
        code = NULL == floor->pool ? rte_errno : 0;
    }
    return code;
}

static int fl_floor_configure(fl_dpdk_floor_t *floor)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf;
    memset(&conf, 0, sizeof(conf));
    uint16_t receive = FL_FLOOR_DESCRIPTORS;
    uint16_t transmit = FL_FLOOR_DESCRIPTORS;
    int code = rte_eth_dev_info_get(floor->ethdev, &info);
    conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    code = 0 != code ? code : rte_eth_dev_configure(floor->ethdev, 1, 1, &conf);
    code = 0 != code ? code : rte_eth_dev_adjust_nb_rx_tx_desc(floor->ethdev, &receive, &transmit);
    code = 0 != code ? code : rte_eth_rx_queue_setup(floor->ethdev, 0, receive, 0, NULL, floor->pool);
    return -(0 != code ? code : rte_eth_tx_queue_setup(floor->ethdev, 0, transmit, 0, NULL));
}

int fl_dpdk_floor_open(
    const char *name, const char *devargs, uint32_t end, char *text, size_t length, fl_dpdk_floor_t **opened)
{
    fl_dpdk_floor_t *floor = calloc(1, sizeof(*floor));
    if (NULL == floor)
    {
        snprintf(text, length, "floor: no memory for its struct");
        return -ENOMEM;
    }
    /* Threads that a driver of DPDK starts here take no signal. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    floor->ethdev = RTE_MAX_ETHPORTS;
    floor->is_client = NULL != strstr(devargs, "role=client");
    fl_eal_forget_words();
    int code = '\0' == devargs[0] ? fl_floor_open_ring(floor, name, end) : fl_floor_open_device(floor, name, devargs);
    code = 0 != code ? code : fl_floor_configure(floor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (0 != code)
    {
        char what[384];
        snprintf(
            what, sizeof(what), "floor: DPDK does not open %.256s: %s", '\0' == devargs[0] ? name : devargs,
            rte_strerror(code));
        fl_eal_describe(text, length, what);
        fl_dpdk_floor_close(floor);
        return -code;
    }
    *opened = floor;
    return 0;
}

void fl_dpdk_floor_close(fl_dpdk_floor_t *floor)
{
    if (rte_eth_dev_is_valid_port(floor->ethdev))
    {
        struct rte_eth_dev_info info;
        const bool is_known = 0 == rte_eth_dev_info_get(floor->ethdev, &info);
        struct rte_mbuf *left[64];
        uint16_t count = 0;
        while (floor->is_ring && floor->is_started && (count = rte_eth_rx_burst(floor->ethdev, 0, left, 64)) > 0)
        {
            rte_pktmbuf_free_bulk(left, count);
        }
        rte_eth_dev_stop(floor->ethdev);
        rte_eth_dev_close(floor->ethdev);
        if (is_known && NULL != info.device)
        {
            rte_dev_remove(info.device);
        }
    }
    if (!floor->is_ring)
    {
        rte_mempool_free(floor->pool);
    }
    free(floor);
}

static bool fl_floor_has_link(const fl_dpdk_floor_t *floor)
{
    struct rte_eth_link link = {0};
    for (int i = 0; i < FL_FLOOR_LINK_MS; i++)
    {
        if (0 == rte_eth_link_get_nowait(floor->ethdev, &link) && RTE_ETH_LINK_UP == link.link_status)
        {
            return true;
        }
        usleep(1000);
    }
    return false;
}

/* Start the device. A memif client cannot before its server is there, and has to begin anew if that was not ready: a
 * server listens before it is started, and turns away who comes meanwhile. */
static int fl_floor_start(fl_dpdk_floor_t *floor)
{
    const int64_t begin_ns = fl_measure_now();
    while (fl_measure_now() - begin_ns < FL_FLOOR_WAIT_NS)
    {
        floor->is_started = 0 == rte_eth_dev_start(floor->ethdev);
        if (floor->is_started && (!floor->is_client || fl_floor_has_link(floor)))
        {
            return 0;
        }
        if (floor->is_started)
        {
            rte_eth_dev_stop(floor->ethdev);
        }
        usleep(1000);
    }
    return -FL_ENETDOWN;
}

/* Make ready for a loop on this thread, which as an lcore has a cache of every pool. */
static int fl_floor_begin(fl_dpdk_floor_t *floor, fl_floor_work_t *work, const fl_floor_params_t *params)
{
    const int code = fl_floor_start(floor);
    if (code < 0)
    {
        return code;
    }
    rte_thread_register();
    return fl_floor_work_open(work, params);
}

static void fl_floor_end(fl_floor_work_t *work)
{
    fl_floor_work_close(work);
    rte_thread_unregister();
}

int fl_dpdk_floor_send(fl_dpdk_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result)
{
    fl_floor_work_t work;
    struct rte_mbuf *mbufs[FL_FLOOR_BATCH_MAXIMUM];
    memset(result, 0, sizeof(*result));
    const int code = fl_floor_begin(floor, &work, params);
    if (code < 0)
    {
        return code;
    }
    const uint16_t batch = (uint16_t)params->batch;
    uint16_t sent = batch;
    int64_t cpu_ns = fl_measure_cpu();
    int64_t begin_ns = fl_measure_now();
    int64_t now_ns = begin_ns;
    bool is_up = false;
    while (now_ns - begin_ns < (is_up ? params->duration_ns : FL_FLOOR_WAIT_NS))
    {
        for (int turn = 0; turn < 16; turn++)
        {
            if (sent == batch)
            {
                if (0 != rte_pktmbuf_alloc_bulk(floor->pool, mbufs, batch))
                {
                    sched_yield();
                    continue;
                }
                for (uint16_t i = 0; i < batch; i++)
                {
                    struct rte_mbuf *mbuf = mbufs[i];
                    uint32_t payload;
                    mbuf->data_off = FL_FLOOR_OFFSET;
                    mbuf->data_len = (uint16_t)fl_floor_write(&work, rte_pktmbuf_mtod(mbuf, uint8_t *), &payload);
                    mbuf->pkt_len = mbuf->data_len;
                }
                sent = 0;
            }
            const uint16_t taken = rte_eth_tx_burst(floor->ethdev, 0, mbufs + sent, (uint16_t)(batch - sent));
            if (__builtin_expect(!is_up && taken > 0, 0))
            {
                is_up = true;
                cpu_ns = fl_measure_cpu();
                begin_ns = fl_measure_now();
            }
            sent = (uint16_t)(sent + taken);
            result->messages += taken;
            if (sent != batch)
            {
                sched_yield();
            }
        }
        now_ns = fl_measure_now();
    }
    result->elapsed_ns = now_ns - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
    result->bytes = result->messages * params->length;   /* of mixed lengths the receiver alone counts them */
    rte_pktmbuf_free_bulk(mbufs + sent, (unsigned)(batch - sent));
    fl_floor_end(&work);
    return is_up ? 0 : -FL_ENETDOWN;
}

int fl_dpdk_floor_receive(fl_dpdk_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result)
{
    fl_floor_work_t work;
    fl_measure_watch_t watch;
    struct rte_mbuf *mbufs[FL_FLOOR_BATCH_MAXIMUM];
    memset(result, 0, sizeof(*result));
    const int code = fl_floor_begin(floor, &work, params);
    if (code < 0)
    {
        return code;
    }
    fl_measure_watch_begin(&watch);
    for (;;)
    {
        const uint16_t count = rte_eth_rx_burst(floor->ethdev, 0, mbufs, (uint16_t)params->batch);
        if (0 == count)
        {
            if (fl_measure_watch_is_over(&watch, params->idle_ns, params->end_fd))
            {
                break;
            }
            sched_yield();
            continue;
        }
        const uint64_t before = result->messages;
        for (uint16_t i = 0; i < count; i++)
        {
            __builtin_prefetch(rte_pktmbuf_mtod(mbufs[i], const void *));
        }
        for (uint16_t i = 0; i < count; i++)
        {
            const int32_t payload =
                fl_floor_read(&work, rte_pktmbuf_mtod(mbufs[i], const uint8_t *), mbufs[i]->data_len);
            result->messages += payload >= 0;
            result->bytes += payload >= 0 ? (uint32_t)payload : 0;
        }
        rte_pktmbuf_free_bulk(mbufs, count);
        if (before != result->messages)
        {
            fl_measure_watch_arrived(&watch);
        }
    }
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    fl_floor_end(&work);
    return 0;
}
