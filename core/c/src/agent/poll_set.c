#include "agent/poll_set.h"

#include <stddef.h>

/* What follows is the control plane's to do; told once, since it looks at every transport then. */
static void fl_poll_set_lose(fl_poll_set_t *set, fl_poll_entry_t *entry)
{
    entry->is_gone = 1;
    if (NULL != set->events)
    {
        fl_object_raise(set->events, &set->object, FL_EVENT_TRANSPORTS_GONE);
    }
}

int64_t fl_poll_set_poll(fl_poll_set_t *set, int64_t now_ns)
{
    fl_run_t runs[FL_POLL_RUNS];
    const uint32_t capacity = set->run_limit > 0 && set->run_limit < FL_POLL_RUNS ? set->run_limit : FL_POLL_RUNS;
    int64_t bytes = 0;
    for (uint32_t i = 0; i < set->count; i++)
    {
        fl_poll_entry_t *entry = &set->entries[i];
        const int polled = entry->binding->ops.poll(entry->poller, runs, capacity);
        if (polled <= 0)
        {
            if (-FL_ENODEV == polled && 0 == entry->is_gone)
            {
                fl_poll_set_lose(set, entry);
            }
            continue;
        }
        set->arrival_ns = 0;
        for (int k = 0; k < polled; k++)
        {
            fl_run_t *run = &runs[k];
            if (0 == run->segment_length)
            {
                run->segment_length = run->length;   /* a transport that leaves it out means one datagram */
            }
            bytes += run->length;
            ((fl_sink_t *)run->context)->on_run(run->context, run, now_ns);
        }
        entry->binding->ops.release(entry->poller, runs, (uint32_t)polled);
    }
    return bytes;
}

void fl_poll_set_reap(fl_poll_set_t *set)
{
    fl_completion_t completions[FL_POLL_RUNS];
    for (uint32_t i = 0; i < set->count; i++)
    {
        fl_poll_entry_t *entry = &set->entries[i];
        entry->binding->ops.reap(entry->poller, completions, FL_POLL_RUNS);
    }
}

fl_poll_entry_t *fl_poll_set_find(fl_poll_set_t *set, const fl_binding_t *binding)
{
    for (uint32_t i = 0; i < set->count; i++)
    {
        if (set->entries[i].binding == binding)
        {
            return &set->entries[i];
        }
    }
    return NULL;
}
