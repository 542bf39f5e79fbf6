#include "transport/wrap_capture.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "transport/address.h"
#include "transport/byte_ring.h"
#include "transport/pcap_file.h"
#include "transport/wrapper.h"
#include "util/error.h"

/* A run in a poller's ring, followed by its bytes. */
typedef struct fl_captured
{
    int64_t epoch_ns;
    fl_address_t source;
    fl_address_t destination;
    uint32_t length;
    uint32_t segment_length;
} fl_captured_t;

struct fl_endpoint
{
    fl_wrapped_endpoint_t base;
    fl_capture_t *capture;
    fl_poller_t *poller;
    void *context;
    fl_address_t local;
    fl_address_t peer;
};

struct fl_poller
{
    fl_wrapped_poller_t base;
    fl_capture_t *capture;
    fl_poller_t *next;               /* of the capture; guarded by its lock */
    fl_byte_ring_t ring;
    fl_run_t batch[FL_CAPTURE_BATCH];
};

struct fl_capture
{
    fl_wrapper_t base;
    const fl_host_t *host;
    uint64_t ring_length;
    uint32_t open_endpoints;

    /* Guarded by the lock: the pollers' list, the rings' reading ends, the file but for its totals. */
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    bool is_stopping;
    fl_poller_t *pollers;
    fl_pcap_file_t file;

    pthread_t writer;
};

static fl_capture_t *fl_capture_of(fl_transport_t *transport)
{
    return (fl_capture_t *)transport;
}

/* ---- into the file; under the lock ---- */

static void fl_capture_drain(fl_capture_t *capture, fl_poller_t *poller)
{
    const fl_captured_t *captured;
    while (NULL != (captured = fl_byte_ring_read(&poller->ring)))
    {
        const uint8_t *data = (const uint8_t *)(captured + 1);
        uint32_t offset = 0;
        do
        {
            const uint32_t left = captured->length - offset;
            const uint32_t length = left < captured->segment_length ? left : captured->segment_length;
            fl_pcap_file_write(
                &capture->file, captured->epoch_ns, &captured->source, &captured->destination, data + offset, length);
            offset += length;
        } while (offset < captured->length);
        fl_byte_ring_release(&poller->ring);
    }
}

static void fl_capture_drain_all(fl_capture_t *capture)
{
    for (fl_poller_t *poller = capture->pollers; NULL != poller; poller = poller->next)
    {
        fl_capture_drain(capture, poller);
    }
    fl_pcap_file_flush(&capture->file);
}

static void *fl_capture_run(void *argument)
{
    fl_capture_t *capture = argument;
    pthread_mutex_lock(&capture->lock);
    while (!capture->is_stopping)
    {
        struct timespec until;
        fl_capture_drain_all(capture);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += FL_CAPTURE_INTERVAL_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&capture->stopping, &capture->lock, &until);
    }
    pthread_mutex_unlock(&capture->lock);
    return NULL;
}

/* ---- poller: copying what passes ---- */

/* Copy the first `segments` datagrams of a run. */
static void fl_capture_record(
    fl_poller_t *poller, const fl_run_t *run, uint32_t segments, const fl_address_t *source,
    const fl_address_t *destination, int64_t epoch_ns)
{
    if (0 == segments || NULL == poller)    /* an endpoint sends only while it is on a poller */
    {
        return;
    }
    const uint32_t length = fl_run_extent(run, segments);
    fl_captured_t *captured = fl_byte_ring_claim(&poller->ring, (uint32_t)sizeof(*captured) + length);
    if (NULL == captured || source->family != destination->family)
    {
        fl_pcap_file_count(&poller->capture->file.dropped, segments);
        return;
    }
    *captured = (fl_captured_t){
        .epoch_ns = epoch_ns,
        .source = *source,
        .destination = *destination,
        .length = length,
        .segment_length = run->segment_length,
    };
    if (0 != length)
    {
        memcpy(captured + 1, run->data, length);
    }
    fl_byte_ring_commit(&poller->ring);
}

static int fl_capture_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    fl_capture_t *capture = endpoint->capture;
    const int64_t epoch_ns = capture->host->epoch_clock(capture->host);
    const int whole = capture->base.inner->ops.send(endpoint->base.inner, runs, count);
    for (uint32_t i = 0; i < count; i++)
    {
        fl_address_t source = endpoint->local;
        if (NULL != runs[i].local)
        {
            memcpy(source.bytes, runs[i].local->bytes, sizeof(source.bytes));
        }
        fl_capture_record(
            endpoint->poller, &runs[i], runs[i].accepted, &source, fl_run_destination(&runs[i], &endpoint->peer),
            epoch_ns);
    }
    return whole;
}

static int fl_capture_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    fl_capture_t *capture = poller->capture;
    const int count = capture->base.inner->ops.poll(
        poller->base.inner, poller->batch, capacity < FL_CAPTURE_BATCH ? capacity : FL_CAPTURE_BATCH);
    const int64_t epoch_ns = count > 0 ? capture->host->epoch_clock(capture->host) : 0;
    for (int i = 0; i < count; i++)
    {
        const fl_run_t *run = &poller->batch[i];
        const fl_endpoint_t *endpoint = run->context;
        fl_capture_record(
            poller, run, fl_run_segments(run), &run->peer->address, NULL != run->local ? run->local : &endpoint->local,
            0 != (run->flags & FL_RUN_TIMESTAMP) ? run->timestamp_ns : epoch_ns);
        runs[i] = *run;
        runs[i].context = endpoint->context;
        runs[i].token = (uint64_t)i;
    }
    return count;
}

static void fl_capture_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
    {
        poller->capture->base.inner->ops.release(poller->base.inner, &poller->batch[runs[i].token], 1);
    }
}

/* ---- endpoints and pollers ---- */

static int fl_capture_open_endpoint(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **result)
{
    fl_capture_t *capture = fl_capture_of(transport);
    fl_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint)
    {
        return fl_error(FL_ENOMEM, "capture: no memory for an endpoint");
    }
    int status = capture->base.inner->ops.open_endpoint(capture->base.inner->transport, params, &endpoint->base.inner);
    if (status < 0)
    {
        free(endpoint);
        return status;
    }
    endpoint->base.wrapper = &capture->base;
    endpoint->capture = capture;
    endpoint->peer = params->peer;
    status = capture->base.inner->ops.local_address(endpoint->base.inner, &endpoint->local);
    if (status < 0)
    {
        capture->base.inner->ops.close_endpoint(endpoint->base.inner);
        free(endpoint);
        return status;
    }
    capture->open_endpoints++;
    *result = endpoint;
    return 0;
}

static int fl_capture_close_endpoint(fl_endpoint_t *endpoint)
{
    const int status = endpoint->capture->base.inner->ops.close_endpoint(endpoint->base.inner);
    if (0 <= status)
    {
        endpoint->capture->open_endpoints--;
        free(endpoint);
    }
    return status;
}

static int fl_capture_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    const int status = endpoint->capture->base.inner->ops.set_peer(endpoint->base.inner, peer);
    if (0 <= status)
    {
        endpoint->peer = peer->address;
    }
    return status;
}

static int fl_capture_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **result)
{
    fl_capture_t *capture = fl_capture_of(transport);
    int status = -FL_ENOMEM;
    fl_poller_t *poller = calloc(1, sizeof(*poller));
    if (NULL == poller || fl_byte_ring_init(&poller->ring, capture->ring_length) < 0)
    {
        fl_error(FL_ENOMEM, "capture: no memory for a poller's ring of %llu bytes",
            (unsigned long long)capture->ring_length);
        goto failed;
    }
    status = capture->base.inner->ops.poller_open(capture->base.inner->transport, queue, roles, &poller->base.inner);
    if (status < 0)
    {
        goto failed;
    }
    poller->base.wrapper = &capture->base;
    poller->capture = capture;
    pthread_mutex_lock(&capture->lock);
    poller->next = capture->pollers;
    capture->pollers = poller;
    pthread_mutex_unlock(&capture->lock);
    *result = poller;
    return 0;

failed:
    if (NULL != poller)
    {
        fl_byte_ring_free(&poller->ring);
        free(poller);
    }
    return status;
}

static int fl_capture_poller_close(fl_poller_t *poller)
{
    fl_capture_t *capture = poller->capture;
    const int status = capture->base.inner->ops.poller_close(poller->base.inner);
    if (status < 0)
    {
        return status;
    }
    pthread_mutex_lock(&capture->lock);
    fl_capture_drain(capture, poller);
    fl_poller_t **link = &capture->pollers;
    while (*link != poller)
    {
        link = &(*link)->next;
    }
    *link = poller->next;
    pthread_mutex_unlock(&capture->lock);
    fl_byte_ring_free(&poller->ring);
    free(poller);
    return 0;
}

static int fl_capture_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    const int status = poller->capture->base.inner->ops.poller_add(poller->base.inner, endpoint->base.inner, endpoint);
    if (0 <= status)
    {
        endpoint->poller = poller;
        endpoint->context = context;
    }
    return status;
}

static int fl_capture_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    const int status = poller->capture->base.inner->ops.poller_remove(poller->base.inner, endpoint->base.inner);
    if (0 <= status)
    {
        endpoint->poller = NULL;
    }
    return status;
}

/* ---- the transport ---- */

static int fl_capture_stats(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    fl_capture_t *capture = fl_capture_of(transport);
    const fl_stat_t own[] = {
        { "capture-written", fl_capture_written(capture) },
        { "capture-dropped", fl_capture_dropped(capture) },
    };
    const uint32_t own_count = sizeof(own) / sizeof(own[0]);
    const int of_inner = capture->base.inner->ops.stats(capture->base.inner->transport, stats, capacity);
    const uint32_t first = of_inner > 0 ? (uint32_t)of_inner : 0;
    if (0 == capacity)
    {
        return (int)(first + own_count);
    }
    const uint32_t room = capacity - first < own_count ? capacity - first : own_count;
    memcpy(&stats[first], own, room * sizeof(own[0]));
    return (int)(first + room);
}

static int fl_capture_close(fl_transport_t *transport)
{
    fl_capture_t *capture = fl_capture_of(transport);
    if (0 != capture->open_endpoints || NULL != capture->pollers)
    {
        return fl_error(FL_EBUSY, "capture: endpoints or pollers are still open");
    }
    pthread_mutex_lock(&capture->lock);
    capture->is_stopping = true;
    pthread_cond_signal(&capture->stopping);
    pthread_mutex_unlock(&capture->lock);
    pthread_join(capture->writer, NULL);
    fl_pcap_file_close(&capture->file);
    pthread_cond_destroy(&capture->stopping);
    pthread_mutex_destroy(&capture->lock);
    free(capture);
    return 0;
}

/* Make the writer, which takes no signals: they are for the application's threads. */
static int fl_capture_start(fl_capture_t *capture)
{
    sigset_t all;
    sigset_t before;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&capture->stopping, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&capture->lock, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&capture->writer, NULL, fl_capture_run, capture);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

fl_capture_t *fl_capture_new(fl_binding_t *inner, const fl_host_t *host, const char *path, uint64_t ring_length)
{
    static const fl_transport_ops_t own = {
        .open_endpoint = fl_capture_open_endpoint,
        .close_endpoint = fl_capture_close_endpoint,
        .local_address = fl_wrapper_local_address,
        .set_peer = fl_capture_set_peer,
        .poller_open = fl_capture_poller_open,
        .poller_enter = fl_wrapper_poller_enter,
        .poller_leave = fl_wrapper_poller_leave,
        .poller_close = fl_capture_poller_close,
        .poller_add = fl_capture_poller_add,
        .poller_remove = fl_capture_poller_remove,
        .poll = fl_capture_poll,
        .release = fl_capture_release,
        .send = fl_capture_send,
        .reap = fl_wrapper_reap,
        .arm = fl_wrapper_arm,
        .disarm = fl_wrapper_disarm,
        .housekeeping = fl_wrapper_housekeeping,
        .events = fl_wrapper_events,
        .stats = fl_capture_stats,
        .register_memory = fl_wrapper_register_memory,
        .unregister_memory = fl_wrapper_unregister_memory,
        .close = fl_capture_close,
    };
    fl_capture_t *capture = calloc(1, sizeof(*capture));
    if (NULL == capture)
    {
        fl_error(FL_ENOMEM, "capture: no memory");
        return NULL;
    }
    fl_wrapper_init(&capture->base, inner, &own);
    capture->host = host;
    capture->ring_length = 0 != ring_length ? ring_length : FL_CAPTURE_RING_DEFAULT;
    if (fl_pcap_file_open(&capture->file, host, path) < 0)
    {
        goto free_capture;
    }
    const int error = fl_capture_start(capture);
    if (0 == error)
    {
        return capture;
    }
    fl_error(error, "capture: cannot start its thread: %s", strerror(error));
    fl_pcap_file_close(&capture->file);

free_capture:
    free(capture);
    return NULL;
}

const void *fl_capture_ops(const fl_capture_t *capture)
{
    return &capture->base.ops;
}

int fl_capture_flush(fl_capture_t *capture)
{
    pthread_mutex_lock(&capture->lock);
    fl_capture_drain_all(capture);
    const int error = capture->file.error;
    pthread_mutex_unlock(&capture->lock);
    return 0 == error ? 0 : fl_error(error, "capture: writing failed: %s", strerror(error));
}

int64_t fl_capture_written(fl_capture_t *capture)
{
    return atomic_load_explicit(&capture->file.written, memory_order_relaxed);
}

int64_t fl_capture_dropped(fl_capture_t *capture)
{
    return atomic_load_explicit(&capture->file.dropped, memory_order_relaxed);
}
