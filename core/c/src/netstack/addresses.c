#include "netstack/addresses.h"

#include "transport/address.h"
#include "util/error.h"

#define FL_ADDRESS_WORDS FL_LATCH_WORDS(fl_interface_address_t)

int fl_addresses_set(fl_addresses_t *addresses, const fl_interface_address_t *entries, uint32_t count)
{
    if (count > FL_INTERFACE_ADDRESSES)
    {
        return fl_error(
            FL_ENOSPC, "%u addresses on one interface; the netstack takes %d", (unsigned)count, FL_INTERFACE_ADDRESSES);
    }
    for (int pass = 0; pass < 2; pass++)
    {
        const uint32_t left = 1 & atomic_load_explicit(&addresses->sequence, memory_order_relaxed);
        fl_latch_publish(&addresses->sequence);
        for (uint32_t i = 0; i < count; i++)
        {
            fl_latch_store(addresses->copies[left].entries[i], &entries[i], FL_ADDRESS_WORDS);
        }
        const uint64_t length = count;
        fl_latch_store(&addresses->copies[left].count, &length, 1);
    }
    return 0;
}

uint32_t fl_addresses_copy(fl_addresses_t *addresses, fl_interface_address_t *entries)
{
    uint64_t count;
    uint32_t begun;
    do
    {
        begun = fl_latch_begin(&addresses->sequence);
        fl_latch_load(&addresses->copies[begun & 1].count, &count, 1);
        for (uint64_t i = 0; i < count; i++)
        {
            fl_latch_load(addresses->copies[begun & 1].entries[i], &entries[i], FL_ADDRESS_WORDS);
        }
    }
    while (fl_latch_has_moved(&addresses->sequence, begun));
    return (uint32_t)count;
}

bool fl_address_is_in(const fl_address_t *address, const fl_address_t *network, uint32_t prefix_length)
{
    const uint32_t longest = FL_FAMILY_IPV6 == network->family ? 128 : 32;
    if (address->family != network->family)
    {
        return false;
    }
    prefix_length = prefix_length < longest ? prefix_length : longest;
    const uint32_t whole = prefix_length / 8;
    const uint32_t rest = prefix_length % 8;
    return 0 == memcmp(address->bytes, network->bytes, whole) &&
        (0 == rest || 0 == (uint8_t)((address->bytes[whole] ^ network->bytes[whole]) >> (8 - rest)));
}

bool fl_addresses_has(fl_addresses_t *addresses, const fl_address_t *address)
{
    fl_interface_address_t entries[FL_INTERFACE_ADDRESSES];
    const uint32_t count = fl_addresses_copy(addresses, entries);
    for (uint32_t i = 0; i < count; i++)
    {
        if (fl_address_is_same_host(&entries[i].address, address))
        {
            return true;
        }
    }
    return false;
}

bool fl_addresses_is_broadcast(fl_addresses_t *addresses, const fl_address_t *address)
{
    static const uint8_t ones[4] = { 0xff, 0xff, 0xff, 0xff };
    if (FL_FAMILY_IPV4 != address->family)
    {
        return false;
    }
    if (0 == memcmp(address->bytes, ones, sizeof(ones)))
    {
        return true;
    }
    uint32_t asked;
    memcpy(&asked, address->bytes, sizeof(asked));
    fl_interface_address_t entries[FL_INTERFACE_ADDRESSES];
    const uint32_t count = fl_addresses_copy(addresses, entries);
    for (uint32_t i = 0; i < count; i++)
    {
        /* Networks of one or two addresses have no broadcast address (RFC 3021). */
        const uint32_t prefix_length = entries[i].prefix_length;
        if (prefix_length <= 30 && fl_address_is_in(address, &entries[i].address, prefix_length))
        {
            const uint32_t host_bits = UINT32_MAX >> prefix_length;
            if (host_bits == (ntohl(asked) & host_bits))
            {
                return true;
            }
        }
    }
    return false;
}

int fl_addresses_prefix_of(fl_addresses_t *addresses, const fl_address_t *address)
{
    fl_interface_address_t entries[FL_INTERFACE_ADDRESSES];
    const uint32_t count = fl_addresses_copy(addresses, entries);
    int longest = -1;
    for (uint32_t i = 0; i < count; i++)
    {
        if (fl_address_is_in(address, &entries[i].address, entries[i].prefix_length))
        {
            const int prefix_length = (int)entries[i].prefix_length;
            longest = prefix_length > longest ? prefix_length : longest;
        }
        else if (-1 == longest && FL_FAMILY_IPV6 == entries[i].address.family && fl_address_is_link_local(address))
        {
            longest = 10;
        }
    }
    return longest;
}

bool fl_addresses_is_on_link(fl_addresses_t *addresses, const fl_address_t *address)
{
    return fl_addresses_prefix_of(addresses, address) >= 0;
}

bool fl_addresses_source_for(fl_addresses_t *addresses, const fl_address_t *destination, fl_address_t *source)
{
    fl_interface_address_t entries[FL_INTERFACE_ADDRESSES];
    const uint32_t count = fl_addresses_copy(addresses, entries);
    const bool is_multicast = fl_address_is_multicast(destination);
    const bool is_link_local = fl_address_is_link_local(destination);
    const fl_interface_address_t *chosen = NULL;
    int best = -1;
    for (uint32_t i = 0; i < count; i++)
    {
        const fl_interface_address_t *entry = &entries[i];
        if (entry->address.family != destination->family)
        {
            continue;
        }
        const bool is_same_scope = is_link_local == fl_address_is_link_local(&entry->address);
        int rank = is_same_scope ? 1 : is_link_local ? 0 : -1;
        if (rank >= 0 && !is_multicast && fl_address_is_in(destination, &entry->address, entry->prefix_length))
        {
            rank = 2 + (int)entry->prefix_length;
        }
        if (rank > best)
        {
            best = rank;
            chosen = entry;
        }
    }
    if (NULL == chosen)
    {
        return false;
    }
    *source = chosen->address;
    source->port = 0;
    return true;
}
