#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int fl_queue_make_assemblies(fl_xdp_queue_t *queue)
{
    queue->assembly_stride = (queue->frame_maximum + 63) & ~63u;
    queue->assemblies = aligned_alloc(64, (size_t)queue->assembly_stride * FL_XDP_ASSEMBLIES);
    queue->assembly_free = calloc(FL_XDP_ASSEMBLIES, sizeof(*queue->assembly_free));
    if (NULL == queue->assemblies || NULL == queue->assembly_free)
    {
        return -ENOMEM;
    }
    /* Written now, so that no page is made when the first frame comes. */
    memset(queue->assemblies, 0, (size_t)queue->assembly_stride * FL_XDP_ASSEMBLIES);
    for (uint16_t i = 0; i < FL_XDP_ASSEMBLIES; i++)
    {
        queue->assembly_free[i] = i;
    }
    queue->assembly_free_count = FL_XDP_ASSEMBLIES;
    return 0;
}

int fl_xdp_queue_open(
    fl_xdp_queue_t *queue,
    fl_xdp_socket_t *const *sockets,
    uint32_t socket_count,
    uint32_t mtu_length,
    _Atomic int *loss)
{
    memset(queue, 0, sizeof(*queue));
    queue->sockets = calloc(socket_count, sizeof(queue->sockets[0]));
    queue->socket_count = socket_count;
    queue->is_multi_buffer = sockets[0]->layout.is_multi_buffer;
    queue->frame_maximum = mtu_length + FL_XDP_FRAME_OVERHEAD;
    queue->loss = loss;
    queue->sleep_fd = -1;

    if (NULL == queue->sockets)
    {
        return -ENOMEM;
    }
    memcpy(queue->sockets, sockets, socket_count * sizeof(queue->sockets[0]));

    int code = queue->is_multi_buffer ? fl_queue_make_assemblies(queue) : 0;
    if (0 == code && socket_count > 1)
    {
        queue->sleep_fd = epoll_create1(EPOLL_CLOEXEC);
        code = queue->sleep_fd < 0 ? -errno : 0;
        for (uint32_t i = 0; 0 == code && i < socket_count; i++)
        {
            struct epoll_event event = {.events = EPOLLIN};
            code = 0 == epoll_ctl(queue->sleep_fd, EPOLL_CTL_ADD, sockets[i]->fd, &event) ? 0 : -errno;
        }
    }
    if (0 != code)
    {
        fl_xdp_queue_close(queue);
    }
    return code;
}

void fl_xdp_queue_close(fl_xdp_queue_t *queue)
{
    if (queue->sleep_fd >= 0)
    {
        close(queue->sleep_fd);
    }
    queue->sleep_fd = -1;
    free(queue->sockets);
    free(queue->assemblies);
    free(queue->assembly_free);
    queue->sockets = NULL;
    queue->assemblies = NULL;
    queue->assembly_free = NULL;
}

int fl_xdp_queue_arm(fl_xdp_queue_t *queue)
{
    const fl_xdp_socket_t *sender = queue->sockets[0];
    if (sender->is_stalled && !sender->is_link_down)
    {
        return -FL_EAGAIN;
    }
    for (uint32_t i = 0; i < queue->socket_count; i++)
    {
        if (0 != xsk_cons_nb_avail(&queue->sockets[i]->receive, 1))
        {
            return -FL_EAGAIN;
        }
    }
    return queue->sleep_fd >= 0 ? queue->sleep_fd : sender->fd;
}
