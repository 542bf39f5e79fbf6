/* The frames of the ports' driver: UDP datagrams whose bytes follow from a number, to addresses that filters may
 * hold. */
#ifndef FL_PORT_FRAMES_H
#define FL_PORT_FRAMES_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include <framelane/port.h>

#include "ops.h"

#define TARGETS 14
#define TAG 100
#define UNTAGGED 0xffff
#define PAYLOAD_LEAST 24
#define PAYLOAD_MOST 170

/* An address that frames go to: unicast, multicast, tagged and IPv6 ones, each with a port of its own. */
static inline bool target_is_multicast(uint32_t target)
{
    return target >= 6 && target < 9;
}

static inline bool target_is_ipv6(uint32_t target)
{
    return target >= 11;
}

static inline uint16_t target_vlan(uint32_t target)
{
    return 9 == target || 10 == target ? TAG : UNTAGGED;
}

static inline fl_address_t target_address(uint32_t side, uint32_t target)
{
    fl_address_t address = {.family = FL_FAMILY_IPV4, .port = (uint16_t)(4000 + target)};
    const uint8_t unicast[4] = {10, 88, (uint8_t)side, (uint8_t)(1 + target % 3)};
    const uint8_t multicast[4] = {239, 1, (uint8_t)side, (uint8_t)target};
    memcpy(address.bytes, target_is_multicast(target) ? multicast : unicast, 4);
    if (target_is_ipv6(target))
    {
        address.family = FL_FAMILY_IPV6;
        memcpy(address.bytes, "\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 14);
        address.bytes[14] = (uint8_t)side;
        address.bytes[15] = (uint8_t)target;
    }
    return address;
}

static inline void put_16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline uint32_t sum_16(const uint8_t *data, size_t length, uint32_t sum)
{
    for (size_t i = 0; i < length; i++)
    {
        sum += 0 == i % 2 ? (uint32_t)data[i] << 8 : data[i];
    }
    return sum;
}

static inline uint16_t sum_end(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* A frame that was given to a port. All of its bytes follow from this. */
typedef struct
{
    uint64_t number;
    uint64_t sent_at;     /* operation */
    uint8_t side;         /* of the sender */
    uint8_t queue;
    uint8_t target;       /* at the other side */
    uint8_t payload;      /* bytes */
} record_t;

/* Write a frame; returns its length. */
static inline uint32_t frame_make(const record_t *record, uint8_t *frame)
{
    const uint32_t to = 1 - record->side;
    const fl_address_t address = target_address(to, record->target);
    const bool is_ipv6 = target_is_ipv6(record->target);
    const uint32_t udp_length = 8u + record->payload;
    uint32_t at = 12;
    memset(frame, 2, 12);
    if (UNTAGGED != target_vlan(record->target))
    {
        put_16(frame + at, 0x8100);
        put_16(frame + at + 2, target_vlan(record->target));
        at += 4;
    }
    put_16(frame + at, is_ipv6 ? 0x86dd : 0x0800);
    uint8_t *ip = frame + at + 2;
    const uint32_t ip_length = is_ipv6 ? 40 : 20;
    memset(ip, 0, ip_length);
    uint32_t pseudo;
    if (is_ipv6)
    {
        ip[0] = 0x60;
        put_16(ip + 4, udp_length);
        ip[6] = IPPROTO_UDP;
        ip[7] = 4;
        ip[8] = 0xfd;
        memcpy(ip + 24, address.bytes, 16);
        pseudo = sum_16(ip + 8, 32, 0);
    }
    else
    {
        ip[0] = 0x45;
        put_16(ip + 2, ip_length + udp_length);
        ip[8] = 4;
        ip[9] = IPPROTO_UDP;
        ip[12] = 10;
        ip[13] = 89;
        memcpy(ip + 16, address.bytes, 4);
        put_16(ip + 10, sum_end(sum_16(ip, 20, 0)));
        pseudo = sum_16(ip + 12, 8, 0);
    }
    uint8_t *udp = ip + ip_length;
    put_16(udp, 999);
    put_16(udp + 2, address.port);
    put_16(udp + 4, udp_length);
    put_16(udp + 6, 0);
    memcpy(udp + 8, &record->number, sizeof(record->number));
    for (uint32_t i = sizeof(record->number); i < record->payload; i++)
    {
        udp[8 + i] = (uint8_t)(record->number * 31 + i);
    }
    const uint16_t sum = sum_end(sum_16(udp, udp_length, pseudo + IPPROTO_UDP + udp_length));
    put_16(udp + 6, 0 == sum ? 0xffff : sum);
    return (uint32_t)(udp + udp_length - frame);
}

/* The number in a received frame, UINT64_MAX if it has none. */
static inline uint64_t frame_number(const uint8_t *frame, uint32_t length)
{
    const uint32_t at = 0x81 == frame[12] ? 16 : 12;
    const uint32_t number_at = at + 2 + (0x86 == frame[at] ? 40 : 20) + 8;
    uint64_t number = UINT64_MAX;
    if (length >= number_at + sizeof(number))
    {
        memcpy(&number, frame + number_at, sizeof(number));
    }
    return number;
}

#endif
