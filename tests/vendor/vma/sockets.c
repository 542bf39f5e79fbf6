/* The socket calls. Each is a system call, so that nothing depends on the order in which libraries are searched, also
 * where the stand-in is preloaded and every call of the process comes here. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stand_in.h"
#include <mellanox/vma_extra.h>

#define RINGS 256
#define TYPE_MASK 0xf   /* of the type, without SOCK_CLOEXEC and SOCK_NONBLOCK */

stand_in_figures_t stand_in_figures;

static stand_in_socket_t sockets[STAND_IN_SOCKETS];
static _Atomic int ring_threads[RINGS];
static _Atomic unsigned sent;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static stand_in_options_t options = { .packets = 256 };

static bool take_number(const char *word, const char *name, unsigned *value)
{
    const size_t length = strlen(name);
    if (0 != strncmp(word, name, length) || '=' != word[length])
    {
        return false;
    }
    *value = (unsigned)strtoul(word + length + 1, NULL, 10);
    return true;
}

static void read_word(const char *word)
{
    unsigned refuse = 0;
    if (take_number(word, "refuse", &refuse))
    {
        options.refuse = (int)refuse;
    }
    else if (0 == strcmp(word, "kernel"))
    {
        options.is_kernel = true;
    }
    else if (0 == strcmp(word, "no_api"))
    {
        options.has_no_api = true;
    }
    else if (0 == strcmp(word, "late_rings=ring"))
    {
        options.late_rings = "ring";
    }
    else if (0 == strcmp(word, "late_rings=kernel"))
    {
        options.late_rings = "kernel";
    }
    else if (0 == strcmp(word, "three_tuple"))
    {
        options.is_three_tuple = true;
    }
    else if (0 == strcmp(word, "own_rings"))
    {
        options.own_rings = true;
    }
    else if (
        0 != strcmp(word, "on") && !take_number(word, "packets", &options.packets) &&
        !take_number(word, "copy_every", &options.copy_every) && !take_number(word, "fragment", &options.fragment) &&
        !take_number(word, "tx_full_every", &options.tx_full_every))
    {
        stand_in_abort("VMA_STAND_IN has the word '%s', which is none of its README", word);
    }
}

static void read_words(const char *text)
{
    char words[256];
    char *rest = words;
    options.is_allowed = true;
    snprintf(words, sizeof(words), "%s", text);
    for (char *word = strsep(&rest, ","); NULL != word; word = strsep(&rest, ","))
    {
        read_word(word);
    }
}

static void read_options(void)
{
    const char *text = getenv("VMA_STAND_IN");
    const char *eagains = getenv("VMA_TX_NONBLOCKED_EAGAINS");
    options.tells_full = NULL != eagains && 0 == strcmp(eagains, "1");
    if (NULL == text || '\0' == *text)
    {
        fprintf(stderr, "vma stand-in: this is for framelane's tests, which set VMA_STAND_IN\n");
        options.refuse = EPERM;
        return;
    }
    read_words(text);
    if (0 != options.refuse && NULL != getenv("VMA_EXCEPTION_HANDLING") &&
        0 == strcmp(getenv("VMA_EXCEPTION_HANDLING"), "-2"))
    {
        fprintf(stderr, "vma stand-in: it cannot start, and VMA_EXCEPTION_HANDLING=-2 has the process end\n");
        _exit(1);
    }
}

const stand_in_options_t *stand_in_options(void)
{
    pthread_once(&once, read_options);
    return &options;
}

stand_in_socket_t *stand_in_socket(int fd)
{
    return fd >= 0 && fd < STAND_IN_SOCKETS && sockets[fd].is_made ? &sockets[fd] : NULL;
}

void stand_in_use_ring(const stand_in_socket_t *socket)
{
    if (NULL == socket || !stand_in_options()->own_rings)
    {
        return;
    }
    static __thread int thread;
    thread = 0 != thread ? thread : (int)syscall(SYS_gettid);
    int expected = 0;
    _Atomic int *holder = &ring_threads[socket->ring % RINGS];
    if (!atomic_compare_exchange_strong(holder, &expected, thread) && expected != thread)
    {
        stand_in_abort("threads %d and %d share the ring of user id %u", expected, thread, socket->ring);
    }
}

/* Whether the ring is full for the next datagram. */
static bool is_full(stand_in_socket_t *socket)
{
    stand_in_use_ring(socket);
    if (NULL != socket)
    {
        socket->sent++;
    }
    const unsigned every = stand_in_options()->tx_full_every;
    if (NULL == socket || !socket->is_offloaded || 0 == every || 0 != ++sent % every)
    {
        return false;
    }
    stand_in_figures.tx_full++;
    return true;
}

/* What a send into a full ring returns. */
static ssize_t refuse_datagram(size_t length)
{
    if (stand_in_options()->tells_full)
    {
        errno = EAGAIN;
        return -1;
    }
    stand_in_figures.tx_dropped++;
    return (ssize_t)length;
}

STAND_IN_EXPORT void fl_vma_stand_in(uint64_t figures[6])
{
    figures[0] = stand_in_figures.held;
    figures[1] = stand_in_figures.held_peak;
    figures[2] = stand_in_figures.zero_copy;
    figures[3] = stand_in_figures.copied;
    figures[4] = stand_in_figures.tx_full;
    figures[5] = stand_in_figures.tx_dropped;
}

/* Replace the words of VMA_STAND_IN from now on; the pool of packets stays as large as it was first. One thread. */
STAND_IN_EXPORT void fl_vma_stand_in_words(const char *text)
{
    stand_in_options();
    options = (stand_in_options_t){ .packets = options.packets, .tells_full = options.tells_full };
    read_words(text);
}

STAND_IN_EXPORT int socket(int domain, int type, int protocol)
{
    const stand_in_options_t *chosen = stand_in_options();
    const bool is_ours = AF_INET == domain && SOCK_DGRAM == (type & TYPE_MASK);
    if (0 != chosen->refuse)
    {
        errno = chosen->refuse;
        return -1;
    }
    const int fd = (int)syscall(SYS_socket, domain, type, protocol);
    if (is_ours && fd >= 0 && fd < STAND_IN_SOCKETS)
    {
        stand_in_socket_t *made = &sockets[fd];
        *made = (stand_in_socket_t){ .is_made = true, .is_offloaded = !chosen->is_kernel };
    }
    return fd;
}

STAND_IN_EXPORT int close(int fd)
{
    stand_in_socket_t *closed = stand_in_socket(fd);
    if (NULL != closed)
    {
        if (0 != closed->held)
        {
            stand_in_abort("socket %d was closed with %d packets held", fd, (int)closed->held);
        }
        closed->is_made = false;
    }
    return (int)syscall(SYS_close, fd);
}

STAND_IN_EXPORT int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    const int result = (int)syscall(SYS_bind, fd, address, length);
    stand_in_socket_t *bound = stand_in_socket(fd);
    if (NULL != bound)
    {
        bound->is_bound |= 0 == result;
    }
    return result;
}

STAND_IN_EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    stand_in_socket_t *connected = stand_in_socket(fd);
    if (NULL != connected && stand_in_options()->is_three_tuple && sizeof(connected->peer) == length)
    {
        memcpy(&connected->peer, address, length);
        connected->has_peer = true;
        connected->is_bound = true;
        return 0;
    }
    const int result = (int)syscall(SYS_connect, fd, address, length);
    if (NULL != connected)
    {
        connected->is_bound |= 0 == result;
    }
    return result;
}

STAND_IN_EXPORT int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
    return (int)syscall(SYS_getsockname, fd, address, length);
}

static int choose_ring(stand_in_socket_t *socket, const void *value, socklen_t length)
{
    struct vma_ring_alloc_logic_attr logic;
    if (sizeof(logic) != length || socket->is_bound)
    {
        errno = EINVAL;
        return -1;
    }
    memcpy(&logic, value, sizeof(logic));
    const bool has_user_id = 0 != (logic.comp_mask & VMA_RING_ALLOC_MASK_RING_USER_ID);
    if (RING_LOGIC_PER_USER_ID != logic.ring_alloc_logic || !has_user_id || !logic.ingress || !logic.engress)
    {
        stand_in_abort("ring logic %d with mask 0x%x is not what this knows", logic.ring_alloc_logic, logic.comp_mask);
    }
    socket->ring = logic.user_id;
    return 0;
}

STAND_IN_EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    stand_in_socket_t *set = stand_in_socket(fd);
    if (NULL != set && set->is_offloaded && SOL_SOCKET == level && SO_VMA_RING_ALLOC_LOGIC == option)
    {
        return choose_ring(set, value, length);
    }
    return (int)syscall(SYS_setsockopt, fd, level, option, value, length);
}

STAND_IN_EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    const struct vma_api_t *api = stand_in_api();
    if (-1 == fd && SOL_SOCKET == level && SO_VMA_GET_API == option && stand_in_options()->is_allowed &&
        !stand_in_options()->has_no_api && sizeof(api) <= *length)
    {
        memcpy(value, &api, sizeof(api));
        return 0;
    }
    return (int)syscall(SYS_getsockopt, fd, level, option, value, length);
}

STAND_IN_EXPORT int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    const long argument = va_arg(arguments, long);
    va_end(arguments);
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

STAND_IN_EXPORT ssize_t recvfrom(
    int fd, void *restrict data, size_t length, int flags, struct sockaddr *restrict address,
    socklen_t *restrict address_length)
{
    stand_in_use_ring(stand_in_socket(fd));
    return syscall(SYS_recvfrom, fd, data, length, flags, address, address_length);
}

STAND_IN_EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    stand_in_use_ring(stand_in_socket(fd));
    return syscall(SYS_recvmsg, fd, message, flags);
}

STAND_IN_EXPORT int recvmmsg(
    int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    stand_in_use_ring(stand_in_socket(fd));
    return (int)syscall(SYS_recvmmsg, fd, messages, count, flags, timeout);
}

STAND_IN_EXPORT ssize_t sendto(
    int fd, const void *data, size_t length, int flags, const struct sockaddr *address, socklen_t address_length)
{
    stand_in_socket_t *socket = stand_in_socket(fd);
    if (is_full(socket))
    {
        return refuse_datagram(length);
    }
    const bool is_to_peer = NULL == address && NULL != socket && socket->has_peer;
    return syscall(
        SYS_sendto, fd, data, length, flags, is_to_peer ? (const struct sockaddr *)&socket->peer : address,
        is_to_peer ? sizeof(socket->peer) : address_length);
}

STAND_IN_EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t length = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
    {
        length += message->msg_iov[i].iov_len;
    }
    return is_full(stand_in_socket(fd)) ? refuse_datagram(length) : syscall(SYS_sendmsg, fd, message, flags);
}

STAND_IN_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned i = 0; i < count; i++)
    {
        const ssize_t result = sendmsg(fd, &messages[i].msg_hdr, flags);
        if (result < 0)
        {
            return i > 0 ? (int)i : -1;
        }
        messages[i].msg_len = (unsigned)result;
    }
    return (int)count;
}
