/* Log buffers: the arithmetic of positions, and publishers, owner and subscriber in threads. */
#include <framelane/types.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "shm/term.h"

#define TERM_LENGTH 65536
#define INITIAL 2147483646
#define FRAMES 60000
#define FRAME_EXTENT 64
#define CLEAN_LENGTH 4096

static fl_log_t make_log(int32_t initial_term_id)
{
    const fl_log_params_t params = {
        .correlation_id = 1,
        .session_id = 2,
        .stream_id = 3,
        .initial_term_id = initial_term_id,
        .starting_term_id = initial_term_id,
        .mtu_length = 1408,
        .term_length = TERM_LENGTH,
        .page_size = 4096,
        .sparse = 1};
    char path[64];
    snprintf(path, sizeof(path), "/dev/shm/framelane-test-log-%d", (int)getpid());
    unlink(path);
    fl_log_t log;
    CHECK_EQUAL(fl_log_create(&log, path, &params), 0);
    unlink(path);
    return log;
}

static void test_positions_are_those_of_the_specification(void)
{
    fl_log_t log = make_log(INITIAL);
    CHECK_EQUAL(fl_log_position(&log, INITIAL, 256), 256);
    CHECK_EQUAL(fl_log_position(&log, 0x7fffffff, 32), 65568);
    CHECK_EQUAL(fl_log_position(&log, (int32_t)0x80000000, 128), 131200);
    CHECK_EQUAL(fl_log_position(&log, INITIAL - 1, 0), -TERM_LENGTH);
    CHECK_EQUAL(fl_log_term_id(&log, 196608), (int32_t)0x80000001);
    CHECK_EQUAL(fl_log_term_offset(&log, 196608 + 96), 96);
    CHECK_EQUAL(fl_log_partition(&log, 196608), 0);
    CHECK_EQUAL(fl_log_partition(&log, 196607), 2);
    CHECK_EQUAL(fl_log_max_position(&log), INT64_C(65536) << 31);
    CHECK_EQUAL(fl_raw_tail_term_id(fl_raw_tail(-5, 4096)), -5);
    CHECK_EQUAL(fl_raw_tail_offset(fl_raw_tail(-5, 4096), TERM_LENGTH), 4096);
    CHECK_EQUAL(fl_raw_tail_offset(INT64_C(0xffffffff), TERM_LENGTH), TERM_LENGTH);
    fl_log_close(&log);
}

static void test_producer_position_of_overwritten_metadata_is_refused(void)
{
    fl_log_t log = make_log(INITIAL);
    CHECK_EQUAL(fl_log_producer_position(&log), 0);
    fl_i64_fetch_add(&log.metadata->term_tail_counters[0], 4096);
    CHECK_EQUAL(fl_log_producer_position(&log), 4096);
    fl_log_rotate(&log, 0, INITIAL);
    CHECK_EQUAL(fl_log_producer_position(&log), TERM_LENGTH);
    fl_log_rotate(&log, 0, INITIAL);
    CHECK_EQUAL(fl_log_producer_position(&log), TERM_LENGTH);
    log.metadata->active_term_count = -1;
    CHECK_EQUAL(fl_log_producer_position(&log), -FL_EINVAL);
    log.metadata->active_term_count = 2147483647;
    CHECK_EQUAL(fl_log_producer_position(&log), -FL_EINVAL);
    fl_log_close(&log);
}

static fl_log_t shared;
static _Atomic int64_t subscriber_position;
static _Atomic int64_t publisher_limit;
static _Atomic int32_t next_number;

/* A shared publication's offer of one frame (shm 7.5). Returns whether it was written. */
static bool offer(int32_t number)
{
    const int32_t count = fl_i32_load_acquire(&shared.metadata->active_term_count);
    int64_t *tail = &shared.metadata->term_tail_counters[fl_partition_of_count(count)];
    int64_t raw_tail = fl_i64_load_acquire(tail);
    if (count != fl_term_count(fl_raw_tail_term_id(raw_tail), shared.initial_term_id))
    {
        return false;
    }
    const int64_t position =
        fl_log_position(&shared, fl_raw_tail_term_id(raw_tail), fl_raw_tail_offset(raw_tail, TERM_LENGTH));
    if (position >= atomic_load_explicit(&publisher_limit, memory_order_acquire))
    {
        return false;
    }
    raw_tail = fl_i64_fetch_add(tail, FRAME_EXTENT);
    const int32_t term_id = fl_raw_tail_term_id(raw_tail);
    const int32_t offset = fl_raw_tail_offset(raw_tail, TERM_LENGTH);
    if (offset + FRAME_EXTENT > TERM_LENGTH)
    {
        fl_log_rotate(&shared, fl_term_count(term_id, shared.initial_term_id), term_id);
        return false;
    }
    uint8_t *term = shared.terms[fl_partition_of_count(fl_term_count(term_id, shared.initial_term_id))];
    fl_frame_length_release(term, offset, -(FL_DATA_HEADER_LENGTH + 4));
    fl_data_header_t header = {.flags = FL_DATA_UNFRAGMENTED, .type = FL_FRAME_DATA, .term_offset = offset};
    header.term_id = term_id;
    memcpy(term + offset + 4, (const uint8_t *)&header + 4, sizeof(header) - 4);
    memcpy(term + offset + FL_DATA_HEADER_LENGTH, &number, sizeof(number));
    fl_frame_length_release(term, offset, FL_DATA_HEADER_LENGTH + 4);
    return true;
}

static void *publish(void *argument)
{
    (void)argument;
    for (;;)
    {
        const int32_t number = atomic_fetch_add(&next_number, 1);
        if (number >= FRAMES)
        {
            return NULL;
        }
        while (!offer(number))
        {
            sched_yield();
        }
    }
}

/* The owner of the log: the limit and cleaning, bounded each turn, never beyond what is clean (shm 9.6). */
static void *own(void *argument)
{
    (void)argument;
    int64_t clean = 0;
    int64_t consumed = 0;
    while (consumed < (int64_t)FRAMES * FRAME_EXTENT)
    {
        consumed = atomic_load_explicit(&subscriber_position, memory_order_acquire);
        clean = fl_log_clean(&shared, clean, consumed, CLEAN_LENGTH);
        atomic_store_explicit(&publisher_limit, clean + TERM_LENGTH / 2, memory_order_release);
        sched_yield();
    }
    return NULL;
}

static void test_frames_of_two_publishers_are_read_whole_while_the_owner_cleans(void)
{
    shared = make_log(INITIAL);
    atomic_store(&publisher_limit, TERM_LENGTH / 2);
    pthread_t threads[3];
    CHECK_EQUAL(pthread_create(&threads[0], NULL, own, NULL), 0);
    CHECK_EQUAL(pthread_create(&threads[1], NULL, publish, NULL), 0);
    CHECK_EQUAL(pthread_create(&threads[2], NULL, publish, NULL), 0);
    static uint8_t seen[FRAMES];
    int64_t position = 0;
    int32_t received = 0;
    while (received < FRAMES)
    {
        const uint8_t *term = fl_log_term(&shared, position);
        const int32_t offset = fl_log_term_offset(&shared, position);
        const int32_t length = fl_frame_length_acquire(term, offset);
        if (length <= 0)
        {
            sched_yield();
            continue;
        }
        CHECK_EQUAL(length, FL_DATA_HEADER_LENGTH + 4);
        fl_data_header_t header;
        memcpy((uint8_t *)&header + 4, term + offset + 4, sizeof(header) - 4);
        CHECK_EQUAL(header.term_offset, offset);
        CHECK_EQUAL(header.term_id, fl_log_term_id(&shared, position));
        int32_t number;
        memcpy(&number, term + offset + FL_DATA_HEADER_LENGTH, sizeof(number));
        CHECK(number >= 0 && number < FRAMES && 0 == seen[number]);
        seen[number] = 1;
        received += 1;
        position += FRAME_EXTENT;
        atomic_store_explicit(&subscriber_position, position, memory_order_release);
    }
    for (int i = 0; i < 3; i++)
    {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQUAL(position, (int64_t)FRAMES * FRAME_EXTENT);
    fl_log_close(&shared);
}

int main(void)
{
    RUN(test_positions_are_those_of_the_specification);
    RUN(test_producer_position_of_overwritten_metadata_is_refused);
    RUN(test_frames_of_two_publishers_are_read_whole_while_the_owner_cleans);
    return 0;
}
