/* Questions about addresses and runs that the transports of the core ask, besides those of framelane/address.h. */
#ifndef FL_TRANSPORT_ADDRESS_H
#define FL_TRANSPORT_ADDRESS_H

#include <stdbool.h>
#include <string.h>

#include <framelane/address.h>

static inline bool fl_address_is_same_host(const fl_address_t *a, const fl_address_t *b)
{
    return a->family == b->family && 0 == memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static inline bool fl_address_is_same(const fl_address_t *a, const fl_address_t *b)
{
    return a->port == b->port && fl_address_is_same_host(a, b);
}

static inline bool fl_address_is_loopback(const fl_address_t *address)
{
    static const uint8_t one[16] = { [15] = 1 };
    return FL_FAMILY_IPV6 == address->family ? 0 == memcmp(address->bytes, one, sizeof(one))
                                             : FL_FAMILY_IPV4 == address->family && 127 == address->bytes[0];
}

/* Forget what a transport knew of a peer; the address stays. Thread: the one that sends to it. */
static inline void fl_peer_forget(fl_peer_t *peer)
{
    peer->generation = 0;
    memset(peer->cache, 0, sizeof(peer->cache));
}

/* How many datagrams a run holds; 0 if its lengths contradict each other. */
static inline uint32_t fl_run_segments(const fl_run_t *run)
{
    return 0 == run->length            ? 1
        : 0 == run->segment_length     ? 0
                                       : run->length / run->segment_length + (0 != run->length % run->segment_length);
}

/* Bytes of the first `segments` datagrams of a run. */
static inline uint32_t fl_run_extent(const fl_run_t *run, uint32_t segments)
{
    const uint64_t extent = (uint64_t)segments * run->segment_length;
    return extent < run->length ? (uint32_t)extent : run->length;
}

/* Where a run goes: its peer, or the connected one. */
static inline const fl_address_t *fl_run_destination(const fl_run_t *run, const fl_address_t *connected)
{
    return NULL != run->peer ? &run->peer->address : connected;
}

/* The status that runs[index] inherits: that of an earlier run of the call to the same destination that was not taken
 * whole, else 0. */
static inline int32_t fl_run_inherited_status(const fl_run_t *runs, uint32_t index, const fl_address_t *connected)
{
    const fl_address_t *destination = fl_run_destination(&runs[index], connected);
    for (uint32_t i = 0; i < index; i++)
    {
        if (0 != runs[i].status && fl_address_is_same(fl_run_destination(&runs[i], connected), destination))
        {
            return runs[i].status;
        }
    }
    return 0;
}

#endif
