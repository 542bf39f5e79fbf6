/* The extra API: receiving without copying, and what is asked of a socket's rings. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stand_in.h"
#include <mellanox/vma_extra.h>

/* Numbers of rings' descriptors, of which nothing is read. */
#define RING_FDS 100000

static _Atomic unsigned received;

/* List the pieces of a packet as far as they fit. Returns the bytes that are listed. */
static size_t list_pieces(struct vma_packet_t *packet, size_t room, uint8_t *data, size_t length, int *flags)
{
    const size_t longest = 0 != stand_in_options()->fragment ? stand_in_options()->fragment : length;
    size_t listed = 0;
    packet->sz_iov = 0;
    do
    {
        if (packet->sz_iov == room)
        {
            *flags |= MSG_TRUNC;
            break;
        }
        const size_t left = length - listed;
        const struct iovec piece = { .iov_base = data + listed, .iov_len = left < longest ? left : longest };
        memcpy((uint8_t *)packet->iov + packet->sz_iov * sizeof(piece), &piece, sizeof(piece));
        packet->sz_iov++;
        listed += piece.iov_len;
    }
    while (listed < length);
    return listed;
}

static int recvfrom_zcopy(int fd, void *buffer, size_t length, int *flags, struct sockaddr *from, socklen_t *fromlen)
{
    static __thread uint8_t datagram[STAND_IN_DATAGRAM_LENGTH];
    const size_t headers = sizeof(struct vma_packets_t) + sizeof(struct vma_packet_t);
    const stand_in_socket_t *socket = stand_in_socket(fd);
    const int wanted = *flags;
    if (NULL == socket)
    {
        errno = EINVAL;
        return -1;
    }
    if (length < headers + sizeof(struct iovec))
    {
        errno = ENOBUFS;
        return -1;
    }
    stand_in_use_ring(socket);
    *flags |= MSG_VMA_ZCOPY;   /* also where nothing comes, as with VMA */
    const ssize_t result = syscall(
        SYS_recvfrom, fd, datagram, sizeof(datagram), wanted & ~(MSG_VMA_ZCOPY | MSG_VMA_ZCOPY_FORCE), from, fromlen);
    if (result < 0)
    {
        return -1;
    }
    const unsigned every = stand_in_options()->copy_every;
    const bool is_kernels = !socket->is_offloaded || (0 != every && 0 == ++received % every);
    uint8_t *data;
    void *id = is_kernels ? NULL : stand_in_packet_take(fd, datagram, (size_t)result, &data);
    if (NULL != id)
    {
        struct vma_packets_t *packets = buffer;
        struct vma_packet_t *packet = (struct vma_packet_t *)packets->pkts;
        packets->n_packet_num = 1;
        packet->packet_id = id;
        stand_in_figures.zero_copy++;
        return (int)list_pieces(packet, (length - headers) / sizeof(struct iovec), data, (size_t)result, flags);
    }
    if (0 != (wanted & MSG_VMA_ZCOPY_FORCE))
    {
        errno = EIO;
        return -1;
    }
    *flags &= ~MSG_VMA_ZCOPY;
    const size_t copied = (size_t)result < length ? (size_t)result : length;
    memcpy(buffer, datagram, copied);
    *flags |= copied < (size_t)result ? MSG_TRUNC : 0;
    stand_in_figures.copied++;
    return (int)copied;
}

static int free_packets(int fd, struct vma_packet_t *packets, size_t count)
{
    if (NULL == stand_in_socket(fd) || !stand_in_socket(fd)->is_offloaded)
    {
        errno = EINVAL;
        return -1;
    }
    if (1 != count)
    {
        stand_in_abort("free_packets of %zu packets: they are of different lengths, so they go back one by one", count);
    }
    errno = stand_in_packet_free(fd, packets->packet_id);
    return 0 == errno ? 0 : -1;
}

static bool is_offloaded(int fd)
{
    const stand_in_socket_t *socket = stand_in_socket(fd);
    return NULL != socket && socket->is_offloaded && socket->is_bound;
}

static int get_socket_rings_num(int fd)
{
    errno = EINVAL;
    return is_offloaded(fd) ? 1 : -1;
}

static int get_socket_tx_ring_fd(int fd, struct sockaddr *to, socklen_t tolen)
{
    if (!is_offloaded(fd) || AF_INET != to->sa_family || tolen < sizeof(struct sockaddr_in))
    {
        errno = EINVAL;
        return -1;
    }
    const char *fate = stand_in_options()->late_rings;
    if (NULL != fate && 0 == stand_in_socket(fd)->sent)
    {
        errno = ENODATA;
        return -1;
    }
    errno = EINVAL;
    return NULL != fate && 0 == strcmp(fate, "kernel") ? -1 : RING_FDS + (int)stand_in_socket(fd)->ring;
}

const struct vma_api_t *stand_in_api(void)
{
    static const struct vma_api_t api = {
        .recvfrom_zcopy = recvfrom_zcopy,
        .free_packets = free_packets,
        .get_socket_rings_num = get_socket_rings_num,
        .get_socket_tx_ring_fd = get_socket_tx_ring_fd,
        .vma_extra_supported_mask = VMA_EXTRA_API_RECVFROM_ZCOPY | VMA_EXTRA_API_FREE_PACKETS |
            VMA_EXTRA_API_GET_SOCKET_RINGS_NUM | VMA_EXTRA_API_GET_SOCKET_TX_RING_FD,
    };
    return &api;
}
