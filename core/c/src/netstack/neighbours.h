/* The neighbour table: which MAC address a next hop has (bypass 5.3).
 *
 * One writer: in kernel mode the thread that feeds the netstack from netlink, in own mode the poller of queue 0. Any
 * number of readers, each entry under a sequence count. Entries are found by open addressing and are never moved while
 * they are in use; an entry that was given up is reused for another address only after the generation was raised, so a
 * reader that kept what it found earlier notices.
 *
 * Readers tell what they want by `used_ns` (kept alive by whoever writes) and by wish rings, one for each poller.
 */
#ifndef FL_NETSTACK_NEIGHBOURS_H
#define FL_NETSTACK_NEIGHBOURS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "api/netstack.h"
#include "netstack/headers.h"

/* States, close to the kernel's. FAILED, like INCOMPLETE, has no MAC address to use. */
#define FL_NEIGHBOUR_NONE 0
#define FL_NEIGHBOUR_INCOMPLETE 1
#define FL_NEIGHBOUR_REACHABLE 2
#define FL_NEIGHBOUR_STALE 3
#define FL_NEIGHBOUR_PROBE 4         /* in use while it is asked again */
#define FL_NEIGHBOUR_FAILED 5
#define FL_NEIGHBOUR_PERMANENT 6

typedef struct fl_neighbour
{
    _Atomic uint32_t sequence;       /* odd while address, mac and state are written */
    uint32_t state;
    fl_address_t address;            /* port 0; family FL_FAMILY_NONE: the entry is free */
    uint8_t mac[FL_MAC_LENGTH];
    uint8_t attempts;                /* writer only: requests sent without an answer */
    uint8_t reserved;
    _Atomic int64_t used_ns;         /* last look-up by a reader; relaxed */
    int64_t changed_ns;              /* writer only: when the state was entered */
    int64_t deadline_ns;             /* writer only: when to act next */
} fl_neighbour_t;

typedef struct fl_neighbours
{
    fl_neighbour_t *entries;
    uint32_t capacity;               /* a power of two */
    uint32_t count;                  /* writer only */
    _Atomic uint64_t *generation;    /* the netstack's: raised (release) whenever a reader's answer would change */
} fl_neighbours_t;

/* Make a table of `capacity` entries, a power of two. Returns 0 or -FL_ENOMEM. */
int fl_neighbours_init(fl_neighbours_t *neighbours, uint32_t capacity, _Atomic uint64_t *generation);
void fl_neighbours_destroy(fl_neighbours_t *neighbours);

/* Look a next hop up, and mark it used. Returns its state, FL_NEIGHBOUR_NONE if it has no entry; the MAC address is written
 * in the states that have one. Any poller's thread; does not block: a writer's few stores are waited out. */
uint32_t fl_neighbours_find(
    fl_neighbours_t *neighbours, const fl_address_t *next_hop, int64_t now_ns, uint8_t mac[FL_MAC_LENGTH]);

/* Set or make an entry; raises the generation if the MAC address or usability changed. NULL mac: keep what it has.
 * Returns the entry, or NULL if the table is full of entries that are in use (the least recently used unneeded one is given
 * up first). Thread: writer. */
fl_neighbour_t *fl_neighbours_set(
    fl_neighbours_t *neighbours, const fl_address_t *address, uint32_t state, const uint8_t *mac, int64_t now_ns);

/* Take an entry out. Thread: writer. */
void fl_neighbours_remove(fl_neighbours_t *neighbours, const fl_address_t *address);

/* The writer's own look-up, without marking it used. */
fl_neighbour_t *fl_neighbours_entry(fl_neighbours_t *neighbours, const fl_address_t *address);

#endif
