/* Sending: the runs of a call become the entries of one sendmmsg, a run of several datagrams one entry with UDP_SEGMENT
 * where that is possible and as many plain ones where it is not. What the kernel does not take decides how to go on. */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include <framelane/runs.h>

#include "endpoint.h"
#include "poller.h"

void fl_poller_prepare_send(fl_poller_t *poller)
{
    for (uint32_t i = 0; i < FL_SEND_VECTOR_LENGTH; i++)
    {
        struct cmsghdr *segment = &poller->send_controls[i].segment.header;
        segment->cmsg_level = SOL_UDP;
        segment->cmsg_type = UDP_SEGMENT;
        segment->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        poller->send_headers[i].msg_hdr.msg_iov = &poller->send_vectors[i];
        poller->send_headers[i].msg_hdr.msg_iovlen = 1;
    }
}

/* How far a call has come. */
typedef struct fl_send_cursor
{
    uint32_t run;
    uint32_t offset;         /* bytes of that run that are in the vector or sent */
    uint32_t first_failed;   /* the first run with an error; the number of runs if there is none */
    uint32_t taken;          /* runs taken whole */
} fl_send_cursor_t;

static void fl_send_fail(fl_send_cursor_t *cursor, fl_run_t *runs, uint32_t run, int32_t status)
{
    runs[run].status = status;
    if (run < cursor->first_failed)
    {
        cursor->first_failed = run;
    }
}

/* Find where a run goes: *name is NULL for the connected peer. A peer keeps its name in its cache. Returns 0 or
 * negative FL_E*. */
static int32_t fl_send_name(
    const fl_endpoint_t *endpoint, const fl_peer_t *peer, const fl_socket_name_t **name, socklen_t *length)
{
    if (NULL == peer)
    {
        *name = endpoint->is_connected ? NULL : &endpoint->peer_name;
        *length = endpoint->is_connected ? 0 : endpoint->peer_length;
        return endpoint->is_connected || 0 != endpoint->peer_length ? 0 : -FL_EINVAL;
    }
    fl_socket_name_t *cached = (fl_socket_name_t *)peer->cache;
    if (peer->generation != endpoint->generation)
    {
        fl_socket_name_make(cached, &peer->address);
        ((fl_peer_t *)peer)->generation = endpoint->generation;
    }
    *name = cached;
    *length = AF_INET == endpoint->family ? sizeof(cached->v4) : sizeof(cached->v6);
    return cached->any.sa_family == endpoint->family ? 0 : -FL_EAFNOSUPPORT;
}

/* Write the control message that makes `local` the source. Returns its length. */
static size_t fl_send_source(struct cmsghdr *source, const fl_address_t *local)
{
    if (FL_FAMILY_IPV4 == local->family)
    {
        struct in_pktinfo info = { 0 };
        memcpy(&info.ipi_spec_dst, local->bytes, sizeof(info.ipi_spec_dst));
        source->cmsg_level = IPPROTO_IP;
        source->cmsg_type = IP_PKTINFO;
        source->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(source), &info, sizeof(info));
        return CMSG_SPACE(sizeof(info));
    }
    struct in6_pktinfo info = { .ipi6_ifindex = local->scope_id };
    memcpy(&info.ipi6_addr, local->bytes, sizeof(info.ipi6_addr));
    source->cmsg_level = IPPROTO_IPV6;
    source->cmsg_type = IPV6_PKTINFO;
    source->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(source), &info, sizeof(info));
    return CMSG_SPACE(sizeof(info));
}

/* The source to ask for, NULL to leave it to the kernel. A group that a datagram came to is nobody's source. */
static const fl_address_t *fl_send_local(const fl_endpoint_t *endpoint, const fl_run_t *run)
{
    return endpoint->is_wildcard && NULL != run->local && !fl_address_is_multicast(run->local) &&
            !fl_address_is_wildcard(run->local)
        ? run->local
        : NULL;
}

/* Datagrams from `offset` of a run that go into one entry. */
static uint32_t fl_send_segments(const fl_endpoint_t *endpoint, const fl_run_t *run, uint32_t offset)
{
    const uint32_t left = run->length - offset;
    if (!endpoint->is_segmenting || left <= run->segment_length)
    {
        return 1;
    }
    const fl_sockets_offloads_t *offloads = &endpoint->base.transport->offloads;
    uint32_t segments = left / run->segment_length + (0 != left % run->segment_length);
    if (left > offloads->segment_bytes && offloads->segment_bytes / run->segment_length < segments)
    {
        segments = offloads->segment_bytes / run->segment_length;
    }
    if (segments > offloads->segment_limit)
    {
        segments = offloads->segment_limit;
    }
    return segments > 0 ? segments : 1;
}

/* Put what is left of the cursor's run into the vector from entry `used` on. Returns the entries used then. */
static uint32_t fl_send_fill_run(
    const fl_endpoint_t *endpoint, const fl_run_t *runs, fl_send_cursor_t *cursor, uint32_t used,
    const fl_socket_name_t *name, socklen_t name_length)
{
    const fl_poller_t *poller = endpoint->base.poller;
    const fl_run_t *run = &runs[cursor->run];
    const fl_address_t *local = fl_send_local(endpoint, run);

    do
    {
        const uint32_t segments = fl_send_segments(endpoint, run, cursor->offset);
        const uint32_t left = run->length - cursor->offset;
        const uint64_t bytes = (uint64_t)segments * run->segment_length;
        const uint32_t length = left < bytes ? left : (uint32_t)bytes;
        fl_send_control_t *control = &poller->send_controls[used];
        struct msghdr *header = &poller->send_headers[used].msg_hdr;

        poller->send_vectors[used].iov_base = (void *)(run->data + cursor->offset);
        poller->send_vectors[used].iov_len = length;
        header->msg_name = (void *)name;
        header->msg_namelen = name_length;
        header->msg_control = NULL;
        header->msg_controllen = 0;
        if (NULL != local)
        {
            header->msg_control = &control->source;
            header->msg_controllen = fl_send_source(&control->source.header, local);
        }
        if (segments > 1)
        {
            const uint16_t segment_length = (uint16_t)run->segment_length;
            memcpy(CMSG_DATA(&control->segment.header), &segment_length, sizeof(segment_length));
            header->msg_control = &control->segment;
            header->msg_controllen += sizeof(control->segment);
        }
        poller->send_entries[used] = (fl_send_entry_t){ .run = cursor->run, .segments = segments };
        used++;
        cursor->offset += length;
    }
    while (cursor->offset < run->length && used < FL_SEND_VECTOR_LENGTH);
    return used;
}

/* Fill the vector from the cursor on. Returns the entries used; 0: nothing is left. */
static uint32_t fl_send_fill(const fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count, fl_send_cursor_t *cursor)
{
    uint32_t used = 0;
    while (cursor->run < count && used < FL_SEND_VECTOR_LENGTH)
    {
        fl_run_t *run = &runs[cursor->run];
        const fl_socket_name_t *name = NULL;
        socklen_t name_length = 0;
        int32_t status = fl_runs_stopped(runs, cursor->first_failed, cursor->run, run);
        if (0 == status)
        {
            status = 0 == run->segment_length && 0 != run->length
                ? -FL_EINVAL
                : fl_send_name(endpoint, run->peer, &name, &name_length);
        }
        if (0 != status)
        {
            fl_send_fail(cursor, runs, cursor->run, status);
        }
        else
        {
            used = fl_send_fill_run(endpoint, runs, cursor, used, name, name_length);
            if (cursor->offset < run->length)
            {
                break;
            }
        }
        cursor->run++;
        cursor->offset = 0;
    }
    return used;
}

/* Take note of entries that the kernel took. */
static void fl_send_account(
    const fl_poller_t *poller, fl_run_t *runs, fl_send_cursor_t *cursor, uint32_t from, uint32_t to, int64_t *datagrams,
    int64_t *segmented)
{
    for (uint32_t i = from; i < to; i++)
    {
        const uint32_t segments = poller->send_entries[i].segments;
        fl_run_t *run = &runs[poller->send_entries[i].run];
        const uint8_t *end = (const uint8_t *)poller->send_vectors[i].iov_base + poller->send_vectors[i].iov_len;
        run->accepted += segments;
        cursor->taken += end == run->data + run->length;
        *datagrams += segments;
        *segmented += segments > 1 ? segments : 0;
    }
}

/* Go back to where entry `i` begins. */
static void fl_send_rewind(const fl_poller_t *poller, const fl_run_t *runs, uint32_t i, fl_send_cursor_t *cursor)
{
    cursor->run = poller->send_entries[i].run;
    cursor->offset = (uint32_t)((const uint8_t *)poller->send_vectors[i].iov_base - runs[cursor->run].data);
}

/* Hand entries to the kernel. Returns how many it took, or -1. A lone one goes by sendmsg, which is 70 ns cheaper. */
static int fl_send_entries(int fd, struct mmsghdr *headers, uint32_t count)
{
    if (1 == count)
    {
        return sendmsg(fd, &headers->msg_hdr, 0) < 0 ? -1 : 1;
    }
    return sendmmsg(fd, headers, count, 0);
}

/* Send the first `used` entries. On an error the cursor is put where to go on filling. Returns false if the call is
 * over because there is no room. */
static bool fl_send_flush(
    fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count, fl_send_cursor_t *cursor, uint32_t used)
{
    fl_poller_t *poller = endpoint->base.poller;
    _Atomic int64_t *counters = poller->counters;
    int64_t syscalls = 0;
    int64_t datagrams = 0;
    int64_t segmented = 0;
    int64_t icmp_errors = 0;
    uint32_t sent = 0;
    uint32_t repeated = used;   /* the entry that was sent again after an error */
    bool has_room = true;

    while (sent < used)
    {
        const int result = fl_send_entries(endpoint->send_fd, poller->send_headers + sent, used - sent);
        syscalls++;
        if (result > 0)
        {
            /* What failed and then went was held up by an ICMP error, not by an error of its own. */
            icmp_errors += repeated == sent;
            fl_send_account(poller, runs, cursor, sent, sent + (uint32_t)result, &datagrams, &segmented);
            sent += (uint32_t)result;
            continue;
        }

        const int error = errno;
        const fl_send_entry_t entry = poller->send_entries[sent];
        if (EAGAIN == error || ENOBUFS == error || EINTR == error)
        {
            fl_runs_wait(runs, entry.run, count, cursor->first_failed);
            fl_figure_add(&counters[FL_TX_EAGAIN], 1);
            has_room = false;
            break;
        }
        if (repeated != sent && fl_error_is_icmp(error))
        {
            repeated = sent;
            continue;
        }
        fl_send_rewind(poller, runs, sent, cursor);
        if (entry.segments > 1 && (EMSGSIZE == error || EINVAL == error || EIO == error))
        {
            endpoint->is_segmenting = false;
            /* Relaxed: pairs with the exchange of fl_endpoint_report; the errno is all that is passed. */
            atomic_store_explicit(&endpoint->segmentation_refused, error, memory_order_relaxed);
            fl_figure_add(&counters[FL_TX_SEGMENTATION_REFUSED], 1);
            break;
        }
        fl_send_fail(cursor, runs, entry.run, -fl_socket_error(error));
        fl_figure_add(&counters[FL_TX_ERRORS], 1);
        cursor->run++;
        cursor->offset = 0;
        break;
    }

    fl_figure_add(&counters[FL_TX_SYSCALLS], syscalls);
    fl_figure_add(&counters[FL_TX_DATAGRAMS], datagrams);
    if (0 != segmented)
    {
        fl_figure_add(&counters[FL_TX_SEGMENTED], segmented);
    }
    if (0 != icmp_errors)
    {
        fl_figure_add(&counters[FL_ICMP_ERRORS], icmp_errors);
    }
    return has_room;
}

int fl_endpoint_send(fl_endpoint_t *endpoint, fl_run_t *runs, uint32_t count)
{
    fl_send_cursor_t cursor = { .first_failed = count };
    for (uint32_t i = 0; i < count; i++)
    {
        runs[i].accepted = 0;
        runs[i].status = 0;
    }
    for (;;)
    {
        const uint32_t used = fl_send_fill(endpoint, runs, count, &cursor);
        if (0 == used || !fl_send_flush(endpoint, runs, count, &cursor, used))
        {
            break;
        }
    }
    return (int)cursor.taken;
}
