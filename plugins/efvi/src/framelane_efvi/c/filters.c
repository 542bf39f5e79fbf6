#include "filters.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holders.h"

#define FL_UNTAGGED 0xffff

/* The filter of this queue; else, for a unicast address, of any queue, for it has one receiver. */
static fl_efvi_filter_t *fl_filters_find(
    fl_efvi_filters_t *filters, uint32_t number, uint16_t vlan, const fl_address_t *address)
{
    fl_efvi_filter_t *other = NULL;
    for (uint32_t i = 0; i < filters->count; i++)
    {
        fl_efvi_filter_t *filter = &filters->entries[i];
        if (fl_port_filter_is_for(&filter->base, vlan, address))
        {
            if (filter->base.queue == number)
            {
                return filter;
            }
            other = filter;
        }
    }
    return fl_address_is_multicast(address) ? NULL : other;
}

static int fl_filters_reserve(fl_efvi_filters_t *filters)
{
    void *entries = fl_array_reserve(filters->entries, filters->count, &filters->capacity, sizeof(*filters->entries));
    filters->entries = NULL != entries ? entries : filters->entries;
    return NULL != entries ? 0 : -ENOMEM;
}

static int fl_spec_flags(const fl_efvi_filters_t *filters, const fl_efvi_queue_t *queue)
{
    int flags = EF_FILTER_FLAG_NONE;
    if (queue->is_shared)
    {
#ifdef FL_EFVI_HAS_REQUEST_WAKEUPS
        flags |= EF_FILTER_FLAG_REQUEST_WAKEUPS;
#endif
#ifdef FL_EFVI_HAS_SHARED_RXQ
        flags |= FL_EFVI_ON == filters->share_queues ? EF_FILTER_FLAG_SHARED_RXQ : 0;
#endif
#ifdef FL_EFVI_HAS_EXCLUSIVE_RXQ
        flags |= FL_EFVI_OFF == filters->share_queues ? EF_FILTER_FLAG_EXCLUSIVE_RXQ : 0;
#endif
    }
    (void)filters;
    return flags;
}

/* Returns 0 or negative errno. has_vlan: the adapter looks at the tag too. */
static int fl_filter_insert(
    const fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, fl_efvi_filter_t *filter, bool has_vlan)
{
    const fl_address_t *address = &filter->base.address;
    ef_filter_spec spec;
    ef_filter_spec_init(&spec, (enum ef_filter_flags)fl_spec_flags(filters, queue));
    int code;
    if (FL_FAMILY_IPV4 == address->family)
    {
        uint32_t host;
        memcpy(&host, address->bytes, sizeof(host));
        code = ef_filter_spec_set_ip4_local(&spec, IPPROTO_UDP, host, htons(address->port));
    }
    else
    {
        struct in6_addr host;
        memcpy(&host, address->bytes, sizeof(host));
        code = ef_filter_spec_set_ip6_local(&spec, IPPROTO_UDP, &host, htons(address->port));
    }
    if (0 == code && has_vlan)
    {
        code = ef_filter_spec_set_vlan(&spec, filter->base.vlan);
    }
    return 0 == code ? ef_vi_filter_add(&queue->vi, queue->handle, &spec, &filter->cookie) : code;
}

static int fl_filter_refused(
    const fl_efvi_filters_t *filters, const fl_efvi_filter_t *filter, int code, fl_failure_t *error)
{
    char text[FL_ADDRESS_TEXT_LENGTH];
    fl_efvi_holders_t holders;
    const char *address = fl_address_format(&filter->base.address, text);
    switch (code)
    {
        case -EEXIST:
        case -EBUSY:
        case -EADDRINUSE:
            return fl_fail(
                error, -code, "direct %s of %s to this driver: the adapter has a filter for it already (%s), which is "
                "another process's: %s; end it, or use another port", address, filters->interface, strerror(-code),
                fl_efvi_holders_find(&holders));

        case -ENOMEM:
            return fl_fail(
                error, ENOMEM, "direct %s of %s to this driver: no memory for the receive queue (%s); shared queues "
                "want huge pages of 2 MiB, such as sysctl vm.nr_hugepages=64", address, filters->interface,
                strerror(-code));

        case -ENOSPC:
            return fl_fail(
                error, ENOSPC, "direct %s of %s to this driver: the adapter has no filter or queue left; end other "
                "users of ef_vi and Onload: %s", address, filters->interface, fl_efvi_holders_find(&holders));

        case -EPERM:
        case -EACCES:
            return fl_fail(
                error, -code, "direct %s of %s to this driver: %s; an SFN7000 needs an Onload activation key for it",
                address, filters->interface, strerror(-code));

        case -EOPNOTSUPP:
        case -EPROTONOSUPPORT:
            return fl_fail(
                error, EAFNOSUPPORT, "direct %s of %s to this driver: its firmware has no filter for %s; install the "
                "full-feature firmware (sfboot firmware-variant=full-feature)", address, filters->interface,
                FL_FAMILY_IPV6 == filter->base.address.family ? "UDP over IPv6" : "UDP");

        default:
            return fl_fail(
                error, -code, "direct %s of %s to this driver: %s", address, filters->interface, strerror(-code));
    }
}

int fl_efvi_filters_add(
    fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, uint32_t number, uint16_t vlan, const fl_address_t *address,
    fl_failure_t *error)
{
    int code = fl_port_filter_check(filters->interface, address, NULL, error);
    if (0 != code)
    {
        return code;
    }
    fl_efvi_filter_t *found = fl_filters_find(filters, number, vlan, address);
    if (NULL != found)
    {
        return fl_port_filter_hold(&found->base, filters->interface, number, error);
    }
    if (0 != fl_filters_reserve(filters))
    {
        return fl_fail(error, ENOMEM, "no memory for a filter");
    }
    fl_efvi_filter_t filter = {.base = {.queue = number, .holders = 1, .address = *address, .vlan = vlan}};
    const bool has_vlan = FL_UNTAGGED != vlan;
    code = fl_filter_insert(filters, queue, &filter, has_vlan);
    if (has_vlan && (-EPROTONOSUPPORT == code || -EOPNOTSUPP == code))
    {
        /* The netstack looks at every tag, so the filter may take more. */
        code = fl_filter_insert(filters, queue, &filter, false);
    }
    if (0 != code)
    {
        return fl_filter_refused(filters, &filter, code, error);
    }
    if (0 != fl_efvi_wanted_add(&queue->wanted, address))
    {
        ef_vi_filter_del(&queue->vi, queue->handle, &filter.cookie);
        return fl_fail(error, ENOMEM, "no memory for a filter");
    }
    filters->entries[filters->count++] = filter;
    return 0;
}

static void fl_filters_take_out(fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, fl_efvi_filter_t *filter)
{
    ef_vi_filter_del(&queue->vi, queue->handle, &filter->cookie);
    fl_efvi_wanted_remove(&queue->wanted, &filter->base.address);
    *filter = filters->entries[--filters->count];
}

int fl_efvi_filters_remove(
    fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, uint32_t number, uint16_t vlan, const fl_address_t *address,
    fl_failure_t *error)
{
    fl_efvi_filter_t *filter = fl_filters_find(filters, number, vlan, address);
    const int holders =
        fl_port_filter_let_go(NULL == filter ? NULL : &filter->base, filters->interface, number, address, error);
    if (0 == holders)
    {
        fl_filters_take_out(filters, queue, filter);
    }
    return holders < 0 ? holders : 0;
}

void fl_efvi_filters_clear(fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, uint32_t number)
{
    for (uint32_t i = filters->count; i-- > 0;)
    {
        if (filters->entries[i].base.queue == number)
        {
            fl_filters_take_out(filters, queue, &filters->entries[i]);
        }
    }
}

void fl_efvi_filters_close(fl_efvi_filters_t *filters)
{
    free(filters->entries);
    filters->entries = NULL;
    filters->count = filters->capacity = 0;
}
