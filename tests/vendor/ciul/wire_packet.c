/* A Linux interface as the wire, usually one end of a veth pair: a packet socket for each VI.
 *
 * The kernel computes no checksums for its own frames on a veth and takes VLAN tags off; both are put right here. It
 * hands over what segmentation offload left whole, so the far end's transmit offloads must be off.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ciul.h"

#define FL_CIUL_CONTROL_SPACE 128

typedef struct
{
    fl_ciul_wire_t wire;
    int ifindex;
    int receiver, sender;
} fl_ciul_packet_t;

static int fl_ciul_packet_error(const fl_ciul_packet_t *packet)
{
    char name[IF_NAMESIZE];
    return NULL == if_indextoname((unsigned)packet->ifindex, name) ? -ENODEV : 0;
}

static int fl_ciul_packet_send(fl_ciul_wire_t *wire, const uint8_t *frame, size_t length)
{
    const fl_ciul_packet_t *packet = (const fl_ciul_packet_t *)wire;
    if (0 <= send(packet->sender, frame, length, MSG_DONTWAIT))
    {
        return 0;
    }
    if (EAGAIN == errno || ENOBUFS == errno)
    {
        return -EAGAIN;
    }
    if (ENODEV == errno || ENXIO == errno)
    {
        return -ENODEV;
    }
    return 0; /* a link that is down, or a frame that it does not take: gone, as on a cable */
}

static void fl_ciul_packet_restore(fl_ciul_frame_t *frame, struct msghdr *header)
{
    for (struct cmsghdr *one = CMSG_FIRSTHDR(header); NULL != one; one = CMSG_NXTHDR(header, one))
    {
        if (SOL_SOCKET == one->cmsg_level && SO_TIMESTAMPNS == one->cmsg_type)
        {
            struct timespec time;
            memcpy(&time, CMSG_DATA(one), sizeof(time));
            frame->time_ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
        }
        else if (SOL_PACKET == one->cmsg_level && PACKET_AUXDATA == one->cmsg_type)
        {
            struct tpacket_auxdata auxiliary;
            memcpy(&auxiliary, CMSG_DATA(one), sizeof(auxiliary));
            if (0 != (auxiliary.tp_status & TP_STATUS_CSUMNOTREADY))
            {
                fl_ciul_checksums_fill(frame->data, frame->length, false, true);
            }
            if (0 != (auxiliary.tp_status & TP_STATUS_VLAN_VALID) && frame->length + 4 <= sizeof(frame->data))
            {
                uint16_t tag[2] = {htons(ETH_P_8021Q), htons(auxiliary.tp_vlan_tci)};
                memmove(frame->data + 16, frame->data + 12, frame->length - 12);
                memcpy(frame->data + 12, tag, sizeof(tag));
                frame->length += 4;
            }
        }
    }
}

static int fl_ciul_packet_receive(fl_ciul_wire_t *wire, fl_ciul_frame_t *frames, int capacity)
{
    const fl_ciul_packet_t *packet = (const fl_ciul_packet_t *)wire;
    struct mmsghdr messages[FL_CIUL_BATCH];
    struct iovec vectors[FL_CIUL_BATCH];
    struct sockaddr_ll from[FL_CIUL_BATCH];
    _Alignas(struct cmsghdr) char control[FL_CIUL_BATCH][FL_CIUL_CONTROL_SPACE];
    for (int i = 0; i < capacity; i++)
    {
        vectors[i] = (struct iovec){.iov_base = frames[i].data, .iov_len = sizeof(frames[i].data)};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
            .msg_namelen = sizeof(from[i]),
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
            .msg_control = control[i],
            .msg_controllen = sizeof(control[i])};
    }
    int received = recvmmsg(packet->receiver, messages, (unsigned)capacity, MSG_DONTWAIT, NULL);
    if (received < 0)
    {
        return EAGAIN == errno || EINTR == errno ? 0 : fl_ciul_packet_error(packet);
    }
    int count = 0;
    for (int i = 0; i < received; i++)
    {
        if (PACKET_OUTGOING == from[i].sll_pkttype)
        {
            continue;
        }
        frames[i].length = messages[i].msg_len;
        fl_ciul_packet_restore(&frames[i], &messages[i].msg_hdr);
        if (count != i)
        {
            frames[count].length = frames[i].length;
            frames[count].time_ns = frames[i].time_ns;
            memcpy(frames[count].data, frames[i].data, frames[i].length);
        }
        count++;
    }
    return count;
}

static int fl_ciul_packet_arm(fl_ciul_wire_t *wire, bool is_armed)
{
    (void)is_armed; /* the socket is readable by itself */
    return ((const fl_ciul_packet_t *)wire)->receiver;
}

static bool fl_ciul_packet_has_frames(fl_ciul_wire_t *wire)
{
    struct pollfd ready = {.fd = ((const fl_ciul_packet_t *)wire)->receiver, .events = POLLIN};
    return 0 < poll(&ready, 1, 0);
}

static void fl_ciul_packet_close(fl_ciul_wire_t *wire)
{
    fl_ciul_packet_t *packet = (fl_ciul_packet_t *)wire;
    if (0 <= packet->receiver)
    {
        close(packet->receiver);
    }
    if (0 <= packet->sender)
    {
        close(packet->sender);
    }
    free(packet);
}

static int fl_ciul_packet_socket(int ifindex, uint16_t protocol)
{
    int on = 1;
    int size = 16 << 20;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = ifindex};
    if (fd < 0)
    {
        return -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on));
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
    if (0 != bind(fd, (struct sockaddr *)&address, sizeof(address)))
    {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int fl_ciul_wire_packet_open(fl_ciul_wire_t **wire, const fl_ciul_registry_t *registry)
{
    fl_ciul_packet_t *packet = (fl_ciul_packet_t *)calloc(1, sizeof(fl_ciul_packet_t));
    if (NULL == packet)
    {
        return -ENOMEM;
    }
    packet->wire = (fl_ciul_wire_t){.send = fl_ciul_packet_send,
        .receive = fl_ciul_packet_receive,
        .arm = fl_ciul_packet_arm,
        .has_frames = fl_ciul_packet_has_frames,
        .close = fl_ciul_packet_close};
    packet->ifindex = registry->ifindex;
    packet->receiver = fl_ciul_packet_socket(registry->ifindex, ETH_P_ALL);
    packet->sender = fl_ciul_packet_socket(registry->ifindex, 0);
    if (packet->receiver < 0 || packet->sender < 0)
    {
        int result = packet->receiver < 0 ? packet->receiver : packet->sender;
        fl_ciul_packet_close(&packet->wire);
        return result;
    }
    *wire = &packet->wire;
    return 0;
}
