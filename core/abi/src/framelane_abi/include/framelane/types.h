/* Values that cross between the driver and a frame transport.
 *
 * Every struct here is plain data with fixed-width fields. A struct that a later version extends begins with its own
 * size; the others never change within one ABI version.
 */
#ifndef FRAMELANE_TYPES_H
#define FRAMELANE_TYPES_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define FL_BEGIN_DECLS extern "C" {
#define FL_END_DECLS }
#else
#define FL_BEGIN_DECLS
#define FL_END_DECLS
#endif

FL_BEGIN_DECLS

/* Raised by every change that is not an appended field or ops entry. Host and transport must agree exactly. */
#define FL_ABI_VERSION 1

/* First word of an ops table: "FLTR" for a datagram transport, "FLPO" for a port, "FLHO" for the host. */
#define FL_TRANSPORT_MAGIC 0x52544c46
#define FL_PORT_MAGIC 0x4f504c46
#define FL_HOST_MAGIC 0x4f484c46

/* Errors. A function returns 0 or a count, or one of these negated. The values are Linux's errno values, so a
 * transport on Linux may return -errno; any value that is not listed here is treated as FL_EIO. */
#define FL_EPERM 1
#define FL_ENOENT 2
#define FL_EIO 5
#define FL_EAGAIN 11
#define FL_ENOMEM 12
#define FL_EACCES 13
#define FL_EBUSY 16
#define FL_EEXIST 17
#define FL_ENODEV 19
#define FL_EINVAL 22
#define FL_ENOSPC 28
#define FL_EMSGSIZE 90
#define FL_ENOTSUP 95
#define FL_EAFNOSUPPORT 97
#define FL_EADDRINUSE 98
#define FL_EADDRNOTAVAIL 99
#define FL_ENETDOWN 100
#define FL_ENETUNREACH 101
#define FL_ENOBUFS 105
#define FL_ECONNREFUSED 111
#define FL_EHOSTUNREACH 113

#define FL_FAMILY_NONE 0
#define FL_FAMILY_IPV4 4
#define FL_FAMILY_IPV6 6

/* An IP address and UDP port. Unused bytes are zero, so two addresses are equal when their bytes are. */
typedef struct fl_address
{
    uint8_t family;      /* FL_FAMILY_* */
    uint8_t reserved;
    uint16_t port;       /* host byte order */
    uint32_t scope_id;   /* interface index of a link-local IPv6 address, else 0 */
    uint8_t bytes[16];   /* network byte order; IPv4 in the first four */
} fl_address_t;

/* Where a run goes to or came from.
 *
 * Memory belongs to whoever made the peer: the host for peers passed to `send` and `set_peer`, the transport for peers
 * of received runs (valid until the run is released; the host copies what it keeps). `cache` is the transport's, for
 * what resolving the address gave; it is valid while `generation` equals the transport's current one. A new peer has
 * generation 0 and an all-zero cache, and a transport's own generation is never 0. Only the thread of the poller whose
 * endpoint sends to the peer reads or writes the cache.
 */
typedef struct fl_peer
{
    fl_address_t address;
    uint64_t generation;
    uint64_t cache[6];
} fl_peer_t;

/* Flags of a run. */
#define FL_RUN_HOLD 1          /* send: memory stays in use until reaped; only inside registered memory */
#define FL_RUN_TRUNCATED 2     /* receive: the datagram was longer than the transport's buffer; the host counts it */
#define FL_RUN_TIMESTAMP 4     /* receive: timestamp_ns is set */

/* A run: one peer, one contiguous piece of memory, cut into datagrams of `segment_length` bytes, the last of which may
 * be shorter. A lone datagram is a run with segment_length equal to length. length 0 is one empty datagram.
 *
 * Send: the host fills data, length, segment_length, peer, local, flags and token; the transport writes accepted and
 * status. Receive: the transport fills everything but accepted; data is read-only for the host.
 */
typedef struct fl_run
{
    const uint8_t *data;
    uint32_t length;             /* bytes of all datagrams together */
    uint32_t segment_length;     /* bytes of each datagram but the last */
    const fl_peer_t *peer;       /* send: NULL is the connected peer; receive: the source, never NULL */
    const fl_address_t *local;   /* receive: the address it came to, NULL if unknown; send: source to use, or NULL */
    void *context;               /* receive: the pointer given to poller_add */
    int64_t timestamp_ns;        /* receive: nanoseconds since the epoch, with FL_RUN_TIMESTAMP */
    uint32_t flags;              /* FL_RUN_* */
    uint32_t accepted;           /* send: datagrams taken, counted from the front */
    int32_t status;              /* send: 0 if taken whole, else why the first one not taken was not, negative FL_E* */
    uint32_t reserved;
    uint64_t token;              /* send: returned by reap; receive: the transport's own, unchanged until released */
} fl_run_t;

/* A held run that the transport no longer uses. */
typedef struct fl_completion
{
    uint64_t token;
    int32_t status;   /* 0, or negative FL_E* if the datagrams may not have left */
    uint32_t reserved;
} fl_completion_t;

/* Who polls: bits of poller_open's roles, and the role of an endpoint. */
#define FL_ROLE_SENDER 1
#define FL_ROLE_RECEIVER 2

/* Flags of an endpoint. */
#define FL_ENDPOINT_REUSE_ADDRESS 1    /* share the port with other sockets of the host; multicast */
#define FL_ENDPOINT_TIMESTAMPS 2       /* received runs carry timestamps */
#define FL_ENDPOINT_CONNECT 4          /* connect to peer: only that peer's datagrams are received */

/* Whose clock stamps what is received. */
#define FL_CLOCK_NONE 0
#define FL_CLOCK_SOFTWARE 1
#define FL_CLOCK_HARDWARE 2           /* set but not known to be in step with real time */
#define FL_CLOCK_HARDWARE_SYNC 3

/* What open_endpoint is asked for, and what it got.
 *
 * A unicast send endpoint has its peer; a multicast one has the control group as `bind` and the data group as `peer`:
 * it sends to the data group and receives what is sent to the control group. A multicast receive endpoint has the
 * group as `bind`. A bind address whose bytes are zero is the wildcard; port 0 asks for any free port.
 */
typedef struct fl_endpoint_params
{
    uint32_t size;                    /* sizeof(fl_endpoint_params_t) of the host */
    uint32_t role;                    /* FL_ROLE_SENDER or FL_ROLE_RECEIVER */
    uint32_t flags;                   /* FL_ENDPOINT_* */
    uint32_t ttl;                     /* multicast hop limit; 0: the system's default */
    fl_address_t bind;
    fl_address_t peer;                /* family FL_FAMILY_NONE: none */
    fl_address_t interface_address;   /* of the chosen interface; family FL_FAMILY_NONE: any */
    uint32_t interface_index;         /* 0: any */
    uint32_t mtu_length;              /* of the first publication: longest datagram, bytes of UDP payload; a later one
                                       * may have longer ones, up to the max_datagram of the capabilities */
    uint32_t send_buffer_length;      /* SO_SNDBUF asked for; 0: the system's default */
    uint32_t receive_buffer_length;   /* SO_RCVBUF asked for; 0: the system's default */
    /* Written by open_endpoint. */
    uint32_t max_run_segments;        /* most datagrams that one run may hold, at least 1 */
    uint32_t max_run_length;          /* most bytes that one run may hold */
    uint32_t send_buffer_granted;     /* bytes; 0 where there is no such thing */
    uint32_t receive_buffer_granted;
    char note[256];                   /* what the user should know of this endpoint, or empty */
    uint32_t receive_clock;           /* FL_CLOCK_*: of the timestamps of received runs, with FL_ENDPOINT_TIMESTAMPS.
                                       * FL_CLOCK_NONE, also of a transport that does not know this field: runs need not
                                       * have one, and the host stamps those without when they come out of poll. Of any
                                       * other a run without a timestamp stays without */
} fl_endpoint_params_t;

/* What happened to a transport, from `events`. */
#define FL_EVENT_LINK_UP 1
#define FL_EVENT_LINK_DOWN 2
#define FL_EVENT_RESET 3               /* the device was reset; datagrams in flight are lost, endpoints live on */
#define FL_EVENT_REMOVED 4             /* the device is gone for good (transport.h, losing the device); text names it */
#define FL_EVENT_ADDRESSES_CHANGED 5
#define FL_EVENT_NOTE 6                /* something a user should know; see text */

typedef struct fl_event
{
    uint32_t kind;        /* FL_EVENT_* */
    uint32_t reserved;
    fl_address_t address; /* the address concerned, or family FL_FAMILY_NONE */
    char text[232];       /* terminated; for the log */
} fl_event_t;

/* One figure of a transport: a running total or a gauge, named as its counter is labelled. */
typedef struct fl_stat
{
    char name[56];        /* terminated, such as "sockets-rx-truncated" */
    int64_t value;
} fl_stat_t;

static_assert(sizeof(fl_address_t) == 24, "fl_address_t");
static_assert(sizeof(fl_peer_t) == 80, "fl_peer_t");
static_assert(sizeof(fl_run_t) == 72, "fl_run_t");
static_assert(sizeof(fl_completion_t) == 16, "fl_completion_t");
static_assert(sizeof(fl_event_t) == 264, "fl_event_t");
static_assert(sizeof(fl_stat_t) == 64, "fl_stat_t");

FL_END_DECLS

#endif
