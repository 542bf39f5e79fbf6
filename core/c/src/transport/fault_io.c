/* What the fault wrapper does to datagrams on their way through `send` and `poll`. */
#include "transport/address.h"
#include "transport/fault_internal.h"

/* ---- sending ---- */

void fl_fault_send_due(fl_endpoint_t *endpoint, int64_t now_ns)
{
    fl_held_t *held;
    while (NULL != (held = fl_datagram_store_due(endpoint->store, now_ns)))
    {
        endpoint->fault->base.inner->ops.send(endpoint->base.inner, &held->run, 1);
        if (-FL_EAGAIN == held->run.status)
        {
            fl_datagram_store_hold(endpoint->store, held, held->due_ns, 0);
            return;
        }
        fl_fault_count(&endpoint->fault->send.passed, 1);
        fl_datagram_store_give(endpoint->store, held);
    }
}

/* Send the datagrams from `first` to before `last` as they are. Returns whether all were taken; else accepted and
 * status of the run are final. */
static bool fl_fault_send_clean(fl_endpoint_t *endpoint, fl_run_t *run, uint32_t first, uint32_t last, int64_t now_ns)
{
    if (first == last)
    {
        return true;
    }
    fl_run_t part = *run;
    const uint32_t offset = first * run->segment_length;
    part.data += offset;
    part.length = fl_run_extent(run, last) - offset;
    part.segment_length = part.length < run->segment_length ? part.length : run->segment_length;
    part.flags &= ~(uint32_t)FL_RUN_HOLD;
    endpoint->fault->base.inner->ops.send(endpoint->base.inner, &part, 1);
    run->accepted = first + part.accepted;
    run->status = part.status;
    fl_fault_count(&endpoint->fault->send.passed, part.accepted);
    for (uint32_t i = 0; i < part.accepted && fl_datagram_store_is_overtaking(endpoint->store); i++)
    {
        fl_datagram_store_pass(endpoint->store);
        fl_fault_send_due(endpoint, now_ns);
    }
    return 0 == part.status;
}

static void fl_fault_send_run(fl_endpoint_t *endpoint, fl_run_t *run, uint32_t segments, int64_t now_ns)
{
    fl_fault_rules_t *rules = &endpoint->fault->send;
    uint32_t clean = 0;      /* first datagram that is judged clean and not yet sent */
    for (uint32_t segment = 0; segment < segments; segment++)
    {
        const fl_fault_verdict_t verdict = fl_fault_judge(rules, &endpoint->random_send);
        if (fl_fault_is_clean(&verdict))
        {
            /* While something waits to be overtaken each datagram goes alone, so that it counts as it passes. */
            if (fl_datagram_store_is_overtaking(endpoint->store))
            {
                if (!fl_fault_send_clean(endpoint, run, clean, segment + 1, now_ns))
                {
                    return;
                }
                clean = segment + 1;
            }
            continue;
        }
        if (!fl_fault_send_clean(endpoint, run, clean, segment, now_ns))
        {
            return;
        }
        if (verdict.is_refused)
        {
            fl_fault_count(&rules->refused, 1);
            run->accepted = segment;
            run->status = -FL_EAGAIN;
            return;
        }
        fl_fault_apply(
            rules, endpoint->store, &verdict, &endpoint->random_send, run, segment, now_ns, endpoint);
        fl_fault_send_due(endpoint, now_ns);
        clean = segment + 1;
    }
    if (fl_fault_send_clean(endpoint, run, clean, segments, now_ns))
    {
        run->accepted = segments;
        run->status = 0;
    }
}

int fl_fault_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    fl_fault_t *fault = endpoint->fault;
    if (fl_fault_is_removed(fault))
    {
        for (uint32_t i = 0; i < count; i++)
        {
            runs[i].accepted = 0;
            runs[i].status = -FL_ENODEV;
        }
        return -FL_ENODEV;
    }
    uint32_t flags = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        flags |= runs[i].flags;
    }
    if (!FL_FAULT_RULE(&fault->send, is_active) && fl_datagram_store_is_empty(endpoint->store) &&
        0 == (flags & FL_RUN_HOLD))
    {
        const int whole = fault->base.inner->ops.send(endpoint->base.inner, runs, count);
        int64_t passed = 0;
        for (uint32_t i = 0; i < count; i++)
        {
            passed += runs[i].accepted;
        }
        fl_fault_count(&fault->send.passed, passed);
        return whole;
    }

    const int64_t now_ns = fault->host->nano_clock(fault->host);
    int whole = 0;
    fl_fault_send_due(endpoint, now_ns);
    for (uint32_t i = 0; i < count; i++)
    {
        fl_run_t *run = &runs[i];
        const uint32_t segments = fl_run_segments(run);
        run->accepted = 0;
        run->status = fl_run_inherited_status(runs, i, &endpoint->connected);
        if (0 != run->status)
        {
            continue;
        }
        if (run->segment_length > FL_UDP_PAYLOAD_MAXIMUM || 0 == segments)
        {
            run->status = 0 == segments ? -FL_EINVAL : -FL_EMSGSIZE;
            continue;
        }
        fl_fault_send_run(endpoint, run, segments, now_ns);
        whole += 0 == run->status ? 1 : 0;
    }
    return whole;
}

/* ---- receiving ---- */

static void fl_fault_release_batch_if_done(fl_poller_t *poller)
{
    if (0 == poller->outstanding && poller->batch_index == poller->batch_count && 0 != poller->batch_count)
    {
        poller->fault->base.inner->ops.release(poller->base.inner, poller->batch, poller->batch_count);
        poller->batch_count = 0;
        poller->batch_index = 0;
    }
}

static uint32_t fl_fault_emit_due(fl_poller_t *poller, fl_run_t *runs, uint32_t room, int64_t now_ns)
{
    uint32_t count = 0;
    fl_held_t *held;
    while (count < room && NULL != (held = fl_datagram_store_due(poller->store, now_ns)))
    {
        const fl_endpoint_t *endpoint = held->owner;
        runs[count] = held->run;
        runs[count].context = endpoint->context;
        runs[count].token = (uint64_t)(uintptr_t)held;
        count++;
    }
    poller->outstanding += count;
    fl_fault_count(&poller->fault->receive.passed, count);
    return count;
}

/* The datagrams from `first` to before `last` of a received run, as they are; 0 or 1 run. */
static uint32_t fl_fault_emit_clean(
    fl_poller_t *poller, fl_run_t *out, const fl_run_t *run, uint32_t first, uint32_t last)
{
    if (first == last)
    {
        return 0;
    }
    const fl_endpoint_t *endpoint = run->context;
    const uint32_t offset = first * run->segment_length;
    *out = *run;
    out->data += offset;
    out->length = fl_run_extent(run, last) - offset;
    out->segment_length = out->length < run->segment_length ? out->length : run->segment_length;
    out->context = endpoint->context;
    out->token = 0;
    poller->outstanding++;
    fl_fault_count(&poller->fault->receive.passed, last - first);
    for (uint32_t i = first; i < last && fl_datagram_store_is_overtaking(poller->store); i++)
    {
        fl_datagram_store_pass(poller->store);
    }
    return 1;
}

/* Judge and emit the run at batch_index from batch_segment on, while there is room. Moves both. */
static uint32_t fl_fault_emit_run(fl_poller_t *poller, fl_run_t *runs, uint32_t room, int64_t now_ns)
{
    fl_fault_rules_t *rules = &poller->fault->receive;
    const fl_run_t *run = &poller->batch[poller->batch_index];
    fl_endpoint_t *endpoint = run->context;
    const uint32_t segments = NULL == endpoint ? 0 : fl_run_segments(run);
    const bool is_active = FL_FAULT_RULE(rules, is_active);
    uint32_t clean = poller->batch_segment;
    uint32_t segment = clean;
    uint32_t count = 0;
    while (segment < segments && count < room)
    {
        const bool is_overtaking = fl_datagram_store_is_overtaking(poller->store);
        const fl_fault_verdict_t verdict =
            is_active ? fl_fault_judge(rules, &endpoint->random_receive) : (fl_fault_verdict_t){ 0 };
        const bool is_clean = fl_fault_is_clean(&verdict);
        if (is_clean && !is_overtaking)
        {
            segment++;
            continue;
        }
        /* There is room for what came before; what this one adds is emitted with what is due, now or later. */
        count += fl_fault_emit_clean(poller, &runs[count], run, clean, is_clean ? segment + 1 : segment);
        if (!is_clean)
        {
            fl_fault_apply(
                rules, poller->store, &verdict, &endpoint->random_receive, run, segment, now_ns, endpoint);
        }
        segment++;
        clean = segment;
        count += fl_fault_emit_due(poller, &runs[count], room - count, now_ns);
    }
    if (count < room)
    {
        count += fl_fault_emit_clean(poller, &runs[count], run, clean, segment);
    }
    poller->batch_segment = segment;
    if (segment >= segments)
    {
        poller->batch_index++;
        poller->batch_segment = 0;
    }
    return count;
}

static void fl_fault_send_due_of_all(fl_poller_t *poller, int64_t now_ns)
{
    for (fl_endpoint_t *e = poller->endpoints; NULL != e; e = e->next_on_poller)
    {
        if (!fl_datagram_store_is_empty(e->store))
        {
            fl_fault_send_due(e, now_ns);
        }
    }
}

int fl_fault_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    fl_fault_t *fault = poller->fault;
    if (fl_fault_is_removed(fault))
    {
        return -FL_ENODEV;
    }
    const int64_t now_ns = fault->host->nano_clock(fault->host);
    fl_fault_send_due_of_all(poller, now_ns);
    uint32_t count = fl_fault_emit_due(poller, runs, capacity, now_ns);
    if (0 == poller->batch_count && count < capacity)
    {
        const uint32_t room = capacity - count;
        const int taken = fault->base.inner->ops.poll(
            poller->base.inner, poller->batch, room < FL_FAULT_BATCH ? room : FL_FAULT_BATCH);
        if (taken < 0)
        {
            return 0 != count ? (int)count : taken;
        }
        poller->batch_count = (uint32_t)taken;
    }
    while (poller->batch_index < poller->batch_count && count < capacity)
    {
        count += fl_fault_emit_run(poller, &runs[count], capacity - count, now_ns);
    }
    fl_fault_release_batch_if_done(poller);
    return (int)count;
}

void fl_fault_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
    {
        if (0 != runs[i].token)
        {
            fl_datagram_store_give(poller->store, (fl_held_t *)(uintptr_t)runs[i].token);
        }
    }
    poller->outstanding -= count;
    fl_fault_release_batch_if_done(poller);
}

int fl_fault_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    const fl_fault_t *fault = poller->fault;
    if (fl_fault_is_removed(fault))
    {
        return -FL_ENODEV;
    }
    fl_fault_send_due_of_all(poller, fault->host->nano_clock(fault->host));
    return fault->base.inner->ops.reap(poller->base.inner, completions, capacity);
}

int fl_fault_arm(fl_poller_t *poller)
{
    if (fl_fault_is_removed(poller->fault))
    {
        return -FL_ENODEV;
    }
    bool is_idle = fl_datagram_store_is_empty(poller->store) && poller->batch_index == poller->batch_count;
    for (const fl_endpoint_t *e = poller->endpoints; NULL != e && is_idle; e = e->next_on_poller)
    {
        is_idle = fl_datagram_store_is_empty(e->store);
    }
    return is_idle ? poller->fault->base.inner->ops.arm(poller->base.inner) : -FL_EAGAIN;
}
