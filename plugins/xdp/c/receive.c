/* Receiving: descriptors of the receive rings become frames, and come back through the fill rings. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "queue.h"

/* Newer than the headers of the distributions in use: more of the frame follows in the next descriptor. */
#define FL_PACKET_CONTINUED 1

/* A token is the number of the socket in the upper 16 bits and the chunk's address, or an assembly's number. */
#define FL_TOKEN_SOCKET_SHIFT 48
#define FL_TOKEN_ADDRESS ((1ULL << FL_TOKEN_SOCKET_SHIFT) - 1)
#define FL_TOKEN_ASSEMBLY 0xffffULL

static inline void fl_frame_init(fl_rx_frame_t *frame, const uint8_t *data, uint32_t length, uint64_t token)
{
    frame->data = data;
    frame->length = length;
    frame->vlan = 0xffff;
    frame->checksum = FL_CHECKSUM_UNKNOWN;
    frame->clock = FL_CLOCK_NONE;
    frame->timestamp_ns = 0;
    frame->token = token;
}

/* The device waits for a system call where it says so, and with busy polling always: the call is what runs the device's
 * receive work then. */
static inline void fl_socket_wake_receive(fl_xdp_queue_t *queue, fl_xdp_socket_t *socket)
{
    if (socket->is_busy_polled || (socket->uses_need_wakeup && xsk_ring_prod__needs_wakeup(&socket->fill)))
    {
        fl_figure_add(&queue->counters[FL_RX_WAKEUPS], 1);
        if (recvfrom(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0 && ENXIO == errno)
        {
            atomic_store_explicit(queue->loss, 1, memory_order_relaxed);
        }
    }
}

static inline uint32_t fl_socket_receive(
    fl_xdp_queue_t *queue, fl_xdp_socket_t *socket, uint64_t number, fl_rx_frame_t *frames, uint32_t capacity)
{
    uint32_t at = 0;
    const uint32_t count = xsk_ring_cons__peek(&socket->receive, capacity, &at);
    if (0 == count)
    {
        fl_socket_wake_receive(queue, socket);
        return 0;
    }
    const uint64_t token = number << FL_TOKEN_SOCKET_SHIFT;
    int64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(&socket->receive, at + i);
        const uint64_t address = descriptor->addr;
        const uint32_t length = descriptor->len;
        __builtin_prefetch(socket->memory + address);
        fl_frame_init(&frames[i], socket->memory + address, length, token | address);
        bytes += length;
    }
    xsk_ring_cons__release(&socket->receive, count);
    fl_figure_add(&queue->counters[FL_RX_FRAMES], count);
    fl_figure_add(&queue->counters[FL_RX_BYTES], bytes);
    return count;
}

/* Give chunks back. The fill ring has room for all there are. */
static inline void fl_socket_refill(fl_xdp_socket_t *socket, const uint64_t *addresses, uint32_t count)
{
    const uint64_t chunk_mask = ~(uint64_t)(socket->layout.chunk_length - 1);
    uint32_t at = 0;
    if (count == xsk_ring_prod__reserve(&socket->fill, count, &at))
    {
        for (uint32_t i = 0; i < count; i++)
        {
            *xsk_ring_prod__fill_addr(&socket->fill, at + i) = addresses[i] & chunk_mask;
        }
        xsk_ring_prod__submit(&socket->fill, count);
    }
}

/* A frame of several buffers is copied together: the reader of a frame wants it in one piece, and the kernel does not
 * place buffers one after the other. Frames of one buffer go as they are. */
static uint32_t fl_socket_receive_multi_buffer(
    fl_xdp_queue_t *queue, fl_xdp_socket_t *socket, uint64_t number, fl_rx_frame_t *frames, uint32_t capacity)
{
    const uint64_t token = number << FL_TOKEN_SOCKET_SHIFT;
    uint32_t count = 0;
    int64_t bytes = 0;
    while (count < capacity)
    {
        uint32_t at = 0;
        if (0 == xsk_ring_cons__peek(&socket->receive, 1, &at))
        {
            if (0 == count)
            {
                fl_socket_wake_receive(queue, socket);
            }
            break;
        }
        const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(&socket->receive, at);
        if (0 == (descriptor->options & FL_PACKET_CONTINUED))
        {
            fl_frame_init(
                &frames[count], socket->memory + descriptor->addr, descriptor->len, token | descriptor->addr);
            bytes += descriptor->len;
            count++;
            xsk_ring_cons__release(&socket->receive, 1);
            continue;
        }

        /* Nothing is taken before the frame's end is there and an assembly is free. */
        uint32_t pieces = 1;
        bool is_continued = true;
        while (is_continued && 1 == xsk_ring_cons__peek(&socket->receive, 1, &at))
        {
            is_continued = 0 != (xsk_ring_cons__rx_desc(&socket->receive, at)->options & FL_PACKET_CONTINUED);
            pieces++;
        }
        if (is_continued || 0 == queue->assembly_free_count)
        {
            xsk_ring_cons__cancel(&socket->receive, pieces);
            break;
        }
        const uint32_t first = at - (pieces - 1);
        const uint16_t assembly = queue->assembly_free[queue->assembly_free_count - 1];
        uint8_t *const data = queue->assemblies + (size_t)assembly * queue->assembly_stride;
        uint32_t length = 0;
        bool fits = true;
        for (uint32_t i = 0; i < pieces; i++)
        {
            const struct xdp_desc *piece = xsk_ring_cons__rx_desc(&socket->receive, first + i);
            const uint64_t address = piece->addr;
            fits = fits && piece->len <= queue->assembly_stride - length;
            if (fits)
            {
                memcpy(data + length, socket->memory + address, piece->len);
                length += piece->len;
            }
            fl_socket_refill(socket, &address, 1);
        }
        xsk_ring_cons__release(&socket->receive, pieces);
        if (!fits)
        {
            fl_figure_add(&queue->counters[FL_RX_INCOMPLETE], 1);
            continue;
        }
        queue->assembly_free_count--;
        fl_frame_init(&frames[count], data, length, FL_TOKEN_ASSEMBLY << FL_TOKEN_SOCKET_SHIFT | assembly);
        bytes += length;
        count++;
    }
    if (0 != count)
    {
        fl_figure_add(&queue->counters[FL_RX_FRAMES], count);
        fl_figure_add(&queue->counters[FL_RX_BYTES], bytes);
    }
    return count;
}

int fl_xdp_queue_receive(fl_xdp_queue_t *queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    uint32_t count = 0;
    uint32_t number = queue->next_socket;
    for (uint32_t turn = 0; turn < queue->socket_count && count < capacity; turn++)
    {
        fl_xdp_socket_t *socket = queue->sockets[number];
        count += queue->is_multi_buffer
            ? fl_socket_receive_multi_buffer(queue, socket, number, frames + count, capacity - count)
            : fl_socket_receive(queue, socket, number, frames + count, capacity - count);
        number = number + 1 < queue->socket_count ? number + 1 : 0;
    }
    queue->next_socket = number;
    return (int)count;
}

void fl_xdp_queue_release(fl_xdp_queue_t *queue, const fl_rx_frame_t *frames, uint32_t count)
{
    uint32_t done = 0;
    while (done < count)
    {
        const uint64_t number = frames[done].token >> FL_TOKEN_SOCKET_SHIFT;
        if (FL_TOKEN_ASSEMBLY == number)
        {
            queue->assembly_free[queue->assembly_free_count++] = (uint16_t)frames[done].token;
            done++;
            continue;
        }
        uint32_t end = done + 1;
        while (end < count && frames[end].token >> FL_TOKEN_SOCKET_SHIFT == number)
        {
            end++;
        }
        fl_xdp_socket_t *socket = queue->sockets[number];
        const uint64_t chunk_mask = FL_TOKEN_ADDRESS & ~(uint64_t)(socket->layout.chunk_length - 1);
        const uint32_t chunks = end - done;
        uint32_t at = 0;
        if (chunks == xsk_ring_prod__reserve(&socket->fill, chunks, &at))
        {
            for (uint32_t i = 0; i < chunks; i++)
            {
                *xsk_ring_prod__fill_addr(&socket->fill, at + i) = frames[done + i].token & chunk_mask;
            }
            xsk_ring_prod__submit(&socket->fill, chunks);
        }
        done = end;
    }
}
