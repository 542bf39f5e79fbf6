/* MLD version 2 (RFC 3810), and 1 (RFC 2710) where an older querier is heard (bypass 5.5). */
#include "netstack/control_internal.h"

#define FL_MLD_QUERY 130
#define FL_MLD_V1_REPORT 131
#define FL_MLD_V1_DONE 132
#define FL_MLD_V2_REPORT 143
#define FL_MLD_LENGTH 24
#define FL_MLD_V2_QUERY_LENGTH 28
#define FL_MLD_V2_REPORT_LENGTH 8
#define FL_MLD_RECORD_LENGTH 20

static const fl_address_t ALL_ROUTERS = { .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [15] = 0x02 } };
static const fl_address_t V2_ROUTERS = { .family = FL_FAMILY_IPV6, .bytes = { 0xff, 0x02, [15] = 0x16 } };

static bool fl_mld_is_link_local(const fl_address_t *address)
{
    return 0xfe == address->bytes[0] && 0x80 == (address->bytes[1] & 0xc0);
}

/* Begin a message: hop limit 1, router alert, from our link-local address or, without one, from none (RFC 3590). */
static uint8_t *fl_mld_begin(
    fl_control_t *control, fl_control_frame_t *frame, const fl_address_t *destination, uint32_t *capacity)
{
    fl_address_t source;
    uint8_t mac[FL_MAC_LENGTH];
    if (!fl_addresses_source_for(control->config.addresses, &ALL_ROUTERS, &source) || !fl_mld_is_link_local(&source))
    {
        source = (fl_address_t){ .family = FL_FAMILY_IPV6 };
    }
    fl_control_group_mac(destination, mac);
    return fl_control_frame_begin(
        control, frame, mac, &source, destination, FL_IP_PROTOCOL_ICMPV6, 1, true, capacity);
}

static int fl_mld_report(fl_control_t *control, const fl_group_record_t *records, uint32_t count)
{
    fl_control_frame_t frame;
    uint32_t capacity;
    uint8_t *message = fl_mld_begin(control, &frame, &V2_ROUTERS, &capacity);
    memset(message, 0, FL_MLD_V2_REPORT_LENGTH + count * FL_MLD_RECORD_LENGTH);
    message[0] = FL_MLD_V2_REPORT;
    fl_store_u16(message + 6, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++)
    {
        uint8_t *record = message + FL_MLD_V2_REPORT_LENGTH + i * FL_MLD_RECORD_LENGTH;
        record[0] = records[i].type;
        memcpy(record + 4, records[i].group->bytes, 16);
    }
    return fl_control_frame_send(control, &frame, FL_MLD_V2_REPORT_LENGTH + count * FL_MLD_RECORD_LENGTH);
}

static int fl_mld_old(
    fl_control_t *control, uint8_t type, const fl_address_t *destination, const fl_address_t *group)
{
    fl_control_frame_t frame;
    uint32_t capacity;
    uint8_t *message = fl_mld_begin(control, &frame, destination, &capacity);
    memset(message, 0, FL_MLD_LENGTH);
    message[0] = type;
    memcpy(message + 8, group->bytes, 16);
    return fl_control_frame_send(control, &frame, FL_MLD_LENGTH);
}

static int fl_mld_old_report(fl_control_t *control, const fl_address_t *group)
{
    return fl_mld_old(control, FL_MLD_V1_REPORT, group, group);
}

static int fl_mld_old_done(fl_control_t *control, const fl_address_t *group)
{
    return fl_mld_old(control, FL_MLD_V1_DONE, &ALL_ROUTERS, group);
}

const fl_membership_protocol_t fl_mld_protocol = {
    .family = FL_FAMILY_IPV6,
    .record_length = FL_MLD_RECORD_LENGTH,
    .report = fl_mld_report,
    .old_report = fl_mld_old_report,
    .old_leave = fl_mld_old_done,
};

/* The time that a query leaves for answers, in milliseconds; version 2 writes long ones as a floating-point number (RFC 3810
 * 5.1.3). */
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
    const bool is_from_link = fl_mld_is_link_local(&packet->source) ||
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
        if (is_old_report)
        {
            is_useful = !fl_mac_is_same(packet->frame + FL_MAC_LENGTH, control->config.mac) &&
                fl_address_is_same_host(&group, &packet->destination) && fl_membership_heard(control, &group);
        }
        else if (fl_address_is_wildcard(&group) || fl_address_is_multicast(&group))
        {
            const bool is_older = FL_MLD_LENGTH == length;
            const fl_address_t none = { .family = FL_FAMILY_NONE };
            is_useful = fl_membership_query(
                control, FL_FAMILY_IPV6, fl_address_is_wildcard(&group) ? &none : &group, is_older,
                fl_mld_response_ns(fl_load_u16(message + 4), is_older), now_ns);
        }
    }
    if (!is_useful)
    {
        fl_control_count(control, FL_COUNT_RX_CONTROL_IGNORED);
    }
}
