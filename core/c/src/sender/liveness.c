#include "sender/liveness.h"

#include <stddef.h>

static fl_live_receiver_t *fl_liveness_find(fl_liveness_t *liveness, int64_t receiver_id)
{
    for (uint32_t i = 0; i < liveness->count; i++)
    {
        if (liveness->receivers[i].receiver_id == receiver_id)
        {
            return &liveness->receivers[i];
        }
    }
    return NULL;
}

static fl_live_receiver_t *fl_liveness_oldest(fl_liveness_t *liveness)
{
    fl_live_receiver_t *oldest = &liveness->receivers[0];
    for (uint32_t i = 1; i < liveness->count; i++)
    {
        if (liveness->receivers[i].time_of_last_sm_ns < oldest->time_of_last_sm_ns)
        {
            oldest = &liveness->receivers[i];
        }
    }
    return oldest;
}

void fl_liveness_touch(fl_liveness_t *liveness, int64_t receiver_id, int64_t now_ns)
{
    fl_live_receiver_t *receiver = fl_liveness_find(liveness, receiver_id);
    if (NULL == receiver)
    {
        receiver = liveness->count < FL_LIVENESS_RECEIVERS ? &liveness->receivers[liveness->count++]
                                                           : fl_liveness_oldest(liveness);
    }
    receiver->receiver_id = receiver_id;
    receiver->time_of_last_sm_ns = now_ns;
}

bool fl_liveness_has(const fl_liveness_t *liveness, int64_t receiver_id)
{
    return NULL != fl_liveness_find((fl_liveness_t *)liveness, receiver_id);
}

void fl_liveness_remove(fl_liveness_t *liveness, int64_t receiver_id)
{
    fl_live_receiver_t *receiver = fl_liveness_find(liveness, receiver_id);
    if (NULL != receiver)
    {
        *receiver = liveness->receivers[--liveness->count];
    }
}

void fl_liveness_expire(fl_liveness_t *liveness, int64_t time_ns)
{
    for (uint32_t i = liveness->count; i-- > 0;)
    {
        if (liveness->receivers[i].time_of_last_sm_ns <= time_ns)
        {
            liveness->receivers[i] = liveness->receivers[--liveness->count];
        }
    }
}
