/* Virtual interfaces: allocation, filters, and what the interface is. */
#ifndef FL_CIUL_ETHERFABRIC_VI_H
#define FL_CIUL_ETHERFABRIC_VI_H

#include <etherfabric/base.h>
#include <etherfabric/ef_vi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ef_pd;
struct in6_addr;

extern int ef_vi_alloc_from_pd(ef_vi *vi, ef_driver_handle vi_dh, struct ef_pd *pd, ef_driver_handle pd_dh,
    int evq_capacity, int rxq_capacity, int txq_capacity, ef_vi *evq_opt, ef_driver_handle evq_dh,
    enum ef_vi_flags flags);
extern int ef_vi_free(ef_vi *vi, ef_driver_handle nic);
extern int ef_vi_flush(ef_vi *vi, ef_driver_handle nic);
extern unsigned ef_vi_mtu(ef_vi *vi, ef_driver_handle vi_dh);
extern int ef_vi_get_mac(ef_vi *vi, ef_driver_handle vi_dh, void *mac_out);
extern int ef_eventq_put(unsigned resource_id, ef_driver_handle evq_dh, unsigned ev_bits);
extern int ef_vi_prime(ef_vi *vi, ef_driver_handle dh, unsigned current_ptr);

enum ef_filter_flags
{
    EF_FILTER_FLAG_NONE = 0x0,
    EF_FILTER_FLAG_MCAST_LOOP_RECEIVE = 0x2,
    EF_FILTER_FLAG_EXCLUSIVE_RXQ = 0x4,
    EF_FILTER_FLAG_SHARED_RXQ = 0x8,
    EF_FILTER_FLAG_REQUEST_WAKEUPS = 0x10,
};

typedef struct ef_filter_spec
{
    unsigned type;
    unsigned flags;
    unsigned data[12];
} ef_filter_spec;

enum
{
    EF_FILTER_VLAN_ID_ANY = -1,
};

typedef struct ef_filter_cookie
{
    int filter_id;
    int filter_type;
} ef_filter_cookie;

extern void ef_filter_spec_init(ef_filter_spec *filter_spec, enum ef_filter_flags flags);
extern int ef_filter_spec_set_ip4_local(ef_filter_spec *filter_spec, int protocol, unsigned host_be32, int port_be16);
extern int ef_filter_spec_set_ip4_full(ef_filter_spec *filter_spec, int protocol, unsigned host_be32, int port_be16,
    unsigned rhost_be32, int rport_be16);
extern int ef_filter_spec_set_ip6_local(
    ef_filter_spec *filter_spec, int protocol, const struct in6_addr *host, int port_be16);
extern int ef_filter_spec_set_ip6_full(ef_filter_spec *filter_spec, int protocol, const struct in6_addr *host,
    int port_be16, const struct in6_addr *rhost, int rport_be16);
extern int ef_filter_spec_set_vlan(ef_filter_spec *filter_spec, int vlan_id);
extern int ef_filter_spec_set_eth_local(ef_filter_spec *filter_spec, int vlan_id, const void *mac);
extern int ef_filter_spec_set_dest(ef_filter_spec *filter_spec, int dest, unsigned flags);

extern int ef_vi_filter_add(
    ef_vi *vi, ef_driver_handle vi_dh, const ef_filter_spec *filter_spec, ef_filter_cookie *filter_cookie_out);
extern int ef_vi_filter_del(ef_vi *vi, ef_driver_handle vi_dh, ef_filter_cookie *filter_cookie);

enum ef_filter_info_fields
{
    EF_FILTER_FIELD_ID = 0x0001,
    EF_FILTER_FIELD_QUEUE = 0x0002,
};

enum ef_filter_info_flags
{
    EF_FILTER_IS_EXCLUSIVE = 0x0004
};

typedef struct ef_filter_info
{
    uint64_t valid_fields;
    unsigned flags;
    unsigned filter_id;
    unsigned q_id;
} ef_filter_info;

extern int ef_vi_filter_query(ef_vi *vi, ef_driver_handle vi_dh, const ef_filter_cookie *filter_cookie,
    ef_filter_info *filter_info, size_t filter_info_size);

#ifdef __cplusplus
}
#endif

#endif
