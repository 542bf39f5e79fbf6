/* The buffers that a poller of a datagram transport receives into, one for each run of a poll. For C sources alone;
 * cffi does not take it. */
#ifndef FRAMELANE_RECEIVE_BUFFERS_H
#define FRAMELANE_RECEIVE_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* A whole UDP datagram, or all that UDP_GRO joins. */
#define FL_RECEIVE_BUFFER_LENGTH 65536

/* From buffer to buffer. Not a power of two: the first lines of the buffers, which is all that short datagrams use,
 * would share the same few sets of the caches. */
#define FL_RECEIVE_BUFFER_STRIDE (FL_RECEIVE_BUFFER_LENGTH + 33 * 64)

typedef struct fl_receive_buffers
{
    uint8_t *memory;   /* NULL: none */
    size_t length;
} fl_receive_buffers_t;

/* Map memory for `count` buffers. Returns false if there is none. Thread: control. */
static inline bool fl_receive_buffers_open(fl_receive_buffers_t *buffers, uint32_t count)
{
    const size_t length = (size_t)count * FL_RECEIVE_BUFFER_STRIDE;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    buffers->memory = MAP_FAILED == memory ? NULL : memory;
    buffers->length = length;
    return NULL != buffers->memory;
}

static inline uint8_t *fl_receive_buffers_at(const fl_receive_buffers_t *buffers, uint32_t index)
{
    return buffers->memory + (size_t)index * FL_RECEIVE_BUFFER_STRIDE;
}

/* Write to every page, in poller_enter: the first write decides on which NUMA node a page lies, and that is to be the
 * one of the thread that uses it. */
static inline void fl_receive_buffers_touch(fl_receive_buffers_t *buffers)
{
    const size_t page_length = 4096;
    for (size_t offset = 0; offset < buffers->length; offset += page_length)
    {
        buffers->memory[offset] = 0;
    }
}

/* Unmap; also buffers that could not be opened, or all zero. Thread: control. */
static inline void fl_receive_buffers_close(fl_receive_buffers_t *buffers)
{
    if (NULL != buffers->memory)
    {
        munmap(buffers->memory, buffers->length);
    }
    buffers->memory = NULL;
}

#endif
