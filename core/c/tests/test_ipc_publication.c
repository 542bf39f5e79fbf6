/* IPC publications: limit, cleaning, blocked publishers, the end, and what hostile clients write (shm 9.6, 9.7). */
#include "conductor/ipc_publication.h"
#include "driver_fixture.h"
#include "protocol/frames.h"
#include "shm/log_buffer.h"
#include "shm/term.h"

#define TERM_LENGTH 65536
#define INITIAL_TERM_ID 0x7ffffffe
#define SESSION_ID 0x1234abcd
#define STREAM_ID 1001

/* Counters: pub-pos, pub-lmt, then one position for each subscriber. */
#define PUB_POS driver_fixture_value(&fixture.driver, FIRST_COUNTER)
#define PUB_LMT driver_fixture_value(&fixture.driver, FIRST_COUNTER + 1)
#define SUB_POS(n) driver_fixture_value(&fixture.driver, FIRST_COUNTER + 2 + (n))

static struct
{
    driver_fixture_t driver;
    fl_log_t log;
    fl_ipc_publication_t *publication;
    int64_t tail;
} fixture;

static void open_at(int64_t start_position, int32_t window_length, int is_exclusive)
{
    driver_fixture_prepare(&fixture.driver, NULL, FL_THREADING_INVOKER);
    driver_fixture_start(&fixture.driver);
    const fl_log_params_t log_params = {.correlation_id = 7, .session_id = SESSION_ID, .stream_id = STREAM_ID,
        .initial_term_id = INITIAL_TERM_ID,
        .starting_term_id = (int32_t)((uint32_t)INITIAL_TERM_ID + (uint32_t)(start_position / TERM_LENGTH)),
        .starting_term_offset = (int32_t)(start_position % TERM_LENGTH), .mtu_length = 1408, .term_length = TERM_LENGTH,
        .page_size = 4096, .publication_window_length = window_length, .entity_tag = -1, .response_correlation_id = -1,
        .sparse = 1, .type = is_exclusive ? FL_LOG_TYPE_EXCLUSIVE : FL_LOG_TYPE_CONCURRENT};
    CHECK_EQUAL(0, fl_log_create(&fixture.log, driver_fixture_path(&fixture.driver, "log"), &log_params));
    const fl_ipc_publication_params_t params = {.registration_id = 7, .log = &fixture.log,
        .start_position = start_position, .publication_window_length = window_length,
        .is_exclusive = (uint8_t)is_exclusive, .publisher_position_counter_id = FIRST_COUNTER,
        .publisher_limit_counter_id = FIRST_COUNTER + 1};
    fixture.publication = fl_ipc_publication_add(fixture.driver.driver, &params);
    CHECK(NULL != fixture.publication);
    fixture.tail = start_position;
}

static void close_all(void)
{
    if (NULL != fixture.publication)
    {
        CHECK_EQUAL(0, fl_ipc_publication_remove(fixture.driver.driver, fixture.publication));
    }
    fl_log_close(&fixture.log);
    unlink(driver_fixture_path(&fixture.driver, "log"));
    driver_fixture_close(&fixture.driver);
}

static void cycle(void)
{
    fl_driver_invoke(fixture.driver.driver);
}

/* One timer pass, and cycles around it. */
static void pass(void)
{
    driver_fixture_run(&fixture.driver, 1, SECOND + MS);
}

static void link_subscriber(int n, int64_t expected_position)
{
    fl_counter_set(driver_fixture_counter(&fixture.driver, FIRST_COUNTER + 2 + n), -1);
    CHECK_EQUAL(expected_position,
        fl_ipc_publication_link(fixture.driver.driver, fixture.publication, 100 + n, FIRST_COUNTER + 2 + n));
    CHECK_EQUAL(expected_position, SUB_POS(n));
}

static void consume(int n, int64_t position)
{
    fl_counter_set(driver_fixture_counter(&fixture.driver, FIRST_COUNTER + 2 + n), position);
}

static void set_tail(int64_t position)
{
    const int32_t count = (int32_t)(position / TERM_LENGTH);
    fl_i64_store_release(&fixture.log.metadata->term_tail_counters[fl_partition_of_count(count)],
        fl_raw_tail(fl_log_term_id(&fixture.log, position), (int32_t)(position % TERM_LENGTH)));
}

/* What a publisher claims: the tail moves; complete says whether the frame follows. */
static void claim(int32_t length, bool is_complete)
{
    const int32_t offset = fl_log_term_offset(&fixture.log, fixture.tail);
    const int32_t count = (int32_t)(fixture.tail / TERM_LENGTH);
    uint8_t *frame = fl_log_term(&fixture.log, fixture.tail) + offset;
    const int64_t raw_tail = fl_raw_tail(fl_log_term_id(&fixture.log, fixture.tail), offset + length);
    CHECK(length <= TERM_LENGTH - offset);
    CHECK_EQUAL(0, fl_i32_load_acquire(frame));   /* a publisher relies on clean memory */
    fl_i64_store_release(&fixture.log.metadata->term_tail_counters[fl_partition_of_count(count)], raw_tail);
    if (is_complete)
    {
        memset(frame + 4, 0x5a, (size_t)length - 4);
        fl_i32_store_release(frame, length);
    }
    fixture.tail += length;
    if (0 == fixture.tail % TERM_LENGTH)
    {
        fl_log_rotate(&fixture.log, count, fl_log_term_id(&fixture.log, fixture.tail - 1));
    }
}

static uint32_t events(void)
{
    fl_driver_event_t event;
    uint32_t mask = 0;
    while (fl_driver_next_event(fixture.driver.driver, &event))
    {
        mask |= FL_OBJECT_IPC_PUBLICATION == event.kind && 7 == event.id ? event.mask : 0;
    }
    return mask;
}

/* The trace of the layout vectors, examples.ipc_publisher_limit_trace: values repeat while the limit does not trip. */
static void test_the_limit_trips_as_in_the_trace(void)
{
    static const int64_t limits[] = {
        32768, 37888, 43008, 48128, 53248, 58368, 63488, 68608, 73728, 78848, 83968, 89088, 94208};
    open_at(0, 32768, 0);
    cycle();
    CHECK_EQUAL(0, PUB_LMT);
    link_subscriber(0, 0);
    for (int64_t step = 0; step < 65; step++)
    {
        while (fixture.tail < 1024 * step)
        {
            claim(1024, true);
        }
        consume(0, 1024 * step);
        cycle();
        CHECK_EQUAL(limits[step / 5], PUB_LMT);
        CHECK_EQUAL(1024 * step, PUB_POS);
    }
    close_all();
}

static void test_without_subscribers_the_limit_falls_to_the_consumers(void)
{
    open_at(0, 32768, 0);
    link_subscriber(0, 0);
    cycle();
    CHECK_EQUAL(32768, PUB_LMT);
    CHECK_EQUAL(1, fixture.log.metadata->is_connected);
    claim(2048, true);
    consume(0, 1024);
    cycle();
    CHECK_EQUAL(0, fl_ipc_publication_unlink(fixture.driver.driver, fixture.publication, 100));
    CHECK_EQUAL(-FL_ENOENT, fl_ipc_publication_unlink(fixture.driver.driver, fixture.publication, 100));
    CHECK_EQUAL(0, fixture.log.metadata->is_connected);
    cycle();
    CHECK_EQUAL(1024, PUB_LMT);
    link_subscriber(1, 1024);
    cycle();
    CHECK_EQUAL(1024 + 32768, PUB_LMT);
    close_all();
}

static void test_a_stream_runs_through_many_terms_on_clean_memory(void)
{
    const int64_t start = 5 * TERM_LENGTH + 4096;
    open_at(start, 32768, 0);
    link_subscriber(0, start);
    link_subscriber(1, start);
    cycle();
    for (int i = 0; i < 2000; i++)
    {
        while (fixture.tail < PUB_LMT)
        {
            claim(1024, true);   /* which checks that memory is clean */
        }
        consume(0, fixture.tail);
        cycle();
        consume(1, fixture.tail - (0 == i % 3 ? 1024 : 0));
        cycle();
        CHECK(PUB_LMT <= SUB_POS(1) + 32768);
        CHECK(PUB_LMT + 4096 > SUB_POS(1) + 32768);
    }
    CHECK(fixture.tail > start + 20 * TERM_LENGTH);
    close_all();
}

static void test_a_joining_subscriber_begins_at_the_slowest(void)
{
    open_at(0, 32768, 0);
    link_subscriber(0, 0);
    cycle();
    claim(4096, true);
    consume(0, 4096);
    cycle();
    link_subscriber(1, 4096);
    claim(4096, true);
    consume(0, 8192);
    cycle();
    link_subscriber(2, 4096);
    close_all();
}

static void test_impossible_subscriber_positions_are_not_believed(void)
{
    static const int64_t hostile[] = {
        INT64_MAX, INT64_MIN, -1, 1 << 20, 2048 + 32, INT64_MAX - 31, 1025, 2047, 1024 + 16};
    open_at(0, 32768, 0);
    link_subscriber(0, 0);
    cycle();
    claim(2048, true);
    consume(0, 1024);
    cycle();
    const int64_t limit = PUB_LMT;
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
    {
        consume(0, hostile[i]);
        cycle();
        CHECK_EQUAL(limit, PUB_LMT);
        CHECK_EQUAL(1024, fixture.publication->consumer_position);
    }
    pass();
    close_all();
}

static void test_impossible_tails_are_not_believed(void)
{
    open_at(0, 32768, 0);
    link_subscriber(0, 0);
    claim(2048, true);
    cycle();
    CHECK_EQUAL(2048, PUB_POS);
    static const int64_t tails[] = {
        INT64_MIN, INT64_MAX, -1, 0, INT64_C(0x7fffffff00000000), INT64_C(0x7ffffffe00000000)};
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++)
    {
        fl_i64_store_release(&fixture.log.metadata->term_tail_counters[0], tails[i]);
        cycle();
        pass();
        CHECK_EQUAL(2048, PUB_POS);
    }
    static const int32_t counts[] = {INT32_MIN, -1, 1, 2, 3, INT32_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
    {
        fl_i32_store_release(&fixture.log.metadata->active_term_count, counts[i]);
        cycle();
        pass();
        CHECK_EQUAL(2048, PUB_POS);
    }
    driver_fixture_run(&fixture.driver, 40, SECOND);
    fl_i32_store_release(&fixture.log.metadata->active_term_count, 0);
    set_tail(4096);
    cycle();
    CHECK_EQUAL(4096, PUB_POS);
    CHECK_EQUAL(0, fl_ipc_publication_drain(fixture.driver.driver, fixture.publication));
    CHECK_EQUAL(4096, fixture.log.metadata->end_of_stream_position);
    close_all();
}

static void test_a_publisher_that_died_is_unblocked_after_the_timeout(void)
{
    open_at(0, 32768, 0);
    link_subscriber(0, 0);
    cycle();
    claim(1024, true);
    claim(512, false);
    claim(1024, true);
    consume(0, 1024);
    for (int i = 0; i < 15; i++)
    {
        pass();
        CHECK_EQUAL(0, driver_fixture_value(&fixture.driver, FL_COUNTER_UNBLOCKED_PUBLICATIONS));
    }
    pass();
    pass();
    CHECK_EQUAL(1, driver_fixture_value(&fixture.driver, FL_COUNTER_UNBLOCKED_PUBLICATIONS));
    const fl_data_header_t *header = (const fl_data_header_t *)(fixture.log.terms[0] + 1024);
    CHECK_EQUAL(512, header->frame_length);
    CHECK_EQUAL(FL_FRAME_PAD, header->type);
    close_all();
}

static void test_an_exclusive_publication_is_not_unblocked_while_it_lives(void)
{
    open_at(0, 32768, 1);
    link_subscriber(0, 0);
    cycle();
    claim(512, false);
    claim(1024, true);
    driver_fixture_run(&fixture.driver, 40, SECOND + MS);
    CHECK_EQUAL(0, driver_fixture_value(&fixture.driver, FL_COUNTER_UNBLOCKED_PUBLICATIONS));
    CHECK_EQUAL(0, fl_ipc_publication_drain(fixture.driver.driver, fixture.publication));
    pass();
    CHECK_EQUAL(1, driver_fixture_value(&fixture.driver, FL_COUNTER_UNBLOCKED_PUBLICATIONS));
    close_all();
}

static void test_a_drained_publication_lingers_once_everybody_has_read_it(void)
{
    open_at(0, 32768, 0);
    link_subscriber(0, 0);
    cycle();
    claim(2048, true);
    cycle();
    CHECK_EQUAL(0, fl_ipc_publication_drain(fixture.driver.driver, fixture.publication));
    CHECK_EQUAL(2048, PUB_LMT);
    CHECK_EQUAL(2048, fixture.log.metadata->end_of_stream_position);
    link_subscriber(1, 0);   /* there is something to read yet */
    pass();
    CHECK_EQUAL(0, events());
    consume(0, 2048);
    consume(1, 2048);
    CHECK_EQUAL(-FL_EAGAIN,
        fl_ipc_publication_link(fixture.driver.driver, fixture.publication, 102, FIRST_COUNTER + 4));
    pass();
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER, events());
    pass();
    CHECK_EQUAL(FL_EVENT_PUBLICATION_DONE, events());
    pass();
    CHECK_EQUAL(0, events());
    close_all();
}

static void test_a_revoked_publication_ends_at_its_producer_position(void)
{
    open_at(0, 32768, 1);
    link_subscriber(0, 0);
    cycle();
    claim(2048, true);
    CHECK_EQUAL(0, fl_ipc_publication_revoke(fixture.driver.driver, fixture.publication));
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER | FL_EVENT_PUBLICATION_REVOKED, events());
    CHECK_EQUAL(2048, PUB_LMT);
    CHECK_EQUAL(2048, PUB_POS);
    CHECK_EQUAL(2048, fixture.log.metadata->end_of_stream_position);
    CHECK_EQUAL(0, fixture.log.metadata->is_connected);
    CHECK_EQUAL(1, driver_fixture_value(&fixture.driver, FL_COUNTER_PUBLICATIONS_REVOKED));
    pass();
    CHECK_EQUAL(0, events());   /* until the last reference is gone */
    CHECK_EQUAL(0, fl_ipc_publication_revoke(fixture.driver.driver, fixture.publication));
    CHECK_EQUAL(0, fl_ipc_publication_drain(fixture.driver.driver, fixture.publication));
    pass();
    CHECK_EQUAL(FL_EVENT_PUBLICATION_DONE, events());
    CHECK_EQUAL(1, driver_fixture_value(&fixture.driver, FL_COUNTER_PUBLICATIONS_REVOKED));
    close_all();
}

static void test_a_rejection_unlinks_all_and_cools_down(void)
{
    open_at(0, 32768, 0);
    link_subscriber(0, 0);
    link_subscriber(1, 0);
    cycle();
    CHECK_EQUAL(0, fl_ipc_publication_reject(fixture.driver.driver, fixture.publication, 10 * SECOND));
    CHECK_EQUAL(0, fixture.log.metadata->is_connected);
    cycle();
    CHECK_EQUAL(0, PUB_LMT);
    consume(0, 4096);   /* a client that has not seen the event yet: the counter is another's now */
    CHECK_EQUAL(-FL_EAGAIN,
        fl_ipc_publication_link(fixture.driver.driver, fixture.publication, 100, FIRST_COUNTER + 2));
    driver_fixture_run(&fixture.driver, 9, SECOND);
    CHECK_EQUAL(0, events());
    driver_fixture_run(&fixture.driver, 3, SECOND);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_COOLED, events());
    link_subscriber(0, 0);
    cycle();
    CHECK_EQUAL(32768, PUB_LMT);
    close_all();
}

static void test_an_object_with_something_to_say_may_be_removed(void)
{
    open_at(0, 32768, 1);
    CHECK_EQUAL(0, fl_ipc_publication_revoke(fixture.driver.driver, fixture.publication));
    pass();   /* the conductor's timer is on the stack too */
    CHECK_EQUAL(0, fl_ipc_publication_remove(fixture.driver.driver, fixture.publication));
    fixture.publication = NULL;
    fl_driver_event_t event;
    CHECK_EQUAL(1, fl_driver_next_event(fixture.driver.driver, &event));
    CHECK_EQUAL(FL_OBJECT_CONDUCTOR, event.kind);
    CHECK_EQUAL(0, fl_driver_next_event(fixture.driver.driver, &event));
    close_all();
}

int main(void)
{
    RUN(test_the_limit_trips_as_in_the_trace);
    RUN(test_without_subscribers_the_limit_falls_to_the_consumers);
    RUN(test_a_stream_runs_through_many_terms_on_clean_memory);
    RUN(test_a_joining_subscriber_begins_at_the_slowest);
    RUN(test_impossible_subscriber_positions_are_not_believed);
    RUN(test_impossible_tails_are_not_believed);
    RUN(test_a_publisher_that_died_is_unblocked_after_the_timeout);
    RUN(test_an_exclusive_publication_is_not_unblocked_while_it_lives);
    RUN(test_a_drained_publication_lingers_once_everybody_has_read_it);
    RUN(test_a_revoked_publication_ends_at_its_producer_position);
    RUN(test_a_rejection_unlinks_all_and_cools_down);
    RUN(test_an_object_with_something_to_say_may_be_removed);
    return 0;
}
