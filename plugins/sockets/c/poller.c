#include "poller.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"

static void fl_poller_free(fl_poller_t *poller)
{
    if (poller->epoll_fd >= 0)
    {
        close(poller->epoll_fd);
    }
    fl_receive_buffers_close(&poller->buffers);
    free(poller->send_entries);
    free(poller->send_controls);
    free(poller->send_vectors);
    free(poller->send_headers);
    free(poller->locals);
    free(poller->peers);
    free(poller->receive_controls);
    free(poller->receive_vectors);
    free(poller->receive_headers);
    free(poller);
}

static bool fl_poller_allocate(fl_poller_t *poller, uint32_t receive_count)
{
    poller->receive_count = receive_count;
    poller->receive_headers = calloc(receive_count, sizeof(*poller->receive_headers));
    poller->receive_vectors = calloc(receive_count, sizeof(*poller->receive_vectors));
    poller->receive_controls = calloc(receive_count, sizeof(*poller->receive_controls));
    poller->peers = calloc(receive_count, sizeof(*poller->peers));
    poller->locals = calloc(receive_count, sizeof(*poller->locals));
    poller->send_headers = calloc(FL_SEND_VECTOR_LENGTH, sizeof(*poller->send_headers));
    poller->send_vectors = calloc(FL_SEND_VECTOR_LENGTH, sizeof(*poller->send_vectors));
    poller->send_controls = calloc(FL_SEND_VECTOR_LENGTH, sizeof(*poller->send_controls));
    poller->send_entries = calloc(FL_SEND_VECTOR_LENGTH, sizeof(*poller->send_entries));
    return fl_receive_buffers_open(&poller->buffers, receive_count) && NULL != poller->receive_headers &&
        NULL != poller->receive_vectors && NULL != poller->receive_controls && NULL != poller->peers &&
        NULL != poller->locals && NULL != poller->send_headers && NULL != poller->send_vectors &&
        NULL != poller->send_controls && NULL != poller->send_entries;
}

int fl_poller_open(fl_transport_t *transport, uint32_t queue, uint32_t roles, fl_poller_t **poller)
{
    const int code = fl_poller_base_check(transport, queue, roles);
    if (0 != code)
    {
        return code;
    }

    /* calloc aligns less than the counters ask for. */
    fl_poller_t *opened = aligned_alloc(_Alignof(fl_poller_t), sizeof(*opened));
    if (NULL == opened)
    {
        return fl_host_error(transport->base.host, FL_ENOMEM, "no memory for a poller");
    }
    memset(opened, 0, sizeof(*opened));
    opened->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    const int epoll_error = errno;
    if (!fl_poller_allocate(opened, transport->settings.receive_buffers))
    {
        fl_poller_free(opened);
        return fl_host_error(
            transport->base.host, FL_ENOMEM, "no memory for %u receive buffers", transport->settings.receive_buffers);
    }
    if (opened->epoll_fd < 0)
    {
        fl_poller_free(opened);
        return fl_host_error(transport->base.host, epoll_error, "open an epoll set: %s", strerror(epoll_error));
    }
    fl_poller_base_open(transport, opened, queue, opened->counters);
    fl_poller_prepare_receive(opened);
    fl_poller_prepare_send(opened);
    *poller = opened;
    return 0;
}

int fl_poller_enter(fl_poller_t *poller)
{
    fl_receive_buffers_touch(&poller->buffers);
    return 0;
}

int fl_poller_leave(fl_poller_t *poller)
{
    (void)poller;
    return 0;
}

int fl_poller_close(fl_poller_t *poller)
{
    const int code = fl_poller_base_close(poller);
    if (code <= 0)
    {
        return code;
    }
    fl_poller_free(poller);
    return 0;
}

static int fl_poller_watch(const fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = endpoint };
    return 0 == epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, endpoint->receive_fd, &event) ? 0 : -fl_socket_error(errno);
}

/* Put the sockets into the epoll set. Each arrival then costs a wake-up call-back in the kernel, which a poller that
 * never sleeps and has few endpoints does without. */
static int fl_poller_start_watching(fl_poller_t *poller)
{
    fl_endpoint_t *endpoint = poller->base.turn;
    for (uint32_t i = 0; i < poller->base.endpoint_count; i++, endpoint = endpoint->base.next)
    {
        const int code = fl_poller_watch(poller, endpoint);
        if (0 != code && -FL_EEXIST != code)
        {
            return code;
        }
    }
    poller->is_watching = true;
    return 0;
}

int fl_poller_add(fl_poller_t *poller, fl_endpoint_t *endpoint, void *context)
{
    int code = fl_poller_base_add(poller, endpoint, context);
    if (0 != code)
    {
        return code;
    }
    if (poller->is_watching)
    {
        code = fl_poller_watch(poller, endpoint);
    }
    else if (poller->base.endpoint_count > FL_DIRECT_ENDPOINTS)
    {
        code = fl_poller_start_watching(poller);
    }
    if (0 != code)
    {
        fl_poller_remove(poller, endpoint);
    }
    return code;
}

int fl_poller_remove(fl_poller_t *poller, fl_endpoint_t *endpoint)
{
    const int code = fl_poller_base_remove(poller, endpoint);
    if (0 == code)
    {
        epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, endpoint->receive_fd, NULL);
    }
    return code;
}

void fl_poller_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    (void)poller;
    (void)runs;
    (void)count;
}

/* The kernel has copied a run's memory when send returns: there is nothing to wait for. */
int fl_poller_reap(fl_poller_t *poller, fl_completion_t *completions, uint32_t capacity)
{
    (void)poller;
    (void)completions;
    (void)capacity;
    return 0;
}

int fl_poller_arm(fl_poller_t *poller)
{
    if (FL_ACCELERATOR_NONE != poller->base.transport->offloads.accelerator)
    {
        return -FL_ENOTSUP;   /* what waits in its rings does not make the set readable to the agent's own wait */
    }
    if (!poller->is_watching)
    {
        const int code = fl_poller_start_watching(poller);
        if (0 != code)
        {
            return code;
        }
    }
    struct epoll_event event;
    return epoll_wait(poller->epoll_fd, &event, 1, 0) > 0 ? -FL_EAGAIN : poller->epoll_fd;
}

/* The set is level-triggered: poll takes what made it readable. */
int fl_poller_disarm(fl_poller_t *poller)
{
    (void)poller;
    return 0;
}
