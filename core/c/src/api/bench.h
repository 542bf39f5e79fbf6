/* Loops that the benchmarks time: ours and, as floors, the raw system calls. Each runs in a process of its own, in C
 * from the first datagram to the last; the sending side runs for a time, the receiving side until it is told that this
 * is over and nothing came for a while.
 */
#ifndef FL_API_BENCH_H
#define FL_API_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "api/client.h"
#include "api/transport.h"

/* How a floor moves datagrams. */
#define FL_BENCH_SENDTO 0          /* sendto and recvfrom */
#define FL_BENCH_SENDMMSG 1        /* sendmmsg and recvmmsg */
#define FL_BENCH_SEGMENT 2         /* sendmsg with UDP_SEGMENT, recvmsg with UDP_GRO */

#define FL_BENCH_LARGEST 65504    /* longest datagram that Aeron sends, bytes (wire 1.1) */

typedef struct fl_bench_params
{
    fl_address_t local;
    fl_address_t peer;             /* of the sending side */
    uint32_t length;               /* of a message or datagram, bytes; 0: uniform between min_length and max_length */
    uint32_t min_length;
    uint32_t max_length;
    uint32_t seed;                 /* of the mixed lengths */
    uint32_t method;               /* FL_BENCH_*, of the floors */
    uint32_t buffer_length;        /* SO_SNDBUF and SO_RCVBUF; 0: the system's default */
    int64_t duration_ns;           /* sending side: how long */
    int64_t idle_ns;               /* receiving side: end this long after the last one, if the sending side has ended */
    int32_t end_fd;                /* receiving side: readable when the sending side has ended */
    uint64_t count;                /* ping: how many round trips */
    uint64_t warm_up;              /* ping: how many before those */
    uint64_t region_length;        /* transport loops: memory walked through that is sent from, and that what comes is
                                    * copied out to; 0: from one place, and nothing is copied out */
    int64_t warm_up_ns;            /* publish and subscribe: time that is not counted; new terms cost page faults */
} fl_bench_params_t;

typedef struct fl_bench_result
{
    uint64_t messages;             /* or datagrams */
    uint64_t warm_up_messages;     /* that came before and are not among them; cpu_ns is of both */
    uint64_t bytes;
    uint64_t system_calls;         /* of the loop itself, those that moved something; 0 where it makes none */
    int64_t elapsed_ns;            /* receiving side: from the first to the last */
    int64_t cpu_ns;                /* of the process */
} fl_bench_result_t;

/* Floors over UDP sockets. Returns 0 or a negative FL_E* with text. */
int fl_bench_socket_send(const fl_bench_params_t *params, fl_bench_result_t *result);
int fl_bench_socket_receive(const fl_bench_params_t *params, fl_bench_result_t *result);

/* A raw ping/pong: round trip times in ns into samples[params->count]; pong answers until the end. Both
 * poll their sockets and yield the processor in between. */
int fl_bench_socket_ping(const fl_bench_params_t *params, int64_t *samples, fl_bench_result_t *result);
int fl_bench_socket_pong(const fl_bench_params_t *params, fl_bench_result_t *result);

/* The same through a transport's ops, without a driver. system_calls stays 0: the transport's stats tell. Sending is
 * timed from the first call that was taken whole: a transport that resolves its neighbours itself is polled until then,
 * for 10 s at most (-FL_EHOSTUNREACH). */
int fl_bench_transport_send(fl_binding_t *binding, const fl_bench_params_t *params, fl_bench_result_t *result);
int fl_bench_transport_receive(fl_binding_t *binding, const fl_bench_params_t *params, fl_bench_result_t *result);

/* The floor for IPC: messages copied into a ring in shared memory, and counted at the other end.
 *
 * memory   zeroed, shared by both sides, FL_BENCH_RING_LENGTH bytes
 */
#define FL_BENCH_RING_LENGTH 16777472
int fl_bench_ring_send(void *memory, const fl_bench_params_t *params, fl_bench_result_t *result);
int fl_bench_ring_receive(void *memory, const fl_bench_params_t *params, fl_bench_result_t *result);

/* How far the processors of both sides are from each other: the time of a word there and back, ns, the median of
 * windows of round trips, for 5 ms at most, once the scheduler has given them one each, for which it has 30 ms. Both
 * call it just before their loops: on virtual processors it changes from one loop to the next, and with it what a loop
 * gives.
 *
 * memory   zeroed, shared by both sides, FL_BENCH_HANDOVER_LENGTH bytes
 * end_fd   readable when the leading side will not come
 *
 * fl_bench_handover_lead returns the time, 0 if both sides share a processor, or -FL_EHOSTUNREACH if the following side
 * did not answer for 10 s.
 */
#define FL_BENCH_HANDOVER_LENGTH 4096
int64_t fl_bench_handover_lead(void *memory);
void fl_bench_handover_follow(void *memory, int32_t end_fd);

/* Through a driver: offer for duration_ns; poll until the end. */
int fl_bench_publish(
    fl_client_publication_t *publication, const fl_bench_params_t *params, fl_bench_result_t *result);
int fl_bench_subscribe(
    fl_client_subscription_t *subscription, const fl_bench_params_t *params, fl_bench_result_t *result);
int fl_bench_ping(fl_client_publication_t *publication, fl_client_subscription_t *subscription,
    const fl_bench_params_t *params, int64_t *samples, fl_bench_result_t *result);
int fl_bench_pong(fl_client_publication_t *publication, fl_client_subscription_t *subscription,
    const fl_bench_params_t *params, fl_bench_result_t *result);

#endif
