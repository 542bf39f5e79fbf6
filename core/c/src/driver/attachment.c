#include "driver/attachment.h"

#include "driver/driver.h"
#include "util/error.h"

/* ---- no device ---- */

static int fl_detached_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    (void)endpoint;
    for (uint32_t i = 0; i < count; i++)
    {
        runs[i].accepted = 0;
        runs[i].status = -FL_ENODEV;
    }
    return 0;
}

/* The control plane opens the next endpoint with the peer that holds then. */
static int fl_detached_set_peer(fl_endpoint_t *endpoint, const fl_peer_t *peer)
{
    (void)endpoint, (void)peer;
    return 0;
}

static int fl_detached_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    (void)endpoint, (void)address;
    return -FL_ENODEV;
}

/* What is asked of a detached attachment, and no more. */
static const fl_binding_t fl_detached_binding = {
    .ops = {.send = fl_detached_send, .set_peer = fl_detached_set_peer, .local_address = fl_detached_local_address},
    .name = "none",
};

static void fl_attachment_clear(fl_attachment_t *attachment)
{
    attachment->binding = &fl_detached_binding;
    attachment->endpoint = NULL;
    attachment->poller = NULL;
}

/* ---- attaching and detaching ---- */

typedef struct fl_attachment_call
{
    fl_attachment_t *attachment;
    const fl_binding_t *binding;
    fl_endpoint_t *endpoint;
    fl_poller_t *poller;
    const fl_endpoint_params_t *granted;
} fl_attachment_call_t;

static int fl_attachment_agent(const fl_attachment_t *attachment)
{
    return FL_ROLE_SENDER == attachment->role ? FL_AGENT_SENDER : FL_AGENT_RECEIVER;
}

static const char *fl_attachment_word(const fl_attachment_t *attachment)
{
    return FL_ROLE_SENDER == attachment->role ? "send" : "receive";
}

static int64_t fl_attachment_call_attach(void *argument)
{
    fl_attachment_call_t *call = argument;
    fl_attachment_t *attachment = call->attachment;
    const int result = call->binding->ops.poller_add(call->poller, call->endpoint, &attachment->sink);
    if (result < 0)
    {
        return result;
    }
    attachment->binding = call->binding;
    attachment->endpoint = call->endpoint;
    attachment->poller = call->poller;
    attachment->on_attached(attachment, call->granted);
    return 0;
}

static int64_t fl_attachment_call_detach(void *argument)
{
    fl_attachment_call_t *call = argument;
    fl_attachment_t *attachment = call->attachment;
    const int result = attachment->binding->ops.poller_remove(attachment->poller, attachment->endpoint);
    fl_attachment_clear(attachment);
    return result;
}

void fl_attachment_init(fl_attachment_t *attachment, uint32_t role, int64_t id,
    void (*on_run)(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns),
    void (*on_attached)(fl_attachment_t *attachment, const fl_endpoint_params_t *granted))
{
    *attachment = (fl_attachment_t){.sink = {.on_run = on_run}, .role = role, .id = id, .on_attached = on_attached};
    fl_attachment_clear(attachment);
}

int fl_attachment_attach(
    fl_driver_t *driver, fl_attachment_t *attachment, const fl_binding_t *binding, fl_endpoint_params_t *params)
{
    const char *word = fl_attachment_word(attachment);
    const long long id = (long long)attachment->id;
    if (NULL != attachment->endpoint)
    {
        return fl_error(FL_EBUSY, "%s endpoint %lld is on transport '%s'; detach it first", word, id,
            attachment->binding->name);
    }
    const fl_poll_entry_t *entry = fl_driver_find_poller(driver, binding, attachment->role);
    if (NULL == entry)
    {
        return fl_error(
            FL_ENOENT, "%s endpoint %lld: transport '%s' is not under this driver", word, id, binding->name);
    }
    params->size = sizeof(*params);
    params->role = attachment->role;
    fl_attachment_call_t call = {
        .attachment = attachment, .binding = binding, .poller = entry->poller, .granted = params};
    int result = binding->ops.open_endpoint(binding->transport, params, &call.endpoint);
    if (result < 0)
    {
        fl_error_set_code(-result);
        return result;
    }
    result = (int)fl_driver_call(driver, fl_attachment_agent(attachment), fl_attachment_call_attach, &call);
    if (result < 0)
    {
        binding->ops.close_endpoint(call.endpoint);
        return fl_error(-result, "%s endpoint %lld: the poller of transport '%s' did not take it: error %d", word, id,
            binding->name, -result);
    }
    return 0;
}

int fl_attachment_detach(fl_driver_t *driver, fl_attachment_t *attachment)
{
    const fl_binding_t *binding = attachment->binding;
    fl_endpoint_t *endpoint = attachment->endpoint;
    if (NULL == endpoint)
    {
        return 0;
    }
    fl_attachment_call_t call = {.attachment = attachment};
    fl_driver_call(driver, fl_attachment_agent(attachment), fl_attachment_call_detach, &call);
    const int result = binding->ops.close_endpoint(endpoint);
    return -FL_ENODEV == result ? 0 : result;
}
