/* Starting and stopping a port, and the threads that come to its queues. */
#include <rte_lcore.h>

#include "eal.h"
#include "gate.h"

/* How many queues the calling thread is an lcore for. */
static _Thread_local uint32_t fl_queues_of_thread;

static void fl_port_prepare_queues(fl_port_t *port)
{
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        fl_queue_t *queue = &port->queues[i];
        queue->has_checksums = 0 != (fl_port_offloads(port) & FL_PORT_RX_CHECKSUM);
        queue->timestamp_flag = port->timestamp_flag;
        queue->timestamp_offset = port->timestamp_offset;
        queue->clock = &port->clock;
    }
}

/* A device that runs is open to its queues; one that waits for its peer is not. */
static void fl_port_set_gate(fl_port_t *port)
{
    const bool is_closed = 0 != (atomic_load_explicit(&port->gate, memory_order_relaxed) & 1);
    const bool is_waiting = atomic_load_explicit(&port->is_waiting, memory_order_relaxed);
    if (is_waiting && !is_closed)
    {
        fl_gate_close(port, 0);
    }
    else if (!is_waiting && is_closed)
    {
        fl_gate_open(port);
    }
}

int fl_port_start(fl_port_t *port, uint32_t queues)
{
    if (atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        return fl_host_error(port->host, FL_ENODEV, "%s is gone", port->settings.name);
    }
    if (port->is_started)
    {
        return fl_host_error(port->host, FL_EBUSY, "%s is started already", port->settings.name);
    }
    if (queues < 1 || queues > port->max_queues)
    {
        return fl_host_error(
            port->host, FL_ENOTSUP, "%s has %u queues here; %u were asked for", port->settings.name,
            port->max_queues, queues);
    }
    char text[384];
    sigset_t signals;
    fl_signals_block(&signals);
    fl_eal_forget_words();
    pthread_mutex_lock(&port->control);
    port->queue_count = (uint16_t)queues;
    int code = fl_ethernet_configure(port, text, sizeof(text));
    if (0 == code)
    {
        code = fl_pools_create(port, text, sizeof(text));
    }
    if (0 == code)
    {
        code = fl_ethernet_begin(port, text, sizeof(text));
    }
    if (0 == code)
    {
        fl_port_prepare_queues(port);
        fl_groups_restore(port);
        port->is_started = true;
        fl_port_set_gate(port);
    }
    pthread_mutex_unlock(&port->control);
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    if (0 != code)
    {
        char whole[480];
        fl_eal_describe(whole, sizeof(whole), text);
        return fl_host_error(port->host, -code, "%s: %s", port->settings.name, whole);
    }
    fl_figures_show(port);
    fl_ethernet_wait_for_link(port);
    fl_figures_show_link(port, port->is_link_up);
    return 0;
}

/* Nobody reads what a queue kept for its next call any more. */
static void fl_queue_drop_kept(fl_queue_t *queue)
{
    rte_pktmbuf_free_bulk(queue->kept + queue->kept_first, queue->kept_end - queue->kept_first);
    queue->kept_first = queue->kept_end = 0;
}

int fl_port_stop(fl_port_t *port)
{
    if (!port->is_started)
    {
        return 0;
    }
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        if (0 != atomic_load_explicit(&port->queues[i].is_entered, memory_order_acquire))
        {
            return fl_host_error(port->host, FL_EBUSY, "stop: queue %u is in use", i);
        }
    }
    pthread_mutex_lock(&port->control);
    port->is_started = false;
    atomic_store_explicit(&port->is_waiting, false, memory_order_release);
    if (!atomic_load_explicit(&port->is_taken, memory_order_acquire))
    {
        rte_eth_dev_stop(port->ethdev);
    }
    for (uint32_t i = 0; i < port->queue_count; i++)
    {
        fl_queue_drop_kept(&port->queues[i]);
    }
    fl_filters_forget(port);
    pthread_mutex_unlock(&port->control);
    return 0;
}

int fl_port_queue_enter(fl_port_t *port, uint32_t id)
{
    if (id >= port->queue_count)
    {
        return fl_host_error(port->host, FL_EINVAL, "queue %u of %u", id, port->queue_count);
    }
    fl_queue_t *queue = &port->queues[id];
    /* As an lcore the thread has its own cache of every pool. Without, as when DPDK's numbers have run out, it works
     * too: every buffer then passes through a shared ring. */
    if (LCORE_ID_ANY != rte_lcore_id() || 0 == rte_thread_register())
    {
        fl_queues_of_thread++;
    }
    else
    {
        fl_port_event(
            port, FL_EVENT_NOTE, "%s: queue %u works without a buffer cache: DPDK has no lcore for its thread",
            port->settings.name, id);
    }
    fl_gate_enter(queue);
    return 0;
}

int fl_port_queue_leave(fl_port_t *port, uint32_t id)
{
    fl_queue_t *queue = &port->queues[id];
    fl_gate_leave(queue);
    if (fl_queues_of_thread > 0 && 0 == --fl_queues_of_thread)
    {
        rte_thread_unregister();
    }
    return 0;
}
