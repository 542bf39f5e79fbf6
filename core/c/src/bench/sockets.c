/* Floors: UDP as fast as the raw system calls go. */
#include <errno.h>
#include <netinet/udp.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "transport/address.h"
#include "util/error.h"

#define FL_BENCH_BATCH 64
#define FL_BENCH_DATAGRAM 65536
#define FL_BENCH_SEGMENT_BYTES 65507

/* A bound, non-blocking socket, connected if there is a peer. */
static int fl_bench_socket_open(const fl_bench_params_t *params)
{
    fl_socket_name_t name;
    socklen_t length = fl_socket_name_make(&name, &params->local);
    const int fd = socket(name.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int size = (int)params->buffer_length;
    if (fd < 0 || bind(fd, &name.any, length) < 0)
    {
        goto failed;
    }
    if (size > 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
                        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0))
    {
        goto failed;
    }
    if (FL_FAMILY_NONE != params->peer.family)
    {
        length = fl_socket_name_make(&name, &params->peer);
        if (connect(fd, &name.any, length) < 0)
        {
            goto failed;
        }
    }
    return fd;

failed:;
    const int code = errno;
    if (fd >= 0)
    {
        close(fd);
    }
    return fl_error(code, "benchmark socket on port %u: %s", params->local.port, strerror(code));
}

/* ---- sending ---- */

/* Entries of one system call: each a datagram, or a run with its control message. */
typedef struct fl_bench_vector
{
    struct mmsghdr headers[FL_BENCH_BATCH];
    struct iovec vectors[FL_BENCH_BATCH];
    char control[CMSG_SPACE(sizeof(uint16_t))];
    uint32_t datagrams;    /* that one call sends at most */
} fl_bench_vector_t;

static uint8_t fl_bench_memory[FL_BENCH_BATCH * FL_BENCH_DATAGRAM];

static void fl_bench_vector_init(fl_bench_vector_t *vector, const fl_bench_params_t *params)
{
    memset(vector, 0, sizeof(*vector));
    for (int i = 0; i < FL_BENCH_BATCH; i++)
    {
        vector->vectors[i].iov_base = fl_bench_memory;
        vector->headers[i].msg_hdr.msg_iov = &vector->vectors[i];
        vector->headers[i].msg_hdr.msg_iovlen = 1;
    }
    vector->datagrams = FL_BENCH_SENDMMSG == params->method ? FL_BENCH_BATCH : 1;
    if (FL_BENCH_SEGMENT == params->method)
    {
        const uint16_t segment_length = (uint16_t)params->length;
        struct msghdr *header = &vector->headers[0].msg_hdr;
        header->msg_control = vector->control;
        header->msg_controllen = sizeof(vector->control);
        struct cmsghdr *message = CMSG_FIRSTHDR(header);
        message->cmsg_level = SOL_UDP;
        message->cmsg_type = UDP_SEGMENT;
        message->cmsg_len = CMSG_LEN(sizeof(segment_length));
        memcpy(CMSG_DATA(message), &segment_length, sizeof(segment_length));
        vector->datagrams = FL_BENCH_SEGMENT_BYTES / params->length;
        vector->datagrams = vector->datagrams > FL_BENCH_BATCH ? FL_BENCH_BATCH : vector->datagrams;
        vector->vectors[0].iov_len = (size_t)vector->datagrams * params->length;
    }
}

/* One system call. Returns the datagrams it sent; 0: no room; negative errno. */
static int fl_bench_send_once(
    int fd, fl_bench_vector_t *vector, fl_measure_lengths_t *lengths, const fl_bench_params_t *params, uint64_t *bytes)
{
    int sent;
    if (FL_BENCH_SEGMENT == params->method)
    {
        const ssize_t result = sendmsg(fd, &vector->headers[0].msg_hdr, 0);
        sent = result < 0 ? -1 : (int)vector->datagrams;
        *bytes += result < 0 ? 0 : (uint64_t)result;
    }
    else if (FL_BENCH_SENDMMSG == params->method)
    {
        for (int i = 0; i < FL_BENCH_BATCH; i++)
        {
            vector->vectors[i].iov_len = fl_measure_lengths_next(lengths);
        }
        sent = sendmmsg(fd, vector->headers, FL_BENCH_BATCH, 0);
        for (int i = 0; i < sent; i++)
        {
            *bytes += vector->headers[i].msg_len;
        }
    }
    else
    {
        const ssize_t result = send(fd, fl_bench_memory, fl_measure_lengths_next(lengths), 0);
        sent = result < 0 ? -1 : 1;
        *bytes += result < 0 ? 0 : (uint64_t)result;
    }
    if (sent < 0)
    {
        return EAGAIN == errno || ENOBUFS == errno || ECONNREFUSED == errno ? 0 : -errno;
    }
    return sent;
}

int fl_bench_socket_send(const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_measure_lengths_t lengths;
    fl_bench_vector_t vector;
    memset(result, 0, sizeof(*result));
    const int fd = fl_bench_socket_open(params);
    if (fd < 0)
    {
        return fd;
    }
    fl_bench_lengths_init(&lengths, params);
    fl_bench_vector_init(&vector, params);
    const int64_t cpu_ns = fl_measure_cpu();
    const int64_t begin_ns = fl_measure_now();
    int64_t now_ns = begin_ns;
    while (now_ns - begin_ns < params->duration_ns)
    {
        for (int i = 0; i < 16; i++)
        {
            const int sent = fl_bench_send_once(fd, &vector, &lengths, params, &result->bytes);
            result->system_calls += sent > 0;
            if (sent < 0)
            {
                close(fd);
                return fl_error(-sent, "benchmark send of %u bytes: %s", params->length, strerror(-sent));
            }
            if (0 == sent)
            {
                sched_yield();
            }
            result->messages += (uint64_t)sent;
        }
        now_ns = fl_measure_now();
    }
    result->elapsed_ns = now_ns - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
    close(fd);
    return 0;
}

/* ---- receiving ---- */

/* One system call. Returns the datagrams that came; 0 if none did. */
static int fl_bench_receive_once(int fd, struct mmsghdr *headers, const fl_bench_params_t *params, uint64_t *bytes)
{
    if (FL_BENCH_SENDTO == params->method)
    {
        const ssize_t length = recv(fd, fl_bench_memory, FL_BENCH_DATAGRAM, 0);
        *bytes += length > 0 ? (uint64_t)length : 0;
        return length >= 0 ? 1 : 0;
    }
    const uint32_t batch = FL_BENCH_SEGMENT == params->method ? 4 : FL_BENCH_BATCH;
    const int count = recvmmsg(fd, headers, batch, 0, NULL);
    int datagrams = 0;
    for (int i = 0; i < count; i++)
    {
        const uint32_t length = headers[i].msg_len;
        *bytes += length;
        datagrams += FL_BENCH_SEGMENT == params->method && params->length > 0
            ? (int)((length + params->length - 1) / params->length)
            : 1;
    }
    return datagrams;
}

int fl_bench_socket_receive(const fl_bench_params_t *params, fl_bench_result_t *result)
{
    struct mmsghdr headers[FL_BENCH_BATCH];
    struct iovec vectors[FL_BENCH_BATCH];
    fl_measure_watch_t watch;
    const int one = 1;
    memset(result, 0, sizeof(*result));
    const int fd = fl_bench_socket_open(params);
    if (fd < 0)
    {
        return fd;
    }
    if (FL_BENCH_SEGMENT == params->method && setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one)) < 0)
    {
        const int code = errno;
        close(fd);
        return fl_error(code, "UDP_GRO on a benchmark socket: %s", strerror(code));
    }
    memset(headers, 0, sizeof(headers));
    for (int i = 0; i < FL_BENCH_BATCH; i++)
    {
        vectors[i].iov_base = fl_bench_memory + (size_t)i * FL_BENCH_DATAGRAM;
        vectors[i].iov_len = FL_BENCH_DATAGRAM;
        headers[i].msg_hdr.msg_iov = &vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    fl_measure_watch_begin(&watch);
    for (;;)
    {
        const int count = fl_bench_receive_once(fd, headers, params, &result->bytes);
        result->system_calls += count > 0;
        if (count > 0)
        {
            result->messages += (uint64_t)count;
            fl_measure_watch_arrived(&watch);
        }
        else if (fl_measure_watch_is_over(&watch, params->idle_ns, params->end_fd))
        {
            break;
        }
        else
        {
            sched_yield();
        }
    }
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    close(fd);
    return 0;
}

/* ---- ping/pong ---- */

int fl_bench_socket_ping(const fl_bench_params_t *params, int64_t *samples, fl_bench_result_t *result)
{
    fl_measure_lengths_t lengths;
    memset(result, 0, sizeof(*result));
    const int fd = fl_bench_socket_open(params);
    if (fd < 0)
    {
        return fd;
    }
    fl_bench_lengths_init(&lengths, params);
    const int64_t cpu_ns = fl_measure_cpu();
    const int64_t begin_ns = fl_measure_now();
    for (uint64_t i = 0; i < params->warm_up + params->count;)
    {
        const uint32_t message_length = fl_measure_lengths_next(&lengths);
        const int64_t sent_ns = fl_measure_now();
        ssize_t length = send(fd, fl_bench_memory, message_length, 0);
        result->system_calls += length >= 0;
        while (length >= 0)
        {
            length = recv(fd, fl_bench_memory, FL_BENCH_DATAGRAM, 0);
            result->system_calls += length >= 0;
            const int64_t now_ns = fl_measure_now();
            if (length >= 0)
            {
                if (i >= params->warm_up)
                {
                    samples[i - params->warm_up] = now_ns - sent_ns;
                }
                i++;
                break;
            }
            if (EAGAIN != errno || now_ns - sent_ns > params->idle_ns)
            {
                break;   /* lost, or the other side is not there yet: the same round trip again */
            }
            length = 0;
            sched_yield();
        }
        if (fl_measure_now() - begin_ns > params->duration_ns)
        {
            close(fd);
            return fl_error(
                FL_EAGAIN, "only %llu of %llu round trips came back in the time given", (unsigned long long)i,
                (unsigned long long)(params->warm_up + params->count));
        }
    }
    result->messages = params->count;
    result->elapsed_ns = fl_measure_now() - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
    close(fd);
    return 0;
}

int fl_bench_socket_pong(const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_measure_watch_t watch;
    memset(result, 0, sizeof(*result));
    const int fd = fl_bench_socket_open(params);
    if (fd < 0)
    {
        return fd;
    }
    fl_measure_watch_begin(&watch);
    for (;;)
    {
        fl_socket_name_t name;
        socklen_t name_length = sizeof(name);
        const ssize_t length = recvfrom(fd, fl_bench_memory, FL_BENCH_DATAGRAM, 0, &name.any, &name_length);
        if (length >= 0)
        {
            sendto(fd, fl_bench_memory, (size_t)length, 0, &name.any, name_length);
            result->system_calls += 2;
            result->messages++;
            result->bytes += (uint64_t)length;
            fl_measure_watch_arrived(&watch);
        }
        else if (fl_measure_watch_is_over(&watch, params->idle_ns, params->end_fd))
        {
            break;
        }
        else
        {
            sched_yield();
        }
    }
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    close(fd);
    return 0;
}
