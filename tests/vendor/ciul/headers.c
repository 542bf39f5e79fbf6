/* What filters and checksum engines read of a frame. */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "ciul.h"

static unsigned fl_ciul_be16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void fl_ciul_put_be16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void fl_ciul_headers_parse(fl_ciul_headers_t *headers, const uint8_t *frame, size_t length)
{
    memset(headers, 0, sizeof(*headers));
    headers->vlan_id = -1;
    if (length < 14)
    {
        return;
    }
    headers->is_multicast = 0 != (frame[0] & 1);
    size_t at = 12;
    unsigned type = fl_ciul_be16(frame + at);
    if (ETHERTYPE_VLAN == type && 18 <= length)
    {
        headers->vlan_id = (int)(fl_ciul_be16(frame + 14) & 0xfff);
        at += 4;
        type = fl_ciul_be16(frame + at);
    }
    at += 2;
    const uint8_t *ip = frame + at;
    size_t left = length - at;
    size_t header_length = 0;
    if (ETHERTYPE_IP == type && 20 <= left && 4 == ip[0] >> 4)
    {
        header_length = (size_t)(ip[0] & 0xf) * 4;
        headers->ip_length = (int)fl_ciul_be16(ip + 2);
        if (header_length < 20 || (size_t)headers->ip_length < header_length || left < (size_t)headers->ip_length)
        {
            return;
        }
        headers->ip_version = 4;
        headers->protocol = ip[9];
        memcpy(headers->remote, ip + 12, 4);
        memcpy(headers->local, ip + 16, 4);
    }
    else if (ETHERTYPE_IPV6 == type && 40 <= left && 6 == ip[0] >> 4)
    {
        header_length = 40;
        headers->ip_length = 40 + (int)fl_ciul_be16(ip + 4);
        if (left < (size_t)headers->ip_length)
        {
            return;
        }
        headers->ip_version = 6;
        headers->protocol = ip[6];
        memcpy(headers->remote, ip + 8, 16);
        memcpy(headers->local, ip + 24, 16);
    }
    else
    {
        return;
    }
    headers->ip_offset = (int)at;
    bool is_fragment = 4 == headers->ip_version && 0 != (fl_ciul_be16(ip + 6) & 0x3fff);
    size_t least = IPPROTO_UDP == headers->protocol ? 8 : 20;
    bool is_known = IPPROTO_UDP == headers->protocol || IPPROTO_TCP == headers->protocol;
    if (!is_fragment && is_known && header_length + least <= (size_t)headers->ip_length)
    {
        headers->l4_offset = (int)(at + header_length);
        memcpy(&headers->remote_port_be, frame + headers->l4_offset, 2);
        memcpy(&headers->local_port_be, frame + headers->l4_offset + 2, 2);
    }
}

static uint32_t fl_ciul_sum(uint32_t sum, const uint8_t *data, size_t length)
{
    for (; 2 <= length; data += 2, length -= 2)
    {
        sum += fl_ciul_be16(data);
    }
    if (0 != length)
    {
        sum += (uint32_t)data[0] << 8;
    }
    while (0 != sum >> 16)
    {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static uint32_t fl_ciul_l4_sum(const fl_ciul_headers_t *headers, const uint8_t *frame)
{
    size_t length = (size_t)(headers->ip_offset + headers->ip_length - headers->l4_offset);
    size_t address_length = 4 == headers->ip_version ? 4 : 16;
    uint32_t sum = (uint32_t)headers->protocol + (uint32_t)length;
    sum = fl_ciul_sum(sum, headers->local, address_length);
    sum = fl_ciul_sum(sum, headers->remote, address_length);
    return fl_ciul_sum(sum, frame + headers->l4_offset, length);
}

void fl_ciul_checksums_fill(uint8_t *frame, size_t length, bool ip, bool l4)
{
    fl_ciul_headers_t headers;
    fl_ciul_headers_parse(&headers, frame, length);
    if (ip && 4 == headers.ip_version)
    {
        uint8_t *header = frame + headers.ip_offset;
        fl_ciul_put_be16(header + 10, 0);
        fl_ciul_put_be16(header + 10, ~fl_ciul_sum(0, header, (size_t)(header[0] & 0xf) * 4) & 0xffff);
    }
    if (l4 && 0 != headers.l4_offset)
    {
        bool is_udp = IPPROTO_UDP == headers.protocol;
        uint8_t *field = frame + headers.l4_offset + (is_udp ? 6 : 16);
        fl_ciul_put_be16(field, 0);
        unsigned sum = ~fl_ciul_l4_sum(&headers, frame) & 0xffff;
        fl_ciul_put_be16(field, is_udp && 0 == sum ? 0xffff : sum);
    }
}

unsigned fl_ciul_checksums_verify(const uint8_t *frame, size_t length)
{
    fl_ciul_headers_t headers;
    unsigned flags = 0;
    fl_ciul_headers_parse(&headers, frame, length);
    if (4 == headers.ip_version)
    {
        const uint8_t *header = frame + headers.ip_offset;
        flags |= 0xffff == fl_ciul_sum(0, header, (size_t)(header[0] & 0xf) * 4) ? 0 : EF_VI_DISCARD_RX_L3_CSUM_ERR;
    }
    if (0 != headers.l4_offset)
    {
        bool has_none = IPPROTO_UDP == headers.protocol && 0 == fl_ciul_be16(frame + headers.l4_offset + 6);
        if (!has_none && 0xffff != fl_ciul_l4_sum(&headers, frame))
        {
            flags |= EF_VI_DISCARD_RX_L4_CSUM_ERR;
        }
    }
    return flags;
}
