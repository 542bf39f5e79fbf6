/* The pool of packets. Each has pages of its own, which can be read while the packet is held and not touched at all
 * after, so that the processor finds misuse. The packet that was freed longest ago is taken first. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stand_in.h"

/* In front of a datagram there are its headers, so that it does not begin where a page does. */
#define HEADERS_LENGTH 42
#define PACKET_STRIDE (STAND_IN_DATAGRAM_LENGTH + 2 * 4096)

typedef struct packet
{
    struct packet *next;   /* in the list of free ones */
    uint8_t *memory;
    int fd;
    bool is_held;
} packet_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static packet_t *packets;
static unsigned packet_count;
static packet_t *first_free;
static packet_t **last_free = &first_free;
static uint8_t *memory;
static struct sigaction previous_action;

void stand_in_abort(const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = snprintf(text, sizeof(text), "vma stand-in: ");
    length += vsnprintf(text + length, sizeof(text) - (size_t)length - 1, format, arguments);
    va_end(arguments);
    length = length < (int)sizeof(text) - 1 ? length : (int)sizeof(text) - 2;
    text[length++] = '\n';
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
    {
        _exit(99);
    }
    abort();
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    const uint8_t *address = info->si_addr;
    if (address >= memory && address < memory + (size_t)packet_count * PACKET_STRIDE)
    {
        const packet_t *packet = &packets[(size_t)(address - memory) / PACKET_STRIDE];
        stand_in_abort(
            packet->is_held ? "packet %zu of socket %d was written to, and can be read only"
                            : "packet %zu of socket %d was used after free_packets",
            (size_t)(packet - packets), packet->fd);
    }
    sigaction(SIGSEGV, &previous_action, NULL);   /* not ours: it happens again, and is seen by others */
}

static void make_pool(void)
{
    packet_count = stand_in_options()->packets;
    packets = calloc(packet_count, sizeof(*packets));
    memory = mmap(
        NULL, (size_t)packet_count * PACKET_STRIDE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (NULL == packets || MAP_FAILED == memory)
    {
        stand_in_abort("no memory for %u packets", packet_count);
    }
    for (unsigned i = 0; i < packet_count; i++)
    {
        packets[i].memory = memory + (size_t)i * PACKET_STRIDE;
        *last_free = &packets[i];
        last_free = &packets[i].next;
    }
    const struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigaction(SIGSEGV, &action, &previous_action);
}

void *stand_in_packet_take(int fd, const void *datagram, size_t length, uint8_t **data)
{
    pthread_mutex_lock(&lock);
    if (NULL == packets)
    {
        make_pool();
    }
    packet_t *packet = first_free;
    if (NULL != packet)
    {
        first_free = packet->next;
        last_free = NULL == first_free ? &first_free : last_free;
        packet->next = NULL;
        packet->fd = fd;
        packet->is_held = true;
        mprotect(packet->memory, PACKET_STRIDE, PROT_READ | PROT_WRITE);
        *data = packet->memory + HEADERS_LENGTH;
        memcpy(*data, datagram, length);
        mprotect(packet->memory, PACKET_STRIDE, PROT_READ);
        const uint64_t held = ++stand_in_figures.held;
        stand_in_figures.held_peak = held > stand_in_figures.held_peak ? held : stand_in_figures.held_peak;
        stand_in_socket(fd)->held++;
    }
    pthread_mutex_unlock(&lock);
    return packet;
}

int stand_in_packet_free(int fd, void *id)
{
    packet_t *packet = id;
    pthread_mutex_lock(&lock);
    if (packet < packets || packet >= packets + packet_count)
    {
        stand_in_abort("free_packets of socket %d was given %p, which is no packet", fd, id);
    }
    if (!packet->is_held)
    {
        stand_in_abort("packet %zu of socket %d was freed twice", (size_t)(packet - packets), fd);
    }
    int result = ENOENT;
    if (packet->fd == fd)
    {
        result = 0;
        packet->is_held = false;
        mprotect(packet->memory, PACKET_STRIDE, PROT_NONE);
        *last_free = packet;
        last_free = &packet->next;
        stand_in_figures.held--;
        stand_in_socket(fd)->held--;
    }
    pthread_mutex_unlock(&lock);
    return result;
}
