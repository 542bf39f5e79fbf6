/* The gate between a queue's thread and the device.
 *
 * A word of the port, odd while it is closed. Every call that touches the device compares it with what the queue last
 * passed: one load of a shared, unchanging word. Who closes it waits until every queue in use has seen it closed; after
 * that no queue's thread is inside DPDK for this device, nor comes in before the gate is open again.
 */
#ifndef FL_DPDK_GATE_H
#define FL_DPDK_GATE_H

#include "device_port.h"

/* Look at a gate that changed. Returns 0 if the queue may go on, -FL_EAGAIN while the gate is closed, -FL_ENODEV if the
 * device is lost. Queue's thread. */
int fl_gate_look(fl_queue_t *queue);

/* Returns 0 if the queue may touch the device; else as fl_gate_look. Queue's thread. */
static inline int fl_gate_pass(fl_queue_t *queue)
{
    /* Acquire: pairs with the opener's release. What it did to the device must be visible. */
    if (__builtin_expect(atomic_load_explicit(&queue->port->gate, memory_order_acquire) == queue->gate, 1))
    {
        return 0;
    }
    return fl_gate_look(queue);
}

/* Close the gate and wait until no queue's thread is inside, at most limit_ms. Returns whether that is so. Not for a
 * queue's thread; one closer at a time. */
bool fl_gate_close(fl_port_t *port, uint32_t limit_ms);
void fl_gate_open(fl_port_t *port);

/* Close the gate for good, without waiting. Any thread. */
void fl_gate_shut(fl_port_t *port);

/* The queue's thread comes and goes. */
void fl_gate_enter(fl_queue_t *queue);
void fl_gate_leave(fl_queue_t *queue);

#endif
