/* A transport for tests: what is sent is kept as datagrams and runs, what is received is what the test injects. */
#ifndef FL_TESTS_SCRIPT_TRANSPORT_H
#define FL_TESTS_SCRIPT_TRANSPORT_H

#include "api/transport.h"
#include "check.h"
#include "util/error.h"

#define SCRIPT_DATAGRAMS 4096
#define SCRIPT_RUNS 4096
#define SCRIPT_INJECTED 256

typedef struct script_datagram
{
    uint32_t length;
    uint8_t *bytes;
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
    void *context;              /* of the endpoint on the poller */
    uint32_t max_run_segments;
    uint32_t max_run_length;
    uint32_t room;              /* datagrams that send still takes; UINT32_MAX: any number */
    int32_t refusal;            /* status when there is no room */
    uint32_t calls;
    script_datagram_t sent[SCRIPT_DATAGRAMS];
    uint32_t sent_count;
    script_run_t runs[SCRIPT_RUNS];
    uint32_t run_count;
    script_datagram_t injected[SCRIPT_INJECTED];
    uint32_t injected_count;
    uint32_t injected_flags;
    fl_peer_t source;
    const fl_peer_t *peer;      /* of the last set_peer that succeeded */
    int set_peer_result;
    bool is_gone;               /* the device is: calls but those that give back answer -FL_ENODEV */
    uint32_t open_endpoints;
} script_t;

static inline void script_forget(script_t *script)
{
    for (uint32_t i = 0; i < script->sent_count; i++)
    {
        free(script->sent[i].bytes);
    }
    script->sent_count = script->run_count = script->calls = 0;
}

static inline void script_keep(script_t *script, const uint8_t *bytes, uint32_t length)
{
    CHECK(script->sent_count < SCRIPT_DATAGRAMS);
    script_datagram_t *datagram = &script->sent[script->sent_count++];
    datagram->length = length;
    datagram->bytes = malloc(length);   /* of its own, so that a read past it is seen */
    memcpy(datagram->bytes, bytes, length);
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
        CHECK(script->run_count < SCRIPT_RUNS);
        script->runs[script->run_count++] = (script_run_t){run->length, run->segment_length, script->calls};
        run->accepted = 0;
        run->status = 0;
        for (uint32_t offset = 0; offset < run->length && script->room > 0; offset += run->segment_length)
        {
            const uint32_t left = run->length - offset;
            script_keep(script, run->data + offset, left < run->segment_length ? left : run->segment_length);
            run->accepted++;
            script->room -= UINT32_MAX != script->room;
        }
        run->status = run->accepted == segments ? 0 : script->refusal;
        whole += run->accepted == segments;
    }
    return (int)whole;
}

static inline void script_inject_bytes(script_t *script, const uint8_t *bytes, size_t length)
{
    CHECK(script->injected_count < SCRIPT_INJECTED);
    script_datagram_t *datagram = &script->injected[script->injected_count++];
    datagram->length = (uint32_t)length;
    datagram->bytes = malloc(length > 0 ? length : 1);
    memcpy(datagram->bytes, bytes, length);
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
    for (; count < script->injected_count && count < capacity; count++)
    {
        const script_datagram_t *datagram = &script->injected[count];
        runs[count] = (fl_run_t){.data = datagram->bytes, .length = datagram->length,
            .segment_length = datagram->length, .peer = &script->source, .context = script->context,
            .flags = script->injected_flags};
    }
    return (int)count;
}

static inline void script_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    script_t *script = (script_t *)poller;
    (void)runs;
    for (uint32_t i = 0; i < count; i++)
    {
        free(script->injected[i].bytes);
    }
    script->injected_count -= count;
    memmove(script->injected, script->injected + count, script->injected_count * sizeof(script->injected[0]));
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
    (void)endpoint;
    *address = (fl_address_t){.family = FL_FAMILY_IPV4, .port = 40123, .bytes = {127, 0, 0, 1}};
    return 0;
}

static inline int script_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller)
{
    static script_t no_receiver;   /* what the receiver's poller polls: nothing */
    (void)queue;
    *poller = 0 != (roles & FL_ROLE_SENDER) ? (fl_poller_t *)transport : (fl_poller_t *)&no_receiver;
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

/* queues: 1 makes one poller serve sender and receiver, 0 gives each its own. */
static inline void script_init(script_t *script, uint32_t queues)
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
    script->max_run_segments = 64;
    script->max_run_length = 65507;
    script->room = UINT32_MAX;
    script->refusal = -FL_EAGAIN;
    script->source.address =
        (fl_address_t){.family = FL_FAMILY_IPV4, .port = 40456, .bytes = {10, 0, 0, 7}};
    script->binding = fl_binding_new(&ops, script, "script");
    CHECK(NULL != script->binding);
}

static inline void script_destroy(script_t *script)
{
    script_forget(script);
    script_release((fl_poller_t *)script, NULL, script->injected_count);
    fl_binding_free(script->binding);
}

#endif
