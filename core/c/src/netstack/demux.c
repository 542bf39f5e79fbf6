/* Who receives at an address: a table of one poller, owned by its thread. Off the fast path: what is found here is kept
 * with the flow (receive.c). */
#include "netstack/netstack.h"
#include "transport/address.h"

static fl_listener_t **fl_demux_bucket(fl_poller_t *poller, uint16_t port)
{
    return &poller->buckets[(port ^ port >> 8) & (FL_NETSTACK_BUCKETS - 1)];
}

void fl_demux_add(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    const fl_address_t *addresses[] = { &endpoint->local, &endpoint->group };
    for (int i = 0; i < 2; i++)
    {
        fl_listener_t *listener = &endpoint->listeners[i];
        listener->endpoint = NULL;
        if (FL_FAMILY_NONE == addresses[i]->family || (1 == i && fl_address_is_same(addresses[0], addresses[1])))
        {
            continue;
        }
        fl_listener_t **bucket = fl_demux_bucket(poller, addresses[i]->port);
        *listener = (fl_listener_t){ .next = *bucket, .endpoint = endpoint, .address = *addresses[i] };
        *bucket = listener;
    }
}

void fl_demux_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    for (int i = 0; i < 2; i++)
    {
        fl_listener_t *listener = &endpoint->listeners[i];
        if (NULL == listener->endpoint)
        {
            continue;
        }
        fl_listener_t **link = fl_demux_bucket(poller, listener->address.port);
        while (*link != listener)
        {
            link = &(*link)->next;
        }
        *link = listener->next;
        listener->endpoint = NULL;
    }
}

static fl_listener_t *fl_demux_scan(fl_listener_t *listener, const fl_address_t *local)
{
    while (NULL != listener && !fl_address_is_same(&listener->address, local))
    {
        listener = listener->next;
    }
    return listener;
}

fl_listener_t *fl_demux_find(fl_poller_t *poller, const fl_address_t *local)
{
    fl_listener_t *first = *fl_demux_bucket(poller, local->port);
    fl_listener_t *found = fl_demux_scan(first, local);
    if (NULL != found || fl_address_is_multicast(local))
    {
        return found;
    }
    const fl_address_t any = { .family = local->family, .port = local->port };
    return fl_demux_scan(first, &any);
}

fl_listener_t *fl_demux_next(fl_listener_t *listener, const fl_address_t *local)
{
    return fl_address_is_multicast(local) ? fl_demux_scan(listener->next, local) : NULL;
}
