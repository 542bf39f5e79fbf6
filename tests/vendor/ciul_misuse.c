/* Misuse of the ef_vi interface: each scenario ends in an abort, but for the one that shows what is none. */
#include <pthread.h>

#include "ciul_scenarios.h"

static void use_after_free(void)
{
    ef_event events[4];
    open_both(0, 0);
    REQUIRE(0 == ef_vi_free(&left.vi, left.handle));
    ef_eventq_poll(&left.vi, events, 4);
}

static void double_release(void)
{
    open_both(0, 0);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(1 == end_wait(&right, taken, 8, &completed));
    end_release(&right, taken[0].id);
    end_release(&right, taken[0].id);
}

static void get_after_release(void)
{
    open_both(0, 0);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(1 == end_wait(&right, taken, 8, &completed));
    uint8_t before = taken[0].frame[50];
    end_release(&right, taken[0].id);
    REQUIRE(before != taken[0].frame[50]);
    efct_vi_rxpkt_get(&right.vi, (uint32_t)taken[0].id);
}

static void write_after_post(void)
{
    open_both(0, 0);
    right.memory[100] = 1;
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    end_wait(&right, taken, 8, &completed);
}

static void write_before_completion(void)
{
    open_both(0, 0);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    left.memory[RECEIVE * BUFFER + 60]++;
    end_poll(&left, taken, 8, &completed);
}

static void push_of_nothing(void)
{
    open_both(0, 0);
    ef_vi_transmit_push(&left.vi);
}

static void no_fallback(void)
{
    uint8_t frame[200];
    open_both(EF_VI_TX_CTPIO, 0);
    size_t length = end_frame(&left, &right, frame, 0, 64);
    ef_vi_transmit_ctpio(&left.vi, frame, length, 64);
    ef_vi_transmit_ctpio(&left.vi, frame, length, 64);
}

static void unaligned(void)
{
    open_both(0, 0);
    ef_vi_receive_init(&left.vi, end_dma(&left, RECEIVE) + 2, RECEIVE);
}

static void unaligned_region(void)
{
    ef_memreg region;
    open_both(0, 0);
    ef_memreg_alloc(&region, left.handle, &left.pd, left.handle, left.memory + 64, 4096);
}

static void unregistered(void)
{
    open_both(0, 0);
    static uint8_t memory[4096] __attribute__((aligned(4096)));
    ef_vi_transmit(&left.vi, (ef_addr)(uintptr_t)memory, 64, 1);
}

static void across_pages(void)
{
    open_both(0, 0);
    ef_vi_receive_init(&left.vi, end_dma(&left, RECEIVE + 1) + 1024, 1);
}

/* The next page of the same buffer is somewhere else on the bus. */
static void send_across_pages(void)
{
    open_both(0, 0);
    ef_vi_transmit(&left.vi, end_dma(&left, RECEIVE + 1) + 1024, 1500, 1);
}

static void stale_timestamp(void)
{
    ef_precisetime stamp;
    open_both(EF_VI_RX_TIMESTAMPS, 0);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(1 == end_wait(&right, taken, 8, &completed));
    const void *packet = taken[0].packet;
    end_poll(&right, taken, 8, &completed);
    ef_vi_receive_get_precise_timestamp(&right.vi, packet, &stamp);
}

static void freed_domain(void)
{
    open_both(0, 0);
    ef_pd_free(&left.pd, left.handle);
}

static pthread_barrier_t barrier;

static void *poll_twice(void *unused)
{
    (void)unused;
    ef_event events[4];
    ef_eventq_poll(&left.vi, events, 4);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* This thread, another, and this one again while the other lives. */
static void two_pollers(void)
{
    pthread_t thread;
    ef_event events[4];
    open_both(0, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    ef_eventq_poll(&left.vi, events, 4);
    REQUIRE(0 == pthread_create(&thread, NULL, poll_twice, NULL));
    pthread_barrier_wait(&barrier);
    ef_eventq_poll(&left.vi, events, 4);
}

/* One thread polls a wire that is never empty, the other at the same time. */
static void *poll_for_long(void *unused)
{
    (void)unused;
    ef_event events[4];
    time_t end_at = time(NULL) + 20;
    while (time(NULL) < end_at)
    {
        ef_eventq_poll(&left.vi, events, 4);
    }
    return NULL;
}

static void overlapping_threads(void)
{
    pthread_t thread;
    open_both(0, 0);
    REQUIRE(0 == pthread_create(&thread, NULL, poll_for_long, NULL));
    time_t end_at = time(NULL) + 20;
    while (time(NULL) < end_at)
    {
        end_send(&left, &right, RECEIVE, 1, 1000);
    }
}

static void unbundled_twice(void)
{
    ef_event events[4];
    ef_request_id ids[EF_VI_TRANSMIT_BATCH];
    open_both(0, 0);
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    REQUIRE(1 == ef_eventq_poll(&left.vi, events, 4));
    REQUIRE(1 == ef_vi_transmit_unbundle(&left.vi, &events[0], ids));
    ef_vi_transmit_unbundle(&left.vi, &events[0], ids);
}

static void overrun(void)
{
    REQUIRE(0 == end_try_sized(&left, "left", EF_VI_TX_TIMESTAMPS, 0, 512, -1));
    end_memory(&left);
    end_post(&left, 0, RECEIVE);
    right.port_be = htons(40123);
    for (int i = 0; i < 200; i++)
    {
        REQUIRE(0 == end_send(&left, &right, RECEIVE, 1, 64));
    }
}

/* A thread that has ended hands over. */
static void handed_over(void)
{
    pthread_t thread;
    ef_event events[4];
    open_both(0, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    ef_eventq_poll(&left.vi, events, 4);
    REQUIRE(0 == pthread_create(&thread, NULL, poll_twice, NULL));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    REQUIRE(0 == pthread_join(thread, NULL));
    ef_eventq_poll(&left.vi, events, 4);
    close_both();
}

const scenario_t misuse_scenarios[] = {
    SCENARIO(overrun), SCENARIO(use_after_free), SCENARIO(double_release), SCENARIO(get_after_release),
    SCENARIO(write_after_post), SCENARIO(write_before_completion), SCENARIO(push_of_nothing), SCENARIO(no_fallback),
    SCENARIO(unaligned), SCENARIO(unaligned_region), SCENARIO(unregistered), SCENARIO(across_pages),
    SCENARIO(send_across_pages), SCENARIO(stale_timestamp), SCENARIO(freed_domain), SCENARIO(two_pollers),
    SCENARIO(overlapping_threads), SCENARIO(unbundled_twice), SCENARIO(handed_over),
};

const size_t misuse_scenarios_count = sizeof(misuse_scenarios) / sizeof(misuse_scenarios[0]);
