/* Datagrams that wait for their neighbours: few, copied, in the order in which they came. */
#include <string.h>

#include "netstack/netstack.h"
#include "transport/address.h"

int fl_pending_add(
    fl_poller_t *poller, fl_endpoint_t *endpoint, const fl_address_t *destination, const fl_address_t *local,
    const fl_address_t *next_hop, const uint8_t *data, uint32_t length)
{
    uint32_t of_neighbour = 0;
    for (uint32_t i = 0; i < poller->pending_count; i++)
    {
        of_neighbour += fl_address_is_same_host(&poller->pending[i].next_hop, next_hop);
    }
    if (of_neighbour >= FL_NETSTACK_PENDING_PER_NEIGHBOUR ||
        poller->pending_count == poller->netstack->config.pending_capacity ||
        length > poller->netstack->config.mtu_length)
    {
        return -FL_EAGAIN;
    }
    fl_pending_t *pending = &poller->pending[poller->pending_count++];
    pending->endpoint = endpoint;
    pending->destination = *destination;
    pending->local = NULL != local ? *local : (fl_address_t){ .family = FL_FAMILY_NONE };
    pending->next_hop = *next_hop;
    pending->queued_ns = poller->tick_ns;
    pending->length = length;
    if (0 != length)
    {
        memcpy(pending->data, data, length);
    }
    fl_counts_add(poller->counts, FL_COUNT_TX_PENDING, 1);
    return 0;
}

/* Send one of them if its neighbour is known. Returns whether it need not wait any more. */
static bool fl_pending_try(fl_poller_t *poller, const fl_pending_t *pending)
{
    fl_peer_t peer = { .address = pending->destination };
    fl_address_t next_hop;
    const fl_address_t *local = FL_FAMILY_NONE != pending->local.family ? &pending->local : NULL;
    int result = fl_header_make(
        poller, pending->endpoint, &peer, local, fl_netstack_generation(poller->netstack), &next_hop);
    if (0 == result)
    {
        result = fl_send_one(poller, pending->endpoint, pending->data, pending->length);
    }
    if (-FL_EAGAIN == result && poller->tick_ns - pending->queued_ns < FL_NETSTACK_PENDING_NS)
    {
        return false;
    }
    if (result < 0)
    {
        fl_counts_add(poller->counts, FL_COUNT_TX_UNRESOLVED, 1);
    }
    return true;
}

/* Keep one of them, behind the others that are kept; the memory of those that are not goes round. */
static void fl_pending_keep(fl_poller_t *poller, uint32_t index, uint32_t *kept)
{
    const fl_pending_t swapped = poller->pending[*kept];
    poller->pending[*kept] = poller->pending[index];
    poller->pending[index] = swapped;
    (*kept)++;
}

void fl_pending_retry(fl_poller_t *poller)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < poller->pending_count; i++)
    {
        bool is_behind = false;   /* another one to that next hop still waits */
        for (uint32_t k = 0; k < kept; k++)
        {
            is_behind = is_behind ||
                fl_address_is_same_host(&poller->pending[k].next_hop, &poller->pending[i].next_hop);
        }
        const bool is_young = poller->tick_ns - poller->pending[i].queued_ns < FL_NETSTACK_PENDING_NS;
        if ((is_behind && is_young) || !fl_pending_try(poller, &poller->pending[i]))
        {
            fl_pending_keep(poller, i, &kept);
        }
    }
    poller->pending_count = kept;
}

void fl_pending_drop(fl_poller_t *poller, const fl_endpoint_t *endpoint)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < poller->pending_count; i++)
    {
        if (NULL != endpoint && endpoint != poller->pending[i].endpoint)
        {
            fl_pending_keep(poller, i, &kept);
        }
    }
    if (kept < poller->pending_count)
    {
        fl_counts_add(poller->counts, FL_COUNT_TX_UNRESOLVED, poller->pending_count - kept);
    }
    poller->pending_count = kept;
}
