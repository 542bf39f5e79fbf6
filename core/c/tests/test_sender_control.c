/* What the control plane asks of the sender, and what it is told when that is not possible. */
#include "sender_fixture.h"

static void test_one_poller_for_both_agents_hands_control_frames_to_the_sender_s_publications(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.queues = 1;
    fixture_open(&fixture);
    CHECK_EQUAL(0, fixture.driver->sender.polls.count);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 64, 2);
    fixture_cycle(&fixture);
    CHECK_EQUAL(128, SND_POS(&fixture));
    CHECK_EQUAL(128 + 40, fixture_counter(&fixture, FL_COUNTER_BYTES_SENT));
    fixture_nak(&fixture, 0, 64);
    fixture_cycle(&fixture);
    CHECK_EQUAL(2, fixture.script.sent_count);
    fixture_cycle(&fixture);
    CHECK_EQUAL(192 + 40, fixture_counter(&fixture, FL_COUNTER_BYTES_SENT));
    fixture_close(&fixture);
}

static void test_a_peer_stays_valid_until_the_next_one_is_set(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    const fl_address_t first = {.family = FL_FAMILY_IPV4, .port = 1, .bytes = {10, 0, 0, 1}};
    const fl_address_t second = {.family = FL_FAMILY_IPV4, .port = 2, .bytes = {10, 0, 0, 2}};
    CHECK_EQUAL(0, fl_send_endpoint_set_peer(fixture.driver, fixture.endpoint, &first));
    CHECK(0 == memcmp(&first, &fixture.script.peer->address, sizeof(first)));
    fixture.script.set_peer_result = -FL_EHOSTUNREACH;
    for (int i = 0; i < 3; i++)
    {
        CHECK_EQUAL(-FL_EHOSTUNREACH, fl_send_endpoint_set_peer(fixture.driver, fixture.endpoint, &second));
        CHECK(0 == memcmp(&first, &fixture.script.peer->address, sizeof(first)));
    }
    fixture.script.set_peer_result = 0;
    CHECK_EQUAL(0, fl_send_endpoint_set_peer(fixture.driver, fixture.endpoint, &second));
    CHECK(0 == memcmp(&second, &fixture.script.peer->address, sizeof(second)));
    fixture_close(&fixture);
}

static void test_an_endpoint_with_a_publication_stays_open(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    CHECK_EQUAL(-FL_EBUSY, fl_send_endpoint_close(fixture.driver, fixture.endpoint));
    CHECK(NULL != strstr(fl_error_text(), "1 publications are still on it"));
    fixture_cycle(&fixture);
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_close(&fixture);
}

static void test_a_publication_with_impossible_parameters_is_refused(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fl_log_t log = fixture.log;
    log.session_id++;
    const fl_publication_params_t good = fixture_params(&fixture, &log, FIRST_COUNTER + 6);
    fl_publication_params_t bad[8];
    for (size_t i = 0; i < 8; i++)
    {
        bad[i] = good;
    }
    bad[0].start_position = -32;
    bad[1].start_position = 33;
    bad[2].publication_window_length = 32769;
    bad[3].publication_window_length = 1024;
    bad[4].max_resend = 0;
    bad[5].flow_control = 77;
    bad[6].sender_limit_counter_id = 1000000;
    bad[7].log = &fixture.log;   /* that session is there */
    for (size_t i = 0; i < 8; i++)
    {
        fl_error_clear();
        CHECK(NULL == fl_publication_add(fixture.driver, fixture.endpoint, &bad[i]));
        CHECK('\0' != fl_error_text()[0]);
        fixture_cycle(&fixture);
    }
    fl_publication_t *publication = fl_publication_add(fixture.driver, fixture.endpoint, &good);
    CHECK(NULL != publication);
    CHECK_EQUAL(0, fl_publication_remove(fixture.driver, publication));
    fixture_close(&fixture);
}

static void test_a_session_that_is_done_may_come_again_before_it_is_removed(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fl_publication_drain(fixture.driver, fixture.publication);
    fixture_run(&fixture, 5300);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER | FL_EVENT_PUBLICATION_DONE, fixture_events(&fixture));
    fl_publication_t *old = fixture.publication;
    const fl_publication_params_t params = fixture_params(&fixture, &fixture.log, FIRST_COUNTER + 6);
    fixture.publication = fl_publication_add(fixture.driver, fixture.endpoint, &params);
    CHECK(NULL != fixture.publication);
    CHECK_EQUAL(0, fl_publication_remove(fixture.driver, old));
    fixture_status(&fixture, 0, 0, 32768);
    fixture_cycle(&fixture);
    CHECK_EQUAL(32768, fixture_counter(&fixture, FIRST_COUNTER + 6 + 3));
    fixture_close(&fixture);
}

static void test_hundreds_of_publications_are_found_by_stream_and_session(void)
{
    enum { COUNT = 500 };
    static fl_log_t logs[COUNT];
    static fl_publication_t *publications[COUNT];
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    for (int32_t i = 0; i < COUNT; i++)
    {
        logs[i] = fixture.log;
        logs[i].session_id = i * 1024;
        logs[i].stream_id = STREAM_ID + i % 3;
        const fl_publication_params_t params = fixture_params(&fixture, &logs[i], FIRST_COUNTER + 6);
        publications[i] = fl_publication_add(fixture.driver, fixture.endpoint, &params);
        CHECK(NULL != publications[i]);
    }
    fixture_cycle(&fixture);
    CHECK_EQUAL(COUNT + 1, fixture_count_sent(&fixture, FL_FRAME_SETUP));
    const fl_publication_table_t *table = &fixture.endpoint->publications;
    for (int32_t i = 0; i < COUNT; i += 2)
    {
        CHECK_EQUAL(0, fl_publication_remove(fixture.driver, publications[i]));
    }
    for (int32_t i = 0; i < COUNT; i++)
    {
        CHECK((0 == i % 2 ? NULL : publications[i]) ==
            fl_publication_table_find(table, logs[i].stream_id, logs[i].session_id));
    }
    for (int32_t i = 1; i < COUNT; i += 2)
    {
        CHECK_EQUAL(0, fl_publication_remove(fixture.driver, publications[i]));
    }
    CHECK_EQUAL(1, table->count);
    fixture_close(&fixture);
}

int main(void)
{
    RUN(test_one_poller_for_both_agents_hands_control_frames_to_the_sender_s_publications);
    RUN(test_a_peer_stays_valid_until_the_next_one_is_set);
    RUN(test_an_endpoint_with_a_publication_stays_open);
    RUN(test_a_publication_with_impossible_parameters_is_refused);
    RUN(test_a_session_that_is_done_may_come_again_before_it_is_removed);
    RUN(test_hundreds_of_publications_are_found_by_stream_and_session);
    return 0;
}
