/* Receiving: recvmmsg into the poller's buffers, each message a run. */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "endpoint.h"
#include "poller.h"

#define FL_NS_PER_SECOND INT64_C(1000000000)

/* The fields that the kernel overwrites; the others stay. */
static void fl_receive_reset(fl_poller_t *poller, uint32_t entry)
{
    struct msghdr *header = &poller->receive_headers[entry].msg_hdr;
    header->msg_namelen = sizeof(fl_socket_name_t);
    header->msg_controllen = sizeof(fl_receive_control_t);
}

void fl_poller_prepare_receive(fl_poller_t *poller)
{
    for (uint32_t i = 0; i < poller->receive_count; i++)
    {
        struct msghdr *header = &poller->receive_headers[i].msg_hdr;
        poller->receive_vectors[i].iov_base = fl_receive_buffers_at(&poller->buffers, i);
        poller->receive_vectors[i].iov_len = FL_RECEIVE_BUFFER_LENGTH;
        header->msg_iov = &poller->receive_vectors[i];
        header->msg_iovlen = 1;
        /* The source lands where a reply finds it: in the cache of the run's peer. */
        header->msg_name = poller->peers[i].cache;
        header->msg_control = &poller->receive_controls[i];
        poller->peers[i].generation = poller->base.transport->base.generation;
        fl_receive_reset(poller, i);
    }
}

/* Read the control messages of an entry into its run and local address. */
static void fl_receive_read_control(struct msghdr *header, fl_run_t *run, fl_address_t *local)
{
    for (struct cmsghdr *message = CMSG_FIRSTHDR(header); NULL != message; message = CMSG_NXTHDR(header, message))
    {
        const void *data = CMSG_DATA(message);
        if (SOL_UDP == message->cmsg_level && UDP_GRO == message->cmsg_type)
        {
            int segment_length;
            memcpy(&segment_length, data, sizeof(segment_length));
            run->segment_length = (uint32_t)segment_length;
        }
        else if (IPPROTO_IP == message->cmsg_level && IP_PKTINFO == message->cmsg_type)
        {
            memcpy(local->bytes, &((const struct in_pktinfo *)data)->ipi_addr, sizeof(struct in_addr));
        }
        else if (IPPROTO_IPV6 == message->cmsg_level && IPV6_PKTINFO == message->cmsg_type)
        {
            const struct in6_pktinfo *info = data;
            memcpy(local->bytes, &info->ipi6_addr, sizeof(info->ipi6_addr));
            local->scope_id = fl_address_needs_scope(local) ? (uint32_t)info->ipi6_ifindex : 0;
        }
        else if (SOL_SOCKET == message->cmsg_level && SCM_TIMESTAMPNS == message->cmsg_type)
        {
            struct timespec time;
            memcpy(&time, data, sizeof(time));
            run->timestamp_ns = time.tv_sec * FL_NS_PER_SECOND + time.tv_nsec;
            run->flags |= FL_RUN_TIMESTAMP;
        }
    }
}

/* Make a run of a filled entry. Returns its datagrams. */
static uint32_t fl_receive_make_run(fl_poller_t *poller, const fl_endpoint_t *endpoint, uint32_t entry, fl_run_t *run)
{
    struct mmsghdr *message = &poller->receive_headers[entry];
    fl_peer_t *peer = &poller->peers[entry];
    fl_address_t *local = &poller->locals[entry];

    fl_address_from_name(&peer->address, (const fl_socket_name_t *)peer->cache);
    *local = endpoint->local;
    *run = (fl_run_t){
        .data = message->msg_hdr.msg_iov->iov_base,
        .length = message->msg_len,
        .segment_length = message->msg_len,
        .peer = peer,
        .local = local,
        .context = endpoint->base.context,
        .token = entry,
    };
    if (0 != message->msg_hdr.msg_controllen)
    {
        fl_receive_read_control(&message->msg_hdr, run, local);
    }
    if (0 != (message->msg_hdr.msg_flags & MSG_TRUNC))
    {
        run->flags |= FL_RUN_TRUNCATED;
    }
    fl_receive_reset(poller, entry);
    return run->length <= run->segment_length
        ? 1
        : run->length / run->segment_length + (0 != run->length % run->segment_length);
}

/* Count what recvmmsg failed with. Returns true for an ICMP error: there may be datagrams behind it. */
static bool fl_receive_failed(fl_poller_t *poller, int error)
{
    if (EAGAIN == error || EINTR == error)
    {
        return false;
    }
    const bool is_icmp = fl_error_is_icmp(error);
    fl_figure_add(&poller->counters[is_icmp ? FL_ICMP_ERRORS : FL_RX_ERRORS], 1);
    return is_icmp;
}

/* Receive from one endpoint into the entries and runs from `filled` to `limit`. Returns the entries filled then. */
static uint32_t fl_receive_from(
    fl_poller_t *poller, const fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t filled, uint32_t limit)
{
    struct mmsghdr *headers = poller->receive_headers + filled;
    int result = recvmmsg(endpoint->receive_fd, headers, limit - filled, 0, NULL);
    fl_figure_add(&poller->counters[FL_RX_SYSCALLS], 1);
    if (result < 0 && fl_receive_failed(poller, errno))
    {
        result = recvmmsg(endpoint->receive_fd, headers, limit - filled, 0, NULL);
        fl_figure_add(&poller->counters[FL_RX_SYSCALLS], 1);
    }
    if (result <= 0)
    {
        fl_figure_add(&poller->counters[FL_RX_EMPTY], 1);
        return filled;
    }

    int64_t datagrams = 0;
    int64_t coalesced = 0;
    int64_t truncated = 0;
    const uint32_t end = filled + (uint32_t)result;
    for (uint32_t entry = filled; entry < end; entry++)
    {
        const uint32_t segments = fl_receive_make_run(poller, endpoint, entry, &runs[entry]);
        datagrams += segments;
        coalesced += segments > 1 ? segments : 0;
        truncated += 0 != (runs[entry].flags & FL_RUN_TRUNCATED);
    }
    fl_figure_add(&poller->counters[FL_RX_DATAGRAMS], datagrams);
    if (0 != coalesced)
    {
        fl_figure_add(&poller->counters[FL_RX_COALESCED], coalesced);
    }
    if (0 != truncated)
    {
        fl_figure_add(&poller->counters[FL_RX_TRUNCATED], truncated);
    }
    return end;
}

/* Ask every socket in turn. When the entries are used up, the next poll begins where this one stopped. */
static uint32_t fl_poller_poll_all(fl_poller_t *poller, fl_run_t *runs, uint32_t limit)
{
    fl_endpoint_t *endpoint = poller->base.turn;
    uint32_t filled = 0;
    for (uint32_t i = 0; i < poller->base.endpoint_count && filled < limit; i++)
    {
        filled = fl_receive_from(poller, endpoint, runs, filled, limit);
        endpoint = endpoint->base.next;
    }
    poller->base.turn = endpoint;
    return filled;
}

/* Ask the sockets that epoll names, beginning with another one in each poll. */
static uint32_t fl_poller_poll_ready(fl_poller_t *poller, fl_run_t *runs, uint32_t limit)
{
    struct epoll_event events[FL_READY_CAPACITY];
    const int ready = epoll_wait(poller->epoll_fd, events, FL_READY_CAPACITY, 0);
    if (ready <= 0)
    {
        return 0;
    }
    const uint32_t first = poller->ready_turn++ % (uint32_t)ready;
    uint32_t filled = 0;
    for (uint32_t i = 0; i < (uint32_t)ready && filled < limit; i++)
    {
        const struct epoll_event *event = &events[(first + i) % (uint32_t)ready];
        filled = fl_receive_from(poller, event->data.ptr, runs, filled, limit);
    }
    return filled;
}

int fl_poller_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    const uint32_t limit = capacity < poller->receive_count ? capacity : poller->receive_count;
    return (int)(poller->base.endpoint_count > FL_DIRECT_ENDPOINTS ? fl_poller_poll_ready(poller, runs, limit)
                                                              : fl_poller_poll_all(poller, runs, limit));
}
