#include "offload.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <framelane/address.h>

#include "acceleration.h"

/* Every kernel that has UDP_SEGMENT takes this many segments. */
#define FL_LEAST_SEGMENT_LIMIT 64
/* Where the search stops: more segments than this would be shorter than a frame header. */
#define FL_MOST_SEGMENT_LIMIT 1024
/* A datagram that every loopback interface carries whole. */
#define FL_PROBE_SEGMENT_LENGTH 1200

static bool fl_offload_takes(int fd, uint32_t segment_length, const uint8_t *data, uint32_t length)
{
    const int value = (int)segment_length;
    return 0 == setsockopt(fd, SOL_UDP, UDP_SEGMENT, &value, sizeof(value)) &&
        (ssize_t)length == send(fd, data, length, 0);
}

/* Whether a datagram to the socket's own address leaves at all: it does not where loopback is down. */
static bool fl_offload_connect_to_itself(int fd)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(name);
    return 0 == bind(fd, (struct sockaddr *)&name, length) &&
        0 == getsockname(fd, (struct sockaddr *)&name, &length) &&
        0 == connect(fd, (struct sockaddr *)&name, length) && 1 == send(fd, "", 1, 0);
}

static void fl_offload_measure(int fd, fl_sockets_offloads_t *offloads)
{
    static const uint8_t zeroes[FL_UDP_PAYLOAD_MAXIMUM];

    offloads->is_measured = 1;
    while (offloads->segment_limit < FL_MOST_SEGMENT_LIMIT)
    {
        const uint32_t next = 1 == offloads->segment_limit ? FL_LEAST_SEGMENT_LIMIT : 2 * offloads->segment_limit;
        if (!fl_offload_takes(fd, 1, zeroes, next))
        {
            break;
        }
        offloads->segment_limit = next;
    }

    uint32_t bytes = FL_UDP_PAYLOAD_MAXIMUM;
    while (bytes > FL_PROBE_SEGMENT_LENGTH && !fl_offload_takes(fd, FL_PROBE_SEGMENT_LENGTH, zeroes, bytes))
    {
        bytes /= 2;
    }
    offloads->segment_bytes = bytes;
    if (bytes <= FL_PROBE_SEGMENT_LENGTH)
    {
        offloads->segment_limit = 1;
    }
}

int fl_sockets_probe(fl_sockets_offloads_t *offloads)
{
    memset(offloads, 0, sizeof(*offloads));
    offloads->segment_limit = 1;
    offloads->segment_bytes = FL_UDP_PAYLOAD_MAXIMUM;

    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
    {
        return -errno;
    }

    const int on = 1;
    offloads->accelerator = fl_acceleration_find();
    if (FL_ACCELERATOR_NONE != offloads->accelerator)
    {
        /* What is measured on loopback is the kernel's, which accelerators leave loopback to. They do not know
         * UDP_SEGMENT, and would send a run as one datagram. */
        goto close_socket;
    }
    offloads->coalescing = 0 == setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
    if (fl_offload_connect_to_itself(fd))
    {
        fl_offload_measure(fd, offloads);
    }
    else if (0 == setsockopt(fd, SOL_UDP, UDP_SEGMENT, &on, sizeof(on)))
    {
        offloads->segment_limit = FL_LEAST_SEGMENT_LIMIT;
    }
close_socket:
    close(fd);

    const int fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd6 >= 0)
    {
        const struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
        offloads->ipv6 = 0 == bind(fd6, (const struct sockaddr *)&any, sizeof(any));
        close(fd6);
    }
    return 0;
}

uint32_t fl_offload_route_mtu(int fd, int family)
{
    int mtu = 0;
    socklen_t length = sizeof(mtu);
    const int result = AF_INET == family ? getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &length)
                                         : getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &length);
    return 0 == result && mtu > 0 ? (uint32_t)mtu : 0;
}
