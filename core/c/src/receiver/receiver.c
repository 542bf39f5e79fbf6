#include "receiver/receiver.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/image.h"

int fl_receiver_init(fl_receiver_t *receiver, fl_driver_context_t *context)
{
    memset(receiver, 0, sizeof(*receiver));
    receiver->context = context;
    receiver->next_receiver_id = (int64_t)fl_driver_random(context);
    fl_timer_wheel_init(&receiver->wheel, fl_clock_nano_now(context->clock));
    return fl_notice_pool_init(&receiver->notices, FL_RECEIVER_NOTICES);
}

void fl_receiver_destroy(fl_receiver_t *receiver)
{
    fl_notice_pool_destroy(&receiver->notices);
    free(receiver->active);
    receiver->active = NULL;
}

void fl_receiver_activate(fl_receiver_t *receiver, fl_image_t *image)
{
    if (!image->is_active)
    {
        image->is_active = true;
        image->active_index = receiver->active_count;
        receiver->active[receiver->active_count++] = image;
    }
}

void fl_receiver_deactivate(fl_receiver_t *receiver, fl_image_t *image)
{
    if (image->is_active)
    {
        fl_image_t *last = receiver->active[--receiver->active_count];
        receiver->active[image->active_index] = last;
        last->active_index = image->active_index;
        image->is_active = false;
    }
}

static void fl_receiver_count_nonzero(fl_driver_context_t *context, int counter, int64_t delta)
{
    if (0 != delta)
    {
        fl_count(context, counter, delta);
    }
}

/* Add the cycle's sums to the counters. */
static void fl_receiver_flush(fl_receiver_t *receiver)
{
    fl_driver_context_t *context = receiver->context;
    const fl_receiver_sums_t *sums = &receiver->sums;
    for (int i = 0; i < FL_DROPS; i++)
    {
        if (0 != sums->drops[i])
        {
            fl_count_drop(context, i, sums->drops[i]);
        }
    }
    fl_receiver_count_nonzero(context, FL_COUNTER_INVALID_PACKETS, sums->invalid);
    fl_receiver_count_nonzero(context, FL_COUNTER_OVER_RUNS, sums->over_runs);
    fl_receiver_count_nonzero(context, FL_COUNTER_UNDER_RUNS, sums->under_runs);
    fl_receiver_count_nonzero(context, FL_COUNTER_HEARTBEATS_RECEIVED, sums->heartbeats);
    fl_receiver_count_nonzero(context, FL_COUNTER_STATUS_MESSAGES_SENT, sums->status_messages);
    fl_receiver_count_nonzero(context, FL_COUNTER_NAKS_SENT, sums->naks);
    fl_receiver_count_nonzero(context, FL_COUNTER_ERROR_FRAMES_SENT, sums->errors_sent);
    fl_receiver_count_nonzero(context, FL_COUNTER_SHORT_SENDS, sums->short_sends);
    fl_receiver_count_nonzero(context, FL_COUNTER_LOSS_GAP_FILLS, sums->gap_fills);
    memset(&receiver->sums, 0, sizeof(receiver->sums));
    receiver->has_sums = false;
}

int fl_receiver_do_work(void *state, int64_t now_ns)
{
    fl_receiver_t *receiver = state;
    const int64_t bytes = fl_poll_set_poll(&receiver->polls, now_ns);
    int work = 0;
    fl_poll_set_reap(&receiver->polls);
    if (bytes > 0)
    {
        fl_count(receiver->context, FL_COUNTER_BYTES_RECEIVED, bytes);
        work = 1;
    }
    /* From the end: an image that has nothing left to do gives its place to the last one, which was visited. */
    for (uint32_t i = receiver->active_count; i > 0; i--)
    {
        work += fl_image_track(receiver->active[i - 1], now_ns);
    }
    work += fl_timer_wheel_poll(&receiver->wheel, now_ns);
    if (receiver->has_sums)
    {
        fl_receiver_flush(receiver);
    }
    return work;
}

bool fl_receiver_is_at_rest(const void *state)
{
    const fl_receiver_t *receiver = state;
    return 0 == receiver->active_count && 0 == receiver->wheel.count;
}
