#include "util/timer_wheel.h"

#include <stddef.h>

static fl_timer_t *fl_timer_slot(fl_timer_wheel_t *wheel, int64_t tick)
{
    return &wheel->slots[tick & (FL_TIMER_SLOTS - 1)];
}

void fl_timer_wheel_init(fl_timer_wheel_t *wheel, int64_t now_ns)
{
    for (size_t i = 0; i < FL_TIMER_SLOTS; i++)
    {
        wheel->slots[i].next = wheel->slots[i].previous = &wheel->slots[i];
    }
    wheel->next_tick = now_ns >> FL_TIMER_TICK_SHIFT;
    wheel->count = 0;
}

void fl_timer_init(fl_timer_t *timer, fl_timer_function_t on_expiry)
{
    timer->next = timer->previous = NULL;
    timer->deadline_ns = 0;
    timer->on_expiry = on_expiry;
}

static void fl_timer_insert(fl_timer_t *head, fl_timer_t *timer)
{
    timer->next = head;
    timer->previous = head->previous;
    head->previous->next = timer;
    head->previous = timer;
}

static void fl_timer_remove(fl_timer_t *timer)
{
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
    timer->next = timer->previous = NULL;
}

void fl_timer_schedule(fl_timer_wheel_t *wheel, fl_timer_t *timer, int64_t deadline_ns)
{
    fl_timer_cancel(wheel, timer);
    timer->deadline_ns = deadline_ns;
    /* A tick is visited once its whole span has passed, so a timer waits in the tick that holds its deadline. */
    int64_t tick = deadline_ns >> FL_TIMER_TICK_SHIFT;
    if (tick < wheel->next_tick)
    {
        tick = wheel->next_tick;
    }
    fl_timer_insert(fl_timer_slot(wheel, tick), timer);
    wheel->count++;
}

void fl_timer_cancel(fl_timer_wheel_t *wheel, fl_timer_t *timer)
{
    if (fl_timer_is_scheduled(timer))
    {
        fl_timer_remove(timer);
        wheel->count--;
    }
}

static int fl_timer_fire_slot(fl_timer_wheel_t *wheel, fl_timer_t *head, int64_t now_ns)
{
    /* The slot's list moves to one of its own first: an expired timer that is scheduled again may come to stand in this
     * very slot and must not be seen twice; a cancelled one leaves whichever list it is on. */
    fl_timer_t due;
    int fired = 0;
    if (head->next == head)
    {
        return 0;
    }
    due.next = head->next;
    due.previous = head->previous;
    due.next->previous = due.previous->next = &due;
    head->next = head->previous = head;

    while (due.next != &due)
    {
        fl_timer_t *timer = due.next;
        fl_timer_remove(timer);
        if (timer->deadline_ns > now_ns)
        {
            fl_timer_insert(head, timer);   /* of a later turn of the wheel */
            continue;
        }
        wheel->count--;
        fired++;
        timer->on_expiry(timer, now_ns);
    }
    return fired;
}

int fl_timer_wheel_poll(fl_timer_wheel_t *wheel, int64_t now_ns)
{
    const int64_t tick = now_ns >> FL_TIMER_TICK_SHIFT;
    if (tick <= wheel->next_tick)
    {
        return 0;
    }
    int64_t first = wheel->next_tick;
    if (tick - first > FL_TIMER_SLOTS)
    {
        first = tick - FL_TIMER_SLOTS;
    }
    /* Before anything fires, so that what is scheduled meanwhile lands in a slot still to come. */
    wheel->next_tick = tick;
    if (0 == wheel->count)
    {
        return 0;
    }
    int fired = 0;
    for (int64_t i = first; i < tick; i++)
    {
        fired += fl_timer_fire_slot(wheel, fl_timer_slot(wheel, i), now_ns);
    }
    return fired;
}

