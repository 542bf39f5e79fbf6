#include "conductor/conductor.h"

#include <stdlib.h>
#include <string.h>

#include "conductor/ipc_publication.h"
#include "util/error.h"

#define FL_HOUSEKEEPING_INTERVAL_NS INT64_C(100000000)
#define FL_NS_PER_MS INT64_C(1000000)
#define FL_COMMAND_CLIENT_KEEPALIVE 6

int fl_conductor_init(fl_conductor_t *conductor, fl_driver_context_t *context)
{
    const int64_t now_ns = fl_clock_nano_now(context->clock);
    memset(conductor, 0, sizeof(*conductor));
    conductor->context = context;
    conductor->object.kind = FL_OBJECT_CONDUCTOR;
    conductor->timer_deadline_ns = now_ns + context->config.timer_interval_ns;
    conductor->housekeeping_deadline_ns = now_ns + FL_HOUSEKEEPING_INTERVAL_NS;
    conductor->time_of_last_ring_change_ns = now_ns;
    int result = fl_mpsc_ring_init(
        &conductor->ring, context->config.cnc->to_driver, context->config.cnc->to_driver_length);
    if (0 == result)
    {
        result = fl_command_queue_init(&conductor->commands, &conductor->ring);
    }
    return result;
}

void fl_conductor_destroy(fl_conductor_t *conductor)
{
    fl_command_queue_destroy(&conductor->commands);
    free(conductor->publications);
    free(conductor->clients);
}

/* Refresh a known client's heartbeat (shm 8.3). The control plane sees only what is malformed. */
static int fl_conductor_examine(void *state, int32_t type_id, const uint8_t *body, int32_t length)
{
    fl_conductor_t *conductor = state;
    int64_t client_id;
    if (FL_COMMAND_CLIENT_KEEPALIVE != type_id || length < 16)
    {
        return 0;
    }
    memcpy(&client_id, body, sizeof(client_id));
    for (uint32_t i = 0; i < conductor->client_count; i++)
    {
        if (conductor->clients[i].client_id == client_id)
        {
            /* Release: pairs with the acquire of whoever looks at the heartbeat; the client writes it too. */
            atomic_store_explicit(conductor->clients[i].value,
                fl_clock_epoch_now(conductor->context->clock) / FL_NS_PER_MS, memory_order_release);
        }
    }
    return 1;
}

static int fl_conductor_drain_ring(fl_conductor_t *conductor)
{
    int32_t malformed = 0;
    int moved = 0;
    if (fl_mpsc_ring_is_pending(&conductor->ring))
    {
        moved = fl_command_queue_fill(
            &conductor->commands, &conductor->ring, fl_conductor_examine, conductor, &malformed);
        if (malformed > 0)
        {
            fl_object_raise(&conductor->context->events, &conductor->object, FL_EVENT_CONDUCTOR_MALFORMED);
        }
        if (moved > 0)
        {
            fl_object_stack_wake(&conductor->context->events);
        }
    }
    return moved;
}

/* Repair the ring if a producer died in the middle of a record (shm 9.11). */
static void fl_conductor_check_ring(fl_conductor_t *conductor, int64_t now_ns)
{
    if (conductor->ring.head == conductor->last_ring_head && fl_mpsc_ring_is_pending(&conductor->ring))
    {
        if (now_ns > conductor->time_of_last_ring_change_ns + conductor->context->config.client_liveness_timeout_ns &&
            fl_mpsc_ring_unblock(&conductor->ring))
        {
            fl_count(conductor->context, FL_COUNTER_UNBLOCKED_COMMANDS, 1);
        }
    }
    else
    {
        conductor->last_ring_head = conductor->ring.head;
        conductor->time_of_last_ring_change_ns = now_ns;
    }
}

static void fl_conductor_on_timer(fl_conductor_t *conductor, int64_t now_ns)
{
    fl_mpsc_ring_set_heartbeat(&conductor->ring, fl_clock_epoch_now(conductor->context->clock) / FL_NS_PER_MS);
    for (uint32_t i = conductor->publication_count; i-- > 0;)
    {
        fl_ipc_publication_on_timer(conductor->publications[i], now_ns);
    }
    fl_conductor_check_ring(conductor, now_ns);
    fl_object_raise(&conductor->context->events, &conductor->object, FL_EVENT_CONDUCTOR_TIMER);
}

int fl_conductor_do_work(void *state, int64_t now_ns)
{
    fl_conductor_t *conductor = state;
    int work = fl_conductor_drain_ring(conductor);
    if (now_ns > conductor->timer_deadline_ns)
    {
        conductor->timer_deadline_ns = now_ns + conductor->context->config.timer_interval_ns;
        fl_conductor_on_timer(conductor, now_ns);
    }
    if (now_ns > conductor->housekeeping_deadline_ns)
    {
        conductor->housekeeping_deadline_ns = now_ns + FL_HOUSEKEEPING_INTERVAL_NS;
        for (uint32_t i = 0; i < conductor->binding_count; i++)
        {
            conductor->bindings[i]->ops.housekeeping(conductor->bindings[i]->transport, now_ns);
        }
    }
    for (uint32_t i = 0; i < conductor->publication_count; i++)
    {
        work += fl_ipc_publication_update(conductor->publications[i]);
    }
    return work;
}
