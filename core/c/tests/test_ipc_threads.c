/* IPC under real threads: publishers and a subscriber work while the control plane links, unlinks and takes events. Its
 * use is under the thread sanitizer, which sees what an order that is too weak would allow. */
#include <pthread.h>

#include "api/client.h"
#include "driver_fixture.h"
#include "shm/log_buffer.h"

#define TERM_LENGTH 65536
#define PUBLISHERS 2
#define MESSAGES 30000
#define LIMIT (60 * SECOND)

static driver_fixture_t fixture;
static fl_log_t log_buffer;
static fl_client_publication_t *publication;
static _Atomic int has_failed;
static _Atomic int is_done;         /* the subscriber's thread has ended */

static int64_t *counter(int32_t n)
{
    return driver_fixture_counter(&fixture, FIRST_COUNTER + n);
}

typedef struct message
{
    int64_t publisher;
    int64_t number;
    uint8_t filler[200];
} message_t;

static void *publish(void *argument)
{
    message_t message = {.publisher = (intptr_t)argument};
    for (message.number = 0; message.number < MESSAGES;)
    {
        memset(message.filler, (int)message.number, sizeof(message.filler));
        /* Lengths vary, so that terms end with padding. */
        const size_t length = sizeof(message) - (size_t)(message.number % 190);
        const int64_t result = fl_client_publication_offer(publication, &message, length, 0);
        if (result > 0)
        {
            message.number++;
        }
        else if (FL_BACK_PRESSURED != result && FL_ADMIN_ACTION != result && FL_NOT_CONNECTED != result)
        {
            atomic_store(&has_failed, 1);
            return NULL;
        }
        else
        {
            sched_yield();
        }
    }
    return NULL;
}

/* Every message once, in its publisher's order, with its bytes. */
static void *consume(void *argument)
{
    int64_t next[PUBLISHERS] = {0};
    fl_fragment_t fragments[16];
    fl_client_image_t *image = fl_client_image_new(&log_buffer, counter(2), 7);
    fl_client_subscription_t *subscription = fl_client_subscription_new();
    (void)argument;
    fl_client_subscription_add_image(subscription, image);
    for (int64_t total = 0; total < PUBLISHERS * MESSAGES && !atomic_load(&has_failed);)
    {
        const int count = fl_client_subscription_poll(subscription, fragments, 16, 0);
        for (int i = 0; i < count; i++)
        {
            message_t message;
            memcpy(&message, fragments[i].data, fragments[i].length);
            const bool is_right = message.publisher >= 0 && message.publisher < PUBLISHERS &&
                message.number == next[message.publisher] &&
                fragments[i].length == sizeof(message) - (size_t)(message.number % 190) &&
                message.filler[0] == (uint8_t)message.number;
            if (!is_right)
            {
                atomic_store(&has_failed, 2);
                break;
            }
            next[message.publisher]++;
            total++;
        }
        if (0 == count)
        {
            sched_yield();
        }
    }
    fl_client_subscription_poll(subscription, fragments, 1, 0);   /* consumes the last ones */
    fl_client_subscription_remove_image(subscription, image);
    fl_client_subscription_close(subscription);
    fl_client_subscription_free(subscription);
    fl_client_image_close(image);
    fl_client_image_free(image);
    atomic_store(&is_done, 1);
    return NULL;
}

static void test_messages_pass_while_subscribers_come_and_go(void)
{
    driver_fixture_prepare(&fixture, fl_clock_system(), FL_THREADING_DEDICATED);
    fixture.config.timer_interval_ns = 2 * MS;
    for (int i = 0; i < FL_AGENTS; i++)
    {
        fixture.config.idle[i].kind = FL_IDLE_YIELD;
    }
    driver_fixture_start(&fixture);
    fl_driver_set_has_clients(fixture.driver, 1);
    const fl_log_params_t log_params = {.correlation_id = 7, .session_id = 5, .stream_id = 1001, .initial_term_id = -3,
        .starting_term_id = -3, .mtu_length = 1408, .term_length = TERM_LENGTH, .page_size = 4096,
        .publication_window_length = TERM_LENGTH / 2, .entity_tag = -1, .response_correlation_id = -1, .sparse = 1,
        .type = FL_LOG_TYPE_CONCURRENT};
    CHECK_EQUAL(0, fl_log_create(&log_buffer, driver_fixture_path(&fixture, "log"), &log_params));
    const fl_ipc_publication_params_t params = {.registration_id = 7, .log = &log_buffer,
        .publication_window_length = TERM_LENGTH / 2, .publisher_position_counter_id = FIRST_COUNTER,
        .publisher_limit_counter_id = FIRST_COUNTER + 1};
    fl_ipc_publication_t *owned = fl_ipc_publication_add(fixture.driver, &params);
    CHECK(NULL != owned);
    CHECK_EQUAL(0, fl_ipc_publication_link(fixture.driver, owned, 100, FIRST_COUNTER + 2));
    publication = fl_client_publication_new(&log_buffer, counter(1), 0);
    CHECK(NULL != publication);

    pthread_t threads[PUBLISHERS + 1];
    for (intptr_t i = 0; i < PUBLISHERS; i++)
    {
        CHECK_EQUAL(0, pthread_create(&threads[i], NULL, publish, (void *)i));
    }
    CHECK_EQUAL(0, pthread_create(&threads[PUBLISHERS], NULL, consume, NULL));
    const int64_t begin_ns = fl_clock_read(CLOCK_MONOTONIC);
    int64_t last = 0;
    while (!atomic_load(&is_done))
    {
        fl_driver_event_t event;
        fl_driver_wait(fixture.driver, MS, FL_WAIT_COMMAND | FL_WAIT_EVENT);
        while (fl_driver_next_event(fixture.driver, &event))
        {
            CHECK_EQUAL(FL_OBJECT_CONDUCTOR, event.kind);
        }
        /* A second subscriber, who never reads, for as long as one wait takes. */
        const int64_t joined = fl_ipc_publication_link(fixture.driver, owned, 101, FIRST_COUNTER + 3);
        CHECK(joined >= last);
        CHECK_EQUAL(joined, fl_counter_get(counter(3)));
        last = joined;
        CHECK_EQUAL(0, fl_ipc_publication_unlink(fixture.driver, owned, 101));
        CHECK(fl_clock_read(CLOCK_MONOTONIC) - begin_ns < LIMIT);
    }
    for (int i = 0; i < PUBLISHERS + 1; i++)
    {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQUAL(0, atomic_load(&has_failed));
    CHECK_EQUAL(fl_client_publication_position(publication), fl_counter_get(counter(2)));
    CHECK_EQUAL(0, driver_fixture_value(&fixture, FL_COUNTER_UNBLOCKED_PUBLICATIONS));
    fl_client_publication_close(publication);
    fl_client_publication_free(publication);
    CHECK_EQUAL(0, fl_ipc_publication_remove(fixture.driver, owned));
    fl_log_close(&log_buffer);
    unlink(driver_fixture_path(&fixture, "log"));
    driver_fixture_close(&fixture);
}

int main(void)
{
    RUN(test_messages_pass_while_subscribers_come_and_go);
    return 0;
}
