/* Preloaded into a test program: runs duty cycles of two pollers on the calling thread, and counts what they
 * allocate. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <framelane/host.h>
#include <framelane/transport.h>

#define RUNS 8
#define CAPACITY 64

static __thread bool is_counted;
static __thread long allocations;

extern void *__libc_malloc(size_t length);
extern void *__libc_calloc(size_t count, size_t length);
extern void *__libc_realloc(void *memory, size_t length);
extern void *__libc_memalign(size_t alignment, size_t length);

void *malloc(size_t length)
{
    allocations += is_counted;
    return __libc_malloc(length);
}

void *calloc(size_t count, size_t length)
{
    allocations += is_counted;
    return __libc_calloc(count, length);
}

void *realloc(void *memory, size_t length)
{
    allocations += is_counted;
    return __libc_realloc(memory, length);
}

void *aligned_alloc(size_t alignment, size_t length)
{
    allocations += is_counted;
    return __libc_memalign(alignment, length);
}

int posix_memalign(void **memory, size_t alignment, size_t length)
{
    allocations += is_counted;
    *memory = __libc_memalign(alignment, length);
    return NULL == *memory ? 12 : 0;
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    allocations += is_counted;
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

/* One end: a poller with one endpoint on it. */
typedef struct end
{
    const fl_transport_ops_t *ops;
    fl_transport_t *transport;
    fl_poller_t *poller;
    fl_endpoint_t *endpoint;
    fl_peer_t *peer;
} end_t;

static int cycle(const end_t *end, uint32_t runs_to_send)
{
    static uint8_t payload[8192];
    fl_run_t runs[CAPACITY];
    fl_completion_t completions[CAPACITY];
    memset(runs, 0, sizeof(runs));
    for (uint32_t i = 0; i < runs_to_send; i++)
    {
        runs[i].data = payload;
        runs[i].length = 1000 + 900 * i;
        runs[i].segment_length = 1000;
        runs[i].peer = end->peer;
    }
    end->ops->send(end->endpoint, runs, runs_to_send);
    end->ops->reap(end->poller, completions, CAPACITY);
    const int count = end->ops->poll(end->poller, runs, CAPACITY);
    if (count > 0)
    {
        end->ops->release(end->poller, runs, (uint32_t)count);
    }
    return count;
}

/* What a malloc in a counted stretch adds, so that a test sees that it is counted. */
long duty_cycles_count_one(void)
{
    const long before = allocations;
    is_counted = true;
    void *volatile memory = malloc(100);
    is_counted = false;
    free(memory);
    return allocations - before;
}

/* Half of the cycles are of one end and half of the other; the first sends in every fourth of its own, and the second
 * one run back. `now_ns` moves by 1 ms a cycle for housekeeping, which another thread does in a driver and which is not
 * counted. Returns the runs received, or the negative result of a poll; the allocations to `allocated`.
 */
long duty_cycles(const end_t *ends, long cycles, int64_t now_ns, long *allocated)
{
    const long before = allocations;
    long received = 0;
    for (long i = 0; i < cycles / 2; i++)
    {
        for (int end = 0; end < 2; end++)
        {
            if (0 == i % 100)
            {
                ends[end].ops->housekeeping(ends[end].transport, now_ns + i * 1000000);
            }
            is_counted = true;
            const int count = cycle(&ends[end], 0 != i % 4 ? 0 : 0 == end ? RUNS : 1);
            is_counted = false;
            if (count < 0)
            {
                return count;
            }
            received += count;
        }
    }
    *allocated = allocations - before;
    return received;
}
