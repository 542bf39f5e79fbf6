/* A driver under a virtual clock, one publication on a scripted transport, and a publisher that writes into its log.
 *
 * Ids and lengths are those of the wire test vectors: session 0x1234abcd, stream 1001, initial term 0x7ffffffe. */
#ifndef FL_TESTS_SENDER_FIXTURE_H
#define FL_TESTS_SENDER_FIXTURE_H

#include <unistd.h>

#include "driver/driver.h"
#include "driver_config.h"
#include "protocol/frames.h"
#include "script_transport.h"
#include "sender/publication.h"
#include "shm/counters.h"

#define SESSION_ID 0x1234abcd
#define STREAM_ID 1001
#define INITIAL_TERM_ID 0x7ffffffe
#define MTU_LENGTH 1408
#define FIRST_DROP_COUNTER 46
#define DESTINATIONS_COUNTER 79
#define FIRST_COUNTER 80      /* pub-pos, pub-lmt, snd-pos, snd-lmt, snd-bpe, snd-naks-received */

typedef struct fixture
{
    char folder[64];
    fl_clock_t *clock;
    fl_cnc_t cnc;
    fl_driver_t *driver;
    script_t script;
    fl_send_endpoint_t *endpoint;
    fl_log_t log;
    fl_publication_t *publication;
    int64_t tail;                 /* where the publisher goes on */
    /* Set before fixture_open. */
    int32_t term_length;
    uint32_t send_run_length;
    uint32_t max_messages_per_send;
    int64_t retransmit_delay_ns;
    int64_t start_position;
    bool is_multicast;
    uint32_t flow_control;        /* FL_FLOW_CONTROL_* */
    bool is_exclusive;
    uint8_t destinations;         /* FL_DESTINATIONS_* */
    int32_t max_resend;
    uint32_t threading_mode;
    uint32_t queues;              /* of the transport */
} fixture_t;

static inline fixture_t fixture_defaults(void)
{
    return (fixture_t){.term_length = 65536, .send_run_length = 65536, .max_resend = 1,
        .threading_mode = FL_THREADING_INVOKER};
}

static inline const char *fixture_path(const fixture_t *fixture, const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
    return path;
}

static inline void fixture_open_driver(fixture_t *fixture)
{
    test_cnc_create(&fixture->cnc, fixture_path(fixture, "cnc"));
    fl_driver_config_t config = test_config(fixture->clock, &fixture->cnc, FIRST_DROP_COUNTER);
    config.threading_mode = fixture->threading_mode;
    config.retransmit_delay_ns = fixture->retransmit_delay_ns;
    config.send_to_status_poll_ratio = 1;
    config.send_run_length = fixture->send_run_length;
    config.max_messages_per_send = fixture->max_messages_per_send;
    fixture->driver = fl_driver_new(&config);
    CHECK(NULL != fixture->driver);
    CHECK_EQUAL(0, fl_driver_start(fixture->driver));
    script_init(&fixture->script, FL_ROLE_SENDER, fixture->queues);
    CHECK_EQUAL(0, fl_driver_add_transport(fixture->driver, fixture->script.binding));
}

static inline void fixture_create_log(const fixture_t *fixture, fl_log_t *log, const char *name, int32_t session_id)
{
    const int32_t terms = (int32_t)(fixture->start_position / fixture->term_length);
    const fl_log_params_t params = {.correlation_id = 7, .session_id = session_id, .stream_id = STREAM_ID,
        .initial_term_id = INITIAL_TERM_ID, .starting_term_id = (int32_t)((uint32_t)INITIAL_TERM_ID + (uint32_t)terms),
        .starting_term_offset = (int32_t)(fixture->start_position % fixture->term_length), .mtu_length = MTU_LENGTH,
        .term_length = fixture->term_length, .page_size = 4096, .publication_window_length = fixture->term_length / 2,
        .entity_tag = -1, .response_correlation_id = -1, .sparse = 1,
        .type = fixture->is_exclusive ? FL_LOG_TYPE_EXCLUSIVE : FL_LOG_TYPE_CONCURRENT};
    CHECK_EQUAL(0, fl_log_create(log, fixture_path(fixture, name), &params));
}

/* The parameters of the publication; its counters begin at `counter`. */
static inline fl_publication_params_t fixture_params(const fixture_t *fixture, fl_log_t *log, int32_t counter)
{
    return (fl_publication_params_t){
        .registration_id = 7,
        .log = log,
        .start_position = fixture->start_position,
        .publication_window_length = fixture->term_length / 2,
        .max_resend = fixture->max_resend,
        .retransmit_window_multiple = fixture->is_multicast ? 4 : 16,
        .flow_control = fixture->flow_control,
        .receiver_timeout_ns = 5 * SECOND,
        .receivers_counter_id = -1,
        .is_exclusive = fixture->is_exclusive,
        .has_group_semantics = fixture->is_multicast,
        .signal_eos = 1,
        .linger_timeout_ns = 5 * SECOND,
        .publisher_position_counter_id = counter,
        .publisher_limit_counter_id = counter + 1,
        .sender_position_counter_id = counter + 2,
        .sender_limit_counter_id = counter + 3,
        .sender_bpe_counter_id = counter + 4,
        .sender_naks_received_counter_id = counter + 5,
    };
}

static inline void fixture_open(fixture_t *fixture)
{
    strcpy(fixture->folder, "/tmp/framelane-sender-XXXXXX");
    CHECK(NULL != mkdtemp(fixture->folder));
    fixture->clock = fl_clock_virtual_new(SECOND, 1000 * SECOND);
    fixture_open_driver(fixture);
    fixture_create_log(fixture, &fixture->log, "log", SESSION_ID);
    fixture->tail = fixture->start_position;
    fl_endpoint_params_t endpoint_params = {.mtu_length = MTU_LENGTH};
    const fl_send_endpoint_params_t send_params = {.id = 3, .is_multicast = fixture->is_multicast,
        .destinations = fixture->destinations, .destinations_counter_id = DESTINATIONS_COUNTER};
    fixture->endpoint =
        fl_send_endpoint_open(fixture->driver, fixture->script.binding, &endpoint_params, &send_params);
    CHECK(NULL != fixture->endpoint);
    const fl_publication_params_t params = fixture_params(fixture, &fixture->log, FIRST_COUNTER);
    fixture->publication = fl_publication_add(fixture->driver, fixture->endpoint, &params);
    CHECK(NULL != fixture->publication);
}

static inline void fixture_close(fixture_t *fixture)
{
    CHECK_EQUAL(0, fl_publication_remove(fixture->driver, fixture->publication));
    CHECK_EQUAL(0, fl_send_endpoint_close(fixture->driver, fixture->endpoint));
    CHECK_EQUAL(0, fl_driver_remove_transport(fixture->driver, fixture->script.binding));
    fl_driver_stop(fixture->driver);
    fl_driver_free(fixture->driver);
    script_destroy(&fixture->script);
    fl_log_close(&fixture->log);
    fl_cnc_close(&fixture->cnc);
    fl_clock_virtual_free(fixture->clock);
    unlink(fixture_path(fixture, "log"));
    unlink(fixture_path(fixture, "cnc"));
    rmdir(fixture->folder);
}

/* ---- time ---- */

/* Let time pass in steps of a millisecond, with a cycle in each. */
static inline void fixture_run(fixture_t *fixture, int64_t milliseconds)
{
    for (int64_t i = 0; i < milliseconds; i++)
    {
        fl_clock_advance(fixture->clock, MS);
        fl_driver_invoke(fixture->driver);
    }
}

static inline void fixture_cycle(fixture_t *fixture)
{
    fl_driver_invoke(fixture->driver);
}

/* ---- counters ---- */

static inline int64_t fixture_counter(const fixture_t *fixture, int32_t id)
{
    return fl_i64_load_acquire(fixture->cnc.counters_values + (size_t)id * sizeof(fl_counter_value_t));
}

static inline int64_t fixture_drops(const fixture_t *fixture, int reason)
{
    return fixture_counter(fixture, FIRST_DROP_COUNTER + reason);
}

#define PUB_POS(fixture) fixture_counter(fixture, FIRST_COUNTER)
#define PUB_LMT(fixture) fixture_counter(fixture, FIRST_COUNTER + 1)
#define SND_POS(fixture) fixture_counter(fixture, FIRST_COUNTER + 2)
#define SND_LMT(fixture) fixture_counter(fixture, FIRST_COUNTER + 3)
#define SND_BPE(fixture) fixture_counter(fixture, FIRST_COUNTER + 4)

/* ---- the publisher ---- */

/* Append a frame of `length` bytes, header included, at the tail. payload: NULL for a pattern. */
static inline void fixture_append(fixture_t *fixture, int16_t type, int32_t length, const void *payload)
{
    fl_log_t *log = &fixture->log;
    const int32_t offset = fl_log_term_offset(log, fixture->tail);
    const int32_t term_id = fl_log_term_id(log, fixture->tail);
    uint8_t *frame = fl_log_term(log, fixture->tail) + offset;
    CHECK(fl_align(length, 32) <= log->term_length - offset);
    fl_data_header_t header = {.version = 0, .flags = FL_DATA_UNFRAGMENTED, .type = type, .term_offset = offset,
        .session_id = SESSION_ID, .stream_id = STREAM_ID, .term_id = term_id};
    CHECK_EQUAL(0, fl_i32_load_acquire(frame));
    memcpy(frame + 4, (uint8_t *)&header + 4, sizeof(header) - 4);
    if (FL_FRAME_DATA == type)
    {
        for (int32_t i = 32; i < length; i++)
        {
            frame[i] = NULL != payload ? ((const uint8_t *)payload)[i - 32] : (uint8_t)(offset / 32 + i);
        }
    }
    fl_i32_store_release(frame, length);
    fixture->tail += fl_align(length, 32);
    const int32_t count = fl_term_count(term_id, INITIAL_TERM_ID);
    fl_i64_store_release(&log->metadata->term_tail_counters[fl_partition_of_count(count)],
        fl_raw_tail(term_id, offset + (int32_t)fl_align(length, 32)));
    if (0 == fl_log_term_offset(log, fixture->tail))
    {
        fl_log_rotate(log, count, term_id);
    }
}

/* Data frames that take `aligned` bytes each. */
static inline void fixture_offer(fixture_t *fixture, int32_t aligned, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
    {
        fixture_append(fixture, FL_FRAME_DATA, aligned, NULL);
    }
}

/* ---- the receiver ---- */

#define RECEIVER_ID INT64_C(0x1122334455667788)

static inline void fixture_status_on(
    fixture_t *fixture, script_t *script, uint8_t flags, int64_t position, int32_t window)
{
    uint8_t frame[FL_SM_LENGTH];
    const fl_sm_frame_t sm = {
        .header = {FL_SM_LENGTH, 0, flags, FL_FRAME_SM},
        .session_id = SESSION_ID,
        .stream_id = STREAM_ID,
        .consumption_term_id = fl_log_term_id(&fixture->log, position),
        .consumption_term_offset = fl_log_term_offset(&fixture->log, position),
        .receiver_window = window,
        .receiver_id = RECEIVER_ID,
    };
    memcpy(frame, &sm, sizeof(frame));
    script_inject_bytes(script, frame, sizeof(frame));
}

static inline void fixture_status(fixture_t *fixture, uint8_t flags, int64_t position, int32_t window)
{
    fixture_status_on(fixture, &fixture->script, flags, position, window);
}

static inline void fixture_nak(fixture_t *fixture, int64_t position, int32_t length)
{
    const fl_nak_frame_t nak = {{FL_NAK_LENGTH, 0, 0, FL_FRAME_NAK}, SESSION_ID, STREAM_ID,
        fl_log_term_id(&fixture->log, position), fl_log_term_offset(&fixture->log, position), length};
    script_inject_bytes(&fixture->script, (const uint8_t *)&nak, sizeof(nak));
}

/* Connect: SETUP goes out, a status message comes in; what was sent until then is forgotten. */
static inline void fixture_connect(fixture_t *fixture, int32_t window)
{
    fixture_cycle(fixture);
    fixture_status(fixture, 0, fixture->start_position, window);
    fixture_cycle(fixture);
    script_forget(&fixture->script);
}

/* Take events until there is none. Returns the mask of the publication's. */
static inline uint32_t fixture_events(fixture_t *fixture)
{
    fl_driver_event_t event;
    uint32_t mask = 0;
    while (fl_driver_next_event(fixture->driver, &event))
    {
        mask |= FL_OBJECT_PUBLICATION == event.kind && 7 == event.id ? event.mask : 0;
    }
    return mask;
}

/* ---- what was sent ---- */

static inline void fixture_check_sent(const fixture_t *fixture, uint32_t index, const char *hex)
{
    uint8_t bytes[2048];
    const size_t length = check_unhex(hex, bytes, sizeof(bytes));
    CHECK(index < fixture->script.sent_count);
    CHECK_EQUAL(length, fixture->script.sent[index].length);
    CHECK(0 == memcmp(bytes, fixture->script.sent[index].bytes, length));
}

/* The type of a datagram's first frame; a heartbeat is -2. */
static inline int fixture_sent_type(const fixture_t *fixture, uint32_t index)
{
    const script_datagram_t *datagram = &fixture->script.sent[index];
    const fl_data_header_t *header = (const fl_data_header_t *)datagram->bytes;
    return fl_frame_is_heartbeat(header, datagram->length) ? -2 : header->type;
}

static inline uint32_t fixture_count_sent(const fixture_t *fixture, int type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fixture->script.sent_count; i++)
    {
        count += type == fixture_sent_type(fixture, i);
    }
    return count;
}

#endif
