/* Messages through a driver, with this client. */
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "bench/bench.h"
#include "util/error.h"

#define FL_BENCH_FRAGMENTS 256
#define FL_BENCH_MESSAGE_MAX (1024 * 1024)

static uint8_t fl_bench_message[FL_BENCH_MESSAGE_MAX];

static void fl_bench_end_warm_up(fl_bench_result_t *result)
{
    result->warm_up_messages = result->messages;
    result->messages = 0;
    result->bytes = 0;
}

int fl_bench_publish(
    fl_client_publication_t *publication, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_measure_lengths_t lengths;
    memset(result, 0, sizeof(*result));
    fl_bench_lengths_init(&lengths, params);
    const int64_t cpu_ns = fl_measure_cpu();
    const int64_t begin_ns = fl_measure_now() + params->warm_up_ns;
    int64_t now_ns = begin_ns - params->warm_up_ns;
    bool is_warming_up = params->warm_up_ns > 0;
    while (now_ns - begin_ns < params->duration_ns)
    {
        if (is_warming_up && now_ns >= begin_ns)
        {
            is_warming_up = false;
            fl_bench_end_warm_up(result);
        }
        for (int turn = 0; turn < 64; turn++)
        {
            const uint32_t length = lengths.lengths[lengths.next & (FL_MEASURE_LENGTHS - 1)];
            const int64_t position = fl_client_publication_offer(publication, fl_bench_message, length, 0);
            if (position > 0)
            {
                lengths.next++;
                result->messages++;
                result->bytes += length;
            }
            else if (FL_BACK_PRESSURED == position || FL_NOT_CONNECTED == position)
            {
                sched_yield();
                break;
            }
            else if (FL_ADMIN_ACTION != position)
            {
                return fl_error(FL_EIO, "the publication answered %lld after %llu messages", (long long)position,
                    (unsigned long long)result->messages);
            }
        }
        now_ns = fl_measure_now();
    }
    result->elapsed_ns = now_ns - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
    return 0;
}

int fl_bench_subscribe(
    fl_client_subscription_t *subscription, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_fragment_t fragments[FL_BENCH_FRAGMENTS];
    fl_measure_watch_t watch;
    bool is_warming_up = params->warm_up_ns > 0;
    int64_t warm_up_first_ns = 0;
    uint64_t warm_up_bytes = 0;
    memset(result, 0, sizeof(*result));
    fl_measure_watch_begin(&watch);
    for (;;)
    {
        const int count = fl_client_subscription_poll(subscription, fragments, FL_BENCH_FRAGMENTS, 1);
        if (count < 0)
        {
            return fl_error(FL_EIO, "the subscription was closed");
        }
        for (int i = 0; i < count; i++)
        {
            result->bytes += fragments[i].length;
        }
        if (count > 0)
        {
            fl_client_subscription_release(subscription, (uint32_t)count);
            result->messages += (uint64_t)count;
            fl_measure_watch_arrived(&watch);
            if (is_warming_up && watch.last_ns - watch.first_ns > params->warm_up_ns)
            {
                is_warming_up = false;
                warm_up_first_ns = watch.first_ns;
                warm_up_bytes = result->bytes;
                fl_bench_end_warm_up(result);
                watch.first_ns = watch.last_ns;
            }
        }
        else if (fl_measure_watch_is_over(&watch, params->idle_ns, params->end_fd))
        {
            break;
        }
        else
        {
            sched_yield();
        }
    }
    if (0 == result->messages && result->warm_up_messages > 0)
    {
        /* This side slept while the rest was sent, and took it at once: the warm-up is what was measured. */
        result->messages = result->warm_up_messages;
        result->warm_up_messages = 0;
        result->bytes = warm_up_bytes;
        watch.first_ns = warm_up_first_ns;
    }
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    return 0;
}

/* Offer until it is taken. Returns 0, or -FL_EIO with text if it never can be. */
static int fl_bench_offer(fl_client_publication_t *publication, const void *message, uint32_t length)
{
    for (;;)
    {
        const int64_t position = fl_client_publication_offer(publication, message, length, 0);
        if (position > 0)
        {
            return 0;
        }
        if (position < FL_ADMIN_ACTION)
        {
            return fl_error(FL_EIO, "the publication answered %lld", (long long)position);
        }
        sched_yield();
    }
}

int fl_bench_ping(fl_client_publication_t *publication, fl_client_subscription_t *subscription,
    const fl_bench_params_t *params, int64_t *samples, fl_bench_result_t *result)
{
    fl_fragment_t fragments[FL_BENCH_FRAGMENTS];
    fl_measure_lengths_t lengths;
    memset(result, 0, sizeof(*result));
    fl_bench_lengths_init(&lengths, params);
    const int64_t cpu_ns = fl_measure_cpu();
    const int64_t begin_ns = fl_measure_now();
    for (uint64_t i = 0; i < params->warm_up + params->count; i++)
    {
        const uint32_t length = fl_measure_lengths_next(&lengths);
        const int64_t sent_ns = fl_measure_now();
        int count = fl_bench_offer(publication, fl_bench_message, length);
        while (0 == count)
        {
            count = fl_client_subscription_poll(subscription, fragments, FL_BENCH_FRAGMENTS, 1);
            if (0 == count)
            {
                if (fl_measure_now() - begin_ns > params->duration_ns)
                {
                    return fl_error(FL_EAGAIN, "only %llu of %llu round trips came back in the time given",
                        (unsigned long long)i, (unsigned long long)(params->warm_up + params->count));
                }
                sched_yield();
            }
        }
        if (count < 0)
        {
            return -FL_EIO;
        }
        fl_client_subscription_release(subscription, (uint32_t)count);
        if (i >= params->warm_up)
        {
            samples[i - params->warm_up] = fl_measure_now() - sent_ns;
        }
    }
    result->messages = params->count;
    result->elapsed_ns = fl_measure_now() - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
    return 0;
}

int fl_bench_pong(fl_client_publication_t *publication, fl_client_subscription_t *subscription,
    const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_fragment_t fragments[FL_BENCH_FRAGMENTS];
    fl_measure_watch_t watch;
    memset(result, 0, sizeof(*result));
    fl_measure_watch_begin(&watch);
    for (;;)
    {
        const int count = fl_client_subscription_poll(subscription, fragments, FL_BENCH_FRAGMENTS, 1);
        for (int i = 0; i < count; i++)
        {
            const int code = fl_bench_offer(publication, fragments[i].data, fragments[i].length);
            if (code < 0)
            {
                return code;
            }
        }
        if (count > 0)
        {
            fl_client_subscription_release(subscription, (uint32_t)count);
            result->messages += (uint64_t)count;
            fl_measure_watch_arrived(&watch);
        }
        else if (count < 0 || fl_measure_watch_is_over(&watch, params->idle_ns, params->end_fd))
        {
            break;
        }
        else
        {
            sched_yield();
        }
    }
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    return 0;
}
