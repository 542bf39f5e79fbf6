/* Sending: one call for each datagram, which VMA copies into the ring. It has no call for several: its sendmmsg is a
 * loop of the same (bypass-apis 3.7). */
#include <errno.h>

#include <framelane/runs.h>

#include "endpoint.h"
#include "poller.h"

/* Find where a run goes: *name is NULL for the connected peer. A peer keeps its name in its cache. Returns 0 or
 * negative FL_E*. */
static int32_t fl_send_name(
    const fl_endpoint_t *endpoint, const fl_peer_t *peer, const struct sockaddr_in **name)
{
    if (NULL == peer)
    {
        *name = endpoint->is_connected ? NULL : &endpoint->peer_name;
        return endpoint->has_peer ? 0 : -FL_EINVAL;
    }
    if (FL_FAMILY_IPV4 != peer->address.family)
    {
        return -FL_EAFNOSUPPORT;
    }
    struct sockaddr_in *cached = (struct sockaddr_in *)(void *)peer->cache;
    if (peer->generation != endpoint->base.transport->base.generation)
    {
        fl_socket_name_make_v4(cached, &peer->address);
        ((fl_peer_t *)peer)->generation = endpoint->base.transport->base.generation;
    }
    *name = cached;
    return 0;
}

/* Send a datagram; once more if what came back may be the ICMP error of an earlier one. Returns 0 or negative errno. */
static int fl_send_datagram(
    const fl_endpoint_t *endpoint, const uint8_t *data, uint32_t length, const struct sockaddr_in *name)
{
    const fl_vma_calls_t *calls = &endpoint->base.transport->library->calls;
    const socklen_t name_length = NULL == name ? 0 : sizeof(*name);
    bool is_repeated = false;
    for (;;)
    {
        if (calls->sendto(
                endpoint->send_fd, data, length, MSG_DONTWAIT, (const struct sockaddr *)name, name_length) >= 0)
        {
            if (is_repeated)
            {
                fl_figure_add(&endpoint->base.poller->counters[FL_ICMP_ERRORS], 1);
            }
            return 0;
        }
        if (is_repeated || !fl_error_is_icmp(errno))
        {
            return -errno;
        }
        is_repeated = true;
    }
}

/* Send a run as far as it goes. Writes `accepted` and returns the status. */
static int32_t fl_send_run(const fl_endpoint_t *endpoint, fl_run_t *run)
{
    _Atomic int64_t *counters = endpoint->base.poller->counters;
    const struct sockaddr_in *name = NULL;
    int32_t status = fl_send_name(endpoint, run->peer, &name);
    if (0 == status && (0 == run->segment_length ? 0 != run->length : run->segment_length > FL_UDP_PAYLOAD_MAXIMUM))
    {
        status = 0 == run->segment_length ? -FL_EINVAL : -FL_EMSGSIZE;
    }
    if (0 != status)
    {
        fl_figure_add(&counters[FL_TX_ERRORS], 1);
        return status;
    }
    uint32_t offset = 0;
    do
    {
        const uint32_t left = run->length - offset;
        const uint32_t length = left < run->segment_length ? left : run->segment_length;
        const int result = fl_send_datagram(endpoint, run->data + offset, length, name);
        if (-EAGAIN == result || -ENOBUFS == result || -ENOMEM == result || -EINTR == result)
        {
            status = -FL_EAGAIN;
            fl_figure_add(&counters[FL_TX_EAGAIN], 1);
        }
        else if (0 != result)
        {
            status = -fl_socket_error(-result);
            fl_figure_add(&counters[FL_TX_ERRORS], 1);
        }
        else
        {
            run->accepted++;
        }
        offset += length;
    }
    while (0 == status && offset < run->length);
    fl_figure_add(&counters[FL_TX_DATAGRAMS], run->accepted);
    return status;
}

int fl_endpoint_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    uint32_t first_failed = count;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        runs[i].accepted = 0;
    }
    for (uint32_t i = 0; i < count; i++)
    {
        const int32_t stopped = fl_runs_stopped(runs, first_failed, i, &runs[i]);
        runs[i].status = 0 != stopped ? stopped : fl_send_run(endpoint, &runs[i]);
        taken += 0 == runs[i].status;
        if (0 != runs[i].status && first_failed == count)
        {
            first_failed = i;
        }
        if (-FL_EAGAIN == runs[i].status)
        {
            /* The ring is full, and it is everybody's. */
            fl_runs_wait(runs, i + 1, count, first_failed);
            break;
        }
    }
    return (int)taken;
}
