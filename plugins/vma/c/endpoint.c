#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "socket.h"

#define FL_MOST_TTL 255
#define FL_ENDPOINT_FLAGS (FL_ENDPOINT_REUSE_ADDRESS | FL_ENDPOINT_TIMESTAMPS | FL_ENDPOINT_CONNECT)

/* VMA takes one datagram a call, so long runs cost it nothing and gain nothing; this is what bounds a send. */
#define FL_MAX_RUN_SEGMENTS 64

static int fl_endpoint_check(const fl_transport_t *transport, const fl_endpoint_params_t *params)
{
    const fl_address_t *peer = &params->peer;
    char text[FL_ADDRESS_TEXT_LENGTH];

    if (params->size < sizeof(*params))
    {
        return fl_host_error(
            transport->host, FL_EINVAL, "endpoint parameters have %u bytes, %zu are needed", params->size,
            sizeof(*params));
    }
    if ((FL_ROLE_SENDER != params->role && FL_ROLE_RECEIVER != params->role) || params->ttl > FL_MOST_TTL ||
        0 != (params->flags & ~(uint32_t)FL_ENDPOINT_FLAGS))
    {
        return fl_host_error(
            transport->host, FL_EINVAL, "endpoint with role %u, flags 0x%x, ttl %u: not in the ABI", params->role,
            params->flags, params->ttl);
    }
    if (FL_FAMILY_IPV4 != params->bind.family ||
        (FL_FAMILY_NONE != peer->family && FL_FAMILY_IPV4 != peer->family))
    {
        return fl_host_error(
            transport->host, FL_EAFNOSUPPORT, "bind address of IPv%u, peer of IPv%u: VMA has IPv4 only",
            params->bind.family, peer->family);
    }
    const bool is_multicast_publication = FL_ROLE_SENDER == params->role && fl_address_is_multicast(&params->bind);
    if (FL_FAMILY_NONE == peer->family && (0 != (params->flags & FL_ENDPOINT_CONNECT) || is_multicast_publication))
    {
        return fl_host_error(
            transport->host, FL_EINVAL, "endpoint %s needs a peer to connect to",
            fl_address_format(&params->bind, text));
    }
    if (params->mtu_length > FL_MAX_DATAGRAM)
    {
        return fl_host_error(
            transport->host, FL_EMSGSIZE, "mtu of %u bytes: UDP carries at most %d", params->mtu_length,
            FL_MAX_DATAGRAM);
    }
    return 0;
}

static int fl_endpoint_open_sockets(fl_endpoint_t *endpoint, const fl_endpoint_params_t *params)
{
    const fl_transport_t *transport = endpoint->transport;
    const bool is_multicast_publication = FL_ROLE_SENDER == params->role && fl_address_is_multicast(&params->bind);
    const bool is_connecting = 0 != (params->flags & FL_ENDPOINT_CONNECT);

    endpoint->is_connected = is_connecting || is_multicast_publication;
    endpoint->hears_peer_only = is_connecting && !is_multicast_publication;
    const fl_socket_plan_t receiving = {
        .params = params,
        .bind = &params->bind,
        .peer = endpoint->hears_peer_only ? &params->peer : NULL,
        .receives = true,
    };
    endpoint->receive_fd = fl_socket_open(transport, &receiving);
    if (endpoint->receive_fd < 0)
    {
        return endpoint->receive_fd;
    }
    endpoint->send_fd = endpoint->receive_fd;
    if (is_multicast_publication)
    {
        const fl_socket_plan_t sending = { .params = params, .peer = &params->peer };
        endpoint->send_fd = fl_socket_open(transport, &sending);
        if (endpoint->send_fd < 0)
        {
            transport->library->calls.close(endpoint->receive_fd);
            return endpoint->send_fd;
        }
    }
    return 0;
}

static void fl_endpoint_close_sockets(const fl_endpoint_t *endpoint)
{
    const fl_vma_calls_t *calls = &endpoint->transport->library->calls;
    if (endpoint->send_fd != endpoint->receive_fd)
    {
        calls->close(endpoint->send_fd);
    }
    calls->close(endpoint->receive_fd);
}

static int fl_endpoint_read_local(const fl_endpoint_t *endpoint, fl_address_t *address)
{
    struct sockaddr_in name;
    socklen_t length = sizeof(name);
    if (0 != endpoint->transport->library->calls.getsockname(
                 endpoint->receive_fd, (struct sockaddr *)&name, &length))
    {
        return -errno;
    }
    fl_address_from_name(address, &name);
    return 0;
}

/* Ask VMA whether it moves the endpoint's datagrams itself. Returns what is amiss, NULL if nothing is. */
static const char *fl_endpoint_ask(fl_endpoint_t *endpoint)
{
    const fl_offload_t receives = fl_vma_receives_offloaded(endpoint->receive_fd);
    const fl_offload_t sends =
        endpoint->is_connected ? fl_vma_sends_offloaded(endpoint->send_fd, &endpoint->first_peer) : FL_OFFLOAD_YES;

    endpoint->offload = FL_OFFLOAD_NO == receives || FL_OFFLOAD_NO == sends ? FL_OFFLOAD_NO
        : FL_OFFLOAD_YES == receives && FL_OFFLOAD_YES == sends             ? FL_OFFLOAD_YES
                                                                            : FL_OFFLOAD_UNKNOWN;
    if (FL_OFFLOAD_NO != endpoint->offload)
    {
        return NULL;
    }
    return FL_OFFLOAD_NO != receives ? "send from" : FL_OFFLOAD_NO != sends ? "receive on" : "receive on and send from";
}

static void fl_endpoint_describe(const fl_endpoint_t *endpoint, const char *amiss, char *text, size_t length)
{
    char address[FL_ADDRESS_TEXT_LENGTH];
    snprintf(
        text, length, "%s is not offloaded: VMA has no ring to %s it by, so its datagrams go through the kernel; "
        "its address has to be on a ConnectX interface, and libvma.conf has to allow it",
        fl_address_format(&endpoint->bound, address), amiss);
}

/* Say so where an endpoint is not offloaded. Returns 0, or the error if that is not to be. */
static int fl_endpoint_judge(fl_endpoint_t *endpoint, fl_endpoint_params_t *params)
{
    const fl_transport_t *transport = endpoint->transport;
    const char *amiss = fl_endpoint_ask(endpoint);
    if (NULL == amiss)
    {
        return 0;
    }
    char text[sizeof(params->note)];
    fl_endpoint_describe(endpoint, amiss, text, sizeof(text));
    if (0 != transport->settings.require_offload)
    {
        return fl_host_error(transport->host, FL_EADDRNOTAVAIL, "%s (transport.vma.require_offload is set)", text);
    }
    transport->host->log(transport->host, FL_LOG_WARNING, text);
    memcpy(params->note, text, sizeof(text));
    return 0;
}

void fl_endpoint_review(fl_endpoint_t *endpoint)
{
    const char *amiss = FL_OFFLOAD_UNKNOWN == endpoint->offload ? fl_endpoint_ask(endpoint) : NULL;
    if (NULL != amiss)
    {
        char text[256];
        fl_endpoint_describe(endpoint, amiss, text, sizeof(text));
        endpoint->transport->host->log(endpoint->transport->host, FL_LOG_WARNING, text);
    }
}

int fl_endpoint_open(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **endpoint)
{
    int code = fl_endpoint_check(transport, params);
    if (0 != code)
    {
        return code;
    }
    fl_endpoint_t *opened = calloc(1, sizeof(*opened));
    if (NULL == opened)
    {
        return fl_host_error(transport->host, FL_ENOMEM, "no memory for an endpoint");
    }
    opened->transport = transport;
    opened->has_peer = FL_FAMILY_NONE != params->peer.family;
    if (opened->has_peer)
    {
        fl_name_from_address(&opened->peer_name, &params->peer);
        opened->first_peer = opened->peer_name;
    }
    /* A datagram taken without copying brings no timestamp (bypass-apis 3.5). */
    opened->is_zero_copy = 0 != transport->settings.zero_copy && 0 != transport->library->info.has_zero_copy &&
        0 == (params->flags & FL_ENDPOINT_TIMESTAMPS);

    code = fl_endpoint_open_sockets(opened, params);
    if (0 != code)
    {
        goto free_endpoint;
    }
    code = fl_endpoint_read_local(opened, &opened->bound);
    if (0 != code)
    {
        code = fl_host_error(transport->host, -code, "read the bound address: %s", strerror(-code));
        goto close_sockets;
    }
    opened->local = opened->bound;
    params->note[0] = '\0';
    code = fl_endpoint_judge(opened, params);
    if (0 != code)
    {
        goto close_sockets;
    }
    params->send_buffer_granted = fl_socket_buffer(transport, opened->send_fd, SO_SNDBUF, params->send_buffer_length);
    params->receive_buffer_granted =
        fl_socket_buffer(transport, opened->receive_fd, SO_RCVBUF, params->receive_buffer_length);
    params->max_run_segments = FL_MAX_RUN_SEGMENTS;
    params->max_run_length = FL_MAX_DATAGRAM;
    params->receive_clock = FL_CLOCK_SOFTWARE;

    opened->next_open = transport->endpoints;
    transport->endpoints = opened;
    *endpoint = opened;
    return 0;

close_sockets:
    fl_endpoint_close_sockets(opened);
free_endpoint:
    free(opened);
    return code;
}

int fl_endpoint_close(fl_endpoint_t *endpoint)
{
    fl_transport_t *transport = endpoint->transport;
    char text[FL_ADDRESS_TEXT_LENGTH];
    if (!fl_transport_is_mine(transport))
    {
        return 0;
    }
    if (NULL != endpoint->poller)
    {
        return fl_host_error(
            transport->host, FL_EBUSY, "close %s: it is still on a poller", fl_address_format(&endpoint->bound, text));
    }
    if (0 != endpoint->held)
    {
        return fl_host_error(
            transport->host, FL_EBUSY, "close %s: %u of its datagrams are not released",
            fl_address_format(&endpoint->bound, text), endpoint->held);
    }

    fl_endpoint_t **link = &transport->endpoints;
    while (*link != endpoint)
    {
        link = &(*link)->next_open;
    }
    *link = endpoint->next_open;
    fl_endpoint_close_sockets(endpoint);
    free(endpoint);
    return 0;
}

int fl_endpoint_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    *address = endpoint->bound;
    return 0;
}

int fl_endpoint_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    if (FL_FAMILY_IPV4 != peer->address.family)
    {
        return -FL_EAFNOSUPPORT;
    }
    struct sockaddr_in name;
    fl_name_from_address(&name, &peer->address);
    if (endpoint->is_connected &&
        0 != endpoint->transport->library->calls.connect(
                 endpoint->send_fd, (const struct sockaddr *)&name, sizeof(name)))
    {
        return -fl_socket_error(errno);
    }
    endpoint->peer_name = name;
    endpoint->has_peer = true;
    return 0;
}
