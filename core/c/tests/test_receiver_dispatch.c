/* From the first datagram of a session to its image (wire 4.1 to 4.3). */
#include "receiver_frames.h"

static void test_data_of_an_unknown_session_elicits_one_setup_a_second(void)
{
    fixture_t *f = fixture_new();
    inject_data(f, 0, 64);
    inject_data(f, 64, 64);
    cycle(f, MS);
    CHECK_EQUAL(1, f->script.sent_count);
    const fl_sm_frame_t *sm = (const fl_sm_frame_t *)f->script.sent[0].bytes;
    CHECK_EQUAL(FL_SM_LENGTH, f->script.sent[0].length);
    CHECK_EQUAL(FL_SM_FLAG_SEND_SETUP, sm->header.flags);
    CHECK_EQUAL(SESSION, sm->session_id);
    CHECK_EQUAL(STREAM, sm->stream_id);
    CHECK_EQUAL(0, sm->receiver_window);
    CHECK_EQUAL(fl_receive_endpoint_receiver_id(f->endpoint), sm->receiver_id);
    CHECK(0 == memcmp(&f->script.sent[0].to, &f->script.source.address, sizeof(fl_address_t)));
    CHECK(0 == memcmp(&f->script.sent[0].from, &f->script.local, sizeof(fl_address_t)));
    CHECK_EQUAL(2, drops(f, FL_DROP_NO_IMAGE));

    pass(f, 990 * MS);
    inject_data(f, 128, 64);
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    pass(f, 20 * MS);
    inject_data(f, 192, 64);
    cycle(f, 0);
    CHECK_EQUAL(2, f->script.sent_count);
    fixture_free(f);
}

static void test_a_setup_asks_for_an_image_once_until_it_is_refused(void)
{
    fixture_t *f = fixture_new();
    fl_driver_event_t event;
    inject_setup(f, SESSION, 256);
    inject_setup(f, SESSION, 256);
    cycle(f, MS);
    CHECK(next_setup(f, &event));
    CHECK_EQUAL(ENDPOINT_ID, event.id);
    CHECK_EQUAL(SESSION, event.session_id);
    CHECK_EQUAL(STREAM, event.stream_id);
    CHECK_EQUAL(INITIAL_TERM, event.initial_term_id);
    CHECK_EQUAL(256, event.term_offset);
    CHECK_EQUAL(TERM_LENGTH, event.term_length);
    CHECK_EQUAL(MTU, event.mtu_length);
    CHECK(0 == memcmp(&event.source, &f->script.source.address, sizeof(fl_address_t)));
    CHECK(!next_setup(f, &event));
    CHECK_EQUAL(1, drops(f, FL_DROP_SETUP_IGNORED));

    CHECK_EQUAL(0, fl_receive_endpoint_refuse_setup(f->driver, f->endpoint, STREAM, SESSION));
    inject_setup(f, SESSION, 256);
    cycle(f, MS);
    CHECK(next_setup(f, &event));
    fixture_free(f);
}

static void test_the_image_answers_from_the_address_that_the_setup_came_to(void)
{
    fixture_t *f = fixture_new();
    fl_driver_event_t event;
    inject_setup(f, SESSION, 0);
    cycle(f, MS);
    CHECK(next_setup(f, &event));
    fixture_add_image(f);
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    CHECK(0 == memcmp(&f->script.sent[0].from, &f->script.local, sizeof(fl_address_t)));
    CHECK(0 == memcmp(&f->script.sent[0].to, &f->script.source.address, sizeof(fl_address_t)));
    fixture_free(f);
}

static void test_a_stream_that_nobody_wants_costs_no_answer(void)
{
    fixture_t *f = fixture_new();
    CHECK_EQUAL(0, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 0, 0));
    inject_data(f, 0, 64);
    inject_setup(f, SESSION, 0);
    cycle(f, MS);
    CHECK_EQUAL(0, f->script.sent_count);
    CHECK_EQUAL(2, drops(f, FL_DROP_NO_INTEREST));
    CHECK_EQUAL(-FL_ENOENT, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 0, 0));
    fixture_free(f);
}

static void test_interest_in_one_session_leaves_the_others_alone(void)
{
    fixture_t *f = fixture_new();
    fl_driver_event_t event;
    CHECK_EQUAL(0, fl_receive_endpoint_add_stream(f->driver, f->endpoint, STREAM, 1, SESSION));
    CHECK_EQUAL(0, fl_receive_endpoint_add_stream(f->driver, f->endpoint, STREAM, 1, SESSION));
    CHECK_EQUAL(0, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 0, 0));
    CHECK_EQUAL(0, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 1, SESSION));
    inject_setup(f, SESSION + 1, 0);
    inject_setup(f, SESSION, 0);
    cycle(f, MS);
    CHECK(next_setup(f, &event));
    CHECK_EQUAL(SESSION, event.session_id);
    CHECK(!next_setup(f, &event));
    CHECK_EQUAL(1, drops(f, FL_DROP_NO_INTEREST));
    fixture_free(f);
}

static void test_removing_interest_forgets_the_session(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_data(f, 0, 64);
    cycle(f, MS);
    CHECK_EQUAL(64, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(0, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 0, 0));
    inject_data(f, 64, 64);
    cycle(f, MS);
    CHECK_EQUAL(64, counter(f, COUNTER_REBUILD));
    CHECK_EQUAL(1, drops(f, FL_DROP_NO_INTEREST));
    fixture_free(f);
}

static void test_explicit_control_is_told_at_once_and_every_second(void)
{
    const fl_receive_endpoint_params_t params = {
        .id = ENDPOINT_ID, .has_control = 1, .control = ipv4(9, 5555), .has_group_tag = 1, .group_tag = -1};
    fixture_t *f = fixture_new_with(&params, NULL);
    CHECK_EQUAL(1, f->script.sent_count);
    const fl_sm_frame_t *sm = (const fl_sm_frame_t *)f->script.sent[0].bytes;
    CHECK_EQUAL(FL_SM_FLAG_SEND_SETUP, sm->header.flags);
    CHECK_EQUAL(0, sm->session_id);
    CHECK_EQUAL(0, sm->stream_id);
    CHECK_EQUAL(FL_SM_GROUP_TAG_LENGTH, f->script.sent[0].length);
    CHECK_EQUAL(-1, sm->group_tag);
    CHECK_EQUAL(5555, f->script.sent[0].to.port);
    pass(f, 2010 * MS);
    CHECK_EQUAL(3, f->script.sent_count);

    const fl_address_t moved = ipv4(8, 6666);
    CHECK_EQUAL(0, fl_receive_endpoint_set_control(f->driver, f->endpoint, &moved));
    CHECK_EQUAL(0, fl_receive_endpoint_add_stream(f->driver, f->endpoint, STREAM, 1, 12));
    CHECK_EQUAL(4, f->script.sent_count);
    CHECK_EQUAL(12, ((const fl_sm_frame_t *)f->script.sent[3].bytes)->session_id);
    CHECK_EQUAL(6666, f->script.sent[3].to.port);

    CHECK_EQUAL(0, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 0, 0));
    CHECK_EQUAL(0, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 1, 12));
    pass(f, 3000 * MS);
    CHECK_EQUAL(4, f->script.sent_count);
    fixture_free(f);
}

static void test_spoofed_sessions_are_bounded_and_lapse(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[64];
    const int32_t sessions = 3 * FL_SETUPS_CAPACITY;
    for (int32_t i = 0; i < sessions; i++)
    {
        inject(f, bytes, write_frame_of(bytes, 0, 64, FL_FRAME_DATA, i * 7919, TERM_LENGTH));
    }
    while (0 != script_waiting(&f->script))
    {
        cycle(f, 0);
    }
    CHECK_EQUAL(FL_SETUPS_CAPACITY, f->script.sent_count);
    CHECK_EQUAL(sessions, drops(f, FL_DROP_NO_IMAGE));
    CHECK_EQUAL(FL_SETUPS_CAPACITY, f->endpoint->sessions.count);
    pass(f, 1010 * MS);
    CHECK_EQUAL(0, f->endpoint->sessions.count);
    CHECK_EQUAL(0, f->endpoint->setup_count);
    fixture_free(f);
}

static void test_setups_beyond_the_notices_are_refused_and_counted(void)
{
    fixture_t *f = fixture_new();
    fl_driver_event_t event;
    for (int32_t i = 0; i < FL_RECEIVER_NOTICES + 10; i++)
    {
        inject_setup(f, 1000 + i, 0);
    }
    while (0 != script_waiting(&f->script))
    {
        cycle(f, 0);
    }
    CHECK_EQUAL(10, drops(f, FL_DROP_SETUP_IGNORED));
    int taken = 0;
    while (next_setup(f, &event))
    {
        taken++;
        CHECK_EQUAL(0, fl_receive_endpoint_refuse_setup(f->driver, f->endpoint, STREAM, event.session_id));
    }
    CHECK_EQUAL(FL_RECEIVER_NOTICES, taken);
    CHECK_EQUAL(0, f->endpoint->sessions.count);
    CHECK_EQUAL(0, f->endpoint->setup_count);
    fixture_free(f);
}

static void limit_to_one_session(fl_driver_config_t *config)
{
    config->stream_session_limit = 1;
}

static void test_the_session_limit_refuses_a_second_image(void)
{
    fixture_t *f = fixture_new_with(NULL, limit_to_one_session);
    fl_driver_event_t event;
    fixture_add_image(f);
    inject_setup(f, SESSION + 1, 0);
    cycle(f, MS);
    CHECK(!next_setup(f, &event));
    CHECK_EQUAL(1, drops(f, FL_DROP_SETUP_IGNORED));
    fixture_free(f);
}

static void test_many_images_are_found_after_the_table_has_grown(void)
{
    fixture_t *f = fixture_new();
    enum
    {
        IMAGES = 500
    };
    static fl_image_t *images[IMAGES];
    fl_log_t *log = fixture_make_log(f, "shared", SESSION, TERM_LENGTH);
    const int64_t subscription = SUBSCRIPTION;
    const int32_t position = COUNTER_SUBSCRIBERS;
    uint8_t bytes[64];
    for (int32_t i = 0; i < IMAGES; i++)
    {
        log->session_id = i;
        const fl_image_params_t params = fixture_image_params(f, log, 0);
        images[i] = fl_image_add(f->driver, f->endpoint, &params, &subscription, &position, 1);
        CHECK(NULL != images[i]);
    }
    for (int32_t i = 0; i < IMAGES; i++)
    {
        inject(f, bytes, write_frame_of(bytes, 64 * i, 64, FL_FRAME_DATA, i, TERM_LENGTH));
    }
    while (0 != script_waiting(&f->script))
    {
        cycle(f, 0);
    }
    for (int32_t i = 0; i < IMAGES; i++)
    {
        CHECK_EQUAL(64 * (i + 1), images[i]->hwm);
        CHECK_EQUAL(0, fl_image_remove(f->driver, images[i]));
    }
    CHECK(f->endpoint->sessions.capacity > fl_session_map_capacity(0));
    CHECK_EQUAL(0, f->endpoint->sessions.count);
    f->log = log;
    fixture_free(f);
}

static void test_rttm_requests_are_answered_and_others_are_counted(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[FL_RTTM_LENGTH];
    const int64_t own = fl_receive_endpoint_receiver_id(f->endpoint);
    fixture_add_image(f);
    cycle(f, 0);
    script_forget(&f->script);
    inject(f, bytes, (uint32_t)fl_rttm_encode(bytes, FL_RTTM_FLAG_REPLY, SESSION, STREAM, 123456, 0, 0));
    inject(f, bytes, (uint32_t)fl_rttm_encode(bytes, 0, SESSION, STREAM, 123456, 0, own));
    inject(f, bytes, (uint32_t)fl_rttm_encode(bytes, FL_RTTM_FLAG_REPLY, SESSION, STREAM, 1, 0, own + 1));
    inject(f, bytes, (uint32_t)fl_rttm_encode(bytes, FL_RTTM_FLAG_REPLY, SESSION + 1, STREAM, 1, 0, 0));
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    const fl_rttm_frame_t *answer = (const fl_rttm_frame_t *)f->script.sent[0].bytes;
    CHECK_EQUAL(0, answer->header.flags);
    CHECK_EQUAL(123456, answer->echo_timestamp);
    CHECK_EQUAL(0, answer->reception_delta);
    CHECK_EQUAL(own, answer->receiver_id);
    CHECK_EQUAL(2, drops(f, FL_DROP_RTTM_IGNORED));
    fixture_free(f);
}

static void test_a_multicast_receiver_answers_to_the_control_group(void)
{
    const fl_address_t group = {.family = FL_FAMILY_IPV4, .port = 40456, .bytes = {224, 20, 30, 40}};
    const fl_receive_endpoint_params_t params = {.id = ENDPOINT_ID, .is_multicast = 1, .control = group, .ttl = 4};
    fixture_t *f = fixture_new_with(&params, NULL);
    uint8_t bytes[FL_SETUP_LENGTH];
    fl_driver_event_t event;
    inject_data(f, 0, 64);
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    CHECK(0 == memcmp(&f->script.sent[0].to, &group, sizeof(group)));
    inject(f, bytes, (uint32_t)fl_setup_encode(bytes, FL_SETUP_FLAG_GROUP, 0, SESSION, STREAM, INITIAL_TERM,
        INITIAL_TERM, TERM_LENGTH, MTU, 5));
    cycle(f, 0);
    CHECK_EQUAL(1, counter(f, FL_COUNTER_POSSIBLE_TTL_ASYMMETRY));
    CHECK(next_setup(f, &event));
    CHECK_EQUAL(5, event.ttl);
    CHECK_EQUAL(FL_SETUP_FLAG_GROUP, event.flags);
    fixture_add_image(f);
    cycle(f, 0);
    CHECK_EQUAL(2, f->script.sent_count);
    CHECK(0 == memcmp(&f->script.sent[1].to, &group, sizeof(group)));
    pass(f, 3000 * MS);      /* no periodic elicitation */
    for (uint32_t i = 1; i < f->script.sent_count; i++)
    {
        CHECK_EQUAL(0, ((const fl_frame_header_t *)f->script.sent[i].bytes)->flags);
    }
    fixture_free(f);
}

/* With an endpoint that receives at destinations alone, of which there are none yet. */
static fixture_t *fixture_new_with_destinations(void)
{
    fixture_t *f = fixture_new();
    const fl_receive_endpoint_params_t plain = {.id = ENDPOINT_ID};
    CHECK_EQUAL(0, fl_receive_endpoint_close(f->driver, f->endpoint));
    f->endpoint = fl_receive_endpoint_new_owner(f->driver, &plain);
    CHECK_EQUAL(0, fl_receive_endpoint_add_stream(f->driver, f->endpoint, STREAM, 0, 0));
    return f;
}

/* Between a SETUP and its image the destination goes that it came to, and another takes its place. */
static void test_an_image_answers_at_no_destination_that_its_stream_did_not_come_to(void)
{
    fixture_t *f = fixture_new_with_destinations();
    fl_driver_event_t event;
    const fl_receive_endpoint_params_t plain = {.id = ENDPOINT_ID};
    fl_endpoint_params_t params = {.bind = f->script.local, .mtu_length = MTU};
    fl_receive_endpoint_t *first =
        fl_receive_endpoint_open_member(f->driver, f->endpoint, f->script.binding, &params, &plain);
    inject_setup(f, SESSION, 0);
    cycle(f, MS);
    CHECK(next_setup(f, &event));
    CHECK_EQUAL(0, fl_receive_endpoint_close(f->driver, first));
    fl_receive_endpoint_t *second =
        fl_receive_endpoint_open_member(f->driver, f->endpoint, f->script.binding, &params, &plain);
    fixture_add_image(f);
    cycle(f, MS);
    CHECK_EQUAL(0, f->script.sent_count);
    f->script.source.address = ipv4(3, 40001);
    inject_data(f, 0, 64);
    pass(f, 300 * MS);
    CHECK(f->script.sent_count > 0);
    CHECK(0 == memcmp(&f->script.sent[0].to, &f->script.source.address, sizeof(fl_address_t)));
    CHECK_EQUAL(0, fl_receive_endpoint_close(f->driver, second));
    fixture_free(f);
}

static void test_a_response_is_told_again_until_it_need_not_be(void)
{
    fixture_t *f = fixture_new();
    inject_setup(f, SESSION, 0);
    cycle(f, MS);
    fixture_add_image(f);
    CHECK_EQUAL(0, fl_image_respond(f->driver, f->image, 4711));
    const script_datagram_t *told = last_sent(f, FL_FRAME_RSP_SETUP);
    CHECK(NULL != told);
    CHECK_EQUAL(4711, ((const fl_rsp_setup_frame_t *)told->bytes)->response_session_id);
    script_forget(&f->script);
    pass(f, 300 * MS);
    CHECK(NULL != last_sent(f, FL_FRAME_RSP_SETUP));
    CHECK_EQUAL(0, fl_image_stop_responding(f->driver, f->image));
    script_forget(&f->script);
    pass(f, 300 * MS);
    CHECK(NULL == last_sent(f, FL_FRAME_RSP_SETUP));
    CHECK(NULL != last_sent(f, FL_FRAME_SM));
    fixture_free(f);
}

/* How many status messages of the session went to an address. */
static uint32_t reports_to(const script_t *script, const fl_address_t *address)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < script->sent_count; i++)
    {
        const fl_sm_frame_t *sm = (const fl_sm_frame_t *)script->sent[i].bytes;
        count += FL_FRAME_SM == sm->header.type && SESSION == sm->session_id &&
            0 == memcmp(&script->sent[i].to, address, sizeof(*address));
    }
    return count;
}

static void test_destinations_join_images_that_are_there_and_leave_them(void)
{
    fixture_t *f = fixture_new_with_destinations();
    script_t other;
    script_init(&other, FL_ROLE_RECEIVER, 0);
    other.source.address = ipv4(8, 40001);
    CHECK_EQUAL(0, fl_driver_add_transport(f->driver, other.binding));
    const fl_receive_endpoint_params_t plain = {.id = ENDPOINT_ID};
    const fl_receive_endpoint_params_t controlled = {
        .id = ENDPOINT_ID + 1, .has_control = 1, .control = ipv4(9, 40456)};
    fl_endpoint_params_t params = {.bind = f->script.local, .mtu_length = MTU};
    fl_receive_endpoint_t *first =
        fl_receive_endpoint_open_member(f->driver, f->endpoint, f->script.binding, &params, &plain);

    /* One that is there already, and one that comes later. */
    for (int later = 0; later < 2; later++)
    {
        fl_receive_endpoint_t *second = later
            ? NULL
            : fl_receive_endpoint_open_member(f->driver, f->endpoint, other.binding, &params, &controlled);
        if (NULL == f->image)
        {
            inject_setup(f, SESSION, 0);
            cycle(f, MS);
            fixture_add_image(f);
        }
        if (later)
        {
            second = fl_receive_endpoint_open_member(f->driver, f->endpoint, other.binding, &params, &controlled);
        }
        script_forget(&other);
        pass(f, 300 * MS);
        CHECK(reports_to(&other, &controlled.control) > 0);
        CHECK_EQUAL(0, fl_receive_endpoint_close(f->driver, second));
    }

    /* The stream is heard at both; the other way goes, and its end need not come. */
    fl_receive_endpoint_t *second =
        fl_receive_endpoint_open_member(f->driver, f->endpoint, other.binding, &params, &plain);
    uint8_t bytes[64];
    script_inject_bytes(&other, bytes, write_frame(bytes, 0, 64, FL_FRAME_DATA));
    cycle(f, MS);
    inject_heartbeat(f, 64, FL_DATA_FLAG_EOS);
    cycle(f, MS);
    CHECK(!f->image->is_end_of_stream);
    CHECK_EQUAL(0, fl_receive_endpoint_close(f->driver, second));
    inject_heartbeat(f, 64, FL_DATA_FLAG_EOS);
    cycle(f, MS);
    CHECK(f->image->is_end_of_stream);
    CHECK_EQUAL(0, fl_receive_endpoint_close(f->driver, first));
    CHECK_EQUAL(0, fl_driver_remove_transport(f->driver, other.binding));
    fixture_free(f);
    script_destroy(&other);
}

int main(void)
{
    RUN(test_a_response_is_told_again_until_it_need_not_be);
    RUN(test_destinations_join_images_that_are_there_and_leave_them);
    RUN(test_an_image_answers_at_no_destination_that_its_stream_did_not_come_to);
    RUN(test_data_of_an_unknown_session_elicits_one_setup_a_second);
    RUN(test_a_setup_asks_for_an_image_once_until_it_is_refused);
    RUN(test_the_image_answers_from_the_address_that_the_setup_came_to);
    RUN(test_a_stream_that_nobody_wants_costs_no_answer);
    RUN(test_interest_in_one_session_leaves_the_others_alone);
    RUN(test_removing_interest_forgets_the_session);
    RUN(test_explicit_control_is_told_at_once_and_every_second);
    RUN(test_spoofed_sessions_are_bounded_and_lapse);
    RUN(test_setups_beyond_the_notices_are_refused_and_counted);
    RUN(test_the_session_limit_refuses_a_second_image);
    RUN(test_many_images_are_found_after_the_table_has_grown);
    RUN(test_rttm_requests_are_answered_and_others_are_counted);
    RUN(test_a_multicast_receiver_answers_to_the_control_group);
    return 0;
}
