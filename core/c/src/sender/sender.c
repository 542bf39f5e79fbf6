#include "sender/sender.h"

#include <stdlib.h>

#include "sender/publication.h"
#include "util/error.h"

#define FL_SENDER_NOTICES 64

int fl_sender_init(fl_sender_t *sender, fl_driver_context_t *context)
{
    const int64_t now_ns = fl_clock_nano_now(context->clock);
    const uint32_t run_length = context->config.send_run_length;
    if (run_length < FL_DATA_HEADER_LENGTH || run_length > INT32_MAX)
    {
        return fl_error(FL_EINVAL, "send run length is %u bytes, which is not in %d to %d", run_length,
            FL_DATA_HEADER_LENGTH, INT32_MAX);
    }
    *sender = (fl_sender_t){.context = context, .time_of_last_poll_ns = now_ns, .run_length = (int32_t)run_length};
    fl_timer_wheel_init(&sender->wheel, now_ns);
    return fl_notice_pool_init(&sender->notices, FL_SENDER_NOTICES);
}

void fl_sender_destroy(fl_sender_t *sender)
{
    fl_notice_pool_destroy(&sender->notices);
    free(sender->publications);
    sender->publications = NULL;
    sender->publication_count = sender->publication_capacity = 0;
}

static int64_t fl_sender_send(fl_sender_t *sender, int64_t now_ns)
{
    const uint32_t count = sender->publication_count;
    int64_t bytes = 0;
    if (0 == count)
    {
        return 0;
    }
    if (++sender->start_index >= count)
    {
        sender->start_index = 0;
    }
    for (uint32_t i = sender->start_index; i < count; i++)
    {
        bytes += fl_publication_do_work(sender->publications[i], now_ns);
    }
    for (uint32_t i = 0; i < sender->start_index; i++)
    {
        bytes += fl_publication_do_work(sender->publications[i], now_ns);
    }
    return bytes;
}

/* Wire 3.2: while there is plenty to send, the sockets are looked at now and then only. */
static bool fl_sender_is_poll_due(const fl_sender_t *sender, int64_t bytes, int64_t now_ns)
{
    const fl_driver_config_t *config = &sender->context->config;
    return 0 == bytes || sender->cycles_since_poll >= config->send_to_status_poll_ratio ||
        now_ns - sender->time_of_last_poll_ns > config->status_message_timeout_ns / 2 || sender->cycle.short_sends > 0;
}

static void fl_sender_count_cycle(fl_sender_t *sender)
{
    const fl_sender_cycle_t cycle = sender->cycle;
    sender->cycle = (fl_sender_cycle_t){0};
    if (cycle.bytes_sent > 0)
    {
        fl_count(sender->context, FL_COUNTER_BYTES_SENT, cycle.bytes_sent);
    }
    if (cycle.bytes_received > 0)
    {
        fl_count(sender->context, FL_COUNTER_BYTES_RECEIVED, cycle.bytes_received);
    }
    if (cycle.short_sends > 0)
    {
        fl_count(sender->context, FL_COUNTER_SHORT_SENDS, cycle.short_sends);
    }
}

int fl_sender_do_work(void *state, int64_t now_ns)
{
    fl_sender_t *sender = state;
    const int64_t bytes = fl_sender_send(sender, now_ns);
    sender->cycles_since_poll++;
    if (fl_sender_is_poll_due(sender, bytes, now_ns))
    {
        sender->cycles_since_poll = 0;
        sender->time_of_last_poll_ns = now_ns;
        sender->cycle.bytes_received = fl_poll_set_poll(&sender->polls, now_ns);
    }
    const int fired = fl_timer_wheel_poll(&sender->wheel, now_ns);
    fl_poll_set_reap(&sender->polls);
    const int work = fired + (bytes > 0) + (sender->cycle.bytes_received > 0);
    fl_sender_count_cycle(sender);
    return work;
}

bool fl_sender_is_at_rest(const void *state)
{
    const fl_sender_t *sender = state;
    return 0 == sender->publication_count && 0 == sender->wheel.count;
}
