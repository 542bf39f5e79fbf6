/* A transport for tests: what is sent is kept as datagrams and runs, what is received is what the test injects. */
#ifndef FL_TESTS_SCRIPT_TRANSPORT_H
#define FL_TESTS_SCRIPT_TRANSPORT_H

#include "api/transport.h"
#include "check.h"
#include "util/error.h"

#define SCRIPT_INJECTED 4096

typedef struct script_datagram
{
    uint32_t length;
    uint8_t *bytes;
    fl_address_t to;            /* family NONE: the connected peer */
    fl_address_t from;          /* family NONE: not given */
} script_datagram_t;

typedef struct script_run
{
    uint32_t length;
    uint32_t segment_length;
    uint32_t call;              /* in which call of send it was */
} script_run_t;

/* One transport with one endpoint; all state in one place. */
typedef struct script
{
    fl_binding_t *binding;
    void *context;              /* of the endpoint on the poller; NULL: it is on none */
    uint32_t roles;             /* whose poller the endpoint is on; another one polls nothing */
    uint32_t max_run_segments;
    uint32_t max_run_length;
    uint32_t receive_clock;     /* granted to the endpoint */
    uint32_t room;              /* datagrams that send still takes; UINT32_MAX: any number */
    int32_t refusal;            /* status when there is no room */
    uint32_t calls;
    script_datagram_t *sent;
    uint32_t sent_count;
    script_run_t *runs;
    uint32_t run_count;
    fl_run_t injected[SCRIPT_INJECTED];
    uint32_t injected_count;
    uint32_t injected_taken;    /* of them by poll */
    uint32_t injected_flags;
    fl_peer_t source;           /* of what is injected */
    fl_address_t local;         /* where the endpoint is bound, and what is injected came to */
    const fl_peer_t *peer;      /* of the last set_peer that succeeded */
    int set_peer_result;
    bool is_gone;               /* the device is: calls but those that give back answer -FL_ENODEV */
    uint32_t open_endpoints;
} script_t;

/* Forget what was sent. */
static inline void script_forget(script_t *script)
{
    for (uint32_t i = 0; i < script->sent_count; i++)
    {
        free(script->sent[i].bytes);
    }
    script->sent_count = script->run_count = script->calls = 0;
}

/* Make room for one more: arrays have a power of two of places. */
static inline void *script_grown(void *array, uint32_t count, size_t size)
{
    if (0 == (count & (count - 1)))
    {
        array = realloc(array, (0 == count ? 1 : 2 * (size_t)count) * size);
        CHECK(NULL != array);
    }
    return array;
}

static inline void script_keep(script_t *script, const fl_run_t *run, uint32_t offset)
{
    const uint32_t left = run->length - offset;
    const uint32_t length = left < run->segment_length ? left : run->segment_length;
    script->sent = script_grown(script->sent, script->sent_count, sizeof(*script->sent));
    script_datagram_t *datagram = &script->sent[script->sent_count++];
    *datagram = (script_datagram_t){.length = length, .bytes = malloc(length)};   /* so that a read past it is seen */
    memcpy(datagram->bytes, run->data + offset, length);
    if (NULL != run->peer)
    {
        datagram->to = run->peer->address;
    }
    if (NULL != run->local)
    {
        datagram->from = *run->local;
    }
}

static inline int script_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    script_t *script = (script_t *)endpoint;
    uint32_t whole = 0;
    script->calls++;
    for (uint32_t i = 0; i < count; i++)
    {
        fl_run_t *run = &runs[i];
        CHECK(run->segment_length > 0 && run->length > 0 && run->segment_length <= run->length);
        CHECK(run->length == run->segment_length || run->length <= script->max_run_length);
        const uint32_t segments = (run->length + run->segment_length - 1) / run->segment_length;
        CHECK(segments <= script->max_run_segments);
        script->runs = script_grown(script->runs, script->run_count, sizeof(*script->runs));
        script->runs[script->run_count++] = (script_run_t){run->length, run->segment_length, script->calls};
        run->accepted = 0;
        run->status = 0;
        for (uint32_t offset = 0; offset < run->length && script->room > 0; offset += run->segment_length)
        {
            script_keep(script, run, offset);
            run->accepted++;
            script->room -= UINT32_MAX != script->room;
        }
        run->status = run->accepted == segments ? 0 : script->refusal;
        whole += run->accepted == segments;
    }
    return (int)whole;
}

/* How many injected runs wait to be polled. */
static inline uint32_t script_waiting(const script_t *script)
{
    return script->injected_count - script->injected_taken;
}

static inline fl_run_t *script_inject_run(
    script_t *script, const void *bytes, uint32_t length, uint32_t segment_length)
{
    if (0 == script_waiting(script))
    {
        script->injected_count = script->injected_taken = 0;
    }
    CHECK(script->injected_count < SCRIPT_INJECTED);
    uint8_t *copy = malloc(length > 0 ? length : 1);   /* freed on release: whoever reads it later is found out */
    memcpy(copy, bytes, length);
    fl_run_t *run = &script->injected[script->injected_count++];
    *run = (fl_run_t){
        .data = copy,
        .length = length,
        .segment_length = segment_length,
        .peer = &script->source,
        .local = &script->local,
        .flags = script->injected_flags,
        .token = (uintptr_t)copy,
    };
    return run;
}

static inline void script_inject_bytes(script_t *script, const void *bytes, size_t length)
{
    script_inject_run(script, bytes, (uint32_t)length, (uint32_t)length);
}

static inline void script_inject(script_t *script, const char *hex)
{
    uint8_t bytes[2048];
    script_inject_bytes(script, bytes, check_unhex(hex, bytes, sizeof(bytes)));
}

static inline int script_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    script_t *script = (script_t *)poller;
    uint32_t count = 0;
    if (script->is_gone)
    {
        return -FL_ENODEV;
    }
    for (; 0 != script_waiting(script) && count < capacity; count++)
    {
        runs[count] = script->injected[script->injected_taken++];
        runs[count].context = script->context;
    }
    return (int)count;
}

static inline void script_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    (void)poller;
    for (uint32_t i = 0; i < count; i++)
    {
        free((void *)(uintptr_t)runs[i].token);
    }
}

static inline int script_open_endpoint(
    fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **endpoint)
{
    script_t *script = (script_t *)transport;
    if (script->is_gone)
    {
        return fl_error(FL_ENODEV, "script: the device is gone");
    }
    script->open_endpoints++;
    params->max_run_segments = script->max_run_segments;
    params->max_run_length = script->max_run_length;
    params->receive_clock = script->receive_clock;
    *endpoint = (fl_endpoint_t *)script;
    return 0;
}

static inline int script_close_endpoint(fl_endpoint_t *endpoint)
{
    script_t *script = (script_t *)endpoint;
    CHECK(NULL == script->context);
    script->open_endpoints--;
    return script->is_gone ? -FL_ENODEV : 0;
}

static inline int script_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    *address = ((script_t *)endpoint)->local;
    return 0;
}

static inline int script_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller)
{
    static script_t nothing;
    (void)queue;
    *poller = 0 != (roles & ((script_t *)transport)->roles) ? (fl_poller_t *)transport : (fl_poller_t *)&nothing;
    return 0;
}

static inline int script_poller_ok(fl_poller_t *poller)
{
    (void)poller;
    return 0;
}

static inline int script_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    (void)endpoint;
    ((script_t *)poller)->context = context;
    return 0;
}

static inline int script_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    (void)endpoint;
    ((script_t *)poller)->context = NULL;
    return 0;
}

static inline int script_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    script_t *script = (script_t *)endpoint;
    script->peer = 0 == script->set_peer_result ? peer : script->peer;
    return script->set_peer_result;
}

static inline int script_close(fl_transport_t *transport)
{
    (void)transport;
    return 0;
}

/* roles: whose poller the endpoint is on. queues: 1 makes one poller serve sender and receiver, 0 gives each its
 * own. */
static inline void script_init(script_t *script, uint32_t roles, uint32_t queues)
{
    const fl_transport_ops_t ops = {
        .magic = FL_TRANSPORT_MAGIC,
        .size = sizeof(ops),
        .abi_version = FL_ABI_VERSION,
        .queues = queues,
        .open_endpoint = script_open_endpoint,
        .close_endpoint = script_close_endpoint,
        .local_address = script_local_address,
        .set_peer = script_set_peer,
        .poller_open = script_poller_open,
        .poller_close = script_poller_ok,
        .poller_add = script_poller_add,
        .poller_remove = script_poller_remove,
        .poll = script_poll,
        .release = script_release,
        .send = script_send,
        .close = script_close,
    };
    memset(script, 0, sizeof(*script));
    script->roles = roles;
    script->max_run_segments = 64;
    script->max_run_length = 65507;
    script->room = UINT32_MAX;
    script->refusal = -FL_EAGAIN;
    script->source.address =
        (fl_address_t){.family = FL_FAMILY_IPV4, .port = 40456, .bytes = {10, 0, 0, 7}};
    script->local = (fl_address_t){.family = FL_FAMILY_IPV4, .port = 40123, .bytes = {127, 0, 0, 1}};
    script->binding = fl_binding_new(&ops, script, "script");
    CHECK(NULL != script->binding);
}

static inline void script_destroy(script_t *script)
{
    script_forget(script);
    free(script->sent);
    free(script->runs);
    script_release((fl_poller_t *)script, script->injected + script->injected_taken, script_waiting(script));
    fl_binding_free(script->binding);
}

#endif
