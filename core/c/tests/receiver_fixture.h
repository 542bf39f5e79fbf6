/* A driver whose receiver is fed by a script: an in-test transport hands out the bytes that a test queued and keeps the
 * bytes that the receiver sent. Time is virtual and everything runs on the test's thread. */
#ifndef FL_TESTS_RECEIVER_FIXTURE_H
#define FL_TESTS_RECEIVER_FIXTURE_H

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "driver/driver.h"
#include "driver_config.h"
#include "receiver/image.h"
#include "shm/counters.h"
#include "shm/log_buffer.h"
#include "transport/binding.h"

#define SESSION 305441741
#define STREAM 1001
#define INITIAL_TERM 2147483646
#define TERM_LENGTH 65536
#define MTU 1408
#define WINDOW 32768
#define SUBSCRIPTION 77
#define ENDPOINT_ID 5
#define IMAGE_ID 900

#define QUEUE_RUNS 4096
#define SENT_FRAMES 65536

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

typedef struct sent_frame
{
    uint8_t bytes[1100];
    uint32_t length;
    fl_address_t to;
    fl_address_t from;      /* family NONE: not given */
} sent_frame_t;

/* The objects of the scripted transport. */
struct fl_transport
{
    int unused;
};
struct fl_endpoint
{
    void *context;
    bool is_added;
};
struct fl_poller
{
    int unused;
};

typedef struct fixture
{
    fl_driver_t *driver;
    fl_clock_t *clock;
    fl_binding_t *binding;
    fl_cnc_t cnc;
    fl_receive_endpoint_t *endpoint;
    fl_image_t *image;
    fl_log_t *log;
    char directory[64];
    fl_peer_t source;
    fl_address_t local;
    fl_run_t runs[QUEUE_RUNS];
    uint32_t run_count;
    uint32_t run_taken;
    sent_frame_t *sent;
    uint32_t sent_count;
    int32_t send_status;      /* 0: send takes everything; else what it answers */
    struct fl_transport transport;
    struct fl_endpoint transport_endpoint;
    struct fl_poller poller;
} fixture_t;

static fixture_t *the_fixture;

/* ---- the scripted transport ---- */

static int script_open_endpoint(fl_transport_t *transport, fl_endpoint_params_t *params, fl_endpoint_t **endpoint)
{
    (void)transport;
    params->max_run_segments = 64;
    params->max_run_length = 65507;
    *endpoint = &the_fixture->transport_endpoint;
    return 0;
}

static int script_close_endpoint(fl_endpoint_t *endpoint)
{
    return endpoint->is_added ? -FL_EBUSY : 0;
}

static int script_local_address(fl_endpoint_t *endpoint, fl_address_t *address)
{
    (void)endpoint;
    *address = the_fixture->local;
    return 0;
}

static int script_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller)
{
    (void)transport, (void)queue, (void)roles;
    *poller = &the_fixture->poller;
    return 0;
}

static int script_poller_close(fl_poller_t *poller)
{
    (void)poller;
    return 0;
}

static int script_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    (void)poller;
    endpoint->context = context;
    endpoint->is_added = true;
    return 0;
}

static int script_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    (void)poller;
    endpoint->is_added = false;
    return 0;
}

static int script_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    fixture_t *f = the_fixture;
    uint32_t count = 0;
    (void)poller;
    while (count < capacity && f->run_taken < f->run_count)
    {
        runs[count] = f->runs[f->run_taken++];
        runs[count++].context = f->transport_endpoint.context;
    }
    return (int)count;
}

static void script_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    (void)poller;
    for (uint32_t i = 0; i < count; i++)
    {
        free((void *)(uintptr_t)runs[i].token);   /* whoever reads a run after its release is found out */
    }
}

static int script_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    fixture_t *f = the_fixture;
    (void)endpoint;
    for (uint32_t i = 0; i < count; i++)
    {
        runs[i].status = f->send_status;
        runs[i].accepted = 0 == f->send_status ? 1 : 0;
        if (0 != f->send_status)
        {
            return (int)i;
        }
        CHECK(f->sent_count < SENT_FRAMES);
        sent_frame_t *frame = &f->sent[f->sent_count++];
        memcpy(frame->bytes, runs[i].data, runs[i].length);
        frame->length = runs[i].length;
        frame->to = runs[i].peer->address;
        frame->from = NULL != runs[i].local ? *runs[i].local : (fl_address_t){.family = FL_FAMILY_NONE};
    }
    return (int)count;
}

static int script_close(fl_transport_t *transport)
{
    (void)transport;
    return 0;
}

/* ---- making ---- */

static inline fl_address_t ipv4(uint8_t last, uint16_t port)
{
    return (fl_address_t){.family = FL_FAMILY_IPV4, .port = port, .bytes = {10, 0, 0, last}};
}

/* Make the driver and an endpoint with interest in all sessions of STREAM. change: may alter the configuration. */
static inline fixture_t *fixture_new_with(
    const fl_receive_endpoint_params_t *endpoint_params, void (*change)(fl_driver_config_t *config))
{
    static const fl_transport_ops_t ops = {
        .magic = FL_TRANSPORT_MAGIC,
        .size = sizeof(fl_transport_ops_t),
        .abi_version = FL_ABI_VERSION,
        .open_endpoint = script_open_endpoint,
        .close_endpoint = script_close_endpoint,
        .local_address = script_local_address,
        .poller_open = script_poller_open,
        .poller_close = script_poller_close,
        .poller_add = script_poller_add,
        .poller_remove = script_poller_remove,
        .poll = script_poll,
        .release = script_release,
        .send = script_send,
        .close = script_close,
    };
    fixture_t *f = calloc(1, sizeof(*f));
    CHECK(NULL != f);
    the_fixture = f;
    f->sent = calloc(SENT_FRAMES, sizeof(*f->sent));
    snprintf(f->directory, sizeof(f->directory), "/tmp/framelane-test-XXXXXX");
    CHECK(NULL != mkdtemp(f->directory));
    f->source.address = ipv4(1, 40001);
    f->local = ipv4(2, 40123);
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
    f->binding = fl_binding_new(&ops, &f->transport, "script");
    CHECK(NULL != f->binding);
    CHECK_EQUAL(0, fl_driver_add_transport(f->driver, f->binding));
    const fl_receive_endpoint_params_t plain = {.id = ENDPOINT_ID};
    fl_endpoint_params_t params = {.bind = f->local, .mtu_length = MTU};
    f->endpoint = fl_receive_endpoint_open(
        f->driver, f->binding, &params, NULL != endpoint_params ? endpoint_params : &plain);
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
        .source = f->source.address,
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
    CHECK_EQUAL(0, fl_driver_remove_transport(f->driver, f->binding));
    fl_driver_stop(f->driver);
    fl_driver_free(f->driver);
    fl_binding_free(f->binding);
    fl_log_free(f->log);
    fl_cnc_close(&f->cnc);
    fl_clock_virtual_free(f->clock);
    snprintf(path, sizeof(path), "%s/cnc.dat", f->directory);
    unlink(path);
    rmdir(f->directory);
    free(f->sent);
    free(f);
}

/* ---- acting ---- */

/* Let time pass and run one duty cycle. */
static inline void cycle(fixture_t *f, int64_t delta_ns)
{
    fl_clock_advance(f->clock, delta_ns);
    fl_driver_invoke(f->driver);
    if (f->run_taken == f->run_count)
    {
        f->run_taken = f->run_count = 0;
    }
}

/* Run cycles for a while, one a millisecond. */
static inline void pass(fixture_t *f, int64_t delta_ns)
{
    for (int64_t t = 0; t < delta_ns; t += MS)
    {
        cycle(f, MS);
    }
}

/* Queue a run. */
static inline fl_run_t *inject_run(fixture_t *f, const void *bytes, uint32_t length, uint32_t segment_length)
{
    CHECK(f->run_count < QUEUE_RUNS);
    uint8_t *copy = malloc(0 == length ? 1 : length);
    memcpy(copy, bytes, length);
    fl_run_t *run = &f->runs[f->run_count++];
    *run = (fl_run_t){
        .data = copy,
        .length = length,
        .segment_length = segment_length,
        .peer = &f->source,
        .local = &f->local,
        .token = (uintptr_t)copy,
    };
    return run;
}

static inline void inject(fixture_t *f, const void *bytes, uint32_t length)
{
    inject_run(f, bytes, length, length);
}

#endif
