/* Runs through a transport's ops, without a driver. */
#include <sched.h>
#include <string.h>

#include "bench/bench.h"
#include "util/error.h"

#define FL_BENCH_RUNS 64
#define FL_BENCH_MEMORY 65536

/* What is sent comes from here, and what is received goes here where the parameters ask for it: from the region's begin on,
 * and again. */
static uint8_t fl_bench_payload[FL_BENCH_REGION];
static uint32_t fl_bench_place;

/* The next `length` bytes of the region, or its first ones where it is not gone through. */
static uint8_t *fl_bench_next(const fl_bench_params_t *params, uint32_t length)
{
    const uint32_t end = params->region_length < FL_BENCH_REGION ? params->region_length : FL_BENCH_REGION;
    if (fl_bench_place + length > end)
    {
        fl_bench_place = 0;
    }
    uint8_t *place = fl_bench_payload + fl_bench_place;
    fl_bench_place += 0 != params->region_length ? (length + 63) / 64 * 64 : 0;
    return place;
}

/* Copy the datagrams of a run out. */
static void fl_bench_copy_out(const fl_bench_params_t *params, const fl_run_t *run)
{
    memcpy(fl_bench_next(params, run->length), run->data, run->length);
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

/* Cut the payload into runs as the sender agent would: uniform lengths into one, mixed ones into one each. */
static uint32_t fl_bench_fill_runs(
    const fl_bench_endpoint_t *at, const fl_bench_params_t *params, fl_bench_lengths_t *lengths, fl_run_t *runs)
{
    memset(runs, 0, sizeof(*runs) * FL_BENCH_RUNS);
    if (0 != params->length)
    {
        uint32_t segments = at->params.max_run_length / params->length;
        segments = segments < at->params.max_run_segments ? segments : at->params.max_run_segments;
        segments = segments > 0 ? segments : 1;
        runs[0].data = fl_bench_next(params, segments * params->length);
        runs[0].length = segments * params->length;
        runs[0].segment_length = params->length;
        return 1;
    }
    for (uint32_t i = 0; i < FL_BENCH_RUNS; i++)
    {
        runs[i].length = runs[i].segment_length = fl_bench_lengths_next(lengths);
        runs[i].data = fl_bench_next(params, runs[i].length);
    }
    return FL_BENCH_RUNS;
}

/* Slow upkeep, about ten times a second: a transport may have timers. */
static void fl_bench_upkeep(const fl_binding_t *binding, int64_t now_ns, int64_t *last_ns)
{
    if (now_ns - *last_ns >= INT64_C(100000000))
    {
        binding->ops.housekeeping(binding->transport, now_ns);
        *last_ns = now_ns;
    }
}

/* Take what comes back, such as the answer of a neighbour. */
static void fl_bench_drain(fl_bench_endpoint_t *at)
{
    fl_run_t runs[FL_BENCH_RUNS];
    const int count = at->binding->ops.poll(at->poller, runs, FL_BENCH_RUNS);
    if (count > 0)
    {
        at->binding->ops.release(at->poller, runs, (uint32_t)count);
    }
}

/* Send until a run was taken whole; what was taken is counted. Returns 0, or -FL_EAGAIN with the error text set if none
 * was for five seconds. */
static int fl_bench_wait_for_way(
    fl_bench_endpoint_t *at, const fl_bench_params_t *params, fl_bench_lengths_t *lengths, int64_t *upkeep_ns,
    fl_bench_result_t *result)
{
    fl_run_t runs[FL_BENCH_RUNS];
    fl_completion_t completions[FL_BENCH_RUNS];
    const int64_t begin_ns = fl_bench_now();
    for (int64_t now_ns = begin_ns; now_ns - begin_ns < INT64_C(5000000000); now_ns = fl_bench_now())
    {
        fl_bench_upkeep(at->binding, now_ns, upkeep_ns);
        const uint32_t count = fl_bench_fill_runs(at, params, lengths, runs);
        const int whole = at->binding->ops.send(at->endpoint, runs, count);
        at->binding->ops.reap(at->poller, completions, FL_BENCH_RUNS);
        fl_bench_drain(at);
        for (uint32_t i = 0; i < count; i++)
        {
            result->messages += runs[i].accepted;
        }
        if (whole == (int)count)
        {
            return 0;
        }
        sched_yield();
    }
    return fl_error(FL_EAGAIN, "benchmark on transport '%s': it took no run within five seconds", at->binding->name);
}

int fl_bench_transport_send(fl_binding_t *binding, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_bench_endpoint_t at;
    fl_bench_lengths_t lengths;
    fl_run_t runs[FL_BENCH_RUNS];
    fl_completion_t completions[FL_BENCH_RUNS];
    memset(result, 0, sizeof(*result));
    int code = fl_bench_endpoint_open(&at, binding, params, FL_ROLE_SENDER);
    if (code < 0)
    {
        return code;
    }
    int64_t upkeep_ns = 0;
    fl_bench_lengths_init(&lengths, params);
    code = fl_bench_wait_for_way(&at, params, &lengths, &upkeep_ns, result);
    if (code < 0)
    {
        fl_bench_endpoint_close(&at);
        return code;
    }
    const int64_t cpu_ns = fl_bench_cpu();
    const int64_t begin_ns = fl_bench_now();
    int64_t now_ns = begin_ns;
    while (now_ns - begin_ns < params->duration_ns)
    {
        for (int turn = 0; turn < 16; turn++)
        {
            const uint32_t count = fl_bench_fill_runs(&at, params, &lengths, runs);
            const int whole = binding->ops.send(at.endpoint, runs, count);
            binding->ops.reap(at.poller, completions, FL_BENCH_RUNS);
            for (uint32_t i = 0; i < count; i++)
            {
                const uint64_t bytes = (uint64_t)runs[i].accepted * runs[i].segment_length;
                result->messages += runs[i].accepted;
                result->bytes += bytes < runs[i].length ? bytes : runs[i].length;
            }
            if (whole < (int)count)
            {
                sched_yield();
            }
        }
        fl_bench_drain(&at);
        now_ns = fl_bench_now();
        fl_bench_upkeep(binding, now_ns, &upkeep_ns);
    }
    result->elapsed_ns = now_ns - begin_ns;
    result->cpu_ns = fl_bench_cpu() - cpu_ns;
    fl_bench_endpoint_close(&at);
    return 0;
}

int fl_bench_transport_receive(fl_binding_t *binding, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_bench_endpoint_t at;
    fl_bench_watch_t watch;
    fl_run_t runs[FL_BENCH_RUNS];
    fl_completion_t completions[FL_BENCH_RUNS];
    memset(result, 0, sizeof(*result));
    const int code = fl_bench_endpoint_open(&at, binding, params, FL_ROLE_RECEIVER);
    if (code < 0)
    {
        return code;
    }
    int64_t upkeep_ns = 0;
    fl_bench_watch_begin(&watch);
    for (;;)
    {
        const int count = binding->ops.poll(at.poller, runs, FL_BENCH_RUNS);
        for (int i = 0; i < count; i++)
        {
            if (0 != params->region_length)
            {
                fl_bench_copy_out(params, &runs[i]);
            }
            result->bytes += runs[i].length;
            result->messages += runs[i].length > runs[i].segment_length
                ? (runs[i].length + runs[i].segment_length - 1) / runs[i].segment_length
                : 1;
        }
        if (count > 0)
        {
            binding->ops.release(at.poller, runs, (uint32_t)count);
            binding->ops.reap(at.poller, completions, FL_BENCH_RUNS);
            fl_bench_watch_arrived(&watch);
        }
        else if (fl_bench_watch_is_over(&watch, params))
        {
            break;
        }
        else
        {
            fl_bench_upkeep(binding, fl_bench_now(), &upkeep_ns);
            sched_yield();
        }
    }
    fl_bench_watch_end(&watch, result);
    fl_bench_endpoint_close(&at);
    return 0;
}
