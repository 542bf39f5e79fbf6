/* The port in memory: its life and what control changes. Contracts are in api/memory_port.h and framelane/port.h. */
#include "netstack/memory_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "transport/address.h"
#include "util/error.h"

/* ---- making and closing ---- */

static void fl_memory_port_free(fl_port_t *port)
{
    for (uint32_t i = 0; NULL != port->queues && i < port->config.queues; i++)
    {
        fl_memory_queue_t *queue = &port->queues[i];
        fl_memory_ring_destroy(&queue->received);
        fl_memory_ring_destroy(&queue->transmit);
        free(queue->completions);
        if (queue->descriptor > 0)
        {
            close(queue->descriptor);
        }
    }
    fl_memory_ring_destroy(&port->sent);
    free(port->filters);
    free(port->queues);
    pthread_mutex_destroy(&port->mutex);
    free(port);
}

static uint32_t fl_memory_port_default(uint32_t value, uint32_t otherwise)
{
    return 0 != value ? value : otherwise;
}

void *fl_memory_port_new(const fl_memory_port_config_t *config, const fl_host_t *host)
{
    fl_port_t *port = calloc(1, sizeof(*port));
    if (NULL == port)
    {
        fl_error(FL_ENOMEM, "memory port: no memory");
        return NULL;
    }
    pthread_mutex_init(&port->mutex, NULL);
    port->host = host;
    port->config = *config;
    port->is_up = true;
    port->faults = (fl_memory_port_faults_t){ .tx_alloc_limit = UINT32_MAX, .tx_burst_limit = UINT32_MAX };
    fl_memory_port_config_t *own = &port->config;
    own->queues = fl_memory_port_default(own->queues, 1);
    own->mtu_length = fl_memory_port_default(own->mtu_length, 1500);
    own->headroom = fl_memory_port_default(own->headroom, 128);
    own->max_hold = fl_memory_port_default(own->max_hold, 256);
    own->ring_length = fl_memory_port_default(own->ring_length, 512);
    own->buffers = fl_memory_port_default(own->buffers, 256);
    if (own->mtu_length + 18 > UINT16_MAX || own->headroom > UINT16_MAX)
    {
        fl_error(
            FL_EINVAL, "memory port: an MTU of %u or a headroom of %u is too much", own->mtu_length, own->headroom);
        goto failed;
    }
    port->queues = calloc(own->queues, sizeof(*port->queues));
    port->filters = calloc(FL_MEMORY_PORT_FILTERS, sizeof(*port->filters));
    bool is_complete = NULL != port->queues && NULL != port->filters &&
        fl_memory_ring_init(&port->sent, own->ring_length, fl_memory_frame_maximum(port)) == 0;
    for (uint32_t i = 0; is_complete && i < own->queues; i++)
    {
        fl_memory_queue_t *queue = &port->queues[i];
        queue->completions = calloc(own->buffers, sizeof(*queue->completions));
        queue->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        is_complete = NULL != queue->completions && queue->descriptor >= 0 &&
            fl_memory_ring_init(&queue->received, own->ring_length + own->max_hold,
                fl_memory_frame_maximum(port)) == 0 &&
            fl_memory_ring_init(&queue->transmit, own->buffers, fl_memory_frame_maximum(port)) == 0;
    }
    if (!is_complete)
    {
        fl_error(FL_ENOMEM, "memory port: no memory or descriptors for %u queues", own->queues);
        goto failed;
    }
    return port;

failed:
    fl_memory_port_free(port);
    return NULL;
}

void fl_memory_port_connect(void *a, void *b)
{
    ((fl_port_t *)a)->far = b;
    ((fl_port_t *)b)->far = a;
}

static int fl_memory_close(fl_port_t *port)
{
    if (NULL != port->far)
    {
        port->far->far = NULL;
    }
    fl_memory_port_free(port);
    return 0;
}

static int fl_memory_attributes(fl_port_t *port, fl_port_attributes_t *attributes)
{
    fl_port_attributes_t own = {
        .size = attributes->size,
        .offloads = port->config.offloads,
        .queues = port->config.queues,
        .mtu_length = port->config.mtu_length,
        .interface_index = port->config.interface_index,
        .headroom = port->config.headroom,
        .numa_node = -1,
        .max_hold = port->config.max_hold,
    };
    memcpy(own.mac, port->config.mac, sizeof(own.mac));
    memcpy(attributes, &own, attributes->size < sizeof(own) ? attributes->size : sizeof(own));
    return 0;
}

static int fl_memory_start(fl_port_t *port, uint32_t queues)
{
    if (fl_memory_port_is_dead(port))
    {
        return fl_error(FL_ENODEV, "memory port: it was removed");
    }
    if (queues > port->config.queues)
    {
        return fl_error(FL_EINVAL, "memory port: %u queues asked for, it has %u", queues, port->config.queues);
    }
    port->is_started = true;
    return 0;
}

static int fl_memory_stop(fl_port_t *port)
{
    pthread_mutex_lock(&port->mutex);
    port->is_started = false;
    pthread_mutex_unlock(&port->mutex);
    return 0;
}

/* ---- filters and groups ---- */

static int fl_memory_add_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    (void)source;
    if (0 == (port->config.offloads & FL_PORT_STEERING))
    {
        return -FL_ENOTSUP;
    }
    char text[FL_ADDRESS_TEXT_LENGTH];
    if (fl_address_is_wildcard(address) || queue >= port->config.queues || FL_MEMORY_PORT_FILTERS == port->filter_count)
    {
        return fl_error(
            FL_EINVAL, "memory port: no filter for %s on queue %u", fl_address_format(address, text), queue);
    }
    pthread_mutex_lock(&port->mutex);
    port->filters[port->filter_count++] = (fl_memory_filter_t){ .address = *address, .queue = queue, .vlan = vlan };
    pthread_mutex_unlock(&port->mutex);
    return 0;
}

static int fl_memory_remove_filter(
    fl_port_t *port, uint32_t queue, uint16_t vlan, const fl_address_t *address, const fl_address_t *source)
{
    (void)source;
    int result = -FL_ENOENT;
    pthread_mutex_lock(&port->mutex);
    for (uint32_t i = 0; i < port->filter_count && result < 0; i++)
    {
        const fl_memory_filter_t *filter = &port->filters[i];
        if (queue == filter->queue && vlan == filter->vlan && fl_address_is_same(address, &filter->address))
        {
            port->filters[i] = port->filters[--port->filter_count];
            result = 0;
        }
    }
    pthread_mutex_unlock(&port->mutex);
    return result;
}

static int fl_memory_join_group(fl_port_t *port, const fl_address_t *group)
{
    if (FL_MEMORY_PORT_GROUPS == port->group_count)
    {
        return fl_error(FL_ENOSPC, "memory port: %d groups are joined", FL_MEMORY_PORT_GROUPS);
    }
    pthread_mutex_lock(&port->mutex);
    port->groups[port->group_count++] = *group;
    pthread_mutex_unlock(&port->mutex);
    return 0;
}

static int fl_memory_leave_group(fl_port_t *port, const fl_address_t *group)
{
    int result = -FL_ENOENT;
    pthread_mutex_lock(&port->mutex);
    for (uint32_t i = 0; i < port->group_count && result < 0; i++)
    {
        if (fl_address_is_same_host(group, &port->groups[i]))
        {
            port->groups[i] = port->groups[--port->group_count];
            result = 0;
        }
    }
    pthread_mutex_unlock(&port->mutex);
    return result;
}

int fl_memory_port_filters(void *object, fl_address_t *addresses, uint32_t *queues, uint32_t capacity)
{
    fl_port_t *port = object;
    for (uint32_t i = 0; i < port->filter_count && i < capacity; i++)
    {
        addresses[i] = port->filters[i].address;
        if (NULL != queues)
        {
            queues[i] = port->filters[i].queue;
        }
    }
    return (int)port->filter_count;
}

int fl_memory_port_groups(void *object, fl_address_t *groups, uint32_t capacity)
{
    fl_port_t *port = object;
    memcpy(groups, port->groups, (port->group_count < capacity ? port->group_count : capacity) * sizeof(*groups));
    return (int)port->group_count;
}

/* ---- regions ---- */

static int fl_memory_register_memory(fl_port_t *port, void *memory, size_t length, uint64_t *region)
{
    if (0 == (port->config.offloads & FL_PORT_TX_PAYLOAD))
    {
        return -FL_ENOTSUP;
    }
    for (uint32_t i = 0; i < FL_MEMORY_PORT_REGIONS; i++)
    {
        if (NULL == port->regions[i].memory)
        {
            port->regions[i] = (fl_memory_region_t){ .memory = memory, .length = length };
            *region = i + 1;
            return 0;
        }
    }
    return fl_error(FL_ENOSPC, "memory port: %d regions are registered", FL_MEMORY_PORT_REGIONS);
}

static int fl_memory_unregister_memory(fl_port_t *port, uint64_t region)
{
    if (0 == region || region > FL_MEMORY_PORT_REGIONS || NULL == port->regions[region - 1].memory)
    {
        return fl_error(FL_EINVAL, "memory port: no such region");
    }
    port->regions[region - 1].memory = NULL;
    return 0;
}

/* ---- upkeep ---- */

static int fl_memory_housekeeping(fl_port_t *port, int64_t now_ns)
{
    (void)now_ns;
    return fl_memory_port_is_dead(port) ? -FL_ENODEV : 0;
}

static int fl_memory_events(fl_port_t *port, fl_event_t *events, uint32_t capacity)
{
    if (fl_memory_port_is_dead(port))
    {
        if (port->said_removed || 0 == capacity)
        {
            return -FL_ENODEV;
        }
        port->said_removed = true;
        events[0] = (fl_event_t){ .kind = FL_EVENT_REMOVED, .text = "memory port: it was removed" };
        return 1;
    }
    const uint32_t count = port->event_count < capacity ? port->event_count : capacity;
    memcpy(events, port->events, count * sizeof(*events));
    memmove(port->events, port->events + count, (port->event_count - count) * sizeof(*events));
    port->event_count -= count;
    return (int)count;
}

static int fl_memory_stats(fl_port_t *port, fl_stat_t *stats, uint32_t capacity)
{
    if (capacity > 0)
    {
        stats[0].value = (int64_t)port->totals.overflows;
        snprintf(stats[0].name, sizeof(stats[0].name), "memory-port-overflows");
    }
    return 1;
}

/* ---- for tests ---- */

void fl_memory_port_set_faults(void *object, const fl_memory_port_faults_t *faults)
{
    fl_port_t *port = object;
    pthread_mutex_lock(&port->mutex);
    port->faults = *faults;
    pthread_mutex_unlock(&port->mutex);
}

void fl_memory_port_totals(void *object, fl_memory_port_totals_t *totals)
{
    fl_port_t *port = object;
    pthread_mutex_lock(&port->mutex);
    *totals = port->totals;
    pthread_mutex_unlock(&port->mutex);
}

void fl_memory_port_set_link(void *object, uint32_t is_up)
{
    fl_port_t *port = object;
    port->is_up = 0 != is_up;
    if (port->event_count < FL_MEMORY_PORT_EVENTS)
    {
        fl_event_t *event = &port->events[port->event_count++];
        *event = (fl_event_t){ .kind = port->is_up ? FL_EVENT_LINK_UP : FL_EVENT_LINK_DOWN };
        snprintf(event->text, sizeof(event->text), "memory port: the link is %s", port->is_up ? "up" : "down");
    }
}

const void *fl_memory_port_ops(void)
{
    static const fl_port_ops_t ops = {
        .magic = FL_PORT_MAGIC,
        .size = sizeof(fl_port_ops_t),
        .abi_version = FL_ABI_VERSION,
        .attributes = fl_memory_attributes,
        .start = fl_memory_start,
        .stop = fl_memory_stop,
        .add_filter = fl_memory_add_filter,
        .remove_filter = fl_memory_remove_filter,
        .join_group = fl_memory_join_group,
        .leave_group = fl_memory_leave_group,
        .rx_burst = fl_memory_rx_burst,
        .rx_release = fl_memory_rx_release,
        .tx_alloc = fl_memory_tx_alloc,
        .tx_free = fl_memory_tx_free,
        .tx_burst = fl_memory_tx_burst,
        .tx_reap = fl_memory_tx_reap,
        .arm = fl_memory_arm,
        .disarm = fl_memory_disarm,
        .register_memory = fl_memory_register_memory,
        .unregister_memory = fl_memory_unregister_memory,
        .housekeeping = fl_memory_housekeeping,
        .events = fl_memory_events,
        .stats = fl_memory_stats,
        .close = fl_memory_close,
    };
    return &ops;
}
