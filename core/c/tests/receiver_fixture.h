/* A driver whose receiver is fed by a script. Time is virtual and everything runs on the test's thread. */
#ifndef FL_TESTS_RECEIVER_FIXTURE_H
#define FL_TESTS_RECEIVER_FIXTURE_H

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "driver/driver.h"
#include "driver_config.h"
#include "receiver/image.h"
#include "script_transport.h"
#include "shm/counters.h"
#include "shm/log_buffer.h"

#define SESSION 305441741
#define STREAM 1001
#define INITIAL_TERM 2147483646
#define TERM_LENGTH 65536
#define MTU 1408
#define WINDOW 32768
#define SUBSCRIPTION 77
#define ENDPOINT_ID 5
#define IMAGE_ID 900

/* Counter ids of the fixture, behind the system's and the drop counters. */
enum
{
    COUNTER_DROPS = FL_SYSTEM_COUNTERS,
    COUNTER_HWM = COUNTER_DROPS + FL_DROPS,
    COUNTER_REBUILD,
    COUNTER_NAKS,
    COUNTER_SUBSCRIBERS,
    COUNTERS = COUNTER_SUBSCRIBERS + 64
};

typedef struct fixture
{
    fl_driver_t *driver;
    fl_clock_t *clock;
    script_t script;
    fl_cnc_t cnc;
    fl_receive_endpoint_t *endpoint;
    fl_image_t *image;
    fl_log_t *log;
    char directory[64];
} fixture_t;

/* ---- making ---- */

static inline fl_address_t ipv4(uint8_t last, uint16_t port)
{
    return (fl_address_t){.family = FL_FAMILY_IPV4, .port = port, .bytes = {10, 0, 0, last}};
}

/* Make the driver and an endpoint with interest in all sessions of STREAM. change: may alter the configuration. */
static inline fixture_t *fixture_new_with(
    const fl_receive_endpoint_params_t *endpoint_params, void (*change)(fl_driver_config_t *config))
{
    fixture_t *f = calloc(1, sizeof(*f));
    CHECK(NULL != f);
    snprintf(f->directory, sizeof(f->directory), "/tmp/framelane-test-XXXXXX");
    CHECK(NULL != mkdtemp(f->directory));
    script_init(&f->script, FL_ROLE_RECEIVER, 0);
    f->script.source.address = ipv4(1, 40001);
    f->script.local = ipv4(2, 40123);
    f->clock = fl_clock_virtual_new(1000 * SECOND, 1700000000 * SECOND);
    char path[128];
    snprintf(path, sizeof(path), "%s/cnc.dat", f->directory);
    test_cnc_create(&f->cnc, path);
    fl_driver_config_t config = test_config(f->clock, &f->cnc, COUNTER_DROPS);
    config.seed = 42;
    if (NULL != change)
    {
        change(&config);
    }
    f->driver = fl_driver_new(&config);
    CHECK(NULL != f->driver);
    CHECK_EQUAL(0, fl_driver_add_transport(f->driver, f->script.binding));
    const fl_receive_endpoint_params_t plain = {.id = ENDPOINT_ID};
    fl_endpoint_params_t params = {.bind = f->script.local, .mtu_length = MTU};
    f->endpoint = fl_receive_endpoint_open(
        f->driver, f->script.binding, &params, NULL != endpoint_params ? endpoint_params : &plain);
    CHECK(NULL != f->endpoint);
    CHECK_EQUAL(0, fl_receive_endpoint_add_stream(f->driver, f->endpoint, STREAM, 0, 0));
    return f;
}

static inline fixture_t *fixture_new(void)
{
    return fixture_new_with(NULL, NULL);
}

static inline fl_log_t *fixture_make_log(fixture_t *f, const char *name, int32_t session_id, int32_t term_length)
{
    char path[128];
    const fl_log_params_t params = {
        .correlation_id = IMAGE_ID,
        .session_id = session_id,
        .stream_id = STREAM,
        .initial_term_id = INITIAL_TERM,
        .starting_term_id = INITIAL_TERM,
        .mtu_length = MTU,
        .term_length = term_length,
        .page_size = 4096,
        .sparse = 1,
        .type = FL_LOG_TYPE_IMAGE,
    };
    fl_log_t *log = fl_log_new();
    snprintf(path, sizeof(path), "%s/%s.logbuffer", f->directory, name);
    if (0 != fl_log_create(log, path, &params))
    {
        fprintf(stderr, "%s\n", fl_error_text());
        exit(1);
    }
    unlink(path);
    return log;
}

static inline _Atomic int64_t *fixture_counter(fixture_t *f, int32_t id)
{
    return fl_driver_counter(&f->driver->context, id);
}

static inline int64_t counter(fixture_t *f, int32_t id)
{
    return fl_counter_get(fixture_counter(f, id));
}

static inline int64_t drops(fixture_t *f, int reason)
{
    return counter(f, COUNTER_DROPS + reason);
}

static inline int64_t all_drops(fixture_t *f)
{
    int64_t sum = 0;
    for (int i = 0; i < FL_DROPS; i++)
    {
        sum += drops(f, i);
    }
    return sum;
}

static inline fl_image_params_t fixture_image_params(fixture_t *f, fl_log_t *log, int64_t join_position)
{
    return (fl_image_params_t){
        .correlation_id = IMAGE_ID,
        .log = log,
        .initial_window_length = WINDOW,
        .join_position = join_position,
        .source = f->script.source.address,
        .is_reliable = 1,
        .nak_delay_ns = -1,
        .rcv_hwm_counter_id = COUNTER_HWM,
        .rcv_pos_counter_id = COUNTER_REBUILD,
        .rcv_naks_sent_counter_id = COUNTER_NAKS,
    };
}

/* Add the image with `subscribers` subscribers, with ids from SUBSCRIPTION on. */
static inline void fixture_add_image_with(fixture_t *f, const fl_image_params_t *params, uint32_t subscribers)
{
    int64_t ids[8];
    int32_t counters[8];
    for (uint32_t i = 0; i < subscribers; i++)
    {
        ids[i] = SUBSCRIPTION + i;
        counters[i] = (int32_t)(COUNTER_SUBSCRIBERS + i);
    }
    f->log = params->log;
    f->image = fl_image_add(f->driver, f->endpoint, params, ids, counters, subscribers);
    CHECK(NULL != f->image);
}

static inline void fixture_add_image(fixture_t *f)
{
    const fl_image_params_t params =
        fixture_image_params(f, fixture_make_log(f, "image", SESSION, TERM_LENGTH), 0);
    fixture_add_image_with(f, &params, 1);
}

static inline void fixture_free(fixture_t *f)
{
    char path[128];
    if (NULL != f->image)
    {
        CHECK_EQUAL(0, fl_image_remove(f->driver, f->image));
    }
    CHECK_EQUAL(0, f->driver->receiver.active_count);
    CHECK_EQUAL(0, fl_receive_endpoint_close(f->driver, f->endpoint));
    CHECK_EQUAL(0, f->driver->receiver.wheel.count);
    CHECK_EQUAL(0, fl_driver_remove_transport(f->driver, f->script.binding));
    fl_driver_stop(f->driver);
    fl_driver_free(f->driver);
    script_destroy(&f->script);
    fl_log_free(f->log);
    fl_cnc_close(&f->cnc);
    fl_clock_virtual_free(f->clock);
    snprintf(path, sizeof(path), "%s/cnc.dat", f->directory);
    unlink(path);
    rmdir(f->directory);
    free(f);
}

/* ---- acting ---- */

/* Let time pass and run one duty cycle. */
static inline void cycle(fixture_t *f, int64_t delta_ns)
{
    fl_clock_advance(f->clock, delta_ns);
    fl_driver_invoke(f->driver);
}

/* Run cycles for a while, one a millisecond. */
static inline void pass(fixture_t *f, int64_t delta_ns)
{
    for (int64_t t = 0; t < delta_ns; t += MS)
    {
        cycle(f, MS);
    }
}

static inline void inject(fixture_t *f, const void *bytes, uint32_t length)
{
    script_inject_bytes(&f->script, bytes, length);
}

#endif
