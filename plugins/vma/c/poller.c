#include "poller.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "endpoint.h"

#define FL_PAGE_LENGTH 4096

static void fl_poller_free(fl_poller_t *poller)
{
    if (MAP_FAILED != poller->buffers)
    {
        munmap(poller->buffers, poller->buffers_length);
    }
    free(poller->entries);
    free(poller);
}

static bool fl_poller_allocate(fl_poller_t *poller, uint32_t entry_count)
{
    poller->entry_count = entry_count;
    poller->entries = calloc(entry_count, sizeof(*poller->entries));
    poller->buffers_length = ((size_t)entry_count + 1) * FL_RECEIVE_BUFFER_STRIDE;
    poller->buffers =
        mmap(NULL, poller->buffers_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (NULL == poller->entries || MAP_FAILED == poller->buffers)
    {
        return false;
    }
    for (uint32_t i = 0; i < entry_count; i++)
    {
        poller->entries[i].buffer = poller->buffers + (size_t)i * FL_RECEIVE_BUFFER_STRIDE;
    }
    poller->gathering = poller->buffers + (size_t)entry_count * FL_RECEIVE_BUFFER_STRIDE;
    return true;
}

int fl_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller)
{
    if (0 == roles || 0 != (roles & ~(uint32_t)(FL_ROLE_SENDER | FL_ROLE_RECEIVER)))
    {
        return fl_host_error(transport->host, FL_EINVAL, "poller with roles 0x%x: not in the ABI", roles);
    }
    for (const fl_poller_t *other = transport->pollers; NULL != other; other = other->next_open)
    {
        if (other->queue == queue)
        {
            return fl_host_error(transport->host, FL_EBUSY, "queue %u has a poller", queue);
        }
    }

    /* calloc aligns less than the counters ask for. */
    fl_poller_t *opened = aligned_alloc(_Alignof(fl_poller_t), sizeof(*opened));
    if (NULL == opened)
    {
        return fl_host_error(transport->host, FL_ENOMEM, "no memory for a poller");
    }
    memset(opened, 0, sizeof(*opened));
    opened->transport = transport;
    opened->queue = queue;
    if (!fl_poller_allocate(opened, transport->settings.receive_budget))
    {
        fl_poller_free(opened);
        return fl_host_error(
            transport->host, FL_ENOMEM, "no memory for %u receive buffers", transport->settings.receive_budget);
    }

    opened->next_open = transport->pollers;
    transport->pollers = opened;
    *poller = opened;
    return 0;
}

int fl_poller_enter(fl_poller_t *poller)
{
    /* The first write to a page decides on which NUMA node it lies: that of the thread that uses it. */
    for (size_t offset = 0; offset < poller->buffers_length; offset += FL_PAGE_LENGTH)
    {
        poller->buffers[offset] = 0;
    }
    return 0;
}

int fl_poller_leave(fl_poller_t *poller)
{
    (void)poller;
    return 0;
}

int fl_poller_close(fl_poller_t *poller)
{
    fl_transport_t *transport = poller->transport;
    if (!fl_transport_is_mine(transport))
    {
        return 0;
    }
    if (0 != poller->endpoint_count)
    {
        return fl_host_error(
            transport->host, FL_EBUSY, "close the poller of queue %u: it has %u endpoints", poller->queue,
            poller->endpoint_count);
    }

    for (int id = 0; id < FL_POLLER_COUNTERS; id++)
    {
        transport->closed_counters[id] += fl_figure_get(&poller->counters[id]);
    }
    fl_poller_t **link = &transport->pollers;
    while (*link != poller)
    {
        link = &(*link)->next_open;
    }
    *link = poller->next_open;
    fl_poller_free(poller);
    return 0;
}

int fl_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    if (NULL != endpoint->poller)
    {
        return -FL_EBUSY;
    }
    if (NULL == poller->turn)
    {
        poller->turn = endpoint->next = endpoint->previous = endpoint;
    }
    else
    {
        endpoint->next = poller->turn;
        endpoint->previous = poller->turn->previous;
        endpoint->previous->next = endpoint;
        endpoint->next->previous = endpoint;
    }
    poller->endpoint_count++;
    endpoint->poller = poller;
    endpoint->context = context;
    return 0;
}

int fl_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    if (poller != endpoint->poller)
    {
        return -FL_EINVAL;
    }
    endpoint->previous->next = endpoint->next;
    endpoint->next->previous = endpoint->previous;
    if (poller->turn == endpoint)
    {
        poller->turn = endpoint->next;
    }
    if (0 == --poller->endpoint_count)
    {
        poller->turn = NULL;
    }
    endpoint->poller = NULL;
    return 0;
}
