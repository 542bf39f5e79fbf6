/* Runs through a transport's ops, without a driver. */
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "util/error.h"

#define FL_BENCH_RUNS 64
#define FL_BENCH_MEMORY 65536
#define FL_BENCH_WAY_NS INT64_C(10000000000)

/* Memory that is sent from or copied out to, from begin to end and again. */
typedef struct fl_bench_region
{
    uint8_t *memory;
    uint64_t length;
    uint64_t at;
    bool is_walked;
} fl_bench_region_t;

static int fl_bench_region_open(fl_bench_region_t *region, const fl_bench_params_t *params)
{
    region->is_walked = params->region_length >= FL_BENCH_MEMORY;
    region->length = region->is_walked ? params->region_length : FL_BENCH_MEMORY;
    region->at = 0;
    region->memory = aligned_alloc(4096, (region->length + 4095) / 4096 * 4096);
    if (NULL == region->memory)
    {
        return fl_error(FL_ENOMEM, "no memory for %llu bytes to send from", (unsigned long long)region->length);
    }
    memset(region->memory, 0x5a, region->length);
    return 0;
}

static inline uint8_t *fl_bench_region_take(fl_bench_region_t *region, uint32_t length)
{
    if (!region->is_walked)
    {
        return region->memory;
    }
    region->at = region->length - region->at < length ? 0 : region->at;
    uint8_t *place = region->memory + region->at;
    region->at += length;
    return place;
}

/* One endpoint on one poller, entered by the calling thread. */
typedef struct fl_bench_endpoint
{
    fl_binding_t *binding;
    fl_poller_t *poller;
    fl_endpoint_t *endpoint;
    fl_endpoint_params_t params;
} fl_bench_endpoint_t;

static void fl_bench_endpoint_close(fl_bench_endpoint_t *at)
{
    const fl_transport_ops_t *ops = &at->binding->ops;
    if (NULL != at->poller)
    {
        if (NULL != at->endpoint)
        {
            ops->poller_remove(at->poller, at->endpoint);
        }
        ops->poller_leave(at->poller);
        ops->poller_close(at->poller);
    }
    if (NULL != at->endpoint)
    {
        ops->close_endpoint(at->endpoint);
    }
}

static int fl_bench_endpoint_open(
    fl_bench_endpoint_t *at, fl_binding_t *binding, const fl_bench_params_t *params, uint32_t role)
{
    const fl_transport_ops_t *ops = &binding->ops;
    memset(at, 0, sizeof(*at));
    at->binding = binding;
    at->params = (fl_endpoint_params_t){
        .size = sizeof(at->params),
        .role = role,
        .flags = FL_ROLE_SENDER == role ? FL_ENDPOINT_CONNECT : 0,
        .bind = params->local,
        .peer = params->peer,
        .mtu_length = 0 != params->length ? params->length : params->max_length,
        .send_buffer_length = params->buffer_length,
        .receive_buffer_length = params->buffer_length,
    };
    int result = ops->open_endpoint(binding->transport, &at->params, &at->endpoint);
    if (0 == result)
    {
        result = ops->poller_open(binding->transport, 0, role, &at->poller);
    }
    if (0 == result)
    {
        ops->poller_enter(at->poller);
        result = ops->poller_add(at->poller, at->endpoint, at);
    }
    if (result < 0)
    {
        fl_error_append(" (benchmark endpoint on transport '%s')", binding->name);
        fl_bench_endpoint_close(at);
    }
    return result;
}

/* Cut payload into runs as the sender agent would: uniform lengths into one, mixed ones into one each. */
static uint32_t fl_bench_fill_runs(
    const fl_bench_endpoint_t *at, const fl_bench_params_t *params, fl_measure_lengths_t *lengths,
    fl_bench_region_t *region, fl_run_t *runs)
{
    if (0 != params->length)
    {
        memset(runs, 0, sizeof(*runs));
        uint32_t segments = at->params.max_run_length / params->length;
        segments = segments < at->params.max_run_segments ? segments : at->params.max_run_segments;
        segments = segments > 0 ? segments : 1;
        runs[0].length = segments * params->length;
        runs[0].data = fl_bench_region_take(region, runs[0].length);
        runs[0].segment_length = params->length;
        return 1;
    }
    memset(runs, 0, sizeof(*runs) * FL_BENCH_RUNS);
    for (uint32_t i = 0; i < FL_BENCH_RUNS; i++)
    {
        runs[i].length = runs[i].segment_length = fl_measure_lengths_next(lengths);
        runs[i].data = fl_bench_region_take(region, runs[i].length);
    }
    return FL_BENCH_RUNS;
}

/* Take what came and drop it: answers of neighbours and heartbeats of protocols are the transport's own. */
static void fl_bench_poll_away(const fl_bench_endpoint_t *at)
{
    fl_run_t runs[FL_BENCH_RUNS];
    const int count = at->binding->ops.poll(at->poller, runs, FL_BENCH_RUNS);
    if (count > 0)
    {
        at->binding->ops.release(at->poller, runs, (uint32_t)count);
    }
}

static void fl_bench_count_accepted(const fl_run_t *runs, uint32_t count, fl_bench_result_t *result)
{
    for (uint32_t i = 0; i < count; i++)
    {
        const uint64_t bytes = (uint64_t)runs[i].accepted * runs[i].segment_length;
        result->messages += runs[i].accepted;
        result->bytes += bytes < runs[i].length ? bytes : runs[i].length;
    }
}

/* Send until one call was taken whole. */
static int fl_bench_find_way(
    const fl_bench_endpoint_t *at, const fl_bench_params_t *params, fl_measure_lengths_t *lengths,
    fl_bench_region_t *region, fl_bench_result_t *result)
{
    fl_run_t runs[FL_BENCH_RUNS];
    const int64_t begin_ns = fl_measure_now();
    for (;;)
    {
        const uint32_t count = fl_bench_fill_runs(at, params, lengths, region, runs);
        const int whole = at->binding->ops.send(at->endpoint, runs, count);
        fl_bench_count_accepted(runs, count, result);
        if (whole == (int)count)
        {
            return 0;
        }
        if (fl_measure_now() - begin_ns > FL_BENCH_WAY_NS)
        {
            return fl_error(FL_EHOSTUNREACH, "transport '%s' took no datagrams in 10 s: error %d", at->binding->name,
                -runs[whole > 0 ? whole : 0].status);
        }
        fl_bench_poll_away(at);
        sched_yield();
    }
}

static void fl_bench_send_loop(
    const fl_bench_endpoint_t *at, const fl_bench_params_t *params, fl_measure_lengths_t *lengths,
    fl_bench_region_t *region, fl_bench_result_t *result)
{
    fl_run_t runs[FL_BENCH_RUNS];
    fl_completion_t completions[FL_BENCH_RUNS];
    const int64_t cpu_ns = fl_measure_cpu();
    const int64_t begin_ns = fl_measure_now();
    int64_t now_ns = begin_ns;
    while (now_ns - begin_ns < params->duration_ns)
    {
        for (int turn = 0; turn < 16; turn++)
        {
            const uint32_t count = fl_bench_fill_runs(at, params, lengths, region, runs);
            const int whole = at->binding->ops.send(at->endpoint, runs, count);
            at->binding->ops.reap(at->poller, completions, FL_BENCH_RUNS);
            fl_bench_count_accepted(runs, count, result);
            if (whole < (int)count)
            {
                sched_yield();
            }
        }
        now_ns = fl_measure_now();
    }
    result->elapsed_ns = now_ns - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
}

int fl_bench_transport_send(fl_binding_t *binding, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_bench_endpoint_t at;
    fl_measure_lengths_t lengths;
    fl_bench_region_t region;
    memset(result, 0, sizeof(*result));
    int code = fl_bench_region_open(&region, params);
    if (code < 0)
    {
        return code;
    }
    code = fl_bench_endpoint_open(&at, binding, params, FL_ROLE_SENDER);
    if (0 == code)
    {
        fl_bench_lengths_init(&lengths, params);
        code = fl_bench_find_way(&at, params, &lengths, &region, result);
        if (0 == code)
        {
            fl_bench_send_loop(&at, params, &lengths, &region, result);
        }
        fl_bench_endpoint_close(&at);
    }
    free(region.memory);
    return code;
}

int fl_bench_transport_receive(fl_binding_t *binding, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_bench_endpoint_t at;
    fl_measure_watch_t watch;
    fl_bench_region_t region;
    fl_run_t runs[FL_BENCH_RUNS];
    memset(result, 0, sizeof(*result));
    int code = fl_bench_region_open(&region, params);
    if (code < 0)
    {
        return code;
    }
    code = fl_bench_endpoint_open(&at, binding, params, FL_ROLE_RECEIVER);
    if (code < 0)
    {
        free(region.memory);
        return code;
    }
    fl_measure_watch_begin(&watch);
    for (;;)
    {
        const int count = binding->ops.poll(at.poller, runs, FL_BENCH_RUNS);
        for (int i = 0; i < count; i++)
        {
            result->bytes += runs[i].length;
            result->messages += runs[i].length > runs[i].segment_length
                ? (runs[i].length + runs[i].segment_length - 1) / runs[i].segment_length
                : 1;
            if (region.is_walked)
            {
                memcpy(fl_bench_region_take(&region, runs[i].length), runs[i].data, runs[i].length);
            }
        }
        if (count > 0)
        {
            binding->ops.release(at.poller, runs, (uint32_t)count);
            fl_measure_watch_arrived(&watch);
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
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    fl_bench_endpoint_close(&at);
    free(region.memory);
    return 0;
}
