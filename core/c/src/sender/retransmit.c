#include "sender/retransmit.h"

#include <stdlib.h>

#include "sender/publication.h"
#include "util/error.h"

int fl_retransmit_init(
    fl_retransmit_t *retransmit, uint32_t slots, bool has_group_semantics, int64_t delay_ns, int64_t linger_ns)
{
    *retransmit = (fl_retransmit_t){
        .actions = calloc(slots, sizeof(fl_retransmit_action_t)),
        .slots = slots,
        .has_group_semantics = has_group_semantics,
        .delay_ns = delay_ns,
        .linger_ns = linger_ns,
    };
    return NULL != retransmit->actions ? 0 : fl_error(FL_ENOMEM, "no memory for %u retransmit slots", slots);
}

void fl_retransmit_destroy(fl_retransmit_t *retransmit)
{
    free(retransmit->actions);
    retransmit->actions = NULL;
}

int fl_retransmit_on_nak(fl_retransmit_t *retransmit, int64_t position, int64_t end, int64_t now_ns)
{
    fl_retransmit_action_t *action = NULL;
    for (uint32_t i = 0; i < retransmit->slots; i++)
    {
        fl_retransmit_action_t *slot = &retransmit->actions[i];
        if (FL_RETRANSMIT_LINGERING == slot->state && now_ns > slot->deadline_ns)
        {
            slot->state = FL_RETRANSMIT_FREE;
        }
        if (FL_RETRANSMIT_FREE == slot->state)
        {
            action = slot;
        }
        else if (slot->position <= position && position < slot->end)
        {
            return 0;
        }
    }
    if (NULL == action)
    {
        if (retransmit->has_group_semantics)
        {
            return -FL_ENOSPC;
        }
        action = &retransmit->actions[0];
        retransmit->pending -= FL_RETRANSMIT_PENDING == action->state;
    }
    *action = (fl_retransmit_action_t){
        .position = position,
        .end = end,
        .next = position,
        .deadline_ns = now_ns + retransmit->delay_ns,
        .state = FL_RETRANSMIT_PENDING,
    };
    retransmit->pending++;
    return 1;
}

int64_t fl_retransmit_work(fl_retransmit_t *retransmit, fl_publication_t *publication, int64_t now_ns)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < retransmit->slots && retransmit->pending > 0; i++)
    {
        fl_retransmit_action_t *action = &retransmit->actions[i];
        if (FL_RETRANSMIT_PENDING != action->state || now_ns < action->deadline_ns)
        {
            continue;
        }
        const int64_t extent =
            fl_publication_resend(publication, action->next, action->end - action->next, &bytes, now_ns);
        if (-FL_EAGAIN == extent)
        {
            continue;
        }
        action->next += extent;
        /* 0: nothing that could be sent is there (any more). What is missing then is asked for again, if it is. */
        if (0 == extent || action->next >= action->end)
        {
            action->state = FL_RETRANSMIT_LINGERING;
            action->deadline_ns = now_ns + retransmit->linger_ns;
            retransmit->pending--;
        }
    }
    return bytes;
}
