/* Faults of an adapter that FRAMELANE_CIUL or the control file sets, and what the interface says of each. */
#include <errno.h>
#include <unistd.h>

#include "ciul_scenarios.h"

static int error_of(const char *name)
{
    return atoi(getenv(name));
}

static void refused(void)
{
    int result = end_try(&left, "left", 0, 0);
    if (0 == result)
    {
        end_memory(&left);
        result = end_filter(&left, "10.7.0.1", 40123, 0);
    }
    fprintf(stderr, "result %d\n", result);
    REQUIRE(error_of("WANTED") == result);
}

static void licence(void)
{
    REQUIRE(-EPERM == end_try(&left, "left", 0, 0));
    REQUIRE(0 == end_try(&right, "right", EF_VI_RX_EVENT_MERGE, 0));
}

static void discarded(void)
{
    open_both(0, 0);
    for (int i = 0; i < 4; i++)
    {
        REQUIRE(0 == end_send(&left, &right, RECEIVE + i, (uint8_t)i, 64));
        REQUIRE(1 == end_wait(&right, taken, 8, &completed));
        bool is_discard = EF_EVENT_TYPE_RX_DISCARD == taken[0].type || EF_EVENT_TYPE_RX_REF_DISCARD == taken[0].type;
        REQUIRE(is_discard == (1 == i % 2));
        REQUIRE(!is_discard || (unsigned)error_of("WANTED") == taken[0].subtype);
        end_release(&right, taken[0].id);
    }
    close_both();
}

static void control(const char *text)
{
    const char *path = getenv("FRAMELANE_CIUL_CONTROL");
    char other[512];
    snprintf(other, sizeof(other), "%s.new", path);
    FILE *file = fopen(other, "w");
    REQUIRE(NULL != file);
    fputs(text, file);
    fclose(file);
    REQUIRE(0 == rename(other, path));
}

static void stalled(void)
{
    open_both(0, 0);
    int count = 0;
    control("left stalled=1");
    usleep(3000);
    end_poll(&left, taken, 8, &completed);
    while (0 == end_send(&left, &right, RECEIVE + count % 32, (uint8_t)(count % 32), 64))
    {
        count++;
    }
    bool is_ring = !left.is_shared;
    REQUIRE((is_ring ? 511 : 0) == count && 0 == end_poll(&right, taken, 8, &completed));
    control("");
    time_t end_at = time(NULL) + 5;
    while (completed != (is_ring ? count : 0) && time(NULL) < end_at)
    {
        end_poll(&left, taken, 64, &completed);
    }
    REQUIRE(completed == (is_ring ? count : 0));
    close_both();
}

static void lost(void)
{
    open_both(0, 0);
    control("right lost=1");
    REQUIRE(1 == end_wait(&right, taken, 8, &completed) && EF_EVENT_TYPE_RESET == taken[0].type);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(0 == end_poll(&right, taken, 8, &completed));
    ef_event events[4];
    REQUIRE(0 == ef_eventq_poll(&right.vi, events, 4));
    REQUIRE(-ENODEV == end_filter(&right, "10.7.0.2", 1, 0));
    end_t again;
    REQUIRE(-ENODEV == end_try(&again, "right", 0, 0));
    control("");
    REQUIRE(0 == end_try(&again, "right", 0, 0));
    REQUIRE(0 == ef_vi_free(&again.vi, again.handle) && 0 == ef_pd_free(&again.pd, again.handle));
    close_both();
}

static void tx_error(void)
{
    uint32_t id;
    int count = 0;
    open_both(0, 0);
    control("left tx-error=bus");
    usleep(3000);
    end_poll(&left, taken, 8, &completed);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(1 == end_poll(&left, taken, 8, &completed) && EF_EVENT_TYPE_TX_ERROR == taken[0].type);
    REQUIRE(0 == completed);
    ef_vi_for_each_tx_error_failed_transmit(&left.vi, id)
    {
        REQUIRE(RECEIVE == id);
        count++;
    }
    REQUIRE(1 == count);
    control("");
    usleep(3000);
    end_poll(&left, taken, 8, &completed);
    REQUIRE(0 == ef_vi_reinit_txq_post_error(&left.vi));
    send_and_expect(&left, &right, 3);
    close_both();
}

static void no_credits(void)
{
    open_both(0, 0);
    REQUIRE(0 == end_poll(&left, taken, 8, &completed));
    REQUIRE(0 == ef_vi_transmit_space_bytes(&left.vi));
    REQUIRE(-EAGAIN == end_send(&left, &right, RECEIVE, 1, 64));
    close_both();
}

const scenario_t fault_scenarios[] = {
    SCENARIO(refused), SCENARIO(licence), SCENARIO(discarded), SCENARIO(stalled), SCENARIO(lost), SCENARIO(tx_error),
    SCENARIO(no_credits),
};

const size_t fault_scenarios_count = sizeof(fault_scenarios) / sizeof(fault_scenarios[0]);
