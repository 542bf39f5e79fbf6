/* Who may use a local address and port, and who is in a group: sockets of the kernel where it has the interface, a
 * table of our own where it has not. Thread: control. */
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netstack/netstack.h"
#include "transport/address.h"
#include "util/error.h"

/* ---- own mode ---- */

static bool fl_reserve_overlaps(const fl_address_t *a, const fl_address_t *b)
{
    return FL_FAMILY_NONE != a->family && a->family == b->family && a->port == b->port &&
        (fl_address_is_same_host(a, b) ||
         ((fl_address_is_wildcard(a) || fl_address_is_wildcard(b)) && !fl_address_is_multicast(a) &&
          !fl_address_is_multicast(b)));
}

static bool fl_reserve_is_taken(const fl_endpoint_t *endpoint, const fl_address_t *address)
{
    for (const fl_endpoint_t *e = endpoint->netstack->endpoints; NULL != e; e = e->next)
    {
        const bool is_shared =
            fl_address_is_multicast(address) && 0 != (e->flags & endpoint->flags & FL_ENDPOINT_REUSE_ADDRESS);
        if (!is_shared && (fl_reserve_overlaps(&e->local, address) || fl_reserve_overlaps(&e->group, address)))
        {
            return true;
        }
    }
    return false;
}

static int fl_reserve_own(fl_endpoint_t *endpoint)
{
    fl_transport_t *netstack = endpoint->netstack;
    char text[FL_ADDRESS_TEXT_LENGTH];
    const fl_address_t *fixed[] = { &endpoint->local, &endpoint->group };
    for (int i = 0; i < 2; i++)
    {
        if (FL_FAMILY_NONE != fixed[i]->family && 0 != fixed[i]->port && fl_reserve_is_taken(endpoint, fixed[i]))
        {
            return fl_error(
                FL_EADDRINUSE, "'%s': cannot bind to %s: another endpoint has that address", netstack->config.name,
                fl_address_format(fixed[i], text));
        }
    }
    if (0 != endpoint->local.port)
    {
        return 0;
    }
    const uint32_t range = FL_NETSTACK_LAST_PORT - FL_NETSTACK_FIRST_PORT + 1;
    const uint32_t first = (uint32_t)(netstack->host->random(netstack->host) % range);
    for (uint32_t i = 0; i < range; i++)
    {
        endpoint->local.port = (uint16_t)(FL_NETSTACK_FIRST_PORT + (first + i) % range);
        if (!fl_reserve_is_taken(endpoint, &endpoint->local))
        {
            return 0;
        }
    }
    return fl_error(
        FL_EADDRINUSE, "'%s': every port from %d to %d is in use", netstack->config.name, FL_NETSTACK_FIRST_PORT,
        FL_NETSTACK_LAST_PORT);
}

/* ---- kernel mode ---- */

static int fl_socket_join(int fd, const fl_endpoint_t *endpoint, const fl_address_t *group)
{
    if (FL_FAMILY_IPV6 == group->family)
    {
        struct ipv6_mreq request = { .ipv6mr_interface = endpoint->netstack->config.interface_index };
        memcpy(&request.ipv6mr_multiaddr, group->bytes, 16);
        return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof(request));
    }
    struct ip_mreqn request = { .imr_ifindex = (int)endpoint->netstack->config.interface_index };
    memcpy(&request.imr_multiaddr, group->bytes, 4);
    if (0 == request.imr_ifindex && FL_FAMILY_IPV4 == endpoint->source.family)
    {
        memcpy(&request.imr_address, endpoint->source.bytes, 4);
    }
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request));
}

/* A bound socket that never holds a datagram: its filter refuses all. Writes the port. Returns it, or a negative
 * FL_E*. */
static int fl_socket_reserve(fl_endpoint_t *endpoint, fl_address_t *address, bool is_shared)
{
    const char *name = endpoint->netstack->config.name;
    const char *interface = endpoint->netstack->config.interface_name;
    struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = { .len = 1, .filter = &refuse };
    char text[FL_ADDRESS_TEXT_LENGTH];
    fl_socket_name_t bound;
    const int one = 1;
    socklen_t length = fl_socket_name_make(&bound, address);
    const char *step = "socket";
    const int fd = socket(bound.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one)) < 0)
    {
        goto failed;
    }
    if ((is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) ||
        (FL_FAMILY_IPV6 == address->family && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0))
    {
        goto failed;
    }
    if (fl_address_is_wildcard(address) && '\0' != interface[0])
    {
        step = "bind to its interface";
        if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0)
        {
            goto failed;
        }
    }
    step = "bind";
    if (bind(fd, &bound.any, length) < 0)
    {
        goto failed;
    }
    step = "getsockname";
    if (getsockname(fd, &bound.any, &length) < 0)
    {
        goto failed;
    }
    address->port = ntohs(FL_FAMILY_IPV6 == address->family ? bound.v6.sin6_port : bound.v4.sin_port);
    step = "join the group";
    if (fl_address_is_multicast(address) && fl_socket_join(fd, endpoint, address) < 0)
    {
        goto failed;
    }
    return fd;

failed:;
    const int code = errno;
    if (fd >= 0)
    {
        close(fd);
    }
    return fl_error(
        code, "'%s': the kernel's socket that reserves %s: %s: %s", name, fl_address_format(address, text), step,
        EADDRINUSE == code ? "a socket of this host has that address" : strerror(code));
}

static int fl_reserve_kernel(fl_endpoint_t *endpoint)
{
    fl_address_t *wanted[] = { &endpoint->local, &endpoint->group };
    for (int i = 0; i < 2; i++)
    {
        const bool is_group = fl_address_is_multicast(wanted[i]);
        if (FL_FAMILY_NONE == wanted[i]->family || (is_group && wanted[i] == &endpoint->local))
        {
            continue;   /* a receiver's group is reserved once, as its group */
        }
        const int fd = fl_socket_reserve(
            endpoint, wanted[i], is_group && 0 != (endpoint->flags & FL_ENDPOINT_REUSE_ADDRESS));
        if (fd < 0)
        {
            fl_netstack_unreserve(endpoint);
            return fd;
        }
        endpoint->sockets[i] = fd;
    }
    if (fl_address_is_multicast(&endpoint->local))
    {
        endpoint->local.port = endpoint->group.port;
    }
    return 0;
}

int fl_netstack_reserve(fl_endpoint_t *endpoint)
{
    const int status =
        fl_netstack_is_own(endpoint->netstack) ? fl_reserve_own(endpoint) : fl_reserve_kernel(endpoint);
    if (0 == status && fl_address_is_multicast(&endpoint->local))
    {
        endpoint->group.port = endpoint->local.port;
    }
    return status;
}

void fl_netstack_unreserve(fl_endpoint_t *endpoint)
{
    for (int i = 0; i < 2; i++)
    {
        if (endpoint->sockets[i] >= 0)
        {
            close(endpoint->sockets[i]);
            endpoint->sockets[i] = -1;
        }
    }
}

/* ---- groups ---- */

/* Change what is wanted of a group; queue 0's poller follows in fl_poller_duties(). */
static int fl_reserve_want(fl_transport_t *netstack, const fl_address_t *group, bool joins)
{
    fl_membership_t *found = NULL;
    fl_membership_t *vacant = NULL;
    for (uint32_t i = 0; i < FL_CONTROL_GROUPS && NULL == found; i++)
    {
        fl_membership_t *membership = &netstack->memberships[i];
        const uint32_t wanted = atomic_load_explicit(&membership->wanted, memory_order_relaxed);
        if (wanted > 0 && fl_address_is_same_host(&membership->group, group))
        {
            found = membership;
        }
        /* Acquire: pairs with the release in fl_poller_follow_groups(); the poller is done with the place. */
        else if (0 == wanted && 0 == atomic_load_explicit(&membership->applied, memory_order_acquire))
        {
            vacant = NULL == vacant ? membership : vacant;
        }
    }
    if (!joins)
    {
        if (NULL == found)
        {
            return 0;
        }
        atomic_fetch_sub_explicit(&found->wanted, 1, memory_order_release);
    }
    else if (NULL != found)
    {
        atomic_fetch_add_explicit(&found->wanted, 1, memory_order_release);
    }
    else if (NULL != vacant)
    {
        vacant->group = *group;
        vacant->group.port = 0;
        /* Release: pairs with the acquire in fl_poller_follow_groups(); publishes the group. */
        atomic_store_explicit(&vacant->wanted, 1, memory_order_release);
    }
    else
    {
        return fl_error(
            FL_ENOSPC, "'%s': %d multicast groups are joined, no more fit", netstack->config.name, FL_CONTROL_GROUPS);
    }
    atomic_fetch_add_explicit(&netstack->membership, 1, memory_order_release);
    return 0;
}

int fl_netstack_join(fl_endpoint_t *endpoint)
{
    fl_transport_t *netstack = endpoint->netstack;
    if (FL_FAMILY_NONE == endpoint->group.family)
    {
        return 0;
    }
    const int result = fl_netstack_note(netstack, netstack->port_ops.join_group(netstack->port, &endpoint->group));
    if (result < 0 && -FL_ENOTSUP != result)
    {
        char text[FL_ADDRESS_TEXT_LENGTH];
        fl_error_append(" (join of %s on port '%s')", fl_address_format(&endpoint->group, text), netstack->config.name);
        return result;
    }
    endpoint->joined_port = 0 == result;
    if (fl_netstack_is_own(netstack))
    {
        const int wanted = fl_reserve_want(netstack, &endpoint->group, true);
        if (wanted < 0)
        {
            fl_netstack_leave(endpoint);
            return wanted;
        }
        endpoint->joined_control = true;
    }
    return 0;
}

void fl_netstack_leave(fl_endpoint_t *endpoint)
{
    fl_transport_t *netstack = endpoint->netstack;
    if (endpoint->joined_control)
    {
        fl_reserve_want(netstack, &endpoint->group, false);
    }
    if (endpoint->joined_port)
    {
        fl_netstack_note(netstack, netstack->port_ops.leave_group(netstack->port, &endpoint->group));
    }
    endpoint->joined_control = endpoint->joined_port = false;
}

/* ---- the groups of the addresses themselves ---- */

static bool fl_reserve_contains(const fl_address_t *groups, uint32_t count, const fl_address_t *group)
{
    for (uint32_t i = 0; i < count; i++)
    {
        if (fl_address_is_same_host(&groups[i], group))
        {
            return true;
        }
    }
    return false;
}

/* The groups that an interface with these addresses hears: all hosts or nodes, and the solicited-node groups (RFC
 * 4291). */
static uint32_t fl_reserve_address_groups(fl_transport_t *netstack, fl_address_t *groups)
{
    fl_interface_address_t own[FL_INTERFACE_ADDRESSES];
    const uint32_t total = fl_addresses_copy(&netstack->addresses, own);
    uint32_t count = 0;
    for (uint32_t i = 0; i < total; i++)
    {
        fl_address_t wanted[2] = { { .family = FL_FAMILY_IPV4, .bytes = { 224, 0, 0, 1 } } };
        const bool is_ipv6 = FL_FAMILY_IPV6 == own[i].address.family;
        if (is_ipv6)
        {
            wanted[0] = (fl_address_t){ .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [15] = 1 } };
            wanted[1] = (fl_address_t){ .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [11] = 1, [12] = 0xff } };
            memcpy(wanted[1].bytes + 13, own[i].address.bytes + 13, 3);
        }
        for (int k = 0; k <= is_ipv6; k++)
        {
            if (!fl_reserve_contains(groups, count, &wanted[k]))
            {
                groups[count++] = wanted[k];
            }
        }
    }
    return count;
}

void fl_netstack_follow_groups(fl_transport_t *netstack)
{
    fl_address_t wanted[FL_NETSTACK_ADDRESS_GROUPS];
    fl_address_t *joined = netstack->address_groups;
    const uint32_t count = fl_reserve_address_groups(netstack, wanted);
    for (uint32_t i = netstack->address_group_count; i-- > 0;)
    {
        if (!fl_reserve_contains(wanted, count, &joined[i]))
        {
            fl_netstack_note(netstack, netstack->port_ops.leave_group(netstack->port, &joined[i]));
            joined[i] = joined[--netstack->address_group_count];
        }
    }
    for (uint32_t i = 0; i < count; i++)
    {
        if (!fl_reserve_contains(joined, netstack->address_group_count, &wanted[i]) &&
            0 == fl_netstack_note(netstack, netstack->port_ops.join_group(netstack->port, &wanted[i])))
        {
            joined[netstack->address_group_count++] = wanted[i];
        }
    }
}
