/* What a word costs from one processor to another and back: the distance between both sides of a benchmark.
 *
 * Both sides turn to their loops from here without resting, so the processors that they are on stay where they are.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bench/bench.h"

#define FL_BENCH_ROUNDS 64         /* of one window */
#define FL_BENCH_WINDOWS 63
#define FL_BENCH_HANDOVER_NS INT64_C(5000000)
#define FL_BENCH_SHARED_NS INT64_C(30000000)    /* for the scheduler to move one of two that share a processor */
#define FL_BENCH_LEAD_LIMIT_NS INT64_C(10000000000)
#define FL_BENCH_SPINS 2000        /* before the processor is yielded: the other side may need it */
#define FL_BENCH_HANDOVER_END UINT32_MAX

typedef struct fl_bench_handover
{
    _Alignas(64) _Atomic uint32_t turn;     /* odd: the follower's; even: the leader's */
    _Alignas(64) _Atomic int32_t processor; /* of the follower */
} fl_bench_handover_t;

static int fl_bench_compare(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left;
    const int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* Wait until it is the leader's turn again. Returns false if the other side is gone. */
static bool fl_bench_await_answer(fl_bench_handover_t *handover, uint32_t turn, int64_t begin_ns)
{
    /* Acquire: pairs with the follower's release. */
    for (uint32_t spins = 1; turn != atomic_load_explicit(&handover->turn, memory_order_acquire); spins++)
    {
        if (0 == spins % FL_BENCH_SPINS)
        {
            sched_yield();
            if (fl_measure_now() - begin_ns > FL_BENCH_LEAD_LIMIT_NS)
            {
                return false;
            }
        }
    }
    return true;
}

static bool fl_bench_has_processors(void)
{
    cpu_set_t allowed;
    return 0 == sched_getaffinity(0, sizeof(allowed), &allowed) && CPU_COUNT(&allowed) > 1;
}

int64_t fl_bench_handover_lead(void *memory)
{
    fl_bench_handover_t *handover = memory;
    int64_t windows[FL_BENCH_WINDOWS];
    uint32_t count = 0;
    uint32_t turn = 0;
    const int64_t shared_ns = fl_bench_has_processors() ? FL_BENCH_SHARED_NS : 0;
    const int64_t begin_ns = fl_measure_now();
    int64_t now_ns = begin_ns;
    while (count < FL_BENCH_WINDOWS && now_ns - begin_ns < FL_BENCH_HANDOVER_NS + (0 == count ? shared_ns : 0))
    {
        const int64_t window_ns = now_ns;
        const int processor = sched_getcpu();
        for (int round = 0; round < FL_BENCH_ROUNDS; round++)
        {
            atomic_store_explicit(&handover->turn, ++turn, memory_order_release);
            if (!fl_bench_await_answer(handover, ++turn, begin_ns))
            {
                return -FL_EHOSTUNREACH;
            }
        }
        now_ns = fl_measure_now();
        const bool is_first = 2 * FL_BENCH_ROUNDS == turn;   /* the follower wakes up in it */
        if (!is_first && processor != atomic_load_explicit(&handover->processor, memory_order_relaxed))
        {
            windows[count++] = now_ns - window_ns;
        }
    }
    atomic_store_explicit(&handover->turn, FL_BENCH_HANDOVER_END, memory_order_release);
    if (0 == count)
    {
        return 0;
    }
    qsort(windows, count, sizeof(windows[0]), fl_bench_compare);
    return windows[count / 2] / FL_BENCH_ROUNDS;
}

void fl_bench_handover_follow(void *memory, int32_t end_fd)
{
    fl_bench_handover_t *handover = memory;
    for (uint32_t spins = 1;; spins++)
    {
        /* Acquire: pairs with the leader's release. */
        const uint32_t turn = atomic_load_explicit(&handover->turn, memory_order_acquire);
        if (FL_BENCH_HANDOVER_END == turn)
        {
            return;
        }
        if (0 != (turn & 1))
        {
            atomic_store_explicit(&handover->processor, sched_getcpu(), memory_order_relaxed);
            atomic_store_explicit(&handover->turn, turn + 1, memory_order_release);
            spins = 0;
        }
        else if (0 == spins % FL_BENCH_SPINS)
        {
            sched_yield();
            struct pollfd end = { .fd = end_fd, .events = POLLIN };
            if (0 != poll(&end, 1, 0))
            {
                return;
            }
        }
    }
}
