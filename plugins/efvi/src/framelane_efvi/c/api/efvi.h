/* What the plugin offers to Python, in the subset of C that cffi parses. */
#ifndef FL_API_EFVI_H
#define FL_API_EFVI_H

#include <framelane/port.h>

/* Of `datapath`, `transmit`, `event_merge`, `share_queues` and `hugepages`. */
#define FL_EFVI_AUTO 0
#define FL_EFVI_ON 1
#define FL_EFVI_OFF 2

#define FL_EFVI_EXPRESS 1
#define FL_EFVI_ENTERPRISE 2

#define FL_EFVI_CTPIO 1
#define FL_EFVI_PIO 2
#define FL_EFVI_DMA 3

/* Of `vi_flags`. */
#define FL_EFVI_TX_PUSH_ALWAYS 1
#define FL_EFVI_TX_PUSH_DISABLE 2
#define FL_EFVI_CTPIO_NO_POISON 4
#define FL_EFVI_TPH 8

/* The settings of `[transport.efvi]`. */
typedef struct fl_efvi_settings
{
    char interface[16];        /* terminated */
    uint32_t queues;           /* virtual interfaces, 1 to 16 */
    int32_t rx_queue_size;     /* descriptors; -1: as the library's environment says, or its default */
    int32_t tx_queue_size;
    int32_t event_queue_size;
    uint32_t datapath;         /* FL_EFVI_AUTO, _EXPRESS or _ENTERPRISE */
    uint32_t transmit;         /* FL_EFVI_AUTO, _CTPIO, _PIO or _DMA */
    uint32_t ctpio_threshold;  /* bytes; 0xffff: store and forward */
    uint32_t event_merge;      /* FL_EFVI_AUTO, _ON or _OFF */
    uint32_t share_queues;
    uint32_t hugepages;
    uint32_t vi_flags;         /* FL_EFVI_TX_PUSH_ALWAYS and so on */
    uint32_t timestamps;       /* 1: stamp received frames */
    uint32_t tx_timestamps;    /* 1: stamp transmitted frames */
    uint32_t vlan_index;       /* of the VLAN interface that has the addresses; 0: the interface itself has them */
    uint32_t ip_mtu;           /* longest IP packet to make room for; 0: that of the device */
    uint32_t link_wait_ms;     /* how long start waits for the link */
} fl_efvi_settings_t;

/* What an adapter says that it can do. */
typedef struct fl_efvi_abilities
{
    uint32_t shared_queues;    /* receives into shared buffers, RX_REF */
    uint32_t express;          /* has that datapath besides */
    uint32_t ctpio;
    uint32_t ctpio_only;
    uint32_t pio;
    uint32_t rx_timestamps;
    uint32_t tx_timestamps;
    uint32_t event_merge;
    uint32_t replication;      /* a multicast frame goes to every virtual interface that wants it */
    uint32_t udp6_filters;
    uint32_t vlan_filters;
    uint64_t rx_queue_sizes;   /* those that are possible, or-ed: each is a power of two; 0: not told */
    uint64_t tx_queue_sizes;
} fl_efvi_abilities_t;

/* What an open port turned out to be. */
typedef struct fl_efvi_facts
{
    uint32_t queues;
    uint32_t shared_queues;
    uint32_t express;
    uint32_t transmit;         /* FL_EFVI_CTPIO, _PIO or _DMA */
    uint32_t merges_events;
    uint32_t rx_timestamps;
    uint32_t tx_timestamps;
    uint32_t rx_queue_size;    /* frames that the ring holds */
    uint32_t tx_queue_size;
    uint32_t mtu_length;       /* longest IP packet, bytes */
    uint32_t hugepages;        /* 1: buffers are in huge pages */
    uint32_t can_arm;
    char note[256];            /* what is not as it was asked for; empty if all is */
} fl_efvi_facts_t;

/* The longest IP packet that fits a buffer, bytes, whatever the interface takes. */
#define FL_EFVI_MTU_MAXIMUM 4000

/* Of the library that is linked in; static. */
const char *fl_efvi_version(void);
const char *fl_efvi_driver_interface(void);

/* 1: the library is a stand-in for tests. */
int fl_efvi_is_stand_in(void);

/* Ask the adapter behind an interface what it can do. Nothing of it is taken.
 *
 * text, length  on failure: why, terminated
 * returns       0; -FL_ENODEV: no such interface, or ef_vi does not drive it; -FL_EACCES and others of opening the
 *               driver
 */
int fl_efvi_look(const char *interface, fl_efvi_abilities_t *abilities, char *text, size_t length);

/* Bytes of buffers that one virtual interface registers, with its rings at these sizes (-1: the library's default). */
uint64_t fl_efvi_memory_length(int32_t rx_queue_size, int32_t tx_queue_size, uint32_t mtu_length, int shared_queues);

/* Open the interface: its virtual interfaces, with buffers posted. Nothing is taken from the kernel before a filter.
 *
 * host          checked for magic and version; outlives the port
 * text, length  on failure: why, terminated
 * port          set on success; closed by the ops table's `close`
 * thread        control; may take as long as the kernel needs
 */
int fl_efvi_open(
    const fl_host_t *host, const fl_efvi_settings_t *settings, char *text, size_t length, fl_port_t **port);

void fl_efvi_facts(const fl_port_t *port, fl_efvi_facts_t *facts);

const fl_port_ops_t *fl_efvi_ops(void);

#endif
