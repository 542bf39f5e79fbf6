#include "netstack/netstack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "transport/address.h"
#include "util/error.h"

static const char *const fl_netstack_suffixes[FL_COUNT_LIMIT] = {
#define FL_COUNT_SUFFIX(name, suffix) suffix,
    FL_NETSTACK_COUNTS(FL_COUNT_SUFFIX)
#undef FL_COUNT_SUFFIX
};

/* ---- opening and closing ---- */

static void fl_netstack_free(fl_transport_t *netstack)
{
    if (netstack->wish_fd >= 0)
    {
        close(netstack->wish_fd);
    }
    fl_control_free(netstack->control);
    fl_neighbours_destroy(&netstack->neighbours);
    free(netstack->wishes);
    free(netstack->pollers);
    free(netstack->counts);
    free(netstack);
}

static int fl_netstack_read_attributes(fl_transport_t *netstack, uint32_t queues)
{
    fl_port_attributes_t *attributes = &netstack->attributes;
    const int result =
        fl_port_ops_attributes(&netstack->port_ops, netstack->port, netstack->config.name, attributes);
    if (result < 0)
    {
        return result;
    }
    if (attributes->queues < 1 || attributes->max_hold < 1 || attributes->headroom < 128)
    {
        return fl_error(
            FL_EINVAL, "port '%s': %u queues, max_hold %u, headroom %u: at least 1, 1 and 128 expected",
            netstack->config.name, attributes->queues, attributes->max_hold, attributes->headroom);
    }
    uint32_t usable = 0 != (attributes->offloads & FL_PORT_STEERING) ? attributes->queues : 1;
    usable = 0 != queues && queues < usable ? queues : usable;
    netstack->queues = usable < FL_NETSTACK_QUEUES ? usable : FL_NETSTACK_QUEUES;
    return 0;
}

static int fl_netstack_complete_config(fl_transport_t *netstack)
{
    fl_netstack_config_t *config = &netstack->config;
    const uint32_t device = netstack->attributes.mtu_length;
    if (FL_NETSTACK_KERNEL != config->mode && FL_NETSTACK_OWN != config->mode)
    {
        return fl_error(FL_EINVAL, "port '%s': netstack mode %u is neither kernel nor own", config->name, config->mode);
    }
    if (config->vlan > 4094 && FL_VLAN_NONE != config->vlan)
    {
        return fl_error(FL_EINVAL, "port '%s': VLAN %u, at most 4094 expected", config->name, config->vlan);
    }
    if (config->mtu_length > device)
    {
        return fl_error(
            FL_EINVAL, "port '%s': ip_mtu is %u but the device carries %u; lower it, or raise that of the device",
            config->name, config->mtu_length, device);
    }
    config->mtu_length = 0 != config->mtu_length ? config->mtu_length : device;
    if (config->mtu_length < FL_NETSTACK_MTU_MINIMUM || config->mtu_length > 65535 - 18)
    {
        return fl_error(
            FL_EINVAL, "port '%s': MTU is %u, at least %d and at most %d expected", config->name, config->mtu_length,
            FL_NETSTACK_MTU_MINIMUM, 65535 - 18);
    }
    config->neighbour_capacity = 0 != config->neighbour_capacity ? config->neighbour_capacity : 1024;
    config->pending_capacity = 0 != config->pending_capacity ? config->pending_capacity : 64;
    if (0 != (config->neighbour_capacity & (config->neighbour_capacity - 1)))
    {
        return fl_error(
            FL_EINVAL, "port '%s': neighbour capacity %u is no power of two", config->name, config->neighbour_capacity);
    }
    return 0;
}

static int fl_netstack_allocate(fl_transport_t *netstack)
{
    netstack->counts = calloc(netstack->queues, sizeof(*netstack->counts));
    netstack->pollers = calloc(netstack->queues, sizeof(*netstack->pollers));
    netstack->wishes = calloc(netstack->queues, sizeof(*netstack->wishes));
    netstack->wish_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (netstack->wish_fd < 0)
    {
        return fl_error(errno, "port '%s': eventfd: %s", netstack->config.name, strerror(errno));
    }
    if (NULL == netstack->counts || NULL == netstack->pollers || NULL == netstack->wishes ||
        fl_neighbours_init(&netstack->neighbours, netstack->config.neighbour_capacity, &netstack->generation) < 0)
    {
        return fl_error(FL_ENOMEM, "port '%s': no memory for its netstack", netstack->config.name);
    }
    if (fl_netstack_is_own(netstack))
    {
        const fl_control_config_t config = {
            .mac = { netstack->attributes.mac[0], netstack->attributes.mac[1], netstack->attributes.mac[2],
                     netstack->attributes.mac[3], netstack->attributes.mac[4], netstack->attributes.mac[5] },
            .mtu_length = netstack->config.mtu_length,
            .addresses = &netstack->addresses,
            .routes = &netstack->routes,
            .neighbours = &netstack->neighbours,
            .counts = &netstack->counts[0],
            .host = netstack->host,
            .emit = fl_poller_emit,
            .emit_context = netstack,
            .reachable_ns = (int64_t)netstack->config.reachable_ms * 1000000,
        };
        netstack->control = fl_control_new(&config);
        if (NULL == netstack->control)
        {
            return fl_error(FL_ENOMEM, "port '%s': no memory for its control protocols", netstack->config.name);
        }
    }
    return 0;
}

static int fl_netstack_close(fl_transport_t *netstack)
{
    bool is_busy = NULL != netstack->endpoints;
    for (uint32_t i = 0; i < netstack->queues; i++)
    {
        is_busy = is_busy || NULL != atomic_load_explicit(&netstack->pollers[i], memory_order_relaxed);
    }
    if (is_busy)
    {
        return fl_error(FL_EBUSY, "port '%s': endpoints or pollers are open", netstack->config.name);
    }
    if (netstack->is_started)
    {
        const int stopped = netstack->port_ops.stop(netstack->port);
        if (stopped < 0 && -FL_ENODEV != stopped && -FL_ENOTSUP != stopped)
        {
            fl_error_append(" (stop of port '%s')", netstack->config.name);
            return stopped;
        }
        netstack->is_started = false;
    }
    const bool leaves_open = 0 != (netstack->config.flags & FL_NETSTACK_LEAVE_OPEN);
    const int result = leaves_open ? 0 : netstack->port_ops.close(netstack->port);
    if (result < 0 && -FL_ENODEV != result)
    {
        fl_error_append(" (close of port '%s')", netstack->config.name);
        return result;
    }
    fl_netstack_free(netstack);
    return 0;
}

/* ---- feeding ---- */

static void fl_netstack_raise_generation(fl_transport_t *netstack)
{
    /* Release: pairs with the acquire in fl_netstack_generation(); what changed is visible before. */
    atomic_fetch_add_explicit(&netstack->generation, 1, memory_order_release);
}

int fl_netstack_set_addresses(fl_transport_t *netstack, const fl_interface_address_t *addresses, uint32_t count)
{
    const int result = fl_addresses_set(&netstack->addresses, addresses, count);
    if (result < 0)
    {
        return result;
    }
    if (fl_netstack_is_own(netstack))
    {
        fl_netstack_follow_groups(netstack);
    }
    fl_netstack_raise_generation(netstack);
    /* Release: pairs with the acquire in fl_netstack_follow_filters() and fl_poller_duties(). */
    atomic_fetch_add_explicit(&netstack->addresses_version, 1, memory_order_release);
    atomic_fetch_add_explicit(&netstack->announce, 1, memory_order_release);
    return 0;
}

int fl_netstack_set_routes(fl_transport_t *netstack, const fl_netstack_route_t *routes, uint32_t count)
{
    const int result = fl_routes_set(&netstack->routes, routes, count);
    if (0 == result)
    {
        fl_netstack_raise_generation(netstack);
    }
    return result;
}

int fl_netstack_set_neighbour(fl_transport_t *netstack, const fl_netstack_neighbour_t *neighbour)
{
    if (fl_netstack_is_own(netstack))
    {
        return fl_error(
            FL_EINVAL, "port '%s': its netstack resolves neighbours itself and takes none", netstack->config.name);
    }
    if (FL_NEIGHBOUR_NONE == neighbour->state)
    {
        fl_neighbours_remove(&netstack->neighbours, &neighbour->address);
        return 0;
    }
    const bool has_mac = FL_NEIGHBOUR_INCOMPLETE != neighbour->state && FL_NEIGHBOUR_FAILED != neighbour->state;
    const fl_neighbour_t *entry = fl_neighbours_set(
        &netstack->neighbours, &neighbour->address, neighbour->state, has_mac ? neighbour->mac : NULL,
        fl_netstack_now(netstack));
    return NULL != entry ? 0
                         : fl_error(
                               FL_ENOSPC, "port '%s': the neighbour table holds %u, all of them in use",
                               netstack->config.name, netstack->config.neighbour_capacity);
}

int fl_netstack_wishes(fl_transport_t *netstack, fl_address_t *next_hops, uint32_t capacity)
{
    uint64_t wakeups;
    if (read(netstack->wish_fd, &wakeups, sizeof(wakeups)) < 0 && EAGAIN != errno)
    {
        return -errno;
    }
    uint32_t count = 0;
    bool has_more = false;
    for (uint32_t queue = 0; queue < netstack->queues && !fl_netstack_is_own(netstack); queue++)
    {
        fl_wishes_t *wishes = &netstack->wishes[queue];
        uint32_t head = atomic_load_explicit(&wishes->head, memory_order_relaxed);
        /* Acquire: pairs with the release in fl_poller_wish(). */
        const uint32_t tail = atomic_load_explicit(&wishes->tail, memory_order_acquire);
        for (; head != tail && count < capacity; head++)
        {
            next_hops[count++] = wishes->entries[head & (FL_NETSTACK_WISHES - 1)];
        }
        /* Release: pairs with the acquire in fl_poller_wish(); the places may be written again. */
        atomic_store_explicit(&wishes->head, head, memory_order_release);
        has_more = has_more || head != tail;
    }
    const uint64_t one = 1;
    if (has_more && write(netstack->wish_fd, &one, sizeof(one)) < 0)
    {
        return -errno;
    }
    return (int)count;
}

int fl_netstack_wish_descriptor(fl_transport_t *netstack)
{
    return netstack->wish_fd;
}

int fl_netstack_neighbours(fl_transport_t *netstack, fl_netstack_neighbour_t *neighbours, uint32_t capacity)
{
    return (int)fl_neighbours_copy(&netstack->neighbours, neighbours, capacity);
}

/* ---- upkeep and figures ---- */

static int fl_netstack_housekeeping(fl_transport_t *netstack, int64_t now_ns)
{
    atomic_store_explicit(&netstack->now_ns, now_ns, memory_order_relaxed);
    const int result = fl_netstack_note(netstack, netstack->port_ops.housekeeping(netstack->port, now_ns));
    return fl_netstack_is_lost(netstack) ? -FL_ENODEV : result < 0 && -FL_ENOTSUP != result ? result : 0;
}

static int fl_netstack_events(fl_transport_t *netstack, fl_event_t *events, uint32_t capacity)
{
    fl_netstack_follow_filters(netstack);
    uint32_t count = 0;
    const uint32_t version = atomic_load_explicit(&netstack->addresses_version, memory_order_acquire);
    if (count < capacity && version != netstack->said_version)
    {
        netstack->said_version = version;
        events[count] = (fl_event_t){ .kind = FL_EVENT_ADDRESSES_CHANGED };
        snprintf(events[count].text, sizeof(events[count].text), "addresses of '%s' changed", netstack->config.name);
        count++;
    }
    if (count < capacity && !netstack->said_removed)
    {
        const int result =
            fl_netstack_note(netstack, netstack->port_ops.events(netstack->port, &events[count], capacity - count));
        for (int i = 0; i < result; i++)
        {
            const uint32_t kind = events[count + (uint32_t)i].kind;
            if (FL_EVENT_REMOVED == kind)
            {
                netstack->said_removed = true;
                atomic_store_explicit(&netstack->is_lost, true, memory_order_relaxed);
            }
            else if (FL_EVENT_LINK_UP == kind || FL_EVENT_RESET == kind)
            {
                /* Release: pairs with the acquire in fl_poller_duties(). */
                atomic_fetch_add_explicit(&netstack->announce, 1, memory_order_release);
            }
        }
        count += result > 0 ? (uint32_t)result : 0;
    }
    if (count < capacity && !netstack->said_removed && fl_netstack_is_lost(netstack))
    {
        netstack->said_removed = true;
        events[count] = (fl_event_t){ .kind = FL_EVENT_REMOVED };
        snprintf(events[count].text, sizeof(events[count].text), "the device of '%s' is gone", netstack->config.name);
        count++;
    }
    return (int)count;
}

static int fl_netstack_stats(fl_transport_t *netstack, fl_stat_t *stats, uint32_t capacity)
{
    const int of_port = netstack->port_ops.stats(netstack->port, NULL, 0);
    const uint32_t total = FL_COUNT_LIMIT + (of_port > 0 ? (uint32_t)of_port : 0);
    for (uint32_t i = 0; i < FL_COUNT_LIMIT && i < capacity; i++)
    {
        int64_t value = 0;
        for (uint32_t queue = 0; queue < netstack->queues; queue++)
        {
            value += atomic_load_explicit(&netstack->counts[queue].values[i], memory_order_relaxed);
        }
        snprintf(stats[i].name, sizeof(stats[i].name), "%.24s-%s", netstack->config.name, fl_netstack_suffixes[i]);
        stats[i].value = value;
    }
    if (of_port > 0 && capacity > FL_COUNT_LIMIT)
    {
        netstack->port_ops.stats(netstack->port, &stats[FL_COUNT_LIMIT], capacity - FL_COUNT_LIMIT);
    }
    return (int)(0 == capacity || capacity > total ? total : capacity);
}

/* ---- memory for held runs ---- */

static int fl_netstack_register_memory(fl_transport_t *netstack, void *memory, size_t length, uint64_t *region)
{
    if (0 == (netstack->attributes.offloads & FL_PORT_TX_PAYLOAD))
    {
        return -FL_ENOTSUP;
    }
    uint32_t free_place = 0;
    while (free_place < FL_NETSTACK_REGIONS &&
           0 != atomic_load_explicit(&netstack->regions[free_place].memory, memory_order_relaxed))
    {
        free_place++;
    }
    if (FL_NETSTACK_REGIONS == free_place)
    {
        return fl_error(
            FL_ENOSPC, "port '%s': %d regions of memory are registered, no more fit", netstack->config.name,
            FL_NETSTACK_REGIONS);
    }
    uint64_t id;
    const int result = fl_netstack_note(
        netstack, netstack->port_ops.register_memory(netstack->port, memory, length, &id));
    if (result < 0)
    {
        return result;
    }
    netstack->regions[free_place].length = length;
    netstack->regions[free_place].id = id;
    /* Release: pairs with the acquire in fl_send_region(); length and id are there. */
    atomic_store_explicit(&netstack->regions[free_place].memory, (uintptr_t)memory, memory_order_release);
    *region = id;
    return 0;
}

static int fl_netstack_unregister_memory(fl_transport_t *netstack, uint64_t region)
{
    for (uint32_t i = 0; i < FL_NETSTACK_REGIONS; i++)
    {
        fl_region_t *entry = &netstack->regions[i];
        if (0 != atomic_load_explicit(&entry->memory, memory_order_relaxed) && region == entry->id)
        {
            atomic_store_explicit(&entry->memory, 0, memory_order_relaxed);
            return fl_netstack_note(netstack, netstack->port_ops.unregister_memory(netstack->port, region));
        }
    }
    return 0 == (netstack->attributes.offloads & FL_PORT_TX_PAYLOAD)
        ? -FL_ENOTSUP
        : fl_error(FL_EINVAL, "port '%s': no such region of memory is registered", netstack->config.name);
}

/* ---- the table ---- */

fl_transport_t *fl_netstack_open(
    const void *port_ops, void *port, const fl_netstack_config_t *config, const fl_host_t *host, uint32_t queues)
{
    fl_transport_t *netstack = calloc(1, sizeof(*netstack));
    if (NULL == netstack)
    {
        fl_error(FL_ENOMEM, "port '%s': no memory for its netstack", config->name);
        return NULL;
    }
    netstack->wish_fd = -1;
    netstack->port = port;
    netstack->host = host;
    netstack->config = *config;
    netstack->config.name[sizeof(config->name) - 1] = '\0';
    netstack->config.interface_name[sizeof(config->interface_name) - 1] = '\0';
    netstack->next_id = 1;
    atomic_init(&netstack->generation, 1);
    atomic_init(&netstack->announce, 1);
    atomic_init(&netstack->now_ns, host->nano_clock(host));
    if (fl_port_ops_complete(&netstack->port_ops, port_ops, port, netstack->config.name) < 0 ||
        fl_netstack_read_attributes(netstack, queues) < 0 || fl_netstack_complete_config(netstack) < 0 ||
        fl_netstack_allocate(netstack) < 0)
    {
        goto failed;
    }
    if (netstack->port_ops.start(port, netstack->queues) < 0)
    {
        fl_error_append(" (start of port '%s' with %u queues)", netstack->config.name, netstack->queues);
        goto failed;
    }
    netstack->is_started = true;
    netstack->ops = (fl_transport_ops_t){
        .magic = FL_TRANSPORT_MAGIC,
        .size = sizeof(fl_transport_ops_t),
        .abi_version = FL_ABI_VERSION,
        .queues = netstack->queues,
        .open_endpoint = fl_netstack_open_endpoint,
        .close_endpoint = fl_netstack_close_endpoint,
        .local_address = fl_netstack_local_address,
        .set_peer = fl_netstack_set_peer,
        .poller_open = fl_netstack_poller_open,
        .poller_enter = fl_netstack_poller_enter,
        .poller_leave = fl_netstack_poller_leave,
        .poller_close = fl_netstack_poller_close,
        .poller_add = fl_netstack_poller_add,
        .poller_remove = fl_netstack_poller_remove,
        .poll = fl_netstack_poll,
        .release = fl_netstack_release,
        .send = fl_netstack_send,
        .reap = fl_netstack_reap,
        .arm = fl_netstack_arm,
        .disarm = fl_netstack_disarm,
        .housekeeping = fl_netstack_housekeeping,
        .events = fl_netstack_events,
        .stats = fl_netstack_stats,
        .register_memory = fl_netstack_register_memory,
        .unregister_memory = fl_netstack_unregister_memory,
        .close = fl_netstack_close,
    };
    return netstack;

failed:
    fl_netstack_free(netstack);
    return NULL;
}

const fl_transport_ops_t *fl_netstack_ops(fl_transport_t *netstack)
{
    return &netstack->ops;
}
