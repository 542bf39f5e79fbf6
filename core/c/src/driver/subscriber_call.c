#include "driver/subscriber_call.h"

#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "shm/counters.h"
#include "util/error.h"

int64_t fl_subscribers_link(fl_subscribers_t *subscribers, fl_driver_t *driver, int agent,
    int64_t (*step)(void *call), fl_subscriber_call_t *call, int32_t position_counter_id)
{
    call->counter = fl_driver_counter(&driver->context, position_counter_id);
    if (NULL == call->counter)
    {
        return fl_error(FL_EINVAL, "subscriber position: %d is no counter of this driver", position_counter_id);
    }
    if (subscribers->count == subscribers->capacity)
    {
        call->larger_capacity = 0 == subscribers->capacity ? 4 : 2 * subscribers->capacity;
        call->larger = malloc(call->larger_capacity * sizeof(*call->larger));
        if (NULL == call->larger)
        {
            return fl_error(FL_ENOMEM, "no memory for %u subscribers", call->larger_capacity);
        }
    }
    const int64_t position = fl_driver_call(driver, agent, step, call);
    free(call->larger);
    return position;
}

int64_t fl_subscribers_append(fl_subscribers_t *subscribers, fl_subscriber_call_t *call, int64_t position)
{
    fl_counter_set(call->counter, position);
    if (NULL != call->larger)
    {
        fl_subscriber_t *old = subscribers->entries;
        if (subscribers->count > 0)
        {
            memcpy(call->larger, old, subscribers->count * sizeof(*old));
        }
        subscribers->entries = call->larger;
        subscribers->capacity = call->larger_capacity;
        call->larger = old;
    }
    subscribers->entries[subscribers->count++] = (fl_subscriber_t){call->subscription_id, position, call->counter};
    return position;
}
