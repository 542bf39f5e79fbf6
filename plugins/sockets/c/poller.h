/* A poller: the endpoints of one agent, the buffers they receive into and the vectors they send with.
 *
 * Memory of a received run is an entry of the poller: buffer, peer and local address. The host gives every run back
 * before it polls again, so that each poll finds all entries free and `release` has nothing to do.
 */
#ifndef FL_SOCKETS_POLLER_H
#define FL_SOCKETS_POLLER_H

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <framelane/receive_buffers.h>

#include "transport.h"

/* Datagrams or segmented runs that one sendmmsg takes. */
#define FL_SEND_VECTOR_LENGTH 128

/* Up to this many endpoints a poll asks every socket; beyond it asks epoll first which ones have something. On a
 * 64-bit machine with Linux 6.18 an empty recvmmsg takes 410 ns and an empty epoll_wait 170 ns, but a datagram
 * announced by epoll costs the announcement too. Measured as a ping-pong, direct is ahead with one endpoint (8.4
 * against 11.3 us), they are equal with two and three, and epoll is ahead from four on (12.1 against 14.1 us; with
 * six 10.6 against 16.0 us). */
#define FL_DIRECT_ENDPOINTS 2

/* Ready sockets that one look at epoll gives. */
#define FL_READY_CAPACITY 64

/* Control data of one entry of sendmmsg: the segment length, then the source address. */
typedef struct fl_send_control
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } segment;
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } source;
} fl_send_control_t;

/* Control data of one entry of recvmmsg: local address, segment length, timestamp. */
typedef union fl_receive_control
{
    struct cmsghdr header;
    uint8_t bytes[
        CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct timespec))];
} fl_receive_control_t;

/* Which run an entry of sendmmsg is of. */
typedef struct fl_send_entry
{
    uint32_t run;
    uint32_t segments;
} fl_send_entry_t;

struct fl_poller
{
    fl_poller_base_t base;
    uint32_t ready_turn;           /* where to begin in the next list of ready sockets */
    int epoll_fd;
    bool is_watching;              /* the sockets are in the epoll set: from the first arm, or with many endpoints */
    uint32_t receive_count;        /* entries to receive with */
    struct mmsghdr *receive_headers;
    struct iovec *receive_vectors;
    fl_receive_control_t *receive_controls;
    fl_peer_t *peers;
    fl_address_t *locals;
    fl_receive_buffers_t buffers;
    struct mmsghdr *send_headers;
    struct iovec *send_vectors;
    fl_send_control_t *send_controls;
    fl_send_entry_t *send_entries;

    _Atomic int64_t counters[FL_POLLER_COUNTERS] __attribute__((aligned(64)));
};

int fl_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller);
int fl_poller_enter(fl_poller_t *poller);
int fl_poller_leave(fl_poller_t *poller);
int fl_poller_close(fl_poller_t *poller);
int fl_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context);
int fl_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint);
int fl_poller_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity);
void fl_poller_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count);
int fl_poller_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity);
int fl_poller_arm(fl_poller_t *poller);
int fl_poller_disarm(fl_poller_t *poller);

/* Give the vectors the values that never change. */
void fl_poller_prepare_receive(fl_poller_t *poller);
void fl_poller_prepare_send(fl_poller_t *poller);

#endif
