/* A frame transport in C: UDP over IPv4 with sendto and recvfrom, one datagram at a time. It is written to be read:
 * each function says what the contract in <framelane/transport.h> asks of it. It is correct and slow; framelane-sockets
 * is the fast one.
 *
 * Nothing here needs a lock: an endpoint is used by one thread at a time (control, then its poller, then control
 * again), a poller by its thread alone.
 */
#include "udp_minimal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <framelane/errors.h>

#define MAX_DATAGRAM 65507
#define RUN_SEGMENTS 64
#define POLL_BUFFERS 16      /* datagrams that one poll returns at most */

/* The three objects are the transport's own; the host only keeps pointers to them. */
struct fl_transport
{
    const fl_host_t *host;
    int open_endpoints;      /* close is refused while there are some, */
    int has_poller;          /* or a poller */
};

struct fl_endpoint
{
    fl_transport_t *transport;
    int fd;
    int is_connected;
    fl_address_t peer;       /* family FL_FAMILY_NONE: none */
    void *context;           /* what the host wants to find in received runs */
    fl_poller_t *poller;     /* NULL: on none */
    fl_endpoint_t *next;     /* on the poller */
};

/* Received memory must stay as it is until the run is released. The host releases all runs before it polls again, so
 * buffers of the poller do, and release has nothing to do. */
struct fl_poller
{
    fl_transport_t *transport;
    fl_endpoint_t *endpoints;
    fl_peer_t peers[POLL_BUFFERS];
    uint8_t buffers[POLL_BUFFERS][65536];
};

/* A call that fails on the control thread sets the error text: what was tried, on what, and why it failed. */
static int udp_minimal_fail(const fl_transport_t *transport, int code, const char *what, const fl_address_t *address)
{
    char host[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, address->bytes, host, sizeof(host));
    return fl_host_error(transport->host, code, "%s %s:%u: %s", what, host, address->port, strerror(code));
}

static struct sockaddr_in udp_minimal_to_kernel(const fl_address_t *address)
{
    struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons(address->port) };
    memcpy(&result.sin_addr, address->bytes, sizeof(result.sin_addr));
    return result;
}

/* Unused bytes are zero, so that addresses are equal when their bytes are. */
static fl_address_t udp_minimal_from_kernel(const struct sockaddr_in *address)
{
    fl_address_t result = { .family = FL_FAMILY_IPV4, .port = ntohs(address->sin_port) };
    memcpy(result.bytes, &address->sin_addr, sizeof(address->sin_addr));
    return result;
}

static int udp_minimal_is_multicast(const fl_address_t *address)
{
    return FL_FAMILY_NONE != address->family && 0xe0 == (address->bytes[0] & 0xf0);
}

/* Ask for a buffer and report what was granted: the kernel may give less, and the driver warns of that. */
static uint32_t udp_minimal_buffer(int fd, int option, uint32_t asked)
{
    int length = (int)asked;
    socklen_t size = sizeof(length);
    if (0 != asked)
    {
        setsockopt(fd, SOL_SOCKET, option, &length, size);
    }
    getsockopt(fd, SOL_SOCKET, option, &length, &size);
    return (uint32_t)length / 2;    /* the kernel counts its own overhead */
}

/* Control thread. Everything that can fail fails here: the address is bound and final when this returns. */
static int udp_minimal_open_endpoint(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **result)
{
    fl_address_t bind_address = params->bind;
    if (FL_FAMILY_NONE == bind_address.family)
    {
        bind_address.family = params->peer.family;    /* a send endpoint may leave its own address open */
    }
    /* What is not declared in the capabilities is refused, never done by halves. */
    if (FL_FAMILY_IPV4 != bind_address.family ||
        (FL_FAMILY_NONE != params->peer.family && FL_FAMILY_IPV4 != params->peer.family))
    {
        return udp_minimal_fail(transport, EAFNOSUPPORT, "only IPv4 is supported, not", &bind_address);
    }
    if (udp_minimal_is_multicast(&bind_address) || udp_minimal_is_multicast(&params->peer))
    {
        return udp_minimal_fail(transport, EOPNOTSUPP, "multicast is not supported:", &bind_address);
    }
    if (params->mtu_length > MAX_DATAGRAM)
    {
        return udp_minimal_fail(transport, EMSGSIZE, "mtu_length is above 65507 for", &bind_address);
    }

    int status = -ENOMEM;
    fl_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint)
    {
        return status;
    }
    endpoint->transport = transport;
    endpoint->peer = params->peer;
    endpoint->is_connected = 0 != (params->flags & FL_ENDPOINT_CONNECT);
    endpoint->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (endpoint->fd < 0)
    {
        status = udp_minimal_fail(transport, errno, "socket for", &bind_address);
        goto free_endpoint;
    }
    const struct sockaddr_in local = udp_minimal_to_kernel(&bind_address);
    if (0 != bind(endpoint->fd, (const struct sockaddr *)&local, sizeof(local)))
    {
        status = udp_minimal_fail(transport, errno, "bind to", &bind_address);
        goto close_socket;
    }
    const struct sockaddr_in peer = udp_minimal_to_kernel(&params->peer);
    if (endpoint->is_connected && 0 != connect(endpoint->fd, (const struct sockaddr *)&peer, sizeof(peer)))
    {
        status = udp_minimal_fail(transport, errno, "connect to", &params->peer);
        goto close_socket;
    }

    params->max_run_segments = RUN_SEGMENTS;
    params->max_run_length = MAX_DATAGRAM;
    params->send_buffer_granted = udp_minimal_buffer(endpoint->fd, SO_SNDBUF, params->send_buffer_length);
    params->receive_buffer_granted = udp_minimal_buffer(endpoint->fd, SO_RCVBUF, params->receive_buffer_length);
    params->note[0] = '\0';
    transport->open_endpoints++;
    *result = endpoint;
    return 0;

close_socket:
    close(endpoint->fd);
free_endpoint:
    free(endpoint);
    return status;
}

static int udp_minimal_close_endpoint(fl_endpoint_t *endpoint)
{
    if (NULL != endpoint->poller)
    {
        return -FL_EBUSY;
    }
    endpoint->transport->open_endpoints--;
    close(endpoint->fd);
    free(endpoint);
    return 0;
}

static int udp_minimal_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    struct sockaddr_in local;
    socklen_t length = sizeof(local);
    if (0 != getsockname(endpoint->fd, (struct sockaddr *)&local, &length))
    {
        return -errno;
    }
    *address = udp_minimal_from_kernel(&local);
    return 0;
}

/* Poller thread. What was accepted before has left already, so the new peer holds from the next send on. */
static int udp_minimal_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    const struct sockaddr_in address = udp_minimal_to_kernel(&peer->address);
    if (FL_FAMILY_IPV4 != peer->address.family)
    {
        return -FL_EAFNOSUPPORT;
    }
    if (endpoint->is_connected && 0 != connect(endpoint->fd, (const struct sockaddr *)&address, sizeof(address)))
    {
        return -errno;
    }
    endpoint->peer = peer->address;
    return 0;
}

/* Sockets could be shared out among any number of pollers. One queue keeps the example short: the table's `queues`
 * is 1, and one thread then serves sender and receiver. */
static int udp_minimal_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **result)
{
    (void)roles;
    if (0 != queue || transport->has_poller)
    {
        return fl_host_error(transport->host, FL_EBUSY, "udp-minimal has one queue, and a queue has one poller");
    }
    fl_poller_t *poller = calloc(1, sizeof(*poller));
    if (NULL == poller)
    {
        return -FL_ENOMEM;
    }
    poller->transport = transport;
    transport->has_poller = 1;
    *result = poller;
    return 0;
}

static int udp_minimal_poller_close(fl_poller_t *poller)
{
    if (NULL != poller->endpoints)
    {
        return -FL_EBUSY;
    }
    poller->transport->has_poller = 0;
    free(poller);
    return 0;
}

static int udp_minimal_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    if (NULL != endpoint->poller)
    {
        return -FL_EBUSY;
    }
    endpoint->poller = poller;
    endpoint->context = context;
    endpoint->next = poller->endpoints;
    poller->endpoints = endpoint;
    return 0;
}

static int udp_minimal_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    fl_endpoint_t **link = &poller->endpoints;
    while (NULL != *link && *link != endpoint)
    {
        link = &(*link)->next;
    }
    if (NULL == *link)
    {
        return -FL_EINVAL;
    }
    *link = endpoint->next;
    endpoint->poller = NULL;
    return 0;
}

/* Receive one datagram into buffer `index` and describe it. Returns 1, or 0 if there was none. */
static int udp_minimal_receive(fl_poller_t *poller, fl_endpoint_t *endpoint, uint32_t index, fl_run_t *run)
{
    struct sockaddr_in source;
    socklen_t source_length = sizeof(source);
    /* On a connected socket an ICMP error of an earlier datagram comes out here. It says nothing about what waits,
     * so it is taken note of by nobody and the next poll goes on. */
    const ssize_t length = recvfrom(
        endpoint->fd, poller->buffers[index], sizeof(poller->buffers[index]), 0, (struct sockaddr *)&source,
        &source_length);
    if (length < 0)
    {
        return 0;
    }
    poller->peers[index] = (fl_peer_t){ .address = udp_minimal_from_kernel(&source) };
    *run = (fl_run_t){
        .data = poller->buffers[index],
        .length = (uint32_t)length,
        .segment_length = (uint32_t)length,    /* a lone datagram is a run of one segment */
        .peer = &poller->peers[index],
        .context = endpoint->context,
    };
    return 1;
}

/* Poller thread. Never blocks, returns at most `capacity` runs, and lets endpoints take turns. */
static int udp_minimal_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    const uint32_t limit = capacity < POLL_BUFFERS ? capacity : POLL_BUFFERS;
    uint32_t count = 0;
    uint32_t before;
    do
    {
        before = count;
        for (fl_endpoint_t *e = poller->endpoints; NULL != e && count < limit; e = e->next)
        {
            count += (uint32_t)udp_minimal_receive(poller, e, count, &runs[count]);
        }
    } while (count < limit && count != before);

    /* The first one goes last, so that the next poll begins with another. */
    fl_endpoint_t *first = poller->endpoints;
    if (NULL != first && NULL != first->next)
    {
        fl_endpoint_t **end = &first->next;
        while (NULL != *end)
        {
            end = &(*end)->next;
        }
        poller->endpoints = first->next;
        first->next = NULL;
        *end = first;
    }
    return (int)count;
}

static void udp_minimal_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    (void)poller;
    (void)runs;
    (void)count;
}

/* Send one datagram. Returns 0 or a negative FL_E*. */
static int udp_minimal_send_one(
    const fl_endpoint_t *endpoint, const fl_address_t *destination, const uint8_t *data, uint32_t length)
{
    const struct sockaddr_in address = udp_minimal_to_kernel(destination);
    for (int attempt = 0;; attempt++)
    {
        if (sendto(endpoint->fd, data, length, 0, (const struct sockaddr *)&address, sizeof(address)) >= 0)
        {
            return 0;
        }
        /* The error may be an ICMP answer to an earlier datagram, delivered now: the contract asks to send once
         * more. */
        const int is_icmp = ECONNREFUSED == errno || EHOSTUNREACH == errno || ENETUNREACH == errno;
        if (!is_icmp || 0 != attempt)
        {
            return -(ENOBUFS == errno ? EAGAIN : errno);
        }
    }
}

static int udp_minimal_same(const fl_address_t *a, const fl_address_t *b)
{
    return 0 == memcmp(a, b, sizeof(*a));
}

/* Poller thread. Each run is written accepted and status. A run that is not taken whole stops what follows for the same
 * destination, which inherits the status, and nothing else. */
static int udp_minimal_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    int whole = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        fl_run_t *run = &runs[i];
        const fl_address_t *destination = NULL != run->peer ? &run->peer->address : &endpoint->peer;
        run->accepted = 0;
        const int is_valid = FL_FAMILY_IPV4 == destination->family && (0 == run->length || 0 != run->segment_length);
        run->status = is_valid ? 0 : -FL_EINVAL;
        for (uint32_t j = 0; j < i && 0 == run->status; j++)
        {
            const fl_address_t *other = NULL != runs[j].peer ? &runs[j].peer->address : &endpoint->peer;
            run->status = udp_minimal_same(other, destination) ? runs[j].status : 0;
        }

        uint32_t offset = 0;
        while (0 == run->status)
        {
            const uint32_t left = run->length - offset;
            const uint32_t length = left < run->segment_length ? left : run->segment_length;
            run->status = udp_minimal_send_one(endpoint, destination, run->data + offset, length);
            run->accepted += 0 == run->status ? 1 : 0;
            offset += length;
            if (offset >= run->length)    /* also after the one datagram of an empty run */
            {
                break;
            }
        }
        whole += 0 == run->status ? 1 : 0;
    }
    return whole;
}

static int udp_minimal_close(fl_transport_t *transport)
{
    if (0 != transport->open_endpoints || transport->has_poller)
    {
        return fl_host_error(transport->host, FL_EBUSY, "endpoints or the poller are still open");
    }
    free(transport);
    return 0;
}

/* Entries that are absent (here: poller_enter, poller_leave, reap, arm, disarm, housekeeping, events, stats and the
 * registration of memory) are filled by the host with stubs that return -FL_ENOTSUP. */
static const fl_transport_ops_t udp_minimal_table = {
    .magic = FL_TRANSPORT_MAGIC,
    .size = sizeof(fl_transport_ops_t),
    .abi_version = FL_ABI_VERSION,
    .queues = 1,
    .open_endpoint = udp_minimal_open_endpoint,
    .close_endpoint = udp_minimal_close_endpoint,
    .local_address = udp_minimal_local_address,
    .set_peer = udp_minimal_set_peer,
    .poller_open = udp_minimal_poller_open,
    .poller_close = udp_minimal_poller_close,
    .poller_add = udp_minimal_poller_add,
    .poller_remove = udp_minimal_poller_remove,
    .poll = udp_minimal_poll,
    .release = udp_minimal_release,
    .send = udp_minimal_send,
    .close = udp_minimal_close,
};

const fl_transport_ops_t *udp_minimal_ops(void)
{
    return &udp_minimal_table;
}

fl_transport_t *udp_minimal_open(const fl_host_t *host)
{
    fl_transport_t *transport = calloc(1, sizeof(*transport));
    if (NULL != transport)
    {
        transport->host = host;
    }
    return transport;
}
