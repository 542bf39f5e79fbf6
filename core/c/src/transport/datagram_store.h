/* Datagrams that are held back: copies in memory that is sized once, given out again when they are due.
 *
 * A datagram is due at a time, or, if it is to be overtaken, as soon as a number of later ones passed. One thread uses
 * a store. Two classes of slots keep it small: most datagrams fit an Ethernet frame.
 */
#ifndef FL_TRANSPORT_DATAGRAM_STORE_H
#define FL_TRANSPORT_DATAGRAM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <framelane/types.h>

#define FL_STORE_SMALL_SLOTS 4096u
#define FL_STORE_SMALL_LENGTH 2048u
#define FL_STORE_LARGE_SLOTS 64u
#define FL_STORE_LARGE_LENGTH 65536u
#define FL_STORE_OVERTAKEN 64u          /* most datagrams waiting to be overtaken */

typedef struct fl_held fl_held_t;

/* One datagram. The run points into the held datagram itself and its slot. */
struct fl_held
{
    fl_run_t run;             /* data, length, segment_length, peer, local, timestamp_ns, flags are set */
    void *owner;              /* the user's */
    int64_t due_ns;
    uint64_t order;           /* of being held; decides between equal times */
    uint32_t passes_left;     /* of a datagram to be overtaken */
    fl_peer_t peer;
    fl_address_t local;
    uint8_t *slot;
    fl_held_t *next_free;
    fl_held_t **free_list;
};

typedef struct fl_datagram_store fl_datagram_store_t;

/* NULL: no memory. Pages are touched only when they are used. */
fl_datagram_store_t *fl_datagram_store_new(void);
void fl_datagram_store_free(fl_datagram_store_t *store);

/* Copy one datagram of `run`, at `offset` and of `length` bytes, with its peer and local address. NULL: full. The
 * result belongs to the caller until it is held or given back. */
fl_held_t *fl_datagram_store_copy(fl_datagram_store_t *store, const fl_run_t *run, uint32_t offset, uint32_t length);

/* Hold until due_ns; with passes not 0 also until so many datagrams passed, whichever is first. Returns false if too
 * many wait to be overtaken: then it is held until due_ns alone. */
bool fl_datagram_store_hold(fl_datagram_store_t *store, fl_held_t *held, int64_t due_ns, uint32_t passes);

/* Note that one datagram passed those that are to be overtaken. */
void fl_datagram_store_pass(fl_datagram_store_t *store);

/* Take one that is due, in the order of the times; NULL: none is. Give it back with fl_datagram_store_give. */
fl_held_t *fl_datagram_store_due(fl_datagram_store_t *store, int64_t now_ns);
void fl_datagram_store_give(fl_datagram_store_t *store, fl_held_t *held);

/* Give back all that is held for an owner; NULL: for all. */
void fl_datagram_store_drop(fl_datagram_store_t *store, const void *owner);

/* Whether anything is held, and whether something waits to be overtaken. */
bool fl_datagram_store_is_empty(const fl_datagram_store_t *store);
bool fl_datagram_store_is_overtaking(const fl_datagram_store_t *store);

#endif
