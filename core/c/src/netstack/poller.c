/* Pollers: their life, what they do besides moving frames, and sleeping. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netstack/netstack.h"
#include "transport/address.h"
#include "util/error.h"

/* ---- life ---- */

static void fl_poller_free(fl_poller_t *poller)
{
    for (uint32_t i = 0; NULL != poller->pending && i < poller->netstack->config.pending_capacity; i++)
    {
        free(poller->pending[i].data);
    }
    free(poller->pending);
    free(poller->control_frame);
    free(poller->flows);
    free(poller);
}

static bool fl_poller_allocate(fl_poller_t *poller)
{
    const fl_netstack_config_t *config = &poller->netstack->config;
    poller->flows = calloc(FL_NETSTACK_FLOWS, sizeof(*poller->flows));
    poller->control_frame = malloc(FL_CONTROL_FRAME_MAXIMUM + config->mtu_length);
    poller->pending = calloc(config->pending_capacity, sizeof(*poller->pending));
    bool is_complete = NULL != poller->flows && NULL != poller->control_frame && NULL != poller->pending;
    for (uint32_t i = 0; is_complete && i < config->pending_capacity; i++)
    {
        poller->pending[i].data = malloc(config->mtu_length);
        is_complete = NULL != poller->pending[i].data;
    }
    return is_complete;
}

int fl_netstack_poller_open(fl_transport_t *netstack, uint32_t queue, uint32_t roles, fl_poller_t **result)
{
    const char *name = netstack->config.name;
    if (queue >= netstack->queues)
    {
        return fl_error(
            FL_EINVAL, "'%s': queue %u was asked for, it has %u; with one queue, run sender and receiver on one thread "
            "(threading mode SHARED_NETWORK)", name, queue, netstack->queues);
    }
    if (NULL != atomic_load_explicit(&netstack->pollers[queue], memory_order_relaxed))
    {
        return fl_error(FL_EBUSY, "'%s': queue %u has a poller", name, queue);
    }
    if (fl_netstack_is_lost(netstack))
    {
        return fl_error(FL_ENODEV, "'%s': the device is gone", name);
    }
    fl_poller_t *poller = aligned_alloc(64, (sizeof(*poller) + 63) / 64 * 64);
    if (NULL == poller)
    {
        return fl_error(FL_ENOMEM, "'%s': no memory for a poller", name);
    }
    memset(poller, 0, sizeof(*poller));
    poller->netstack = netstack;
    poller->ops = &netstack->port_ops;
    poller->port = netstack->port;
    poller->counts = &netstack->counts[queue];
    poller->wishes = &netstack->wishes[queue];
    poller->queue = queue;
    poller->roles = roles;
    poller->tick_ns = fl_netstack_now(netstack);
    poller->generation = fl_netstack_generation(netstack);
    poller->burst =
        FL_NETSTACK_BURST < netstack->attributes.max_hold ? FL_NETSTACK_BURST : netstack->attributes.max_hold;
    if (!fl_poller_allocate(poller))
    {
        fl_poller_free(poller);
        return fl_error(FL_ENOMEM, "'%s': no memory for a poller", name);
    }
    atomic_store_explicit(&netstack->pollers[queue], poller, memory_order_relaxed);
    *result = poller;
    return 0;
}

int fl_netstack_poller_enter(fl_poller_t *poller)
{
    const int result = fl_netstack_note(poller->netstack, poller->ops->queue_enter(poller->port, poller->queue));
    return -FL_ENOTSUP == result ? 0 : result;
}

int fl_netstack_poller_leave(fl_poller_t *poller)
{
    fl_receive_abandon(poller);
    fl_pending_drop(poller, NULL);
    fl_send_return_buffers(poller);
    const int result = fl_netstack_note(poller->netstack, poller->ops->queue_leave(poller->port, poller->queue));
    return -FL_ENOTSUP == result || -FL_ENODEV == result ? 0 : result;
}

int fl_netstack_poller_close(fl_poller_t *poller)
{
    if (0 != poller->endpoint_count)
    {
        return fl_error(
            FL_EBUSY, "'%s': %u endpoints are on the poller of queue %u", poller->netstack->config.name,
            poller->endpoint_count, poller->queue);
    }
    atomic_store_explicit(&poller->netstack->pollers[poller->queue], NULL, memory_order_relaxed);
    fl_poller_free(poller);
    return 0;
}

int fl_netstack_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    if (NULL != atomic_load_explicit(&endpoint->poller, memory_order_relaxed))
    {
        return -FL_EBUSY;
    }
    endpoint->context = context;
    endpoint->header.generation = 0;
    fl_demux_add(poller, endpoint);
    fl_flows_clear(poller);
    poller->endpoint_count++;
    /* Relaxed: the control thread moves the filters there in its next call of events. */
    atomic_store_explicit(&endpoint->queue, poller->queue, memory_order_relaxed);
    atomic_store_explicit(&endpoint->poller, poller, memory_order_relaxed);
    return 0;
}

int fl_netstack_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    if (poller != atomic_load_explicit(&endpoint->poller, memory_order_relaxed))
    {
        return -FL_EINVAL;
    }
    fl_receive_forget(poller, endpoint);
    fl_demux_remove(poller, endpoint);
    fl_flows_clear(poller);
    fl_pending_drop(poller, endpoint);
    poller->endpoint_count--;
    /* Release: pairs with the acquire in fl_netstack_close_endpoint(). */
    atomic_store_explicit(&endpoint->poller, NULL, memory_order_release);
    return 0;
}

/* ---- wishes ---- */

void fl_poller_wish(fl_poller_t *poller, const fl_address_t *next_hop)
{
    fl_transport_t *netstack = poller->netstack;
    fl_counts_add(poller->counts, FL_COUNT_ARP_MISS, 1);
    if (fl_netstack_is_own(netstack) && 0 == poller->queue)
    {
        fl_control_resolve(netstack->control, next_hop, fl_netstack_now(netstack));
        return;
    }
    fl_wishes_t *wishes = poller->wishes;
    const uint32_t tail = atomic_load_explicit(&wishes->tail, memory_order_relaxed);
    /* Acquire: pairs with the release of who takes wishes out. A full ring loses the wish; it is made again. */
    const uint32_t head = atomic_load_explicit(&wishes->head, memory_order_acquire);
    if (FL_NETSTACK_WISHES == tail - head)
    {
        return;
    }
    for (uint32_t i = head; i != tail; i++)
    {
        if (fl_address_is_same_host(&wishes->entries[i & (FL_NETSTACK_WISHES - 1)], next_hop))
        {
            return;
        }
    }
    wishes->entries[tail & (FL_NETSTACK_WISHES - 1)] = *next_hop;
    /* Release: pairs with the acquire in fl_poller_resolve_wishes() and fl_netstack_wishes(). */
    atomic_store_explicit(&wishes->tail, tail + 1, memory_order_release);
    const uint64_t one = 1;
    if (!fl_netstack_is_own(netstack) && write(netstack->wish_fd, &one, sizeof(one)) < 0 && EAGAIN != errno)
    {
        fl_counts_add(poller->counts, FL_COUNT_TX_ERROR, 1);
    }
}

/* Own mode, queue 0: resolve what the other pollers want. */
static void fl_poller_resolve_wishes(fl_poller_t *poller)
{
    fl_transport_t *netstack = poller->netstack;
    for (uint32_t queue = 1; queue < netstack->queues; queue++)
    {
        fl_wishes_t *wishes = &netstack->wishes[queue];
        uint32_t head = atomic_load_explicit(&wishes->head, memory_order_relaxed);
        /* Acquire: pairs with the release in fl_poller_wish(). */
        const uint32_t tail = atomic_load_explicit(&wishes->tail, memory_order_acquire);
        if (head == tail)
        {
            continue;
        }
        for (; head != tail; head++)
        {
            fl_control_resolve(
                netstack->control, &wishes->entries[head & (FL_NETSTACK_WISHES - 1)], fl_netstack_now(netstack));
        }
        /* Release: pairs with the acquire in fl_poller_wish(). */
        atomic_store_explicit(&wishes->head, head, memory_order_release);
    }
}

/* ---- duties ---- */

/* Own mode, queue 0: make the groups of the control protocols those that are wanted. */
static void fl_poller_follow_groups(fl_poller_t *poller, int64_t now_ns)
{
    fl_transport_t *netstack = poller->netstack;
    const uint32_t version = atomic_load_explicit(&netstack->membership, memory_order_acquire);
    if (version == poller->membership)
    {
        return;
    }
    bool is_full = false;
    for (uint32_t i = 0; i < FL_CONTROL_GROUPS; i++)
    {
        fl_membership_t *membership = &netstack->memberships[i];
        /* Acquire: pairs with the release in fl_reserve_want(); the group is there. */
        const uint32_t wanted = atomic_load_explicit(&membership->wanted, memory_order_acquire);
        const uint32_t applied = atomic_load_explicit(&membership->applied, memory_order_relaxed);
        if (wanted > 0 && 0 == applied)
        {
            const bool is_joined = 0 == fl_control_join(netstack->control, &membership->group, now_ns);
            is_full = is_full || !is_joined;
            atomic_store_explicit(&membership->applied, is_joined, memory_order_relaxed);
        }
        else if (0 == wanted && applied > 0)
        {
            fl_control_leave(netstack->control, &membership->group, now_ns);
            /* Release: pairs with the acquire in fl_reserve_want(); the place may be used for another group. */
            atomic_store_explicit(&membership->applied, 0, memory_order_release);
        }
    }
    poller->membership = is_full ? poller->membership : version;
}

static void fl_poller_control(fl_poller_t *poller, int64_t now_ns, bool has_ticked)
{
    fl_transport_t *netstack = poller->netstack;
    /* Acquire: pairs with the release of whoever raised it. */
    const uint32_t announce = atomic_load_explicit(&netstack->announce, memory_order_acquire);
    if (announce != poller->announced)
    {
        poller->announced = announce;
        fl_control_start(netstack->control, now_ns);
    }
    fl_poller_follow_groups(poller, now_ns);
    fl_poller_resolve_wishes(poller);
    if (has_ticked)
    {
        fl_control_tick(netstack->control, now_ns);
    }
}

void fl_poller_duties(fl_poller_t *poller)
{
    fl_transport_t *netstack = poller->netstack;
    const int64_t now_ns = fl_netstack_now(netstack);
    const bool has_ticked = now_ns != poller->tick_ns;
    poller->tick_ns = now_ns;
    if (NULL != netstack->control && 0 == poller->queue)
    {
        fl_poller_control(poller, now_ns, has_ticked);
    }
    const uint64_t generation = fl_netstack_generation(netstack);
    if (__builtin_expect(generation != poller->generation, 0))
    {
        poller->generation = generation;
        fl_flows_clear(poller);
        fl_pending_retry(poller);
    }
    else if (has_ticked && 0 != poller->pending_count)
    {
        fl_pending_retry(poller);
    }
}

int fl_poller_emit(void *context, const uint8_t *frame, uint32_t length)
{
    fl_transport_t *netstack = context;
    fl_poller_t *poller = atomic_load_explicit(&netstack->pollers[0], memory_order_relaxed);
    const uint32_t tag = FL_VLAN_NONE == netstack->config.vlan ? 0 : FL_VLAN_LENGTH;
    if (NULL == poller || length < FL_ETHERNET_LENGTH || length > FL_CONTROL_FRAME_MAXIMUM ||
        length > netstack->config.mtu_length + FL_ETHERNET_LENGTH)
    {
        return -FL_EAGAIN;
    }
    /* A buffer of its own: this may come while a burst is being filled. */
    fl_tx_frame_t out;
    const int allocated = fl_netstack_note(netstack, poller->ops->tx_alloc(poller->port, 0, &out, 1));
    if (allocated < 1)
    {
        fl_counts_add(poller->counts, FL_COUNT_TX_NO_BUFFERS, 1);
        return -FL_EAGAIN;
    }
    const fl_tx_frame_t taken = out;
    out = (fl_tx_frame_t){ .data = taken.data, .token = taken.token, .length = (uint16_t)(length + tag) };
    const uint32_t addresses = 2 * FL_MAC_LENGTH;
    memcpy(out.data, frame, addresses);
    if (0 != tag)
    {
        fl_store_u16(out.data + addresses, FL_ETHER_TYPE_VLAN);
        fl_store_u16(out.data + addresses + 2, (uint16_t)netstack->config.vlan);
    }
    memcpy(out.data + addresses + tag, frame + addresses, length - addresses);
    const int sent = fl_netstack_note(netstack, poller->ops->tx_burst(poller->port, 0, &out, 1));
    if (sent < 1)
    {
        poller->ops->tx_free(poller->port, 0, &out, 1);
        fl_counts_add(poller->counts, FL_COUNT_TX_EAGAIN, 1);
        return -FL_EAGAIN;
    }
    return 0;
}

/* ---- sleeping ---- */

int fl_netstack_arm(fl_poller_t *poller)
{
    if (fl_netstack_is_lost(poller->netstack))
    {
        return -FL_ENODEV;
    }
    const bool is_pending = poller->next < poller->taken ||
        (0 != poller->pending_count && poller->generation != fl_netstack_generation(poller->netstack));
    return is_pending ? -FL_EAGAIN
                      : fl_netstack_note(poller->netstack, poller->ops->arm(poller->port, poller->queue));
}

int fl_netstack_disarm(fl_poller_t *poller)
{
    return fl_netstack_note(poller->netstack, poller->ops->disarm(poller->port, poller->queue));
}
