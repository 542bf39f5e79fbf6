/* The event queue: what waits in it, what a poll takes from the wire, waiting for more, and who may poll. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "vi_state.h"

#define FL_CIUL_POLLERS 1024

void fl_ciul_event_put(fl_ciul_vi_t *own, const ef_event *event)
{
    if (own->events_tail - own->events_head > own->events_mask)
    {
        own->settings.overflows = true;
        return;
    }
    own->events[own->events_tail++ & own->events_mask] = *event;
}

void fl_ciul_event_check_room(const fl_ciul_vi_t *own, const char *caller)
{
    const ef_vi *vi = own->vi;
    bool is_stamped = 0 != (vi->vi_flags & EF_VI_TX_TIMESTAMPS);
    uint32_t needed = (uint32_t)ef_vi_transmit_fill_level(vi) * (is_stamped ? 3 : 1);
    needed += own->is_ring ? (uint32_t)ef_vi_receive_fill_level(vi) : 0;
    if (own->events_mask < needed)
    {
        fl_ciul_misuse("%s: descriptors in use can raise %u events and overrun an event queue for %u", caller, needed,
            own->events_mask);
    }
}

/* ---- the poll ---- */

/* Threads that poll and live, by place; a serial of 0 is a free place. A thread's end empties its own. */
static _Atomic uint32_t fl_ciul_pollers[FL_CIUL_POLLERS];
static _Thread_local uint32_t fl_ciul_poller_serial;
static _Thread_local uint32_t fl_ciul_poller_place;
static pthread_key_t fl_ciul_poller_key;
static pthread_once_t fl_ciul_poller_once = PTHREAD_ONCE_INIT;

static void fl_ciul_poller_end(void *place)
{
    atomic_store_explicit((_Atomic uint32_t *)place, 0, memory_order_relaxed);
}

static void fl_ciul_poller_make_key(void)
{
    pthread_key_create(&fl_ciul_poller_key, fl_ciul_poller_end);
}

static uint32_t fl_ciul_poller_self(void)
{
    static _Atomic uint32_t serials;
    if (0 == fl_ciul_poller_serial)
    {
        pthread_once(&fl_ciul_poller_once, fl_ciul_poller_make_key);
        fl_ciul_poller_serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
        for (uint32_t place = 0;; place = (place + 1) % FL_CIUL_POLLERS)
        {
            uint32_t free_place = 0;
            if (atomic_compare_exchange_strong_explicit(&fl_ciul_pollers[place], &free_place, fl_ciul_poller_serial,
                    memory_order_relaxed, memory_order_relaxed))
            {
                fl_ciul_poller_place = place;
                pthread_setspecific(fl_ciul_poller_key, &fl_ciul_pollers[place]);
                break;
            }
        }
    }
    return fl_ciul_poller_serial;
}

/* A poller may be replaced once and for all, as when a thread ends and another takes over. Two that take turns are a
 * race that happened to go well. */
static void fl_ciul_event_check_thread(fl_ciul_vi_t *own)
{
    uint32_t self = fl_ciul_poller_self();
    if (self == own->poller || own->settings.any_thread)
    {
        return;
    }
    bool is_alive = 0 != own->poller &&
        own->poller == atomic_load_explicit(&fl_ciul_pollers[own->poller_place], memory_order_relaxed);
    if (is_alive && self == own->former_poller)
    {
        fl_ciul_misuse("ef_eventq_poll: two threads take turns on one event queue");
    }
    own->former_poller = own->poller;
    own->poller = self;
    own->poller_place = fl_ciul_poller_place;
}

static void fl_ciul_event_faults(fl_ciul_vi_t *own)
{
    if (fl_ciul_settings_are_old(&own->source, fl_ciul_now_ns(), &own->settings_looked_ns, &own->settings_version))
    {
        fl_ciul_settings_t settings;
        if (0 == fl_ciul_settings_of_index(&settings, &own->source, own->registry.ifindex) ||
            0 == fl_ciul_settings_of_name(&settings, &own->source, own->settings.interface))
        {
            bool has_overflown = own->settings.overflows;
            own->settings = settings;
            own->settings.overflows |= has_overflown;
        }
    }
    if (own->settings.is_lost)
    {
        own->is_dead = true;
    }
    own->state.evq.min_unused_evq_slots = own->settings.has_no_credits
        ? 0
        : (int32_t)(own->events_mask - (own->state.txq.added - own->state.txq.removed));
}

static int fl_ciul_event_said(fl_ciul_vi_t *own, ef_event *event)
{
    memset(event, 0, sizeof(*event));
    if (own->is_dead && !own->reset_said)
    {
        own->reset_said = true;
        event->generic.type = EF_EVENT_TYPE_RESET;
        return 1;
    }
    if (own->settings.overflows && !own->overflow_said)
    {
        own->overflow_said = true;
        own->is_dead = true;
        own->reset_said = true;
        event->generic.type = EF_EVENT_TYPE_OFLOW;
        return 1;
    }
    return 0;
}

static int fl_ciul_event_take(fl_ciul_vi_t *own, ef_event *evs, int evs_len)
{
    int count = 0;
    for (; count < evs_len && own->events_head != own->events_tail; own->events_head++)
    {
        ef_event *event = &evs[count++];
        *event = own->events[own->events_head & own->events_mask];
        if (EF_EVENT_TYPE_TX_WITH_TIMESTAMP == event->generic.type)
        {
            while (!fl_ciul_transmit_finish(own))
            {
            }
            /* A CTPIO send has its id from the fallback, which comes after the event was made. */
            event->tx_timestamp.rq_id = own->vi->vi_txq.ids[(own->state.txq.removed - 1) & own->vi->vi_txq.mask];
        }
    }
    return count;
}

static int fl_ciul_event_receive(fl_ciul_vi_t *own, ef_event *evs, int evs_len)
{
    int count = 0;
    for (;;)
    {
        if (own->frames_at == own->frames_count)
        {
            own->frames_at = 0;
            own->frames_count = own->wire->receive(own->wire, own->frames, FL_CIUL_BATCH);
            if (own->frames_count <= 0)
            {
                own->is_dead |= own->frames_count < 0;
                own->frames_count = 0;
                return count;
            }
            fl_ciul_registry_copy(&own->registry, &own->table);
        }
        const fl_ciul_frame_t *frame = &own->frames[own->frames_at];
        int filter = fl_ciul_filter_find(
            &own->table, own->member, own->settings.interface, frame->data, frame->length);
        if (filter < 0 && !(own->settings.sees_others && !own->is_ring))
        {
            own->frames_at++;
            continue;
        }
        if (count == evs_len)
        {
            return count;
        }
        unsigned flags = fl_ciul_checksums_verify(frame->data, frame->length) & own->discard_mask;
        if (0 != own->settings.discard && 0 == (own->received + 1) % own->settings.discard_every)
        {
            flags |= own->settings.discard;
        }
        int made = own->is_ring
            ? fl_ciul_receive_ring_deliver(own, frame, flags, evs + count, evs_len - count)
            : fl_ciul_receive_shared_deliver(own, frame, flags, filter, evs + count);
        if (made < 0)
        {
            return count;
        }
        own->received++;
        own->frames_at++;
        count += made;
    }
}

static int fl_ciul_event_poll_both(ef_vi *vi, ef_event *evs, int evs_len, bool with_queue, const char *caller)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    if (evs_len < EF_VI_EVENT_POLL_MIN_EVS)
    {
        fl_ciul_misuse(
            "%s: room for %d events is too little, %d is the least", caller, evs_len, EF_VI_EVENT_POLL_MIN_EVS);
    }
    evs_len = evs_len < FL_CIUL_EVENTS_A_POLL ? evs_len : FL_CIUL_EVENTS_A_POLL;
    fl_ciul_enter(own, caller);
    fl_ciul_event_check_thread(own);
    fl_ciul_event_faults(own);
    if (own->is_primed)
    {
        struct epoll_event none = {.events = 0};
        epoll_ctl(own->primed_handle, EPOLL_CTL_MOD, own->wire->arm(own->wire, false), &none);
        fl_ciul_handle_kick(own->primed_handle, false);
        own->is_primed = false;
    }
    own->stamps_count = 0;
    int count = fl_ciul_event_said(own, evs);
    if (!own->is_dead)
    {
        if (with_queue)
        {
            if (own->sent != own->state.txq.previous)
            {
                fl_ciul_transmit_run(own);
            }
            count += fl_ciul_event_take(own, evs + count, evs_len - count);
        }
        if (0 != vi->vi_rxq.mask && count < evs_len)
        {
            count += fl_ciul_event_receive(own, evs + count, evs_len - count);
        }
        if (own->is_dead && count < evs_len)
        {
            count += fl_ciul_event_said(own, evs + count);
        }
    }
    own->state.evq.evq_ptr += (uint32_t)count * 8;
    fl_ciul_leave(own);
    return count;
}

int fl_ciul_event_poll(ef_vi *vi, ef_event *evs, int evs_len)
{
    return fl_ciul_event_poll_both(vi, evs, evs_len, true, "ef_eventq_poll");
}

int fl_ciul_event_poll_receive(ef_vi *vi, ef_event *evs, int evs_len)
{
    return fl_ciul_event_poll_both(vi, evs, evs_len, fl_ciul_vi(vi)->is_ring, "ef_receive_poll");
}

int efct_vi_rx_future_poll(ef_vi *vi, ef_event *evs, int evs_len)
{
    return fl_ciul_event_poll_both(vi, evs, evs_len, false, "efct_vi_rx_future_poll");
}

const void *efct_vi_rx_future_peek(struct ef_vi *vi)
{
    (void)vi;
    return NULL; /* frames arrive whole here */
}

static int fl_ciul_event_has_many(const ef_vi *vi, int n_events)
{
    const fl_ciul_vi_t *own = fl_ciul_vi(vi);
    if (n_events < 0 || ef_eventq_capacity((ef_vi *)(uintptr_t)vi) <= n_events)
    {
        fl_ciul_misuse("ef_eventq_has_many_events: %d events are more than the queue has", n_events);
    }
    int waiting = (int)(own->events_tail - own->events_head) + own->frames_count - own->frames_at;
    return n_events < waiting || (0 == n_events && own->wire->has_frames(own->wire));
}

static int fl_ciul_event_has(const ef_vi *vi)
{
    return fl_ciul_event_has_many(vi, 0);
}

static void fl_ciul_event_nothing_with(ef_vi *vi, unsigned value)
{
    (void)vi;
    (void)value;
}

static void fl_ciul_event_nothing(ef_vi *vi)
{
    (void)vi;
}

void fl_ciul_event_ops(fl_ciul_vi_t *own)
{
    struct ops *ops = &own->vi->ops;
    ops->eventq_poll = fl_ciul_event_poll;
    ops->receive_poll = fl_ciul_event_poll_receive;
    ops->future_eventq_poll = efct_vi_rx_future_poll;
    ops->eventq_has_event = fl_ciul_event_has;
    ops->eventq_has_many_events = fl_ciul_event_has_many;
    ops->eventq_prime = fl_ciul_event_nothing;
    ops->eventq_timer_prime = fl_ciul_event_nothing_with;
    ops->eventq_timer_run = fl_ciul_event_nothing_with;
    ops->eventq_timer_clear = fl_ciul_event_nothing;
    ops->eventq_timer_zero = fl_ciul_event_nothing;
}

int ef_eventq_capacity(ef_vi *vi)
{
    return (int)fl_ciul_vi(vi)->events_mask;
}

/* ---- waiting ---- */

int ef_vi_prime(ef_vi *vi, ef_driver_handle dh, unsigned current_ptr)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(dh, "ef_vi_prime");
    fl_ciul_enter(own, "ef_vi_prime");
    int fd = own->wire->arm(own->wire, own->is_ring || own->wants_wakeups);
    struct epoll_event readable = {.events = own->is_ring || own->wants_wakeups ? EPOLLIN : 0};
    if (0 <= fd && 0 != epoll_ctl(dh, EPOLL_CTL_MOD, fd, &readable) && ENOENT == errno)
    {
        epoll_ctl(dh, EPOLL_CTL_ADD, fd, &readable);
    }
    fl_ciul_event_faults(own);
    bool has_more = current_ptr != own->state.evq.evq_ptr || own->events_head != own->events_tail ||
        own->frames_at != own->frames_count || own->sent != own->state.txq.previous ||
        (own->is_dead && !own->reset_said);
    if (has_more)
    {
        fl_ciul_handle_kick(dh, true);
    }
    own->is_primed = true;
    own->primed_handle = dh;
    fl_ciul_leave(own);
    return 0;
}

int ef_eventq_wait(ef_vi *vi, ef_driver_handle vi_dh, unsigned current_ptr, const struct timeval *timeout)
{
    int result = ef_vi_prime(vi, vi_dh, current_ptr);
    if (result < 0)
    {
        return result;
    }
    bool is_limited = NULL != timeout && (0 != timeout->tv_sec || 0 != timeout->tv_usec);
    int limit_ms = is_limited ? (int)(timeout->tv_sec * 1000 + (timeout->tv_usec + 999) / 1000) : -1;
    struct pollfd ready = {.fd = vi_dh, .events = POLLIN};
    result = poll(&ready, 1, limit_ms);
    return result < 0 ? -errno : 0 == result ? -ETIMEDOUT : 0;
}
