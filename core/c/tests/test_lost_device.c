/* A send endpoint that loses its transport while a publication is on it, and gets another one. */
#include "sender_fixture.h"

static script_t other;

static void open_both(fixture_t *fixture)
{
    *fixture = fixture_defaults();
    fixture_open(fixture);
    script_init(&other, FL_ROLE_SENDER, 0);
    CHECK_EQUAL(0, fl_driver_add_transport(fixture->driver, other.binding));
}

/* The driver goes before the scripts. */
static void close_both(fixture_t *fixture)
{
    CHECK_EQUAL(0, fl_send_endpoint_detach(fixture->driver, fixture->endpoint));
    CHECK_EQUAL(0, fl_driver_remove_transport(fixture->driver, other.binding));
    fixture_close(fixture);
    CHECK_EQUAL(0, other.open_endpoints);
    script_destroy(&other);
}

static int attach(fixture_t *fixture, script_t *script)
{
    fl_endpoint_params_t params = {.mtu_length = MTU_LENGTH};
    return fl_send_endpoint_attach(fixture->driver, fixture->endpoint, script->binding, &params);
}

static void test_a_publication_goes_on_where_it_was_with_runs_that_the_next_transport_takes(void)
{
    fixture_t fixture;
    open_both(&fixture);
    other.max_run_segments = 2;
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 1408, 4);
    fixture_cycle(&fixture);
    CHECK_EQUAL(4 * 1408, SND_POS(&fixture));
    CHECK_EQUAL(4 * 1408, fixture.script.runs[fixture.script.run_count - 1].length);

    CHECK_EQUAL(0, fl_send_endpoint_detach(fixture.driver, fixture.endpoint));
    CHECK_EQUAL(0, fixture.script.open_endpoints);
    script_forget(&fixture.script);
    fixture_offer(&fixture, 1408, 4);
    fixture_run(&fixture, 300);
    CHECK_EQUAL(4 * 1408, SND_POS(&fixture));
    CHECK_EQUAL(0, fixture.script.sent_count);

    CHECK_EQUAL(0, attach(&fixture, &other));
    fixture_cycle(&fixture);   /* the script checks that no run is longer than it takes */
    CHECK_EQUAL(8 * 1408, SND_POS(&fixture));
    CHECK_EQUAL(4, other.sent_count);
    CHECK_EQUAL(2 * 1408, other.runs[other.run_count - 1].length);
    CHECK_EQUAL(0, fixture.script.sent_count);
    close_both(&fixture);
}

static void test_feedback_comes_in_through_the_next_transport_alone(void)
{
    fixture_t fixture;
    open_both(&fixture);
    fixture_connect(&fixture, 4096);
    CHECK_EQUAL(4096, SND_LMT(&fixture));
    CHECK_EQUAL(0, fl_send_endpoint_detach(fixture.driver, fixture.endpoint));
    CHECK(NULL == fixture.script.context);
    CHECK_EQUAL(0, attach(&fixture, &other));
    fixture_status_on(&fixture, &other, 0, 0, 8192);
    fixture_cycle(&fixture);
    CHECK_EQUAL(8192, SND_LMT(&fixture));
    close_both(&fixture);
}

static void test_the_control_plane_is_told_once_of_a_transport_that_answers_that_it_is_gone(void)
{
    fixture_t fixture;
    open_both(&fixture);
    fl_driver_event_t event;
    while (fl_driver_next_event(fixture.driver, &event))
    {
    }
    CHECK_EQUAL(0, fl_driver_is_transport_gone(fixture.driver, fixture.script.binding));
    fixture.script.is_gone = true;
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fl_driver_next_event(fixture.driver, &event));
    CHECK_EQUAL(FL_OBJECT_TRANSPORTS, event.kind);
    CHECK_EQUAL(FL_EVENT_TRANSPORTS_GONE, event.mask);
    CHECK_EQUAL(1, fl_driver_is_transport_gone(fixture.driver, fixture.script.binding));
    CHECK_EQUAL(0, fl_driver_is_transport_gone(fixture.driver, other.binding));
    fixture_cycle(&fixture);
    CHECK_EQUAL(0, fl_driver_next_event(fixture.driver, &event));
    close_both(&fixture);
}

static void test_what_a_dead_transport_answers_to_giving_back_is_no_error_and_an_attach_that_fails_changes_nothing(void)
{
    fixture_t fixture;
    fl_address_t address;
    open_both(&fixture);
    CHECK_EQUAL(-FL_EBUSY, attach(&fixture, &other));
    fixture.script.is_gone = true;
    CHECK_EQUAL(0, fl_send_endpoint_detach(fixture.driver, fixture.endpoint));
    CHECK_EQUAL(0, fl_send_endpoint_detach(fixture.driver, fixture.endpoint));
    CHECK_EQUAL(-FL_ENODEV, fl_send_endpoint_local_address(fixture.endpoint, &address));
    CHECK_EQUAL(0, fl_send_endpoint_set_peer(fixture.driver, fixture.endpoint, &(fl_address_t){0}));
    CHECK_EQUAL(-FL_ENODEV, attach(&fixture, &fixture.script));
    fixture_run(&fixture, 200);
    CHECK_EQUAL(0, attach(&fixture, &other));
    CHECK_EQUAL(0, fl_send_endpoint_local_address(fixture.endpoint, &address));
    close_both(&fixture);
}

static void test_a_publication_that_is_added_meanwhile_sends_once_there_is_a_transport(void)
{
    fixture_t fixture;
    open_both(&fixture);
    CHECK_EQUAL(0, fl_send_endpoint_detach(fixture.driver, fixture.endpoint));
    fl_log_t log;
    fixture_create_log(&fixture, &log, "second", SESSION_ID + 1);
    const fl_publication_params_t params = fixture_params(&fixture, &log, FIRST_COUNTER + 6);
    fl_publication_t *second = fl_publication_add(fixture.driver, fixture.endpoint, &params);
    CHECK(NULL != second);
    fixture_run(&fixture, 5);
    CHECK_EQUAL(0, attach(&fixture, &other));
    fixture_run(&fixture, 200);
    uint32_t setups = 0;
    for (uint32_t i = 0; i < other.sent_count; i++)
    {
        const fl_setup_frame_t *setup = (const fl_setup_frame_t *)other.sent[i].bytes;
        setups += FL_FRAME_SETUP == setup->header.type && SESSION_ID + 1 == setup->session_id;
    }
    CHECK(setups > 0);
    CHECK_EQUAL(0, fl_publication_remove(fixture.driver, second));
    fl_log_close(&log);
    unlink(fixture_path(&fixture, "second"));
    close_both(&fixture);
}

int main(void)
{
    RUN(test_a_publication_goes_on_where_it_was_with_runs_that_the_next_transport_takes);
    RUN(test_feedback_comes_in_through_the_next_transport_alone);
    RUN(test_the_control_plane_is_told_once_of_a_transport_that_answers_that_it_is_gone);
    RUN(test_what_a_dead_transport_answers_to_giving_back_is_no_error_and_an_attach_that_fails_changes_nothing);
    RUN(test_a_publication_that_is_added_meanwhile_sends_once_there_is_a_transport);
    return 0;
}
