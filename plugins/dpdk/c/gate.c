#include "gate.h"

#include <unistd.h>

#define FL_GATE_LOOK_US 100

/* Differs from every value that a gate passes through in practice, so that the first call looks. */
#define FL_GATE_NEVER UINT32_MAX

int fl_gate_look(fl_queue_t *queue)
{
    fl_port_t *port = queue->port;
    /* Sequentially consistent, with the store in fl_gate_enter: the closer either sees this queue as entered, or this
     * queue sees the gate closed. */
    const uint32_t gate = atomic_load_explicit(&port->gate, memory_order_seq_cst);

    /* Release: pairs with the acquire in fl_gate_is_empty. What this thread did to the device comes before. */
    atomic_store_explicit(&queue->gate_seen, gate, memory_order_release);
    if (0 == (gate & 1))
    {
        queue->gate = gate;
        return 0;
    }
    queue->gate = FL_GATE_NEVER;
    return atomic_load_explicit(&port->is_lost, memory_order_acquire) ? -FL_ENODEV : -FL_EAGAIN;
}

static bool fl_gate_is_empty(fl_port_t *port, uint32_t gate)
{
    for (uint32_t i = 0; i < FL_MAX_QUEUES; i++)
    {
        fl_queue_t *queue = &port->queues[i];
        if (0 != atomic_load_explicit(&queue->is_entered, memory_order_seq_cst) &&
            gate != atomic_load_explicit(&queue->gate_seen, memory_order_acquire))
        {
            return false;
        }
    }
    return true;
}

bool fl_gate_close(fl_port_t *port, uint32_t limit_ms)
{
    uint32_t gate = atomic_load_explicit(&port->gate, memory_order_relaxed);
    if (0 == (gate & 1))
    {
        gate = atomic_fetch_or_explicit(&port->gate, 1, memory_order_seq_cst) | 1;
    }
    for (uint64_t waited_us = 0; !fl_gate_is_empty(port, gate); waited_us += FL_GATE_LOOK_US)
    {
        if (waited_us >= limit_ms * UINT64_C(1000))
        {
            return false;
        }
        usleep(FL_GATE_LOOK_US);
    }
    return true;
}

void fl_gate_open(fl_port_t *port)
{
    /* Release: pairs with the acquire in fl_gate_pass. A device lost meanwhile stays shut. */
    if (!atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        atomic_fetch_add_explicit(&port->gate, 1, memory_order_release);
        if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
        {
            fl_gate_shut(port);
        }
    }
}

void fl_gate_shut(fl_port_t *port)
{
    atomic_store_explicit(&port->is_lost, true, memory_order_release);
    atomic_fetch_or_explicit(&port->gate, 1, memory_order_seq_cst);
}

void fl_gate_enter(fl_queue_t *queue)
{
    queue->gate = FL_GATE_NEVER;
    atomic_store_explicit(&queue->is_entered, 1, memory_order_seq_cst);
}

void fl_gate_leave(fl_queue_t *queue)
{
    /* Release: pairs with the load in fl_gate_is_empty. */
    atomic_store_explicit(&queue->is_entered, 0, memory_order_release);
}
