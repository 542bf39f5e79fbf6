#include "netstack/neighbours.h"

#include <stdlib.h>
#include <string.h>

#include "transport/address.h"
#include "util/error.h"

/* Slots behind the hash's that are tried: with half of all slots free at least, more are never needed in practice. */
#define FL_NEIGHBOUR_WINDOW 64
#define FL_NEIGHBOUR_WORDS FL_LATCH_WORDS(fl_neighbour_view_t)

static_assert(sizeof(fl_neighbour_view_t) == 32, "fl_neighbour_view_t");
static_assert(sizeof(fl_neighbour_t) == 128, "fl_neighbour_t");

int fl_neighbours_init(fl_neighbours_t *neighbours, uint32_t capacity, _Atomic uint64_t *generation)
{
    const size_t length = 2 * (size_t)capacity * sizeof(fl_neighbour_t);
    memset(neighbours, 0, sizeof(*neighbours));
    if (0 == capacity || capacity > FL_NEIGHBOURS_MAXIMUM || 0 != (capacity & (capacity - 1)))
    {
        return fl_error(
            FL_EINVAL, "a neighbour table of %u entries; wanted a power of two up to %d", (unsigned)capacity,
            FL_NEIGHBOURS_MAXIMUM);
    }
    neighbours->entries = aligned_alloc(64, length);
    neighbours->live = calloc(capacity, sizeof(*neighbours->live));
    if (NULL == neighbours->entries || NULL == neighbours->live)
    {
        fl_neighbours_destroy(neighbours);
        return fl_error(FL_ENOMEM, "no memory for %u neighbours", (unsigned)capacity);
    }
    memset(neighbours->entries, 0, length);
    neighbours->slots = 2 * capacity;
    neighbours->capacity = capacity;
    neighbours->generation = generation;
    return 0;
}

void fl_neighbours_destroy(fl_neighbours_t *neighbours)
{
    free(neighbours->entries);
    free(neighbours->live);
    neighbours->entries = NULL;
    neighbours->live = NULL;
}

/* The slot where the search for an address begins. */
static uint32_t fl_neighbours_home(const fl_neighbours_t *neighbours, const fl_address_t *address)
{
    uint64_t halves[2];
    memcpy(halves, address->bytes, sizeof(halves));
    uint64_t hash = (halves[0] ^ address->family) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ (hash >> 32) ^ halves[1]) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(hash >> 32) & (neighbours->slots - 1);
}

static uint32_t fl_neighbours_window(const fl_neighbours_t *neighbours)
{
    return neighbours->slots < FL_NEIGHBOUR_WINDOW ? neighbours->slots : FL_NEIGHBOUR_WINDOW;
}

static void fl_neighbour_view_load(fl_neighbour_t *entry, fl_neighbour_view_t *view)
{
    uint32_t begun;
    do
    {
        begun = fl_latch_begin(&entry->sequence);
        fl_latch_load(entry->copies[begun & 1], view, FL_NEIGHBOUR_WORDS);
    }
    while (fl_latch_has_moved(&entry->sequence, begun));
}

/* Show readers the entry's view as it is now. */
static void fl_neighbour_view_publish(fl_neighbour_t *entry)
{
    for (int pass = 0; pass < 2; pass++)
    {
        const uint32_t left = 1 & atomic_load_explicit(&entry->sequence, memory_order_relaxed);
        fl_latch_publish(&entry->sequence);
        fl_latch_store(entry->copies[left], &entry->view, FL_NEIGHBOUR_WORDS);
    }
}

static void fl_neighbours_raise_generation(fl_neighbours_t *neighbours)
{
    /* Release: pairs with the acquire of whoever compares a peer's cache; the table's change is visible with it. */
    atomic_fetch_add_explicit(neighbours->generation, 1, memory_order_release);
}

uint32_t fl_neighbours_find(
    fl_neighbours_t *neighbours, const fl_address_t *next_hop, int64_t now_ns, uint8_t mac[FL_MAC_LENGTH],
    uint32_t *slot)
{
    const uint32_t home = fl_neighbours_home(neighbours, next_hop);
    /* Relaxed: who loaded the generation that an entry raised sees its reach too; others find it at their next try. */
    const uint32_t reach = atomic_load_explicit(&neighbours->reach, memory_order_relaxed);
    for (uint32_t i = 0; i <= reach; i++)
    {
        const uint32_t at = (home + i) & (neighbours->slots - 1);
        fl_neighbour_view_t view;
        fl_neighbour_view_load(&neighbours->entries[at], &view);
        if (fl_address_is_same_host(&view.address, next_hop))
        {
            *slot = at;
            fl_neighbours_touch(neighbours, at, now_ns);
            if (fl_neighbour_is_usable(view.state))
            {
                memcpy(mac, view.mac, FL_MAC_LENGTH);
            }
            return view.state;
        }
    }
    *slot = FL_NEIGHBOUR_NO_SLOT;
    return FL_NEIGHBOUR_NONE;
}

uint32_t fl_neighbours_copy(fl_neighbours_t *neighbours, fl_netstack_neighbour_t *lines, uint32_t capacity)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < neighbours->slots; i++)
    {
        fl_neighbour_view_t view;
        fl_neighbour_view_load(&neighbours->entries[i], &view);
        if (FL_FAMILY_NONE == view.address.family)
        {
            continue;
        }
        if (count < capacity)
        {
            lines[count] = (fl_netstack_neighbour_t){
                .address = view.address,
                .state = view.state,
                .used_ns = atomic_load_explicit(&neighbours->entries[i].used_ns, memory_order_relaxed),
            };
            memcpy(lines[count].mac, view.mac, FL_MAC_LENGTH);
        }
        count++;
    }
    return count;
}

fl_neighbour_t *fl_neighbours_entry(fl_neighbours_t *neighbours, const fl_address_t *address)
{
    const uint32_t home = fl_neighbours_home(neighbours, address);
    const uint32_t reach = atomic_load_explicit(&neighbours->reach, memory_order_relaxed);
    for (uint32_t i = 0; i <= reach; i++)
    {
        fl_neighbour_t *entry = &neighbours->entries[(home + i) & (neighbours->slots - 1)];
        if (fl_address_is_same_host(&entry->view.address, address))
        {
            return entry;
        }
    }
    return NULL;
}

static void fl_neighbours_give_up(fl_neighbours_t *neighbours, fl_neighbour_t *entry)
{
    memset(&entry->view, 0, sizeof(entry->view));
    fl_neighbour_view_publish(entry);
    const uint32_t last = neighbours->live[--neighbours->count];
    neighbours->live[entry->position] = last;
    neighbours->entries[last].position = entry->position;
    fl_neighbours_raise_generation(neighbours);
}

/* How dispensable an entry is: the smaller the earlier it goes; INT64_MAX: it stays. */
static int64_t fl_neighbour_worth(fl_neighbour_t *entry, int64_t now_ns)
{
    const int64_t used_ns = atomic_load_explicit(&entry->used_ns, memory_order_relaxed);
    const int64_t last_ns = used_ns > entry->changed_ns ? used_ns : entry->changed_ns;
    switch (entry->view.state)
    {
        case FL_NEIGHBOUR_INCOMPLETE:
        case FL_NEIGHBOUR_PERMANENT:
            return INT64_MAX;
        case FL_NEIGHBOUR_FAILED:
            return INT64_MIN / 2 + last_ns;
        default:
            return 0 != used_ns && now_ns - used_ns < FL_NEIGHBOUR_USE_NS ? INT64_MAX : last_ns;
    }
}

/* Give up the least worthy entry among `length` slots from `from` on. Returns its slot's entry, or NULL if all stay. */
static fl_neighbour_t *fl_neighbours_make_room(
    fl_neighbours_t *neighbours, uint32_t from, uint32_t length, int64_t now_ns)
{
    fl_neighbour_t *chosen = NULL;
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < length; i++)
    {
        fl_neighbour_t *entry = &neighbours->entries[(from + i) & (neighbours->slots - 1)];
        if (FL_FAMILY_NONE != entry->view.address.family)
        {
            const int64_t worth = fl_neighbour_worth(entry, now_ns);
            if (worth < least)
            {
                least = worth;
                chosen = entry;
            }
        }
    }
    if (NULL != chosen)
    {
        fl_neighbours_give_up(neighbours, chosen);
    }
    return chosen;
}

/* A free entry for the address, or NULL. */
static fl_neighbour_t *fl_neighbours_take(fl_neighbours_t *neighbours, const fl_address_t *address, int64_t now_ns)
{
    const uint32_t home = fl_neighbours_home(neighbours, address);
    const uint32_t window = fl_neighbours_window(neighbours);
    if (neighbours->count >= neighbours->capacity &&
        NULL == fl_neighbours_make_room(neighbours, 0, neighbours->slots, now_ns))
    {
        return NULL;
    }
    fl_neighbour_t *entry = NULL;
    for (uint32_t i = 0; i < window && NULL == entry; i++)
    {
        fl_neighbour_t *candidate = &neighbours->entries[(home + i) & (neighbours->slots - 1)];
        entry = FL_FAMILY_NONE == candidate->view.address.family ? candidate : NULL;
    }
    if (NULL == entry)
    {
        entry = fl_neighbours_make_room(neighbours, home, window, now_ns);
    }
    if (NULL != entry)
    {
        const uint32_t distance = ((uint32_t)(entry - neighbours->entries) - home) & (neighbours->slots - 1);
        if (distance > atomic_load_explicit(&neighbours->reach, memory_order_relaxed))
        {
            atomic_store_explicit(&neighbours->reach, distance, memory_order_relaxed);
        }
        entry->position = (uint16_t)neighbours->count;
        neighbours->live[neighbours->count++] = (uint32_t)(entry - neighbours->entries);
        entry->attempts = 0;
        entry->deadline_ns = 0;
        atomic_store_explicit(&entry->used_ns, 0, memory_order_relaxed);
    }
    return entry;
}

fl_neighbour_t *fl_neighbours_set(
    fl_neighbours_t *neighbours, const fl_address_t *address, uint32_t state, const uint8_t *mac, int64_t now_ns)
{
    fl_neighbour_t *entry = fl_neighbours_entry(neighbours, address);
    if (NULL == entry)
    {
        entry = fl_neighbours_take(neighbours, address, now_ns);
        if (NULL == entry)
        {
            return NULL;
        }
    }
    /* Built aside: address and mac may lie in the entry. */
    const fl_neighbour_view_t before = entry->view;
    fl_neighbour_view_t after = { .address = { .family = address->family }, .state = (uint16_t)state };
    memcpy(after.address.bytes, address->bytes, sizeof(address->bytes));
    memcpy(after.mac, NULL != mac ? mac : before.mac, FL_MAC_LENGTH);
    entry->view = after;
    if (0 != memcmp(&before, &entry->view, sizeof(before)))
    {
        if (before.state != state)
        {
            entry->changed_ns = now_ns;
        }
        fl_neighbour_view_publish(entry);
        const bool was_usable = fl_neighbour_is_usable(before.state);
        const bool is_usable = fl_neighbour_is_usable(state);
        if (was_usable != is_usable || (is_usable && 0 != memcmp(before.mac, entry->view.mac, FL_MAC_LENGTH)) ||
            (FL_NEIGHBOUR_FAILED == before.state) != (FL_NEIGHBOUR_FAILED == state))
        {
            fl_neighbours_raise_generation(neighbours);
        }
    }
    return entry;
}

void fl_neighbours_remove(fl_neighbours_t *neighbours, const fl_address_t *address)
{
    fl_neighbour_t *entry = fl_neighbours_entry(neighbours, address);
    if (NULL != entry)
    {
        fl_neighbours_give_up(neighbours, entry);
    }
}
