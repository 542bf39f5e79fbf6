/* What a port remembers of the filters that it was asked for: equal ones are one filter with as many holders. Control
 * thread alone. For C sources alone; cffi does not take it. */
#ifndef FRAMELANE_PORT_FILTERS_H
#define FRAMELANE_PORT_FILTERS_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <framelane/address.h>
#include <framelane/errors.h>

typedef struct fl_port_filter
{
    fl_address_t address;
    uint32_t queue;
    uint32_t holders;
    uint16_t vlan;
} fl_port_filter_t;

static inline bool fl_port_filter_is_for(const fl_port_filter_t *filter, uint16_t vlan, const fl_address_t *address)
{
    return vlan == filter->vlan && address->family == filter->address.family && address->port == filter->address.port &&
        0 == memcmp(address->bytes, filter->address.bytes, sizeof(address->bytes));
}

/* Check what add_filter is asked for. source: NULL or of family FL_FAMILY_NONE for any. Returns 0, or -FL_EINVAL with
 * its text. */
static inline int fl_port_filter_check(
    const char *interface, const fl_address_t *address, const fl_address_t *source, fl_failure_t *failure)
{
    const bool has_address =
        (FL_FAMILY_IPV4 == address->family || FL_FAMILY_IPV6 == address->family) && 0 != address->port;
    if (!has_address ||
        (NULL != source && FL_FAMILY_NONE != source->family && source->family != address->family))
    {
        return fl_fail(
            failure, EINVAL, "filter on %s: it needs an address with its port, and a source of the same family",
            interface);
    }
    return 0;
}

/* One more wants a filter that is there. Returns 0, or -FL_EEXIST with its text if it leads to another queue. */
static inline int fl_port_filter_hold(
    fl_port_filter_t *filter, const char *interface, uint32_t queue, fl_failure_t *failure)
{
    char text[FL_ADDRESS_TEXT_LENGTH];
    if (filter->queue != queue)
    {
        return fl_fail(
            failure, EEXIST, "direct %s to queue %u of %s: this driver has directed it to queue %u already",
            fl_address_format(&filter->address, text), queue, interface, filter->queue);
    }
    filter->holders++;
    return 0;
}

/* One no longer wants a filter. filter: what was found for it, NULL if nothing was. Returns how many still do, 0 being
 * the time to take it out; -FL_ENOENT with its text if there is none on that queue. */
static inline int fl_port_filter_let_go(
    fl_port_filter_t *filter, const char *interface, uint32_t queue, const fl_address_t *address, fl_failure_t *failure)
{
    char text[FL_ADDRESS_TEXT_LENGTH];
    if (NULL == filter || filter->queue != queue)
    {
        return fl_fail(
            failure, ENOENT, "remove the filter for %s on queue %u of %s: there is none",
            fl_address_format(address, text), queue, interface);
    }
    return (int)--filter->holders;
}

/* Make room for one entry more in an array that grows. Returns the array, which may have moved; NULL if there is no
 * memory: then it is as it was. */
static inline void *fl_array_reserve(void *entries, uint32_t count, uint32_t *capacity, size_t entry_length)
{
    const uint32_t step = 32;
    if (count < *capacity)
    {
        return entries;
    }
    void *moved = realloc(entries, (*capacity + step) * entry_length);
    *capacity += NULL == moved ? 0 : step;
    return moved;
}

#endif
