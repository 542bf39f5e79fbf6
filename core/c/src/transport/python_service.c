/* The Python thread's side of the adapter of level `python`. */
#include <stdio.h>
#include <string.h>

#include "shm/words.h"
#include "transport/python_internal.h"

int fl_python_adapter_descriptor(fl_python_adapter_t *adapter)
{
    return adapter->python_event;
}

static int fl_python_take_call(fl_python_adapter_t *adapter, fl_python_request_t *request)
{
    int taken = 0;
    pthread_mutex_lock(&adapter->lock);
    if (FL_PYTHON_CALL_POSTED == adapter->state && fl_byte_ring_has_read(&adapter->to_python, adapter->call_after))
    {
        *request = adapter->call;
        adapter->state = FL_PYTHON_CALL_TAKEN;
        taken = 1;
    }
    pthread_mutex_unlock(&adapter->lock);
    return taken;
}

static int fl_python_take_sent(fl_python_adapter_t *adapter, fl_python_request_t *request)
{
    fl_byte_ring_release(&adapter->to_python);
    const fl_python_sent_t *sent = fl_byte_ring_read(&adapter->to_python);
    if (NULL == sent)
    {
        return 0;
    }
    request->kind = FL_PYTHON_SEND;
    request->endpoint = sent->endpoint;
    request->data = (const uint8_t *)(sent + 1);
    request->length = sent->length;
    request->segment_length = sent->segment_length;
    request->destination = sent->destination;
    request->local = sent->local;
    return 1;
}

int fl_python_adapter_take(fl_python_adapter_t *adapter, fl_python_request_t *request)
{
    if (fl_python_take_call(adapter, request) || fl_python_take_sent(adapter, request))
    {
        return 1;
    }
    /* Cleared before the second look, so that what comes after it signals again. */
    fl_python_clear(adapter->python_event);
    return fl_python_take_call(adapter, request) || fl_python_take_sent(adapter, request);
}

int fl_python_adapter_answer(
    fl_python_adapter_t *adapter, int32_t status, const char *text, const fl_address_t *local)
{
    int result = -FL_EAGAIN;
    pthread_mutex_lock(&adapter->lock);
    if (FL_PYTHON_CALL_TAKEN == adapter->state)
    {
        adapter->answer_status = status;
        snprintf(adapter->answer_text, sizeof(adapter->answer_text), "%s", NULL != text ? text : "");
        if (NULL != local)
        {
            adapter->answer_local = *local;
        }
        adapter->state = FL_PYTHON_CALL_ANSWERED;
        pthread_cond_signal(&adapter->answered);
        result = 0;
    }
    else if (FL_PYTHON_CALL_ABANDONED == adapter->state)
    {
        adapter->state = FL_PYTHON_CALL_NONE;
    }
    pthread_mutex_unlock(&adapter->lock);
    return result;
}

int fl_python_adapter_deliver(
    fl_python_adapter_t *adapter, uint32_t endpoint, const void *data, uint32_t length, const fl_address_t *source,
    const fl_address_t *local)
{
    fl_python_received_t *received = fl_byte_ring_claim(&adapter->from_python, (uint32_t)sizeof(*received) + length);
    if (NULL == received)
    {
        return -FL_EAGAIN;
    }
    *received = (fl_python_received_t){
        .endpoint = endpoint, .length = length, .source.address = *source, .local = *local
    };
    if (0 != length)
    {
        memcpy(received + 1, data, length);
    }
    fl_byte_ring_commit(&adapter->from_python);
    /* Pairs with the fence in fl_python_arm. */
    fl_fence_seq_cst();
    if (atomic_exchange_explicit(&adapter->is_armed, false, memory_order_relaxed))
    {
        fl_python_signal(adapter->agent_event);
    }
    return 0;
}

void fl_python_adapter_drop(fl_python_adapter_t *adapter)
{
    atomic_fetch_add_explicit(&adapter->dropped, 1, memory_order_relaxed);
}

int fl_python_adapter_stop(fl_python_adapter_t *adapter)
{
    if (0 != adapter->open_endpoints || NULL != adapter->poller)
    {
        return fl_error(FL_EBUSY, "close: endpoints or pollers are still open");
    }
    pthread_mutex_lock(&adapter->lock);
    atomic_store_explicit(&adapter->is_stopped, true, memory_order_relaxed);
    pthread_cond_broadcast(&adapter->answered);
    pthread_mutex_unlock(&adapter->lock);
    fl_python_signal(adapter->python_event);
    return 0;
}

int fl_python_adapter_is_stopped(fl_python_adapter_t *adapter)
{
    return atomic_load_explicit(&adapter->is_stopped, memory_order_relaxed) ? 1 : 0;
}
