#include "transport/python_adapter.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "shm/words.h"
#include "transport/address.h"
#include "transport/python_internal.h"
#include "util/error.h"

struct fl_endpoint
{
    fl_python_adapter_t *adapter;
    uint32_t number;
    uint32_t flags;
    fl_address_t local;
    fl_address_t peer;
    fl_poller_t *poller;
    fl_endpoint_t *next_on_poller;
    void *context;
};

struct fl_poller
{
    fl_python_adapter_t *adapter;
    fl_endpoint_t *endpoints;
    uint32_t outstanding;        /* runs that the host has not released */
};

static fl_python_adapter_t *fl_python_adapter_of(fl_transport_t *transport)
{
    return (fl_python_adapter_t *)transport;
}

/* ---- control: calls that Python answers ---- */

/* Have Python do `call` and wait for its answer. */
static int fl_python_call(fl_python_adapter_t *adapter, const fl_python_request_t *call, const char *what)
{
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += FL_PYTHON_ANSWER_LIMIT_S;

    pthread_mutex_lock(&adapter->lock);
    int status = 0;
    if (FL_PYTHON_CALL_NONE != adapter->state)
    {
        status = fl_error(FL_EIO, "%s: the Python thread still does not answer an earlier call", what);
        goto unlock;
    }
    adapter->call = *call;
    adapter->call_after = fl_byte_ring_end(&adapter->to_python);
    adapter->state = FL_PYTHON_CALL_POSTED;
    fl_python_signal(adapter->python_event);
    while (FL_PYTHON_CALL_ANSWERED != adapter->state)
    {
        const bool is_stopped = atomic_load_explicit(&adapter->is_stopped, memory_order_relaxed);
        if (is_stopped || ETIMEDOUT == pthread_cond_timedwait(&adapter->answered, &adapter->lock, &limit))
        {
            adapter->state =
                FL_PYTHON_CALL_TAKEN == adapter->state ? FL_PYTHON_CALL_ABANDONED : FL_PYTHON_CALL_NONE;
            status = is_stopped ? fl_error(FL_ENODEV, "%s: no Python thread serves the transport", what)
                                : fl_error(
                                      FL_EIO, "%s: the Python thread did not answer in %d s", what,
                                      FL_PYTHON_ANSWER_LIMIT_S);
            goto unlock;
        }
    }
    adapter->state = FL_PYTHON_CALL_NONE;
    status = adapter->answer_status;
    if (status < 0)
    {
        fl_error(-status, "%s", adapter->answer_text);
    }

unlock:
    pthread_mutex_unlock(&adapter->lock);
    return status;
}

static int fl_python_open_endpoint(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **result)
{
    fl_python_adapter_t *adapter = fl_python_adapter_of(transport);
    fl_endpoint_t *endpoint = calloc(1, sizeof(*endpoint));
    if (NULL == endpoint)
    {
        return fl_error(FL_ENOMEM, "open_endpoint: no memory");
    }
    endpoint->adapter = adapter;
    endpoint->number = ++adapter->next_number;
    endpoint->flags = params->flags;
    endpoint->peer = params->peer;
    fl_python_request_t call = { .kind = FL_PYTHON_OPEN, .endpoint = endpoint->number, .params = *params };
    const int status = fl_python_call(adapter, &call, "open_endpoint");
    if (status < 0)
    {
        free(endpoint);
        return status;
    }
    endpoint->local = adapter->answer_local;
    adapter->open_endpoints++;
    params->max_run_segments = FL_PYTHON_RUN_SEGMENTS;
    params->max_run_length = FL_UDP_PAYLOAD_MAXIMUM;
    params->send_buffer_granted = (uint32_t)adapter->to_python.length;
    params->receive_buffer_granted = (uint32_t)adapter->from_python.length;
    params->note[0] = '\0';
    params->receive_clock = FL_CLOCK_NONE;
    *result = endpoint;
    return 0;
}

static int fl_python_close_endpoint(fl_endpoint_t *endpoint)
{
    fl_python_adapter_t *adapter = endpoint->adapter;
    if (NULL != endpoint->poller)
    {
        return fl_error(FL_EBUSY, "close_endpoint: the endpoint is on a poller");
    }
    fl_python_request_t call = { .kind = FL_PYTHON_CLOSE, .endpoint = endpoint->number };
    const int status = fl_python_call(adapter, &call, "close_endpoint");
    if (0 <= status || -FL_ENODEV == status)
    {
        adapter->open_endpoints--;
        free(endpoint);
    }
    return status;
}

static int fl_python_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    *address = endpoint->local;
    return 0;
}

static int fl_python_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    if (peer->address.family != endpoint->local.family)
    {
        return fl_error(FL_EAFNOSUPPORT, "set_peer: the peer is of another family than the endpoint");
    }
    endpoint->peer = peer->address;
    return 0;
}

/* ---- poller: sending ---- */

static int32_t fl_python_send_run(fl_endpoint_t *endpoint, fl_run_t *run)
{
    fl_byte_ring_t *ring = &endpoint->adapter->to_python;
    const uint32_t segments = fl_run_segments(run);
    const fl_address_t *destination = fl_run_destination(run, &endpoint->peer);
    if (0 == segments || FL_FAMILY_NONE == destination->family)
    {
        return -FL_EINVAL;
    }
    const uint32_t longest = segments > 1 ? run->segment_length : run->length;
    if (longest > endpoint->adapter->max_datagram || run->length > FL_UDP_PAYLOAD_MAXIMUM ||
        segments > FL_PYTHON_RUN_SEGMENTS)
    {
        return -FL_EMSGSIZE;
    }

    uint32_t accepted = segments;
    fl_python_sent_t *sent = fl_byte_ring_claim(ring, (uint32_t)sizeof(*sent) + run->length);
    if (NULL == sent)
    {
        const uint32_t room = fl_byte_ring_room(ring);
        accepted = room > sizeof(*sent) && 0 != run->segment_length
            ? (room - (uint32_t)sizeof(*sent)) / run->segment_length
            : 0;
        accepted = accepted < segments ? accepted : segments - 1;
        if (0 == accepted)
        {
            return -FL_EAGAIN;
        }
        sent = fl_byte_ring_claim(ring, (uint32_t)sizeof(*sent) + accepted * run->segment_length);
        if (NULL == sent)
        {
            return -FL_EAGAIN;
        }
    }
    const uint32_t length = fl_run_extent(run, accepted);
    *sent = (fl_python_sent_t){
        .endpoint = endpoint->number,
        .length = length,
        .segment_length = run->segment_length,
        .destination = *destination,
    };
    if (NULL != run->local)
    {
        sent->local = *run->local;
    }
    if (0 != length)
    {
        memcpy(sent + 1, run->data, length);
    }
    fl_byte_ring_commit(ring);
    run->accepted = accepted;
    return accepted == segments ? 0 : -FL_EAGAIN;
}

static int fl_python_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    int whole = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        runs[i].accepted = 0;
        runs[i].status = fl_run_inherited_status(runs, i, &endpoint->peer);
        if (0 == runs[i].status)
        {
            runs[i].status = fl_python_send_run(endpoint, &runs[i]);
        }
        whole += 0 == runs[i].status ? 1 : 0;
    }
    fl_python_signal(endpoint->adapter->python_event);
    return whole;
}

/* ---- poller: receiving ---- */

static int fl_python_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **result)
{
    (void)roles;
    fl_python_adapter_t *adapter = fl_python_adapter_of(transport);
    if (0 != queue || NULL != adapter->poller)
    {
        return fl_error(FL_EBUSY, "poller_open: a transport of level python has one queue and one poller");
    }
    adapter->poller = calloc(1, sizeof(*adapter->poller));
    if (NULL == adapter->poller)
    {
        return fl_error(FL_ENOMEM, "poller_open: no memory");
    }
    adapter->poller->adapter = adapter;
    *result = adapter->poller;
    return 0;
}

static int fl_python_poller_close(fl_poller_t *poller)
{
    if (NULL != poller->endpoints)
    {
        return fl_error(FL_EBUSY, "poller_close: the poller has endpoints");
    }
    poller->adapter->poller = NULL;
    free(poller);
    return 0;
}

static int fl_python_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    if (NULL != endpoint->poller)
    {
        return fl_error(FL_EBUSY, "poller_add: the endpoint is on a poller");
    }
    endpoint->poller = poller;
    endpoint->context = context;
    endpoint->next_on_poller = poller->endpoints;
    poller->endpoints = endpoint;
    return 0;
}

static int fl_python_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    if (endpoint->poller != poller)
    {
        return fl_error(FL_EINVAL, "poller_remove: the endpoint is not on this poller");
    }
    fl_endpoint_t **link = &poller->endpoints;
    while (*link != endpoint)
    {
        link = &(*link)->next_on_poller;
    }
    *link = endpoint->next_on_poller;
    endpoint->poller = NULL;
    return 0;
}

static const fl_endpoint_t *fl_python_addressee(const fl_poller_t *poller, const fl_python_received_t *received)
{
    const fl_endpoint_t *endpoint = poller->endpoints;
    while (NULL != endpoint && endpoint->number != received->endpoint)
    {
        endpoint = endpoint->next_on_poller;
    }
    const bool is_strange = NULL != endpoint && 0 != (endpoint->flags & FL_ENDPOINT_CONNECT) &&
        !fl_address_is_same(&endpoint->peer, &received->source.address);
    return is_strange ? NULL : endpoint;
}

static int fl_python_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    fl_python_adapter_t *adapter = poller->adapter;
    uint32_t count = 0;
    fl_python_received_t *received;
    /* Bounded also where datagrams are for nobody. */
    for (uint32_t looked_at = 0; looked_at < capacity; looked_at++)
    {
        received = fl_byte_ring_read(&adapter->from_python);
        if (NULL == received)
        {
            break;
        }
        const fl_endpoint_t *endpoint = fl_python_addressee(poller, received);
        if (NULL == endpoint)
        {
            atomic_fetch_add_explicit(&adapter->discarded, 1, memory_order_relaxed);
            continue;
        }
        runs[count++] = (fl_run_t){
            .data = (const uint8_t *)(received + 1),
            .length = received->length,
            .segment_length = received->length,
            .peer = &received->source,
            .local = FL_FAMILY_NONE != received->local.family ? &received->local : NULL,
            .context = endpoint->context,
        };
    }
    poller->outstanding += count;
    if (0 == poller->outstanding)
    {
        fl_byte_ring_release(&adapter->from_python);
    }
    return (int)count;
}

static void fl_python_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    (void)runs;
    poller->outstanding -= count;
    if (0 == poller->outstanding)
    {
        fl_byte_ring_release(&poller->adapter->from_python);
    }
}

static int fl_python_arm(fl_poller_t *poller)
{
    fl_python_adapter_t *adapter = poller->adapter;
    atomic_store_explicit(&adapter->is_armed, true, memory_order_relaxed);
    /* Pairs with the fence in fl_python_adapter_deliver: either this sees the datagram, or that sees the flag. */
    fl_fence_seq_cst();
    if (!fl_byte_ring_is_drained(&adapter->from_python))
    {
        atomic_store_explicit(&adapter->is_armed, false, memory_order_relaxed);
        return -FL_EAGAIN;
    }
    return adapter->agent_event;
}

static int fl_python_disarm(fl_poller_t *poller)
{
    atomic_store_explicit(&poller->adapter->is_armed, false, memory_order_relaxed);
    fl_python_clear(poller->adapter->agent_event);
    return 0;
}

/* ---- the transport ---- */

static int fl_python_stats(fl_transport_t *transport, fl_stat_t *stats, uint32_t capacity)
{
    fl_python_adapter_t *adapter = fl_python_adapter_of(transport);
    const fl_stat_t all[] = {
        { "python-rx-discarded", atomic_load_explicit(&adapter->discarded, memory_order_relaxed) },
        { "python-dropped", atomic_load_explicit(&adapter->dropped, memory_order_relaxed) },
    };
    const uint32_t count = sizeof(all) / sizeof(all[0]);
    if (0 != capacity)
    {
        memcpy(stats, all, (capacity < count ? capacity : count) * sizeof(all[0]));
    }
    return (int)(0 != capacity && capacity < count ? capacity : count);
}

static void fl_python_adapter_free(fl_python_adapter_t *adapter)
{
    if (0 <= adapter->python_event)
    {
        close(adapter->python_event);
    }
    if (0 <= adapter->agent_event)
    {
        close(adapter->agent_event);
    }
    pthread_cond_destroy(&adapter->answered);
    pthread_mutex_destroy(&adapter->lock);
    fl_byte_ring_free(&adapter->to_python);
    fl_byte_ring_free(&adapter->from_python);
    free(adapter);
}

static int fl_python_close(fl_transport_t *transport)
{
    fl_python_adapter_t *adapter = fl_python_adapter_of(transport);
    if (0 != adapter->open_endpoints || NULL != adapter->poller)
    {
        return fl_error(FL_EBUSY, "close: endpoints or pollers are still open");
    }
    fl_python_adapter_free(adapter);
    return 0;
}

static const fl_transport_ops_t fl_python_ops = {
    .magic = FL_TRANSPORT_MAGIC,
    .size = sizeof(fl_transport_ops_t),
    .abi_version = FL_ABI_VERSION,
    .queues = 1,
    .open_endpoint = fl_python_open_endpoint,
    .close_endpoint = fl_python_close_endpoint,
    .local_address = fl_python_local_address,
    .set_peer = fl_python_set_peer,
    .poller_open = fl_python_poller_open,
    .poller_close = fl_python_poller_close,
    .poller_add = fl_python_poller_add,
    .poller_remove = fl_python_poller_remove,
    .poll = fl_python_poll,
    .release = fl_python_release,
    .send = fl_python_send,
    .arm = fl_python_arm,
    .disarm = fl_python_disarm,
    .stats = fl_python_stats,
    .close = fl_python_close,
};

const void *fl_python_adapter_ops(void)
{
    return &fl_python_ops;
}

fl_python_adapter_t *fl_python_adapter_new(uint64_t ring_length, uint32_t max_datagram)
{
    const uint64_t length = 0 != ring_length ? ring_length : FL_PYTHON_RING_DEFAULT;
    fl_python_adapter_t *adapter = calloc(1, sizeof(*adapter));
    if (NULL == adapter)
    {
        fl_error(FL_ENOMEM, "adapter of a Python transport: no memory");
        return NULL;
    }
    adapter->max_datagram = max_datagram < FL_UDP_PAYLOAD_MAXIMUM ? max_datagram : FL_UDP_PAYLOAD_MAXIMUM;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&adapter->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&adapter->lock, NULL);
    adapter->python_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    adapter->agent_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (adapter->python_event < 0 || adapter->agent_event < 0)
    {
        fl_error(errno, "adapter of a Python transport: eventfd: %s", strerror(errno));
    }
    else if (
        0 != fl_byte_ring_init(&adapter->to_python, length) || 0 != fl_byte_ring_init(&adapter->from_python, length))
    {
        fl_error(
            FL_ENOMEM, "adapter of a Python transport: no memory for rings of %llu bytes", (unsigned long long)length);
    }
    else
    {
        return adapter;
    }
    fl_python_adapter_free(adapter);
    return NULL;
}
