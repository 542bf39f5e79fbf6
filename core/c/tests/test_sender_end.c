/* How a publication's stream ends: drained, revoked, or without anybody who listens (wire 3.5). Literal bytes are those
 * of the wire test vectors. */
#include "sender_fixture.h"

#define HEARTBEAT_EOS_AT_256 "00000000 00 e0 0100 00010000 cdab3412 e9030000 feffff7f 0000000000000000"
#define HEARTBEAT_REVOKED_AT_256 "00000000 00 f0 0100 00010000 cdab3412 e9030000 feffff7f 0000000000000000"
#define SM_AT_256 "24000000 00 00 0300 cdab3412 e9030000 feffff7f 00010000 00800000 8877665544332211"
#define SM_SEND_SETUP "24000000 00 80 0300 cdab3412 e9030000 00000000 00000000 00000000 8877665544332211"
#define SM_EOS "24000000 00 40 0300 cdab3412 e9030000 feffff7f 40010000 00800000 8877665544332211"

static void test_a_drained_publication_ends_its_stream_and_lingers(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 192);
    fixture_offer(&fixture, 64, 4);
    fixture_run(&fixture, 1);
    CHECK_EQUAL(0, fl_publication_drain(fixture.driver, fixture.publication));
    CHECK_EQUAL(256, fl_i64_load_acquire(&fixture.log.metadata->end_of_stream_position));
    CHECK_EQUAL(256, PUB_LMT(&fixture));
    fixture_run(&fixture, 300);
    CHECK_EQUAL(192, SND_POS(&fixture));
    CHECK_EQUAL(0, fixture_events(&fixture));
    script_forget(&fixture.script);
    script_inject(&fixture.script, SM_AT_256);
    fixture_run(&fixture, 110);
    CHECK_EQUAL(256, SND_POS(&fixture));
    CHECK_EQUAL(2, fixture.script.sent_count);
    fixture_check_sent(&fixture, 1, HEARTBEAT_EOS_AT_256);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER, fixture_events(&fixture));
    script_inject(&fixture.script, SM_SEND_SETUP);   /* too late */
    fixture_run(&fixture, 4700);
    CHECK_EQUAL(0, fixture_count_sent(&fixture, FL_FRAME_SETUP));
    CHECK_EQUAL(0, fixture_events(&fixture));
    fixture_run(&fixture, 400);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_DONE, fixture_events(&fixture));
    script_forget(&fixture.script);
    script_inject(&fixture.script, SM_AT_256);
    fixture_nak(&fixture, 0, 64);
    fixture_run(&fixture, 300);
    CHECK_EQUAL(0, fixture.script.sent_count);
    CHECK_EQUAL(2, fixture_drops(&fixture, FL_DROP_NO_PUBLICATION));
    fixture_close(&fixture);
}

static void test_an_end_of_stream_status_message_cuts_the_unicast_linger_short(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 320, 1);
    fixture_run(&fixture, 1);
    fl_publication_drain(fixture.driver, fixture.publication);
    fixture_run(&fixture, 110);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER, fixture_events(&fixture));
    script_inject(&fixture.script, SM_EOS);
    fixture_run(&fixture, 5);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_DONE, fixture_events(&fixture));
    fixture_close(&fixture);
}

static void test_an_end_of_stream_status_message_leaves_the_multicast_linger_alone(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.is_multicast = true;
    fixture_open(&fixture);
    fixture_cycle(&fixture);
    CHECK_EQUAL(FL_SETUP_FLAG_GROUP, ((fl_setup_frame_t *)fixture.script.sent[0].bytes)->header.flags);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 320, 1);
    fixture_run(&fixture, 1);
    fl_publication_drain(fixture.driver, fixture.publication);
    fixture_run(&fixture, 110);
    script_inject(&fixture.script, SM_EOS);
    fixture_run(&fixture, 1000);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER, fixture_events(&fixture));
    fixture_close(&fixture);
}

static void test_a_revoked_publication_says_so_in_its_heartbeats(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.is_exclusive = true;
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 256, 1);
    fixture_run(&fixture, 1);
    script_forget(&fixture.script);
    fl_log_set_revoked(&fixture.log);
    CHECK_EQUAL(0, fl_publication_revoke(fixture.driver, fixture.publication));
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER | FL_EVENT_PUBLICATION_REVOKED, fixture_events(&fixture));
    CHECK_EQUAL(1, fixture_counter(&fixture, FL_COUNTER_PUBLICATIONS_REVOKED));
    CHECK_EQUAL(0, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    CHECK_EQUAL(256, fl_i64_load_acquire(&fixture.log.metadata->end_of_stream_position));
    fixture_run(&fixture, 110);
    fixture_check_sent(&fixture, 0, HEARTBEAT_REVOKED_AT_256);
    fixture_run(&fixture, 5200);
    CHECK_EQUAL(FL_EVENT_PUBLICATION_DONE, fixture_events(&fixture));
    fixture_close(&fixture);
}

static void test_without_status_messages_the_publication_is_disconnected(void)
{
    fixture_t fixture = fixture_defaults();
    fixture_open(&fixture);
    fixture_connect(&fixture, 32768);
    fixture_offer(&fixture, 256, 1);
    fixture_run(&fixture, 4900);
    CHECK_EQUAL(1, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    fixture_run(&fixture, 250);
    CHECK_EQUAL(0, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    CHECK_EQUAL(256, PUB_LMT(&fixture));
    script_forget(&fixture.script);
    fixture_run(&fixture, 300);
    CHECK_EQUAL(fixture.script.sent_count, fixture_count_sent(&fixture, -2));   /* still there, wire 9.2 item 14 */
    CHECK(fixture.script.sent_count >= 2);
    script_inject(&fixture.script, SM_AT_256);
    fixture_run(&fixture, 2);
    CHECK_EQUAL(1, fl_i32_load_acquire(&fixture.log.metadata->is_connected));
    CHECK_EQUAL(256 + 32768, PUB_LMT(&fixture));
    fixture_close(&fixture);
}

int main(void)
{
    RUN(test_a_drained_publication_ends_its_stream_and_lingers);
    RUN(test_an_end_of_stream_status_message_cuts_the_unicast_linger_short);
    RUN(test_an_end_of_stream_status_message_leaves_the_multicast_linger_alone);
    RUN(test_a_revoked_publication_says_so_in_its_heartbeats);
    RUN(test_without_status_messages_the_publication_is_disconnected);
    return 0;
}
