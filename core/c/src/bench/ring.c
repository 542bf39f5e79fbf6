/* The floor for IPC: one producer copies messages into a ring in shared memory, one consumer copies them out. */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "bench/bench.h"

#define FL_BENCH_RING_CAPACITY (16 * 1024 * 1024)
#define FL_BENCH_MESSAGE_MAX 65536

typedef struct fl_bench_ring
{
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) uint8_t bytes[];
} fl_bench_ring_t;

/* A message occupies a word with its length and then its bytes, rounded up to 8; it never wraps. */
static uint64_t fl_bench_ring_span(uint32_t length)
{
    return (8 + (uint64_t)length + 7) & ~UINT64_C(7);
}

int fl_bench_ring_send(void *memory, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    static const uint8_t message[FL_BENCH_MESSAGE_MAX];
    fl_bench_ring_t *ring = memory;
    fl_measure_lengths_t lengths;
    memset(result, 0, sizeof(*result));
    fl_bench_lengths_init(&lengths, params);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    const int64_t cpu_ns = fl_measure_cpu();
    const int64_t begin_ns = fl_measure_now();
    int64_t now_ns = begin_ns;
    while (now_ns - begin_ns < params->duration_ns)
    {
        for (int turn = 0; turn < 256; turn++)
        {
            const uint32_t length = fl_measure_lengths_next(&lengths);
            const uint64_t span = fl_bench_ring_span(length);
            const uint64_t to_end = FL_BENCH_RING_CAPACITY - (tail & (FL_BENCH_RING_CAPACITY - 1));
            const uint64_t skip = span > to_end ? to_end : 0;
            /* Acquire: pairs with the consumer's release; it has copied what is overwritten now. */
            while (tail + skip + span - atomic_load_explicit(&ring->head, memory_order_acquire) >
                FL_BENCH_RING_CAPACITY)
            {
                sched_yield();
                if (fl_measure_now() - begin_ns > params->duration_ns)
                {
                    goto over;
                }
            }
            if (skip > 0)
            {
                const uint64_t mark = UINT64_MAX;
                memcpy(ring->bytes + (tail & (FL_BENCH_RING_CAPACITY - 1)), &mark, sizeof(mark));
                tail += skip;
            }
            uint8_t *at = ring->bytes + (tail & (FL_BENCH_RING_CAPACITY - 1));
            const uint64_t word = length;
            memcpy(at, &word, sizeof(word));
            memcpy(at + sizeof(word), message, length);
            tail += span;
            /* Release: pairs with the consumer's acquire; the message is there before the tail passes it. */
            atomic_store_explicit(&ring->tail, tail, memory_order_release);
            result->messages++;
            result->bytes += length;
        }
        now_ns = fl_measure_now();
    }
over:
    result->elapsed_ns = fl_measure_now() - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
    return 0;
}

int fl_bench_ring_receive(void *memory, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    static uint8_t message[FL_BENCH_MESSAGE_MAX];
    fl_bench_ring_t *ring = memory;
    fl_measure_watch_t watch;
    memset(result, 0, sizeof(*result));
    fl_measure_watch_begin(&watch);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    for (;;)
    {
        const uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == tail)
        {
            if (fl_measure_watch_is_over(&watch, params->idle_ns, params->end_fd))
            {
                break;
            }
            sched_yield();
            continue;
        }
        while (head != tail)
        {
            const uint64_t index = head & (FL_BENCH_RING_CAPACITY - 1);
            uint64_t length;
            memcpy(&length, ring->bytes + index, sizeof(length));
            if (UINT64_MAX == length)
            {
                head += FL_BENCH_RING_CAPACITY - index;
                continue;
            }
            memcpy(message, ring->bytes + index + sizeof(length), length);
            head += fl_bench_ring_span((uint32_t)length);
            result->messages++;
            result->bytes += length;
        }
        atomic_store_explicit(&ring->head, head, memory_order_release);
        fl_measure_watch_arrived(&watch);
    }
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    return 0;
}
