/* Limits and states of UDP publications (wire 3.5, 3.6.1; shm 9.8). */
#include "sender/publication.h"

#include "shm/term.h"

/* Less than this is cleaned together with what comes next. */
#define FL_CLEAN_STEP 4096

/* ---- positions ---- */

void fl_publication_set_sender_limit(fl_publication_t *publication, int64_t limit)
{
    const int64_t max_position = fl_log_max_position(publication->log);
    publication->sender_limit = limit < max_position ? limit : max_position;
    fl_i64_store_release(publication->sender_limit_counter, publication->sender_limit);
}

void fl_publication_look_at_receivers(fl_publication_t *publication, int64_t now_ns)
{
    fl_publication_set_sender_limit(
        publication, publication->flow->ops->on_idle(publication->flow, publication->sender_limit, now_ns));
}

static void fl_publication_set_publisher_limit(fl_publication_t *publication, int64_t limit)
{
    publication->publisher_limit = limit;
    /* Release: pairs with the acquire in a publisher's offer; what lies before the limit is clean. */
    fl_i64_store_release(publication->publisher_limit_counter, limit);
}

/* Publishers write the tail themselves, so it is believed only between the sender position and the furthest that clean
 * memory reaches. */
void fl_publication_update_publisher_position(fl_publication_t *publication)
{
    const int64_t position = fl_log_producer_position(publication->log);
    const int64_t furthest =
        publication->clean_position + FL_LOG_PARTITIONS * (int64_t)publication->log->term_length;
    if (position >= publication->sender_position && position <= furthest)
    {
        publication->publisher_position = position;
    }
    else if (publication->publisher_position < publication->sender_position)
    {
        publication->publisher_position = publication->sender_position;
    }
    fl_i64_store_release(publication->publisher_position_counter, publication->publisher_position);
}

/* Nobody is there to send to: what the first spy has read counts as sent, and none of it is (wire 3.2). */
static void fl_publication_run_freely(fl_publication_t *publication, int64_t position)
{
    if (position > publication->sender_position)
    {
        publication->sender_position = position;
        fl_publication_seek(publication);
        /* Release: pairs with the acquire of whoever follows the sender. */
        fl_i64_store_release(publication->sender_position_counter, position);
        fl_publication_set_sender_limit(publication, position);
        fl_publication_update_end_of_stream(publication);
    }
}

/* Returns the lowest position of sender and spies. */
static int64_t fl_publication_follow_spies(fl_publication_t *publication)
{
    int64_t lowest;
    int64_t highest;
    if (FL_PUBLICATION_ACTIVE == publication->state)
    {
        fl_publication_update_publisher_position(publication);
    }
    fl_subscribers_read(&publication->spies, publication->publisher_position, &lowest, &highest);
    if (publication->spies_simulate_connection && 0 == publication->liveness.count)
    {
        fl_publication_run_freely(publication, highest);
    }
    return lowest < publication->sender_position ? lowest : publication->sender_position;
}

void fl_publication_update_limit(fl_publication_t *publication)
{
    const bool has_spies = publication->spies.count > 0 && publication->state <= FL_PUBLICATION_DRAINING;
    const int64_t consumed = has_spies ? fl_publication_follow_spies(publication) : publication->sender_position;
    if (FL_PUBLICATION_ACTIVE != publication->state)
    {
        publication->is_limit_due = has_spies;
        return;
    }
    /* The term behind the sender stays, for retransmits. */
    const int64_t term_length = publication->log->term_length;
    const int64_t clean_target = consumed - term_length;
    if (clean_target - publication->clean_position >= FL_CLEAN_STEP)
    {
        publication->clean_position =
            fl_log_clean(publication->log, publication->clean_position, clean_target, FL_CLEAN_PER_CYCLE);
    }
    publication->is_limit_due = has_spies || clean_target - publication->clean_position >= FL_CLEAN_STEP;

    if (publication->is_connected)
    {
        /* Up to two terms past the clean position, a clean term is left for messages that begin before the limit. */
        const int64_t cleaned = publication->clean_position + 2 * term_length;
        const int64_t wanted = consumed + publication->window_length;
        const int64_t limit = wanted < cleaned ? wanted : cleaned;
        if (limit > publication->publisher_limit)
        {
            fl_publication_set_publisher_limit(publication, limit);
        }
    }
    else if (publication->publisher_limit > publication->sender_position)
    {
        fl_publication_set_publisher_limit(publication, publication->sender_position);
    }
    fl_publication_update_publisher_position(publication);
}

void fl_publication_update_connected(fl_publication_t *publication)
{
    const bool has_receivers =
        publication->liveness.count > 0 && publication->flow->ops->has_required_receivers(publication->flow);
    const bool has_simulated = publication->spies_simulate_connection && publication->spies.count > 0;
    const bool is_connected = !publication->is_revoked && (has_receivers || has_simulated);
    if (is_connected != publication->is_connected)
    {
        publication->is_connected = is_connected;
        fl_publication_update_limit(publication);
        fl_log_set_connected(publication->log, is_connected);
        if (publication->is_response && is_connected)
        {
            fl_object_raise(
                &publication->sender->context->events, &publication->object, FL_EVENT_PUBLICATION_CONNECTED);
        }
    }
}

/* ---- the end ---- */

void fl_publication_update_end_of_stream(fl_publication_t *publication)
{
    publication->is_end_of_stream = publication->sender_position >= publication->end_of_stream_position;
}

static void fl_publication_end_at(fl_publication_t *publication, int64_t position)
{
    publication->end_of_stream_position = position;
    fl_log_set_end_of_stream_position(publication->log, position);
    fl_publication_update_end_of_stream(publication);
}

static void fl_publication_end_at_publisher(fl_publication_t *publication)
{
    fl_publication_update_publisher_position(publication);
    if (publication->publisher_limit > publication->publisher_position)
    {
        fl_publication_set_publisher_limit(publication, publication->publisher_position);
    }
    fl_publication_end_at(publication, publication->publisher_position);
}

static void fl_publication_linger(fl_publication_t *publication, int64_t now_ns, uint32_t events)
{
    publication->state = FL_PUBLICATION_LINGER;
    publication->linger_deadline_ns = now_ns + publication->linger_timeout_ns;
    fl_object_raise(
        &publication->sender->context->events, &publication->object, FL_EVENT_PUBLICATION_LINGER | events);
}

static void fl_publication_finish(fl_publication_t *publication)
{
    static const int32_t no_frame = 0;
    publication->state = FL_PUBLICATION_DONE;
    publication->next_frame = (const uint8_t *)&no_frame;
    publication->setup_deadline_ns = FL_NEVER_NS;
    publication->retransmit.pending = 0;
    publication->is_limit_due = false;
    fl_object_raise(&publication->sender->context->events, &publication->object, FL_EVENT_PUBLICATION_DONE);
}

bool fl_publication_takes_spies(const fl_publication_t *publication)
{
    return FL_PUBLICATION_ACTIVE == publication->state ||
        (FL_PUBLICATION_DRAINING == publication->state && publication->spies.count > 0 &&
            !publication->is_end_of_stream);
}

void fl_publication_drain_now(fl_publication_t *publication)
{
    if (FL_PUBLICATION_ACTIVE == publication->state)
    {
        fl_publication_end_at_publisher(publication);
        publication->state = FL_PUBLICATION_DRAINING;
    }
}

void fl_publication_revoke_now(fl_publication_t *publication, int64_t now_ns)
{
    if (FL_PUBLICATION_ACTIVE == publication->state || FL_PUBLICATION_DRAINING == publication->state)
    {
        fl_publication_end_at_publisher(publication);
        publication->is_revoked = true;
        publication->is_connected = false;
        fl_log_set_connected(publication->log, false);
        fl_count(publication->sender->context, FL_COUNTER_PUBLICATIONS_REVOKED, 1);
        fl_publication_linger(publication, now_ns, FL_EVENT_PUBLICATION_REVOKED);
    }
}

/* ---- repair ---- */

/* How long something was claimed or is missing at the sender position while the sender stands still; 0 if it moves, or
 * there is nothing to send. */
static int64_t fl_publication_stalled_for_ns(fl_publication_t *publication, int64_t now_ns)
{
    const fl_log_t *log = publication->log;
    const int64_t position = publication->sender_position;
    const int32_t active_count = fl_i32_load_acquire(&log->metadata->active_term_count);
    const bool is_pending = publication->publisher_position > position ||
        active_count != (int32_t)(position >> log->position_bits_to_shift);
    if (!is_pending || position != publication->checked_position)
    {
        publication->checked_position = position;
        publication->time_of_checked_position_ns = now_ns;
    }
    return now_ns - publication->time_of_checked_position_ns;
}

/* A publisher that died in the middle of a message holds the stream up (shm 7.9). The look takes up to a term, so it is
 * taken no more often than the stock driver does. */
static void fl_publication_unblock(fl_publication_t *publication, int64_t now_ns)
{
    if (now_ns >= publication->unblock_deadline_ns)
    {
        publication->unblock_deadline_ns = now_ns + publication->sender->context->config.timer_interval_ns;
        if (fl_log_unblock(publication->log, publication->sender_position))
        {
            fl_count(publication->sender->context, FL_COUNTER_UNBLOCKED_PUBLICATIONS, 1);
        }
    }
}

/* ---- the timer ---- */

static bool fl_publication_have_spies_finished(fl_publication_t *publication)
{
    int64_t lowest;
    int64_t highest;
    fl_subscribers_read(&publication->spies, publication->publisher_position, &lowest, &highest);
    return lowest >= publication->end_of_stream_position;   /* INT64_MAX without spies */
}

/* Everything is out, or nobody is left to take it, and the spies have read it. Otherwise what nobody completes any more
 * is repaired; what cannot be, because its length is unknown or it is no frame of the stream, ends the stream before
 * it. */
static void fl_publication_check_drained(fl_publication_t *publication, int64_t now_ns)
{
    const fl_driver_config_t *config = &publication->sender->context->config;
    if ((publication->is_end_of_stream || 0 == publication->liveness.count) &&
        fl_publication_have_spies_finished(publication))
    {
        fl_publication_linger(publication, now_ns, 0);
        return;
    }
    const int64_t stalled_ns = fl_publication_stalled_for_ns(publication, now_ns);
    const bool is_waiting_for_frame = fl_i32_load_acquire(publication->next_frame) <= 0 ||
        publication->invalid_position == publication->sender_position;
    if (stalled_ns > config->publication_unblock_timeout_ns && is_waiting_for_frame)
    {
        fl_publication_end_at(publication, publication->sender_position);
    }
    else if (stalled_ns > config->timer_interval_ns && is_waiting_for_frame)
    {
        fl_publication_unblock(publication, now_ns);
    }
}

static void fl_publication_check_state(fl_publication_t *publication, int64_t now_ns)
{
    switch ((fl_publication_state_t)publication->state)
    {
        case FL_PUBLICATION_ACTIVE:
            fl_publication_update_publisher_position(publication);
            if (!publication->is_exclusive &&
                fl_publication_stalled_for_ns(publication, now_ns) >
                    publication->sender->context->config.publication_unblock_timeout_ns)
            {
                fl_publication_unblock(publication, now_ns);
            }
            break;
        case FL_PUBLICATION_DRAINING:
            fl_publication_check_drained(publication, now_ns);
            break;
        case FL_PUBLICATION_LINGER:
            if (publication->has_received_unicast_eos || now_ns > publication->linger_deadline_ns)
            {
                fl_publication_finish(publication);
            }
            break;
        case FL_PUBLICATION_DONE:
            break;
    }
}

void fl_publication_on_timer(fl_timer_t *timer, int64_t now_ns)
{
    fl_publication_t *publication = (fl_publication_t *)((char *)timer - offsetof(fl_publication_t, timer));
    fl_sender_t *sender = publication->sender;

    fl_liveness_expire(
        &publication->liveness, now_ns - sender->context->config.publication_connection_timeout_ns);
    fl_publication_update_connected(publication);
    fl_publication_check_state(publication, now_ns);
    if (FL_PUBLICATION_DONE == publication->state)
    {
        return;
    }
    if (now_ns - publication->time_of_last_send_ns > FL_HEARTBEAT_INTERVAL_NS)
    {
        fl_publication_look_at_receivers(publication, now_ns);
        if (publication->has_initial_connection)
        {
            fl_publication_send_heartbeat(publication, now_ns);
        }
    }
    /* Sending leaves the timer alone; here it catches up. */
    int64_t deadline_ns = publication->time_of_last_send_ns + FL_HEARTBEAT_INTERVAL_NS;
    if (deadline_ns <= now_ns)
    {
        deadline_ns = now_ns + FL_HEARTBEAT_INTERVAL_NS;
    }
    if (FL_PUBLICATION_LINGER == publication->state && publication->linger_deadline_ns < deadline_ns)
    {
        deadline_ns = publication->linger_deadline_ns;
    }
    fl_timer_schedule(&sender->wheel, timer, deadline_ns);
}
