/* What a netstack counts: one table of names, one array of values for each of its threads.
 *
 * A value is stored by its thread alone (relaxed) and read by the control thread, which adds the arrays up. The figure
 * is shown as NAME-suffix, such as dpdk-rx-fragments; where Aeron reserves a counter type for it (bypass 6.8), the
 * control plane gives it that type.
 */
#ifndef FL_NETSTACK_COUNTS_H
#define FL_NETSTACK_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(enumerator, suffix): every frame that is dropped is counted under one reason. */
#define FL_NETSTACK_COUNTS(X) \
    X(RX_PACKETS, "rx-pkts")                                /* UDP datagrams handed to an endpoint's owner */ \
    X(RX_BYTES, "rx-bytes")                                 /* their payload */ \
    X(TX_PACKETS, "tx-pkts")                                /* UDP datagrams accepted by the port */ \
    X(TX_BYTES, "tx-bytes")                                 /* their payload */ \
    X(RX_MALFORMED, "rx-malformed")                         /* lengths that contradict each other, cut short */ \
    X(RX_VLAN, "rx-other-vlan")                             /* tagged otherwise than this netstack's frames */ \
    X(RX_ETHER_TYPE, "rx-unsupported-ethernet-type") \
    X(RX_PROTOCOL, "rx-unsupported-protocol")               /* neither UDP nor what the control protocols take */ \
    X(RX_NOT_MINE, "rx-not-mine")                           /* to another MAC address, IP address or group */ \
    X(RX_NO_LISTENER, "rx-no-listener")                     /* to us, to a port that no endpoint has */ \
    X(RX_SENDER_DISCARD, "rx-sender-discard")               /* for the receiver, at the sender's queue */ \
    X(RX_RECEIVER_DISCARD, "rx-receiver-discard")           /* for the sender, at the receiver's queue */ \
    X(RX_FRAGMENTS, "rx-fragments") \
    X(RX_CHECKSUM_IP, "rx-checksum-failure-ip") \
    X(RX_CHECKSUM_UDP, "rx-checksum-failure-udp") \
    X(RX_CHECKSUM_CONTROL, "rx-checksum-failure-control")   /* of ICMP, IGMP, MLD */ \
    X(RX_STRANGER, "rx-not-connected-peer")                 /* to a connected endpoint, from somebody else */ \
    X(TX_NO_BUFFERS, "tx-nobufs")                           /* tx_alloc gave fewer than wanted */ \
    X(TX_EAGAIN, "tx-eagain")                               /* the port accepted fewer than offered */ \
    X(TX_ERROR, "tx-error")                                 /* refused for good: no route, too long, device error */ \
    X(TX_PENDING, "tx-waited-for-neighbour")                /* kept until the neighbour is known */ \
    X(TX_UNRESOLVED, "tx-unresolved")                       /* dropped: the neighbour is silent, or too many wait */ \
    X(ARP_MISS, "arp-miss")                                 /* a neighbour (ARP or NDP) was wanted and not known */ \
    X(NEIGHBOUR_REQUESTS, "neighbour-requests")             /* ARP requests and neighbour solicitations sent */ \
    X(NEIGHBOUR_ANSWERS, "neighbour-answers")               /* ARP replies and neighbour advertisements sent */ \
    X(NEIGHBOUR_FAILURES, "neighbour-failures")             /* gave up asking */ \
    X(DUPLICATE_ADDRESS, "duplicate-address")               /* somebody else claims one of our addresses */ \
    X(ECHO_ANSWERS, "echo-answers") \
    X(ECHO_LIMITED, "echo-limited")                         /* not answered: too many a second */ \
    X(UNREACHABLES, "icmp-unreachables")                    /* received */ \
    X(MULTICAST_REPORTS, "multicast-reports")               /* IGMP and MLD reports and leaves sent */ \
    X(RX_CONTROL_IGNORED, "rx-control-ignored")             /* well-formed ARP, ICMP, IGMP, NDP, MLD that asks nothing
                                                             * of us */

typedef enum fl_count
{
#define FL_COUNT_ENUMERATOR(name, suffix) FL_COUNT_##name,
    FL_NETSTACK_COUNTS(FL_COUNT_ENUMERATOR)
#undef FL_COUNT_ENUMERATOR
    FL_COUNT_LIMIT
} fl_count_t;

typedef struct fl_counts
{
    _Atomic int64_t values[FL_COUNT_LIMIT];
} fl_counts_t;

/* Thread: the one that owns the array. */
static inline void fl_counts_add(fl_counts_t *counts, fl_count_t count, int64_t delta)
{
    /* Relaxed: one writer, and the value publishes nothing else. */
    atomic_store_explicit(
        &counts->values[count], atomic_load_explicit(&counts->values[count], memory_order_relaxed) + delta,
        memory_order_relaxed);
}

#endif
