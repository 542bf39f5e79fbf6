/* What the plugin offers to Python, in the subset of C that cffi parses. */
#ifndef FL_API_DPDK_H
#define FL_API_DPDK_H

#include <framelane/port.h>

/* Which device a port is, and how it is set up: the settings of `[transport.dpdk]`, resolved. Strings are
 * terminated. */
typedef struct fl_dpdk_settings
{
    char name[64];              /* as DPDK names the device: 0000:03:00.0, net_memif0 */
    char devargs[2048];         /* for rte_dev_probe, beginning with the name; empty with a link */
    char link[32];              /* net_ring: ports with one link name are joined, two at most; else empty */
    char interface[16];         /* of the kernel, behind the device; empty: there is none */
    uint32_t mtu_length;        /* longest IP packet; 0: the device's own */
    uint32_t set_mtu;           /* 1: the device is told its MTU; 0: it has it */
    uint32_t queues;            /* most rx/tx pairs to offer */
    uint32_t rx_descriptors;    /* of one queue; adjusted to what the device takes */
    uint32_t tx_descriptors;
    uint32_t link_wait_ms;      /* how long start waits for the link */
    uint32_t checksum_offload;  /* 1: let the device compute and verify checksums where it can */
    uint32_t timestamps;        /* 1: let the device stamp received frames where it can */
    uint32_t zero_copy_tx;      /* 1: take payload from registered memory where the device can */
    uint32_t isolated;          /* 1: bifurcated device: take only what filters say, the kernel keeps the rest */
    uint32_t is_virtual;        /* 1: made of software */
    uint32_t any_length;        /* 1: takes frames longer than it says, as long as its buffers hold them */
    uint32_t waits_for_peer;    /* 1: cannot be started before its peer is there (a memif client): tried again */
    uint32_t kernel_coexists;   /* 1: the kernel's stack still sees the interface */
    uint32_t needs_timers;      /* 1: the device's driver lives on rte_timer_manage (ENA) */
    uint32_t no_multicast;      /* 1: the network behind the device has no multicast (ENA) */
    uint32_t shares_mac;        /* 1: the far end has the MAC address that DPDK tells, so the port takes another
                                 * (TAP) */
} fl_dpdk_settings_t;

/* What was compiled against and what is loaded. */
typedef struct fl_dpdk_version
{
    char built[32];             /* "DPDK 22.11.11" */
    char loaded[32];
    uint32_t abi_major;
    uint32_t loaded_year;
    uint32_t loaded_month;
    char drivers[256];          /* directory of DPDK's drivers; empty if not known */
} fl_dpdk_version_t;

/* What an opened port can do, for the capabilities. */
typedef struct fl_dpdk_abilities
{
    char driver[32];            /* DPDK's name of the driver: net_memif, net_ena */
    uint32_t queues;
    uint32_t mtu_length;
    uint32_t offloads;          /* FL_PORT_* */
    uint32_t is_multicast;
} fl_dpdk_abilities_t;

void fl_dpdk_version(fl_dpdk_version_t *version);

/* Start DPDK's environment in this process, from a thread of its own, once; later calls do nothing.
 *
 * arguments     as rte_eal_init takes them, with the program's name first; copied
 * text, length  on failure: why, with what DPDK said
 * returns       0; -FL_EBUSY in a child of the process that started it; another FL_E* from DPDK
 * thread        any; blocks until the environment is there
 */
int fl_dpdk_eal_start(const char *const *arguments, uint32_t count, char *text, size_t length);

/* Whether this process has started it. */
int fl_dpdk_eal_is_started(void);

/* Open a device. The environment must be there.
 *
 * host          checked for magic and version; outlives the port
 * text, length  on failure: why, terminated
 * port          set on success; closed by the ops table's `close`
 * thread        control
 */
int fl_dpdk_open(
    const fl_host_t *host, const fl_dpdk_settings_t *settings, char *text, size_t length, fl_port_t **port);

/* What an open port can do. Thread: control. */
void fl_dpdk_abilities(const fl_port_t *port, fl_dpdk_abilities_t *abilities);

const fl_port_ops_t *fl_dpdk_ops(void);

/* Take the device away from an open port, as pulling it out would: its calls return -FL_ENODEV from then on. Waits for
 * the threads of its queues to let go, at most a second. Returns 0 or negative FL_E*. For tests. Thread: any but a
 * queue's. */
int fl_dpdk_unplug(fl_port_t *port);

/* Have the port's device reset, as the device's own wish for it (RTE_ETH_EVENT_INTR_RESET) does. For tests. */
int fl_dpdk_request_reset(fl_port_t *port);

/* How a figure of the device's driver (xstat) is shown; `label` is terminated. Returns 0 if it is not, since other
 * figures say the same, else 1. For tests. */
int fl_dpdk_xstat_label(const char *name, char *label, size_t length);

/* How many packet buffers this process has in pools, how many of them are out, and how many have an address for devices
 * that does not lead to them. For tests. */
void fl_dpdk_buffers(uint32_t *pools, uint32_t *buffers, uint32_t *used, uint32_t *unreachable);

#endif
