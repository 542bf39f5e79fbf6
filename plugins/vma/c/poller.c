#include "poller.h"

#include <stdlib.h>
#include <string.h>

#include "endpoint.h"

static void fl_poller_free(fl_poller_t *poller)
{
    fl_receive_buffers_close(&poller->buffers);
    free(poller->entries);
    free(poller);
}

static bool fl_poller_allocate(fl_poller_t *poller, uint32_t entry_count)
{
    poller->entry_count = entry_count;
    poller->entries = calloc(entry_count, sizeof(*poller->entries));
    if (!fl_receive_buffers_open(&poller->buffers, entry_count + 1) || NULL == poller->entries)
    {
        return false;
    }
    for (uint32_t i = 0; i < entry_count; i++)
    {
        poller->entries[i].buffer = fl_receive_buffers_at(&poller->buffers, i);
    }
    poller->gathering = fl_receive_buffers_at(&poller->buffers, entry_count);
    return true;
}

int fl_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller)
{
    const int code = fl_poller_base_check(transport, queue, roles);
    if (0 != code)
    {
        return code;
    }

    /* calloc aligns less than the counters ask for. */
    fl_poller_t *opened = aligned_alloc(_Alignof(fl_poller_t), sizeof(*opened));
    if (NULL == opened)
    {
        return fl_host_error(transport->base.host, FL_ENOMEM, "no memory for a poller");
    }
    memset(opened, 0, sizeof(*opened));
    if (!fl_poller_allocate(opened, transport->settings.receive_budget))
    {
        fl_poller_free(opened);
        return fl_host_error(
            transport->base.host, FL_ENOMEM, "no memory for %u receive buffers", transport->settings.receive_budget);
    }

    fl_poller_base_open(transport, opened, queue, opened->counters);
    *poller = opened;
    return 0;
}

int fl_poller_enter(fl_poller_t *poller)
{
    fl_receive_buffers_touch(&poller->buffers);
    return 0;
}

int fl_poller_leave(fl_poller_t *poller)
{
    (void)poller;
    return 0;
}

int fl_poller_close(fl_poller_t *poller)
{
    const int code = fl_poller_base_close(poller);
    if (code <= 0)
    {
        return code;
    }
    fl_poller_free(poller);
    return 0;
}
