/* The sender on a thread of its own, while publishers write and the control plane adds and removes publications. It is
 * the thread sanitizer that judges this one. */
#include <sched.h>

#include "sender_fixture.h"

#define PUBLICATIONS 40

typedef struct inject_call
{
    fixture_t *fixture;
    int64_t position;
} inject_call_t;

/* The script belongs to the sender's thread. */
static int64_t call_inject_status(void *argument)
{
    inject_call_t *call = argument;
    fixture_status(call->fixture, 0, call->position, 32768);
    script_forget(&call->fixture->script);
    return 0;
}

static void inject_status(fixture_t *fixture, int64_t position)
{
    inject_call_t call = {fixture, position};
    fl_driver_call(fixture->driver, FL_AGENT_SENDER, call_inject_status, &call);
}

static void test_publications_come_and_go_while_the_sender_runs(void)
{
    fixture_t fixture = fixture_defaults();
    fixture.threading_mode = FL_THREADING_DEDICATED;
    fixture.is_exclusive = true;
    fixture_open(&fixture);
    fl_log_t log;
    fixture_create_log(&fixture, &log, "other", SESSION_ID + 1);
    fl_publication_t *others[PUBLICATIONS] = {0};
    for (uint32_t turn = 0; turn < 2000; turn++)
    {
        fl_clock_advance(fixture.clock, MS / 4);
        inject_status(&fixture, SND_POS(&fixture));
        while (fixture.tail < PUB_LMT(&fixture))
        {
            const int32_t left = fixture.log.term_length - fl_log_term_offset(&fixture.log, fixture.tail);
            fixture_append(&fixture, left < 8192 ? FL_FRAME_PAD : FL_FRAME_DATA, left < 8192 ? left : 1408, NULL);
        }
        /* Ids of their own, over one log that nobody writes to. */
        static fl_log_t views[PUBLICATIONS];
        const uint32_t slot = turn * 7 % PUBLICATIONS;
        if (NULL != others[slot])
        {
            CHECK_EQUAL(0, fl_publication_remove(fixture.driver, others[slot]));
            others[slot] = NULL;
        }
        else
        {
            views[slot] = log;
            views[slot].session_id = SESSION_ID + 1 + (int32_t)slot;
            fl_publication_params_t params =
                fixture_params(&fixture, &views[slot], FIRST_COUNTER + 6 + 6 * (int32_t)slot);
            params.registration_id = 100 + slot;
            others[slot] = fl_publication_add(fixture.driver, fixture.endpoint, &params);
            CHECK(NULL != others[slot]);
            CHECK(NULL == fl_publication_add(fixture.driver, fixture.endpoint, &params));   /* the session is there */
        }
    }
    for (uint32_t i = 0; i < PUBLICATIONS; i++)
    {
        CHECK(NULL == others[i] || 0 == fl_publication_remove(fixture.driver, others[i]));
    }
    inject_status(&fixture, SND_POS(&fixture));
    for (int i = 0; SND_POS(&fixture) < fixture.tail && i < 100000; i++)
    {
        inject_status(&fixture, SND_POS(&fixture));
        sched_yield();
    }
    CHECK_EQUAL(fixture.tail, SND_POS(&fixture));
    CHECK(fixture.tail > 3 * 65536);
    CHECK(fl_send_endpoint_time_of_last_sm(fixture.endpoint) > 0);
    fl_publication_drain(fixture.driver, fixture.publication);
    uint32_t events = 0;
    for (int i = 0; 0 == (events & FL_EVENT_PUBLICATION_DONE) && i < 100000; i++)
    {
        fl_clock_advance(fixture.clock, 10 * MS);
        fl_driver_call(fixture.driver, FL_AGENT_SENDER, call_inject_status, &(inject_call_t){&fixture, fixture.tail});
        events |= fixture_events(&fixture);
    }
    CHECK_EQUAL(FL_EVENT_PUBLICATION_LINGER | FL_EVENT_PUBLICATION_DONE, events);
    fl_log_close(&log);
    unlink(fixture_path(&fixture, "other"));
    fixture_close(&fixture);
}

int main(void)
{
    RUN(test_publications_come_and_go_while_the_sender_runs);
    return 0;
}
