/* Transmitting: buffers go out through the transmit ring and come back through the completion ring. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "queue.h"

#define FL_PACKET_CONTINUED 1
#define FL_FRAME_MINIMUM 60
/* After a kick that moved nothing, the next one waits for so many completions, or so many cycles. */
#define FL_STALL_CYCLES 64

/* Descriptors that the kernel has not taken out of the ring yet. Acquire: pairs with the kernel's release of the
 * consumer, after which it reads those descriptors no more. */
static inline uint32_t fl_socket_waiting(const fl_xdp_socket_t *socket)
{
    return socket->transmit.cached_prod - __atomic_load_n(socket->transmit.consumer, __ATOMIC_ACQUIRE);
}

/* Have the kernel take what is in the ring. In copy mode it takes it within the call, 32 descriptors at a time or as
 * many as it was allowed; a call that takes nothing ends the attempt. In zero-copy mode the device takes it itself. */
static void fl_socket_kick(fl_xdp_queue_t *queue, fl_xdp_socket_t *socket)
{
    uint32_t before = fl_socket_waiting(socket);
    socket->is_stalled = false;
    while (0 != before)
    {
        if (socket->uses_need_wakeup && !xsk_ring_prod__needs_wakeup(&socket->transmit))
        {
            return;
        }
        fl_figure_add(&queue->counters[FL_KICKS], 1);
        const int code = sendto(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;
        socket->is_link_down = ENETDOWN == code;
        switch (code)
        {
            case 0:
            case EAGAIN:
            case ENOBUFS:
            case ENETDOWN:
            case EINTR:
                break;

            case EBUSY:
                fl_figure_add(&queue->counters[FL_TX_DROPPED], 1);
                break;

            case ENXIO:
                atomic_store_explicit(queue->loss, 1, memory_order_relaxed);
                return;

            default:
                fl_figure_add(&queue->counters[FL_TX_ERRORS], 1);
                break;
        }
        if (socket->is_zero_copy)
        {
            return;
        }
        const uint32_t after = fl_socket_waiting(socket);
        if (after == before)
        {
            socket->is_stalled = true;
            socket->completed = 0;
            socket->patience = FL_STALL_CYCLES;
            fl_figure_add(&queue->counters[FL_TX_EAGAIN], 1);
            return;
        }
        before = after;
    }
}

int fl_xdp_queue_allocate(fl_xdp_queue_t *queue, fl_tx_frame_t *frames, uint32_t count)
{
    fl_xdp_socket_t *socket = queue->sockets[0];
    const uint32_t given = count < socket->free_count ? count : socket->free_count;
    const uint64_t *top = socket->free_buffers + socket->free_count;
    for (uint32_t i = 0; i < given; i++)
    {
        const uint64_t address = *--top;
        frames[i].data = socket->memory + address + FL_XDP_TRANSMIT_OFFSET;
        frames[i].token = address;
    }
    socket->free_count -= given;
    if (given < count)
    {
        fl_figure_add(&queue->counters[FL_TX_NOBUFS], count - given);
    }
    return (int)given;
}

void fl_xdp_queue_free(fl_xdp_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count)
{
    fl_xdp_socket_t *socket = queue->sockets[0];
    for (uint32_t i = 0; i < count; i++)
    {
        socket->free_buffers[socket->free_count++] = frames[i].token;
    }
}

static inline uint32_t fl_buffer_number(const fl_xdp_socket_t *socket, uint64_t address)
{
    const fl_xdp_layout_t *layout = &socket->layout;
    return (uint32_t)((address / layout->chunk_length - layout->receive_chunks) / layout->buffer_chunks);
}

/* A medium has no shorter frames; what follows is padding, and zero so that nothing leaks. */
static inline uint32_t fl_frame_pad(const fl_tx_frame_t *frame)
{
    if (frame->length >= FL_FRAME_MINIMUM)
    {
        return frame->length;
    }
    memset(frame->data + frame->length, 0, FL_FRAME_MINIMUM - frame->length);
    return FL_FRAME_MINIMUM;
}

/* Write the descriptors of a frame that may span chunks. Each lies within a chunk. Returns how many there are. */
static uint32_t fl_socket_describe(fl_xdp_socket_t *socket, uint32_t at, uint64_t address, uint32_t length)
{
    const uint32_t chunk_length = socket->layout.chunk_length;
    uint64_t start = address + FL_XDP_TRANSMIT_OFFSET;
    uint32_t room = chunk_length - FL_XDP_TRANSMIT_OFFSET;
    uint32_t pieces = 0;
    do
    {
        const uint32_t piece = length < room ? length : room;
        struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&socket->transmit, at + pieces);
        descriptor->addr = start;
        descriptor->len = piece;
        length -= piece;
        descriptor->options = 0 != length ? FL_PACKET_CONTINUED : 0;
        start += piece;
        room = chunk_length;
        pieces++;
    }
    while (0 != length);
    return pieces;
}

int fl_xdp_queue_transmit(fl_xdp_queue_t *queue, const fl_tx_frame_t *frames, uint32_t count)
{
    fl_xdp_socket_t *socket = queue->sockets[0];
    const uint32_t reserved = count * socket->layout.buffer_chunks;
    uint32_t at = 0;
    if (0 == count || reserved != xsk_ring_prod__reserve(&socket->transmit, reserved, &at))
    {
        return 0;
    }
    int64_t bytes = 0;
    uint32_t descriptors = count;
    if (!queue->is_multi_buffer)
    {
        for (uint32_t i = 0; i < count; i++)
        {
            struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&socket->transmit, at + i);
            const uint32_t length = fl_frame_pad(&frames[i]);
            descriptor->addr = frames[i].token + FL_XDP_TRANSMIT_OFFSET;
            descriptor->len = length;
            descriptor->options = 0;
            bytes += length;
        }
    }
    else
    {
        descriptors = 0;
        for (uint32_t i = 0; i < count; i++)
        {
            const uint32_t length = fl_frame_pad(&frames[i]);
            const uint32_t pieces = fl_socket_describe(socket, at + descriptors, frames[i].token, length);
            socket->descriptors_left[fl_buffer_number(socket, frames[i].token)] = (uint8_t)pieces;
            descriptors += pieces;
            bytes += length;
        }
        socket->transmit.cached_prod -= reserved - descriptors;
    }
    xsk_ring_prod__submit(&socket->transmit, descriptors);
    socket->outstanding += descriptors;
    fl_figure_add(&queue->counters[FL_TX_FRAMES], count);
    fl_figure_add(&queue->counters[FL_TX_BYTES], bytes);
    if (!socket->is_stalled)
    {
        fl_socket_kick(queue, socket);
    }
    return (int)count;
}

static uint32_t fl_socket_collect(fl_xdp_queue_t *queue, fl_xdp_socket_t *socket)
{
    uint32_t at = 0;
    const uint32_t count = xsk_ring_cons__peek(&socket->completion, socket->outstanding, &at);
    if (0 == count)
    {
        return 0;
    }
    const uint64_t chunk_mask = ~(uint64_t)(socket->layout.chunk_length - 1);
    if (!queue->is_multi_buffer)
    {
        for (uint32_t i = 0; i < count; i++)
        {
            socket->free_buffers[socket->free_count++] =
                *xsk_ring_cons__comp_addr(&socket->completion, at + i) & chunk_mask;
        }
    }
    else
    {
        const uint64_t buffer_length = (uint64_t)socket->layout.chunk_length * socket->layout.buffer_chunks;
        const uint64_t base = (uint64_t)socket->layout.chunk_length * socket->layout.receive_chunks;
        for (uint32_t i = 0; i < count; i++)
        {
            const uint64_t address = *xsk_ring_cons__comp_addr(&socket->completion, at + i);
            const uint32_t number = fl_buffer_number(socket, address);
            if (0 == --socket->descriptors_left[number])
            {
                socket->free_buffers[socket->free_count++] = base + number * buffer_length;
            }
        }
    }
    xsk_ring_cons__release(&socket->completion, count);
    socket->outstanding -= count;
    return count;
}

int fl_xdp_queue_reap(fl_xdp_queue_t *queue)
{
    fl_xdp_socket_t *socket = queue->sockets[0];
    if (0 == socket->outstanding)
    {
        return 0;
    }
    const uint32_t collected = fl_socket_collect(queue, socket);
    if (socket->is_stalled)
    {
        socket->completed += collected;
        if (socket->completed >= FL_XDP_KICK_LIMIT || 0 == --socket->patience)
        {
            fl_socket_kick(queue, socket);
        }
    }
    else if (socket->is_zero_copy && 0 != socket->outstanding)
    {
        fl_socket_kick(queue, socket);
    }
    return 0;
}
