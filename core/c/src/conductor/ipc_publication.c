#include "conductor/ipc_publication.h"

#include "shm/counters.h"
#include "shm/term.h"

#define FL_IPC_CLEAN_PER_CYCLE (256 * 1024)

/* Publishers write the tail themselves, so it is believed only if it does not go back and is not further than
 * publishers can get beyond the limit that they were given: each checks it before an append of at most a term. */
int64_t fl_ipc_publication_producer_position(fl_ipc_publication_t *publication)
{
    const int64_t position = fl_log_producer_position(publication->log);
    if (position > publication->producer_position && position <= publication->limit + publication->log->term_length)
    {
        publication->producer_position = position;
        fl_counter_set(publication->publisher_position, position);
    }
    return publication->producer_position;
}

static void fl_ipc_publication_clean(fl_ipc_publication_t *publication)
{
    if (publication->clean_position < publication->clean_target)
    {
        publication->clean_position = fl_log_clean(
            publication->log, publication->clean_position, publication->clean_target, FL_IPC_CLEAN_PER_CYCLE);
    }
}

static void fl_ipc_publication_set_limit(fl_ipc_publication_t *publication, int64_t limit)
{
    publication->limit = limit;
    /* Release: pairs with the acquire in a publisher's offer; what lies before the limit is clean. */
    fl_counter_set(publication->publisher_limit, limit);
}

static int fl_ipc_publication_update_active(fl_ipc_publication_t *publication)
{
    int64_t lowest;
    int64_t highest;
    const int64_t producer_position = fl_ipc_publication_producer_position(publication);
    if (0 == publication->subscribers.count)
    {
        if (publication->limit > publication->consumer_position)
        {
            fl_ipc_publication_set_limit(publication, publication->consumer_position);
            publication->trip_limit = publication->consumer_position;
            publication->clean_target = publication->consumer_position;
        }
        fl_ipc_publication_clean(publication);
        return 0;
    }
    fl_subscribers_read(&publication->subscribers, producer_position, &lowest, &highest);
    publication->consumer_position =
        highest > publication->consumer_position ? highest : publication->consumer_position;

    int work = 0;
    const int64_t limit = lowest + publication->window_length;
    /* Two terms behind the clean position lies the last byte that a message beginning before the limit can reach. */
    if (limit > publication->trip_limit &&
        limit <= publication->clean_position + 2 * (int64_t)publication->log->term_length)
    {
        publication->clean_target = lowest;
        fl_ipc_publication_clean(publication);
        fl_ipc_publication_set_limit(publication, limit);
        publication->trip_limit = limit + publication->trip_gain;
        work = 1;
    }
    else if (publication->clean_position < publication->clean_target)
    {
        fl_ipc_publication_clean(publication);
        work = 1;
    }
    return work;
}

int fl_ipc_publication_update(fl_ipc_publication_t *publication)
{
    return FL_IPC_PUBLICATION_ACTIVE == publication->state ? fl_ipc_publication_update_active(publication) : 0;
}

/* A publisher that died in the middle of a message holds up every subscriber (shm 7.9). */
static void fl_ipc_publication_unblock(fl_ipc_publication_t *publication)
{
    if (fl_log_unblock(publication->log, publication->consumer_position))
    {
        fl_count(publication->context, FL_COUNTER_UNBLOCKED_PUBLICATIONS, 1);
    }
}

static void fl_ipc_publication_check_blocked(fl_ipc_publication_t *publication, int64_t now_ns)
{
    const fl_log_t *log = publication->log;
    const int32_t active_count = fl_i32_load_acquire(&log->metadata->active_term_count);
    const bool is_pending =
        active_count != (int32_t)(publication->consumer_position >> log->position_bits_to_shift) ||
        publication->producer_position > publication->consumer_position;
    if (publication->consumer_position != publication->last_consumer_position || !is_pending)
    {
        publication->last_consumer_position = publication->consumer_position;
        publication->time_of_last_consumer_change_ns = now_ns;
    }
    else if (now_ns > publication->time_of_last_consumer_change_ns +
            publication->context->config.publication_unblock_timeout_ns)
    {
        fl_ipc_publication_unblock(publication);
    }
}

static void fl_ipc_publication_linger(fl_ipc_publication_t *publication)
{
    publication->state = FL_IPC_PUBLICATION_LINGER;
    fl_object_raise(&publication->context->events, &publication->object, FL_EVENT_PUBLICATION_LINGER);
}

/* Every active subscriber has read all there is, or those that have not hang before a message that nobody completes. */
static void fl_ipc_publication_check_drained(fl_ipc_publication_t *publication)
{
    int64_t lowest;
    int64_t highest;
    const int64_t producer_position = fl_ipc_publication_producer_position(publication);
    fl_subscribers_read(&publication->subscribers, producer_position, &lowest, &highest);
    if (highest > publication->consumer_position)
    {
        publication->consumer_position = highest;
    }
    if (0 == publication->subscribers.count || lowest >= producer_position)
    {
        fl_ipc_publication_linger(publication);
    }
    else
    {
        fl_ipc_publication_unblock(publication);
    }
}

static void fl_ipc_publication_check_cool_down(fl_ipc_publication_t *publication, int64_t now_ns)
{
    if (publication->is_cooling_down && now_ns > publication->cool_down_deadline_ns)
    {
        publication->is_cooling_down = false;
        fl_object_raise(&publication->context->events, &publication->object, FL_EVENT_PUBLICATION_COOLED);
    }
}

void fl_ipc_publication_on_timer(fl_ipc_publication_t *publication, int64_t now_ns)
{
    switch (publication->state)
    {
        case FL_IPC_PUBLICATION_ACTIVE:
            fl_log_set_connected(publication->log, publication->subscribers.count > 0);
            if (!publication->is_exclusive)
            {
                fl_ipc_publication_check_blocked(publication, now_ns);
            }
            fl_ipc_publication_check_cool_down(publication, now_ns);
            break;
        case FL_IPC_PUBLICATION_DRAINING:
            fl_ipc_publication_check_drained(publication);
            break;
        case FL_IPC_PUBLICATION_LINGER:
            if (publication->is_released)
            {
                publication->state = FL_IPC_PUBLICATION_DONE;
                fl_object_raise(&publication->context->events, &publication->object, FL_EVENT_PUBLICATION_DONE);
            }
            break;
        case FL_IPC_PUBLICATION_DONE:
            break;
    }
}
