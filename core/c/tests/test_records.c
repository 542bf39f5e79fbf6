/* Rings and counters under threads: for the thread sanitizer. */
#include <framelane/types.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "shm/counters.h"
#include "shm/mpsc_ring.h"

#define RING_CAPACITY 4096
/* So small that the receivers are overrun all the time. */
#define BROADCAST_CAPACITY 256
#define BROADCAST_WORDS 4
#define EVENTS 400000
#define PRODUCERS 3
#define RECORDS 20000

static _Alignas(64) uint8_t ring_section[RING_CAPACITY + FL_MPSC_RING_TRAILER_LENGTH];

typedef struct record_body
{
    int32_t number;
    int32_t copies[15];
} record_body_t;

static int32_t body_length(int32_t number)
{
    return (int32_t)sizeof(int32_t) * (1 + number % 16);
}

static void *produce(void *argument)
{
    const int32_t producer = (int32_t)(intptr_t)argument;
    fl_mpsc_ring_t ring;
    CHECK_EQUAL(fl_mpsc_ring_init(&ring, ring_section, sizeof(ring_section)), 0);
    for (int32_t number = 0; number < RECORDS;)
    {
        record_body_t body = {.number = number};
        for (int i = 0; i < 15; i++)
        {
            body.copies[i] = number;
        }
        int result;
        if (0 == number % 5)
        {
            result = fl_mpsc_ring_claim(&ring, producer, body_length(number));
            if (result > 0)
            {
                memcpy(ring.buffer + result, &body, (size_t)body_length(number));
                result = fl_mpsc_ring_commit(&ring, result);
            }
        }
        else
        {
            result = fl_mpsc_ring_write(&ring, producer, &body, body_length(number));
        }
        CHECK(0 == result || -FL_EAGAIN == result);
        if (0 == result)
        {
            number += 1;
        }
        else
        {
            sched_yield();
        }
    }
    return NULL;
}

static void test_records_of_several_threads_arrive_in_each_ones_order(void)
{
    pthread_t threads[PRODUCERS];
    memset(ring_section, 0, sizeof(ring_section));
    fl_mpsc_ring_t ring;
    CHECK_EQUAL(fl_mpsc_ring_init(&ring, ring_section, sizeof(ring_section)), 0);
    for (intptr_t i = 0; i < PRODUCERS; i++)
    {
        CHECK_EQUAL(pthread_create(&threads[i], NULL, produce, (void *)(i + 1)), 0);
    }
    int32_t expected[PRODUCERS + 1] = {0};
    int32_t received = 0;
    while (received < PRODUCERS * RECORDS)
    {
        _Alignas(8) uint8_t batch[2048];
        int32_t malformed;
        const int32_t length = fl_mpsc_ring_read(&ring, batch, sizeof(batch), 100, &malformed);
        CHECK_EQUAL(malformed, 0);
        for (int32_t at = 0; at < length;)
        {
            const fl_record_header_t *record = (const fl_record_header_t *)(batch + at);
            const record_body_t *body = (const record_body_t *)(record + 1);
            CHECK(record->type_id >= 1 && record->type_id <= PRODUCERS);
            CHECK_EQUAL(body->number, expected[record->type_id]);
            CHECK_EQUAL(record->length, FL_RECORD_HEADER_LENGTH + body_length(body->number));
            for (int i = 0; i < body->number % 16; i++)
            {
                CHECK_EQUAL(body->copies[i], body->number);
            }
            expected[record->type_id] += 1;
            received += 1;
            at += (int32_t)fl_align(record->length, FL_RECORD_ALIGNMENT);
        }
        if (0 == length)
        {
            sched_yield();
        }
    }
    for (int i = 0; i < PRODUCERS; i++)
    {
        pthread_join(threads[i], NULL);
    }
    CHECK(!fl_mpsc_ring_is_pending(&ring));
}

static _Alignas(64) uint8_t broadcast_section[BROADCAST_CAPACITY + FL_BROADCAST_TRAILER_LENGTH];
static _Atomic bool is_transmitting;

static void *receive(void *argument)
{
    (void)argument;
    fl_broadcast_receiver_t receiver;
    CHECK_EQUAL(fl_broadcast_receiver_init(&receiver, broadcast_section, sizeof(broadcast_section)), 0);
    int64_t last = -1;
    for (;;)
    {
        const bool is_last_look = !atomic_load(&is_transmitting);
        int64_t event[BROADCAST_CAPACITY / 8 / sizeof(int64_t)];
        int32_t type_id;
        const int32_t length = fl_broadcast_receive(&receiver, &type_id, event);
        if (-FL_EAGAIN == length && is_last_look)
        {
            return NULL;
        }
        if (length < 0)
        {
            CHECK(-FL_EAGAIN == length || -FL_ENOBUFS == length);
            continue;
        }
        CHECK(event[0] > last);
        last = event[0];
        CHECK_EQUAL(length, (int32_t)sizeof(int64_t) * (1 + last % BROADCAST_WORDS));
        for (int i = 0; i <= last % BROADCAST_WORDS; i++)
        {
            CHECK_EQUAL(event[i], last);
        }
    }
}

static void test_events_are_whole_or_lost_while_they_are_overwritten(void)
{
    pthread_t threads[2];
    fl_broadcast_transmitter_t transmitter;
    CHECK_EQUAL(fl_broadcast_transmitter_init(&transmitter, broadcast_section, sizeof(broadcast_section)), 0);
    atomic_store(&is_transmitting, true);
    for (int i = 0; i < 2; i++)
    {
        CHECK_EQUAL(pthread_create(&threads[i], NULL, receive, NULL), 0);
    }
    for (int64_t number = 0; number < EVENTS; number++)
    {
        int64_t event[BROADCAST_WORDS];
        for (int i = 0; i < BROADCAST_WORDS; i++)
        {
            event[i] = number;
        }
        const int32_t length = (int32_t)sizeof(int64_t) * (int32_t)(1 + number % BROADCAST_WORDS);
        CHECK_EQUAL(fl_broadcast_transmit(&transmitter, 1, event, length), 0);
    }
    atomic_store(&is_transmitting, false);
    for (int i = 0; i < 2; i++)
    {
        pthread_join(threads[i], NULL);
    }
}

#define COUNTERS 32
static _Alignas(64) fl_counter_metadata_t counters_metadata[COUNTERS];
static _Alignas(64) fl_counter_value_t counters_values[COUNTERS];

static void *add(void *argument)
{
    int64_t *value = argument;
    for (int i = 0; i < RECORDS; i++)
    {
        fl_counter_add(value, 2);
    }
    return NULL;
}

static void test_counter_with_several_writers_loses_nothing(void)
{
    fl_counters_manager_t *manager = fl_counters_manager_new(
        counters_metadata, sizeof(counters_metadata), counters_values, sizeof(counters_values), 0);
    CHECK(NULL != manager);
    const int32_t id = fl_counters_allocate(manager, 0, 1, NULL, 0, "shared", 6);
    int64_t *value = fl_counters_value(fl_counters_manager_view(manager), id);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
    {
        CHECK_EQUAL(pthread_create(&threads[i], NULL, add, value), 0);
    }
    for (int i = 0; i < 2; i++)
    {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQUAL(fl_counter_get(value), 4 * RECORDS);
    fl_counters_manager_free(manager);
}

int main(void)
{
    RUN(test_records_of_several_threads_arrive_in_each_ones_order);
    RUN(test_events_are_whole_or_lost_while_they_are_overwritten);
    RUN(test_counter_with_several_writers_loses_nothing);
    return 0;
}
