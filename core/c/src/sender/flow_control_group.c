/* Min and tagged: the slowest receiver of those that count is the limit (wire 3.6.3). */
#include <stdlib.h>

#include "sender/flow_control.h"
#include "shm/words.h"

#define FL_NO_LIMIT (-1)

typedef struct fl_group_receiver
{
    int64_t receiver_id;
    int64_t position;                /* furthest that it reported */
    int64_t edge;                    /* position and window of its last status message */
    int64_t time_of_last_sm_ns;
    bool is_gone;                    /* it ended or reported an error: the next idle look drops it */
} fl_group_receiver_t;

typedef struct fl_group_flow_control
{
    fl_flow_control_t flow;          /* first */
    bool is_tagged;
    bool is_setup_elicited;          /* by a receiver that counts */
    int32_t group_min_size;
    int64_t group_tag;
    int64_t receiver_timeout_ns;
    int64_t setup_limit;             /* the limit stays here so that a receiver can join; FL_NO_LIMIT: it does not */
    int64_t time_of_setup_ns;
    _Atomic int64_t *receivers_counter;
    uint32_t count;
    fl_group_receiver_t receivers[FL_FLOW_CONTROL_RECEIVERS];
} fl_group_flow_control_t;

static fl_group_flow_control_t *fl_group_of(fl_flow_control_t *flow)
{
    return (fl_group_flow_control_t *)flow;
}

static bool fl_group_counts(const fl_group_flow_control_t *group, const fl_status_t *status)
{
    return !group->is_tagged || (status->has_group_tag && status->group_tag == group->group_tag);
}

static void fl_group_set_count(fl_group_flow_control_t *group, uint32_t count)
{
    group->count = count;
    if (NULL != group->receivers_counter)
    {
        fl_i64_store_release(group->receivers_counter, count);
    }
}

/* The limit that a SETUP on its way sets, INT64_MAX if none does. */
static int64_t fl_group_cap(fl_group_flow_control_t *group, int64_t now_ns)
{
    if (FL_NO_LIMIT != group->setup_limit && now_ns - group->time_of_setup_ns > group->receiver_timeout_ns)
    {
        group->setup_limit = FL_NO_LIMIT;
    }
    return FL_NO_LIMIT == group->setup_limit ? INT64_MAX : group->setup_limit;
}

static void fl_group_update(fl_group_receiver_t *receiver, const fl_status_t *status, int64_t edge, int64_t now_ns)
{
    receiver->is_gone = status->is_end_of_stream;
    receiver->position = status->position > receiver->position ? status->position : receiver->position;
    receiver->edge = edge;
    receiver->time_of_last_sm_ns = now_ns;
}

static int64_t fl_group_on_status_message(
    fl_flow_control_t *flow, const fl_status_t *status, int64_t limit, int64_t now_ns)
{
    fl_group_flow_control_t *group = fl_group_of(flow);
    const int64_t edge = status->position + status->receiver_window;
    const bool counts = fl_group_counts(group, status);
    int64_t lowest = fl_group_cap(group, now_ns);
    bool is_known = false;
    for (uint32_t i = 0; i < group->count; i++)
    {
        fl_group_receiver_t *receiver = &group->receivers[i];
        if (counts && receiver->receiver_id == status->receiver_id)
        {
            fl_group_update(receiver, status, edge, now_ns);
            is_known = true;
        }
        lowest = receiver->edge < lowest ? receiver->edge : lowest;
    }
    /* Who is more than a window behind the others is not waited for. */
    if (counts && !is_known && !status->is_end_of_stream && group->count < FL_FLOW_CONTROL_RECEIVERS &&
        (0 == group->count || edge >= lowest - status->receiver_window))
    {
        fl_group_receiver_t *receiver = &group->receivers[group->count];
        *receiver = (fl_group_receiver_t){.receiver_id = status->receiver_id};
        fl_group_update(receiver, status, edge, now_ns);
        fl_group_set_count(group, group->count + 1);
        group->setup_limit = FL_NO_LIMIT;
        lowest = edge < lowest ? edge : lowest;
    }
    if (group->count < (uint32_t)group->group_min_size)
    {
        return limit;
    }
    const int64_t wanted = 0 == group->count ? edge : lowest;
    return wanted > limit ? wanted : limit;
}

static int64_t fl_group_on_idle(fl_flow_control_t *flow, int64_t limit, int64_t now_ns)
{
    fl_group_flow_control_t *group = fl_group_of(flow);
    int64_t lowest = fl_group_cap(group, now_ns);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < group->count; i++)
    {
        const fl_group_receiver_t *receiver = &group->receivers[i];
        if (!receiver->is_gone && now_ns - receiver->time_of_last_sm_ns <= group->receiver_timeout_ns)
        {
            lowest = receiver->edge < lowest ? receiver->edge : lowest;
            group->receivers[kept++] = *receiver;
        }
    }
    if (kept != group->count)
    {
        fl_group_set_count(group, kept);
    }
    return 0 == kept || kept < (uint32_t)group->group_min_size ? limit : lowest;
}

static void fl_group_on_setup_elicited(fl_flow_control_t *flow, const fl_status_t *status, int64_t now_ns)
{
    (void)now_ns;
    fl_group_flow_control_t *group = fl_group_of(flow);
    group->is_setup_elicited = group->is_setup_elicited || fl_group_counts(group, status);
}

static void fl_group_on_setup_sent(fl_flow_control_t *flow, int64_t limit, int64_t now_ns)
{
    fl_group_flow_control_t *group = fl_group_of(flow);
    if (group->is_setup_elicited && group->count > 0)
    {
        group->setup_limit = limit;
        group->time_of_setup_ns = now_ns;
    }
    group->is_setup_elicited = false;
}

static void fl_group_on_error(fl_flow_control_t *flow, int64_t receiver_id, int64_t now_ns)
{
    (void)now_ns;
    fl_group_flow_control_t *group = fl_group_of(flow);
    for (uint32_t i = 0; i < group->count; i++)
    {
        group->receivers[i].is_gone = group->receivers[i].is_gone || group->receivers[i].receiver_id == receiver_id;
    }
}

static bool fl_group_has_required_receivers(const fl_flow_control_t *flow)
{
    const fl_group_flow_control_t *group = (const fl_group_flow_control_t *)flow;
    return group->count >= (uint32_t)group->group_min_size;
}

static const fl_flow_control_ops_t fl_group_ops = {
    .on_status_message = fl_group_on_status_message,
    .on_idle = fl_group_on_idle,
    .on_setup_elicited = fl_group_on_setup_elicited,
    .on_setup_sent = fl_group_on_setup_sent,
    .on_error = fl_group_on_error,
    .has_required_receivers = fl_group_has_required_receivers,
};

fl_flow_control_t *fl_flow_control_group_new(const fl_flow_control_params_t *params, bool is_tagged)
{
    fl_group_flow_control_t *group = calloc(1, sizeof(*group));
    if (NULL == group)
    {
        return NULL;
    }
    group->flow.ops = &fl_group_ops;
    group->is_tagged = is_tagged;
    group->group_min_size = params->group_min_size;
    group->group_tag = params->group_tag;
    group->receiver_timeout_ns = params->receiver_timeout_ns;
    group->setup_limit = FL_NO_LIMIT;
    group->receivers_counter = params->receivers_counter;
    return &group->flow;
}
