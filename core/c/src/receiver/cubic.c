/* CUBIC: the window shrinks with a loss and grows along a cubic curve towards where the loss was, and past it
 * (wire 4.7). Windows are counted in segments of an mtu. */
#include <math.h>
#include <stdlib.h>

#include "receiver/congestion_control.h"
#include "shm/words.h"

#define FL_CUBIC_C 0.4
#define FL_CUBIC_B 0.2
#define FL_CUBIC_INITIAL_WINDOW 10
#define FL_CUBIC_RTT_TIMEOUTS 4
#define FL_CUBIC_RTT_MAX_NS INT64_C(10000000000)    /* longer than a stream lives without being heard */

typedef struct fl_cubic
{
    fl_congestion_control_t control;    /* first */
    int32_t mtu_length;
    int32_t window;                     /* now */
    int32_t max_window;
    int32_t loss_window;                /* when something was lost last */
    double time_to_loss_window_s;       /* that the curve takes from a loss to the window before it */
    int64_t time_of_loss_ns;
    int64_t time_of_update_ns;
    int64_t initial_rtt_ns;             /* and the least time between two updates */
    int64_t rtt_ns;
    int64_t rtt_timeout_ns;
    int64_t time_of_rtt_ns;             /* of the last request or answer */
    bool measures_rtt;
    bool tcp_mode;
    _Atomic int64_t *rtt_counter;
    _Atomic int64_t *window_counter;
} fl_cubic_t;

static void fl_cubic_store(_Atomic int64_t *counter, int64_t value)
{
    if (NULL != counter)
    {
        fl_i64_store_release(counter, value);
    }
}

static void fl_cubic_lose_from(fl_cubic_t *cubic, int32_t window)
{
    cubic->loss_window = window;
    cubic->time_to_loss_window_s = cbrt((double)window * FL_CUBIC_B / FL_CUBIC_C);
}

static void fl_cubic_on_loss(fl_cubic_t *cubic, int64_t now_ns)
{
    fl_cubic_lose_from(cubic, cubic->window);
    cubic->window = (int32_t)(cubic->window * (1.0 - FL_CUBIC_B));
    cubic->window = cubic->window > 1 ? cubic->window : 1;
    cubic->time_of_loss_ns = now_ns;
}

static int32_t fl_cubic_bounded(const fl_cubic_t *cubic, double window)
{
    return window >= (double)cubic->max_window ? cubic->max_window : window > 1.0 ? (int32_t)window : 1;
}

static void fl_cubic_grow(fl_cubic_t *cubic, int64_t now_ns)
{
    const double since_loss_s = (double)(now_ns - cubic->time_of_loss_ns) / 1e9;
    const double from_loss_window_s = since_loss_s - cubic->time_to_loss_window_s;
    const double step = FL_CUBIC_C * from_loss_window_s * from_loss_window_s * from_loss_window_s;
    cubic->window = fl_cubic_bounded(cubic, cubic->loss_window + trunc(step));
    if (cubic->tcp_mode && cubic->window < cubic->loss_window)
    {
        const double rtt_s = (double)cubic->rtt_ns / 1e9;
        const double tcp_window = cubic->loss_window * (1.0 - FL_CUBIC_B) +
            3.0 * FL_CUBIC_B / (2.0 - FL_CUBIC_B) * since_loss_s / rtt_s;
        const int32_t bounded = fl_cubic_bounded(cubic, tcp_window);
        cubic->window = bounded > cubic->window ? bounded : cubic->window;
    }
    cubic->time_of_update_ns = now_ns;
}

static fl_congestion_output_t fl_cubic_on_track_rebuild(
    fl_congestion_control_t *control, const fl_congestion_input_t *input)
{
    fl_cubic_t *cubic = (fl_cubic_t *)control;
    const int64_t now_ns = input->now_ns;
    fl_congestion_output_t output = {.force_sm = false};
    if (input->loss_found)
    {
        fl_cubic_on_loss(cubic, now_ns);
        output.force_sm = true;
    }
    else if (cubic->window < cubic->max_window && now_ns - cubic->time_of_update_ns > cubic->initial_rtt_ns)
    {
        fl_cubic_grow(cubic, now_ns);
    }
    else if (1 == cubic->window && input->lowest_position > input->next_sm_position)
    {
        output.force_sm = true;   /* a quarter of so small a window would be less than a datagram */
    }
    if (cubic->measures_rtt && now_ns - cubic->time_of_rtt_ns > cubic->rtt_timeout_ns)
    {
        cubic->time_of_rtt_ns = now_ns;
        output.measure_rtt = true;
    }
    output.window_length = cubic->window * cubic->mtu_length;
    fl_cubic_store(cubic->window_counter, output.window_length);
    return output;
}

static void fl_cubic_on_rtt(fl_congestion_control_t *control, int64_t now_ns, int64_t rtt_ns)
{
    fl_cubic_t *cubic = (fl_cubic_t *)control;
    const int64_t least_ns = rtt_ns > cubic->initial_rtt_ns ? rtt_ns : cubic->initial_rtt_ns;
    if (rtt_ns <= 0 || rtt_ns > FL_CUBIC_RTT_MAX_NS)
    {
        return;   /* no time that anything takes; it is a stranger's word, and would put off the next request */
    }
    cubic->rtt_ns = rtt_ns;
    cubic->time_of_rtt_ns = now_ns;
    cubic->rtt_timeout_ns = FL_CUBIC_RTT_TIMEOUTS * least_ns;
    fl_cubic_store(cubic->rtt_counter, rtt_ns);
}

static void fl_cubic_free(fl_congestion_control_t *control)
{
    free(control);
}

static const fl_congestion_control_ops_t fl_cubic_ops = {
    .on_track_rebuild = fl_cubic_on_track_rebuild,
    .on_rtt = fl_cubic_on_rtt,
    .free = fl_cubic_free,
};

fl_congestion_control_t *fl_cubic_new(const fl_congestion_control_params_t *params)
{
    fl_cubic_t *cubic = calloc(1, sizeof(*cubic));
    if (NULL == cubic)
    {
        return NULL;
    }
    const int32_t segments = fl_congestion_control_max_window(params) / params->mtu_length;
    const int64_t asked_ns = params->initial_rtt_ns > 0 ? params->initial_rtt_ns : 1;
    const int64_t initial_rtt_ns = asked_ns < FL_CUBIC_RTT_MAX_NS ? asked_ns : FL_CUBIC_RTT_MAX_NS;
    cubic->mtu_length = params->mtu_length;
    cubic->max_window = segments > 1 ? segments : 1;
    cubic->window = cubic->max_window < FL_CUBIC_INITIAL_WINDOW ? cubic->max_window : FL_CUBIC_INITIAL_WINDOW;
    fl_cubic_lose_from(cubic, cubic->max_window);
    cubic->time_of_loss_ns = cubic->time_of_update_ns = params->now_ns;
    cubic->initial_rtt_ns = cubic->rtt_ns = initial_rtt_ns;
    cubic->rtt_timeout_ns = FL_CUBIC_RTT_TIMEOUTS * initial_rtt_ns;
    cubic->time_of_rtt_ns = params->now_ns;
    cubic->measures_rtt = params->measures_rtt;
    cubic->tcp_mode = params->tcp_mode;
    cubic->rtt_counter = params->rtt_counter;
    cubic->window_counter = params->window_counter;
    cubic->control.ops = &fl_cubic_ops;
    cubic->control.initial_window_length = cubic->window * cubic->mtu_length;
    cubic->control.max_window_length = cubic->max_window * cubic->mtu_length;
    fl_cubic_store(cubic->rtt_counter, cubic->rtt_ns);
    fl_cubic_store(cubic->window_counter, cubic->control.initial_window_length);
    return &cubic->control;
}
