#include "socket.h"

#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acceleration.h"

/* How often another port is tried when the one that the kernel picked is taken while it is being locked. */
#define FL_PORT_ATTEMPTS 16

/* An option, and what to call it when it is refused. */
#define FL_SET(transport, fd, level, name, value) \
    fl_socket_set(transport, fd, level, name, #name, &(value), sizeof(value))

static int fl_socket_set(
    const fl_transport_t *transport, int fd, int level, int option, const char *name, const void *value,
    socklen_t length)
{
    return 0 == setsockopt(fd, level, option, value, length)
        ? 0
        : fl_host_error(transport->base.host, fl_socket_error(errno), "set %s: %s", name, strerror(errno));
}

uint32_t fl_socket_buffer(int fd, int option, uint32_t asked)
{
    if (0 != asked)
    {
        const int value = asked > INT_MAX / 2 ? INT_MAX / 2 : (int)asked;
        setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
    }
    int granted = 0;
    socklen_t length = sizeof(granted);
    getsockopt(fd, SOL_SOCKET, option, &granted, &length);
    return 0 == asked ? (uint32_t)granted : (uint32_t)granted / 2;
}

int fl_socket_connect(int fd, const fl_socket_name_t *peer, socklen_t length, bool rebind)
{
    struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = { .len = 1, .filter = &drop_all };
    const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
    const int ignored = 0;

    /* An accelerator may have no filters: what others send before the connect is then received as if they were the
     * peer, and is dispatched by its session, as on a socket without a peer. */
    if (0 != setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) &&
        FL_ACCELERATOR_NONE == fl_acceleration_find())
    {
        return -errno;
    }
    int result = 0;
    if ((rebind && 0 != connect(fd, &nobody, sizeof(nobody))) || 0 != connect(fd, &peer->any, length))
    {
        result = -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof(ignored));
    return result;
}

unsigned fl_interface_of(const fl_address_t *address)
{
    unsigned index = 0;
    struct ifaddrs *list;
    if (0 != getifaddrs(&list))
    {
        return 0;
    }
    for (const struct ifaddrs *entry = list; NULL != entry && 0 == index; entry = entry->ifa_next)
    {
        fl_address_t candidate;
        if (NULL != entry->ifa_addr)
        {
            fl_address_from_name(&candidate, (const fl_socket_name_t *)entry->ifa_addr);
            if (candidate.family == address->family &&
                0 == memcmp(candidate.bytes, address->bytes, sizeof(address->bytes)))
            {
                index = if_nametoindex(entry->ifa_name);
            }
        }
    }
    freeifaddrs(list);
    return index;
}

int fl_socket_interface(const fl_transport_t *transport, const fl_endpoint_params_t *params, unsigned *index)
{
    const fl_address_t *address = &params->interface_address;
    *index = params->interface_index;
    if (0 == *index && FL_FAMILY_NONE != address->family && !fl_address_is_wildcard(address))
    {
        *index = fl_interface_of(address);
        if (0 == *index && (fl_address_is_multicast(&params->bind) || fl_address_is_multicast(&params->peer)))
        {
            char text[FL_ADDRESS_TEXT_LENGTH];
            return fl_host_error(
                transport->base.host, FL_EADDRNOTAVAIL, "no interface has the address %s",
                fl_address_format(address, text));
        }
    }
    return 0;
}

static struct ip_mreqn fl_socket_mreqn(const fl_endpoint_params_t *params, unsigned interface_index)
{
    struct ip_mreqn request = { .imr_ifindex = (int)interface_index };
    if (FL_FAMILY_IPV4 == params->interface_address.family)
    {
        memcpy(&request.imr_address, params->interface_address.bytes, sizeof(request.imr_address));
    }
    return request;
}

/* Where multicast leaves, and how far it goes. */
static int fl_socket_set_multicast(
    const fl_transport_t *transport, int fd, int family, const fl_endpoint_params_t *params, unsigned interface_index)
{
    const int ttl = (int)params->ttl;
    int code = 0;
    if (AF_INET == family)
    {
        const struct ip_mreqn request = fl_socket_mreqn(params, interface_index);
        if (0 != interface_index)
        {
            code = FL_SET(transport, fd, IPPROTO_IP, IP_MULTICAST_IF, request);
        }
        if (0 == code && 0 != ttl)
        {
            code = FL_SET(transport, fd, IPPROTO_IP, IP_MULTICAST_TTL, ttl);
        }
    }
    else
    {
        if (0 != interface_index)
        {
            code = FL_SET(transport, fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, interface_index);
        }
        if (0 == code && 0 != ttl)
        {
            code = FL_SET(transport, fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ttl);
        }
    }
    return code;
}

static int fl_socket_join(
    const fl_transport_t *transport, int fd, const fl_socket_plan_t *plan, unsigned interface_index)
{
    int result;
    if (FL_FAMILY_IPV4 == plan->bind->family)
    {
        struct ip_mreqn request = fl_socket_mreqn(plan->params, interface_index);
        memcpy(&request.imr_multiaddr, plan->bind->bytes, sizeof(request.imr_multiaddr));
        result = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request));
    }
    else
    {
        struct ipv6_mreq request = { .ipv6mr_interface = interface_index };
        memcpy(&request.ipv6mr_multiaddr, plan->bind->bytes, sizeof(request.ipv6mr_multiaddr));
        result = setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof(request));
    }
    if (0 != result)
    {
        const int error = errno;
        const char *next = ENODEV == error
            ? "; no interface was given and no route leads to the group: add interface= to the channel"
            : ENOBUFS == error ? "; raise net.ipv4.igmp_max_memberships"
                               : "";
        char text[FL_ADDRESS_TEXT_LENGTH];
        return fl_host_error(
            transport->base.host, fl_socket_error(error), "join %s on interface index %u: %s%s",
            fl_address_format(plan->bind, text), interface_index, strerror(error), next);
    }
    return 0;
}

/* Options that decide what is received and how. */
static int fl_socket_set_receive(const fl_transport_t *transport, int fd, int family, const fl_socket_plan_t *plan)
{
    const int on = 1;
    const int off = 0;

    /* Without this a socket gets what comes to its port for every group that anybody on the host has joined. A kernel
     * before 4.20 lacks the IPv6 one; a socket bound to its group then hears that group on other interfaces too. */
    AF_INET == family ? setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off))
                      : setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof(off));

    int code = 0;
    if (plan->tells_local)
    {
        code = AF_INET == family ? FL_SET(transport, fd, IPPROTO_IP, IP_PKTINFO, on)
                                 : FL_SET(transport, fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, on);
    }
    if (0 == code && 0 != (plan->params->flags & FL_ENDPOINT_TIMESTAMPS))
    {
        code = FL_SET(transport, fd, SOL_SOCKET, SO_TIMESTAMPNS, on);
    }
    if (0 == code && plan->coalesces)
    {
        code = FL_SET(transport, fd, SOL_UDP, UDP_GRO, on);
    }
    return code;
}

/* Bind. With `lock_port` a port that the kernel picks is bound a second time by number, because disconnecting a socket
 * (fl_socket_connect, rebind) lets go of a port that was not asked for. Returns 0 or a negative errno. */
static int fl_socket_bind(int fd, const fl_address_t *address, bool lock_port)
{
    fl_socket_name_t name;
    socklen_t length = fl_socket_name_make(&name, address);
    if (0 != address->port || !lock_port)
    {
        return 0 == bind(fd, &name.any, length) ? 0 : -errno;
    }
    for (int attempt = 0; attempt < FL_PORT_ATTEMPTS; attempt++)
    {
        const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
        fl_socket_name_t picked;
        fl_socket_name_make(&name, address);
        if (0 != bind(fd, &name.any, length) || 0 != getsockname(fd, &picked.any, &length) ||
            0 != connect(fd, &nobody, sizeof(nobody)))
        {
            return -errno;
        }
        if (0 == bind(fd, &picked.any, length))
        {
            return 0;
        }
        if (EADDRINUSE != errno)
        {
            return -errno;
        }
    }
    return -EADDRINUSE;
}

static int fl_socket_set_up(const fl_transport_t *transport, int fd, int family, const fl_socket_plan_t *plan)
{
    const fl_endpoint_params_t *params = plan->params;
    const int on = 1;
    unsigned interface_index = 0;

    int code = fl_socket_interface(transport, params, &interface_index);
    if (0 == code && 0 != (params->flags & FL_ENDPOINT_REUSE_ADDRESS))
    {
        code = FL_SET(transport, fd, SOL_SOCKET, SO_REUSEADDR, on);
        if (0 == code)
        {
            code = FL_SET(transport, fd, SOL_SOCKET, SO_REUSEPORT, on);
        }
    }
    if (0 == code && plan->receives)
    {
        code = fl_socket_set_receive(transport, fd, family, plan);
    }
    if (0 == code)
    {
        code = fl_socket_set_multicast(transport, fd, family, params, interface_index);
    }
    if (0 == code && NULL != plan->bind)
    {
        fl_address_t address = *plan->bind;
        if (0 == address.scope_id && fl_address_needs_scope(&address))
        {
            address.scope_id = interface_index;
        }
        const int result = fl_socket_bind(fd, &address, NULL != plan->peer && fl_address_is_wildcard(&address));
        if (0 != result)
        {
            return fl_socket_bind_error(transport->base.host, &address, -result);
        }
        if (fl_address_is_multicast(&address))
        {
            code = fl_socket_join(transport, fd, plan, interface_index);
        }
    }
    if (0 == code && NULL != plan->peer)
    {
        fl_socket_name_t name;
        fl_address_t peer = *plan->peer;
        if (0 == peer.scope_id && fl_address_needs_scope(&peer))
        {
            peer.scope_id = interface_index;
        }
        const socklen_t length = fl_socket_name_make(&name, &peer);
        const int result = fl_socket_connect(fd, &name, length, false);
        if (0 != result)
        {
            char text[FL_ADDRESS_TEXT_LENGTH];
            code = fl_host_error(
                transport->base.host, fl_socket_error(-result), "connect to %s: %s", fl_address_format(&peer, text),
                strerror(-result));
        }
    }
    return code;
}

/* Let go of a membership on an interface that is gone, which counts against igmp_max_memberships all the same. */
static void fl_socket_leave(int fd, const fl_address_t *group, unsigned interface_index)
{
    if (FL_FAMILY_IPV4 == group->family)
    {
        struct ip_mreqn request = { .imr_ifindex = (int)interface_index };
        memcpy(&request.imr_multiaddr, group->bytes, sizeof(request.imr_multiaddr));
        setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &request, sizeof(request));
    }
    else
    {
        struct ipv6_mreq request = { .ipv6mr_interface = interface_index };
        memcpy(&request.ipv6mr_multiaddr, group->bytes, sizeof(request.ipv6mr_multiaddr));
        setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &request, sizeof(request));
    }
}

int fl_socket_move(
    const fl_transport_t *transport, int fd, const fl_socket_plan_t *plan, unsigned from_index, unsigned to_index)
{
    const fl_endpoint_params_t *params = plan->params;
    const int family = FL_FAMILY_IPV4 == params->interface_address.family ? AF_INET : AF_INET6;
    const int code = fl_socket_set_multicast(transport, fd, family, params, to_index);
    if (0 != code || NULL == plan->bind || !fl_address_is_multicast(plan->bind))
    {
        return code;
    }
    fl_socket_leave(fd, plan->bind, from_index);
    return fl_socket_join(transport, fd, plan, to_index);
}

int fl_socket_open(const fl_transport_t *transport, const fl_socket_plan_t *plan)
{
    const fl_address_t *address = NULL != plan->bind ? plan->bind : plan->peer;
    const int family = FL_FAMILY_IPV4 == address->family ? AF_INET : AF_INET6;
    const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
    {
        return fl_host_error(
            transport->base.host, fl_socket_error(errno), "open a UDP socket for %s: %s",
            AF_INET == family ? "IPv4" : "IPv6", strerror(errno));
    }
    const int code = fl_socket_set_up(transport, fd, family, plan);
    if (0 != code)
    {
        close(fd);
        return code;
    }
    return fd;
}
