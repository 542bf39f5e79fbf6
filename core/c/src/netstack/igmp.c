/* IGMP version 3 (RFC 3376), and 2 (RFC 2236) where an older querier is heard (bypass 5.5). */
#include "netstack/control_internal.h"

#define FL_IGMP_QUERY 0x11
#define FL_IGMP_V1_REPORT 0x12
#define FL_IGMP_V2_REPORT 0x16
#define FL_IGMP_V2_LEAVE 0x17
#define FL_IGMP_V3_REPORT 0x22
#define FL_IGMP_LENGTH 8
#define FL_IGMP_V3_QUERY_LENGTH 12

const fl_membership_protocol_t fl_igmp_protocol = {
    .ip_protocol = FL_IP_PROTOCOL_IGMP,
    .report_type = FL_IGMP_V3_REPORT,
    .old_report_type = FL_IGMP_V2_REPORT,
    .old_leave_type = FL_IGMP_V2_LEAVE,
    .address_length = 4,
    .old_length = FL_IGMP_LENGTH,
    .routers = { .family = FL_FAMILY_IPV4, .bytes = { 224, 0, 0, 22 } },
    .all_routers = { .family = FL_FAMILY_IPV4, .bytes = { 224, 0, 0, 2 } },
};

/* The time that a query leaves for answers. Version 3 writes long ones as a small floating-point number (RFC 3376
 * 4.1.1); version 1 writes none, and means 10 s. */
static int64_t fl_igmp_response_ns(uint8_t code, bool is_older)
{
    const int64_t tenth_ns = FL_SECOND_NS / 10;
    if (is_older)
    {
        return (0 == code ? 100 : code) * tenth_ns;
    }
    return (code < 128 ? code : (int64_t)((code & 0x0f) | 0x10) << (((code >> 4) & 7) + 3)) * tenth_ns;
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
        const bool is_older = FL_IGMP_LENGTH == length;
        is_useful = 1 == packet->hop_limit &&
            fl_membership_query(control, &group, is_older, fl_igmp_response_ns(message[1], is_older), now_ns);
    }
    else if (FL_IGMP_V1_REPORT == message[0] || FL_IGMP_V2_REPORT == message[0])
    {
        is_useful = fl_membership_heard(control, packet, &group);
    }
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}
