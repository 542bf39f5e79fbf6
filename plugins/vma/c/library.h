/* The loaded library: its socket calls by address, so that the rest of the process keeps the kernel's. */
#ifndef FL_VMA_LIBRARY_H
#define FL_VMA_LIBRARY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "api/vma.h"
#include "extra_api.h"

/* As the functions of libc that they stand for; errno says why one failed. */
typedef struct fl_vma_calls
{
    int (*socket)(int domain, int type, int protocol);
    int (*close)(int fd);
    int (*bind)(int fd, const struct sockaddr *address, socklen_t length);
    int (*connect)(int fd, const struct sockaddr *address, socklen_t length);
    int (*getsockname)(int fd, struct sockaddr *address, socklen_t *length);
    int (*setsockopt)(int fd, int level, int option, const void *value, socklen_t length);
    int (*getsockopt)(int fd, int level, int option, void *value, socklen_t *length);
    int (*fcntl)(int fd, int command, ...);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    ssize_t (*sendto)(
        int fd, const void *data, size_t length, int flags, const struct sockaddr *address, socklen_t address_length);
} fl_vma_calls_t;

typedef struct fl_vma_library
{
    fl_vma_calls_t calls;
    const fl_vma_api_t *api;   /* NULL: the library has none */
    fl_vma_library_info_t info;
} fl_vma_library_t;

/* The library that is loaded, NULL if none is. It never changes once it is there. */
const fl_vma_library_t *fl_vma_library(void);

/* What VMA says of moving a socket's datagrams itself. */
typedef enum fl_offload
{
    FL_OFFLOAD_NO,
    FL_OFFLOAD_YES,
    FL_OFFLOAD_UNKNOWN,   /* the library cannot be asked, or makes the ring with the first datagram */
} fl_offload_t;

/* Whether there is a ring to receive from, and one that leads to `peer`. Control thread; agents may use the socket. */
fl_offload_t fl_vma_receives_offloaded(int fd);
fl_offload_t fl_vma_sends_offloaded(int fd, const struct sockaddr_in *peer);

#endif
