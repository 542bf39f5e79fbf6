/* Checksums as etherfabric/checksum.h offers them: in network order, for headers whose own field counts as zero.
 *
 * Headers are read as bytes: behind an Ethernet header none is aligned.
 */
#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <string.h>

#include <etherfabric/checksum.h>

#include "ciul.h"

typedef struct
{
    uint64_t sum;
    bool is_odd;
} fl_ciul_sum_t;

static void fl_ciul_sum_add(fl_ciul_sum_t *sum, const void *data, size_t length)
{
    const uint8_t *at = (const uint8_t *)data;
    for (; 0 != length; at++, length--)
    {
        sum->sum += sum->is_odd ? *at : (uint64_t)*at << 8;
        sum->is_odd = !sum->is_odd;
    }
}

static uint16_t fl_ciul_sum_end(const fl_ciul_sum_t *sum)
{
    uint64_t folded = sum->sum;
    while (0 != folded >> 16)
    {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    return (uint16_t)~folded;
}

static uint32_t fl_ciul_udp_checksum(
    fl_ciul_sum_t sum, const struct udphdr *udp, const struct iovec *iov, int iovlen)
{
    uint8_t header[8];
    memcpy(header, (const void *)udp, sizeof(header));
    const uint8_t pseudo[4] = {0, IPPROTO_UDP, header[4], header[5]};
    header[6] = header[7] = 0;
    fl_ciul_sum_add(&sum, pseudo, sizeof(pseudo));
    fl_ciul_sum_add(&sum, header, sizeof(header));
    for (int i = 0; i < iovlen; i++)
    {
        fl_ciul_sum_add(&sum, iov[i].iov_base, iov[i].iov_len);
    }
    uint16_t checksum = fl_ciul_sum_end(&sum);
    return htons(0 == checksum ? 0xffff : checksum);
}

uint32_t ef_ip_checksum(const struct iphdr *ip)
{
    fl_ciul_sum_t sum = {0, false};
    uint8_t header[60];
    const uint8_t *bytes = (const uint8_t *)ip;
    size_t length = (size_t)(bytes[0] & 0xf) * 4;
    memcpy(header, bytes, length);
    header[10] = header[11] = 0;
    fl_ciul_sum_add(&sum, header, length);
    return htons(fl_ciul_sum_end(&sum));
}

uint32_t ef_udp_checksum(const struct iphdr *ip, const struct udphdr *udp, const struct iovec *iov, int iovlen)
{
    fl_ciul_sum_t sum = {0, false};
    fl_ciul_sum_add(&sum, (const uint8_t *)ip + offsetof(struct iphdr, saddr), 8); /* both addresses */
    return fl_ciul_udp_checksum(sum, udp, iov, iovlen);
}

uint32_t ef_udp_checksum_ip6(const struct ipv6hdr *ip6, const struct udphdr *udp, const struct iovec *iov, int iovlen)
{
    fl_ciul_sum_t sum = {0, false};
    fl_ciul_sum_add(&sum, (const uint8_t *)ip6 + offsetof(struct ipv6hdr, saddr), 32);
    return fl_ciul_udp_checksum(sum, udp, iov, iovlen);
}

uint32_t ef_udp_checksum_ipx(int af, const void *ipx, const struct udphdr *udp, const struct iovec *iov, int iovlen)
{
    return AF_INET6 == af ? ef_udp_checksum_ip6((const struct ipv6hdr *)ipx, udp, iov, iovlen)
                          : ef_udp_checksum((const struct iphdr *)ipx, udp, iov, iovlen);
}
