#include "protocol/validate.h"

#include <string.h>

const char *fl_invalid_name(int reason)
{
    static const char *const names[FL_INVALID_REASONS] = {
        [FL_INVALID_SHORT] = "short",
        [FL_INVALID_VERSION] = "version",
        [FL_INVALID_TYPE] = "type",
        [FL_INVALID_FRAME_LENGTH] = "frame-length",
        [FL_INVALID_ALIGNMENT] = "alignment",
        [FL_INVALID_TERM_OFFSET] = "term-offset",
        [FL_INVALID_DATA_FRAME] = "data-frame",
        [FL_INVALID_TERM_END] = "term-end",
        [FL_INVALID_WALK_LENGTH] = "walk-length",
        [FL_INVALID_TERM_LENGTH] = "term-length",
        [FL_INVALID_MTU] = "mtu",
        [FL_INVALID_NAK_LENGTH] = "nak-length",
        [FL_INVALID_WINDOW] = "window",
        [FL_INVALID_ERROR_TEXT] = "error-text",
        [FL_INVALID_RES_ENTRY] = "res-entry"};
    return reason > 0 && reason < FL_INVALID_REASONS ? names[reason] : "unknown";
}

/* Shortest datagram of each type; 0: the type is not ours to handle (wire 2.13). */
static const uint8_t fl_datagram_length_min[FL_FRAME_RSP_SETUP + 1] = {
    [FL_FRAME_PAD] = FL_DATA_HEADER_LENGTH,
    [FL_FRAME_DATA] = FL_DATA_HEADER_LENGTH,
    [FL_FRAME_NAK] = FL_NAK_LENGTH,
    [FL_FRAME_SM] = FL_SM_LENGTH,
    [FL_FRAME_ERR] = FL_ERR_LENGTH,
    [FL_FRAME_SETUP] = FL_SETUP_LENGTH,
    [FL_FRAME_RTTM] = FL_RTTM_LENGTH,
    [FL_FRAME_RES] = FL_RES_LENGTH_MIN,
    [FL_FRAME_RSP_SETUP] = FL_RSP_SETUP_LENGTH};

int32_t fl_datagram_check(const uint8_t *datagram, size_t length)
{
    const fl_frame_header_t *header = (const fl_frame_header_t *)datagram;
    if (length < sizeof(*header))
    {
        return -FL_INVALID_SHORT;
    }
    if (FL_FRAME_VERSION != header->version)
    {
        return -FL_INVALID_VERSION;
    }
    const int32_t type = header->type;
    if (type < FL_FRAME_PAD || type > FL_FRAME_RSP_SETUP || 0 == fl_datagram_length_min[type])
    {
        return -FL_INVALID_TYPE;
    }
    if (length < fl_datagram_length_min[type])
    {
        return -FL_INVALID_SHORT;
    }
    const int32_t frame_length = header->frame_length;
    if (frame_length < 0)
    {
        return -FL_INVALID_FRAME_LENGTH;
    }
    if (FL_FRAME_DATA == type || FL_FRAME_PAD == type)
    {
        return 0 == length % FL_FRAME_ALIGNMENT ? type : -FL_INVALID_ALIGNMENT;
    }
    return (size_t)frame_length <= length ? type : -FL_INVALID_FRAME_LENGTH;
}

static int fl_is_offset_in_term(int32_t term_offset, int32_t term_length)
{
    return term_offset >= 0 && term_offset < term_length && 0 == term_offset % FL_FRAME_ALIGNMENT;
}

int32_t fl_setup_check(const fl_setup_frame_t *frame)
{
    const int32_t term_length = frame->term_length;
    if (!fl_is_power_of_two(term_length) || term_length < FL_LOG_TERM_LENGTH_MIN ||
        term_length > FL_LOG_TERM_LENGTH_MAX)
    {
        return -FL_INVALID_TERM_LENGTH;
    }
    if (!fl_is_offset_in_term(frame->term_offset, term_length))
    {
        return -FL_INVALID_TERM_OFFSET;
    }
    const int32_t mtu_length = frame->mtu_length;
    if (mtu_length < FL_DATA_HEADER_LENGTH || mtu_length > FL_MTU_LENGTH_MAX || 0 != mtu_length % FL_FRAME_ALIGNMENT)
    {
        return -FL_INVALID_MTU;
    }
    return 0;
}

int32_t fl_nak_check(const fl_nak_frame_t *frame, int32_t term_length)
{
    if (!fl_is_offset_in_term(frame->term_offset, term_length))
    {
        return -FL_INVALID_TERM_OFFSET;
    }
    if (frame->length < 0)
    {
        return -FL_INVALID_NAK_LENGTH;
    }
    return frame->length <= term_length - frame->term_offset ? 0 : -FL_INVALID_TERM_END;
}

int32_t fl_sm_check(const fl_sm_frame_t *frame, int32_t term_length)
{
    if (!fl_is_offset_in_term(frame->consumption_term_offset, term_length))
    {
        return -FL_INVALID_TERM_OFFSET;
    }
    return frame->receiver_window >= 0 && frame->receiver_window <= term_length / 2 ? 0 : -FL_INVALID_WINDOW;
}

int32_t fl_err_check(const fl_err_frame_t *frame)
{
    const int32_t text_length = frame->error_length;
    return text_length >= 0 && text_length <= FL_ERR_TEXT_LENGTH_MAX &&
            FL_ERR_LENGTH + text_length <= frame->header.frame_length
        ? 0
        : -FL_INVALID_ERROR_TEXT;
}

int32_t fl_res_read(const uint8_t *datagram, size_t length, int32_t offset, fl_res_view_t *entry)
{
    const int64_t room = (int64_t)length - offset;
    if (offset < (int32_t)sizeof(fl_frame_header_t) || room < (int64_t)sizeof(fl_res_entry_t))
    {
        return -FL_INVALID_RES_ENTRY;
    }
    const fl_res_entry_t *header = (const fl_res_entry_t *)(datagram + offset);
    if (FL_RES_TYPE_IPV4 != header->res_type && FL_RES_TYPE_IPV6 != header->res_type)
    {
        return -FL_INVALID_RES_ENTRY;
    }
    const int64_t address_length = FL_RES_TYPE_IPV4 == header->res_type ? 4 : 16;
    const int64_t name_at = (int64_t)sizeof(*header) + address_length + (int64_t)sizeof(int16_t);
    if (room < name_at)
    {
        return -FL_INVALID_RES_ENTRY;
    }
    int16_t name_length;
    memcpy(&name_length, datagram + offset + sizeof(*header) + address_length, sizeof(name_length));
    if (name_length <= 0 || name_length > FL_RES_NAME_LENGTH_MAX || room < name_at + name_length)
    {
        return -FL_INVALID_RES_ENTRY;
    }
    *entry = (fl_res_view_t){
        .res_type = header->res_type,
        .res_flags = header->res_flags,
        .udp_port = header->udp_port,
        .age_in_ms = header->age_in_ms,
        .address = datagram + offset + sizeof(*header),
        .name_length = name_length,
        .name = (const char *)(datagram + offset + name_at)};
    return offset + (int32_t)fl_align(name_at + name_length, 8);
}

/* Does a RES frame hold nothing but whole entries? */
static int32_t fl_res_check(const uint8_t *datagram, size_t length)
{
    int32_t offset = (int32_t)sizeof(fl_frame_header_t);
    while (offset >= 0 && (size_t)offset < length)
    {
        fl_res_view_t entry;
        offset = fl_res_read(datagram, length, offset, &entry);
    }
    return offset < 0 ? offset : 0;
}

int64_t fl_frame_extent(const uint8_t *datagram, size_t length, int32_t term_length)
{
    return fl_data_walk(datagram, length, term_length);
}

int32_t fl_frame_check(const uint8_t *datagram, size_t length, int32_t term_length)
{
    const int32_t type = fl_datagram_check(datagram, length);
    int64_t result = 0;
    switch (type)
    {
        case FL_FRAME_PAD:
        case FL_FRAME_DATA:
            result = fl_data_walk(datagram, length, term_length);
            break;
        case FL_FRAME_NAK:
            result = fl_nak_check((const fl_nak_frame_t *)datagram, term_length);
            break;
        case FL_FRAME_SM:
            result = fl_sm_check((const fl_sm_frame_t *)datagram, term_length);
            break;
        case FL_FRAME_ERR:
            result = fl_err_check((const fl_err_frame_t *)datagram);
            break;
        case FL_FRAME_SETUP:
            result = fl_setup_check((const fl_setup_frame_t *)datagram);
            break;
        case FL_FRAME_RES:
            result = fl_res_check(datagram, length);
            break;
        default:
            break;
    }
    return result < 0 ? (int32_t)result : type;
}
