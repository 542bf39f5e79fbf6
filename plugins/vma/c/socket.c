#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

/* An option, and what to call it when it is refused. */
#define FL_SET(transport, fd, level, name, value) \
    fl_socket_set(transport, fd, level, name, #name, &(value), sizeof(value))

static int fl_socket_set(
    const fl_transport_t *transport, int fd, int level, int option, const char *name, const void *value,
    socklen_t length)
{
    return 0 == transport->library->calls.setsockopt(fd, level, option, value, length)
        ? 0
        : fl_host_error(transport->base.host, fl_socket_error(errno), "set %s: %s", name, strerror(errno));
}

uint32_t fl_socket_buffer(const fl_transport_t *transport, int fd, int option, uint32_t asked)
{
    const fl_vma_calls_t *calls = &transport->library->calls;
    if (0 != asked)
    {
        const int value = asked > INT_MAX / 2 ? INT_MAX / 2 : (int)asked;
        calls->setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
    }
    int granted = 0;
    socklen_t length = sizeof(granted);
    calls->getsockopt(fd, SOL_SOCKET, option, &granted, &length);
    return 0 == asked ? (uint32_t)granted : (uint32_t)granted / 2;
}

/* The IPv4 address of an interface, by which VMA names it for multicast. */
static bool fl_interface_address(unsigned index, struct in_addr *address)
{
    char name[IF_NAMESIZE];
    struct ifaddrs *list;
    if (NULL == if_indextoname(index, name) || 0 != getifaddrs(&list))
    {
        return false;
    }
    bool is_found = false;
    for (const struct ifaddrs *entry = list; NULL != entry && !is_found; entry = entry->ifa_next)
    {
        if (NULL != entry->ifa_addr && AF_INET == entry->ifa_addr->sa_family && 0 == strcmp(entry->ifa_name, name))
        {
            *address = ((const struct sockaddr_in *)(const void *)entry->ifa_addr)->sin_addr;
            is_found = true;
        }
    }
    freeifaddrs(list);
    return is_found;
}

/* The interface for multicast by its address, INADDR_ANY if none is chosen. */
static int fl_socket_interface(
    const fl_transport_t *transport, const fl_endpoint_params_t *params, struct in_addr *interface)
{
    interface->s_addr = htonl(INADDR_ANY);
    if (FL_FAMILY_IPV4 == params->interface_address.family && !fl_address_is_wildcard(&params->interface_address))
    {
        memcpy(interface, params->interface_address.bytes, sizeof(*interface));
    }
    else if (0 != params->interface_index && !fl_interface_address(params->interface_index, interface))
    {
        return fl_host_error(
            transport->base.host, FL_EADDRNOTAVAIL, "the interface with index %u has no IPv4 address",
            params->interface_index);
    }
    return 0;
}

/* Give the socket the ring of its role. A library that leaves the socket to the kernel refuses, and the verdict on the
 * endpoint tells. */
static void fl_socket_choose_ring(const fl_transport_t *transport, int fd, uint32_t role)
{
    const fl_vma_ring_logic_t logic = {
        .mask = FL_VMA_RING_MASK_USER_ID | FL_VMA_RING_MASK_INGRESS | FL_VMA_RING_MASK_EGRESS,
        .logic = FL_VMA_RING_LOGIC_PER_USER_ID,
        .user_id = transport->ring_user_ids + (FL_ROLE_RECEIVER == role),
        .directions = 3,
    };
    transport->library->calls.setsockopt(fd, SOL_SOCKET, FL_VMA_SO_RING_ALLOC_LOGIC, &logic, sizeof(logic));
}

static int fl_socket_set_multicast(
    const fl_transport_t *transport, int fd, const fl_endpoint_params_t *params, struct in_addr interface)
{
    const int ttl = (int)params->ttl;
    int code = 0;
    if (htonl(INADDR_ANY) != interface.s_addr)
    {
        code = FL_SET(transport, fd, IPPROTO_IP, IP_MULTICAST_IF, interface);
    }
    if (0 == code && 0 != ttl)
    {
        code = FL_SET(transport, fd, IPPROTO_IP, IP_MULTICAST_TTL, ttl);
    }
    return code;
}

static int fl_socket_join(
    const fl_transport_t *transport, int fd, const fl_address_t *group, struct in_addr interface)
{
    struct ip_mreq request = { .imr_interface = interface };
    memcpy(&request.imr_multiaddr, group->bytes, sizeof(request.imr_multiaddr));
    if (0 != transport->library->calls.setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)))
    {
        const int error = errno;
        const char *next = ENODEV == error || EADDRNOTAVAIL == error
            ? "; no interface has that address, or none leads to the group: set interface= in the channel"
            : ENOBUFS == error ? "; raise net.ipv4.igmp_max_memberships"
                               : "";
        char text[FL_ADDRESS_TEXT_LENGTH];
        char address[INET_ADDRSTRLEN];
        return fl_host_error(
            transport->base.host, ENODEV == error ? FL_EADDRNOTAVAIL : fl_socket_error(error),
            "join %s on the interface of %s: %s%s", fl_address_format(group, text),
            inet_ntop(AF_INET, &interface, address, sizeof(address)), strerror(error), next);
    }
    return 0;
}

static int fl_socket_bind(const fl_transport_t *transport, int fd, const fl_address_t *address)
{
    struct sockaddr_in name;
    fl_socket_name_make_v4(&name, address);
    if (0 == transport->library->calls.bind(fd, (const struct sockaddr *)&name, sizeof(name)))
    {
        return 0;
    }
    return fl_socket_bind_error(transport->base.host, address, errno);
}

static int fl_socket_connect(const fl_transport_t *transport, int fd, const fl_address_t *peer)
{
    struct sockaddr_in name;
    fl_socket_name_make_v4(&name, peer);
    if (0 == transport->library->calls.connect(fd, (const struct sockaddr *)&name, sizeof(name)))
    {
        return 0;
    }
    const int error = errno;
    char text[FL_ADDRESS_TEXT_LENGTH];
    return fl_host_error(
        transport->base.host, fl_socket_error(error), "connect to %s: %s", fl_address_format(peer, text),
        strerror(error));
}

static int fl_socket_set_up(const fl_transport_t *transport, int fd, const fl_socket_plan_t *plan)
{
    const fl_endpoint_params_t *params = plan->params;
    const fl_vma_calls_t *calls = &transport->library->calls;
    const int on = 1;
    const int off = 0;
    struct in_addr interface;

    /* VMA looks at the flag of its own call; SOCK_NONBLOCK alone reaches the kernel's socket. */
    if (0 != calls->fcntl(fd, F_SETFL, O_NONBLOCK))
    {
        return fl_host_error(
            transport->base.host, fl_socket_error(errno), "make a socket non-blocking: %s", strerror(errno));
    }
    fl_socket_choose_ring(transport, fd, params->role);
    int code = fl_socket_interface(transport, params, &interface);
    if (0 == code && 0 != (params->flags & FL_ENDPOINT_REUSE_ADDRESS))
    {
        code = FL_SET(transport, fd, SOL_SOCKET, SO_REUSEADDR, on);
    }
    if (0 == code && plan->receives)
    {
        /* Without this the kernel's socket gets what comes to its port for any group that the host has joined. */
        calls->setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off));
        if (0 != (params->flags & FL_ENDPOINT_TIMESTAMPS))
        {
            code = FL_SET(transport, fd, SOL_SOCKET, SO_TIMESTAMPNS, on);
        }
    }
    if (0 == code)
    {
        code = fl_socket_set_multicast(transport, fd, params, interface);
    }
    if (0 == code && NULL != plan->bind)
    {
        code = fl_socket_bind(transport, fd, plan->bind);
        if (0 == code && fl_address_is_multicast(plan->bind))
        {
            code = fl_socket_join(transport, fd, plan->bind, interface);
        }
    }
    return 0 == code && NULL != plan->peer ? fl_socket_connect(transport, fd, plan->peer) : code;
}

int fl_socket_open(const fl_transport_t *transport, const fl_socket_plan_t *plan)
{
    const int fd = transport->library->calls.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
    {
        const int error = errno;
        return fl_host_error(
            transport->base.host, fl_socket_error(error),
            "open a UDP socket: %s refuses: %s; framelane transports --verbose tells what it lacks",
            transport->library->info.path, strerror(error));
    }
    const int code = fl_socket_set_up(transport, fd, plan);
    if (0 != code)
    {
        transport->library->calls.close(fd);
        return code;
    }
    return fd;
}
