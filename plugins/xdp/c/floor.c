/* The floor of AF_XDP: a socket's rings and nothing else. Nothing of the port is used here, so that nothing of it can
 * slow both sides of the comparison. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <xdp/xsk.h>

#include <framelane/floor_work.h>

#include "api/floor.h"

#define FL_FLOOR_RING 2048
#define FL_FLOOR_CHUNK 2048
#define FL_FLOOR_RECEIVE (2 * FL_FLOOR_RING)          /* chunks that are received into; the others are sent from */
#define FL_FLOOR_OFFSET 22                            /* of a frame in its chunk: payload begins on a multiple of 64 */
#define FL_FLOOR_REBINDS 400
#define FL_FLOOR_DRAIN_NS 100000000
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

struct fl_xdp_floor
{
    struct xsk_ring_cons receive;
    struct xsk_ring_prod fill;
    struct xsk_ring_prod transmit;
    struct xsk_ring_cons completion;
    uint8_t *memory;
    uint64_t free_chunks[FL_FLOOR_RING];
    uint32_t free_count;
    int fd;
    int map;
    int program;
    int link;
    struct xsk_umem *umem;
    struct xsk_socket *socket;
};

static int fl_floor_error(char *text, size_t length, const char *what, int code)
{
    snprintf(text, length, "floor: %s: %s", what, strerror(code));
    return -code;
}

/* A program that gives every frame of a queue to the socket in its place of the map. */
static int fl_floor_attach(fl_xdp_floor_t *floor, uint32_t index)
{
    floor->map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "fl_floor", sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
    const struct bpf_insn program[] = {
        {.code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = 2, .src_reg = 1, .off = offsetof(struct xdp_md, rx_queue_index)},
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = floor->map},
        {.imm = 0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
        {.code = BPF_JMP | BPF_EXIT},
    };
    LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = BPF_XDP);
    floor->program = floor->map < 0
        ? floor->map
        : bpf_prog_load(
              BPF_PROG_TYPE_XDP, "fl_floor", "GPL", program, sizeof(program) / sizeof(program[0]), &load);
    LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
    floor->link = floor->program < 0 ? floor->program : bpf_link_create(floor->program, (int)index, BPF_XDP, &native);
    return floor->link < 0 ? -floor->link : 0;
}

/* A queue stays taken for a moment after its last socket was closed. */
static int fl_floor_bind(fl_xdp_floor_t *floor, const char *interface)
{
    const struct xsk_umem_config memory = {
        .fill_size = FL_FLOOR_RECEIVE, .comp_size = FL_FLOOR_RING, .frame_size = FL_FLOOR_CHUNK};
    const struct xsk_socket_config config = {
        .rx_size = FL_FLOOR_RING,
        .tx_size = FL_FLOOR_RING,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
        .bind_flags = XDP_USE_NEED_WAKEUP,
    };
    int code = 0;
    for (int i = 0; i < FL_FLOOR_REBINDS; i++)
    {
        code = -xsk_umem__create(
            &floor->umem, floor->memory, (uint64_t)(FL_FLOOR_RECEIVE + FL_FLOOR_RING) * FL_FLOOR_CHUNK, &floor->fill,
            &floor->completion, &memory);
        if (0 != code)
        {
            floor->umem = NULL;
            return code;
        }
        code = -xsk_socket__create(
            &floor->socket, interface, 0, floor->umem, &floor->receive, &floor->transmit, &config);
        if (0 == code)
        {
            return 0;
        }
        floor->socket = NULL;
        xsk_umem__delete(floor->umem);
        floor->umem = NULL;
        if (EBUSY != code)
        {
            break;
        }
        usleep(5000);
    }
    return code;
}

int fl_xdp_floor_open(const char *interface, char *text, size_t length, fl_xdp_floor_t **opened)
{
    fl_xdp_floor_t *floor = calloc(1, sizeof(*floor));
    if (NULL == floor)
    {
        return fl_floor_error(text, length, "its struct", ENOMEM);
    }
    floor->map = floor->program = floor->link = -1;
    const uint32_t index = if_nametoindex(interface);
    void *memory = mmap(
        NULL, (size_t)(FL_FLOOR_RECEIVE + FL_FLOOR_RING) * FL_FLOOR_CHUNK, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    floor->memory = MAP_FAILED == memory ? NULL : memory;
    int code = NULL == floor->memory ? ENOMEM : 0 == index ? ENODEV : fl_floor_attach(floor, index);
    code = 0 != code ? code : fl_floor_bind(floor, interface);
    if (0 == code)
    {
        const uint32_t zero = 0;
        floor->fd = xsk_socket__fd(floor->socket);
        code = -bpf_map_update_elem(floor->map, &zero, &floor->fd, BPF_ANY);
    }
    if (0 != code)
    {
        fl_xdp_floor_close(floor);
        return fl_floor_error(text, length, interface, code);
    }
    /* In copy mode a frame in flight counts against the socket's buffer, and one call takes 32 of them by default. */
    const int bytes = FL_FLOOR_RING * 2 * 4096;
    const uint32_t budget = 512;
    setsockopt(floor->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
    setsockopt(floor->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
    uint32_t at = 0;
    xsk_ring_prod__reserve(&floor->fill, FL_FLOOR_RECEIVE, &at);
    for (uint32_t i = 0; i < FL_FLOOR_RECEIVE; i++)
    {
        *xsk_ring_prod__fill_addr(&floor->fill, at + i) = (uint64_t)i * FL_FLOOR_CHUNK;
    }
    xsk_ring_prod__submit(&floor->fill, FL_FLOOR_RECEIVE);
    for (uint32_t i = 0; i < FL_FLOOR_RING; i++)
    {
        floor->free_chunks[i] = (uint64_t)(FL_FLOOR_RECEIVE + i) * FL_FLOOR_CHUNK;
    }
    floor->free_count = FL_FLOOR_RING;
    *opened = floor;
    return 0;
}

void fl_xdp_floor_close(fl_xdp_floor_t *floor)
{
    const int descriptors[] = {floor->link, floor->program, floor->map};
    for (int i = 0; i < 3; i++)
    {
        if (descriptors[i] >= 0)
        {
            close(descriptors[i]);
        }
    }
    if (NULL != floor->socket)
    {
        xsk_socket__delete(floor->socket);
    }
    if (NULL != floor->umem)
    {
        xsk_umem__delete(floor->umem);
    }
    if (NULL != floor->memory)
    {
        munmap(floor->memory, (size_t)(FL_FLOOR_RECEIVE + FL_FLOOR_RING) * FL_FLOOR_CHUNK);
    }
    free(floor);
}

static uint32_t fl_floor_waiting(const fl_xdp_floor_t *floor)
{
    return floor->transmit.cached_prod - __atomic_load_n(floor->transmit.consumer, __ATOMIC_ACQUIRE);
}

/* Have the kernel take what is in the transmit ring, as long as it takes any. */
static void fl_floor_kick(fl_xdp_floor_t *floor, fl_floor_result_t *result)
{
    uint32_t before = fl_floor_waiting(floor);
    while (0 != before && xsk_ring_prod__needs_wakeup(&floor->transmit))
    {
        result->system_calls++;
        sendto(floor->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
        const uint32_t after = fl_floor_waiting(floor);
        if (after == before)
        {
            return;
        }
        before = after;
    }
}

static void fl_floor_reap(fl_xdp_floor_t *floor)
{
    uint32_t at = 0;
    const uint32_t count = xsk_ring_cons__peek(&floor->completion, FL_FLOOR_RING, &at);
    for (uint32_t i = 0; i < count; i++)
    {
        floor->free_chunks[floor->free_count++] =
            *xsk_ring_cons__comp_addr(&floor->completion, at + i) & ~(uint64_t)(FL_FLOOR_CHUNK - 1);
    }
    xsk_ring_cons__release(&floor->completion, count);
}

int fl_xdp_floor_send(fl_xdp_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result)
{
    fl_floor_work_t work;
    memset(result, 0, sizeof(*result));
    if (0 != fl_floor_work_open(&work, params))
    {
        return -FL_ENOMEM;
    }
    const int64_t cpu_ns = fl_measure_cpu();
    const int64_t begin_ns = fl_measure_now();
    int64_t now_ns = begin_ns;
    while (now_ns - begin_ns < params->duration_ns)
    {
        for (int turn = 0; turn < 16; turn++)
        {
            uint32_t at = 0;
            fl_floor_reap(floor);
            if (floor->free_count < params->batch ||
                params->batch != xsk_ring_prod__reserve(&floor->transmit, params->batch, &at))
            {
                fl_floor_kick(floor, result);
                sched_yield();
                continue;
            }
            for (uint32_t i = 0; i < params->batch; i++)
            {
                uint32_t payload;
                struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&floor->transmit, at + i);
                descriptor->addr = floor->free_chunks[--floor->free_count] + FL_FLOOR_OFFSET;
                descriptor->len = fl_floor_write(&work, floor->memory + descriptor->addr, &payload);
                descriptor->options = 0;
                result->bytes += payload;
            }
            result->messages += params->batch;
            xsk_ring_prod__submit(&floor->transmit, params->batch);
            fl_floor_kick(floor, result);
        }
        now_ns = fl_measure_now();
    }
    result->elapsed_ns = now_ns - begin_ns;
    result->cpu_ns = fl_measure_cpu() - cpu_ns;
    /* What the kernel had no time for counts as sent, so it is to leave. */
    while (0 != fl_floor_waiting(floor) && fl_measure_now() - now_ns < FL_FLOOR_DRAIN_NS)
    {
        fl_floor_reap(floor);
        fl_floor_kick(floor, result);
        sched_yield();
    }
    fl_floor_work_close(&work);
    return 0;
}

int fl_xdp_floor_receive(fl_xdp_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result)
{
    fl_floor_work_t work;
    fl_measure_watch_t watch;
    memset(result, 0, sizeof(*result));
    if (0 != fl_floor_work_open(&work, params))
    {
        return -FL_ENOMEM;
    }
    fl_measure_watch_begin(&watch);
    for (;;)
    {
        uint32_t at = 0;
        uint32_t to = 0;
        const uint32_t count = xsk_ring_cons__peek(&floor->receive, params->batch, &at);
        if (0 == count)
        {
            if (xsk_ring_prod__needs_wakeup(&floor->fill))
            {
                result->system_calls++;
                recvfrom(floor->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
            }
            if (fl_measure_watch_is_over(&watch, params->idle_ns, params->end_fd))
            {
                break;
            }
            sched_yield();
            continue;
        }
        const uint64_t before = result->messages;
        xsk_ring_prod__reserve(&floor->fill, count, &to);
        for (uint32_t i = 0; i < count; i++)
        {
            const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(&floor->receive, at + i);
            __builtin_prefetch(floor->memory + descriptor->addr);
        }
        for (uint32_t i = 0; i < count; i++)
        {
            const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(&floor->receive, at + i);
            const int32_t payload = fl_floor_read(&work, floor->memory + descriptor->addr, descriptor->len);
            *xsk_ring_prod__fill_addr(&floor->fill, to + i) = descriptor->addr & ~(uint64_t)(FL_FLOOR_CHUNK - 1);
            result->messages += payload >= 0;
            result->bytes += payload >= 0 ? (uint32_t)payload : 0;
        }
        xsk_ring_cons__release(&floor->receive, count);
        xsk_ring_prod__submit(&floor->fill, count);
        if (before != result->messages)
        {
            fl_measure_watch_arrived(&watch);
        }
    }
    fl_measure_watch_end(&watch, &result->elapsed_ns, &result->cpu_ns);
    fl_floor_work_close(&work);
    return 0;
}
