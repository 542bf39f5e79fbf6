#include "receiver/loss_detector.h"

#include <math.h>

void fl_nak_delay_init_fixed(fl_nak_delay_t *delay, int64_t first_ns, int64_t retry_ns)
{
    *delay = (fl_nak_delay_t){.first_ns = first_ns, .retry_ns = retry_ns};
}

void fl_nak_delay_init_group(fl_nak_delay_t *delay, int64_t max_backoff_ns, int32_t group_size)
{
    const double lambda = log((double)group_size) + 1;
    *delay = (fl_nak_delay_t){
        .is_group = true,
        .scale_ns = (double)max_backoff_ns / lambda,
        .span = exp(lambda) - 1,
    };
}

int64_t fl_nak_delay_of_group(const fl_nak_delay_t *delay, uint64_t random)
{
    const double uniform = (double)(random >> 11) * 0x1p-53;
    return (int64_t)(delay->scale_ns * log(1 + uniform * delay->span));
}

static int64_t fl_loss_detector_delay(
    const fl_loss_detector_t *detector, fl_driver_context_t *context, int64_t fixed_ns)
{
    return detector->delay.is_group ? fl_nak_delay_of_group(&detector->delay, fl_driver_random(context)) : fixed_ns;
}

bool fl_loss_detector_on_gap(
    fl_loss_detector_t *detector, fl_driver_context_t *context, int64_t position, int32_t length, int64_t now_ns)
{
    if (detector->is_open && detector->position == position && detector->length == length)
    {
        return false;
    }
    detector->is_open = true;
    detector->is_reported = false;
    detector->position = position;
    detector->length = length;
    detector->expiry_ns = now_ns + fl_loss_detector_delay(detector, context, detector->delay.first_ns);
    return true;
}

bool fl_loss_detector_is_due(fl_loss_detector_t *detector, fl_driver_context_t *context, int64_t now_ns)
{
    if (!detector->is_open || now_ns < detector->expiry_ns)
    {
        return false;
    }
    detector->is_reported = true;
    detector->expiry_ns = now_ns + fl_loss_detector_delay(detector, context, detector->delay.retry_ns);
    return true;
}
