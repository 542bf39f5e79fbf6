/* An Ethernet device: the contract of a layer-2 transport. The driver's netstack turns a port into a datagram transport
 * (Ethernet, VLAN, ARP and NDP, IP, UDP, IGMP and MLD, ICMP echo), so a port moves frames and nothing else.
 *
 * Objects and threads are as in transport.h: a port is opened by the plugin's own native open function; each of its
 * queues is one rx/tx pair, used by the thread of that queue's poller alone between `queue_enter` and `queue_leave`.
 * Calls marked control come from the driver's control thread. No call blocks on a queue's thread.
 *
 * A device that died returns -FL_ENODEV from every call from then on but those that give something back, and says so
 * once in `events`, as transport.h has it under "Losing the device".
 */
#ifndef FRAMELANE_PORT_H
#define FRAMELANE_PORT_H

#include <framelane/host.h>
#include <framelane/types.h>

FL_BEGIN_DECLS

typedef struct fl_port fl_port_t;

/* Offloads that a port performs; the netstack does in software what is absent. */
#define FL_PORT_RX_CHECKSUM 1         /* frames carry a checksum verdict other than unknown */
#define FL_PORT_TX_CHECKSUM_IPV4 2    /* fills the IPv4 header checksum */
#define FL_PORT_TX_CHECKSUM_UDP 4     /* fills the UDP checksum; the frame holds the pseudo-header's sum there */
#define FL_PORT_TX_PAYLOAD 8          /* takes a payload pointer in registered memory behind the headers */
#define FL_PORT_RX_TIMESTAMP 16
#define FL_PORT_STEERING 32           /* add_filter directs to a queue of choice */
#define FL_PORT_KERNEL_COEXISTS 64    /* what no filter takes stays with the kernel, which answers ARP and ICMP */
#define FL_PORT_LOOPS_BACK 128        /* frames to the port's own addresses come back to it */

typedef struct fl_port_attributes
{
    uint32_t size;               /* sizeof(fl_port_attributes_t) of the host; the port writes no more than this */
    uint32_t offloads;           /* FL_PORT_* */
    uint32_t queues;             /* rx/tx pairs, at least 1 */
    uint32_t mtu_length;         /* longest IP packet, bytes */
    uint32_t interface_index;    /* of the kernel's interface behind the port; 0 if there is none */
    uint32_t headroom;           /* bytes of a transmit buffer, at least 128 */
    uint8_t mac[6];
    uint8_t reserved[2];
    int32_t numa_node;           /* -1: unknown */
    uint32_t max_hold;           /* received frames that may be unreleased at once on one queue */
} fl_port_attributes_t;

#define FL_CHECKSUM_UNKNOWN 0
#define FL_CHECKSUM_GOOD 1
#define FL_CHECKSUM_BAD 2

/* A received frame: from the destination MAC on, without FCS. Bytes behind the IP packet's length are padding. */
typedef struct fl_rx_frame
{
    const uint8_t *data;      /* read-only; valid until released */
    uint32_t length;
    uint16_t vlan;            /* tag that the device took out of the frame; 0xffff: none taken */
    uint8_t checksum;         /* FL_CHECKSUM_*: of IP and UDP together */
    uint8_t clock;            /* FL_CLOCK_*: of timestamp_ns */
    int64_t timestamp_ns;
    uint64_t token;           /* the port's own, unchanged until released */
} fl_rx_frame_t;

/* What the port is to fill in; only what it offers in attributes.offloads is asked for. */
#define FL_TX_CHECKSUM_IPV4 1         /* the IPv4 header checksum; the field is zero */
#define FL_TX_CHECKSUM_UDP 2          /* the UDP checksum; the field holds the pseudo-header's sum, not complemented */

/* A frame to transmit: headers in a transport buffer, then optionally payload elsewhere. */
typedef struct fl_tx_frame
{
    uint8_t *data;            /* from tx_alloc: the port's memory, at least `headroom` or, without payload, mtu + 18
                               * bytes; aligned to 2 bytes at least, so that the IP header is to 4 */
    uint16_t length;          /* bytes at data; set by the netstack, at least 14; the port pads to the least of its
                               * medium */
    uint16_t payload_length;  /* bytes at payload; 0: none */
    uint8_t l2_length;        /* bytes before the IP header: 14, or 18 with a VLAN tag; set with flags */
    uint8_t l3_length;        /* bytes of the IP header; set with flags */
    uint16_t flags;           /* FL_TX_* */
    const uint8_t *payload;   /* inside registered memory; stays in use until tx_reap returned the frame's completion */
    uint64_t region;          /* of the payload, from register_memory */
    uint64_t completion;      /* token for tx_reap; 0: none wanted */
    uint64_t token;           /* the port's own, from tx_alloc */
} fl_tx_frame_t;

typedef struct fl_port_ops
{
    uint32_t magic;         /* FL_PORT_MAGIC */
    uint32_t size;          /* sizeof(fl_port_ops_t) of the port */
    uint32_t abi_version;   /* FL_ABI_VERSION of the port */
    uint32_t reserved;

    /* Entries may be NULL; the host puts a stub that returns -FL_ENOTSUP in their place. Required: attributes, start,
     * stop, rx_burst, rx_release, tx_alloc, tx_free, tx_burst, close. */

    /* Write the device's attributes. Final after start. Thread: control. */
    int (*attributes)(fl_port_t *port, fl_port_attributes_t *attributes);

    /* Begin and end frame I/O with `queues` queue pairs. start waits for the link for a bounded time that the port's
     * settings give, and succeeds without it (events tell later). Thread: control. */
    int (*start)(fl_port_t *port, uint32_t queues);
    int (*stop)(fl_port_t *port);

    /* First and last call on a queue's thread. */
    int (*queue_enter)(fl_port_t *port, uint32_t queue);
    int (*queue_leave)(fl_port_t *port, uint32_t queue);

    /* Direct UDP datagrams to (address, its port) to a queue; vlan 0xffff: untagged; source of family FL_FAMILY_NONE:
     * any. The address is never the wildcard: the netstack asks for each address of the interface, again when they
     * change.
     * returns   0; -FL_ENOTSUP if the device cannot steer: then queue 0 carries everything that reaches the port at
     *           all; -FL_EEXIST or -FL_EBUSY if somebody holds a filter in the way, named in the error text
     * thread    control
     */
    int (*add_filter)(
        fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source);
    int (*remove_filter)(
        fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source);

    /* Receive a multicast group's frames. The filter comes before the join and goes after the leave; who wants the
     * group twice joins it twice, and the last leave counts. IGMP and MLD are the netstack's, or a kernel socket's that
     * it holds. Thread: control. */
    int (*join_group)(fl_port_t *port, const fl_address_t *group);
    int (*leave_group)(fl_port_t *port, const fl_address_t *group);

    /* Take received frames, at most capacity; 0 if none. Each is given back by rx_release, in any order, before more
     * than attributes.max_hold are out; the port refills its ring in both calls. Thread: queue. */
    int (*rx_burst)(fl_port_t *port, uint32_t queue, fl_rx_frame_t *frames, uint32_t capacity);
    void (*rx_release)(fl_port_t *port, uint32_t queue, const fl_rx_frame_t *frames, uint32_t count);

    /* Take transmit buffers: data and token are written. Returns how many there were; fewer than asked is normal.
     * tx_free gives back buffers that were not sent. Thread: queue. */
    int (*tx_alloc)(fl_port_t *port, uint32_t queue, fl_tx_frame_t *frames, uint32_t count);
    void (*tx_free)(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count);

    /* Transmit in order. Returns how many were accepted, from the front; their buffers are the port's again, the others
     * stay the caller's. Nothing is held back: what was accepted is on its way when the call returns. Thread: queue. */
    int (*tx_burst)(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count);

    /* Do what transmission needs (completions, credits) and write the completions of payload frames, in the order of
     * sending. Called in every cycle, also an idle one. Thread: queue. */
    int (*tx_reap)(fl_port_t *port, uint32_t queue, fl_completion_t *completions, uint32_t capacity);

    /* As in transport.h, for one queue. Thread: queue. */
    int (*arm)(fl_port_t *port, uint32_t queue);
    int (*disarm)(fl_port_t *port, uint32_t queue);

    /* Make memory usable for payload pointers. Thread: control. */
    int (*register_memory)(fl_port_t *port, void *memory, size_t length, uint64_t *region);
    int (*unregister_memory)(fl_port_t *port, uint64_t region);

    /* As in transport.h. housekeeping: conductor agent; events, stats, close: control. */
    int (*housekeeping)(fl_port_t *port, int64_t now_ns);
    int (*events)(fl_port_t *port, fl_event_t *events, uint32_t capacity);
    int (*stats)(fl_port_t *port, fl_stat_t *stats, uint32_t capacity);
    int (*close)(fl_port_t *port);
} fl_port_ops_t;

static_assert(sizeof(fl_rx_frame_t) == 32, "fl_rx_frame_t");
static_assert(sizeof(fl_tx_frame_t) == 48, "fl_tx_frame_t");

FL_END_DECLS

#endif
