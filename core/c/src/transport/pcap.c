#include "transport/pcap.h"

#include <string.h>

#define FL_PCAP_MAGIC_NANOSECONDS 0xa1b23c4du
#define FL_PCAP_LINKTYPE_RAW 101u
#define FL_PCAP_SNAP_LENGTH 262144u
#define FL_PCAP_HOP_LIMIT 64u
#define FL_PCAP_PROTOCOL_UDP 17u

/* The file's own words are in the writer's byte order, which the magic tells. */
static uint8_t *fl_pcap_put_native(uint8_t *out, uint32_t value)
{
    memcpy(out, &value, sizeof(value));
    return out + sizeof(value);
}

static uint8_t *fl_pcap_put_16(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

void fl_pcap_write_file_header(uint8_t *out)
{
    const uint16_t version[2] = { 2, 4 };
    out = fl_pcap_put_native(out, FL_PCAP_MAGIC_NANOSECONDS);
    memcpy(out, version, sizeof(version));
    out = fl_pcap_put_native(out + sizeof(version), 0);
    out = fl_pcap_put_native(out, 0);
    out = fl_pcap_put_native(out, FL_PCAP_SNAP_LENGTH);
    fl_pcap_put_native(out, FL_PCAP_LINKTYPE_RAW);
}

/* RFC 1071: the sum of 16-bit words, not yet folded. Only the last part summed may be of odd length. */
static uint64_t fl_pcap_sum(const uint8_t *data, size_t length)
{
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < length; i += 2)
    {
        sum += (uint32_t)data[i] << 8 | data[i + 1];
    }
    return sum + (0 != length % 2 ? (uint32_t)data[length - 1] << 8 : 0);
}

static uint32_t fl_pcap_fold(uint64_t sum)
{
    while (sum > 0xffff)
    {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint32_t)(~sum & 0xffff);
}

static uint8_t *fl_pcap_put_ipv4(
    uint8_t *out, const fl_address_t *source, const fl_address_t *destination, uint32_t udp_length)
{
    uint8_t *header = out;
    memset(header, 0, 20);
    header[0] = 0x45;
    fl_pcap_put_16(header + 2, 20 + udp_length);
    header[6] = 0x40;    /* don't fragment */
    header[8] = FL_PCAP_HOP_LIMIT;
    header[9] = FL_PCAP_PROTOCOL_UDP;
    memcpy(header + 12, source->bytes, 4);
    memcpy(header + 16, destination->bytes, 4);
    fl_pcap_put_16(header + 10, fl_pcap_fold(fl_pcap_sum(header, 20)));
    return out + 20;
}

static uint8_t *fl_pcap_put_ipv6(
    uint8_t *out, const fl_address_t *source, const fl_address_t *destination, uint32_t udp_length)
{
    memset(out, 0, 8);
    out[0] = 0x60;
    fl_pcap_put_16(out + 4, udp_length);
    out[6] = FL_PCAP_PROTOCOL_UDP;
    out[7] = FL_PCAP_HOP_LIMIT;
    memcpy(out + 8, source->bytes, 16);
    memcpy(out + 24, destination->bytes, 16);
    return out + 40;
}

static uint8_t *fl_pcap_put_udp(
    uint8_t *out, const fl_address_t *source, const fl_address_t *destination, const uint8_t *data, uint32_t length)
{
    const size_t address_length = FL_FAMILY_IPV6 == source->family ? 16 : 4;
    fl_pcap_put_16(out, source->port);
    fl_pcap_put_16(out + 2, destination->port);
    fl_pcap_put_16(out + 4, 8 + length);
    fl_pcap_put_16(out + 6, 0);
    /* The pseudo-header: both addresses, the protocol, the length. */
    const uint32_t checksum = fl_pcap_fold(
        fl_pcap_sum(source->bytes, address_length) + fl_pcap_sum(destination->bytes, address_length) +
        FL_PCAP_PROTOCOL_UDP + 8 + length + fl_pcap_sum(out, 8) + fl_pcap_sum(data, length));
    fl_pcap_put_16(out + 6, 0 != checksum ? checksum : 0xffff);    /* 0 would mean that there is none */
    return out + 8;
}

size_t fl_pcap_write_record_header(
    uint8_t *out, int64_t epoch_ns, const fl_address_t *source, const fl_address_t *destination, const uint8_t *data,
    uint32_t length)
{
    uint8_t *const begin = out;
    const uint32_t ip_length = FL_FAMILY_IPV6 == source->family ? 40 : 20;
    const uint32_t packet_length = ip_length + 8 + length;
    out = fl_pcap_put_native(out, (uint32_t)(epoch_ns / INT64_C(1000000000)));
    out = fl_pcap_put_native(out, (uint32_t)(epoch_ns % INT64_C(1000000000)));
    out = fl_pcap_put_native(out, packet_length);
    out = fl_pcap_put_native(out, packet_length);
    out = FL_FAMILY_IPV6 == source->family ? fl_pcap_put_ipv6(out, source, destination, 8 + length)
                                           : fl_pcap_put_ipv4(out, source, destination, 8 + length);
    out = fl_pcap_put_udp(out, source, destination, data, length);
    return (size_t)(out - begin);
}
