#include "transport/wrap_capture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "transport/address.h"
#include "transport/byte_ring.h"
#include "transport/pcap.h"
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
    fl_capture_t *capture;
    fl_endpoint_t *inner;
    fl_poller_t *poller;
    void *context;
    fl_address_t local;
    fl_address_t peer;
};

struct fl_poller
{
    fl_capture_t *capture;
    fl_poller_t *inner;
    fl_poller_t *next;               /* of the capture; guarded by its lock */
    fl_byte_ring_t ring;
    fl_run_t batch[FL_CAPTURE_BATCH];
};

struct fl_capture
{
    fl_transport_ops_t ops;
    fl_binding_t *inner;
    const fl_host_t *host;
    uint64_t ring_length;
    uint32_t open_endpoints;
    _Atomic int64_t written;
    _Atomic int64_t dropped;

    /* Guarded by the lock: the pollers' list, the rings' reading ends, the file. */
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    bool is_stopping;
    fl_poller_t *pollers;
    int fd;
    int error;                       /* errno of the first failed write; nothing is written after it */
    int64_t buffered_datagrams;
    uint32_t buffered;               /* bytes */
    uint8_t buffer[FL_CAPTURE_BUFFER_LENGTH];

    pthread_t writer;
};

static fl_capture_t *fl_capture_of(fl_transport_t *transport)
{
    return (fl_capture_t *)transport;
}

static void fl_capture_add(_Atomic int64_t *total, int64_t count)
{
    atomic_fetch_add_explicit(total, count, memory_order_relaxed);
}

/* ---- the file; under the lock ---- */

static void fl_capture_write_out(fl_capture_t *capture)
{
    uint32_t done = 0;
    while (done < capture->buffered && 0 == capture->error)
    {
        const ssize_t count = write(capture->fd, capture->buffer + done, capture->buffered - done);
        if (count < 0 && EINTR != errno)
        {
            char text[128];
            capture->error = errno;
            snprintf(text, sizeof(text), "capture: writing failed, it ends here: %s", strerror(errno));
            capture->host->log(capture->host, FL_LOG_ERROR, text);
        }
        done += count > 0 ? (uint32_t)count : 0;
    }
    fl_capture_add(0 == capture->error ? &capture->written : &capture->dropped, capture->buffered_datagrams);
    capture->buffered = 0;
    capture->buffered_datagrams = 0;
}

static void fl_capture_write_datagram(
    fl_capture_t *capture, const fl_captured_t *captured, const uint8_t *data, uint32_t length)
{
    if (capture->buffered + FL_PCAP_RECORD_HEADER_MAXIMUM + length > sizeof(capture->buffer))
    {
        fl_capture_write_out(capture);
    }
    capture->buffered += (uint32_t)fl_pcap_write_record_header(
        capture->buffer + capture->buffered, captured->epoch_ns, &captured->source, &captured->destination, data,
        length);
    memcpy(capture->buffer + capture->buffered, data, length);
    capture->buffered += length;
    capture->buffered_datagrams++;
}

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
            fl_capture_write_datagram(capture, captured, data + offset, length);
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
    fl_capture_write_out(capture);
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
        fl_capture_add(&poller->capture->dropped, segments);
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
    const int whole = capture->inner->ops.send(endpoint->inner, runs, count);
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
    const int count = capture->inner->ops.poll(
        poller->inner, poller->batch, capacity < FL_CAPTURE_BATCH ? capacity : FL_CAPTURE_BATCH);
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
        poller->capture->inner->ops.release(poller->inner, &poller->batch[runs[i].token], 1);
    }
}

static int fl_capture_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    return poller->capture->inner->ops.reap(poller->inner, completions, capacity);
}

static int fl_capture_arm(fl_poller_t *poller)
{
    return poller->capture->inner->ops.arm(poller->inner);
}

static int fl_capture_disarm(fl_poller_t *poller)
{
    return poller->capture->inner->ops.disarm(poller->inner);
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
    int status = capture->inner->ops.open_endpoint(capture->inner->transport, params, &endpoint->inner);
    if (status < 0)
    {
        free(endpoint);
        return status;
    }
    endpoint->capture = capture;
    endpoint->peer = params->peer;
    status = capture->inner->ops.local_address(endpoint->inner, &endpoint->local);
    if (status < 0)
    {
        capture->inner->ops.close_endpoint(endpoint->inner);
        free(endpoint);
        return status;
    }
    capture->open_endpoints++;
    *result = endpoint;
    return 0;
}

static int fl_capture_close_endpoint(fl_endpoint_t *endpoint)
{
    const int status = endpoint->capture->inner->ops.close_endpoint(endpoint->inner);
    if (0 <= status)
    {
        endpoint->capture->open_endpoints--;
        free(endpoint);
    }
    return status;
}

static int fl_capture_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    return endpoint->capture->inner->ops.local_address(endpoint->inner, address);
}

static int fl_capture_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    const int status = endpoint->capture->inner->ops.set_peer(endpoint->inner, peer);
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
    status = capture->inner->ops.poller_open(capture->inner->transport, queue, roles, &poller->inner);
    if (status < 0)
    {
        goto failed;
    }
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

static int fl_capture_poller_enter(fl_poller_t *poller)
{
    return poller->capture->inner->ops.poller_enter(poller->inner);
}

static int fl_capture_poller_leave(fl_poller_t *poller)
{
    return poller->capture->inner->ops.poller_leave(poller->inner);
}

static int fl_capture_poller_close(fl_poller_t *poller)
{
    fl_capture_t *capture = poller->capture;
    const int status = capture->inner->ops.poller_close(poller->inner);
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
    const int status = poller->capture->inner->ops.poller_add(poller->inner, endpoint->inner, endpoint);
    if (0 <= status)
    {
        endpoint->poller = poller;
        endpoint->context = context;
    }
    return status;
}

static int fl_capture_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    const int status = poller->capture->inner->ops.poller_remove(poller->inner, endpoint->inner);
    if (0 <= status)
    {
        endpoint->poller = NULL;
    }
    return status;
}

/* ---- the transport ---- */

static int fl_capture_housekeeping(fl_transport_t *transport, int64_t now_ns)
{
    const fl_binding_t *inner = fl_capture_of(transport)->inner;
    return inner->ops.housekeeping(inner->transport, now_ns);
}

static int fl_capture_events(fl_transport_t *transport, fl_event_t *events, uint32_t capacity)
{
    const fl_binding_t *inner = fl_capture_of(transport)->inner;
    return inner->ops.events(inner->transport, events, capacity);
}

static int fl_capture_stats(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    fl_capture_t *capture = fl_capture_of(transport);
    const fl_stat_t own[] = {
        { "capture-written", fl_capture_written(capture) },
        { "capture-dropped", fl_capture_dropped(capture) },
    };
    const uint32_t own_count = sizeof(own) / sizeof(own[0]);
    const int of_inner = capture->inner->ops.stats(capture->inner->transport, stats, capacity);
    const uint32_t first = of_inner > 0 ? (uint32_t)of_inner : 0;
    if (0 == capacity)
    {
        return (int)(first + own_count);
    }
    const uint32_t room = capacity - first < own_count ? capacity - first : own_count;
    memcpy(&stats[first], own, room * sizeof(own[0]));
    return (int)(first + room);
}

static int fl_capture_register_memory(fl_transport_t *transport, void *memory, size_t length, uint64_t *region)
{
    const fl_binding_t *inner = fl_capture_of(transport)->inner;
    return inner->ops.register_memory(inner->transport, memory, length, region);
}

static int fl_capture_unregister_memory(fl_transport_t *transport, uint64_t region)
{
    const fl_binding_t *inner = fl_capture_of(transport)->inner;
    return inner->ops.unregister_memory(inner->transport, region);
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
    fl_capture_write_out(capture);
    close(capture->fd);
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
    fl_capture_t *capture = calloc(1, sizeof(*capture));
    if (NULL == capture)
    {
        fl_error(FL_ENOMEM, "capture: no memory");
        return NULL;
    }
    capture->inner = inner;
    capture->host = host;
    capture->ring_length = 0 != ring_length ? ring_length : FL_CAPTURE_RING_DEFAULT;
    capture->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (capture->fd < 0)
    {
        fl_error(errno, "capture: cannot write %s: %s", path, strerror(errno));
        goto free_capture;
    }
    fl_pcap_write_file_header(capture->buffer);
    capture->buffered = FL_PCAP_FILE_HEADER_LENGTH;
    capture->ops = (fl_transport_ops_t){
        .magic = FL_TRANSPORT_MAGIC,
        .size = sizeof(fl_transport_ops_t),
        .abi_version = FL_ABI_VERSION,
        .queues = inner->ops.queues,
        .open_endpoint = fl_capture_open_endpoint,
        .close_endpoint = fl_capture_close_endpoint,
        .local_address = fl_capture_local_address,
        .set_peer = fl_capture_set_peer,
        .poller_open = fl_capture_poller_open,
        .poller_enter = fl_capture_poller_enter,
        .poller_leave = fl_capture_poller_leave,
        .poller_close = fl_capture_poller_close,
        .poller_add = fl_capture_poller_add,
        .poller_remove = fl_capture_poller_remove,
        .poll = fl_capture_poll,
        .release = fl_capture_release,
        .send = fl_capture_send,
        .reap = fl_capture_reap,
        .arm = fl_capture_arm,
        .disarm = fl_capture_disarm,
        .housekeeping = fl_capture_housekeeping,
        .events = fl_capture_events,
        .stats = fl_capture_stats,
        .register_memory = fl_capture_register_memory,
        .unregister_memory = fl_capture_unregister_memory,
        .close = fl_capture_close,
    };
    const int error = fl_capture_start(capture);
    if (0 == error)
    {
        return capture;
    }
    fl_error(error, "capture: cannot start its thread: %s", strerror(error));
    close(capture->fd);

free_capture:
    free(capture);
    return NULL;
}

const void *fl_capture_ops(const fl_capture_t *capture)
{
    return &capture->ops;
}

int fl_capture_flush(fl_capture_t *capture)
{
    pthread_mutex_lock(&capture->lock);
    fl_capture_drain_all(capture);
    const int error = capture->error;
    pthread_mutex_unlock(&capture->lock);
    return 0 == error ? 0 : fl_error(error, "capture: writing failed: %s", strerror(error));
}

int64_t fl_capture_written(fl_capture_t *capture)
{
    return atomic_load_explicit(&capture->written, memory_order_relaxed);
}

int64_t fl_capture_dropped(fl_capture_t *capture)
{
    return atomic_load_explicit(&capture->dropped, memory_order_relaxed);
}
