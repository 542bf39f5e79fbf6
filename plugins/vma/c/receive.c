/* Receiving: one datagram a call. It lies in VMA's memory until its run is released, or was copied into the entry's
 * buffer, which VMA decides for each: what came through the kernel's socket is always copied (bypass-apis 3.5). */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "endpoint.h"
#include "poller.h"

#define FL_NS_PER_SECOND INT64_C(1000000000)

/* What a call brought, before it is a run. */
typedef struct fl_received
{
    const uint8_t *data;
    uint32_t length;
    uint32_t flags;             /* FL_RUN_* */
    int64_t timestamp_ns;
    struct sockaddr_in source;
} fl_received_t;

static fl_vma_packet_t *fl_receive_packet(const fl_receive_entry_t *entry)
{
    return (fl_vma_packet_t *)(void *)((fl_vma_packets_t *)(void *)entry->buffer)->first;
}

static void fl_receive_free(fl_poller_t *poller, const fl_endpoint_t *endpoint, const fl_receive_entry_t *entry)
{
    if (0 != poller->base.transport->library->api->free_packets(endpoint->receive_fd, fl_receive_packet(entry), 1))
    {
        fl_figure_add(&poller->counters[FL_RX_NOT_FREED], 1);
    }
}

/* Put the pieces of a packet together and give it back at once: a run is contiguous. */
static void fl_receive_gather(
    fl_poller_t *poller, const fl_endpoint_t *endpoint, fl_receive_entry_t *entry, fl_received_t *received)
{
    const fl_vma_packet_t *packet = fl_receive_packet(entry);
    uint32_t length = 0;
    for (size_t i = 0; i < packet->fragment_count; i++)
    {
        const struct iovec *fragment = &packet->fragments[i];
        const size_t room = FL_RECEIVE_BUFFER_LENGTH - length;
        const size_t taken = fragment->iov_len < room ? fragment->iov_len : room;
        memcpy(poller->gathering + length, fragment->iov_base, taken);
        length += (uint32_t)taken;
    }
    fl_receive_free(poller, endpoint, entry);
    uint8_t *list = entry->buffer;
    entry->buffer = poller->gathering;
    poller->gathering = list;
    received->data = entry->buffer;
    received->length = length;
    fl_figure_add(&poller->counters[FL_RX_GATHERED], 1);
    fl_figure_add(&poller->counters[FL_RX_DATA_COPY_BYTES], length);
}

/* Take a datagram, without copying if VMA has it in one piece. Returns 1, 0 if there is none, or a negative errno. */
static int fl_receive_zero_copy(
    fl_poller_t *poller, fl_endpoint_t *endpoint, fl_receive_entry_t *entry, fl_received_t *received)
{
    fl_vma_packets_t *packets = (fl_vma_packets_t *)(void *)entry->buffer;
    socklen_t source_length = sizeof(received->source);
    int flags = 0;

    packets->count = 0;
    received->source.sin_family = AF_UNSPEC;
    const int result = poller->base.transport->library->api->recvfrom_zcopy(
        endpoint->receive_fd, entry->buffer, FL_RECEIVE_BUFFER_LENGTH, &flags, (struct sockaddr *)&received->source,
        &source_length);
    if (result < 0)
    {
        return -errno;
    }
    if (AF_INET != received->source.sin_family)
    {
        return 0;   /* 0 bytes of nobody: nothing came */
    }
    received->flags = 0 != (flags & MSG_TRUNC) ? FL_RUN_TRUNCATED : 0;
    if (0 == (flags & FL_VMA_MSG_ZCOPY) || 0 == packets->count)
    {
        received->data = entry->buffer;
        received->length = (uint32_t)result;
        fl_figure_add(&poller->counters[FL_RX_DATA_COPY_BYTES], result);
        return 1;
    }
    const fl_vma_packet_t *packet = fl_receive_packet(entry);
    if (packet->fragment_count > 1)
    {
        fl_receive_gather(poller, endpoint, entry, received);
        return 1;
    }
    received->data = 1 == packet->fragment_count ? packet->fragments[0].iov_base : entry->buffer;
    received->length = 1 == packet->fragment_count ? (uint32_t)packet->fragments[0].iov_len : 0;
    entry->holder = endpoint;
    endpoint->held++;
    fl_figure_add(&poller->counters[FL_RX_HELD], 1);
    fl_figure_add(&poller->counters[FL_RX_ZERO_COPY_BYTES], received->length);
    return 1;
}

/* Take a datagram by copying it. Returns as fl_receive_zero_copy. */
static int fl_receive_copy(
    fl_poller_t *poller, fl_endpoint_t *endpoint, fl_receive_entry_t *entry, fl_received_t *received)
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec vector = { .iov_base = entry->buffer, .iov_len = FL_RECEIVE_BUFFER_LENGTH };
    struct msghdr message = {
        .msg_name = &received->source,
        .msg_namelen = sizeof(received->source),
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    const ssize_t result = poller->base.transport->library->calls.recvmsg(endpoint->receive_fd, &message, 0);
    if (result < 0)
    {
        return -errno;
    }
    received->data = entry->buffer;
    received->length = (uint32_t)result;
    received->flags = 0 != (message.msg_flags & MSG_TRUNC) ? FL_RUN_TRUNCATED : 0;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); NULL != item; item = CMSG_NXTHDR(&message, item))
    {
        if (SOL_SOCKET == item->cmsg_level && SCM_TIMESTAMPNS == item->cmsg_type)
        {
            struct timespec time;
            memcpy(&time, CMSG_DATA(item), sizeof(time));
            received->timestamp_ns = time.tv_sec * FL_NS_PER_SECOND + time.tv_nsec;
            received->flags |= FL_RUN_TIMESTAMP;
        }
    }
    fl_figure_add(&poller->counters[FL_RX_DATA_COPY_BYTES], (int64_t)result);
    return 1;
}

/* Take a datagram. An ICMP error is consumed, and there may be datagrams behind it. Returns whether there was one. */
static bool fl_receive_one(
    fl_poller_t *poller, fl_endpoint_t *endpoint, fl_receive_entry_t *entry, fl_received_t *received)
{
    int (*const receive)(fl_poller_t *, fl_endpoint_t *, fl_receive_entry_t *, fl_received_t *) =
        endpoint->is_zero_copy ? fl_receive_zero_copy : fl_receive_copy;
    int result = receive(poller, endpoint, entry, received);
    if (result < 0 && fl_error_is_icmp(-result))
    {
        fl_figure_add(&poller->counters[FL_ICMP_ERRORS], 1);
        result = receive(poller, endpoint, entry, received);
    }
    if (result < 0 && -EAGAIN != result && -EINTR != result)
    {
        fl_figure_add(&poller->counters[FL_RX_ERRORS], 1);
    }
    return result > 0;
}

static void fl_receive_let_go(fl_poller_t *poller, fl_receive_entry_t *entry)
{
    if (NULL != entry->holder)
    {
        fl_receive_free(poller, entry->holder, entry);
        entry->holder->held--;
        entry->holder = NULL;
        fl_figure_add(&poller->counters[FL_RX_HELD], -1);
    }
}

/* VMA steers by address and port, and a socket hears others until it is connected. */
static bool fl_receive_is_wanted(const fl_endpoint_t *endpoint, const struct sockaddr_in *source)
{
    return !endpoint->hears_peer_only ||
        (source->sin_port == endpoint->peer_name.sin_port &&
            source->sin_addr.s_addr == endpoint->peer_name.sin_addr.s_addr);
}

/* Make a run of an entry's datagram. */
static void fl_receive_make_run(
    fl_poller_t *poller, const fl_endpoint_t *endpoint, uint32_t index, const fl_received_t *received, fl_run_t *run)
{
    fl_receive_entry_t *entry = &poller->entries[index];
    fl_address_from_name_v4(&entry->peer.address, &received->source);
    memcpy(entry->peer.cache, &received->source, sizeof(received->source));
    entry->peer.generation = poller->base.transport->base.generation;
    entry->local = endpoint->local;
    *run = (fl_run_t){
        .data = received->data,
        .length = received->length,
        .segment_length = received->length,
        .peer = &entry->peer,
        .local = fl_address_is_wildcard(&entry->local) ? NULL : &entry->local,
        .context = endpoint->base.context,
        .timestamp_ns = received->timestamp_ns,
        .flags = received->flags,
        .token = index,
    };
}

/* Receive from one endpoint into the entries and runs from `filled` to `limit`. Returns the entries filled then. */
static uint32_t fl_receive_from(
    fl_poller_t *poller, fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t filled, uint32_t limit)
{
    int64_t datagrams = 0;
    /* What is discarded counts against the limit too, so that a flood of it does not hold the thread. */
    for (uint32_t budget = limit - filled; budget > 0; budget--)
    {
        fl_received_t received = { 0 };
        fl_receive_entry_t *entry = &poller->entries[filled];
        if (!fl_receive_one(poller, endpoint, entry, &received))
        {
            break;
        }
        if (!fl_receive_is_wanted(endpoint, &received.source))
        {
            fl_receive_let_go(poller, entry);
            fl_figure_add(&poller->counters[FL_RX_DISCARD], 1);
            continue;
        }
        fl_receive_make_run(poller, endpoint, filled, &received, &runs[filled]);
        if (0 != (received.flags & FL_RUN_TRUNCATED))
        {
            fl_figure_add(&poller->counters[FL_RX_TRUNCATED], 1);
        }
        filled++;
        datagrams++;
    }
    if (0 != datagrams)
    {
        fl_figure_add(&poller->counters[FL_RX_DATAGRAMS], datagrams);
    }
    return filled;
}

/* Ask every socket in turn. When the entries are used up, the next poll begins where this one stopped. */
int fl_poller_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    const uint32_t limit = capacity < poller->entry_count ? capacity : poller->entry_count;
    fl_endpoint_t *endpoint = poller->base.turn;
    uint32_t filled = 0;
    for (uint32_t i = 0; i < poller->base.endpoint_count && filled < limit; i++)
    {
        filled = fl_receive_from(poller, endpoint, runs, filled, limit);
        endpoint = endpoint->base.next;
    }
    poller->base.turn = endpoint;
    return (int)filled;
}

void fl_poller_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
    {
        fl_receive_let_go(poller, &poller->entries[runs[i].token]);
    }
}
