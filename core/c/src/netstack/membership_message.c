/* What a member says to routers: the messages of IGMP (RFC 3376, RFC 2236) and MLD (RFC 3810, RFC 2710), which differ
 * in numbers and lengths only. */
#include "netstack/control_internal.h"

/* Begin a message: TTL or hop limit 1, router alert, from our first address, in IPv6 from our link-local one; from none
 * if there is none (RFC 3376 4.2.13, RFC 3590). */
static uint8_t *fl_membership_begin(
    fl_control_t *control, const fl_membership_protocol_t *protocol, fl_control_frame_t *frame,
    const fl_address_t *destination)
{
    fl_address_t source;
    uint8_t mac[FL_MAC_LENGTH];
    uint32_t capacity;
    if (!fl_addresses_source_for(control->config.addresses, &protocol->all_routers, &source) ||
        (FL_FAMILY_IPV6 == source.family && !fl_address_is_link_local(&source)))
    {
        source = (fl_address_t){ .family = destination->family };
    }
    fl_control_group_mac(destination, mac);
    return fl_control_frame_begin(
        control, frame, mac, &source, destination, protocol->ip_protocol, 1, true, &capacity);
}

int fl_membership_say(
    fl_control_t *control, const fl_membership_protocol_t *protocol, const fl_group_record_t *records, uint32_t count)
{
    fl_control_frame_t frame;
    const uint32_t record_length = fl_membership_record_length(protocol);
    const uint32_t length = FL_MEMBERSHIP_REPORT_LENGTH + count * record_length;
    uint8_t *message = fl_membership_begin(control, protocol, &frame, &protocol->routers);
    memset(message, 0, length);
    message[0] = protocol->report_type;
    fl_store_u16(message + 6, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++)
    {
        uint8_t *record = message + FL_MEMBERSHIP_REPORT_LENGTH + i * record_length;
        record[0] = records[i].type;
        memcpy(record + 4, records[i].group->bytes, protocol->address_length);
    }
    return fl_control_frame_send(control, &frame, length);
}

int fl_membership_say_old(
    fl_control_t *control, const fl_membership_protocol_t *protocol, const fl_group_record_t *record)
{
    fl_control_frame_t frame;
    const bool is_leave = FL_RECORD_TO_INCLUDE == record->type;
    uint8_t *message =
        fl_membership_begin(control, protocol, &frame, is_leave ? &protocol->all_routers : record->group);
    memset(message, 0, protocol->old_length);
    message[0] = is_leave ? protocol->old_leave_type : protocol->old_report_type;
    memcpy(
        message + protocol->old_length - protocol->address_length, record->group->bytes, protocol->address_length);
    return fl_control_frame_send(control, &frame, protocol->old_length);
}
