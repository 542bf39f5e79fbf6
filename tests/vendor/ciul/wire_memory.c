/* A wire in memory: every VI has a bounded ring of its own in a shared file, and whoever sends puts a copy into the
 * rings of the other adapters' VIs. Several writers, one reader: each slot's sequence says whose turn it is. A full
 * ring loses the frame, as an adapter's FIFO does.
 *
 * The bell is a FIFO that a writer rings only while the reader is armed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ciul.h"

#define FL_CIUL_RING_SLOTS 1024u

typedef struct
{
    _Atomic uint32_t sequence;
    uint32_t length;
    uint64_t time_ns;
    uint8_t data[FL_CIUL_FRAME_MAX];
} fl_ciul_slot_t;

typedef struct
{
    _Atomic uint32_t head; /* writers */
    uint32_t padding[15];
    _Atomic uint32_t is_armed;
    uint32_t padding_too[15];
    fl_ciul_slot_t slots[FL_CIUL_RING_SLOTS];
} fl_ciul_ring_t;

typedef struct
{
    uint32_t serial; /* 0: not mapped */
    fl_ciul_ring_t *ring;
    int bell;
} fl_ciul_peer_t;

typedef struct
{
    fl_ciul_wire_t wire;
    fl_ciul_registry_t registry;
    fl_ciul_table_t table;
    int member;
    char interface[IF_NAMESIZE];
    char path[PATH_MAX], bell_path[PATH_MAX];
    fl_ciul_ring_t *ring;
    int bell;
    uint32_t tail;
    fl_ciul_peer_t peers[FL_CIUL_MEMBERS];
} fl_ciul_memory_t;

static void fl_ciul_memory_paths(const fl_ciul_registry_t *registry, uint32_t serial, char *ring, char *bell)
{
    snprintf(ring, PATH_MAX, "%s/%u.ring", registry->wire + 7, serial);
    snprintf(bell, PATH_MAX, "%s/%u.bell", registry->wire + 7, serial);
}

static fl_ciul_ring_t *fl_ciul_memory_map(const char *path, int flags)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0)
    {
        return NULL;
    }
    void *ring = MAP_FAILED;
    if (0 == ftruncate(fd, sizeof(fl_ciul_ring_t)))
    {
        ring = mmap(NULL, sizeof(fl_ciul_ring_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    return MAP_FAILED == ring ? NULL : (fl_ciul_ring_t *)ring;
}

static void fl_ciul_memory_forget(fl_ciul_peer_t *peer)
{
    if (0 != peer->serial)
    {
        munmap(peer->ring, sizeof(fl_ciul_ring_t));
        close(peer->bell);
        peer->serial = 0;
    }
}

static void fl_ciul_memory_look(fl_ciul_memory_t *memory)
{
    if (!fl_ciul_registry_copy(&memory->registry, &memory->table))
    {
        return;
    }
    for (int i = 0; i < FL_CIUL_MEMBERS; i++)
    {
        const fl_ciul_member_t *member = &memory->table.members[i];
        fl_ciul_peer_t *peer = &memory->peers[i];
        bool is_peer = member->is_used && 0 != strcmp(member->interface, memory->interface);
        if (!is_peer || member->serial != peer->serial)
        {
            fl_ciul_memory_forget(peer);
        }
        if (is_peer && 0 == peer->serial)
        {
            char ring[PATH_MAX];
            char bell[PATH_MAX];
            fl_ciul_memory_paths(&memory->registry, member->serial, ring, bell);
            peer->ring = fl_ciul_memory_map(ring, 0);
            peer->bell = open(bell, O_RDWR | O_NONBLOCK | O_CLOEXEC);
            if (NULL != peer->ring && 0 <= peer->bell)
            {
                peer->serial = member->serial;
                continue;
            }
            if (NULL != peer->ring)
            {
                munmap(peer->ring, sizeof(fl_ciul_ring_t));
            }
            /* It has joined and not yet made its ring: the next frame looks again. */
            atomic_store_explicit(&memory->table.generation, 0, memory_order_relaxed);
        }
    }
}

static void fl_ciul_memory_put(const fl_ciul_peer_t *peer, const uint8_t *frame, size_t length, uint64_t now_ns)
{
    fl_ciul_ring_t *ring = peer->ring;
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    fl_ciul_slot_t *slot;
    for (;;)
    {
        slot = &ring->slots[head % FL_CIUL_RING_SLOTS];
        /* Acquire: pairs with the reader's release in fl_ciul_memory_receive(). The slot has been read. */
        uint32_t sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
        uint32_t lap = head / FL_CIUL_RING_SLOTS * 2;
        if (sequence == lap)
        {
            if (atomic_compare_exchange_weak_explicit(
                    &ring->head, &head, head + 1, memory_order_relaxed, memory_order_relaxed))
            {
                break;
            }
        }
        else if ((int32_t)(sequence - lap) < 0)
        {
            return; /* full */
        }
        else
        {
            head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        }
    }
    slot->length = (uint32_t)length;
    slot->time_ns = now_ns;
    memcpy(slot->data, frame, length);
    /* Sequentially consistent, both, as in fl_ciul_memory_arm(): either the frame is seen there or the arming here. The
     * store is also the release for the acquire in fl_ciul_memory_has_frames() and publishes the frame. */
    atomic_store_explicit(&slot->sequence, head / FL_CIUL_RING_SLOTS * 2 + 1, memory_order_seq_cst);
    if (0 != atomic_load_explicit(&ring->is_armed, memory_order_seq_cst))
    {
        ssize_t rung = write(peer->bell, "", 1);
        (void)rung; /* a full bell rings */
    }
}

static int fl_ciul_memory_send(fl_ciul_wire_t *wire, const uint8_t *frame, size_t length)
{
    fl_ciul_memory_t *memory = (fl_ciul_memory_t *)wire;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    fl_ciul_memory_look(memory);
    for (int i = 0; i < FL_CIUL_MEMBERS; i++)
    {
        if (0 != memory->peers[i].serial)
        {
            fl_ciul_memory_put(&memory->peers[i], frame, length, now_ns);
        }
    }
    return 0;
}

static bool fl_ciul_memory_has_frames(fl_ciul_wire_t *wire)
{
    fl_ciul_memory_t *memory = (fl_ciul_memory_t *)wire;
    const fl_ciul_slot_t *slot = &memory->ring->slots[memory->tail % FL_CIUL_RING_SLOTS];
    /* Sequentially consistent for fl_ciul_memory_arm(); an acquire otherwise, for the store in fl_ciul_memory_put(). */
    return memory->tail / FL_CIUL_RING_SLOTS * 2 + 1 == atomic_load_explicit(&slot->sequence, memory_order_seq_cst);
}

static int fl_ciul_memory_receive(fl_ciul_wire_t *wire, fl_ciul_frame_t *frames, int capacity)
{
    fl_ciul_memory_t *memory = (fl_ciul_memory_t *)wire;
    int count = 0;
    for (; count < capacity && fl_ciul_memory_has_frames(wire); count++)
    {
        fl_ciul_slot_t *slot = &memory->ring->slots[memory->tail % FL_CIUL_RING_SLOTS];
        frames[count].length = slot->length;
        frames[count].time_ns = slot->time_ns;
        memcpy(frames[count].data, slot->data, slot->length);
        /* Release: pairs with the acquire in fl_ciul_memory_put(). The slot is the next lap's. */
        atomic_store_explicit(
            &slot->sequence, memory->tail / FL_CIUL_RING_SLOTS * 2 + 2, memory_order_release);
        memory->tail++;
    }
    return count;
}

static int fl_ciul_memory_arm(fl_ciul_wire_t *wire, bool is_armed)
{
    fl_ciul_memory_t *memory = (fl_ciul_memory_t *)wire;
    char rung[64];
    while (0 < read(memory->bell, rung, sizeof(rung)))
    {
    }
    atomic_store_explicit(&memory->ring->is_armed, is_armed, memory_order_seq_cst);
    if (is_armed && fl_ciul_memory_has_frames(wire))
    {
        ssize_t wrote = write(memory->bell, "", 1);
        (void)wrote;
    }
    return memory->bell;
}

static void fl_ciul_memory_close(fl_ciul_wire_t *wire)
{
    fl_ciul_memory_t *memory = (fl_ciul_memory_t *)wire;
    for (int i = 0; i < FL_CIUL_MEMBERS; i++)
    {
        fl_ciul_memory_forget(&memory->peers[i]);
    }
    if (NULL != memory->ring)
    {
        munmap(memory->ring, sizeof(fl_ciul_ring_t));
    }
    if (0 <= memory->bell)
    {
        close(memory->bell);
    }
    unlink(memory->path);
    unlink(memory->bell_path);
    free(memory);
}

int fl_ciul_wire_memory_open(fl_ciul_wire_t **wire, const fl_ciul_registry_t *registry, int member)
{
    fl_ciul_memory_t *memory = (fl_ciul_memory_t *)calloc(1, sizeof(fl_ciul_memory_t));
    if (NULL == memory)
    {
        return -ENOMEM;
    }
    memory->wire = (fl_ciul_wire_t){.send = fl_ciul_memory_send,
        .receive = fl_ciul_memory_receive,
        .arm = fl_ciul_memory_arm,
        .has_frames = fl_ciul_memory_has_frames,
        .close = fl_ciul_memory_close};
    memory->registry = *registry;
    memory->member = member;
    memory->bell = -1;
    const fl_ciul_member_t *own = &registry->shared->members[member];
    snprintf(memory->interface, sizeof(memory->interface), "%s", own->interface);
    fl_ciul_memory_paths(registry, own->serial, memory->path, memory->bell_path);
    if (0 != mkfifo(memory->bell_path, 0600) ||
        (memory->bell = open(memory->bell_path, O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0 ||
        NULL == (memory->ring = fl_ciul_memory_map(memory->path, O_CREAT | O_EXCL)))
    {
        int error = errno;
        fl_ciul_memory_close(&memory->wire);
        return -error;
    }
    *wire = &memory->wire;
    return 0;
}
