/* VMA's extra API, declared for the stand-in: on its own and whole, so that a wrong number or place in the plugin's
 * declarations does not stand here again. */
#ifndef FL_VMA_STAND_IN_EXTRA_H
#define FL_VMA_STAND_IN_EXTRA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define MSG_VMA_ZCOPY_FORCE 0x01000000
#define MSG_VMA_ZCOPY 0x00040000

#define SO_VMA_GET_API 2800
#define SO_VMA_RING_ALLOC_LOGIC 2810

typedef enum
{
    RING_LOGIC_PER_USER_ID = 11,
} ring_logic_t;

#define VMA_RING_ALLOC_MASK_RING_USER_ID 2
#define VMA_RING_ALLOC_MASK_RING_INGRESS 4
#define VMA_RING_ALLOC_MASK_RING_ENGRESS 8

#define VMA_EXTRA_API_RECVFROM_ZCOPY (1 << 1)
#define VMA_EXTRA_API_FREE_PACKETS (1 << 2)
#define VMA_EXTRA_API_GET_SOCKET_RINGS_NUM (1 << 10)
#define VMA_EXTRA_API_GET_SOCKET_TX_RING_FD (1 << 12)

struct __attribute__((packed)) vma_packet_t
{
    void *packet_id;
    size_t sz_iov;
    struct iovec iov[];
};

struct __attribute__((packed)) vma_packets_t
{
    size_t n_packet_num;
    struct vma_packet_t pkts[];
};

struct vma_ring_alloc_logic_attr
{
    uint32_t comp_mask;
    ring_logic_t ring_alloc_logic;
    uint32_t ring_profile_key;
    uint32_t user_id;
    uint32_t ingress : 1;
    uint32_t engress : 1;
    uint32_t reserved : 30;
};

/* Entries that the stand-in leaves out have no type here. */
struct __attribute__((packed)) vma_api_t
{
    void *register_recv_callback;
    int (*recvfrom_zcopy)(int s, void *buf, size_t len, int *flags, struct sockaddr *from, socklen_t *fromlen);
    int (*free_packets)(int s, struct vma_packet_t *pkts, size_t count);
    void *add_conf_rule;
    void *thread_offload;
    void *socketxtreme_poll;
    int (*get_socket_rings_num)(int fd);
    void *get_socket_rings_fds;
    int (*get_socket_tx_ring_fd)(int fd, struct sockaddr *to, socklen_t tolen);
    void *socketxtreme_free_vma_packets;
    void *socketxtreme_ref_vma_buff;
    void *socketxtreme_free_vma_buff;
    void *dump_fd_stats;
    void *vma_add_ring_profile;
    void *get_socket_network_header;
    void *get_ring_direct_descriptors;
    void *register_memory_on_ring;
    void *deregister_memory_on_ring;
    void *vma_modify_ring;
    uint64_t vma_extra_supported_mask;
    void *ioctl;
};

#endif
