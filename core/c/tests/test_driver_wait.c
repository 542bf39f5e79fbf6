/* What the control plane waits for: events of several agents, commands, wake-ups; and the driver after a fork. */
#include <pthread.h>
#include <sys/wait.h>

#include "agent/notice.h"
#include "driver_fixture.h"

#define PRODUCERS 3
#define ROUNDS 4000
#define BOTH (FL_WAIT_COMMAND | FL_WAIT_EVENT)
#define LONG (20 * SECOND)      /* far longer than any round; a lost wake-up costs this much */

static driver_fixture_t fixture;

typedef struct producer
{
    fl_object_t objects[4];
    _Atomic uint32_t raised;         /* raises so far */
    _Atomic uint32_t seen;           /* raises that the control plane knows of */
    int number;
} producer_t;

static producer_t producers[PRODUCERS];

/* Raise, and wait until it was seen: each round the control plane may be asleep, or about to be. */
static void *raise_in_turns(void *argument)
{
    producer_t *producer = argument;
    for (uint32_t i = 0; i < ROUNDS; i++)
    {
        atomic_store_explicit(&producer->raised, i + 1, memory_order_relaxed);
        fl_object_raise(&fixture.driver->context.events, &producer->objects[i % 4], 1u << (i % 3));
        while (atomic_load_explicit(&producer->seen, memory_order_acquire) != i + 1)
        {
            sched_yield();
        }
    }
    return NULL;
}

static void test_no_event_is_lost_between_looking_and_sleeping(void)
{
    pthread_t threads[PRODUCERS];
    uint64_t sum[PRODUCERS] = {0};
    driver_fixture_prepare(&fixture, fl_clock_system(), FL_THREADING_SHARED);
    driver_fixture_start(&fixture);
    memset(producers, 0, sizeof(producers));
    for (int i = 0; i < PRODUCERS; i++)
    {
        for (int k = 0; k < 4; k++)
        {
            producers[i].objects[k].kind = FL_OBJECT_PUBLICATION;
            producers[i].objects[k].id = i;
        }
        CHECK_EQUAL(0, pthread_create(&threads[i], NULL, raise_in_turns, &producers[i]));
    }
    const int64_t begin_ns = fl_clock_read(CLOCK_MONOTONIC);
    for (int done = 0; done < PRODUCERS * ROUNDS;)
    {
        fl_driver_event_t event;
        fl_driver_wait(fixture.driver, BOTH, LONG);
        while (fl_driver_next_event(fixture.driver, &event))
        {
            if (FL_OBJECT_PUBLICATION != event.kind)
            {
                continue;
            }
            producer_t *producer = &producers[event.id];
            const uint32_t seen = atomic_load_explicit(&producer->seen, memory_order_relaxed);
            CHECK_EQUAL(1u << (seen % 3), event.mask);
            /* What was stored before the raise is visible. */
            CHECK_EQUAL(seen + 1, atomic_load_explicit(&producer->raised, memory_order_relaxed));
            sum[event.id] += event.mask;
            atomic_store_explicit(&producer->seen, seen + 1, memory_order_release);
            done++;
        }
        CHECK(fl_clock_read(CLOCK_MONOTONIC) - begin_ns < LONG);
    }
    for (int i = 0; i < PRODUCERS; i++)
    {
        pthread_join(threads[i], NULL);
    }
    driver_fixture_close(&fixture);
}

static void test_what_happens_to_one_object_is_summed_up_until_it_is_taken(void)
{
    fl_object_t objects[2] = {{.kind = FL_OBJECT_IMAGE, .id = 1}, {.kind = FL_OBJECT_IMAGE, .id = 2}};
    fl_driver_event_t event;
    driver_fixture_prepare(&fixture, NULL, FL_THREADING_INVOKER);
    driver_fixture_start(&fixture);
    fl_object_stack_t *events = &fixture.driver->context.events;
    fl_object_raise(events, &objects[0], 1);
    fl_object_raise(events, &objects[1], 2);
    fl_object_raise(events, &objects[0], 4);
    CHECK_EQUAL(FL_WAIT_EVENT, fl_driver_wait(fixture.driver, BOTH, LONG));
    CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
    CHECK_EQUAL(1, event.id);
    CHECK_EQUAL(5, event.mask);
    fl_object_raise(events, &objects[0], 8);   /* while the other is still to be handed out */
    CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
    CHECK_EQUAL(2, event.id);
    CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
    CHECK_EQUAL(8, event.mask);
    CHECK_EQUAL(0, fl_driver_next_event(fixture.driver, &event));
    driver_fixture_close(&fixture);
}

static void test_a_forgotten_object_is_not_handed_out(void)
{
    fl_object_t objects[3];
    fl_driver_event_t event;
    driver_fixture_prepare(&fixture, NULL, FL_THREADING_INVOKER);
    driver_fixture_start(&fixture);
    fl_object_stack_t *events = &fixture.driver->context.events;
    for (int forgotten = 0; forgotten < 3; forgotten++)
    {
        for (int is_taken = 0; is_taken < 2; is_taken++)
        {
            for (int i = 0; i < 3; i++)
            {
                objects[i] = (fl_object_t){.kind = FL_OBJECT_IMAGE, .id = i};
                fl_object_raise(events, &objects[i], 1);
            }
            int64_t expected = 3 - 1;
            if (is_taken)   /* the whole stack, with the first object */
            {
                CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
                expected = 0 == forgotten ? 2 : 1;
            }
            fl_driver_forget(fixture.driver, &objects[forgotten]);
            for (; expected > 0; expected--)
            {
                CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
                CHECK(forgotten != event.id);
            }
            CHECK_EQUAL(0, fl_driver_next_event(fixture.driver, &event));
        }
    }
    driver_fixture_close(&fixture);
}

static void test_a_notice_comes_back_with_its_reading(void)
{
    fl_notice_pool_t pool;
    fl_driver_event_t event;
    driver_fixture_prepare(&fixture, NULL, FL_THREADING_INVOKER);
    driver_fixture_start(&fixture);
    CHECK_EQUAL(0, fl_notice_pool_init(&pool, 3));
    for (int round = 0; round < 5; round++)
    {
        fl_notice_t *notice;
        int64_t taken = 0;
        while (NULL != (notice = fl_notice_take(&pool, FL_OBJECT_SETUP)))
        {
            CHECK_EQUAL(0, notice->content.session_id);
            notice->content.id = 10 * round + taken++;
            notice->content.session_id = 77;
            fl_notice_raise(notice, &fixture.driver->context.events);
        }
        CHECK_EQUAL(3, taken);
        for (int64_t i = 0; i < taken; i++)
        {
            CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
            CHECK_EQUAL(FL_OBJECT_SETUP, event.kind);
            CHECK_EQUAL(10 * round + i, event.id);
        }
    }
    fl_notice_pool_destroy(&pool);
    driver_fixture_close(&fixture);
}

static void *wake_later(void *argument)
{
    (void)argument;
    fl_driver_wake(fixture.driver);
    return NULL;
}

static void test_a_wake_ends_a_wait_that_begins_after_it(void)
{
    driver_fixture_prepare(&fixture, fl_clock_system(), FL_THREADING_DEDICATED);
    fixture.config.timer_interval_ns = 100 * LONG;
    driver_fixture_start(&fixture);
    const int64_t begin_ns = fl_clock_read(CLOCK_MONOTONIC);
    for (int i = 0; i < 200; i++)
    {
        pthread_t thread;
        CHECK_EQUAL(0, pthread_create(&thread, NULL, wake_later, NULL));
        CHECK_EQUAL(0, fl_driver_wait(fixture.driver, BOTH, LONG));
        pthread_join(thread, NULL);
    }
    CHECK(fl_clock_read(CLOCK_MONOTONIC) - begin_ns < LONG);
    driver_fixture_close(&fixture);
}

/* The commands of a client: written to the ring, read by the conductor's thread, taken here. */
static void test_commands_come_in_order_and_unchanged(void)
{
    enum { COMMANDS = 20000 };
    fl_mpsc_ring_t ring;
    uint8_t buffer[131072];
    int64_t taken = 0, written = 0;
    driver_fixture_prepare(&fixture, fl_clock_system(), FL_THREADING_DEDICATED);
    driver_fixture_start(&fixture);
    CHECK_EQUAL(0, fl_mpsc_ring_init(&ring, fixture.cnc.to_driver, fixture.cnc.to_driver_length));
    const int64_t begin_ns = fl_clock_read(CLOCK_MONOTONIC);
    while (taken < COMMANDS)
    {
        while (written < COMMANDS && written < taken + 500)
        {
            int64_t message[40];
            const int32_t length = (int32_t)(8 + 8 * (written % 40));
            for (int i = 0; i < length / 8; i++)
            {
                message[i] = written + i;
            }
            const int result =
                fl_mpsc_ring_write(&ring, 1 + (int32_t)(written % 5), message, length - (int32_t)(written % 8));
            CHECK(0 == result || -FL_EAGAIN == result);
            if (0 != result)
            {
                break;
            }
            written++;
        }
        fl_driver_wait(fixture.driver, BOTH, LONG);
        int32_t type_id;
        int length;
        while ((length = fl_driver_next_command(fixture.driver, &type_id, buffer, sizeof(buffer))) >= 0)
        {
            const int32_t whole = (int32_t)(8 + 8 * (taken % 40));
            CHECK_EQUAL(whole - taken % 8, length);
            CHECK_EQUAL(1 + taken % 5, type_id);
            for (int i = 0; i < length / 8; i++)
            {
                int64_t word;
                memcpy(&word, buffer + 8 * i, sizeof(word));
                CHECK_EQUAL(taken + i, word);
            }
            taken++;
        }
        CHECK_EQUAL(-FL_EAGAIN, length);
        CHECK(fl_clock_read(CLOCK_MONOTONIC) - begin_ns < LONG);
    }
    driver_fixture_close(&fixture);
}

static void test_commands_that_are_not_wanted_yet_do_not_end_a_wait(void)
{
    fl_mpsc_ring_t ring;
    driver_fixture_prepare(&fixture, fl_clock_system(), FL_THREADING_SHARED);
    fixture.config.timer_interval_ns = 100 * LONG;
    driver_fixture_start(&fixture);
    CHECK_EQUAL(0, fl_mpsc_ring_init(&ring, fixture.cnc.to_driver, fixture.cnc.to_driver_length));
    CHECK_EQUAL(0, fl_mpsc_ring_write(&ring, 1, "12345678", 8));
    CHECK_EQUAL(FL_WAIT_COMMAND, fl_driver_wait(fixture.driver, BOTH, LONG));
    const int64_t begin_ns = fl_clock_read(CLOCK_MONOTONIC);
    for (int i = 0; i < 5; i++)
    {
        CHECK_EQUAL(0, fl_driver_wait(fixture.driver, FL_WAIT_EVENT, 10 * MS));
    }
    CHECK(fl_clock_read(CLOCK_MONOTONIC) - begin_ns >= 40 * MS);   /* one may end for a wake-up of before */
    CHECK_EQUAL(FL_WAIT_COMMAND, fl_driver_wait(fixture.driver, BOTH, LONG));
    driver_fixture_close(&fixture);
}

/* A control plane that does not take what comes leaves it in the ring, where clients see that it is full. */
static void test_a_slow_control_plane_loses_no_command(void)
{
    fl_mpsc_ring_t ring;
    static uint8_t buffer[131072];
    int64_t written = 0;
    driver_fixture_prepare(&fixture, NULL, FL_THREADING_INVOKER);
    driver_fixture_start(&fixture);
    CHECK_EQUAL(0, fl_mpsc_ring_init(&ring, fixture.cnc.to_driver, fixture.cnc.to_driver_length));
    for (int idle = 0; idle < 10;)
    {
        memset(buffer, (int)(written % 251), 4000);
        if (0 == fl_mpsc_ring_write(&ring, 1, buffer, 4000))
        {
            written++;
            idle = 0;
        }
        else
        {
            idle++;
        }
        driver_fixture_run(&fixture, 1, SECOND);
    }
    CHECK(written * 4000 > 1000000);
    CHECK_EQUAL(0, driver_fixture_value(&fixture, FL_COUNTER_UNBLOCKED_COMMANDS));
    int32_t type_id;
    for (int64_t taken = 0; taken < written; taken++)
    {
        CHECK_EQUAL(4000, fl_driver_next_command(fixture.driver, &type_id, buffer, sizeof(buffer)));
        CHECK_EQUAL(taken % 251, buffer[0]);
        CHECK_EQUAL(taken % 251, buffer[3999]);
        fl_driver_invoke(fixture.driver);
    }
    CHECK_EQUAL(-FL_EAGAIN, fl_driver_next_command(fixture.driver, &type_id, buffer, sizeof(buffer)));
    driver_fixture_close(&fixture);
}

static void test_a_command_that_does_not_fit_is_skipped_with_its_length(void)
{
    fl_mpsc_ring_t ring;
    uint8_t buffer[64];
    int32_t type_id;
    driver_fixture_prepare(&fixture, NULL, FL_THREADING_INVOKER);
    driver_fixture_start(&fixture);
    CHECK_EQUAL(0, fl_mpsc_ring_init(&ring, fixture.cnc.to_driver, fixture.cnc.to_driver_length));
    uint8_t message[65] = {0};
    CHECK_EQUAL(0, fl_mpsc_ring_write(&ring, 1, message, 65));
    CHECK_EQUAL(0, fl_mpsc_ring_write(&ring, 2, message, 64));
    fl_driver_invoke(fixture.driver);
    CHECK_EQUAL(-FL_EMSGSIZE, fl_driver_next_command(fixture.driver, &type_id, buffer, sizeof(buffer)));
    CHECK_EQUAL(64, fl_driver_next_command(fixture.driver, &type_id, buffer, sizeof(buffer)));
    CHECK_EQUAL(2, type_id);
    driver_fixture_close(&fixture);
}

static void write_keepalive(fl_mpsc_ring_t *ring, int64_t client_id)
{
    const int64_t message[2] = {client_id, -1};
    CHECK_EQUAL(0, fl_mpsc_ring_write(ring, 6, message, sizeof(message)));
}

static void test_keepalives_refresh_heartbeats_and_wake_nobody(void)
{
    fl_mpsc_ring_t ring;
    uint8_t buffer[64];
    int32_t type_id;
    driver_fixture_prepare(&fixture, NULL, FL_THREADING_INVOKER);
    driver_fixture_start(&fixture);
    CHECK_EQUAL(0, fl_mpsc_ring_init(&ring, fixture.cnc.to_driver, fixture.cnc.to_driver_length));
    CHECK_EQUAL(0, fl_driver_add_client(fixture.driver, 5, FIRST_COUNTER));
    write_keepalive(&ring, 5);
    write_keepalive(&ring, 6);
    fl_driver_invoke(fixture.driver);
    CHECK_EQUAL(fl_clock_epoch_now(fixture.clock) / MS, driver_fixture_value(&fixture, FIRST_COUNTER));
    CHECK_EQUAL(0, fl_driver_wait(fixture.driver, BOTH, LONG));
    /* Among other commands they are passed over. */
    write_keepalive(&ring, 5);
    CHECK_EQUAL(0, fl_mpsc_ring_write(&ring, 3, buffer, 24));
    write_keepalive(&ring, 5);
    fl_driver_invoke(fixture.driver);
    CHECK_EQUAL(FL_WAIT_COMMAND, fl_driver_wait(fixture.driver, BOTH, LONG));
    CHECK_EQUAL(24, fl_driver_next_command(fixture.driver, &type_id, buffer, sizeof(buffer)));
    CHECK_EQUAL(3, type_id);
    CHECK_EQUAL(-FL_EAGAIN, fl_driver_next_command(fixture.driver, &type_id, buffer, sizeof(buffer)));
    CHECK_EQUAL(0, fl_driver_wait(fixture.driver, BOTH, LONG));
    CHECK_EQUAL(0, fl_driver_remove_client(fixture.driver, 5));
    fl_counter_set(driver_fixture_counter(&fixture, FIRST_COUNTER), 1);
    write_keepalive(&ring, 5);
    fl_driver_invoke(fixture.driver);
    CHECK_EQUAL(1, driver_fixture_value(&fixture, FIRST_COUNTER));
    driver_fixture_close(&fixture);
}

static void test_the_first_invocation_is_no_long_cycle(void)
{
    driver_fixture_prepare(&fixture, NULL, FL_THREADING_INVOKER);
    fixture.driver = fl_driver_new(&fixture.config);
    fl_clock_advance(fixture.clock, 30 * SECOND);   /* the control plane opens files and transports */
    CHECK_EQUAL(0, fl_driver_start(fixture.driver));
    fl_clock_advance(fixture.clock, MS);
    fl_driver_invoke(fixture.driver);
    CHECK_EQUAL(MS, driver_fixture_value(&fixture, FL_COUNTER_CONDUCTOR_MAX_CYCLE_TIME));
    CHECK_EQUAL(0, driver_fixture_value(&fixture, FL_COUNTER_CONDUCTOR_CYCLES_OVER_THRESHOLD));
    driver_fixture_close(&fixture);
}

/* What a child does with the handle that it inherited; it has a limit, since a defect here is a hang. */
static int in_child(uint32_t threading_mode)
{
    driver_fixture_prepare(&fixture, FL_THREADING_INVOKER == threading_mode ? NULL : fl_clock_system(), threading_mode);
    driver_fixture_start(&fixture);
    const pid_t child = fork();
    if (0 == child)
    {
        alarm(10);
        if (FL_THREADING_INVOKER == threading_mode)
        {
            fl_clock_advance(fixture.clock, 5 * SECOND);
            fl_driver_invoke(fixture.driver);
        }
        fl_driver_stop(fixture.driver);
        fl_driver_free(fixture.driver);
        _exit(0);
    }
    int status;
    CHECK_EQUAL(child, waitpid(child, &status, 0));
    return status;
}

static void test_a_forked_child_neither_stops_nor_runs_the_driver(void)
{
    CHECK_EQUAL(0, in_child(FL_THREADING_DEDICATED));
    int64_t client = 0;
    CHECK_EQUAL(0, fl_driver_add_client(fixture.driver, client, FIRST_COUNTER));   /* the parent's agents run on */
    driver_fixture_close(&fixture);

    CHECK_EQUAL(0, in_child(FL_THREADING_INVOKER));
    fl_mpsc_ring_t ring;
    CHECK_EQUAL(0, fl_mpsc_ring_init(&ring, fixture.cnc.to_driver, fixture.cnc.to_driver_length));
    CHECK_EQUAL(0, fl_mpsc_ring_heartbeat(&ring));   /* no timer pass of the child's */
    driver_fixture_close(&fixture);
}

int main(void)
{
    RUN(test_no_event_is_lost_between_looking_and_sleeping);
    RUN(test_what_happens_to_one_object_is_summed_up_until_it_is_taken);
    RUN(test_a_forgotten_object_is_not_handed_out);
    RUN(test_a_notice_comes_back_with_its_reading);
    RUN(test_a_wake_ends_a_wait_that_begins_after_it);
    RUN(test_commands_come_in_order_and_unchanged);
    RUN(test_commands_that_are_not_wanted_yet_do_not_end_a_wait);
    RUN(test_a_slow_control_plane_loses_no_command);
    RUN(test_a_command_that_does_not_fit_is_skipped_with_its_length);
    RUN(test_keepalives_refresh_heartbeats_and_wake_nobody);
    RUN(test_the_first_invocation_is_no_long_cycle);
    RUN(test_a_forked_child_neither_stops_nor_runs_the_driver);
    return 0;
}
