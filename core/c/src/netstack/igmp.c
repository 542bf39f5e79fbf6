/* IGMP version 3 (RFC 3376), and 2 (RFC 2236) where an older querier is heard (bypass 5.5). */
#include "netstack/control_internal.h"

#define FL_IGMP_QUERY 0x11
#define FL_IGMP_V1_REPORT 0x12
#define FL_IGMP_V2_REPORT 0x16
#define FL_IGMP_V2_LEAVE 0x17
#define FL_IGMP_V3_REPORT 0x22
#define FL_IGMP_LENGTH 8
#define FL_IGMP_V3_QUERY_LENGTH 12
#define FL_IGMP_RECORD_LENGTH 8

static const fl_address_t ALL_ROUTERS = { .family = FL_FAMILY_IPV4, .bytes = { 224, 0, 0, 2 } };
static const fl_address_t V3_ROUTERS = { .family = FL_FAMILY_IPV4, .bytes = { 224, 0, 0, 22 } };

/* Begin a message: TTL 1, router alert, from our first address or, without one, from none. */
static uint8_t *fl_igmp_begin(
    fl_control_t *control, fl_control_frame_t *frame, const fl_address_t *destination, uint32_t *capacity)
{
    fl_address_t source;
    uint8_t mac[FL_MAC_LENGTH];
    if (!fl_addresses_source_for(control->config.addresses, destination, &source))
    {
        source = (fl_address_t){ .family = FL_FAMILY_IPV4 };
    }
    fl_control_group_mac(destination, mac);
    return fl_control_frame_begin(
        control, frame, mac, &source, destination, FL_IP_PROTOCOL_IGMP, 1, true, capacity);
}

static int fl_igmp_report(fl_control_t *control, const fl_group_record_t *records, uint32_t count)
{
    fl_control_frame_t frame;
    uint32_t capacity;
    uint8_t *message = fl_igmp_begin(control, &frame, &V3_ROUTERS, &capacity);
    memset(message, 0, FL_IGMP_LENGTH + count * FL_IGMP_RECORD_LENGTH);
    message[0] = FL_IGMP_V3_REPORT;
    fl_store_u16(message + 6, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++)
    {
        uint8_t *record = message + FL_IGMP_LENGTH + i * FL_IGMP_RECORD_LENGTH;
        record[0] = records[i].type;
        memcpy(record + 4, records[i].group->bytes, 4);
    }
    return fl_control_frame_send(control, &frame, FL_IGMP_LENGTH + count * FL_IGMP_RECORD_LENGTH);
}

static int fl_igmp_old(
    fl_control_t *control, uint8_t type, const fl_address_t *destination, const fl_address_t *group)
{
    fl_control_frame_t frame;
    uint32_t capacity;
    uint8_t *message = fl_igmp_begin(control, &frame, destination, &capacity);
    memset(message, 0, FL_IGMP_LENGTH);
    message[0] = type;
    memcpy(message + 4, group->bytes, 4);
    return fl_control_frame_send(control, &frame, FL_IGMP_LENGTH);
}

static int fl_igmp_old_report(fl_control_t *control, const fl_address_t *group)
{
    return fl_igmp_old(control, FL_IGMP_V2_REPORT, group, group);
}

static int fl_igmp_old_leave(fl_control_t *control, const fl_address_t *group)
{
    return fl_igmp_old(control, FL_IGMP_V2_LEAVE, &ALL_ROUTERS, group);
}

const fl_membership_protocol_t fl_igmp_protocol = {
    .family = FL_FAMILY_IPV4,
    .record_length = FL_IGMP_RECORD_LENGTH,
    .report = fl_igmp_report,
    .old_report = fl_igmp_old_report,
    .old_leave = fl_igmp_old_leave,
};

/* The time that a query leaves for answers. Version 3 writes long ones as a small floating-point number (RFC 3376 4.1.1);
 * version 1 writes none, and means 10 s. */
static int64_t fl_igmp_response_ns(uint8_t code, bool is_older)
{
    const int64_t tenth_ns = FL_SECOND_NS / 10;
    if (is_older)
    {
        return (0 == code ? 100 : code) * tenth_ns;
    }
    return (code < 128 ? code : (int64_t)((code & 0x0f) | 0x10) << (((code >> 4) & 7) + 3)) * tenth_ns;
}

/* Returns false if the query asks nothing of us. */
static bool fl_igmp_query(fl_control_t *control, const fl_packet_t *packet, const fl_address_t *group, int64_t now_ns)
{
    const bool is_older = FL_IGMP_LENGTH == packet->transport_length;
    const bool is_general = fl_address_is_wildcard(group);
    if (1 != packet->hop_limit || (!is_general && !fl_address_is_multicast(group)))
    {
        return false;
    }
    const fl_address_t none = { .family = FL_FAMILY_NONE };
    return fl_membership_query(
        control, FL_FAMILY_IPV4, is_general ? &none : group, is_older,
        fl_igmp_response_ns(packet->transport[1], is_older), now_ns);
}

void fl_igmp_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns)
{
    const uint8_t *message = packet->transport;
    const uint32_t length = packet->transport_length;
    const bool is_query = length >= FL_IGMP_LENGTH && FL_IGMP_QUERY == message[0];
    if (length < FL_IGMP_LENGTH || (is_query && length > FL_IGMP_LENGTH &&
            (length < FL_IGMP_V3_QUERY_LENGTH || length < FL_IGMP_V3_QUERY_LENGTH + 4u * fl_load_u16(message + 10))))
    {
        fl_control_count(control, FL_COUNT_RX_MALFORMED);
        return;
    }
    if (0xffff != fl_checksum_fold(fl_checksum_sum(message, length)))
    {
        fl_control_count(control, FL_COUNT_RX_CHECKSUM_CONTROL);
        return;
    }
    fl_address_t group = { .family = FL_FAMILY_IPV4 };
    memcpy(group.bytes, message + 4, 4);
    bool is_useful = false;
    if (is_query)
    {
        is_useful = fl_igmp_query(control, packet, &group, now_ns);
    }
    else if ((FL_IGMP_V1_REPORT == message[0] || FL_IGMP_V2_REPORT == message[0]) &&
        !fl_mac_is_same(packet->frame + FL_MAC_LENGTH, control->config.mac))
    {
        is_useful = fl_address_is_same_host(&group, &packet->destination) && fl_membership_heard(control, &group);
    }
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}
