#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FL_HUGE_PAGE (2u << 20)
#define FL_REBIND_ATTEMPTS 400
#define FL_REBIND_PAUSE_NS 5000000   /* 400 of them: 2 s */
#define FL_KICK_LIMIT_MAXIMUM 512

/* Newer than the headers of the distributions in use. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

void fl_xdp_layout_init(fl_xdp_layout_t *layout, uint32_t ring_size, uint32_t mtu_length)
{
    const uint32_t frame_length = mtu_length + FL_XDP_FRAME_OVERHEAD;
    memset(layout, 0, sizeof(*layout));
    layout->ring_size = ring_size;
    layout->chunk_length = frame_length + FL_XDP_RECEIVE_HEADROOM <= 2048 ? 2048 : 4096;
    layout->is_multi_buffer = frame_length + FL_XDP_RECEIVE_HEADROOM > layout->chunk_length;
    layout->receive_chunks = 2 * ring_size;
    layout->buffer_chunks =
        (FL_XDP_TRANSMIT_OFFSET + frame_length + layout->chunk_length - 1) / layout->chunk_length;
    layout->transmit_buffers = ring_size / layout->buffer_chunks;
}

static uint64_t fl_socket_memory_length(const fl_xdp_layout_t *layout, bool can_transmit, bool hugepages)
{
    const uint64_t chunks = layout->receive_chunks +
        (can_transmit ? (uint64_t)layout->transmit_buffers * layout->buffer_chunks : 0);
    const uint64_t length = chunks * layout->chunk_length;
    return hugepages ? (length + FL_HUGE_PAGE - 1) & ~(uint64_t)(FL_HUGE_PAGE - 1) : length;
}

uint64_t fl_xdp_memory_length(const fl_xdp_settings_t *settings, uint32_t mtu_length, uint32_t can_transmit)
{
    fl_xdp_layout_t layout;
    fl_xdp_layout_init(&layout, settings->ring_size, mtu_length);
    return fl_socket_memory_length(&layout, 0 != can_transmit, 0 != settings->hugepages);
}

static int fl_socket_map_memory(fl_xdp_socket_t *socket, bool hugepages, fl_failure_t *error)
{
    const uint64_t length = fl_socket_memory_length(&socket->layout, socket->can_transmit, hugepages);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    if (hugepages)
    {
        flags |= MAP_HUGETLB | MAP_HUGE_2MB;
    }
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (MAP_FAILED == memory)
    {
        const int code = errno;
        return hugepages
            ? fl_fail(
                error, code, "map %llu huge pages of 2 MiB for queue %u: %s; reserve them (sysctl vm.nr_hugepages), or "
                "set transport.xdp.hugepages = false",
                (unsigned long long)(length / FL_HUGE_PAGE), socket->device_queue, strerror(code))
            : fl_fail(
                error, code, "map %llu bytes of frame memory: %s", (unsigned long long)length, strerror(code));
    }
    socket->memory = memory;
    socket->memory_length = length;
    /* A forked child has no business here, and copy-on-write would take the pages away from the device. */
    madvise(memory, length, MADV_DONTFORK);
    return 0;
}

static int fl_socket_register_memory(fl_xdp_socket_t *socket, fl_failure_t *error)
{
    const fl_xdp_layout_t *layout = &socket->layout;
    const struct xsk_umem_config config = {
        .fill_size = layout->receive_chunks,
        .comp_size = layout->ring_size,
        .frame_size = layout->chunk_length,
        .frame_headroom = 0,
        .flags = 0,
    };
    const int code = -xsk_umem__create(
        &socket->umem, socket->memory, socket->memory_length, &socket->fill, &socket->completion, &config);
    if (0 == code)
    {
        return 0;
    }
    socket->umem = NULL;
    struct rlimit limit = {0};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (ENOBUFS == code && RLIM_INFINITY != limit.rlim_cur)
    {
        return fl_fail(
            error, code, "register %llu bytes of frame memory for queue %u: more than may be locked (%llu bytes); "
            "grant CAP_IPC_LOCK, or raise the limit (ulimit -l, LimitMEMLOCK=), or lower transport.xdp.ring_size",
            (unsigned long long)socket->memory_length, socket->device_queue, (unsigned long long)limit.rlim_cur);
    }
    return fl_fail(
        error, code, "register frame memory for queue %u: %s%s", socket->device_queue, strerror(code),
        EPERM == code ? "; CAP_NET_RAW is needed" : "");
}

/* Returns 0 or an errno value. */
static int fl_socket_bind(fl_xdp_socket_t *socket, const fl_xdp_settings_t *settings, uint16_t copy_flag)
{
    const fl_xdp_layout_t *layout = &socket->layout;
    const struct xsk_socket_config config = {
        .rx_size = layout->ring_size,
        .tx_size = layout->ring_size,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
        .xdp_flags = 0,
        .bind_flags = (uint16_t)(copy_flag | (settings->need_wakeup ? XDP_USE_NEED_WAKEUP : 0) |
            (layout->is_multi_buffer ? XDP_USE_SG : 0)),
    };
    const int code = -xsk_socket__create(
        &socket->handle, settings->interface, socket->device_queue, socket->umem, &socket->receive,
        socket->can_transmit ? &socket->transmit : NULL, &config);
    if (0 != code)
    {
        socket->handle = NULL;
    }
    return code;
}

static void fl_socket_drop_handles(fl_xdp_socket_t *socket)
{
    if (NULL != socket->handle)
    {
        xsk_socket__delete(socket->handle);
    }
    if (NULL != socket->umem)
    {
        xsk_umem__delete(socket->umem);
    }
    socket->handle = NULL;
    socket->umem = NULL;
}

/* Register memory and bind. A queue stays taken for a moment after its last socket was closed. */
static int fl_socket_try(
    fl_xdp_socket_t *socket,
    const fl_xdp_settings_t *settings,
    uint16_t copy_flag,
    int *bind_error,
    fl_failure_t *error)
{
    *bind_error = 0;
    for (int attempt = 0; attempt < FL_REBIND_ATTEMPTS; attempt++)
    {
        const int code = fl_socket_register_memory(socket, error);
        if (0 != code)
        {
            return code;
        }
        *bind_error = fl_socket_bind(socket, settings, copy_flag);
        if (0 == *bind_error)
        {
            return 0;
        }
        fl_socket_drop_handles(socket);
        if (EBUSY != *bind_error)
        {
            break;
        }
        const struct timespec pause = {.tv_nsec = FL_REBIND_PAUSE_NS};
        nanosleep(&pause, NULL);
    }
    const char *next = "";
    if (EBUSY == *bind_error)
    {
        next = "; another AF_XDP socket has had it for 2 s (ss --xdp, or a child of a driver that ended)";
    }
    else if (EPERM == *bind_error)
    {
        next = "; CAP_NET_RAW is needed";
    }
    else if (XDP_ZEROCOPY == copy_flag)
    {
        next = "; set transport.xdp.copy_mode = \"copy\" or \"auto\"";
    }
    else if (socket->layout.is_multi_buffer)
    {
        next = "; packets this long need Linux 6.6, or transport.xdp.ip_mtu of at most 3822";
    }
    return fl_fail(
        error, *bind_error, "bind an AF_XDP socket to queue %u of %s%s: %s%s", socket->device_queue,
        settings->interface, XDP_ZEROCOPY == copy_flag ? " with zero-copy" : "", strerror(*bind_error), next);
}

static int fl_socket_set_options(fl_xdp_socket_t *socket, const fl_xdp_settings_t *settings, fl_failure_t *error)
{
    socket->fd = xsk_socket__fd(socket->handle);
    fcntl(socket->fd, F_SETFD, FD_CLOEXEC);
    fcntl(xsk_umem__fd(socket->umem), F_SETFD, FD_CLOEXEC);

    struct xdp_options options = {0};
    socklen_t length = sizeof(options);
    socket->is_zero_copy = 0 == getsockopt(socket->fd, SOL_XDP, XDP_OPTIONS, &options, &length) &&
        0 != (options.flags & XDP_OPTIONS_ZEROCOPY);
    socket->uses_need_wakeup = 0 != settings->need_wakeup;

    if (socket->can_transmit && !socket->is_zero_copy)
    {
        /* In copy mode every frame in flight is a buffer of the kernel's that counts against the socket's: make room
         * for a whole ring, and let one call take more than 32. Both are only for speed: a refusal is no error. */
        const int bytes = (int)(socket->layout.transmit_buffers * (socket->layout.buffer_chunks + 1) * 4096);
        setsockopt(socket->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
        const uint32_t most = socket->layout.ring_size < FL_KICK_LIMIT_MAXIMUM
            ? socket->layout.ring_size : FL_KICK_LIMIT_MAXIMUM;
        setsockopt(socket->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &most, sizeof(most));
    }
    if (0 == settings->busy_poll_us)
    {
        return 0;
    }
    const int prefer = 1;
    const int busy_poll_us = (int)settings->busy_poll_us;
    const int budget = (int)settings->busy_poll_budget;
    if (0 != setsockopt(socket->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &prefer, sizeof(prefer)) ||
        0 != setsockopt(socket->fd, SOL_SOCKET, SO_BUSY_POLL, &busy_poll_us, sizeof(busy_poll_us)) ||
        0 != setsockopt(socket->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)))
    {
        const int code = errno;
        return fl_fail(
            error, code, "busy polling (SO_PREFER_BUSY_POLL, Linux 5.11, CAP_NET_ADMIN): %s; to do without, set "
            "transport.xdp.busy_poll_us = 0", strerror(code));
    }
    socket->is_busy_polled = true;
    return 0;
}

static int fl_socket_fill(fl_xdp_socket_t *socket, fl_failure_t *error)
{
    const fl_xdp_layout_t *layout = &socket->layout;
    uint32_t at = 0;
    if (layout->receive_chunks != xsk_ring_prod__reserve(&socket->fill, layout->receive_chunks, &at))
    {
        return fl_fail(error, EIO, "the fill ring of queue %u is smaller than asked for", socket->device_queue);
    }
    for (uint32_t i = 0; i < layout->receive_chunks; i++)
    {
        *xsk_ring_prod__fill_addr(&socket->fill, at + i) = (uint64_t)i * layout->chunk_length;
    }
    xsk_ring_prod__submit(&socket->fill, layout->receive_chunks);

    if (!socket->can_transmit)
    {
        return 0;
    }
    socket->free_buffers = calloc(layout->transmit_buffers, sizeof(*socket->free_buffers));
    socket->descriptors_left = calloc(layout->transmit_buffers, 1);
    if (NULL == socket->free_buffers || NULL == socket->descriptors_left)
    {
        return fl_fail(error, ENOMEM, "no memory for %u transmit buffers", layout->transmit_buffers);
    }
    for (uint32_t i = 0; i < layout->transmit_buffers; i++)
    {
        socket->free_buffers[i] =
            (uint64_t)layout->chunk_length * (layout->receive_chunks + (uint64_t)i * layout->buffer_chunks);
    }
    socket->free_count = layout->transmit_buffers;
    return 0;
}

int fl_xdp_socket_open(
    fl_xdp_socket_t *socket,
    const fl_xdp_layout_t *layout,
    const fl_xdp_settings_t *settings,
    uint32_t device_queue,
    bool can_transmit,
    bool may_zero_copy,
    char *note,
    size_t note_length,
    fl_failure_t *error)
{
    memset(socket, 0, sizeof(*socket));
    socket->fd = -1;
    socket->layout = *layout;
    socket->device_queue = device_queue;
    socket->can_transmit = can_transmit;
    int code = fl_socket_map_memory(socket, 0 != settings->hugepages, error);
    if (0 != code)
    {
        return code;
    }

    int bind_error = 0;
    if (FL_XDP_COPY == settings->copy || (FL_XDP_AUTO == settings->copy && !may_zero_copy))
    {
        code = fl_socket_try(socket, settings, XDP_COPY, &bind_error, error);
    }
    else
    {
        code = fl_socket_try(socket, settings, XDP_ZEROCOPY, &bind_error, error);
        if (0 != code && FL_XDP_AUTO == settings->copy && 0 != bind_error && EBUSY != bind_error && EPERM != bind_error)
        {
            const size_t used = strlen(note);
            snprintf(
                note + used, note_length - used, "copy mode, because queue %u refused zero-copy: %s. ", device_queue,
                strerror(bind_error));
            code = fl_socket_try(socket, settings, XDP_COPY, &bind_error, error);
        }
    }
    if (0 == code)
    {
        code = fl_socket_set_options(socket, settings, error);
    }
    if (0 == code)
    {
        code = fl_socket_fill(socket, error);
    }
    if (0 != code)
    {
        fl_xdp_socket_close(socket);
    }
    return code;
}

void fl_xdp_socket_close(fl_xdp_socket_t *socket)
{
    fl_socket_drop_handles(socket);
    if (NULL != socket->memory)
    {
        munmap(socket->memory, socket->memory_length);
    }
    free(socket->free_buffers);
    free(socket->descriptors_left);
    socket->memory = NULL;
    socket->free_buffers = NULL;
    socket->descriptors_left = NULL;
    socket->fd = -1;
}
