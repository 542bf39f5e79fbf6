/* A publication and an image of one driver over the in-memory network, which treats datagrams badly: what is read is
 * what was written. Each case has a seed, which is printed. */
#include "api/transport_fault.h"
#include "api/transport_simnet.h"
#include "check.h"
#include "driver/driver.h"
#include "driver_config.h"
#include "protocol/frames.h"
#include "receiver/image.h"
#include "shm/counters.h"
#include "shm/term.h"
#include "transport/binding.h"

#include <unistd.h>

#define SESSION (-77)
#define STREAM 10
#define INITIAL_TERM INT32_MAX
#define TERM_LENGTH 262144
#define MTU 1408
#define FIRST_DROP 46
#define FIRST_COUNTER 80    /* six of the publication, three of the image, then the subscriber's */
#define SUBSCRIBER (FIRST_COUNTER + 9)

typedef struct stream
{
    char folder[64];
    fl_clock_t *clock;
    fl_cnc_t cnc;
    fl_driver_t *driver;
    fl_simnet_t *net;
    fl_transport_host_t *host;
    fl_binding_t *network;
    fl_binding_t *binding;
    fl_send_endpoint_t *send_endpoint;
    fl_receive_endpoint_t *receive_endpoint;
    fl_publication_t *publication;
    fl_image_t *image;
    fl_log_t *publication_log;
    fl_log_t *image_log;
    int64_t tail;
    int64_t read;
    uint64_t random;
    bool is_reliable;
} stream_t;

static uint32_t stream_random(stream_t *s, uint32_t limit)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((s->random >> 33) % limit);
}

static const char *stream_path(const stream_t *s, const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", s->folder, name);
    return path;
}

static int64_t stream_counter(stream_t *s, int32_t id)
{
    return fl_counter_get(fl_driver_counter(&s->driver->context, id));
}

static fl_log_t *stream_make_log(stream_t *s, const char *name, uint8_t type)
{
    const fl_log_params_t params = {.correlation_id = 7, .session_id = SESSION, .stream_id = STREAM,
        .initial_term_id = INITIAL_TERM, .starting_term_id = INITIAL_TERM, .mtu_length = MTU,
        .term_length = TERM_LENGTH, .page_size = 4096, .publication_window_length = TERM_LENGTH / 2, .sparse = 1,
        .type = type};
    fl_log_t *log = fl_log_new();
    CHECK_EQUAL(0, fl_log_create(log, stream_path(s, name), &params));
    unlink(stream_path(s, name));
    return log;
}

static void stream_make_driver(stream_t *s)
{
    test_cnc_create(&s->cnc, stream_path(s, "cnc"));
    unlink(stream_path(s, "cnc"));
    fl_driver_config_t config = test_config(s->clock, &s->cnc, FIRST_DROP);
    config.seed = s->random;
    s->driver = fl_driver_new(&config);
    CHECK(NULL != s->driver);
}

static void stream_add_publication(stream_t *s, const fl_address_t *peer)
{
    fl_endpoint_params_t endpoint_params = {.mtu_length = MTU, .peer = *peer, .bind = {.family = FL_FAMILY_IPV4}};
    const fl_send_endpoint_params_t send_params = {.id = 1, .destinations_counter_id = -1};
    s->send_endpoint = fl_send_endpoint_open(s->driver, s->binding, &endpoint_params, &send_params);
    CHECK(NULL != s->send_endpoint);
    s->publication_log = stream_make_log(s, "publication", FL_LOG_TYPE_EXCLUSIVE);
    const fl_publication_params_t params = {
        .registration_id = 7,
        .log = s->publication_log,
        .publication_window_length = TERM_LENGTH / 2,
        .max_resend = 16,
        .retransmit_window_multiple = 16,
        .flow_control = FL_FLOW_CONTROL_UNICAST,
        .is_exclusive = 1,
        .signal_eos = 1,
        .linger_timeout_ns = 5 * SECOND,
        .publisher_position_counter_id = FIRST_COUNTER,
        .publisher_limit_counter_id = FIRST_COUNTER + 1,
        .sender_position_counter_id = FIRST_COUNTER + 2,
        .sender_limit_counter_id = FIRST_COUNTER + 3,
        .sender_bpe_counter_id = FIRST_COUNTER + 4,
        .sender_naks_received_counter_id = FIRST_COUNTER + 5,
    };
    s->publication = fl_publication_add(s->driver, s->send_endpoint, &params);
    CHECK(NULL != s->publication);
}

static void stream_open(stream_t *s, const fl_fault_settings_t *faults)
{
    const fl_address_t own = {.family = FL_FAMILY_IPV4, .bytes = {10, 0, 0, 1}};
    const fl_address_t bound = {.family = FL_FAMILY_IPV4, .port = 40123, .bytes = {10, 0, 0, 1}};
    strcpy(s->folder, "/tmp/framelane-stream-XXXXXX");
    CHECK(NULL != mkdtemp(s->folder));
    s->clock = fl_clock_virtual_new(SECOND, 1000 * SECOND);
    stream_make_driver(s);
    s->host = fl_transport_host_new(s->clock, s->random, NULL);
    s->net = fl_simnet_new(s->clock, 20 * US);
    fl_transport_t *transport = fl_simnet_attach(s->net, fl_transport_host_table(s->host), &own, 1);
    s->network = fl_binding_new(fl_simnet_ops(), transport, "simnet");
    CHECK(NULL != s->network);
    fl_fault_t *fault = fl_fault_new(s->network, fl_transport_host_table(s->host), s->random);
    CHECK(NULL != fault);
    CHECK_EQUAL(0, fl_fault_configure(fault, faults));
    s->binding = fl_binding_new(fl_fault_ops(fault), fault, "fault");
    CHECK(NULL != s->binding);
    CHECK_EQUAL(0, fl_driver_add_transport(s->driver, s->binding));

    const fl_receive_endpoint_params_t receive_params = {.id = 2};
    fl_endpoint_params_t endpoint_params = {.mtu_length = MTU, .bind = bound};
    s->receive_endpoint = fl_receive_endpoint_open(s->driver, s->binding, &endpoint_params, &receive_params);
    CHECK(NULL != s->receive_endpoint);
    CHECK_EQUAL(0, fl_receive_endpoint_add_stream(s->driver, s->receive_endpoint, STREAM, 0, 0));
    stream_add_publication(s, &bound);
}

static void stream_close(stream_t *s)
{
    CHECK_EQUAL(0, fl_image_remove(s->driver, s->image));
    CHECK_EQUAL(0, fl_receive_endpoint_close(s->driver, s->receive_endpoint));
    CHECK_EQUAL(0, fl_publication_remove(s->driver, s->publication));
    CHECK_EQUAL(0, fl_send_endpoint_close(s->driver, s->send_endpoint));
    CHECK_EQUAL(0, fl_driver_remove_transport(s->driver, s->binding));
    fl_driver_stop(s->driver);
    fl_driver_free(s->driver);
    s->binding->ops.close(s->binding->transport);
    fl_binding_free(s->binding);
    s->network->ops.close(s->network->transport);
    fl_binding_free(s->network);
    fl_simnet_free(s->net);
    fl_transport_host_free(s->host);
    fl_log_free(s->publication_log);
    fl_log_free(s->image_log);
    fl_cnc_close(&s->cnc);
    fl_clock_virtual_free(s->clock);
    rmdir(s->folder);
}

/* What the control plane does on the SETUP event. */
static void stream_answer_events(stream_t *s)
{
    fl_driver_event_t event;
    while (fl_driver_next_event(s->driver, &event))
    {
        if (FL_OBJECT_SETUP != event.kind)
        {
            continue;
        }
        CHECK(NULL == s->image);
        s->image_log = stream_make_log(s, "image", FL_LOG_TYPE_IMAGE);
        const int64_t subscription = 5;
        const int32_t position_counter = SUBSCRIBER;
        const fl_image_params_t params = {
            .correlation_id = 9,
            .log = s->image_log,
            .initial_window_length = TERM_LENGTH / 2,
            .join_position = fl_log_position(s->image_log, event.active_term_id, event.term_offset),
            .source = event.source,
            .is_reliable = s->is_reliable,
            .nak_delay_ns = -1,
            .rcv_hwm_counter_id = FIRST_COUNTER + 6,
            .rcv_pos_counter_id = FIRST_COUNTER + 7,
            .rcv_naks_sent_counter_id = FIRST_COUNTER + 8,
        };
        s->image = fl_image_add(s->driver, s->receive_endpoint, &params, &subscription, &position_counter, 1);
        CHECK(NULL != s->image);
        s->read = params.join_position;
    }
}

static void stream_write_frame(stream_t *s, int16_t type, int32_t length)
{
    fl_log_t *log = s->publication_log;
    const int32_t offset = fl_log_term_offset(log, s->tail);
    const int32_t term_id = fl_log_term_id(log, s->tail);
    uint8_t *frame = fl_log_term(log, s->tail) + offset;
    const fl_data_header_t header = {.flags = FL_DATA_UNFRAGMENTED, .type = type, .term_offset = offset,
        .session_id = SESSION, .stream_id = STREAM, .term_id = term_id, .reserved_value = s->tail};
    CHECK_EQUAL(0, fl_i32_load_acquire(frame));
    memcpy(frame + 4, (const uint8_t *)&header + 4, sizeof(header) - 4);
    for (int32_t i = 32; FL_FRAME_DATA == type && i < length; i++)
    {
        frame[i] = (uint8_t)(s->tail / 32 + i);
    }
    fl_i32_store_release(frame, length);
    s->tail += fl_align(length, FL_FRAME_ALIGNMENT);
    const int32_t count = fl_term_count(term_id, INITIAL_TERM);
    fl_i64_store_release(&log->metadata->term_tail_counters[fl_partition_of_count(count)],
        fl_raw_tail(term_id, offset + (int32_t)fl_align(length, FL_FRAME_ALIGNMENT)));
    if (0 == fl_log_term_offset(log, s->tail))
    {
        fl_log_rotate(log, count, term_id);
    }
}

/* Publish frames of random lengths as long as the limit allows. */
static void stream_publish(stream_t *s, int64_t end)
{
    for (int i = 0; i < 64 && s->tail < end && s->tail < stream_counter(s, FIRST_COUNTER + 1); i++)
    {
        const int32_t length = 33 + (int32_t)stream_random(s, 2) * (int32_t)stream_random(s, MTU - 32);
        const int32_t left = TERM_LENGTH - fl_log_term_offset(s->publication_log, s->tail);
        if (fl_align(length, FL_FRAME_ALIGNMENT) > left)
        {
            stream_write_frame(s, FL_FRAME_PAD, left);
        }
        else
        {
            stream_write_frame(s, FL_FRAME_DATA, length);
        }
    }
}

/* Read what there is and check it. */
static void stream_consume(stream_t *s)
{
    while (NULL != s->image)
    {
        const uint8_t *frame = fl_log_term(s->image_log, s->read) + fl_log_term_offset(s->image_log, s->read);
        const int32_t length = fl_i32_load_acquire(frame);
        if (length <= 0)
        {
            break;
        }
        const fl_data_header_t *header = (const fl_data_header_t *)frame;
        CHECK_EQUAL(fl_log_term_id(s->image_log, s->read), header->term_id);
        CHECK_EQUAL(fl_log_term_offset(s->image_log, s->read), header->term_offset);
        for (int32_t i = 32; FL_FRAME_DATA == header->type && i < length; i++)
        {
            CHECK_EQUAL((uint8_t)(s->read / 32 + i), frame[i]);
        }
        CHECK(FL_FRAME_DATA != header->type || header->reserved_value == s->read);
        s->read += fl_align(length, FL_FRAME_ALIGNMENT);
    }
    fl_counter_set(fl_driver_counter(&s->driver->context, SUBSCRIBER), s->read);
}

static void stream_run(uint64_t seed, bool is_reliable, const fl_fault_settings_t *faults, int64_t length)
{
    stream_t s = {.random = seed, .is_reliable = is_reliable};
    stream_open(&s, faults);
    int64_t cycles = 0;
    for (; s.read < length; cycles++)
    {
        if (cycles == 2000000)
        {
            fprintf(stderr, "seed %" PRIu64 ": stuck at %" PRId64 " of %" PRId64 ", tail %" PRId64 "\n", seed, s.read,
                length, s.tail);
            exit(1);
        }
        stream_publish(&s, length);
        fl_clock_advance(s.clock, 10 * US);
        fl_driver_invoke(s.driver);
        stream_answer_events(&s);
        if (0 == cycles % 3)
        {
            stream_consume(&s);
        }
    }
    printf("  seed %" PRIu64 ": %" PRId64 " NAKs, %" PRId64 " gap fills, %" PRId64 " duplicates, %" PRId64 " cycles\n",
        seed, stream_counter(&s, FL_COUNTER_NAKS_SENT), stream_counter(&s, FL_COUNTER_LOSS_GAP_FILLS),
        stream_counter(&s, FIRST_DROP + FL_DROP_DUPLICATE), cycles);
    CHECK_EQUAL(0, stream_counter(&s, FL_COUNTER_INVALID_PACKETS));
    CHECK(is_reliable || 0 == stream_counter(&s, FL_COUNTER_NAKS_SENT));

    /* The end reaches the image by way of heartbeats, and the publication by way of status messages. */
    CHECK_EQUAL(0, fl_publication_drain(s.driver, s.publication));
    for (int i = 0; i < 4000 && s.image->state < FL_IMAGE_LINGER; i++)
    {
        fl_clock_advance(s.clock, MS);
        fl_driver_invoke(s.driver);
        stream_answer_events(&s);
    }
    CHECK_EQUAL(FL_IMAGE_LINGER, s.image->state);
    CHECK_EQUAL(s.tail, s.image_log->metadata->end_of_stream_position);
    CHECK_EQUAL(s.tail, s.read);
    stream_close(&s);
}

static void test_a_clean_network_needs_no_nak(void)
{
    stream_run(1, true, &(fl_fault_settings_t){.send = {.loss = 0}}, 8 * TERM_LENGTH);
}

static void test_lost_datagrams_are_sent_again(void)
{
    stream_run(2, true, &(fl_fault_settings_t){.send = {.loss = 0.05}, .receive = {.loss = 0.05}}, 12 * TERM_LENGTH);
}

static void test_duplicates_and_reordering_do_no_harm(void)
{
    stream_run(3, true, &(fl_fault_settings_t){.send = {.duplicate = 0.1, .reorder = 0.1}}, 12 * TERM_LENGTH);
}

static void test_everything_at_once_with_short_sends(void)
{
    const fl_fault_settings_t faults = {
        .send = {.loss = 0.02, .duplicate = 0.02, .reorder = 0.02, .refuse = 0.1},
        .receive = {.loss = 0.02, .reorder = 0.02, .jitter_ns = 100 * US}};
    for (uint64_t seed = 4; seed < 10; seed++)
    {
        stream_run(seed, true, &faults, 6 * TERM_LENGTH);
    }
}

static void test_an_unreliable_stream_goes_on_without_what_was_lost(void)
{
    stream_run(10, false, &(fl_fault_settings_t){.send = {.loss = 0.05, .reorder = 0.02}}, 12 * TERM_LENGTH);
}

int main(void)
{
    RUN(test_a_clean_network_needs_no_nak);
    RUN(test_lost_datagrams_are_sent_again);
    RUN(test_duplicates_and_reordering_do_no_harm);
    RUN(test_everything_at_once_with_short_sends);
    RUN(test_an_unreliable_stream_goes_on_without_what_was_lost);
    return 0;
}
