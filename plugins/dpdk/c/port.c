/* Opening, starting, stopping and closing a port, and the ops table. */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "eal.h"
#include "gate.h"
#include "ring_link.h"
#include "memif.h"

#define FL_NO_ETHDEV UINT16_MAX
#define FL_LEAST_MTU 576
#define FL_MOST_MTU 9216

/* How many queues the calling thread is an lcore for. */
static _Thread_local uint32_t fl_queues_of_thread;

static pthread_mutex_t fl_ports_mutex = PTHREAD_MUTEX_INITIALIZER;
static fl_port_t *fl_ports;   /* open in this process */

int fl_error_code(int error)
{
    switch (error)
    {
        case EPERM:
        case ENOENT:
        case EAGAIN:
        case ENOMEM:
        case EACCES:
        case EBUSY:
        case EEXIST:
        case ENODEV:
        case EINVAL:
        case ENOSPC:
        case EMSGSIZE:
        case ENOTSUP:
        case EAFNOSUPPORT:
        case EADDRINUSE:
        case ENETDOWN:
        case ENOBUFS:
            return error;

        case ENOSYS:
            return FL_ENOTSUP;

        case ENXIO:
            return FL_ENODEV;

        default:
            return FL_EIO;
    }
}

bool fl_port_is_mine(const fl_port_t *port)
{
    return getpid() == port->pid;
}

int fl_port_error(const fl_port_t *port, int code, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    port->host->error_set(port->host, text);
    return -fl_error_code(code);
}

/* Signals go to no thread of DPDK, and threads that a driver starts inherit the mask. */
static void fl_signals_block(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static void fl_ports_add(fl_port_t *port)
{
    pthread_mutex_lock(&fl_ports_mutex);
    port->next_open = fl_ports;
    fl_ports = port;
    pthread_mutex_unlock(&fl_ports_mutex);
    fl_eal_log_to(port->host);
}

void fl_ports_tell(uint16_t ethdev, void (*tell)(fl_port_t *port, int what), int what)
{
    pthread_mutex_lock(&fl_ports_mutex);
    for (fl_port_t *port = fl_ports; NULL != port; port = port->next_open)
    {
        if (port->ethdev == ethdev && !atomic_load_explicit(&port->is_taken, memory_order_acquire))
        {
            tell(port, what);
        }
    }
    pthread_mutex_unlock(&fl_ports_mutex);
}

void fl_ports_visit(void (*visit)(fl_port_t *port))
{
    pthread_mutex_lock(&fl_ports_mutex);
    for (fl_port_t *port = fl_ports; NULL != port; port = port->next_open)
    {
        visit(port);
    }
    pthread_mutex_unlock(&fl_ports_mutex);
}

/* DPDK's log goes on to a host that is still there. */
static void fl_ports_remove(fl_port_t *port)
{
    pthread_mutex_lock(&fl_ports_mutex);
    for (fl_port_t **place = &fl_ports; NULL != *place; place = &(*place)->next_open)
    {
        if (*place == port)
        {
            *place = port->next_open;
            break;
        }
    }
    fl_eal_log_to(NULL == fl_ports ? NULL : fl_ports->host);
    pthread_mutex_unlock(&fl_ports_mutex);
}

static int fl_check(const fl_host_t *host, const fl_dpdk_settings_t *settings, char *text, size_t length)
{
    if (FL_HOST_MAGIC != host->magic || FL_ABI_VERSION != host->abi_version || host->size < sizeof(fl_host_t))
    {
        snprintf(
            text, length,
            "host table: magic 0x%x, ABI %u, %u bytes; this transport needs 0x%x, ABI %u, at least %zu bytes",
            host->magic, host->abi_version, host->size, FL_HOST_MAGIC, FL_ABI_VERSION, sizeof(fl_host_t));
        return -FL_EINVAL;
    }
    if (!fl_eal_is_mine())
    {
        snprintf(text, length, "DPDK's environment is not started in this process");
        return -FL_EBUSY;
    }
    if (settings->queues < 1 || settings->queues > FL_MAX_QUEUES)
    {
        snprintf(text, length, "queues %u is not in 1 to %d", settings->queues, FL_MAX_QUEUES);
        return -FL_EINVAL;
    }
    if (0 != settings->mtu_length && (settings->mtu_length < FL_LEAST_MTU || settings->mtu_length > FL_MOST_MTU))
    {
        snprintf(text, length, "MTU %u is not in %d to %d", settings->mtu_length, FL_LEAST_MTU, FL_MOST_MTU);
        return -FL_EINVAL;
    }
    return 0;
}

/* Have DPDK take the device. */
static int fl_port_attach(fl_port_t *port, char *text, size_t length)
{
    const fl_dpdk_settings_t *settings = &port->settings;
    if ('\0' != settings->link[0])
    {
        const uint32_t mtu = 0 == settings->mtu_length ? RTE_ETHER_MTU : settings->mtu_length;
        return fl_link_join(
            settings->link, mtu, settings->queues, settings->rx_descriptors, &port->link, &port->ethdev, text, length);
    }
    uint16_t other;
    if (0 == rte_eth_dev_get_port_by_name(settings->name, &other))
    {
        snprintf(text, length, "%s is in use by another driver of this process", settings->name);
        return -FL_EBUSY;
    }
    fl_eal_forget_words();
    const int code = rte_dev_probe(settings->devargs);
    if (0 == code && 0 == rte_eth_dev_get_port_by_name(settings->name, &port->ethdev))
    {
        return 0;
    }
    if (0 == code)
    {
        snprintf(text, length, "DPDK took %s, but no driver of DPDK made an Ethernet device of it", settings->name);
        return -FL_ENODEV;
    }
    char what[512];
    snprintf(what, sizeof(what), "DPDK cannot take %.440s (%d)", settings->devargs, code);
    fl_eal_describe(text, length, what);
    return -fl_error_code(-code);
}

/* Give the device back, unless DPDK has it no more. */
static void fl_port_detach(fl_port_t *port)
{
    if (!atomic_load_explicit(&port->is_taken, memory_order_acquire))
    {
        rte_eth_dev_stop(port->ethdev);
        rte_eth_dev_close(port->ethdev);
        if (NULL != port->device)
        {
            rte_dev_remove(port->device);
        }
    }
    if (NULL != port->link)
    {
        fl_link_leave(port->link, port->ethdev);
    }
}

static uint32_t fl_port_offered_queues(const fl_port_t *port)
{
    const uint32_t most = port->settings.queues < FL_MAX_QUEUES ? port->settings.queues : FL_MAX_QUEUES;
    if (NULL != port->link)
    {
        return most;
    }
    /* More than one takes a device that steers, or that can be told to receive on queue 0 alone. A virtual one spreads as
     * the other side likes. */
    if (0 != port->settings.is_virtual || (0 == port->settings.isolated && 0 == port->info.reta_size))
    {
        return 1;
    }
    const uint32_t there =
        port->info.max_rx_queues < port->info.max_tx_queues ? port->info.max_rx_queues : port->info.max_tx_queues;
    return most < there ? most : there;
}

/* The two ends of a device need different addresses. Rings have none; a TAP device has one, which its interface under Linux
 * takes, and everything that Linux sends there comes up, whatever its destination. */
static int fl_port_find_mac(fl_port_t *port)
{
    const int code = rte_eth_macaddr_get(port->ethdev, &port->mac);
    if (0 == code && rte_is_zero_ether_addr(&port->mac))
    {
        rte_eth_random_addr(port->mac.addr_bytes);
    }
    else if (0 == code && 0 != port->settings.shares_mac)
    {
        port->mac.addr_bytes[RTE_ETHER_ADDR_LEN - 1] ^= 1;
    }
    return code;
}

/* Find out what the device is. */
static int fl_port_examine(fl_port_t *port, char *text, size_t length)
{
    int code = rte_eth_dev_info_get(port->ethdev, &port->info);
    if (0 != code)
    {
        snprintf(text, length, "%s says nothing of itself: %s", port->settings.name, rte_strerror(-code));
        return -fl_error_code(-code);
    }
    port->device = port->info.device;
    snprintf(port->driver, sizeof(port->driver), "%s", port->info.driver_name);
    const int node = rte_eth_dev_socket_id(port->ethdev);
    port->node = node >= 0 && rte_eal_has_hugepages() ? node : SOCKET_ID_ANY;
    port->max_queues = fl_port_offered_queues(port);
    uint16_t mtu = RTE_ETHER_MTU;
    rte_eth_dev_get_mtu(port->ethdev, &mtu);
    port->mtu_length = 0 == port->settings.mtu_length ? mtu : port->settings.mtu_length;
    if ('\0' != port->settings.interface[0])
    {
        port->interface_index = if_nametoindex(port->settings.interface);
    }
    const bool can_zero_copy = 0 != (port->info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) &&
        RTE_IOVA_VA == rte_eal_iova_mode() && NULL == port->link;
    port->settings.zero_copy_tx = 0 != port->settings.zero_copy_tx && can_zero_copy;
    code = fl_port_find_mac(port);
    if (0 != code)
    {
        snprintf(text, length, "%s has no MAC address: %s", port->settings.name, rte_strerror(-code));
        return -fl_error_code(-code);
    }
    fl_figures_begin(port);
    code = fl_events_watch();
    if (0 != code)
    {
        snprintf(text, length, "watch %s: %s", port->settings.name, rte_strerror(-code));
    }
    return 0 == code ? 0 : -FL_EIO;
}

int fl_dpdk_open(
    const fl_host_t *host, const fl_dpdk_settings_t *settings, char *text, size_t length, fl_port_t **opened)
{
    text[0] = '\0';
    int code = fl_check(host, settings, text, length);
    if (0 != code)
    {
        return code;
    }
    fl_port_t *port = aligned_alloc(_Alignof(fl_port_t), sizeof(*port));
    if (NULL == port)
    {
        snprintf(text, length, "no memory for a port");
        return -FL_ENOMEM;
    }
    memset(port, 0, sizeof(*port));
    port->host = host;
    port->settings = *settings;
    port->pid = getpid();
    port->is_link_up = true;
    port->ethdev = FL_NO_ETHDEV;
    pthread_mutex_init(&port->control, NULL);
    pthread_mutex_init(&port->event_mutex, NULL);
    fl_ports_add(port);

    sigset_t signals;
    fl_signals_block(&signals);
    code = fl_port_attach(port, text, length);
    const bool is_attached = 0 == code;
    if (is_attached)
    {
        code = fl_port_examine(port, text, length);
    }
    if (0 != code)
    {
        fl_ports_remove(port);
        if (is_attached)
        {
            fl_port_detach(port);
        }
    }
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    if (0 != code)
    {
        free(port);
        return code;
    }
    const bool is_memif = 0 == strcmp(port->driver, "net_memif");
    if (is_memif && 0 != fl_memif_guard(text, length))
    {
        fl_port_event(port, FL_EVENT_NOTE, "%s: %s", port->settings.name, text);
    }
    for (uint32_t i = 0; i < FL_MAX_QUEUES; i++)
    {
        port->queues[i].port = port;
        port->queues[i].ethdev = port->ethdev;
        port->queues[i].id = (uint16_t)i;
        port->queues[i].is_memif = is_memif;
    }
    if (0 != port->settings.needs_timers)
    {
        fl_eal_hold_timers();
    }
    *opened = port;
    return 0;
}

static uint32_t fl_port_offloads(const fl_port_t *port)
{
    const uint64_t rx_checksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    const bool has_checksums = 0 != port->settings.checksum_offload;
    const uint64_t rx = port->info.rx_offload_capa;
    const uint64_t tx = port->info.tx_offload_capa;
    uint32_t offloads = 0;
    offloads |= has_checksums && rx_checksums == (rx & rx_checksums) ? FL_PORT_RX_CHECKSUM : 0;
    offloads |= has_checksums && 0 != (tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) ? FL_PORT_TX_CHECKSUM_IPV4 : 0;
    offloads |= has_checksums && 0 != (tx & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) ? FL_PORT_TX_CHECKSUM_UDP : 0;
    offloads |= 0 != port->settings.zero_copy_tx ? FL_PORT_TX_PAYLOAD : 0;
    offloads |= 0 != port->timestamp_flag ? FL_PORT_RX_TIMESTAMP : 0;
    offloads |= port->can_steer ? FL_PORT_STEERING : 0;
    offloads |= 0 != port->settings.kernel_coexists ? FL_PORT_KERNEL_COEXISTS : 0;
    return offloads;
}

static int fl_port_attributes(fl_port_t *port, fl_port_attributes_t *attributes)
{
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        return fl_port_error(port, FL_ENODEV, "%s is gone", port->settings.name);
    }
    fl_port_attributes_t own = {
        .size = attributes->size,
        .offloads = fl_port_offloads(port),
        .queues = port->is_started ? port->queue_count : port->max_queues,
        .mtu_length = port->mtu_length,
        .interface_index = 0 != port->settings.kernel_coexists ? port->interface_index : 0,
        .headroom = (uint32_t)(fl_pools_room(port->mtu_length) - FL_TX_OFFSET),
        .numa_node = SOCKET_ID_ANY == port->node ? -1 : port->node,
        .max_hold = FL_MAX_HOLD,
    };
    memcpy(own.mac, port->mac.addr_bytes, sizeof(own.mac));
    memcpy(attributes, &own, attributes->size < sizeof(own) ? attributes->size : sizeof(own));
    return 0;
}

void fl_dpdk_abilities(const fl_port_t *port, fl_dpdk_abilities_t *abilities)
{
    memset(abilities, 0, sizeof(*abilities));
    memcpy(abilities->driver, port->driver, sizeof(abilities->driver));
    abilities->queues = port->max_queues;
    abilities->mtu_length = port->mtu_length;
    abilities->offloads = fl_port_offloads(port);
    abilities->is_multicast = 0 == port->settings.no_multicast;
}

static void fl_port_prepare_queues(fl_port_t *port)
{
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        fl_queue_t *queue = &port->queues[i];
        queue->has_checksums = 0 != (fl_port_offloads(port) & FL_PORT_RX_CHECKSUM);
        queue->timestamp_flag = port->timestamp_flag;
        queue->timestamp_offset = port->timestamp_offset;
        queue->clock = &port->clock;
    }
}

/* A device that runs is open to its queues; one that waits for its peer is not. */
static void fl_port_set_gate(fl_port_t *port)
{
    const bool is_closed = 0 != (atomic_load_explicit(&port->gate, memory_order_relaxed) & 1);
    const bool is_waiting = atomic_load_explicit(&port->is_waiting, memory_order_relaxed);
    if (is_waiting && !is_closed)
    {
        fl_gate_close(port, 0);
    }
    else if (!is_waiting && is_closed)
    {
        fl_gate_open(port);
    }
}

static int fl_port_start(fl_port_t *port, uint32_t queues)
{
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        return fl_port_error(port, FL_ENODEV, "%s is gone", port->settings.name);
    }
    if (port->is_started)
    {
        return fl_port_error(port, FL_EBUSY, "%s is started already", port->settings.name);
    }
    if (queues < 1 || queues > port->max_queues)
    {
        return fl_port_error(
            port, FL_ENOTSUP, "%s has %u queues here; %u were asked for", port->settings.name, port->max_queues, queues);
    }
    char text[384];
    sigset_t signals;
    fl_signals_block(&signals);
    fl_eal_forget_words();
    pthread_mutex_lock(&port->control);
    port->queue_count = (uint16_t)queues;
    int code = fl_ethernet_configure(port, text, sizeof(text));
    if (0 == code)
    {
        code = fl_pools_create(port, text, sizeof(text));
    }
    if (0 == code)
    {
        code = fl_ethernet_begin(port, text, sizeof(text));
    }
    if (0 == code)
    {
        fl_port_prepare_queues(port);
        fl_groups_restore(port);
        port->is_started = true;
        fl_port_set_gate(port);
    }
    pthread_mutex_unlock(&port->control);
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    if (0 != code)
    {
        char whole[480];
        fl_eal_describe(whole, sizeof(whole), text);
        return fl_port_error(port, -code, "%s: %s", port->settings.name, whole);
    }
    fl_ethernet_wait_for_link(port);
    return 0;
}

/* Nobody reads what a queue kept for its next call any more. */
static void fl_queue_drop_kept(fl_queue_t *queue)
{
    rte_pktmbuf_free_bulk(queue->kept + queue->kept_first, queue->kept_end - queue->kept_first);
    queue->kept_first = queue->kept_end = 0;
}

static int fl_port_stop(fl_port_t *port)
{
    if (!port->is_started)
    {
        return 0;
    }
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        if (0 != atomic_load_explicit(&port->queues[i].is_entered, memory_order_acquire))
        {
            return fl_port_error(port, FL_EBUSY, "stop: queue %u is in use", i);
        }
    }
    pthread_mutex_lock(&port->control);
    port->is_started = false;
    atomic_store_explicit(&port->is_waiting, false, memory_order_release);
    if (!atomic_load_explicit(&port->is_taken, memory_order_acquire))
    {
        rte_eth_dev_stop(port->ethdev);
    }
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        fl_queue_drop_kept(&port->queues[i]);
    }
    fl_filters_forget(port);
    pthread_mutex_unlock(&port->control);
    return 0;
}

static int fl_port_queue_enter(fl_port_t *port, uint32_t id)
{
    if (id >= port->queue_count)
    {
        return fl_port_error(port, FL_EINVAL, "queue %u of %u", id, port->queue_count);
    }
    fl_queue_t *queue = &port->queues[id];
    /* As an lcore the thread has its own cache of every pool. Without, as when DPDK's numbers have run out, it works too:
     * every buffer then passes through a shared ring. */
    if (LCORE_ID_ANY != rte_lcore_id() || 0 == rte_thread_register())
    {
        fl_queues_of_thread++;
    }
    else
    {
        fl_port_event(
            port, FL_EVENT_NOTE, "%s: queue %u works without a buffer cache: DPDK has no lcore for its thread",
            port->settings.name, id);
    }
    fl_gate_enter(queue);
    return 0;
}

static int fl_port_queue_leave(fl_port_t *port, uint32_t id)
{
    fl_queue_t *queue = &port->queues[id];
    fl_gate_leave(queue);
    if (fl_queues_of_thread > 0 && 0 == --fl_queues_of_thread)
    {
        rte_thread_unregister();
    }
    return 0;
}

static void fl_nothing(void *argument)
{
    (void)argument;
}

static int fl_port_close(fl_port_t *port)
{
    if (!fl_port_is_mine(port))
    {
        return 0;
    }
    const int code = fl_port_stop(port);
    if (0 != code)
    {
        return code;
    }
    if (0 != port->settings.needs_timers)
    {
        fl_eal_release_timers();
    }
    sigset_t signals;
    fl_signals_block(&signals);
    fl_ports_remove(port);                /* DPDK's events for it end here */
    fl_eal_run(fl_nothing, NULL, true);   /* what the environment's thread had to do for this port is done */
    fl_memory_forget(port);
    fl_port_detach(port);
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    fl_pools_free(port);
    pthread_mutex_destroy(&port->control);
    pthread_mutex_destroy(&port->event_mutex);
    free(port);
    return 0;
}

const fl_port_ops_t *fl_dpdk_ops(void)
{
    static const fl_port_ops_t ops = {
        .magic = FL_PORT_MAGIC,
        .size = sizeof(fl_port_ops_t),
        .abi_version = FL_ABI_VERSION,
        .attributes = fl_port_attributes,
        .start = fl_port_start,
        .stop = fl_port_stop,
        .queue_enter = fl_port_queue_enter,
        .queue_leave = fl_port_queue_leave,
        .add_filter = fl_port_add_filter,
        .remove_filter = fl_port_remove_filter,
        .join_group = fl_port_join_group,
        .leave_group = fl_port_leave_group,
        .rx_burst = fl_port_rx_burst,
        .rx_release = fl_port_rx_release,
        .tx_alloc = fl_port_tx_alloc,
        .tx_free = fl_port_tx_free,
        .tx_burst = fl_port_tx_burst,
        .tx_reap = fl_port_tx_reap,
        .register_memory = fl_port_register_memory,
        .unregister_memory = fl_port_unregister_memory,
        .housekeeping = fl_port_housekeeping,
        .events = fl_port_events,
        .stats = fl_port_stats,
        .close = fl_port_close,
    };
    return &ops;
}
