#include "receiver/congestion_control.h"

#include <stdlib.h>

#include "util/error.h"

/* Static: the window never changes, and no round trip time is wanted. */
static fl_congestion_output_t fl_static_on_track_rebuild(
    fl_congestion_control_t *control, const fl_congestion_input_t *input)
{
    (void)input;
    return (fl_congestion_output_t){.window_length = control->max_window_length};
}

static void fl_static_on_rtt(fl_congestion_control_t *control, int64_t now_ns, int64_t rtt_ns)
{
    (void)control, (void)now_ns, (void)rtt_ns;
}

static void fl_static_free(fl_congestion_control_t *control)
{
    free(control);
}

static const fl_congestion_control_ops_t fl_static_ops = {
    .on_track_rebuild = fl_static_on_track_rebuild,
    .on_rtt = fl_static_on_rtt,
    .free = fl_static_free,
};

static fl_congestion_control_t *fl_static_new(const fl_congestion_control_params_t *params)
{
    fl_congestion_control_t *control = calloc(1, sizeof(*control));
    if (NULL != control)
    {
        control->ops = &fl_static_ops;
        control->max_window_length = control->initial_window_length = fl_congestion_control_max_window(params);
    }
    return control;
}

fl_congestion_control_t *fl_congestion_control_new(uint32_t kind, const fl_congestion_control_params_t *params)
{
    fl_congestion_control_t *control = NULL;
    switch (kind)
    {
        case FL_CONGESTION_CONTROL_STATIC:
            control = fl_static_new(params);
            break;
        case FL_CONGESTION_CONTROL_CUBIC:
            control = fl_cubic_new(params);
            break;
        default:
            fl_error(FL_EINVAL, "congestion control %u is none of FL_CONGESTION_CONTROL_*", kind);
            return NULL;
    }
    if (NULL == control)
    {
        fl_error(FL_ENOMEM, "no memory for congestion control");
    }
    return control;
}
