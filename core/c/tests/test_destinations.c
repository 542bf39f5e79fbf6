/* Publications that send to several destinations (wire 3.8). */
#include "sender_fixture.h"

static fl_address_t destination(uint8_t host)
{
    return (fl_address_t){.family = FL_FAMILY_IPV4, .port = 40123, .bytes = {10, 0, 0, host}};
}

static void open_with_two_destinations(fixture_t *fixture)
{
    *fixture = fixture_defaults();
    fixture->destinations = FL_DESTINATIONS_MANUAL;
    fixture_open(fixture);
    const fl_address_t unresolved = {.family = FL_FAMILY_NONE};
    const fl_address_t first = destination(2);
    const fl_address_t second = destination(3);
    CHECK_EQUAL(0, fl_send_endpoint_add_destination(fixture->driver, fixture->endpoint, 50, &unresolved));
    CHECK_EQUAL(0, fl_send_endpoint_add_destination(fixture->driver, fixture->endpoint, 51, &first));
    CHECK_EQUAL(0, fl_send_endpoint_add_destination(fixture->driver, fixture->endpoint, 52, &second));
    CHECK_EQUAL(3, fixture_counter(fixture, DESTINATIONS_COUNTER));
    fixture_connect(fixture, 32768);
    script_forget(&fixture->script);
    fixture_offer(fixture, 64, 4);
}

static void test_every_datagram_goes_to_every_destination_that_has_an_address(void)
{
    fixture_t fixture;
    open_with_two_destinations(&fixture);
    fixture_cycle(&fixture);
    CHECK_EQUAL(256, SND_POS(&fixture));
    CHECK_EQUAL(2, fixture.script.sent_count);
    CHECK_EQUAL(5, fixture.script.sent[0].to.bytes[3] + fixture.script.sent[1].to.bytes[3]);
    CHECK_EQUAL(256, fixture.script.sent[1].length);
    fixture_close(&fixture);
}

static void test_a_destination_without_room_holds_the_others_up_only_if_they_have_none(void)
{
    fixture_t fixture;
    open_with_two_destinations(&fixture);
    fixture.script.room = 1;   /* for the first of the two */
    fixture.script.refusal = -FL_EAGAIN;
    fixture_cycle(&fixture);
    CHECK_EQUAL(256, SND_POS(&fixture));
    CHECK_EQUAL(1, fixture.script.sent_count);
    fixture_offer(&fixture, 64, 1);
    fixture_cycle(&fixture);
    CHECK_EQUAL(256, SND_POS(&fixture));
    fixture.script.room = UINT32_MAX;
    fixture_cycle(&fixture);
    CHECK_EQUAL(320, SND_POS(&fixture));
    CHECK_EQUAL(3, fixture.script.sent_count);
    fixture_close(&fixture);
}

static void test_destinations_off_the_wire_are_bounded(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.destinations = FL_DESTINATIONS_DYNAMIC;
    fixture_open(&fixture);
    for (int32_t i = 0; i < 3 * FL_DESTINATIONS_MAX; i++)
    {
        const fl_sm_frame_t sm = {.header = {FL_SM_LENGTH, 0, FL_SM_FLAG_SEND_SETUP, FL_FRAME_SM}, .receiver_id = i};
        script_inject_bytes(&fixture.script, &sm, sizeof(sm));
        fixture_cycle(&fixture);
    }
    CHECK_EQUAL(FL_DESTINATIONS_MAX, fixture_counter(&fixture, DESTINATIONS_COUNTER));
    CHECK_EQUAL(2 * FL_DESTINATIONS_MAX, fixture_drops(&fixture, FL_DROP_NO_PUBLICATION));
    fixture_run(&fixture, 5200);
    CHECK_EQUAL(0, fixture_counter(&fixture, DESTINATIONS_COUNTER));
    fixture_close(&fixture);
}

static void test_long_datagrams_go_one_by_one_since_segments_are_not_fragmented(void)
{
    fixture_t fixture;
    open_with_two_destinations(&fixture);
    fl_scan_bounds_t bounds = {.mtu_length = 1440};
    fl_send_endpoint_bound_runs(fixture.endpoint, &bounds);
    CHECK_EQUAL(64, bounds.max_run_segments);
    bounds.mtu_length = 1472;
    fl_send_endpoint_bound_runs(fixture.endpoint, &bounds);
    CHECK_EQUAL(1, bounds.max_run_segments);
    fixture_close(&fixture);
}

static void test_what_a_transport_noted_of_peers_goes_with_it(void)
{
    fixture_t fixture;
    open_with_two_destinations(&fixture);
    fl_peer_t *peers[] = {&fixture.endpoint->destinations->entries[1].peer, &fixture.publication->response_peer};
    peers[0]->cache[0] = peers[1]->cache[0] = 7;
    CHECK_EQUAL(0, fl_send_endpoint_detach(fixture.driver, fixture.endpoint));
    fl_endpoint_params_t params = {.mtu_length = MTU_LENGTH};
    CHECK_EQUAL(0, fl_send_endpoint_attach(fixture.driver, fixture.endpoint, fixture.script.binding, &params));
    CHECK_EQUAL(0, peers[0]->cache[0]);
    CHECK_EQUAL(0, peers[1]->cache[0]);
    fixture_close(&fixture);
}

int main(void)
{
    RUN(test_long_datagrams_go_one_by_one_since_segments_are_not_fragmented);
    RUN(test_what_a_transport_noted_of_peers_goes_with_it);
    RUN(test_every_datagram_goes_to_every_destination_that_has_an_address);
    RUN(test_a_destination_without_room_holds_the_others_up_only_if_they_have_none);
    RUN(test_destinations_off_the_wire_are_bounded);
    return 0;
}
