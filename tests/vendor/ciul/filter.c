/* Filters: what a specification says, and who gets what. bypass-apis 1.13.
 *
 * A specification holds an fl_ciul_match_t in its data, the type in its type.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "vi_state.h"

_Static_assert(sizeof(fl_ciul_match_t) <= sizeof(((ef_filter_spec *)0)->data), "a match fits a specification");

static void fl_ciul_match_get(const ef_filter_spec *spec, fl_ciul_match_t *match)
{
    memcpy(match, spec->data, sizeof(*match));
}

static void fl_ciul_match_put(ef_filter_spec *spec, const fl_ciul_match_t *match)
{
    memcpy(spec->data, match, sizeof(*match));
}

void ef_filter_spec_init(ef_filter_spec *filter_spec, enum ef_filter_flags flags)
{
    fl_ciul_match_t match;
    memset(&match, 0, sizeof(match));
    match.vlan_id = EF_FILTER_VLAN_ID_ANY;
    memset(filter_spec, 0, sizeof(*filter_spec));
    filter_spec->flags = (unsigned)flags;
    fl_ciul_match_put(filter_spec, &match);
}

static int fl_ciul_spec_ip(ef_filter_spec *spec, fl_ciul_filter_type_t type, int version, int protocol,
    const void *host, int port, const void *remote_host, int remote_port)
{
    fl_ciul_match_t match;
    size_t length = 4 == version ? 4 : 16;
    if (FL_CIUL_FILTER_NONE != spec->type)
    {
        return -EPROTONOSUPPORT; /* one match a filter */
    }
    if (IPPROTO_UDP != protocol && IPPROTO_TCP != protocol)
    {
        return -EPROTONOSUPPORT;
    }
    fl_ciul_match_get(spec, &match);
    match.ip_version = (uint8_t)version;
    match.protocol = (uint8_t)protocol;
    match.local_port_be = (uint16_t)port;
    memcpy(match.local, host, length);
    if (FL_CIUL_FILTER_FULL == type)
    {
        match.remote_port_be = (uint16_t)remote_port;
        memcpy(match.remote, remote_host, length);
    }
    spec->type = (unsigned)type;
    fl_ciul_match_put(spec, &match);
    return 0;
}

int ef_filter_spec_set_ip4_local(ef_filter_spec *filter_spec, int protocol, unsigned host_be32, int port_be16)
{
    return fl_ciul_spec_ip(filter_spec, FL_CIUL_FILTER_LOCAL, 4, protocol, &host_be32, port_be16, NULL, 0);
}

int ef_filter_spec_set_ip4_full(ef_filter_spec *filter_spec, int protocol, unsigned host_be32, int port_be16,
    unsigned rhost_be32, int rport_be16)
{
    return fl_ciul_spec_ip(
        filter_spec, FL_CIUL_FILTER_FULL, 4, protocol, &host_be32, port_be16, &rhost_be32, rport_be16);
}

int ef_filter_spec_set_ip6_local(
    ef_filter_spec *filter_spec, int protocol, const struct in6_addr *host, int port_be16)
{
    return fl_ciul_spec_ip(filter_spec, FL_CIUL_FILTER_LOCAL, 6, protocol, host, port_be16, NULL, 0);
}

int ef_filter_spec_set_ip6_full(ef_filter_spec *filter_spec, int protocol, const struct in6_addr *host, int port_be16,
    const struct in6_addr *rhost, int rport_be16)
{
    return fl_ciul_spec_ip(filter_spec, FL_CIUL_FILTER_FULL, 6, protocol, host, port_be16, rhost, rport_be16);
}

int ef_filter_spec_set_vlan(ef_filter_spec *filter_spec, int vlan_id)
{
    fl_ciul_match_t match;
    fl_ciul_match_get(filter_spec, &match);
    match.vlan_id = (int16_t)vlan_id;
    fl_ciul_match_put(filter_spec, &match);
    return 0;
}

int ef_filter_spec_set_eth_local(ef_filter_spec *filter_spec, int vlan_id, const void *mac)
{
    fl_ciul_match_t match;
    if (FL_CIUL_FILTER_NONE != filter_spec->type)
    {
        return -EPROTONOSUPPORT;
    }
    fl_ciul_match_get(filter_spec, &match);
    match.vlan_id = (int16_t)vlan_id;
    memcpy(match.local, mac, 6);
    filter_spec->type = FL_CIUL_FILTER_MAC;
    fl_ciul_match_put(filter_spec, &match);
    return 0;
}

int ef_filter_spec_set_dest(ef_filter_spec *filter_spec, int dest, unsigned flags)
{
    (void)filter_spec;
    (void)dest;
    return 0 == flags ? 0 : -EINVAL;
}

/* ---- on a virtual interface ---- */

/* The flags under which a filter's packets are shared. X3 shares unless told otherwise, X4 express only when asked. */
static int fl_ciul_filter_flags(const fl_ciul_vi_t *own, unsigned wanted, uint32_t *flags)
{
    unsigned both = EF_FILTER_FLAG_EXCLUSIVE_RXQ | EF_FILTER_FLAG_SHARED_RXQ;
    if (both == (wanted & both))
    {
        return -EINVAL;
    }
    *flags = wanted;
    if (own->is_ring)
    {
        *flags &= ~both;
    }
    else if (0 == (wanted & both))
    {
        *flags |= own->is_express ? EF_FILTER_FLAG_EXCLUSIVE_RXQ : EF_FILTER_FLAG_SHARED_RXQ;
    }
    return 0;
}

/* Add a filter whose specification was read; its id or a negative errno. */
static int fl_ciul_filter_add(fl_ciul_vi_t *own, const ef_filter_spec *spec)
{
    fl_ciul_settings_t settings;
    fl_ciul_filter_t filter;
    if (own->is_dead || 0 != fl_ciul_settings_of_index(&settings, &own->source, own->registry.ifindex) ||
        settings.is_lost)
    {
        return -ENODEV;
    }
    if (0 != settings.filter_error)
    {
        return -settings.filter_error;
    }
    if (!own->is_ring && !settings.has_huge_pages)
    {
        return -ENOMEM;
    }
    memset(&filter, 0, sizeof(filter));
    int result = fl_ciul_filter_flags(own, spec->flags, &filter.flags);
    if (result < 0)
    {
        return result;
    }
    if (FL_CIUL_FILTER_NONE == spec->type)
    {
        return -EINVAL;
    }
    filter.type = spec->type;
    filter.member = (uint32_t)own->member;
    fl_ciul_match_get(spec, &filter.match);
    if (!own->is_ring && 0 <= filter.match.vlan_id && FL_CIUL_FILTER_MAC != filter.type)
    {
        return -EPROTONOSUPPORT;
    }
    return fl_ciul_registry_filter_add(&own->registry, &filter, own->is_ring);
}

int ef_vi_filter_add(
    ef_vi *vi, ef_driver_handle vi_dh, const ef_filter_spec *filter_spec, ef_filter_cookie *filter_cookie_out)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(vi_dh, "ef_vi_filter_add");
    if (0 == vi->vi_rxq.mask)
    {
        fl_ciul_misuse("ef_vi_filter_add: the virtual interface has no receive queue");
    }
    fl_ciul_enter(own, "ef_vi_filter_add");
    int result = fl_ciul_filter_add(own, filter_spec);
    if (0 <= result)
    {
        own->wants_wakeups |= 0 != (filter_spec->flags & EF_FILTER_FLAG_REQUEST_WAKEUPS);
        if (NULL != filter_cookie_out)
        {
            filter_cookie_out->filter_id = result;
            filter_cookie_out->filter_type = (int)filter_spec->type;
        }
        result = 0;
    }
    fl_ciul_leave(own);
    return result;
}

int ef_vi_filter_del(ef_vi *vi, ef_driver_handle vi_dh, ef_filter_cookie *filter_cookie)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(vi_dh, "ef_vi_filter_del");
    fl_ciul_enter(own, "ef_vi_filter_del");
    int result = fl_ciul_registry_filter_del(&own->registry, filter_cookie->filter_id, own->member);
    fl_ciul_leave(own);
    return result;
}

int ef_vi_filter_query(ef_vi *vi, ef_driver_handle vi_dh, const ef_filter_cookie *filter_cookie,
    ef_filter_info *filter_info, size_t filter_info_size)
{
    const fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(vi_dh, "ef_vi_filter_query");
    if (filter_info_size < sizeof(*filter_info))
    {
        return -EINVAL;
    }
    if (own->is_ring)
    {
        return -EOPNOTSUPP;
    }
    const fl_ciul_filter_t *filter = &own->registry.shared->filters[filter_cookie->filter_id % FL_CIUL_FILTERS];
    if (!filter->is_used || filter->member != (uint32_t)own->member)
    {
        return -ENOENT;
    }
    memset(filter_info, 0, sizeof(*filter_info));
    filter_info->valid_fields = EF_FILTER_FIELD_ID | EF_FILTER_FIELD_QUEUE;
    filter_info->filter_id = (unsigned)filter_cookie->filter_id;
    filter_info->flags = 0 != (filter->flags & EF_FILTER_FLAG_EXCLUSIVE_RXQ) ? EF_FILTER_IS_EXCLUSIVE : 0u;
    return 0;
}
