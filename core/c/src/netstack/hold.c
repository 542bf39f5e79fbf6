/* Held runs (FL_RUN_HOLD): memory that stays in use until the port is done with all frames that point to it. */
#include "netstack/netstack.h"

fl_hold_t *fl_hold_take(fl_poller_t *poller, fl_endpoint_t *endpoint, uint64_t token)
{
    if (FL_NETSTACK_HOLDS == poller->hold_tail - poller->hold_head)
    {
        return NULL;
    }
    fl_hold_t *hold = &poller->holds[poller->hold_tail++ & (FL_NETSTACK_HOLDS - 1)];
    *hold = (fl_hold_t){ .endpoint = endpoint, .token = token };
    endpoint->held++;
    return hold;
}

bool fl_hold_region(fl_transport_t *netstack, const fl_run_t *run, uint64_t *region)
{
    for (uint32_t i = 0; i < FL_NETSTACK_REGIONS; i++)
    {
        fl_region_t *entry = &netstack->regions[i];
        /* Acquire: pairs with the release in fl_netstack_register_memory(); length and id belong to the memory. A
         * region is in use by none when it is taken out. */
        const uintptr_t memory = atomic_load_explicit(&entry->memory, memory_order_acquire);
        const uintptr_t data = (uintptr_t)run->data;
        if (0 != memory && data >= memory && data - memory <= entry->length &&
            run->length <= entry->length - (data - memory))
        {
            *region = entry->id;
            return true;
        }
    }
    return false;
}

int fl_netstack_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    fl_completion_t done[FL_NETSTACK_BURST];
    if (__builtin_expect(fl_netstack_is_lost(poller->netstack), 0))
    {
        return -FL_ENODEV;
    }
    fl_pending_follow(poller, fl_netstack_generation(poller->netstack));
    const int reaped = fl_netstack_note(
        poller->netstack, poller->ops->tx_reap(poller->port, poller->queue, done, FL_NETSTACK_BURST));
    for (int i = 0; i < reaped; i++)
    {
        fl_hold_t *hold = &poller->holds[done[i].token & (FL_NETSTACK_HOLDS - 1)];
        if (0 != hold->frames)
        {
            hold->frames--;
            hold->status = 0 != hold->status ? hold->status : done[i].status;
        }
    }
    uint32_t count = 0;
    while (count < capacity && poller->hold_head != poller->hold_tail)
    {
        const fl_hold_t *hold = &poller->holds[poller->hold_head & (FL_NETSTACK_HOLDS - 1)];
        if (0 != hold->frames)
        {
            break;
        }
        if (!hold->is_void)
        {
            completions[count++] = (fl_completion_t){ .token = hold->token, .status = hold->status };
        }
        hold->endpoint->held--;
        poller->hold_head++;
    }
    return (int)count;
}
