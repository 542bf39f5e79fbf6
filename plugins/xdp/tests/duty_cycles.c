/* A million duty cycles of two ports that face each other, with every allocation counted.
 *
 * duty_cycles CYCLES NAMESPACE: opens eth0 here and in the other network namespace. A burst goes out every 64th cycle,
 * but not before the one before it has arrived: the kernel of a busy machine takes what it is given later, and in
 * parts. Linked with --wrap for the allocating functions. Prints frames sent, received, kicks, and allocations before
 * the cycles and during them.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/xdp.h"

#define FL_BURST 64
#define FL_PATIENCE (1l << 20)   /* cycles without arrival, after which a burst counts as lost */

static long allocations;

void *__real_malloc(size_t length);
void *__real_calloc(size_t count, size_t length);
void *__real_realloc(void *memory, size_t length);
void *__real_aligned_alloc(size_t alignment, size_t length);
void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t length)
{
    allocations++;
    return __real_malloc(length);
}

void *__wrap_calloc(size_t count, size_t length)
{
    allocations++;
    return __real_calloc(count, length);
}

void *__wrap_realloc(void *memory, size_t length)
{
    allocations++;
    return __real_realloc(memory, length);
}

void *__wrap_aligned_alloc(size_t alignment, size_t length)
{
    allocations++;
    return __real_aligned_alloc(alignment, length);
}

void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    allocations++;
    return __real_mmap(at, length, protection, flags, fd, offset);
}

static void fl_test_error_set(const fl_host_t *host, const char *text)
{
    (void)host;
    fprintf(stderr, "%s\n", text);
}

static int64_t fl_test_clock(const fl_host_t *host)
{
    struct timespec now;
    (void)host;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static const fl_host_t host = {
    .magic = FL_HOST_MAGIC,
    .size = sizeof(fl_host_t),
    .abi_version = FL_ABI_VERSION,
    .error_set = fl_test_error_set,
    .nano_clock = fl_test_clock,
};

static fl_port_t *fl_test_open(void)
{
    const fl_xdp_settings_t settings = {.interface = "eth0", .ring_size = 1024, .need_wakeup = 1, .link_wait_ms = 2000};
    char text[512];
    fl_port_t *port = NULL;
    if (0 != fl_xdp_open(&host, &settings, text, sizeof(text), &port) || 0 != fl_xdp_ops()->start(port, 1) ||
        0 != fl_xdp_ops()->queue_enter(port, 0))
    {
        fprintf(stderr, "%s\n", text);
        exit(1);
    }
    return port;
}

static long fl_test_stat(fl_port_t *port, const char *name)
{
    fl_stat_t stats[64];
    const int count = fl_xdp_ops()->stats(port, stats, 64);
    for (int i = 0; i < count; i++)
    {
        if (0 == strcmp(name, stats[i].name))
        {
            return (long)stats[i].value;
        }
    }
    return -1;
}

/* An Ethernet frame with a UDP datagram of 100 bytes to 10.77.0.1:4000. */
static uint16_t fl_test_fill(uint8_t *frame)
{
    static const uint8_t head[42] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0,
        0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1,
        0x27, 0x0f, 0x0f, 0xa0, 0, 108, 0, 0};
    memcpy(frame, head, sizeof(head));
    memset(frame + sizeof(head), 'x', 100);
    return sizeof(head) + 100;
}

int main(int argc, char **argv)
{
    const fl_port_ops_t *ops = fl_xdp_ops();
    fl_port_t *receiver = fl_test_open();
    const int space = 3 == argc ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
    if (space < 0 || 0 != setns(space, CLONE_NEWNET))
    {
        perror("duty_cycles CYCLES NAMESPACE");
        return 1;
    }
    fl_port_t *sender = fl_test_open();
    const fl_address_t address = {.family = FL_FAMILY_IPV4, .port = 4000, .bytes = {10, 77, 0, 1}};
    if (0 != ops->add_filter(receiver, 0, 0xffff, &address, NULL))
    {
        return 1;
    }

    fl_rx_frame_t received[FL_BURST];
    fl_tx_frame_t sent[FL_BURST];
    const long cycles = atol(argv[1]);
    const long before = allocations;
    long bursts = 0;
    long missing = 0;
    long silent = 0;
    for (long cycle = 0; cycle < cycles || bursts < cycles / 64; cycle++)
    {
        ops->tx_reap(sender, 0, NULL, 0);
        if (0 == cycle % 64 && bursts < cycles / 64 && (missing <= 0 || silent > FL_PATIENCE))
        {
            const int count = ops->tx_alloc(sender, 0, sent, FL_BURST);
            for (int i = 0; i < count; i++)
            {
                sent[i].length = fl_test_fill(sent[i].data);
            }
            const int taken = ops->tx_burst(sender, 0, sent, (uint32_t)count);
            ops->tx_free(sender, 0, sent + taken, (uint32_t)(count - taken));
            bursts++;
            missing = taken;
        }
        const int count = ops->rx_burst(receiver, 0, received, FL_BURST);
        ops->rx_release(receiver, 0, received, (uint32_t)count);
        silent = 0 == count ? silent + 1 : 0;
        missing -= count;
    }
    const long during = allocations - before;
    printf(
        "%ld %ld %ld %ld %ld\n", fl_test_stat(sender, "xdp-tx-frames"), fl_test_stat(receiver, "xdp-rx-frames"),
        fl_test_stat(sender, "xdp-kicks"), before, during);
    fl_port_t *const ports[] = {sender, receiver};
    for (int i = 0; i < 2; i++)
    {
        ops->queue_leave(ports[i], 0);
        if (0 != ops->close(ports[i]))
        {
            return 1;
        }
    }
    return 0;
}
