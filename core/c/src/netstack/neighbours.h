/* The neighbour table: which MAC address a next hop has (bypass 5.3).
 *
 * One writer: in kernel mode the thread that feeds the netstack from netlink, in own mode the poller of queue 0. Any
 * number of readers, each entry under a latch: nobody waits. Entries are found by open addressing in a bounded window
 * and are never moved; the generation is raised when one is given up, so a reader that kept what it found earlier
 * notices.
 *
 * Readers tell what they want by `used_ns` (kept alive by whoever writes) and by wish rings, one for each poller. What
 * a reader keeps in a peer's cache it goes on marking used with fl_neighbours_touch(), once a run.
 */
#ifndef FL_NETSTACK_NEIGHBOURS_H
#define FL_NETSTACK_NEIGHBOURS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "api/netstack.h"
#include "netstack/headers.h"
#include "netstack/latch.h"

/* States, close to the kernel's. FAILED, like INCOMPLETE, has no MAC address to use. */
#define FL_NEIGHBOUR_NONE 0
#define FL_NEIGHBOUR_INCOMPLETE 1
#define FL_NEIGHBOUR_REACHABLE 2
#define FL_NEIGHBOUR_STALE 3
#define FL_NEIGHBOUR_PROBE 4         /* in use while it is asked again */
#define FL_NEIGHBOUR_FAILED 5
#define FL_NEIGHBOUR_PERMANENT 6

/* What readers see of an entry. */
typedef struct fl_neighbour_view
{
    fl_address_t address;            /* port 0; family FL_FAMILY_NONE: the entry is free */
    uint8_t mac[FL_MAC_LENGTH];
    uint16_t state;
} fl_neighbour_view_t;

typedef struct fl_neighbour
{
    _Atomic uint32_t sequence;       /* of the latch */
    uint16_t position;               /* writer only: in `live` */
    uint16_t attempts;               /* writer only: requests sent without an answer */
    _Atomic int64_t used_ns;         /* last use by a reader; relaxed: a hint */
    _Atomic uint64_t copies[2][FL_LATCH_WORDS(fl_neighbour_view_t)];
    fl_neighbour_view_t view;        /* writer only: what was published last */
    int64_t changed_ns;              /* writer only: when the state was entered */
    int64_t deadline_ns;             /* writer only: when to act next */
} fl_neighbour_t;

/* How long after its last use an entry is in use: it is kept, and kept alive. */
#define FL_NEIGHBOUR_USE_NS (60 * INT64_C(1000000000))

/* A slot that is none. */
#define FL_NEIGHBOUR_NO_SLOT UINT32_MAX

typedef struct fl_neighbours
{
    fl_neighbour_t *entries;         /* slots, 64 bytes aligned */
    uint32_t slots;                  /* twice the capacity: a power of two */
    uint32_t capacity;
    uint32_t count;                  /* writer only */
    uint32_t *live;                  /* writer only: the slots in use, `count` of them, in no order */
    _Atomic uint32_t reach;          /* no entry lies further behind its hash's slot; only grows */
    _Atomic uint64_t *generation;    /* the netstack's: raised (release) whenever a reader's answer would change */
} fl_neighbours_t;

#define FL_NEIGHBOURS_MAXIMUM 65536

/* Make a table of `capacity` entries, a power of two up to FL_NEIGHBOURS_MAXIMUM. Returns 0, or -FL_ENOMEM or
 * -FL_EINVAL with the error text set. */
int fl_neighbours_init(fl_neighbours_t *neighbours, uint32_t capacity, _Atomic uint64_t *generation);
void fl_neighbours_destroy(fl_neighbours_t *neighbours);

/* Whether a state has a MAC address to send to. */
static inline bool fl_neighbour_is_usable(uint32_t state)
{
    return FL_NEIGHBOUR_REACHABLE == state || FL_NEIGHBOUR_STALE == state || FL_NEIGHBOUR_PROBE == state ||
        FL_NEIGHBOUR_PERMANENT == state;
}

/* Look a next hop up, and mark it used. Returns its state, FL_NEIGHBOUR_NONE if it has no entry; the MAC address is
 * written in the states that have one, and the slot, FL_NEIGHBOUR_NO_SLOT without entry. Any poller's thread; does not
 * block.
 *
 * Load the generation (acquire) before, and keep the answer only while it has not moved. */
uint32_t fl_neighbours_find(
    fl_neighbours_t *neighbours, const fl_address_t *next_hop, int64_t now_ns, uint8_t mac[FL_MAC_LENGTH],
    uint32_t *slot);

/* Mark an entry used that was found in this generation; FL_NEIGHBOUR_NO_SLOT is passed over. Without it an entry that
 * is only used out of a cache counts as unused, is not asked again, and may be given up. Any poller's thread; one load
 * as a rule. */
static inline void fl_neighbours_touch(fl_neighbours_t *neighbours, uint32_t slot, int64_t now_ns)
{
    if (slot < neighbours->slots)
    {
        _Atomic int64_t *used_ns = &neighbours->entries[slot].used_ns;
        /* Relaxed: a hint. Not stored again within a tick, so that the line stays shared. */
        if (atomic_load_explicit(used_ns, memory_order_relaxed) != now_ns)
        {
            atomic_store_explicit(used_ns, now_ns, memory_order_relaxed);
        }
    }
}

/* Copy the entries out, for people and for keeping them alive. Returns how many there are; at most capacity are
 * written. Any thread. */
uint32_t fl_neighbours_copy(
    fl_neighbours_t *neighbours, fl_netstack_neighbour_t *lines, uint32_t capacity);

/* Set or make an entry; raises the generation if what a reader would be told changed. NULL mac: keep what it has.
 * Returns the entry, or NULL if the table is full of entries that are in use. First given up are failed ones, then the
 * least recently used of those that nobody used for FL_NEIGHBOUR_USE_NS; never those being resolved or permanent. A new
 * entry is not in use until a reader finds it. Thread: writer. */
fl_neighbour_t *fl_neighbours_set(
    fl_neighbours_t *neighbours, const fl_address_t *address, uint32_t state, const uint8_t *mac, int64_t now_ns);

/* Take an entry out, and raise the generation. Thread: writer. */
void fl_neighbours_remove(fl_neighbours_t *neighbours, const fl_address_t *address);

/* The writer's own look-up, without marking it used. */
fl_neighbour_t *fl_neighbours_entry(fl_neighbours_t *neighbours, const fl_address_t *address);

#endif
