/* Programs against the ef_vi interface, one for each name: what the stand-in's tests run.
 *
 *   ciul_scenarios NAME     with the adapters "left" and "right" of FRAMELANE_CIUL on one wire
 *
 * Ends with status 0 if the interface behaved as documented; misuse scenarios end in an abort.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "ciul_scenarios.h"

/* ---- the data path ---- */

static void both_ways(void)
{
    open_both(0, 0);
    send_and_expect(&left, &right, 600);
    send_and_expect(&right, &left, 600);
    close_both();
}

static void express(void)
{
    open_both(0, EF_PD_EXPRESS);
    REQUIRE(EF_VI_ARCH_EF10CT == left.vi.nic_type.arch);
    send_and_expect(&left, &right, 10);
    close_both();
}

static void merged(void)
{
    open_both(EF_VI_RX_EVENT_MERGE, 0);
    for (int i = 0; i < 20; i++)
    {
        REQUIRE(0 == end_send(&left, &right, RECEIVE + i, (uint8_t)i, 64));
    }
    ef_event events[8];
    ef_request_id ids[EF_VI_RECEIVE_BATCH];
    int made = ef_eventq_poll(&right.vi, events, 8);
    REQUIRE(2 == made);
    REQUIRE(EF_EVENT_TYPE_RX_MULTI == EF_EVENT_TYPE(events[0]) && EF_EVENT_RX_MULTI_SOP(events[0]));
    REQUIRE(RECEIVE == ef_vi_receive_fill_level(&right.vi));
    REQUIRE(15 == ef_vi_receive_unbundle(&right.vi, &events[0], ids) && 0 == ids[0] && 14 == ids[14]);
    REQUIRE(5 == ef_vi_receive_unbundle(&right.vi, &events[1], ids) && 15 == ids[0]);
    REQUIRE(RECEIVE - 20 == ef_vi_receive_fill_level(&right.vi));
    close_both();
}

/* Every second frame is discarded; each has an event of its own, and its buffer comes back by unbundling. */
static void merged_discards(void)
{
    open_both(EF_VI_RX_EVENT_MERGE, 0);
    for (int i = 0; i < 4; i++)
    {
        REQUIRE(0 == end_send(&left, &right, RECEIVE + i, (uint8_t)i, 64));
    }
    ef_event events[8];
    ef_request_id ids[EF_VI_RECEIVE_BATCH];
    REQUIRE(4 == ef_eventq_poll(&right.vi, events, 8));
    for (int i = 0; i < 4; i++)
    {
        unsigned wanted = 1 == i % 2 ? EF_EVENT_TYPE_RX_MULTI_DISCARD : EF_EVENT_TYPE_RX_MULTI;
        REQUIRE(wanted == EF_EVENT_TYPE(events[i]));
        REQUIRE(0 == i % 2 || EF_EVENT_RX_DISCARD_CRC_BAD == EF_EVENT_RX_MULTI_DISCARD_TYPE(events[i]));
        REQUIRE(1 == ef_vi_receive_unbundle(&right.vi, &events[i], ids) && i == ids[0]);
    }
    close_both();
}

static void refill_waits_for_eight(void)
{
    REQUIRE(0 == end_try(&right, "right", 0, 0));
    end_memory(&right);
    REQUIRE(0 == end_filter(&right, "10.7.0.2", 40123, 0));
    end_open(&left, "left", 0, 0, "10.7.0.1");
    end_post(&right, 0, 7);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(0 == end_poll(&right, taken, 8, &completed));
    REQUIRE(1 == right.vi.vi_stats->rx_ev_lost);
    end_post(&right, 7, 1);
    REQUIRE(0 == end_send(&left, &right, RECEIVE + 1, 2, 64));
    REQUIRE(1 == end_poll(&right, taken, 8, &completed));
    REQUIRE(is_right(&taken[0], 2, 64));
    close_both();
}

static void limits(void)
{
    open_both(0, 0);
    int capacity = ef_vi_receive_capacity(&right.vi);
    REQUIRE(511 == capacity && capacity - RECEIVE == ef_vi_receive_space(&right.vi));
    REQUIRE(511 == ef_vi_transmit_capacity(&left.vi));
    int count = 0;
    size_t length = end_frame(&left, &right, left.memory + RECEIVE * BUFFER, 0, 64);
    while (0 == ef_vi_transmit_init(&left.vi, end_dma(&left, RECEIVE), (int)length, 7))
    {
        count++;
    }
    REQUIRE(511 == count && 0 == ef_vi_transmit_space(&left.vi));
    REQUIRE(-EAGAIN == ef_vi_transmit_init(&left.vi, end_dma(&left, RECEIVE), (int)length, 7));
    ef_vi_transmit_init_undo(&left.vi);
    REQUIRE(511 == ef_vi_transmit_space(&left.vi));
    REQUIRE(0 == end_poll(&right, taken, 8, &completed));
    close_both();
}

/* A packet of two pages takes a descriptor for each, and is one packet at the far end. */
static void page_boundary(void)
{
    open_both(0, 0);
    size_t length = end_frame(&left, &right, left.memory + RECEIVE * BUFFER, 3, 200);
    size_t at = (size_t)(RECEIVE + 2) * BUFFER - 100;
    memmove(left.memory + at, left.memory + RECEIVE * BUFFER, length);
    ef_iovec pieces[2] = {{ef_memreg_dma_addr(&left.region, at), 100},
        {ef_memreg_dma_addr(&left.region, at + 100), (unsigned)length - 100}};
    REQUIRE(0 == ef_vi_transmitv(&left.vi, pieces, 2, 5));
    REQUIRE(2 == ef_vi_transmit_fill_level(&left.vi));
    REQUIRE(1 == end_poll(&right, taken, 8, &completed) && is_right(&taken[0], 3, 200));
    end_poll(&left, taken, 8, &completed);
    REQUIRE(1 == completed);
    close_both();
}

static void scattered(void)
{
    open_both(0, 0);
    ef_vi_receive_set_buffer_len(&right.vi, 1792);
    ef_iovec pieces[2];
    size_t length = end_frame(&left, &right, left.memory + (size_t)RECEIVE * BUFFER, 9, 3000);
    pieces[0] = (ef_iovec){end_dma(&left, RECEIVE), (unsigned)length};
    REQUIRE(0 == ef_vi_transmitv(&left.vi, pieces, 1, 5));
    ef_event events[4];
    REQUIRE(2 == ef_eventq_poll(&right.vi, events, 4));
    REQUIRE(EF_EVENT_RX_SOP(events[0]) && EF_EVENT_RX_CONT(events[0]) && 1792 == EF_EVENT_RX_BYTES(events[0]));
    REQUIRE(!EF_EVENT_RX_SOP(events[1]) && !EF_EVENT_RX_CONT(events[1]) && length == EF_EVENT_RX_BYTES(events[1]));
    close_both();
}

static void checksum_offload(void)
{
    open_both(EF_VI_TX_CTPIO, 0);
    uint8_t *frame = left.memory + RECEIVE * BUFFER;
    size_t length = end_frame(&left, &right, frame, 1, 99);
    uint8_t good[1500];
    memcpy(good, frame, length);
    frame[24] = frame[25] = frame[40] = frame[41] = 0x55;
    REQUIRE(0 == ef_vi_transmit(&left.vi, end_dma(&left, RECEIVE), (int)length, 1));
    REQUIRE(1 == end_poll(&right, taken, 8, &completed));
    REQUIRE(EF_EVENT_TYPE_RX == taken[0].type && 0 == memcmp(good, taken[0].frame, length));
    /* Nobody computes them for a CTPIO frame. */
    ef_vi_transmit_ctpio(&left.vi, frame, length, 64);
    REQUIRE(0 == ef_vi_transmit_ctpio_fallback(&left.vi, end_dma(&left, RECEIVE), length, 2));
    REQUIRE(1 == end_poll(&right, taken, 8, &completed));
    REQUIRE(EF_EVENT_TYPE_RX_DISCARD == taken[0].type && EF_EVENT_RX_DISCARD_CSUM_BAD == taken[0].subtype);
    close_both();
}

static void ctpio(void)
{
    ef_event events[4];
    ef_request_id ids[EF_VI_TRANSMIT_BATCH];
    end_open(&left, "left", EF_VI_TX_CTPIO, 0, "10.7.0.1");
    end_open(&right, "right", 0, 0, "10.7.0.2");
    for (int i = 0; i < 3; i++)
    {
        size_t length = end_frame(&left, &right, left.memory + (size_t)(RECEIVE + i) * BUFFER, (uint8_t)i, 80);
        ef_vi_transmit_ctpio(&left.vi, left.memory + (size_t)(RECEIVE + i) * BUFFER, length, 64);
        REQUIRE(0 == ef_vi_transmit_ctpio_fallback(&left.vi, end_dma(&left, RECEIVE + i), length, 30 + i));
    }
    REQUIRE(1 == ef_eventq_poll(&left.vi, events, 4) && EF_EVENT_TYPE_TX == EF_EVENT_TYPE(events[0]));
    bool wants_ctpio = NULL == getenv("FELL_BACK");
    REQUIRE(wants_ctpio == (0 != EF_EVENT_TX_CTPIO(events[0])));
    REQUIRE(3 == ef_vi_transmit_unbundle(&left.vi, &events[0], ids) && 30 == ids[0] && 32 == ids[2]);
    REQUIRE(3 == end_poll(&right, taken, 8, &completed));
    REQUIRE(is_right(&taken[0], 0, 80) && is_right(&taken[2], 2, 80));
    close_both();
}

static void pio(void)
{
    ef_pio region;
    open_both(0, 0);
    REQUIRE(0 == ef_pio_alloc(&region, left.handle, &left.pd, 2048, left.handle));
    REQUIRE(0 == ef_pio_link_vi(&region, left.handle, &left.vi, left.handle));
    uint8_t frame[256];
    size_t length = end_frame(&left, &right, frame, 4, 50);
    REQUIRE(0 == ef_pio_memcpy(&left.vi, frame, 64, (int)length));
    REQUIRE(0 == ef_vi_transmit_pio(&left.vi, 64, (int)length, 11));
    REQUIRE(0 == ef_vi_transmit_copy_pio(&left.vi, 512, frame, (int)length, 12));
    REQUIRE(2 == end_poll(&right, taken, 8, &completed) && is_right(&taken[1], 4, 50));
    end_poll(&left, taken, 8, &completed);
    REQUIRE(2 == completed);
    REQUIRE(0 == ef_pio_unlink_vi(&region, left.handle, &left.vi, left.handle));
    REQUIRE(0 == ef_pio_free(&region, left.handle));
    close_both();
}

/* One packet that is held keeps its superbuffer of 512; with both kept, frames are lost and counted. */
static void held_packets(void)
{
    open_both(0, 0);
    int first = -1;
    int held = -1;
    for (int i = 0; i < 1024 + 8; i++)
    {
        REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
        end_poll(&left, taken, 8, &completed);
        int count = end_poll(&right, taken, 8, &completed);
        if (1024 <= i)
        {
            REQUIRE(0 == count);
            continue;
        }
        REQUIRE(1 == count);
        if (0 == i)
        {
            first = taken[0].id;
        }
        else if (600 == i)
        {
            held = taken[0].id;
        }
        else
        {
            end_release(&right, taken[0].id);
        }
    }
    REQUIRE(8 == right.vi.vi_stats->rx_ev_lost);
    end_release(&right, first);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64) && 1 == end_poll(&right, taken, 8, &completed));
    end_release(&right, held);
    close_both();
}

static void credits(void)
{
    open_both(0, 0);
    int count = 0;
    REQUIRE(-ENOSYS == ef_vi_receive_init(&left.vi, end_dma(&left, 0), 0));
    while (0 == end_send(&left, &right, RECEIVE + count % 32, 1, 1000))
    {
        count++;
    }
    REQUIRE(31 == count && ef_vi_transmit_space_bytes(&left.vi) < 1042);
    end_poll(&left, taken, 8, &completed);
    REQUIRE(31 == completed && 32768 == ef_vi_transmit_space_bytes(&left.vi));
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 1000));
    close_both();
}

static void timestamps(void)
{
    ef_precisetime stamp;
    ef_event events[4];
    open_both(EF_VI_RX_TIMESTAMPS | EF_VI_TX_TIMESTAMPS, 0);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(1 == end_poll(&right, taken, 8, &completed) && is_right(&taken[0], 1, 64));
    const char *wanted = getenv("WANTED");
    int result = ef_vi_receive_get_precise_timestamp(&right.vi, taken[0].packet, &stamp);
    REQUIRE(result == (NULL == wanted || atoi(wanted) >= 0 ? 0 : atoi(wanted)));
    unsigned flags = NULL == wanted ? 3 : (unsigned)atoi(wanted);
    REQUIRE(result < 0 || (llabs(stamp.tv_sec - time(NULL)) <= 2 && flags == stamp.tv_flags));
    REQUIRE(1 == ef_eventq_poll(&left.vi, events, 4));
    REQUIRE(EF_EVENT_TYPE_TX_WITH_TIMESTAMP == EF_EVENT_TYPE(events[0]));
    REQUIRE(RECEIVE == EF_EVENT_TX_WITH_TIMESTAMP_RQ_ID(events[0]) && 0 == ef_vi_transmit_fill_level(&left.vi));
    REQUIRE(llabs((int64_t)EF_EVENT_TX_WITH_TIMESTAMP_SEC(events[0]) - time(NULL)) <= 2);
    REQUIRE(result < 0 || flags == EF_EVENT_TX_WITH_TIMESTAMP_SYNC_FLAGS(events[0]));
    close_both();
}

static bool is_ready(const end_t *end, int limit_ms)
{
    struct pollfd one = {.fd = end->handle, .events = POLLIN};
    return 0 < poll(&one, 1, limit_ms);
}

static void primed(void)
{
    open_both(0, 0);
    REQUIRE(0 == end_poll(&right, taken, 8, &completed));
    REQUIRE(0 == ef_vi_prime(&right.vi, right.handle, ef_eventq_current(&right.vi)));
    REQUIRE(!is_ready(&right, 0));
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(is_ready(&right, 5000));
    REQUIRE(1 == end_wait(&right, taken, 8, &completed));
    end_release(&right, taken[0].id);
    /* Not primed again: nothing wakes. */
    REQUIRE(0 == end_send(&left, &right, RECEIVE + 1, 1, 64));
    REQUIRE(!is_ready(&right, 50));
    /* What came between the poll and the prime wakes at once. */
    REQUIRE(0 == ef_vi_prime(&right.vi, right.handle, ef_eventq_current(&right.vi)));
    REQUIRE(is_ready(&right, 5000));
    REQUIRE(0 == ef_vi_prime(&left.vi, left.handle, ef_eventq_current(&left.vi)) && is_ready(&left, 5000));
    struct timeval limit = {.tv_sec = 5};
    REQUIRE(0 == ef_eventq_wait(&right.vi, right.handle, ef_eventq_current(&right.vi), &limit));
    close_both();
}

/* ---- between processes, and a kernel ---- */

/* Answer a number of frames with the same payload. */
static void echo(void)
{
    end_open(&right, getenv("INTERFACE"), 0, 0, "10.7.0.2");
    left.port_be = right.port_be;
    inet_pton(AF_INET, "10.7.0.1", &left.address_be);
    printf("ready\n");
    fflush(stdout);
    for (int i = 0; i < 100; i++)
    {
        REQUIRE(1 == end_wait(&right, taken, 2, &completed));
        uint8_t first = taken[0].frame[42];
        REQUIRE(is_right(&taken[0], first, 64));
        end_release(&right, taken[0].id);
        REQUIRE(0 == end_send(&right, &left, RECEIVE + i % 32, first, 64));
    }
    end_close(&right);
}

static void ask(void)
{
    end_open(&left, getenv("INTERFACE"), 0, 0, "10.7.0.1");
    right.port_be = left.port_be;
    inet_pton(AF_INET, "10.7.0.2", &right.address_be);
    for (int i = 0; i < 100; i++)
    {
        REQUIRE(0 == end_send(&left, &right, RECEIVE + i % 32, (uint8_t)i, 64));
        REQUIRE(1 == end_wait(&left, taken, 2, &completed));
        REQUIRE(is_right(&taken[0], (uint8_t)i, 64));
        end_release(&left, taken[0].id);
    }
    end_close(&left);
}

/* Send until the adapter is gone: a virtual interface that does not receive hears of it too. */
static void source(void)
{
    REQUIRE(0 == end_try_sized(&left, getenv("INTERFACE"), 0, 0, -1, 0));
    end_memory(&left);
    ef_event events[4];
    printf("ready\n");
    fflush(stdout);
    time_t end_at = time(NULL) + 20;
    do
    {
        int result = end_send(&left, &left, RECEIVE, 1, 64);
        REQUIRE(0 == result || -EAGAIN == result);
        int made = ef_eventq_poll(&left.vi, events, 4);
        for (int i = 0; i < made; i++)
        {
            ef_request_id ids[EF_VI_TRANSMIT_BATCH];
            if (EF_EVENT_TYPE_RESET == EF_EVENT_TYPE(events[i]))
            {
                return;
            }
            ef_vi_transmit_unbundle(&left.vi, &events[i], ids);
        }
    } while (time(NULL) < end_at);
    REQUIRE(false);
}

/* Count what arrives until input ends. */
static void sink(void)
{
    char byte;
    int count = 0;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    end_open(&right, getenv("INTERFACE"), 0, 0, getenv("ADDRESS"));
    printf("ready\n");
    fflush(stdout);
    while (0 == poll(&input, 1, 0) || 0 < read(0, &byte, 1))
    {
        int got = end_poll(&right, taken, 8, &completed);
        for (int i = 0; i < got; i++)
        {
            REQUIRE(EF_EVENT_TYPE_RX == taken[i].type);
            end_release(&right, taken[i].id);
            printf("%d\n", ++count);
            fflush(stdout);
        }
    }
    end_close(&right);
}

static const scenario_t scenarios[] = {
    SCENARIO(both_ways), SCENARIO(express), SCENARIO(merged), SCENARIO(merged_discards),
    SCENARIO(refill_waits_for_eight), SCENARIO(limits), SCENARIO(page_boundary), SCENARIO(scattered),
    SCENARIO(checksum_offload), SCENARIO(ctpio), SCENARIO(pio), SCENARIO(held_packets), SCENARIO(credits),
    SCENARIO(timestamps), SCENARIO(primed), SCENARIO(echo), SCENARIO(ask), SCENARIO(sink), SCENARIO(source),
};

static void run_of(const scenario_t *from, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
    {
        if (0 == strcmp(name, from[i].name))
        {
            from[i].run();
            exit(0);
        }
    }
}

int main(int count, char **arguments)
{
    if (2 == count)
    {
        run_of(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), arguments[1]);
        run_of(filter_scenarios, filter_scenarios_count, arguments[1]);
        run_of(fault_scenarios, fault_scenarios_count, arguments[1]);
        run_of(misuse_scenarios, misuse_scenarios_count, arguments[1]);
    }
    fprintf(stderr, "no scenario of that name\n");
    return 2;
}
