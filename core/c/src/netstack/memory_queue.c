/* The port in memory: the ops of a queue's thread. Contracts are in framelane/port.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "netstack/memory_port.h"

/* ---- receiving ---- */

static void fl_memory_describe(const fl_port_t *port, fl_memory_slot_t *slot, fl_rx_frame_t *frame)
{
    frame->vlan = UINT16_MAX;
    frame->clock = (uint8_t)port->faults.clock;
    frame->timestamp_ns = FL_CLOCK_NONE != frame->clock ? port->host->epoch_clock(port->host) : 0;
    frame->checksum = 0 != (port->config.offloads & FL_PORT_RX_CHECKSUM) ? slot->checksum : FL_CHECKSUM_UNKNOWN;
    if (0 != port->faults.takes_vlan && slot->length >= 18 && 0x81 == slot->data[12] && 0 == slot->data[13])
    {
        frame->vlan = (uint16_t)(slot->data[14] << 8 | slot->data[15]);
        memmove(slot->data + 12, slot->data + 16, slot->length - 16);
        slot->length -= 4;
    }
    frame->data = slot->data;
    frame->length = slot->length;
}

int fl_memory_rx_burst(fl_port_t *port, uint32_t queue, fl_rx_frame_t *frames, uint32_t capacity)
{
    fl_memory_queue_t *at = &port->queues[queue];
    uint32_t count = 0;
    if (fl_memory_port_is_dead(port))
    {
        return -FL_ENODEV;
    }
    pthread_mutex_lock(&port->mutex);
    for (; fl_memory_port_moves(port) && count < capacity && at->held < port->config.max_hold; count++)
    {
        const uint32_t slot = fl_memory_ring_take(&at->received);
        if (FL_MEMORY_NO_SLOT == slot)
        {
            break;
        }
        at->received.slots[slot].is_out = true;
        at->held++;
        frames[count].token = slot;
        fl_memory_describe(port, &at->received.slots[slot], &frames[count]);
    }
    port->totals.delivered += count;
    port->totals.held += count;
    port->totals.most_held = port->totals.held > port->totals.most_held ? port->totals.held : port->totals.most_held;
    pthread_mutex_unlock(&port->mutex);
    return (int)count;
}

void fl_memory_rx_release(fl_port_t *port, uint32_t queue, const fl_rx_frame_t *frames, uint32_t count)
{
    fl_memory_queue_t *at = &port->queues[queue];
    pthread_mutex_lock(&port->mutex);
    fl_memory_port_moves(port);
    for (uint32_t i = 0; i < count; i++)
    {
        fl_memory_slot_t *slot = frames[i].token < at->received.count ? &at->received.slots[frames[i].token] : NULL;
        if (NULL == slot || !slot->is_out || slot->data != frames[i].data)
        {
            port->totals.double_releases++;
            continue;
        }
        slot->is_out = false;
        at->held--;
        if (0 != port->faults.repeats_received)
        {
            fl_memory_ring_append(&at->received, (uint32_t)frames[i].token);
        }
        else
        {
            at->received.vacant[at->received.vacant_count++] = (uint32_t)frames[i].token;
        }
        port->totals.released++;
        port->totals.held--;
    }
    pthread_mutex_unlock(&port->mutex);
}

/* ---- transmitting ---- */

int fl_memory_tx_alloc(fl_port_t *port, uint32_t queue, fl_tx_frame_t *frames, uint32_t count)
{
    fl_memory_ring_t *ring = &port->queues[queue].transmit;
    if (fl_memory_port_is_dead(port))
    {
        return -FL_ENODEV;
    }
    uint32_t given = count < port->faults.tx_alloc_limit ? count : port->faults.tx_alloc_limit;
    given = given < ring->vacant_count ? given : ring->vacant_count;
    given = fl_memory_port_moves(port) ? given : 0;
    for (uint32_t i = 0; i < given; i++)
    {
        const uint32_t slot = ring->vacant[--ring->vacant_count];
        ring->slots[slot].is_out = true;
        frames[i].data = ring->slots[slot].data;
        frames[i].token = slot;
    }
    port->totals.allocated += given;
    port->totals.outstanding += given;
    return (int)given;
}

/* Take a buffer back. Returns false if it was not out. */
static bool fl_memory_take_back(fl_port_t *port, fl_memory_ring_t *ring, const fl_tx_frame_t *frame)
{
    if (frame->token >= ring->count || !ring->slots[frame->token].is_out ||
        ring->slots[frame->token].data != frame->data)
    {
        port->totals.double_releases++;
        return false;
    }
    ring->slots[frame->token].is_out = false;
    ring->vacant[ring->vacant_count++] = (uint32_t)frame->token;
    port->totals.outstanding--;
    return true;
}

void fl_memory_tx_free(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count)
{
    fl_memory_port_moves(port);
    for (uint32_t i = 0; i < count; i++)
    {
        port->totals.freed += fl_memory_take_back(port, &port->queues[queue].transmit, &frames[i]);
    }
}

/* Whether a frame keeps to the contract of port.h. */
static bool fl_memory_is_valid(const fl_port_t *port, const fl_tx_frame_t *frame)
{
    const uint32_t offloads = port->config.offloads;
    const uint32_t offered = (0 != (offloads & FL_PORT_TX_CHECKSUM_IPV4) ? FL_TX_CHECKSUM_IPV4 : 0) |
        (0 != (offloads & FL_PORT_TX_CHECKSUM_UDP) ? FL_TX_CHECKSUM_UDP : 0);
    const uint32_t whole = (uint32_t)frame->length + frame->payload_length;
    if (frame->length < 14 || whole > port->config.mtu_length + 18 || 0 != (frame->flags & ~offered) ||
        (0 != frame->flags && ((14 != frame->l2_length && 18 != frame->l2_length) || frame->l3_length < 20 ||
                                  frame->l2_length + frame->l3_length + 8u > frame->length)))
    {
        return false;
    }
    if (0 == frame->payload_length)
    {
        return NULL == frame->payload;
    }
    const uint64_t index = frame->region - 1;
    return 0 != (offloads & FL_PORT_TX_PAYLOAD) && index < FL_MEMORY_PORT_REGIONS &&
        NULL != port->regions[index].memory && frame->payload >= port->regions[index].memory &&
        frame->payload + frame->payload_length <= port->regions[index].memory + port->regions[index].length;
}

int fl_memory_tx_burst(fl_port_t *port, uint32_t queue, const fl_tx_frame_t *frames, uint32_t count)
{
    fl_memory_queue_t *at = &port->queues[queue];
    if (fl_memory_port_is_dead(port))
    {
        return -FL_ENODEV;
    }
    const uint32_t limit = count < port->faults.tx_burst_limit ? count : port->faults.tx_burst_limit;
    uint32_t accepted = 0;
    for (; fl_memory_port_moves(port) && accepted < limit; accepted++)
    {
        const fl_tx_frame_t *frame = &frames[accepted];
        if (!fl_memory_is_valid(port, frame))
        {
            port->totals.bad_frames++;
        }
        else if (at->completion_count == port->config.buffers || !fl_memory_transmit(port, queue, frame))
        {
            break;
        }
        if (0 != frame->completion)
        {
            const uint32_t place = (at->completion_first + at->completion_count++) % port->config.buffers;
            at->completions[place] = (fl_completion_t){ .token = frame->completion };
        }
        fl_memory_take_back(port, &at->transmit, frame);
    }
    port->totals.transmitted += accepted;
    port->totals.bursts += count > 0;
    return (int)accepted;
}

int fl_memory_tx_reap(fl_port_t *port, uint32_t queue, fl_completion_t *completions, uint32_t capacity)
{
    fl_memory_queue_t *at = &port->queues[queue];
    uint32_t count = 0;
    if (fl_memory_port_is_dead(port))
    {
        return -FL_ENODEV;
    }
    while (0 == port->faults.holds_completions && count < capacity && at->completion_count > 0)
    {
        completions[count++] = at->completions[at->completion_first];
        at->completion_first = (at->completion_first + 1) % port->config.buffers;
        at->completion_count--;
    }
    return (int)count;
}

/* ---- sleeping ---- */

int fl_memory_arm(fl_port_t *port, uint32_t queue)
{
    fl_memory_queue_t *at = &port->queues[queue];
    pthread_mutex_lock(&port->mutex);
    const bool is_pending = 0 != at->received.waiting_count;
    at->is_armed = !is_pending;
    pthread_mutex_unlock(&port->mutex);
    return fl_memory_port_is_dead(port) ? -FL_ENODEV : is_pending ? -FL_EAGAIN : at->descriptor;
}

int fl_memory_disarm(fl_port_t *port, uint32_t queue)
{
    fl_memory_queue_t *at = &port->queues[queue];
    uint64_t wakeups;
    pthread_mutex_lock(&port->mutex);
    at->is_armed = false;
    pthread_mutex_unlock(&port->mutex);
    return read(at->descriptor, &wakeups, sizeof(wakeups)) < 0 && EAGAIN != errno ? -errno : 0;
}
