/* A port: one ethdev with its queues.
 *
 * Threads: control opens, starts, stops and closes it; each queue belongs to its poller's thread; DPDK's interrupt
 * thread raises flags; the environment's thread resets the device. The gate (gate.h) keeps the queues' threads out of
 * the device while it is reset, and for good once it is lost.
 */
#ifndef FL_DPDK_DEVICE_PORT_H
#define FL_DPDK_DEVICE_PORT_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include <framelane/errors.h>

#include "api/dpdk.h"
#include "compat.h"
#include "counters.h"
#include "device_clock.h"

#include <rte_ether.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define FL_MAX_QUEUES 16
#define FL_BURST 64            /* frames that one pass over a burst handles */
#define FL_MAX_TX_BURST 256    /* frames that one tx_burst takes */
#define FL_MAX_HOLD 1024       /* received frames that may be out on one queue */
#define FL_PAYLOADS 4096       /* payload frames in flight on one queue; a power of two */
#define FL_MAX_GROUPS 256
#define FL_MAX_XSTATS 192
#define FL_EVENTS 32
#define FL_VLAN_NONE 0xffff

/* Of a frame in its buffer: the IP header lies on a multiple of four, the payload of UDP over IPv4 on one of 64. */
#define FL_TX_OFFSET (RTE_PKTMBUF_HEADROOM + 22)
/* Ethernet header and one tag. */
#define FL_L2_LENGTH 18

typedef struct fl_link fl_link_t;

/* A payload in flight: DPDK's reference to memory of the driver, which is released when every copy of the mbuf is. */
typedef struct fl_payload
{
    struct rte_mbuf_ext_shared_info shared;
    uint64_t completion;
    _Atomic uint32_t is_free;   /* by whichever thread frees the mbuf last */
} fl_payload_t;

typedef struct fl_queue
{
    fl_port_t *port;
    uint16_t ethdev;
    uint16_t id;
    uint32_t gate;                    /* the gate as this queue last passed it; queue's thread alone */
    uint64_t timestamp_flag;          /* of the dynamic field; 0: the device stamps nothing */
    int timestamp_offset;
    const fl_device_clock_t *clock;
    bool has_checksums;
    bool is_memif;                    /* the peer's memory may go: see memif.h */
    uint32_t burst;                   /* as in bursts; queue's thread alone */
    struct rte_mempool *rx_pool;
    struct rte_mempool *tx_pool;
    struct rte_mempool *payload_pool;   /* of mbufs without room of their own; NULL without zero copy */

    struct rte_mbuf *kept[FL_BURST];   /* received for a caller who had no room for a whole burst */
    uint32_t kept_first;
    uint32_t kept_end;

    fl_payload_t *payloads;           /* ring of FL_PAYLOADS; in order of sending */
    uint32_t payload_head;            /* next to take */
    uint32_t payload_tail;            /* oldest in flight */
    uint32_t reaps;

    _Atomic int64_t counters[FL_QUEUE_COUNTERS];

    /* Written by the queue's thread; read by DPDK's interrupt thread, and by who closes the gate. */
    _Atomic uint32_t bursts;          /* begun and ended; odd during one */
    _Atomic uint32_t is_entered;
    _Atomic uint32_t gate_seen;
} __attribute__((aligned(128))) fl_queue_t;

typedef struct fl_filter
{
    struct fl_filter *next;
    struct rte_flow *flow;
    fl_address_t address;
    fl_address_t source;
    uint16_t vlan;
    uint16_t queue;
} fl_filter_t;

typedef struct fl_region
{
    struct fl_region *next;
    void *memory;
    size_t length;
    bool is_mapped;   /* for the device's DMA */
} fl_region_t;

struct fl_port
{
    /* Never change after open. */
    const fl_host_t *host;
    fl_dpdk_settings_t settings;
    pid_t pid;
    uint16_t ethdev;
    int node;                     /* NUMA node for memory; SOCKET_ID_ANY */
    struct rte_device *device;
    char driver[32];
    struct rte_eth_dev_info info;
    fl_link_t *link;              /* net_ring; else NULL */
    uint32_t max_queues;
    uint32_t mtu_length;
    uint32_t interface_index;
    struct rte_ether_addr mac;

    /* The gate: odd while the device is not to be touched. */
    _Atomic uint32_t gate;
    _Atomic bool is_lost;
    _Atomic bool is_taken;        /* DPDK has it no more, and may have given its number to another */

    /* Final after start. */
    struct rte_eth_conf conf;
    uint64_t timestamp_flag;
    int timestamp_offset;
    fl_device_clock_t clock;
    bool is_started;
    bool can_steer;
    bool is_promiscuous;
    uint16_t queue_count;
    uint16_t rx_descriptors;
    uint16_t tx_descriptors;
    fl_queue_t queues[FL_MAX_QUEUES];

    /* Control thread; the environment's while it resets, with the gate closed. */
    pthread_mutex_t control;      /* between those two */
    fl_filter_t *filters;
    fl_region_t *regions;
    struct rte_ether_addr groups[FL_MAX_GROUPS];
    uint16_t group_holds[FL_MAX_GROUPS];
    uint16_t group_count;
    bool has_noted_groups;
    bool has_made_promiscuous;    /* the device was not before */

    /* Events; any thread. */
    pthread_mutex_t event_mutex;
    fl_event_t events[FL_EVENTS];
    uint32_t event_count;
    bool is_link_up;              /* as last reported */
    _Atomic bool is_resetting;
    _Atomic bool is_waiting;      /* for a peer, without which the device cannot start; the gate is closed */
    uint32_t looks;               /* of housekeeping */

    uint64_t xstat_ids[FL_MAX_XSTATS];
    char xstat_names[FL_MAX_XSTATS][56];
    uint32_t xstat_count;
    int64_t xstat_values[FL_MAX_XSTATS];   /* as last read: they stay when the device is gone */
    struct rte_eth_stats last_stats;
    int64_t *link_counter;        /* of the host; NULL where it has none */

    fl_port_t *next_open;
};

/* Whether this process opened the port; a child of it must not touch the device. */
bool fl_port_is_mine(const fl_port_t *port);

/* Begin and end to tell this port what happens. Control. */
void fl_ports_add(fl_port_t *port);
void fl_ports_remove(fl_port_t *port);

/* Call tell(port, what) for the open port of this number of DPDK, if there is one. It stays open meanwhile. Any
 * thread. */
void fl_ports_tell(uint16_t ethdev, void (*tell)(fl_port_t *port, int what), int what);

/* Call visit(port) for each open port. They stay open meanwhile. Any thread. */
void fl_ports_visit(void (*visit)(fl_port_t *port));

/* FL_PORT_* of the device as it is configured. */
uint32_t fl_port_offloads(const fl_port_t *port);

/* open.c, start.c: see port.h. */
int fl_port_start(fl_port_t *port, uint32_t queues);
int fl_port_stop(fl_port_t *port);
int fl_port_queue_enter(fl_port_t *port, uint32_t id);
int fl_port_queue_leave(fl_port_t *port, uint32_t id);
int fl_port_close(fl_port_t *port);

/* ethernet.c: configure, start and stop the ethdev. Control, or the environment's thread behind a closed gate. */
int fl_ethernet_configure(fl_port_t *port, char *text, size_t length);
int fl_ethernet_begin(fl_port_t *port, char *text, size_t length);
/* Start a device that waits for its peer. Returns whether it runs. */
bool fl_ethernet_try_again(fl_port_t *port);
void fl_ethernet_wait_for_link(fl_port_t *port);

/* Look whether there is a link: the kernel says so of an interface that it has, DPDK of every other device. Returns 0,
 * or -FL_ENODEV if the kernel's interface is gone: a virtual device over it does not say so itself. Does not wait. */
int fl_ethernet_look_at_link(fl_port_t *port, bool *is_up);

/* pools.c */
int fl_pools_create(fl_port_t *port, char *text, size_t length);
void fl_pools_free(fl_port_t *port);
uint32_t fl_pools_available(const fl_port_t *port);
uint16_t fl_pools_room(uint32_t mtu_length);

/* Make a pool of packet buffers of `room` bytes each. NULL with rte_errno on failure. */
struct rte_mempool *fl_pools_make(const char *name, uint32_t count, uint32_t cache, uint16_t room, int node);

/* Free the mbufs of received frames, or of ones to send: `token` is the first frame's, the next is frame_size on. */
static inline void fl_mbufs_free(const uint64_t *token, size_t frame_size, uint32_t count)
{
    struct rte_mbuf *mbufs[FL_BURST];
    while (count > 0)
    {
        const uint32_t part = count < FL_BURST ? count : FL_BURST;
        for (uint32_t i = 0; i < part; i++)
        {
            mbufs[i] = (struct rte_mbuf *)(uintptr_t)*token;
            token = (const uint64_t *)((const uint8_t *)token + frame_size);
        }
        rte_pktmbuf_free_bulk(mbufs, part);
        count -= part;
    }
}

/* receive.c, transmit.c: see port.h. */
int fl_port_rx_burst(fl_port_t *port, uint32_t queue, fl_rx_frame_t *frames, uint32_t capacity);
void fl_port_rx_release(fl_port_t *port, uint32_t queue, const fl_rx_frame_t *frames, uint32_t count);
int fl_port_tx_alloc(fl_port_t *port, uint32_t queue, fl_tx_frame_t *frames, uint32_t count);
void fl_port_tx_free(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_port_tx_burst(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count);
int fl_port_tx_reap(fl_port_t *port, uint32_t queue, fl_completion_t *completions, uint32_t capacity);

/* filters.c */
int fl_port_add_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source);
int fl_port_remove_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source);
bool fl_filters_are_supported(fl_port_t *port);
int fl_filters_restore(fl_port_t *port);
void fl_filters_forget(fl_port_t *port);

/* groups.c */
int fl_port_join_group(fl_port_t *port, const fl_address_t *group);
int fl_port_leave_group(fl_port_t *port, const fl_address_t *group);
void fl_groups_restore(fl_port_t *port);

/* Before the device is given back: what groups made of an interface that stays with Linux must not outlive the port. */
void fl_groups_take_back(fl_port_t *port);

/* memory.c */
int fl_port_register_memory(fl_port_t *port, void *memory, size_t length, uint64_t *region);
int fl_port_unregister_memory(fl_port_t *port, uint64_t region);
void fl_memory_forget(fl_port_t *port);

/* events.c */
void fl_port_event(fl_port_t *port, uint32_t kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
int fl_port_events(fl_port_t *port, fl_event_t *events, uint32_t capacity);
int fl_port_housekeeping(fl_port_t *port, int64_t now_ns);
/* Have DPDK tell what happens to devices, from the first call on. Returns 0 or a negative errno. */
int fl_events_watch(void);
void fl_port_lose(fl_port_t *port, const char *why);

/* figures.c */
void fl_figures_begin(fl_port_t *port);
/* Show the port and its queues in counters of Aeron's types. Control, once the queues are set up. */
void fl_figures_show(fl_port_t *port);
/* The port's counter is 1 while the link is up. Any thread. */
void fl_figures_show_link(fl_port_t *port, bool is_up);
int fl_port_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity);

#endif
