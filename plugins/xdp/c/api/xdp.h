/* What the plugin offers to Python, in the subset of C that cffi parses. */
#ifndef FL_API_XDP_H
#define FL_API_XDP_H

#include <framelane/port.h>

#define FL_XDP_AUTO 0
/* Of `mode`. */
#define FL_XDP_NATIVE 1        /* in the driver of the device */
#define FL_XDP_GENERIC 2       /* in the kernel's stack, behind the driver: works everywhere */
/* Of `copy`. */
#define FL_XDP_ZERO_COPY 1     /* the device reads and writes our memory */
#define FL_XDP_COPY 2          /* the kernel copies */

/* The settings of `[transport.xdp]`. */
typedef struct fl_xdp_settings
{
    char interface[16];        /* terminated */
    uint32_t mode;             /* FL_XDP_AUTO, _NATIVE or _GENERIC */
    uint32_t copy;             /* FL_XDP_AUTO, _ZERO_COPY or _COPY */
    uint32_t queues;           /* of the port, more than 1 only where the device steers; 0: 2 there, else 1 */
    uint32_t ring_size;        /* descriptors of a receive and of a transmit ring; a power of two, 64 to 16384 */
    uint32_t need_wakeup;      /* 1: let the kernel say when it needs a system call */
    uint32_t busy_poll_us;     /* 0: interrupts; else preferred busy polling for so long */
    uint32_t busy_poll_budget; /* frames that one busy poll may take */
    uint32_t hugepages;        /* 1: frame memory in huge pages */
    uint32_t vlan_index;       /* of the VLAN interface that has the addresses; 0: the interface itself has them */
    uint32_t ip_mtu;           /* longest IP packet to make room for; 0: that of the device */
    uint32_t link_wait_ms;     /* how long start waits for the link */
    char state_directory[192]; /* where notes of ntuple rules are kept; terminated */
} fl_xdp_settings_t;

/* What this process may do with AF_XDP and BPF here: 0, or the errno of the first attempt. Nothing is left open. */
typedef struct fl_xdp_permissions
{
    int32_t socket;            /* an AF_XDP socket */
    int32_t map;               /* a map for AF_XDP sockets */
    int32_t program;           /* loading the program */
    uint32_t multi_buffer;     /* 1: the kernel loads it for frames of several buffers */
} fl_xdp_permissions_t;

/* An interface as the kernel describes it to anyone. */
typedef struct fl_xdp_device
{
    char driver[32];           /* terminated */
    uint32_t index;
    uint32_t mtu_length;
    uint32_t device_queues;    /* that receive */
    uint32_t is_up;
    uint32_t has_link;
    uint32_t steers;           /* 1: ntuple rules are on and there are several queues */
    uint32_t strips_vlan;      /* 1: takes tags out of received frames, where the program does not see them */
    uint32_t program_id;       /* of the XDP program on it; 0: none */
    char program_name[16];     /* of that, terminated; empty if this process may not know */
    uint8_t mac[6];
    uint8_t reserved[2];
    int32_t numa_node;         /* -1: unknown */
} fl_xdp_device_t;

/* What an open port turned out to be. */
typedef struct fl_xdp_facts
{
    uint32_t is_native;
    uint32_t is_zero_copy;
    uint32_t queues;           /* of the port */
    uint32_t sockets;          /* one per queue of the device */
    uint32_t chunk_length;     /* bytes of a buffer */
    uint32_t is_multi_buffer;  /* frames may span several buffers */
    uint32_t mtu_length;
    uint32_t steers;
    char note[256];            /* why not native, or not zero-copy; empty if it is both */
} fl_xdp_facts_t;

/* The longest IP packet, bytes, that fits one buffer; a longer one needs several (Linux 6.6). */
#define FL_XDP_SINGLE_BUFFER_MTU 3822
/* The longest that a port makes room for, whatever the interface takes. */
#define FL_XDP_MTU_MAXIMUM 9216

/* Of libbpf, such as "v1.1"; static. */
const char *fl_xdp_library_version(void);

void fl_xdp_permissions(fl_xdp_permissions_t *permissions);

/* Look at an interface. Returns 0 or -FL_ENODEV: there is none of that name. */
int fl_xdp_device_look(const char *interface, fl_xdp_device_t *device);

/* Bytes of frame memory that a port with these settings registers for one queue of the device: one that the port sends
 * on, or one that it only receives from. */
uint64_t fl_xdp_memory_length(const fl_xdp_settings_t *settings, uint32_t mtu_length, uint32_t can_transmit);

/* Open the interface: load and attach the program, bind a socket to each queue of the device. Nothing is taken from the
 * kernel before `start` and a filter.
 *
 * host          checked for magic and version; outlives the port
 * text, length  on failure: why, terminated
 * port          set on success; closed by the ops table's `close`
 * thread        control; may take as long as the kernel needs to set up the device, and 2 s more if a queue is still
 *               bound to a socket that was just closed
 */
int fl_xdp_open(
    const fl_host_t *host, const fl_xdp_settings_t *settings, char *text, size_t length, fl_port_t **port);

void fl_xdp_facts(const fl_port_t *port, fl_xdp_facts_t *facts);

const fl_port_ops_t *fl_xdp_ops(void);

/* The ntuple rule for a filter, as ETHTOOL_SRXCLSRLINS takes it (struct ethtool_rx_flow_spec).
 * Returns its length, or negative FL_E*. For tests. */
int fl_xdp_steering_rule(
    uint32_t queue,
    uint16_t vlan,
    const fl_address_t *address,
    const fl_address_t *source,
    uint8_t *rule,
    size_t capacity);

#endif
