/* How images end (wire 4.9 to 4.11). */
#include "receiver_frames.h"

static void receive_and_consume(fixture_t *f, int64_t position, int32_t length)
{
    inject_data(f, position, length);
    cycle(f, 0);
    CHECK_EQUAL(length, consume(f));
    cycle(f, 0);
}

static uint32_t sent_end_of_stream(fixture_t *f)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->script.sent_count; i++)
    {
        const fl_frame_header_t *header = (const fl_frame_header_t *)f->script.sent[i].bytes;
        count += FL_FRAME_SM == header->type && FL_SM_FLAG_EOS == header->flags ? 1 : 0;
    }
    return count;
}

static void test_an_ended_stream_drains_lingers_and_is_done(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    receive_and_consume(f, 0, 1024);
    inject_heartbeat(f, 1024, FL_DATA_FLAG_EOS);
    cycle(f, 0);
    CHECK_EQUAL(1024, f->log->metadata->end_of_stream_position);
    CHECK_EQUAL(0, f->log->metadata->is_publication_revoked);
    CHECK_EQUAL(FL_IMAGE_DRAINING, f->image->state);
    CHECK_EQUAL(1, sent_end_of_stream(f));
    for (int i = 0; i < 9; i++)
    {
        inject_heartbeat(f, 1024, FL_DATA_FLAG_EOS);
        pass(f, 100 * MS);
    }
    CHECK_EQUAL(0, image_events(f));
    pass(f, 102 * MS);
    CHECK(sent_end_of_stream(f) >= 5);
    CHECK_EQUAL(FL_EVENT_IMAGE_UNAVAILABLE, image_events(f));
    /* Out of the dispatch, and without a cool-down: the session could come back. */
    CHECK_EQUAL(0, f->endpoint->sessions.count);
    const uint32_t sent = f->script.sent_count;
    inject_heartbeat(f, 1024, FL_DATA_FLAG_EOS);
    pass(f, 9990 * MS);
    CHECK_EQUAL(0, image_events(f));
    CHECK_EQUAL(sent, f->script.sent_count);
    CHECK_EQUAL(1, drops(f, FL_DROP_NO_IMAGE));
    pass(f, 20 * MS);
    CHECK_EQUAL(FL_EVENT_IMAGE_DONE, image_events(f));
    fixture_free(f);
}

static void test_the_end_waits_for_lost_data_and_for_the_slowest_subscriber(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_data(f, 1024, 1024);
    inject_heartbeat(f, 2048, FL_DATA_FLAG_EOS);
    cycle(f, 0);
    cycle(f, 1000);
    CHECK_EQUAL(FL_IMAGE_ACTIVE, f->image->state);
    CHECK_EQUAL(1, sent_of_type(f, FL_FRAME_NAK));
    inject_data(f, 0, 1024);
    cycle(f, 0);
    CHECK_EQUAL(FL_IMAGE_DRAINING, f->image->state);
    pass(f, 3000 * MS);
    CHECK_EQUAL(0, image_events(f) & FL_EVENT_IMAGE_UNAVAILABLE);
    /* The one that lags can be joined by another. */
    CHECK_EQUAL(0, fl_image_link(f->driver, f->image, SUBSCRIPTION + 1, COUNTER_SUBSCRIBERS + 1));
    CHECK_EQUAL(2048, consume_as(f, 0));
    cycle(f, 0);
    CHECK_EQUAL(0, image_events(f) & FL_EVENT_IMAGE_UNAVAILABLE);
    CHECK_EQUAL(2048, consume_as(f, 1));
    cycle(f, 0);
    CHECK_EQUAL(FL_EVENT_IMAGE_UNAVAILABLE, image_events(f) & FL_EVENT_IMAGE_UNAVAILABLE);
    CHECK_EQUAL(-FL_EAGAIN, fl_image_link(f->driver, f->image, SUBSCRIPTION + 2, COUNTER_SUBSCRIBERS + 2));
    /* No subscribers: LINGER ends at once. */
    CHECK_EQUAL(0, fl_image_unlink(f->driver, f->image, SUBSCRIPTION));
    CHECK_EQUAL(0, fl_image_unlink(f->driver, f->image, SUBSCRIPTION + 1));
    pass(f, 3 * MS);
    CHECK_EQUAL(FL_EVENT_IMAGE_DONE, image_events(f));
    fixture_free(f);
}

static void test_data_behind_the_end_of_the_stream_is_dropped(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_heartbeat(f, 1024, FL_DATA_FLAG_EOS);
    inject_data(f, 1024, 64);
    inject_data(f, 0, 1024);
    cycle(f, 0);
    CHECK_EQUAL(1, drops(f, FL_DROP_IMAGE_CLOSED));
    CHECK_EQUAL(1024, counter(f, COUNTER_HWM));
    CHECK_EQUAL(1024, counter(f, COUNTER_REBUILD));
    fixture_free(f);
}

static void test_a_revoked_stream_lingers_at_once(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_data(f, 0, 1024);
    cycle(f, 0);
    inject_heartbeat(f, 4096, FL_DATA_FLAG_EOS | FL_DATA_FLAG_REVOKED);
    inject_data(f, 1024, 64);
    cycle(f, 0);
    CHECK_EQUAL(1, f->log->metadata->is_publication_revoked);
    CHECK_EQUAL(4096, f->log->metadata->end_of_stream_position);
    CHECK_EQUAL(1, counter(f, FL_COUNTER_IMAGES_REVOKED));
    CHECK_EQUAL(FL_EVENT_IMAGE_REVOKED | FL_EVENT_IMAGE_UNAVAILABLE, image_events(f));
    CHECK_EQUAL(1, sent_end_of_stream(f));
    CHECK_EQUAL(1, drops(f, FL_DROP_IMAGE_CLOSED));
    CHECK_EQUAL(0, f->endpoint->sessions.count);
    pass(f, 10 * MS);
    CHECK_EQUAL(0, sent_of_type(f, FL_FRAME_NAK));
    fixture_free(f);
}

static void test_a_silent_stream_ends_and_its_session_cools_down(void)
{
    fixture_t *f = fixture_new();
    fl_driver_event_t event;
    fixture_add_image(f);
    receive_and_consume(f, 0, 1024);
    for (int i = 0; i < 60; i++)     /* heartbeats keep it alive */
    {
        inject_heartbeat(f, 1024, 0);
        pass(f, 200 * MS);
    }
    CHECK_EQUAL(FL_IMAGE_ACTIVE, f->image->state);
    pass(f, 9700 * MS);
    CHECK_EQUAL(FL_IMAGE_ACTIVE, f->image->state);
    pass(f, 350 * MS);
    CHECK_EQUAL(FL_IMAGE_DRAINING, f->image->state);
    CHECK_EQUAL(0, f->log->metadata->active_transport_count);
    pass(f, 1010 * MS);
    CHECK_EQUAL(FL_EVENT_IMAGE_UNAVAILABLE, image_events(f));

    inject_data(f, 1024, 64);
    inject_setup(f, SESSION, 0);
    cycle(f, 0);
    CHECK(!next_setup(f, &event));
    CHECK_EQUAL(1, drops(f, FL_DROP_NO_IMAGE));
    CHECK_EQUAL(1, drops(f, FL_DROP_SETUP_IGNORED));
    CHECK_EQUAL(0, fl_receive_endpoint_remove_cool_down(f->driver, f->endpoint, STREAM, SESSION));
    CHECK_EQUAL(-FL_ENOENT, fl_receive_endpoint_remove_cool_down(f->driver, f->endpoint, STREAM, SESSION));
    inject_setup(f, SESSION, 0);
    cycle(f, 0);
    CHECK(next_setup(f, &event));
    fixture_free(f);
}

static void test_an_image_without_subscribers_drains_and_says_so(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    receive_and_consume(f, 0, 1024);
    CHECK_EQUAL(0, fl_image_unlink(f->driver, f->image, SUBSCRIPTION));
    cycle(f, 0);
    CHECK_EQUAL(FL_IMAGE_DRAINING, f->image->state);
    CHECK_EQUAL(1, sent_end_of_stream(f));
    CHECK_EQUAL(-FL_EAGAIN, fl_image_link(f->driver, f->image, SUBSCRIPTION, COUNTER_SUBSCRIBERS));
    pass(f, 1010 * MS);
    CHECK_EQUAL(FL_EVENT_IMAGE_UNAVAILABLE | FL_EVENT_IMAGE_DONE, image_events(f));
    fixture_free(f);
}

static void test_a_rejected_image_answers_errors_until_it_ends(void)
{
    fixture_t *f = fixture_new();
    char reason[1024];
    memset(reason, 'x', sizeof(reason));
    fixture_add_image(f);
    cycle(f, 0);
    CHECK_EQUAL(-FL_EINVAL, fl_image_reject(f->driver, f->image, reason, 1024));
    CHECK_EQUAL(0, fl_image_reject(f->driver, f->image, "not now", 7));
    script_forget(&f->script);
    inject_data(f, 0, 64);
    cycle(f, 0);
    CHECK_EQUAL(1, f->script.sent_count);
    const fl_err_frame_t *error = (const fl_err_frame_t *)f->script.sent[0].bytes;
    CHECK_EQUAL(47, f->script.sent[0].length);
    CHECK_EQUAL(13, error->error_code);
    CHECK_EQUAL(SESSION, error->session_id);
    CHECK_EQUAL(7, error->error_length);
    CHECK(0 == memcmp("not now", f->script.sent[0].bytes + 40, 7));
    CHECK_EQUAL(1, drops(f, FL_DROP_IMAGE_CLOSED));
    CHECK_EQUAL(1, counter(f, FL_COUNTER_ERROR_FRAMES_SENT));
    pass(f, 1000 * MS);
    CHECK(f->script.sent_count >= 5);
    CHECK_EQUAL(0, sent_of_type(f, FL_FRAME_SM));
    for (int i = 0; i < 101; i++)    /* packets do not keep it alive */
    {
        inject_data(f, 0, 64);
        pass(f, 100 * MS);
    }
    CHECK_EQUAL(FL_EVENT_IMAGE_UNAVAILABLE, image_events(f));
    CHECK_EQUAL(0, sent_of_type(f, FL_FRAME_SM));
    fixture_free(f);
}

static void test_an_image_is_removed_with_its_events_in_any_state(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    inject_data(f, 1024, 64);
    cycle(f, 0);
    cycle(f, 1000);     /* a loss event is on the stack, and the image is on the active list */
    CHECK_EQUAL(1, f->driver->receiver.active_count);
    CHECK_EQUAL(-FL_EBUSY, fl_receive_endpoint_close(f->driver, f->endpoint));
    CHECK_EQUAL(0, fl_image_remove(f->driver, f->image));
    f->image = NULL;
    CHECK_EQUAL(0, image_events(f));
    inject_data(f, 0, 64);
    pass(f, 300 * MS);
    CHECK_EQUAL(1, drops(f, FL_DROP_NO_IMAGE));
    fixture_free(f);
}

static void test_a_new_image_of_the_session_silences_the_old_one(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    cycle(f, 0);
    fl_image_t *old = f->image;
    fl_log_t *old_log = f->log;
    CHECK_EQUAL(0, fl_receive_endpoint_remove_stream(f->driver, f->endpoint, STREAM, 0, 0));
    CHECK_EQUAL(0, fl_receive_endpoint_add_stream(f->driver, f->endpoint, STREAM, 0, 0));
    const fl_image_params_t params =
        fixture_image_params(f, fixture_make_log(f, "second", SESSION, TERM_LENGTH), 4096);
    fixture_add_image_with(f, &params, 1);
    script_forget(&f->script);
    pass(f, 1000 * MS);
    CHECK(f->script.sent_count >= 4);
    for (uint32_t i = 0; i < f->script.sent_count; i++)
    {
        CHECK_EQUAL(4096, sm_position(&f->script.sent[i]));
    }
    inject_data(f, 4096, 64);
    cycle(f, 0);
    CHECK_EQUAL(4160, f->image->rebuild_position);
    CHECK_EQUAL(0, old->rebuild_position);
    CHECK_EQUAL(0, fl_image_remove(f->driver, old));
    inject_data(f, 4160, 64);
    cycle(f, 0);
    CHECK_EQUAL(4224, f->image->rebuild_position);
    fl_log_free(old_log);
    fixture_free(f);
}

/* What the transport that was lost knew of a peer, as the next one would take it if its generation were the same. */
static void know(fl_peer_t *peer)
{
    peer->generation = 1;
    memset(peer->cache, 0xff, sizeof(peer->cache));
}

static void check_unknown(const fl_peer_t *peer)
{
    const fl_peer_t blank = {.address = peer->address};
    CHECK(0 == memcmp(&blank, peer, sizeof(blank)));
}

static void test_an_image_goes_on_over_the_next_transport_which_knows_nothing_of_its_peers(void)
{
    fixture_t *f = fixture_new();
    fixture_add_image(f);
    receive_and_consume(f, 0, 1024);
    const fl_address_t source = f->image->connections[0].source.address;
    know(&f->image->connections[0].source);
    know(&f->endpoint->control);

    CHECK_EQUAL(0, fl_receive_endpoint_detach(f->driver, f->endpoint));
    CHECK(NULL == f->script.context);
    const uint32_t sent = f->script.sent_count;
    pass(f, 500 * MS);
    CHECK_EQUAL(sent, f->script.sent_count);

    fl_endpoint_params_t params = {.bind = f->script.local, .mtu_length = MTU};
    CHECK_EQUAL(0, fl_receive_endpoint_attach(f->driver, f->endpoint, f->script.binding, &params));
    CHECK_EQUAL(FL_ROLE_RECEIVER, params.role);
    check_unknown(&f->image->connections[0].source);
    check_unknown(&f->endpoint->control);
    CHECK(0 == memcmp(&source, &f->image->connections[0].source.address, sizeof(source)));
    receive_and_consume(f, 1024, 1024);
    pass(f, 250 * MS);
    CHECK_EQUAL(2048, counter(f, COUNTER_REBUILD));
    CHECK(f->script.sent_count > sent);
    CHECK_EQUAL(0, image_events(f));
    fixture_free(f);
}

int main(void)
{
    RUN(test_an_image_goes_on_over_the_next_transport_which_knows_nothing_of_its_peers);
    RUN(test_an_ended_stream_drains_lingers_and_is_done);
    RUN(test_the_end_waits_for_lost_data_and_for_the_slowest_subscriber);
    RUN(test_data_behind_the_end_of_the_stream_is_dropped);
    RUN(test_a_revoked_stream_lingers_at_once);
    RUN(test_a_silent_stream_ends_and_its_session_cools_down);
    RUN(test_an_image_without_subscribers_drains_and_says_so);
    RUN(test_a_rejected_image_answers_errors_until_it_ends);
    RUN(test_an_image_is_removed_with_its_events_in_any_state);
    RUN(test_a_new_image_of_the_session_silences_the_old_one);
    return 0;
}
