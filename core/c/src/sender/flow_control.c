#include "sender/flow_control.h"

#include <stdlib.h>

#include "api/publications.h"
#include "util/error.h"

/* Unicast and max follow the receiver that is furthest ahead (wire 3.6.2). For unicast that is the only one. */

static int64_t fl_flow_control_max_on_status_message(
    fl_flow_control_t *flow, const fl_status_t *status, int64_t limit, int64_t now_ns)
{
    (void)flow, (void)now_ns;
    const int64_t edge = status->position + status->receiver_window;
    return edge > limit ? edge : limit;
}

static int64_t fl_flow_control_max_on_idle(fl_flow_control_t *flow, int64_t limit, int64_t now_ns)
{
    (void)flow, (void)now_ns;
    return limit;
}

static void fl_flow_control_max_on_setup_elicited(fl_flow_control_t *flow, const fl_status_t *status, int64_t now_ns)
{
    (void)flow, (void)status, (void)now_ns;
}

static void fl_flow_control_max_on_setup_sent(fl_flow_control_t *flow, int64_t limit, int64_t now_ns)
{
    (void)flow, (void)limit, (void)now_ns;
}

static void fl_flow_control_max_on_error(fl_flow_control_t *flow, int64_t receiver_id, int64_t now_ns)
{
    (void)flow, (void)receiver_id, (void)now_ns;
}

static bool fl_flow_control_max_has_required_receivers(const fl_flow_control_t *flow)
{
    (void)flow;
    return true;
}

static const fl_flow_control_ops_t fl_flow_control_max = {
    .on_status_message = fl_flow_control_max_on_status_message,
    .on_idle = fl_flow_control_max_on_idle,
    .on_setup_elicited = fl_flow_control_max_on_setup_elicited,
    .on_setup_sent = fl_flow_control_max_on_setup_sent,
    .on_error = fl_flow_control_max_on_error,
    .has_required_receivers = fl_flow_control_max_has_required_receivers,
};

static fl_flow_control_t *fl_flow_control_max_new(void)
{
    fl_flow_control_t *flow = malloc(sizeof(*flow));
    if (NULL != flow)
    {
        flow->ops = &fl_flow_control_max;
    }
    return flow;
}

fl_flow_control_t *fl_flow_control_new(const fl_flow_control_params_t *params)
{
    fl_flow_control_t *flow = NULL;
    const bool is_max = FL_FLOW_CONTROL_UNICAST == params->kind || FL_FLOW_CONTROL_MAX == params->kind;
    if (!is_max && params->group_min_size > FL_FLOW_CONTROL_RECEIVERS)
    {
        fl_error(FL_EINVAL, "flow control waits for a group of %d receivers and tells at most %d apart, so it would "
            "wait for ever; ask for fewer, fc=...,g:/<size> in the channel or flow_control_group_min_size",
            params->group_min_size, FL_FLOW_CONTROL_RECEIVERS);
        return NULL;
    }
    switch (params->kind)
    {
        case FL_FLOW_CONTROL_UNICAST:
        case FL_FLOW_CONTROL_MAX:
            flow = fl_flow_control_max_new();
            break;
        case FL_FLOW_CONTROL_MIN:
        case FL_FLOW_CONTROL_TAGGED:
            flow = fl_flow_control_group_new(params, FL_FLOW_CONTROL_TAGGED == params->kind);
            break;
        default:
            fl_error(FL_EINVAL, "flow control is of kind %u, which is none of FL_FLOW_CONTROL_*", params->kind);
            return NULL;
    }
    if (NULL == flow)
    {
        fl_error(FL_ENOMEM, "no memory for flow control");
    }
    return flow;
}

void fl_flow_control_free(fl_flow_control_t *flow)
{
    free(flow);
}
