/* A hashed timer wheel: timers that are re-armed far more often than they expire cost one list operation each.
 *
 * Timers are embedded in what they time. A wheel and its timers belong to one agent. A timer fires not before its
 * deadline and at most one tick (2^20 ns, about 1 ms) plus one cycle after it.
 */
#ifndef FL_UTIL_TIMER_WHEEL_H
#define FL_UTIL_TIMER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define FL_TIMER_TICK_SHIFT 20
#define FL_TIMER_SLOTS 1024

typedef struct fl_timer fl_timer_t;

/* Called by the wheel's agent when the timer expired; the timer is off the wheel and may be scheduled again. */
typedef void (*fl_timer_function_t)(fl_timer_t *timer, int64_t now_ns);

struct fl_timer
{
    fl_timer_t *next;
    fl_timer_t *previous;     /* NULL: not on the wheel */
    int64_t deadline_ns;
    fl_timer_function_t on_expiry;
};

typedef struct fl_timer_wheel
{
    fl_timer_t slots[FL_TIMER_SLOTS];    /* list heads */
    int64_t next_tick;                   /* first tick that was not visited yet */
    uint32_t count;
} fl_timer_wheel_t;

/* Make an empty wheel whose time begins at now_ns. */
void fl_timer_wheel_init(fl_timer_wheel_t *wheel, int64_t now_ns);

/* Name what a timer does; it is on no wheel yet. */
void fl_timer_init(fl_timer_t *timer, fl_timer_function_t on_expiry);

static inline bool fl_timer_is_scheduled(const fl_timer_t *timer)
{
    return 0 != timer->previous;
}

/* Arm a timer, or move an armed one. A deadline in the past fires at the next tick. */
void fl_timer_schedule(fl_timer_wheel_t *wheel, fl_timer_t *timer, int64_t deadline_ns);

/* Disarm a timer, if it is armed. */
void fl_timer_cancel(fl_timer_wheel_t *wheel, fl_timer_t *timer);

/* Fire what is due. Returns how many timers fired. After a jump of the clock every slot is visited once, no more. */
int fl_timer_wheel_poll(fl_timer_wheel_t *wheel, int64_t now_ns);

#endif
