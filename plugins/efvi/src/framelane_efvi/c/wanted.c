#include "wanted.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <framelane/port_filters.h>

#define FL_ETHER_LENGTH 14
#define FL_TAG_LENGTH 4
#define FL_IPV6_LENGTH 40

int fl_efvi_wanted_add(fl_efvi_wanted_t *wanted, const fl_address_t *address)
{
    fl_address_t *addresses =
        fl_array_reserve(wanted->addresses, wanted->count, &wanted->capacity, sizeof(*addresses));
    if (NULL == addresses)
    {
        return -ENOMEM;
    }
    wanted->addresses = addresses;
    wanted->addresses[wanted->count++] = *address;
    return 0;
}

static bool fl_address_is(const fl_address_t *one, uint16_t port, const uint8_t *host, uint32_t host_length)
{
    return port == one->port && (4 == host_length ? FL_FAMILY_IPV4 : FL_FAMILY_IPV6) == one->family &&
        0 == memcmp(host, one->bytes, host_length);
}

void fl_efvi_wanted_remove(fl_efvi_wanted_t *wanted, const fl_address_t *address)
{
    const uint32_t host_length = FL_FAMILY_IPV4 == address->family ? 4 : 16;
    for (uint32_t i = 0; i < wanted->count; i++)
    {
        if (fl_address_is(&wanted->addresses[i], address->port, address->bytes, host_length))
        {
            wanted->addresses[i] = wanted->addresses[--wanted->count];
            wanted->last = 0;
            return;
        }
    }
}

void fl_efvi_wanted_clear(fl_efvi_wanted_t *wanted)
{
    free(wanted->addresses);
    *wanted = (fl_efvi_wanted_t){.count = 0};
}

static inline uint16_t fl_read_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

bool fl_efvi_wanted_find(fl_efvi_wanted_t *wanted, const uint8_t *frame, uint32_t length)
{
    uint32_t at = FL_ETHER_LENGTH;
    if (length < FL_ETHER_LENGTH + FL_TAG_LENGTH)
    {
        return false;
    }
    uint16_t type = fl_read_16(frame + 12);
    if (0x8100 == type)
    {
        type = fl_read_16(frame + 16);
        at += FL_TAG_LENGTH;
    }
    uint32_t host_length;
    uint32_t host_at;
    uint32_t udp_at;
    if (0x0800 == type && length >= at + 20 && IPPROTO_UDP == frame[at + 9])
    {
        host_length = 4;
        host_at = at + 16;
        udp_at = at + (frame[at] & 15u) * 4;
    }
    else if (0x86dd == type && length >= at + FL_IPV6_LENGTH && IPPROTO_UDP == frame[at + 6])
    {
        host_length = 16;
        host_at = at + 24;
        udp_at = at + FL_IPV6_LENGTH;
    }
    else
    {
        return false;
    }
    if (length < udp_at + 8)
    {
        return false;
    }
    const uint16_t port = fl_read_16(frame + udp_at + 2);
    for (uint32_t i = 0; i < wanted->count; i++)
    {
        if (fl_address_is(&wanted->addresses[i], port, frame + host_at, host_length))
        {
            if (fl_efvi_wanted_is_plain(frame, length))
            {
                wanted->last = fl_efvi_wanted_goal(frame);
            }
            return true;
        }
    }
    return false;
}
