/* MLD version 2 (RFC 3810), and 1 (RFC 2710) where an older querier is heard (bypass 5.5). */
#include "netstack/control_internal.h"

#define FL_MLD_QUERY 130
#define FL_MLD_V1_REPORT 131
#define FL_MLD_V1_DONE 132
#define FL_MLD_V2_REPORT 143
#define FL_MLD_LENGTH 24
#define FL_MLD_V2_QUERY_LENGTH 28

const fl_membership_protocol_t fl_mld_protocol = {
    .ip_protocol = FL_IP_PROTOCOL_ICMPV6,
    .report_type = FL_MLD_V2_REPORT,
    .old_report_type = FL_MLD_V1_REPORT,
    .old_leave_type = FL_MLD_V1_DONE,
    .address_length = 16,
    .old_length = FL_MLD_LENGTH,
    .routers = { .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [15] = 0x16 } },
    .all_routers = { .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [15] = 0x02 } },
};

/* The time that a query leaves for answers, in milliseconds; version 2 writes long ones as a floating-point number (RFC
 * 3810 5.1.3). */
static int64_t fl_mld_response_ns(uint16_t code, bool is_older)
{
    const int64_t milliseconds =
        is_older || code < 0x8000 ? code : (int64_t)((code & 0x0fff) | 0x1000) << (((code >> 12) & 7) + 3);
    return milliseconds * (FL_SECOND_NS / 1000);
}

void fl_mld_input(fl_control_t *control, const fl_packet_t *packet, int64_t now_ns)
{
    const uint8_t *message = packet->transport;
    const uint32_t length = packet->transport_length;
    const bool is_query = FL_MLD_QUERY == message[0];
    const bool is_old_report = FL_MLD_V1_REPORT == message[0];
    /* RFC 3810 5.1.14: from a link-local address, hop limit 1, router alert. A report may come from no address. */
    const bool is_from_link = fl_address_is_link_local(&packet->source) ||
        (!is_query && fl_address_is_wildcard(&packet->source));
    if (!is_from_link || 1 != packet->hop_limit || !packet->has_router_alert ||
        ((is_query || is_old_report) && length < FL_MLD_LENGTH) ||
        (is_query && length > FL_MLD_LENGTH &&
         (length < FL_MLD_V2_QUERY_LENGTH || length < FL_MLD_V2_QUERY_LENGTH + 16u * fl_load_u16(message + 26))))
    {
        fl_control_count(control, FL_COUNT_RX_MALFORMED);
        return;
    }
    bool is_useful = false;
    if (is_query || is_old_report)
    {
        fl_address_t group = { .family = FL_FAMILY_IPV6 };
        memcpy(group.bytes, message + 8, 16);
        const bool is_older = FL_MLD_LENGTH == length;
        is_useful = is_old_report
            ? fl_membership_heard(control, packet, &group)
            : fl_membership_query(
                  control, &group, is_older, fl_mld_response_ns(fl_load_u16(message + 4), is_older), now_ns);
    }
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}
