/* What the control plane does with UDP publications: each call is one step of the sender. */
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "driver/subscriber_call.h"
#include "sender/publication.h"
#include "util/error.h"

#define FL_CACHE_LINE 64
#define FL_RESEND_LENGTH_MAX (128 * 1024)    /* of one NAK, before the multiple (wire 3.7) */

typedef struct fl_publication_call
{
    fl_sender_t *sender;
    fl_publication_t *publication;
    fl_publication_t **array;       /* allocated by the control thread; out: what it is to free */
    uint32_t capacity;
    fl_publication_table_t table;   /* likewise */
} fl_publication_call_t;

/* ---- add ---- */

/* Larger memory where one more does not fit. What is counted here changes in the sender's calls alone, of which this
 * thread makes all. */
static int fl_publication_call_reserve(fl_publication_call_t *call)
{
    const fl_sender_t *sender = call->sender;
    const fl_publication_table_t *table = &call->publication->endpoint->publications;
    if (sender->publication_count == sender->publication_capacity)
    {
        call->capacity = 0 == sender->publication_capacity ? 16 : 2 * sender->publication_capacity;
        call->array = malloc(call->capacity * sizeof(fl_publication_t *));
        if (NULL == call->array)
        {
            return -FL_ENOMEM;
        }
    }
    if (!fl_publication_table_has_room(table) && fl_publication_table_init(&call->table, 2 * table->count) < 0)
    {
        free(call->array);
        return -FL_ENOMEM;
    }
    return 0;
}

static int64_t fl_publication_call_add(void *argument)
{
    fl_publication_call_t *call = argument;
    fl_sender_t *sender = call->sender;
    fl_publication_t *publication = call->publication;
    const fl_log_t *log = publication->log;
    fl_publication_table_t *table = &publication->endpoint->publications;
    const fl_publication_t *known = fl_publication_table_find(table, log->stream_id, log->session_id);
    if (NULL != known && FL_PUBLICATION_DONE != known->state)
    {
        return -FL_EEXIST;
    }
    if (NULL != call->array)
    {
        fl_publication_t **old = sender->publications;
        if (sender->publication_count > 0)
        {
            memcpy(call->array, old, sender->publication_count * sizeof(*old));
        }
        sender->publications = call->array;
        sender->publication_capacity = call->capacity;
        call->array = old;
    }
    if (NULL != call->table.entries)
    {
        const fl_publication_table_t old = *table;
        fl_publication_table_copy(&call->table, &old);
        *table = call->table;
        call->table = old;
    }
    const int64_t now_ns = fl_clock_nano_now(sender->context->clock);
    publication->time_of_last_send_ns = publication->time_of_checked_position_ns = now_ns;
    publication->time_of_last_setup_ns = now_ns - FL_SETUP_INTERVAL_NS;
    publication->setup_deadline_ns = INT64_MIN;
    sender->publications[sender->publication_count++] = publication;
    fl_publication_table_insert(table, log->stream_id, log->session_id, publication);
    fl_timer_schedule(&sender->wheel, &publication->timer, now_ns + FL_HEARTBEAT_INTERVAL_NS);
    return 0;
}

static int fl_publication_check(const fl_publication_params_t *params)
{
    const fl_log_t *log = params->log;
    const long long id = (long long)params->registration_id;
    if (params->start_position < 0 || 0 != params->start_position % FL_FRAME_ALIGNMENT ||
        params->start_position > fl_log_max_position(log))
    {
        return fl_error(FL_EINVAL,
            "publication %lld: start position %lld is not a multiple of %d that the log can have", id,
            (long long)params->start_position, FL_FRAME_ALIGNMENT);
    }
    if (params->publication_window_length < log->mtu_length || params->publication_window_length > log->term_length / 2)
    {
        return fl_error(FL_EINVAL, "publication %lld: window length %d is not in %d to %d", id,
            params->publication_window_length, log->mtu_length, log->term_length / 2);
    }
    if (params->max_resend < 1 || params->max_resend > 256 || params->retransmit_window_multiple < 1)
    {
        return fl_error(FL_EINVAL,
            "publication %lld: %d retransmit slots and window multiple %d are not in 1 to 256 and above 0", id,
            params->max_resend, params->retransmit_window_multiple);
    }
    return 0;
}

static int fl_publication_find_counters(
    fl_publication_t *publication, fl_driver_context_t *context, const fl_publication_params_t *params)
{
    const int64_t start = params->start_position;
    const struct
    {
        const char *name;
        int32_t id;
        int64_t value;
        _Atomic int64_t **word;
    } counters[] = {
        {"pub-pos", params->publisher_position_counter_id, start, &publication->publisher_position_counter},
        {"pub-lmt", params->publisher_limit_counter_id, start, &publication->publisher_limit_counter},
        {"snd-pos", params->sender_position_counter_id, start, &publication->sender_position_counter},
        {"snd-lmt", params->sender_limit_counter_id, start, &publication->sender_limit_counter},
        {"snd-bpe", params->sender_bpe_counter_id, 0, &publication->sender_bpe_counter},
        {"snd-naks-received", params->sender_naks_received_counter_id, 0, &publication->sender_naks_counter},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
    {
        *counters[i].word = fl_driver_counter(context, counters[i].id);
        if (NULL == *counters[i].word)
        {
            return fl_error(FL_EINVAL, "publication %lld: %s: %d is no counter of this driver",
                (long long)params->registration_id, counters[i].name, counters[i].id);
        }
        fl_i64_store_release(*counters[i].word, counters[i].value);
    }
    return 0;
}

static int fl_publication_make_flow_control(
    fl_publication_t *publication, fl_driver_context_t *context, const fl_publication_params_t *params)
{
    const fl_flow_control_params_t flow = {
        .kind = params->flow_control,
        .group_min_size = params->group_min_size,
        .group_tag = params->group_tag,
        .receiver_timeout_ns = params->receiver_timeout_ns,
        .receivers_counter = fl_driver_counter(context, params->receivers_counter_id),
    };
    publication->flow = fl_flow_control_new(&flow);
    return NULL == publication->flow ? -FL_EINVAL : 0;
}

static void fl_publication_free(fl_publication_t *publication)
{
    fl_flow_control_free(publication->flow);
    fl_retransmit_destroy(&publication->retransmit);
    free(publication->spies.entries);
    free(publication);
}

fl_publication_t *fl_publication_add(
    fl_driver_t *driver, fl_send_endpoint_t *endpoint, const fl_publication_params_t *params)
{
    const fl_driver_config_t *config = &driver->context.config;
    fl_log_t *log = params->log;
    if (fl_publication_check(params) < 0)
    {
        return NULL;
    }
    const size_t size = (sizeof(fl_publication_t) + FL_CACHE_LINE - 1) / FL_CACHE_LINE * FL_CACHE_LINE;
    fl_publication_t *publication = aligned_alloc(FL_CACHE_LINE, size);
    if (NULL == publication)
    {
        fl_error(FL_ENOMEM, "publication %lld: no memory", (long long)params->registration_id);
        return NULL;
    }
    const int64_t start = params->start_position;
    const int64_t half_term = log->term_length / 2;
    const int64_t resend_length = half_term < FL_RESEND_LENGTH_MAX ? half_term : FL_RESEND_LENGTH_MAX;
    *publication = (fl_publication_t){
        .sender_position = start,
        .sender_limit = start,
        .state = FL_PUBLICATION_ACTIVE,
        .burst_length = log->mtu_length,
        .log = log,
        .endpoint = endpoint,
        .sender = &driver->sender,
        .bounds = {
            .term_length = log->term_length,
            .mtu_length = log->mtu_length,
            .max_datagrams = config->max_messages_per_send > 0 ? config->max_messages_per_send : UINT32_MAX,
            .session_id = log->session_id,
            .stream_id = log->stream_id,
        },
        .publisher_limit = start,
        .publisher_position = start,
        .clean_position = start,
        .window_length = params->publication_window_length,
        .end_of_stream_position = INT64_MAX,
        .invalid_position = -1,
        .checked_position = start,
        .linger_timeout_ns = params->linger_timeout_ns,
        .is_exclusive = params->is_exclusive,
        .spies_simulate_connection = params->spies_simulate_connection,
        .signal_eos = params->signal_eos,
        .ttl = params->ttl,
        .setup_flags = (uint8_t)((params->has_group_semantics ? FL_SETUP_FLAG_GROUP : 0) |
            (params->wants_response ? FL_SETUP_FLAG_SEND_RESPONSE : 0)),
        .is_response = params->is_response,
        .timestamp_at = params->timestamp_at,
        .resend_limit = resend_length * params->retransmit_window_multiple,
        .object = {.kind = FL_OBJECT_PUBLICATION, .id = params->registration_id},
    };
    fl_send_endpoint_bound_runs(endpoint, &publication->bounds);
    fl_timer_init(&publication->timer, fl_publication_on_timer);
    fl_publication_seek(publication);
    fl_publication_call_t call = {.sender = &driver->sender, .publication = publication};
    if (fl_publication_make_flow_control(publication, &driver->context, params) < 0 ||
        fl_publication_find_counters(publication, &driver->context, params) < 0 ||
        fl_retransmit_init(&publication->retransmit, params->has_group_semantics ? (uint32_t)params->max_resend : 1,
            params->has_group_semantics, config->retransmit_delay_ns, config->retransmit_linger_ns) < 0)
    {
        goto failed;
    }
    if (fl_publication_call_reserve(&call) < 0)
    {
        fl_error(FL_ENOMEM, "publication %lld: no memory", (long long)params->registration_id);
        goto failed;
    }
    const int64_t result = fl_driver_call(driver, FL_AGENT_SENDER, fl_publication_call_add, &call);
    free(call.array);
    fl_publication_table_destroy(&call.table);
    if (result < 0)
    {
        fl_error(FL_EEXIST, "publication %lld: session %d of stream %d is on the endpoint already",
            (long long)params->registration_id, log->session_id, log->stream_id);
        goto failed;
    }
    return publication;

failed:
    fl_publication_free(publication);
    return NULL;
}

/* ---- spies ---- */

static int64_t fl_publication_call_link(void *argument)
{
    fl_subscriber_call_t *call = argument;
    fl_publication_t *publication = call->source;
    if (!fl_publication_takes_spies(publication))
    {
        return -FL_EAGAIN;
    }
    const int64_t position = fl_subscribers_append(&publication->spies, call, publication->sender_position);
    publication->is_limit_due = true;
    fl_publication_update_connected(publication);
    return position;
}

int64_t fl_publication_link(
    fl_driver_t *driver, fl_publication_t *publication, int64_t subscription_id, int32_t position_counter_id)
{
    fl_subscriber_call_t call = {.source = publication, .subscription_id = subscription_id};
    return fl_subscribers_link(
        &publication->spies, driver, FL_AGENT_SENDER, fl_publication_call_link, &call, position_counter_id);
}

static int64_t fl_publication_call_unlink(void *argument)
{
    const fl_subscriber_call_t *call = argument;
    fl_publication_t *publication = call->source;
    const int result = fl_subscribers_remove(&publication->spies, call->subscription_id);
    if (0 == result && FL_PUBLICATION_DONE != publication->state)
    {
        publication->is_limit_due = true;     /* the lowest position may have moved */
        fl_publication_update_connected(publication);
    }
    return result;
}

int fl_publication_unlink(fl_driver_t *driver, fl_publication_t *publication, int64_t subscription_id)
{
    fl_subscriber_call_t call = {.source = publication, .subscription_id = subscription_id};
    return (int)fl_driver_call(driver, FL_AGENT_SENDER, fl_publication_call_unlink, &call);
}

static int64_t fl_publication_call_is_behind(void *argument)
{
    const fl_subscriber_call_t *call = argument;
    const fl_publication_t *publication = call->source;
    return fl_subscribers_is_behind(
        &publication->spies, call->subscription_id, publication->sender_position, publication->window_length);
}

int fl_publication_is_behind(fl_driver_t *driver, fl_publication_t *publication, int64_t subscription_id)
{
    fl_subscriber_call_t call = {.source = publication, .subscription_id = subscription_id};
    return (int)fl_driver_call(driver, FL_AGENT_SENDER, fl_publication_call_is_behind, &call);
}

/* ---- end of life ---- */

static int64_t fl_publication_call_drain(void *argument)
{
    fl_publication_drain_now(((fl_publication_call_t *)argument)->publication);
    return 0;
}

int fl_publication_drain(fl_driver_t *driver, fl_publication_t *publication)
{
    fl_publication_call_t call = {.publication = publication};
    return (int)fl_driver_call(driver, FL_AGENT_SENDER, fl_publication_call_drain, &call);
}

static int64_t fl_publication_call_revoke(void *argument)
{
    fl_publication_t *publication = ((fl_publication_call_t *)argument)->publication;
    fl_publication_revoke_now(publication, fl_clock_nano_now(publication->sender->context->clock));
    return 0;
}

int fl_publication_revoke(fl_driver_t *driver, fl_publication_t *publication)
{
    fl_publication_call_t call = {.publication = publication};
    return (int)fl_driver_call(driver, FL_AGENT_SENDER, fl_publication_call_revoke, &call);
}

static int64_t fl_publication_call_remove(void *argument)
{
    fl_publication_t *publication = ((fl_publication_call_t *)argument)->publication;
    fl_sender_t *sender = publication->sender;
    for (uint32_t i = 0; i < sender->publication_count; i++)
    {
        if (sender->publications[i] == publication)
        {
            sender->publications[i] = sender->publications[--sender->publication_count];
            break;
        }
    }
    fl_publication_table_remove(
        &publication->endpoint->publications, publication->log->stream_id, publication->log->session_id, publication);
    fl_timer_cancel(&sender->wheel, &publication->timer);
    return 0;
}

int fl_publication_remove(fl_driver_t *driver, fl_publication_t *publication)
{
    fl_publication_call_t call = {.publication = publication};
    fl_driver_call(driver, FL_AGENT_SENDER, fl_publication_call_remove, &call);
    fl_driver_forget(driver, &publication->object);
    fl_publication_free(publication);
    return 0;
}
