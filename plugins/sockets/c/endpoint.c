#include "endpoint.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acceleration.h"
#include "offload.h"
#include "poller.h"
#include "socket.h"

/* Append to params->note what fits whole; the rest goes to `events`. */
static void fl_endpoint_note(fl_endpoint_t *endpoint, fl_endpoint_params_t *params, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fl_endpoint_note(fl_endpoint_t *endpoint, fl_endpoint_params_t *params, const char *format, ...)
{
    char text[sizeof(params->note)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    const char *separator = '\0' == params->note[0] ? "" : "; ";
    if (strlen(params->note) + strlen(separator) + strlen(text) < sizeof(params->note))
    {
        strcat(strcat(params->note, separator), text);
    }
    else
    {
        fl_transport_note(endpoint->base.transport, &endpoint->base.bound, text);
    }
}

static int fl_endpoint_check(const fl_transport_t *transport, const fl_endpoint_params_t *params)
{
    const fl_address_t *peer = &params->peer;
    char text[FL_ADDRESS_TEXT_LENGTH];

    const int code = fl_endpoint_base_check(transport, params);
    if (0 != code)
    {
        return code;
    }
    if (FL_FAMILY_IPV4 != params->bind.family && FL_FAMILY_IPV6 != params->bind.family)
    {
        return fl_host_error(transport->base.host, FL_EAFNOSUPPORT, "bind address of family %u", params->bind.family);
    }
    if (FL_FAMILY_NONE != peer->family && peer->family != params->bind.family)
    {
        return fl_host_error(
            transport->base.host, FL_EAFNOSUPPORT, "peer %s is not of the bind address's family IPv%u",
            fl_address_format(peer, text), params->bind.family);
    }
    return 0;
}

static int fl_endpoint_open_sockets(fl_endpoint_t *endpoint, const fl_endpoint_params_t *params)
{
    const fl_transport_t *transport = endpoint->base.transport;
    const bool is_multicast_publication = fl_endpoint_is_multicast_publication(params);
    const bool is_connecting = 0 != (params->flags & FL_ENDPOINT_CONNECT);

    endpoint->is_connected = is_connecting || is_multicast_publication;
    endpoint->is_wildcard = fl_address_is_wildcard(&params->bind) && !is_connecting;
    const fl_socket_plan_t receiving = {
        .params = params,
        .bind = &params->bind,
        .peer = is_connecting && !is_multicast_publication ? &params->peer : NULL,
        .receives = true,
        .tells_local = endpoint->is_wildcard,
        .coalesces = 0 != transport->settings.coalescing && 0 != transport->offloads.coalescing &&
            0 == (params->flags & FL_ENDPOINT_TIMESTAMPS),
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
            close(endpoint->receive_fd);
            return endpoint->send_fd;
        }
    }
    return 0;
}

static void fl_endpoint_close_sockets(const fl_endpoint_t *endpoint)
{
    if (endpoint->send_fd != endpoint->receive_fd)
    {
        close(endpoint->send_fd);
    }
    close(endpoint->receive_fd);
}

static int fl_endpoint_read_local(const fl_endpoint_t *endpoint, fl_address_t *address)
{
    fl_socket_name_t name;
    socklen_t length = sizeof(name);
    if (0 != getsockname(endpoint->receive_fd, &name.any, &length))
    {
        return -errno;
    }
    fl_address_from_name(address, &name);
    return 0;
}

/* The MTU of the route to the peer, 0 if there is none to tell. An endpoint that is not connected asks with a socket
 * that is. */
static uint32_t fl_endpoint_route_mtu(const fl_endpoint_t *endpoint)
{
    if (endpoint->is_connected)
    {
        return fl_offload_route_mtu(endpoint->send_fd, endpoint->family);
    }
    if (0 == endpoint->peer_length)
    {
        return 0;
    }
    const int fd = socket(endpoint->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint32_t mtu = 0;
    if (fd >= 0)
    {
        mtu = 0 == connect(fd, &endpoint->peer_name.any, endpoint->peer_length)
            ? fl_offload_route_mtu(fd, endpoint->family)
            : 0;
        close(fd);
    }
    return mtu;
}

/* Decide whether runs are segmented. The kernel does not fragment segments: one with its headers must fit the route's
 * MTU. Returns that MTU if it is what forbids segmentation, else 0. Does not block. */
static uint32_t fl_endpoint_choose_segmentation(fl_endpoint_t *endpoint)
{
    const fl_transport_t *transport = endpoint->base.transport;
    const uint32_t headers = AF_INET == endpoint->family ? FL_IPV4_HEADERS : FL_IPV6_HEADERS;
    const uint32_t mtu = fl_endpoint_route_mtu(endpoint);
    const bool fits = 0 == mtu || endpoint->mtu_length + headers <= mtu;

    endpoint->is_segmenting = 0 != transport->settings.segmentation && transport->offloads.segment_limit > 1 && fits;
    return fits ? 0 : mtu;
}

static void fl_endpoint_set_buffers(fl_endpoint_t *endpoint, fl_endpoint_params_t *params)
{
    params->send_buffer_granted = fl_socket_buffer(endpoint->send_fd, SO_SNDBUF, params->send_buffer_length);
    params->receive_buffer_granted = fl_socket_buffer(endpoint->receive_fd, SO_RCVBUF, params->receive_buffer_length);
    if (params->send_buffer_granted < params->send_buffer_length)
    {
        fl_endpoint_note(
            endpoint, params, "send buffer: asked %u bytes, got %u; sysctl -w net.core.wmem_max=%u",
            params->send_buffer_length, params->send_buffer_granted, params->send_buffer_length);
    }
    if (params->receive_buffer_granted < params->receive_buffer_length)
    {
        fl_endpoint_note(
            endpoint, params, "receive buffer: asked %u bytes, got %u; sysctl -w net.core.rmem_max=%u",
            params->receive_buffer_length, params->receive_buffer_granted, params->receive_buffer_length);
    }
}

static void fl_endpoint_set_busy_poll(fl_endpoint_t *endpoint, fl_endpoint_params_t *params)
{
    const int busy_poll_us = (int)endpoint->base.transport->settings.busy_poll_us;
    if (0 != busy_poll_us &&
        0 != setsockopt(endpoint->receive_fd, SOL_SOCKET, SO_BUSY_POLL, &busy_poll_us, sizeof(busy_poll_us)))
    {
        fl_endpoint_note(endpoint, params, "busy_poll_us %d is not set: %s", busy_poll_us, strerror(errno));
    }
}

/* Ask the accelerator, if there is one, about the endpoint's sockets, and say so where it does not accelerate them. */
static void fl_endpoint_judge_acceleration(fl_endpoint_t *endpoint, fl_endpoint_params_t *params)
{
    const fl_host_t *host = endpoint->base.transport->base.host;
    const uint32_t accelerator = endpoint->base.transport->offloads.accelerator;
    if (FL_ACCELERATOR_NONE == accelerator)
    {
        return;
    }
    const int receives = fl_acceleration_of(accelerator, endpoint->receive_fd);
    const int sends = fl_acceleration_of(accelerator, endpoint->send_fd);
    if (receives > 0 && sends > 0)
    {
        return;
    }
    const char *name = fl_acceleration_name(accelerator);
    char address[FL_ADDRESS_TEXT_LENGTH];
    char text[128];
    endpoint->is_not_accelerated = receives >= 0;
    snprintf(
        text, sizeof(text), receives < 0 ? "%s: whether %s accelerates it cannot be asked"
                                         : "%s is not accelerated: %s leaves it to the kernel",
        fl_address_format(&endpoint->base.bound, address), name);
    host->log(host, FL_LOG_WARNING, text);
    fl_endpoint_note(endpoint, params, "%s", text);
}

/* Remember which interface multicast takes, for fl_endpoint_follow_interface(). */
static void fl_endpoint_note_interface(fl_endpoint_t *endpoint, const fl_endpoint_params_t *params)
{
    const bool has_address = FL_FAMILY_NONE != params->interface_address.family &&
        !fl_address_is_wildcard(&params->interface_address);
    if (fl_address_is_multicast(&params->bind) && has_address)
    {
        fl_socket_interface(endpoint->base.transport, params, &endpoint->interface_index);
        endpoint->interface_address = params->interface_address;
        endpoint->group = params->bind;
        endpoint->ttl = params->ttl;
    }
}

void fl_endpoint_follow_interface(fl_endpoint_t *endpoint)
{
    char name[IF_NAMESIZE];
    if (0 == endpoint->interface_index || NULL != if_indextoname(endpoint->interface_index, name))
    {
        return;
    }
    const unsigned index = fl_interface_of(&endpoint->interface_address);
    if (0 == index || NULL == if_indextoname(index, name))
    {
        return;   /* not there yet */
    }
    const fl_endpoint_params_t params = { .interface_address = endpoint->interface_address, .ttl = endpoint->ttl };
    const fl_socket_plan_t receiving = { .params = &params, .bind = &endpoint->group };
    const fl_socket_plan_t sending = { .params = &params };
    int code = fl_socket_move(
        endpoint->base.transport, endpoint->receive_fd, &receiving, endpoint->interface_index, index);
    if (0 == code && endpoint->send_fd != endpoint->receive_fd)
    {
        code = fl_socket_move(endpoint->base.transport, endpoint->send_fd, &sending, endpoint->interface_index, index);
    }
    char group[FL_ADDRESS_TEXT_LENGTH];
    char text[128];
    snprintf(
        text, sizeof(text), "%s: interface %s was made again: %s", fl_address_format(&endpoint->group, group), name,
        0 == code ? "joined and sending there" : "joining it failed");
    fl_transport_note(endpoint->base.transport, &endpoint->base.bound, text);
    endpoint->interface_index = index;
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
    opened->generation = transport->base.generation;
    opened->mtu_length = params->mtu_length;
    opened->is_any_address = fl_address_is_wildcard(&params->bind);
    opened->family = FL_FAMILY_IPV4 == params->bind.family ? AF_INET : AF_INET6;
    opened->peer_length = fl_socket_name_make(&opened->peer_name, &params->peer);

    code = fl_endpoint_open_sockets(opened, params);
    if (0 != code)
    {
        goto free_endpoint;
    }
    code = fl_endpoint_read_local(opened, &opened->base.bound);
    if (0 != code)
    {
        code = fl_host_error(
            transport->base.host, fl_socket_error(-code), "read the bound address: %s", strerror(-code));
        goto close_sockets;
    }
    opened->local = opened->base.bound;
    fl_endpoint_note_interface(opened, params);

    params->note[0] = '\0';
    const uint32_t short_mtu = fl_endpoint_choose_segmentation(opened);
    if (0 != short_mtu && 0 != transport->settings.segmentation)
    {
        fl_endpoint_note(
            opened, params, "no UDP segmentation: mtu of %u bytes exceeds the route's %u", params->mtu_length,
            short_mtu);
    }
    fl_endpoint_set_buffers(opened, params);
    fl_endpoint_set_busy_poll(opened, params);
    fl_endpoint_judge_acceleration(opened, params);
    params->max_run_segments =
        opened->is_segmenting ? transport->offloads.segment_limit : FL_SEND_VECTOR_LENGTH;
    params->max_run_length = opened->is_segmenting ? transport->offloads.segment_bytes : FL_UDP_PAYLOAD_MAXIMUM;
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
    const int code = fl_endpoint_base_close(endpoint);
    if (code <= 0)
    {
        return code;
    }
    fl_endpoint_report(endpoint);
    endpoint->base.transport->closed_overflows += fl_endpoint_overflows(endpoint);
    fl_endpoint_close_sockets(endpoint);
    free(endpoint);
    return 0;
}

int fl_endpoint_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    fl_socket_name_t name;
    const socklen_t length = fl_socket_name_make(&name, &peer->address);
    if (name.any.sa_family != endpoint->family)
    {
        return -FL_EAFNOSUPPORT;
    }
    if (endpoint->is_connected)
    {
        const bool rebind = endpoint->is_any_address && endpoint->send_fd == endpoint->receive_fd;
        const int result = fl_socket_connect(endpoint->send_fd, &name, length, rebind);
        if (0 != result)
        {
            /* A socket that had to let go of its old peer goes back to it. */
            fl_socket_connect(endpoint->send_fd, &endpoint->peer_name, endpoint->peer_length, rebind);
            return -fl_socket_error(-result);
        }
        fl_endpoint_read_local(endpoint, &endpoint->local);
    }
    endpoint->peer_name = name;
    endpoint->peer_length = length;
    fl_endpoint_choose_segmentation(endpoint);
    return 0;
}

int64_t fl_endpoint_overflows(const fl_endpoint_t *endpoint)
{
    uint32_t memory[SK_MEMINFO_VARS] = { 0 };
    socklen_t length = sizeof(memory);
    getsockopt(endpoint->receive_fd, SOL_SOCKET, SO_MEMINFO, memory, &length);
    return memory[SK_MEMINFO_DROPS];
}

void fl_endpoint_report(fl_endpoint_t *endpoint)
{
    /* Relaxed: pairs with the store of fl_endpoint_send; the errno is all that is passed. */
    const int error = atomic_exchange_explicit(&endpoint->segmentation_refused, 0, memory_order_relaxed);
    if (0 != error)
    {
        char address[FL_ADDRESS_TEXT_LENGTH];
        char text[sizeof(((fl_event_t *)0)->text)];
        snprintf(
            text, sizeof(text), "endpoint %s: the kernel no longer takes UDP segmentation (%s); datagrams go singly",
            fl_address_format(&endpoint->base.bound, address), strerror(error));
        fl_transport_note(endpoint->base.transport, &endpoint->base.bound, text);
    }
}
