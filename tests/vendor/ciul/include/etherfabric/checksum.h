/* Checksums for the paths on which the adapter computes none. */
#ifndef FL_CIUL_ETHERFABRIC_CHECKSUM_H
#define FL_CIUL_ETHERFABRIC_CHECKSUM_H

#include <netinet/ip.h>
#include <netinet/udp.h>

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipv6hdr;

extern uint32_t ef_ip_checksum(const struct iphdr *ip);
extern uint32_t ef_udp_checksum(
    const struct iphdr *ip, const struct udphdr *udp, const struct iovec *iov, int iovlen);
extern uint32_t ef_udp_checksum_ip6(
    const struct ipv6hdr *ip6, const struct udphdr *udp, const struct iovec *iov, int iovlen);
extern uint32_t ef_udp_checksum_ipx(
    int af, const void *ipx, const struct udphdr *udp, const struct iovec *iov, int iovlen);

#ifdef __cplusplus
}
#endif

#endif
