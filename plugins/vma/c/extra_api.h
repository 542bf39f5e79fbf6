/* VMA's extra API, as far as the transport uses it: numbers, layouts and order of entries as libvma 9.8 publishes them
 * (bypass-apis 3.4, 3.5). Nothing of VMA is needed to build. */
#ifndef FL_VMA_EXTRA_API_H
#define FL_VMA_EXTRA_API_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* getsockopt(-1, SOL_SOCKET, ...): the address of the API. */
#define FL_VMA_SO_GET_API 2800
/* setsockopt: which rings a socket uses; before it is bound. */
#define FL_VMA_SO_RING_ALLOC_LOGIC 2810

/* Flag on return of recvfrom_zcopy: the datagram was not copied. */
#define FL_VMA_MSG_ZCOPY 0x00040000

/* Bits of the supported mask. */
#define FL_VMA_HAS_RECVFROM_ZCOPY (UINT64_C(1) << 1)
#define FL_VMA_HAS_FREE_PACKETS (UINT64_C(1) << 2)
#define FL_VMA_HAS_RINGS_NUM (UINT64_C(1) << 10)
#define FL_VMA_HAS_TX_RING_FD (UINT64_C(1) << 12)

#define FL_VMA_RING_LOGIC_PER_USER_ID 11
#define FL_VMA_RING_MASK_USER_ID (1U << 1)
#define FL_VMA_RING_MASK_INGRESS (1U << 2)
#define FL_VMA_RING_MASK_EGRESS (1U << 3)

typedef struct fl_vma_ring_logic
{
    uint32_t mask;
    int32_t logic;
    uint32_t profile_key;
    uint32_t user_id;
    uint32_t directions;   /* bit 0: receive; bit 1: transmit */
} fl_vma_ring_logic_t;

/* What recvfrom_zcopy writes: the number of packets, which is 1 for UDP, and the packet. Packed in VMA's header; there
 * is no padding to leave out on a 64-bit machine. */
typedef struct fl_vma_packet
{
    void *id;
    size_t fragment_count;
    struct iovec fragments[];
} fl_vma_packet_t;

typedef struct fl_vma_packets
{
    size_t count;
    uint8_t first[];       /* an fl_vma_packet_t */
} fl_vma_packets_t;

typedef struct fl_vma_api
{
    void *register_recv_callback;
    int (*recvfrom_zcopy)(
        int fd, void *buffer, size_t length, int *flags, struct sockaddr *from, socklen_t *from_length);
    int (*free_packets)(int fd, fl_vma_packet_t *packets, size_t count);
    void *add_conf_rule;
    void *thread_offload;
    void *socketxtreme_poll;
    int (*get_socket_rings_num)(int fd);
    void *get_socket_rings_fds;
    int (*get_socket_tx_ring_fd)(int fd, struct sockaddr *to, socklen_t to_length);
    void *others[10];
    uint64_t supported_mask;
} fl_vma_api_t;

static_assert(sizeof(fl_vma_ring_logic_t) == 20, "vma_ring_alloc_logic_attr");
static_assert(offsetof(fl_vma_packets_t, first) == 8, "vma_packets_t");
static_assert(offsetof(fl_vma_packet_t, fragments) == 16, "vma_packet_t");
static_assert(offsetof(fl_vma_api_t, recvfrom_zcopy) == 8, "recvfrom_zcopy");
static_assert(offsetof(fl_vma_api_t, free_packets) == 16, "free_packets");
static_assert(offsetof(fl_vma_api_t, get_socket_rings_num) == 48, "get_socket_rings_num");
static_assert(offsetof(fl_vma_api_t, get_socket_tx_ring_fd) == 64, "get_socket_tx_ring_fd");
static_assert(offsetof(fl_vma_api_t, supported_mask) == 152, "vma_extra_supported_mask");

#endif
