/* Min and tagged flow control (wire 3.6.3), from status messages to limits. */
#include "api/publications.h"
#include "check.h"
#include "sender/flow_control.h"
#include "util/error.h"

#define TAG 42
#define SECOND INT64_C(1000000000)
#define WINDOW 1000

static _Atomic int64_t receivers;

static fl_flow_control_t *make(uint32_t kind, int32_t group_min_size)
{
    const fl_flow_control_params_t params = {.kind = kind, .group_min_size = group_min_size, .group_tag = TAG,
        .receiver_timeout_ns = 5 * SECOND, .receivers_counter = &receivers};
    receivers = 0;
    fl_flow_control_t *flow = fl_flow_control_new(&params);
    CHECK(NULL != flow);
    return flow;
}

static int64_t report(fl_flow_control_t *flow, int64_t id, int64_t position, int64_t limit, int64_t now_ns)
{
    const fl_status_t status = {.receiver_id = id, .position = position, .receiver_window = WINDOW};
    return flow->ops->on_status_message(flow, &status, limit, now_ns);
}

static int64_t report_tagged(fl_flow_control_t *flow, int64_t id, int64_t tag, int64_t position, int64_t limit)
{
    const fl_status_t status = {
        .receiver_id = id, .position = position, .receiver_window = WINDOW, .has_group_tag = true, .group_tag = tag};
    return flow->ops->on_status_message(flow, &status, limit, 0);
}

static void test_min_follows_the_slowest_and_never_goes_back_on_a_status_message(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 0);
    CHECK_EQUAL(1000, report(flow, 1, 0, 0, 0));
    CHECK_EQUAL(1000, report(flow, 2, 0, 1000, 0));
    CHECK_EQUAL(2, receivers);
    CHECK_EQUAL(1000, report(flow, 1, 5000, 1000, 0));
    CHECK_EQUAL(3000, report(flow, 2, 2000, 1000, 0));
    CHECK_EQUAL(4000, report(flow, 1, 5000, 4000, 0));
    CHECK_EQUAL(3000, flow->ops->on_idle(flow, 4000, 0));   /* an idle look may */
    fl_flow_control_free(flow);
}

static void test_min_waits_for_a_silent_receiver_until_the_timeout(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 0);
    report(flow, 1, 0, 0, 0);
    report(flow, 2, 0, 0, 0);
    report(flow, 1, 5000, 0, 5 * SECOND);
    CHECK_EQUAL(1000, flow->ops->on_idle(flow, 1000, 5 * SECOND));
    CHECK_EQUAL(6000, flow->ops->on_idle(flow, 1000, 5 * SECOND + 1));
    CHECK_EQUAL(1, receivers);
    fl_flow_control_free(flow);
}

static void test_min_does_not_wait_for_who_ended_or_reported_an_error(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 0);
    const fl_status_t end = {.receiver_id = 2, .position = 100, .receiver_window = WINDOW, .is_end_of_stream = true};
    report(flow, 1, 5000, 0, 0);
    report(flow, 2, 5000, 0, 0);
    report(flow, 3, 5000, 0, 0);
    flow->ops->on_status_message(flow, &end, 6000, 0);
    CHECK_EQUAL(6000, flow->ops->on_idle(flow, 6000, 0));
    CHECK_EQUAL(2, receivers);
    flow->ops->on_status_message(flow, &end, 6000, 0);   /* and it is not taken again */
    CHECK_EQUAL(2, receivers);
    flow->ops->on_error(flow, 3, 0);
    flow->ops->on_idle(flow, 6000, 0);
    CHECK_EQUAL(1, receivers);
    fl_flow_control_free(flow);
}

static void test_min_does_not_wait_for_who_joins_more_than_a_window_behind(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 0);
    report(flow, 1, 5000, 0, 0);
    CHECK_EQUAL(6000, report(flow, 2, 3999, 6000, 0));
    CHECK_EQUAL(1, receivers);
    CHECK_EQUAL(6000, report(flow, 2, 4000, 6000, 0));
    CHECK_EQUAL(2, receivers);
    CHECK_EQUAL(5000, flow->ops->on_idle(flow, 6000, 0));
    fl_flow_control_free(flow);
}

static void test_a_group_is_not_there_before_its_least_size(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 2);
    CHECK(!flow->ops->has_required_receivers(flow));
    CHECK_EQUAL(0, report(flow, 1, 0, 0, 0));
    CHECK(!flow->ops->has_required_receivers(flow));
    CHECK_EQUAL(1000, report(flow, 2, 0, 0, 0));
    CHECK(flow->ops->has_required_receivers(flow));
    CHECK_EQUAL(1000, flow->ops->on_idle(flow, 1000, 6 * SECOND));   /* both are gone: the limit stays */
    CHECK(!flow->ops->has_required_receivers(flow));
    fl_flow_control_free(flow);
}

static void test_a_setup_that_a_receiver_asked_for_holds_the_others_until_it_is_there(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 0);
    const fl_status_t asks = {.receiver_id = 2};
    report(flow, 1, 0, 0, 0);
    flow->ops->on_setup_elicited(flow, &asks, 0);
    flow->ops->on_setup_sent(flow, 1000, 0);
    CHECK_EQUAL(1000, report(flow, 1, 800, 1000, 0));
    CHECK_EQUAL(1000, flow->ops->on_idle(flow, 1000, 5 * SECOND));
    CHECK_EQUAL(1000, report(flow, 2, 500, 1000, 0));   /* it is there: the next one goes on */
    CHECK_EQUAL(1500, report(flow, 1, 900, 1000, 0));
    flow->ops->on_setup_elicited(flow, &asks, 0);
    flow->ops->on_setup_sent(flow, 1500, 0);
    report(flow, 1, 900, 1500, 5 * SECOND + 1);   /* it did not come */
    CHECK_EQUAL(1900, flow->ops->on_idle(flow, 1500, 5 * SECOND + 1));
    fl_flow_control_free(flow);
}

static void test_a_setup_holds_nobody_without_receivers_or_for_one_that_does_not_count(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 0);
    const fl_status_t asks = {.receiver_id = 2};
    flow->ops->on_setup_elicited(flow, &asks, 0);
    flow->ops->on_setup_sent(flow, 0, 0);
    CHECK_EQUAL(0, flow->ops->on_idle(flow, 0, 0));
    CHECK_EQUAL(1000, report(flow, 1, 0, 0, 0));
    flow->ops->on_setup_sent(flow, 1000, 0);
    CHECK_EQUAL(1800, report(flow, 1, 800, 1000, 0));
    fl_flow_control_free(flow);
    flow = make(FL_FLOW_CONTROL_TAGGED, 0);
    report_tagged(flow, 1, TAG, 0, 0);
    flow->ops->on_setup_elicited(flow, &asks, 0);
    flow->ops->on_setup_sent(flow, 1000, 0);
    CHECK_EQUAL(1800, report_tagged(flow, 1, TAG, 800, 1000));
    fl_flow_control_free(flow);
}

static void test_a_group_that_can_never_be_there_is_refused(void)
{
    fl_flow_control_params_t params = {.kind = FL_FLOW_CONTROL_MIN, .group_min_size = FL_FLOW_CONTROL_RECEIVERS + 1};
    CHECK(NULL == fl_flow_control_new(&params));
    CHECK(NULL != strstr(fl_error_text(), "at most 128"));
    fl_error_clear();
    params.kind = FL_FLOW_CONTROL_MAX;
    fl_flow_control_t *flow = fl_flow_control_new(&params);
    CHECK(NULL != flow);
    fl_flow_control_free(flow);
}

static void test_tagged_waits_for_its_tag_alone(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_TAGGED, 0);
    CHECK_EQUAL(1000, report(flow, 1, 0, 0, 0));   /* while there is none of the group, anyone moves the limit */
    CHECK_EQUAL(0, receivers);
    CHECK_EQUAL(3000, report_tagged(flow, 2, TAG, 2000, 1000));
    CHECK_EQUAL(3000, report(flow, 1, 5000, 3000, 0));
    CHECK_EQUAL(3000, report_tagged(flow, 3, TAG + 1, 5000, 3000));
    CHECK_EQUAL(1, receivers);
    CHECK_EQUAL(5000, report_tagged(flow, 2, TAG, 4000, 3000));
    fl_flow_control_free(flow);
}

static void test_more_receivers_than_there_is_room_for_change_nothing(void)
{
    fl_flow_control_t *flow = make(FL_FLOW_CONTROL_MIN, 0);
    for (int64_t id = 0; id < 10 * FL_FLOW_CONTROL_RECEIVERS; id++)
    {
        CHECK_EQUAL(1000, report(flow, id, 0, 1000, 0));
    }
    CHECK_EQUAL(FL_FLOW_CONTROL_RECEIVERS, receivers);
    fl_flow_control_free(flow);
}

int main(void)
{
    RUN(test_min_follows_the_slowest_and_never_goes_back_on_a_status_message);
    RUN(test_min_waits_for_a_silent_receiver_until_the_timeout);
    RUN(test_min_does_not_wait_for_who_ended_or_reported_an_error);
    RUN(test_min_does_not_wait_for_who_joins_more_than_a_window_behind);
    RUN(test_a_group_is_not_there_before_its_least_size);
    RUN(test_a_setup_that_a_receiver_asked_for_holds_the_others_until_it_is_there);
    RUN(test_a_setup_holds_nobody_without_receivers_or_for_one_that_does_not_count);
    RUN(test_a_group_that_can_never_be_there_is_refused);
    RUN(test_tagged_waits_for_its_tag_alone);
    RUN(test_more_receivers_than_there_is_room_for_change_nothing);
    return 0;
}
