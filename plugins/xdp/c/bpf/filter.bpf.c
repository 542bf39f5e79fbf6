/* The XDP program of a port: UDP datagrams to owned endpoints go to the AF_XDP socket of the queue on which they came;
 * everything else goes to the kernel as if the program were not there. That includes whatever is odd (IP fragments,
 * IPv4 options, IPv6 extension headers, stacked tags, short frames), because the kernel is better at it.
 *
 * Licence of this file: GPL-2.0-only OR Apache-2.0. generate.py compiles it into program.h; a test compares them.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#define FL_ALWAYS_INLINE static inline __attribute__((always_inline))
#define FL_IP_FRAGMENT 0x3fff   /* more fragments, or an offset */
#define FL_VLAN_ID 0x0fff

typedef struct fl_vlan_tag
{
    __be16 control;
    __be16 protocol;
} fl_vlan_tag_t;

/* Only the names count: the loader makes the maps and puts their descriptors here. */
struct
{
    int number;
} filters SEC("maps"), sockets SEC("maps"), counts SEC("maps");

FL_ALWAYS_INLINE void fl_copy_ipv6(__u8 *to, const struct in6_addr *from)
{
    __builtin_memcpy(to, from, 16);
}

SEC("xdp")
int fl_xdp_filter(struct xdp_md *context)
{
    const void *const end = (const void *)(long)context->data_end;
    const struct ethhdr *const ethernet = (const void *)(long)context->data;
    if ((const void *)(ethernet + 1) > end)
    {
        return XDP_PASS;
    }

    fl_xdp_key_t key = {.vlan = FL_XDP_VLAN_NONE};
    const void *network = ethernet + 1;
    __be16 protocol = ethernet->h_proto;
    if (bpf_htons(ETH_P_8021Q) == protocol)
    {
        const fl_vlan_tag_t *const tag = network;
        if ((const void *)(tag + 1) > end)
        {
            return XDP_PASS;
        }
        /* Tag 0 carries a priority and no VLAN. */
        const __u16 vlan = bpf_ntohs(tag->control) & FL_VLAN_ID;
        if (0 != vlan)
        {
            key.vlan = vlan;
        }
        protocol = tag->protocol;
        network = tag + 1;
    }

    __u8 source[16] = {0};
    const struct udphdr *udp;
    if (bpf_htons(ETH_P_IP) == protocol)
    {
        const struct iphdr *const ip = network;
        if ((const void *)(ip + 1) > end || 4 != ip->version || 5 != ip->ihl || IPPROTO_UDP != ip->protocol ||
            0 != (ip->frag_off & bpf_htons(FL_IP_FRAGMENT)))
        {
            return XDP_PASS;
        }
        key.family = 4;
        __builtin_memcpy(key.address, &ip->daddr, 4);
        __builtin_memcpy(source, &ip->saddr, 4);
        udp = (const void *)(ip + 1);
    }
    else if (bpf_htons(ETH_P_IPV6) == protocol)
    {
        const struct ipv6hdr *const ip = network;
        if ((const void *)(ip + 1) > end || 6 != ip->version || IPPROTO_UDP != ip->nexthdr)
        {
            return XDP_PASS;
        }
        key.family = 6;
        fl_copy_ipv6(key.address, &ip->daddr);
        fl_copy_ipv6(source, &ip->saddr);
        udp = (const void *)(ip + 1);
    }
    else
    {
        return XDP_PASS;
    }
    if ((const void *)(udp + 1) > end)
    {
        return XDP_PASS;
    }
    key.port = udp->dest;

    const fl_xdp_filter_t *const filter = bpf_map_lookup_elem(&filters, &key);
    if (!filter)
    {
        return XDP_PASS;
    }
    if (!filter->any_source)
    {
        __builtin_memcpy(key.source, source, sizeof(source));
        if (!bpf_map_lookup_elem(&filters, &key))
        {
            return XDP_PASS;
        }
    }

    const int action = bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
    /* One look-up by number, and not one pointer to choose from: that would need CAP_PERFMON. */
    const __u32 number = XDP_REDIRECT == action ? FL_XDP_COUNT_REDIRECTED : FL_XDP_COUNT_NO_SOCKET;
    __u64 *const count = bpf_map_lookup_elem(&counts, &number);
    if (count)
    {
        ++*count;
    }
    return action;
}

char licence[] SEC("license") = "GPL";
