/* Starting and stopping: which queue of the port looks after which socket, and when frames begin to arrive. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "device.h"
#include "port.h"

static int fl_port_set_redirection(fl_port_t *port, fl_failure_t *error)
{
    for (uint32_t i = 0; i < port->socket_count; i++)
    {
        const int code = bpf_map_update_elem(
            port->program.maps[FL_XDP_MAP_SOCKETS], &port->sockets[i].device_queue, &port->sockets[i].fd, BPF_ANY);
        if (0 != code)
        {
            return fl_fail(
                error, -code, "direct queue %u of %s to its socket: %s", i, port->settings.interface, strerror(-code));
        }
    }
    return 0;
}

static void fl_port_clear_redirection(fl_port_t *port)
{
    for (uint32_t i = 0; i < port->socket_count; i++)
    {
        bpf_map_delete_elem(port->program.maps[FL_XDP_MAP_SOCKETS], &port->sockets[i].device_queue);
    }
}

static void fl_port_free_queues(fl_port_t *port)
{
    for (uint32_t i = 0; i < port->base.queue_count; i++)
    {
        for (int id = 0; id < FL_QUEUE_COUNTERS; id++)
        {
            port->closed_counters[id] += fl_figure_get(&port->queues[i].counters[id]);
        }
        fl_xdp_queue_close(&port->queues[i]);
    }
    free(port->queues);
    port->queues = NULL;
    port->base.queue_count = 0;
    port->filters.queues = 1;
}

int fl_xdp_port_start(fl_port_t *port, uint32_t queues)
{
    fl_failure_t error;
    if (fl_linux_port_is_lost(port))
    {
        return fl_xdp_port_gone(port);
    }
    int code = fl_linux_port_check_start(port, queues, port->facts.queues, &error);
    if (0 != code)
    {
        return fl_linux_port_fail(port, code, &error);
    }

    fl_xdp_socket_t **chosen = calloc(port->socket_count, sizeof(fl_xdp_socket_t *));
    port->queues = aligned_alloc(64, (queues * sizeof(fl_xdp_queue_t) + 63) / 64 * 64);
    code = NULL == chosen || NULL == port->queues
        ? fl_fail(&error, ENOMEM, "no memory for %u queues", queues) : 0;
    for (uint32_t number = 0; 0 == code && number < queues; number++)
    {
        uint32_t count = 0;
        chosen[count++] = &port->sockets[number];
        for (uint32_t i = queues; 0 == number && i < port->socket_count; i++)
        {
            chosen[count++] = &port->sockets[i];
        }
        code = fl_xdp_queue_open(&port->queues[number], chosen, count, port->facts.mtu_length, &port->base.loss);
        if (0 == code)
        {
            port->base.queue_count++;
        }
        else
        {
            code = fl_fail(&error, -code, "make queue %u: %s", number, strerror(-code));
        }
    }
    free(chosen);
    if (0 == code)
    {
        code = fl_port_set_redirection(port, &error);
    }
    if (0 != code)
    {
        fl_port_clear_redirection(port);
        fl_port_free_queues(port);
        return fl_linux_port_fail(port, code, &error);
    }
    port->filters.queues = queues;
    fl_linux_port_wait_for_link(port, port->settings.link_wait_ms);
    return 0;
}

int fl_xdp_port_stop(fl_port_t *port)
{
    if (!fl_linux_port_is_mine(port) || 0 == port->base.queue_count)
    {
        return 0;
    }
    for (uint32_t i = 0; i < port->base.queue_count; i++)
    {
        if (port->queues[i].is_entered)
        {
            fl_failure_t error;
            return fl_linux_port_fail(
                port, fl_fail(&error, EBUSY, "stop: queue %u was not left by its thread", i), &error);
        }
    }
    fl_port_clear_redirection(port);
    fl_port_free_queues(port);
    return 0;
}
