#include "agent/notice.h"

#include <stdlib.h>
#include <string.h>

#include "util/error.h"

int fl_notice_pool_init(fl_notice_pool_t *pool, uint32_t capacity)
{
    pool->notices = calloc(capacity, sizeof(*pool->notices));
    pool->capacity = capacity;
    pool->next = 0;
    return NULL == pool->notices ? fl_error(FL_ENOMEM, "no memory for %u notices", capacity) : 0;
}

void fl_notice_pool_destroy(fl_notice_pool_t *pool)
{
    free(pool->notices);
    pool->notices = NULL;
}

fl_notice_t *fl_notice_take(fl_notice_pool_t *pool, uint32_t kind)
{
    for (uint32_t i = 0; i < pool->capacity; i++)
    {
        fl_notice_t *notice = &pool->notices[pool->next];
        pool->next = pool->next + 1 == pool->capacity ? 0 : pool->next + 1;
        /* Acquire: pairs with the release in fl_notice_read(); the control plane is done with the content. */
        if (0 == atomic_load_explicit(&notice->in_use, memory_order_acquire))
        {
            atomic_store_explicit(&notice->in_use, 1, memory_order_relaxed);
            memset(&notice->content, 0, sizeof(notice->content));
            notice->content.kind = kind;
            notice->object.kind = kind;
            return notice;
        }
    }
    return NULL;
}

void fl_notice_raise(fl_notice_t *notice, fl_object_stack_t *events)
{
    notice->object.id = notice->content.id;
    fl_object_raise(events, &notice->object, 1);
}

void fl_notice_read(fl_notice_t *notice, fl_driver_event_t *event)
{
    *event = notice->content;
    fl_object_take(&notice->object);
    atomic_store_explicit(&notice->in_use, 0, memory_order_release);
}
