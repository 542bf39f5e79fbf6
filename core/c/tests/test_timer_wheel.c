/* Timers fire once, not before their deadline and at most a tick and a cycle after it. */
#include "check.h"
#include "util/timer_wheel.h"

#define TICK (INT64_C(1) << FL_TIMER_TICK_SHIFT)
#define TURN (TICK * FL_TIMER_SLOTS)
#define TIMERS 400

typedef struct alarm_clock
{
    fl_timer_t timer;      /* first: the wheel gives its address */
    int64_t fired_ns;
    int fired;
    int64_t again_ns;      /* above 0: how long until it is wanted again */
    struct alarm_clock *victim;   /* is cancelled when this fires */
} alarm_clock_t;

static fl_timer_wheel_t wheel;
static alarm_clock_t alarms[TIMERS];

static void on_expiry(fl_timer_t *timer, int64_t now_ns)
{
    alarm_clock_t *alarm = (alarm_clock_t *)timer;
    alarm->fired++;
    alarm->fired_ns = now_ns;
    CHECK(!fl_timer_is_scheduled(timer));
    if (alarm->again_ns > 0)
    {
        fl_timer_schedule(&wheel, timer, now_ns + alarm->again_ns);
    }
    if (NULL != alarm->victim)
    {
        fl_timer_cancel(&wheel, &alarm->victim->timer);
    }
}

static void begin(int64_t now_ns)
{
    memset(alarms, 0, sizeof(alarms));
    fl_timer_wheel_init(&wheel, now_ns);
    for (int i = 0; i < TIMERS; i++)
    {
        fl_timer_init(&alarms[i].timer, on_expiry);
    }
}

static void test_timers_keep_their_deadlines_over_many_turns(void)
{
    uint64_t random = 1;
    int64_t now_ns = 7 * TURN + 12345;
    int64_t deadlines[TIMERS];
    const int64_t step_ns = TICK / 3;
    begin(now_ns);
    for (int i = 0; i < TIMERS; i++)
    {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        deadlines[i] = now_ns + (int64_t)((random >> 20) % (uint64_t)(3 * TURN));
        fl_timer_schedule(&wheel, &alarms[i].timer, deadlines[i]);
    }
    CHECK_EQUAL(TIMERS, wheel.count);
    int fired = 0;
    for (; fired < TIMERS; now_ns += step_ns)
    {
        CHECK(now_ns < 12 * TURN);
        fired += fl_timer_wheel_poll(&wheel, now_ns);
    }
    for (int i = 0; i < TIMERS; i++)
    {
        CHECK_EQUAL(1, alarms[i].fired);
        CHECK(alarms[i].fired_ns >= deadlines[i]);
        CHECK(alarms[i].fired_ns <= deadlines[i] + TICK + step_ns);
    }
    CHECK_EQUAL(0, wheel.count);
}

static void test_a_deadline_in_the_past_fires_at_the_next_tick_and_not_in_the_same_poll(void)
{
    begin(TURN);
    alarms[0].again_ns = 1;   /* due again before the next tick */
    fl_timer_schedule(&wheel, &alarms[0].timer, 5);
    CHECK_EQUAL(1, fl_timer_wheel_poll(&wheel, TURN + 2 * TICK));
    CHECK_EQUAL(0, fl_timer_wheel_poll(&wheel, TURN + 2 * TICK));
    CHECK_EQUAL(1, fl_timer_wheel_poll(&wheel, TURN + 3 * TICK));
}

static void test_a_jump_of_the_clock_visits_each_slot_once(void)
{
    begin(0);
    for (int i = 0; i < TIMERS; i++)
    {
        alarms[i].again_ns = 1;
        fl_timer_schedule(&wheel, &alarms[i].timer, i * TICK * 5 / 2);
    }
    CHECK_EQUAL(TIMERS, fl_timer_wheel_poll(&wheel, 100 * TURN));
    for (int i = 0; i < TIMERS; i++)
    {
        CHECK_EQUAL(1, alarms[i].fired);
    }
    CHECK_EQUAL(TIMERS, fl_timer_wheel_poll(&wheel, 100 * TURN + TICK));
}

static void test_a_timer_cancelled_by_one_that_fires_with_it_stays_silent(void)
{
    begin(0);
    for (int i = 0; i < 3; i++)
    {
        fl_timer_schedule(&wheel, &alarms[i].timer, 10 + i);
    }
    alarms[0].victim = &alarms[1];
    CHECK_EQUAL(2, fl_timer_wheel_poll(&wheel, 2 * TICK));
    CHECK_EQUAL(0, alarms[1].fired);
    CHECK_EQUAL(1, alarms[2].fired);
    CHECK_EQUAL(0, wheel.count);
}

static void test_rescheduling_moves_a_timer(void)
{
    begin(0);
    fl_timer_schedule(&wheel, &alarms[0].timer, TICK);
    fl_timer_schedule(&wheel, &alarms[0].timer, 10 * TICK);
    CHECK_EQUAL(1, wheel.count);
    CHECK_EQUAL(0, fl_timer_wheel_poll(&wheel, 5 * TICK));
    fl_timer_cancel(&wheel, &alarms[0].timer);
    fl_timer_cancel(&wheel, &alarms[0].timer);
    CHECK_EQUAL(0, wheel.count);
    CHECK_EQUAL(0, fl_timer_wheel_poll(&wheel, 20 * TICK));
}

int main(void)
{
    RUN(test_timers_keep_their_deadlines_over_many_turns);
    RUN(test_a_deadline_in_the_past_fires_at_the_next_tick_and_not_in_the_same_poll);
    RUN(test_a_jump_of_the_clock_visits_each_slot_once);
    RUN(test_a_timer_cancelled_by_one_that_fires_with_it_stays_silent);
    RUN(test_rescheduling_moves_a_timer);
    return 0;
}
