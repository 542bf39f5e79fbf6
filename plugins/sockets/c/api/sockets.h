/* What the plugin offers to Python, in the subset of C that cffi parses. */
#ifndef FL_API_SOCKETS_H
#define FL_API_SOCKETS_H

#include <framelane/transport.h>

/* The settings of `[transport.sockets]`. */
typedef struct fl_sockets_settings
{
    uint32_t segmentation;      /* 1: send runs with UDP_SEGMENT where the kernel and the route allow it */
    uint32_t coalescing;        /* 1: receive runs with UDP_GRO where the kernel has it */
    uint32_t receive_buffers;   /* of 64 KiB each, per poller; 1 to 256 */
    uint32_t busy_poll_us;      /* SO_BUSY_POLL of every socket that receives; 0: the system's default */
} fl_sockets_settings_t;

/* A library that was preloaded and has the process's socket calls. */
#define FL_ACCELERATOR_NONE 0
#define FL_ACCELERATOR_ONLOAD 1
#define FL_ACCELERATOR_VMA 2
#define FL_ACCELERATOR_XLIO 3

/* What the running kernel does for a UDP socket. */
typedef struct fl_sockets_offloads
{
    uint32_t segment_limit;     /* most datagrams of one send with UDP_SEGMENT; 1: the kernel does not segment */
    uint32_t segment_bytes;     /* most bytes of one such send */
    uint32_t is_measured;       /* 0: loopback is down, so the limit is the least of any kernel that segments */
    uint32_t coalescing;        /* 1: the kernel has UDP_GRO */
    uint32_t ipv6;              /* 1: the kernel has IPv6 */
    uint32_t accelerator;       /* FL_ACCELERATOR_*; with one, datagrams are not joined on either way */
} fl_sockets_offloads_t;

/* Find out what the kernel does, with a few sends over loopback. Returns 0, or negative FL_E* if no UDP socket could be
 * made. Any thread. */
int fl_sockets_probe(fl_sockets_offloads_t *offloads);

/* Open the transport.
 *
 * host          checked for magic and version; outlives the transport
 * text, length  on failure: why, terminated
 * transport     set on success; closed by the ops table's `close`
 * thread        control
 */
int fl_sockets_open(
    const fl_host_t *host,
    const fl_sockets_settings_t *settings,
    char *text,
    size_t length,
    fl_transport_t **transport);

/* What fl_sockets_open found out about the kernel. */
void fl_sockets_offloads(const fl_transport_t *transport, fl_sockets_offloads_t *offloads);

const fl_transport_ops_t *fl_sockets_ops(void);

#endif
