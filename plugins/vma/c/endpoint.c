#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "socket.h"

/* VMA takes one datagram a call, so long runs cost it nothing and gain nothing; this is what bounds a send. */
#define FL_MAX_RUN_SEGMENTS 64

static int fl_endpoint_check(const fl_transport_t *transport, const fl_endpoint_params_t *params)
{
    const fl_address_t *peer = &params->peer;
    const int code = fl_endpoint_base_check(transport, params);
    if (0 != code)
    {
        return code;
    }
    if (FL_FAMILY_IPV4 != params->bind.family ||
        (FL_FAMILY_NONE != peer->family && FL_FAMILY_IPV4 != peer->family))
    {
        return fl_host_error(
            transport->base.host, FL_EAFNOSUPPORT, "bind address of IPv%u, peer of IPv%u: VMA has IPv4 only",
            params->bind.family, peer->family);
    }
    return 0;
}

static int fl_endpoint_open_sockets(fl_endpoint_t *endpoint, const fl_endpoint_params_t *params)
{
    const fl_transport_t *transport = endpoint->base.transport;
    const bool is_multicast_publication = fl_endpoint_is_multicast_publication(params);
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
    const fl_vma_calls_t *calls = &endpoint->base.transport->library->calls;
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
    if (0 != endpoint->base.transport->library->calls.getsockname(
                 endpoint->receive_fd, (struct sockaddr *)&name, &length))
    {
        return -errno;
    }
    fl_address_from_name_v4(address, &name);
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
        fl_address_format(&endpoint->base.bound, address), amiss);
}

/* Say so where an endpoint is not offloaded. Returns 0, or the error if that is not to be. */
static int fl_endpoint_judge(fl_endpoint_t *endpoint, fl_endpoint_params_t *params)
{
    const fl_transport_t *transport = endpoint->base.transport;
    const char *amiss = fl_endpoint_ask(endpoint);
    if (NULL == amiss)
    {
        return 0;
    }
    char text[sizeof(params->note)];
    fl_endpoint_describe(endpoint, amiss, text, sizeof(text));
    if (0 != transport->settings.require_offload)
    {
        return fl_host_error(transport->base.host, FL_EADDRNOTAVAIL, "%s (transport.vma.require_offload is set)", text);
    }
    transport->base.host->log(transport->base.host, FL_LOG_WARNING, text);
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
        endpoint->base.transport->base.host->log(endpoint->base.transport->base.host, FL_LOG_WARNING, text);
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
        return fl_host_error(transport->base.host, FL_ENOMEM, "no memory for an endpoint");
    }
    opened->base.transport = transport;
    opened->has_peer = FL_FAMILY_NONE != params->peer.family;
    if (opened->has_peer)
    {
        fl_socket_name_make_v4(&opened->peer_name, &params->peer);
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
    code = fl_endpoint_read_local(opened, &opened->base.bound);
    if (0 != code)
    {
        code = fl_host_error(transport->base.host, -code, "read the bound address: %s", strerror(-code));
        goto close_sockets;
    }
    opened->local = opened->base.bound;
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
    params->max_run_length = FL_UDP_PAYLOAD_MAXIMUM;
    params->receive_clock = FL_CLOCK_SOFTWARE;

    fl_endpoint_base_open(opened);
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
    const fl_transport_t *transport = endpoint->base.transport;
    if (0 != endpoint->held && NULL == endpoint->base.poller && fl_transport_base_is_mine(transport))
    {
        char text[FL_ADDRESS_TEXT_LENGTH];
        return fl_host_error(
            transport->base.host, FL_EBUSY, "close %s: %u of its datagrams are not released",
            fl_address_format(&endpoint->base.bound, text), endpoint->held);
    }
    const int code = fl_endpoint_base_close(endpoint);
    if (code <= 0)
    {
        return code;
    }
    fl_endpoint_close_sockets(endpoint);
    free(endpoint);
    return 0;
}

int fl_endpoint_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    if (FL_FAMILY_IPV4 != peer->address.family)
    {
        return -FL_EAFNOSUPPORT;
    }
    struct sockaddr_in name;
    fl_socket_name_make_v4(&name, &peer->address);
    if (endpoint->is_connected &&
        0 != endpoint->base.transport->library->calls.connect(
                 endpoint->send_fd, (const struct sockaddr *)&name, sizeof(name)))
    {
        return -fl_socket_error(errno);
    }
    endpoint->peer_name = name;
    endpoint->has_peer = true;
    return 0;
}
