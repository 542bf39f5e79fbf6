#include "protocol/encode.h"

#include <string.h>

static fl_frame_header_t fl_frame_header(size_t length, uint8_t flags, int16_t type)
{
    return (fl_frame_header_t){
        .frame_length = (int32_t)length, .version = FL_FRAME_VERSION, .flags = flags, .type = type};
}

size_t fl_heartbeat_encode(
    uint8_t *buffer, uint8_t flags, int32_t term_offset, int32_t session_id, int32_t stream_id, int32_t term_id)
{
    *(fl_data_header_t *)buffer = (fl_data_header_t){
        .frame_length = 0,
        .version = FL_FRAME_VERSION,
        .flags = flags,
        .type = FL_FRAME_DATA,
        .term_offset = term_offset,
        .session_id = session_id,
        .stream_id = stream_id,
        .term_id = term_id,
        .reserved_value = 0};
    return FL_DATA_HEADER_LENGTH;
}

size_t fl_setup_encode(
    uint8_t *buffer,
    uint8_t flags,
    int32_t term_offset,
    int32_t session_id,
    int32_t stream_id,
    int32_t initial_term_id,
    int32_t active_term_id,
    int32_t term_length,
    int32_t mtu_length,
    int32_t ttl)
{
    *(fl_setup_frame_t *)buffer = (fl_setup_frame_t){
        .header = fl_frame_header(FL_SETUP_LENGTH, flags, FL_FRAME_SETUP),
        .term_offset = term_offset,
        .session_id = session_id,
        .stream_id = stream_id,
        .initial_term_id = initial_term_id,
        .active_term_id = active_term_id,
        .term_length = term_length,
        .mtu_length = mtu_length,
        .ttl = ttl};
    return FL_SETUP_LENGTH;
}

size_t fl_sm_encode(
    uint8_t *buffer,
    uint8_t flags,
    int32_t session_id,
    int32_t stream_id,
    int32_t consumption_term_id,
    int32_t consumption_term_offset,
    int32_t receiver_window,
    int64_t receiver_id,
    const int64_t *group_tag)
{
    const size_t length = NULL == group_tag ? FL_SM_LENGTH : FL_SM_GROUP_TAG_LENGTH;
    const fl_sm_frame_t frame = {
        .header = fl_frame_header(length, flags, FL_FRAME_SM),
        .session_id = session_id,
        .stream_id = stream_id,
        .consumption_term_id = consumption_term_id,
        .consumption_term_offset = consumption_term_offset,
        .receiver_window = receiver_window,
        .receiver_id = receiver_id,
        .group_tag = NULL == group_tag ? 0 : *group_tag};
    memcpy(buffer, &frame, length);
    return length;
}

size_t fl_nak_encode(
    uint8_t *buffer, int32_t session_id, int32_t stream_id, int32_t term_id, int32_t term_offset, int32_t length)
{
    *(fl_nak_frame_t *)buffer = (fl_nak_frame_t){
        .header = fl_frame_header(FL_NAK_LENGTH, 0, FL_FRAME_NAK),
        .session_id = session_id,
        .stream_id = stream_id,
        .term_id = term_id,
        .term_offset = term_offset,
        .length = length};
    return FL_NAK_LENGTH;
}

size_t fl_err_encode(
    uint8_t *buffer,
    int32_t session_id,
    int32_t stream_id,
    int64_t receiver_id,
    const int64_t *group_tag,
    int32_t error_code,
    const char *text,
    int32_t text_length)
{
    const int32_t error_length = text_length < FL_ERR_TEXT_LENGTH_MAX ? text_length : FL_ERR_TEXT_LENGTH_MAX;
    const size_t length = FL_ERR_LENGTH + (size_t)error_length;
    const fl_err_frame_t frame = {
        .header = fl_frame_header(length, NULL == group_tag ? 0 : FL_ERR_FLAG_HAS_GROUP_TAG, FL_FRAME_ERR),
        .session_id = session_id,
        .stream_id = stream_id,
        .receiver_id = receiver_id,
        .group_tag = NULL == group_tag ? 0 : *group_tag,
        .error_code = error_code,
        .error_length = error_length};
    memcpy(buffer, &frame, FL_ERR_LENGTH);
    memcpy(buffer + FL_ERR_LENGTH, text, (size_t)error_length);
    return length;
}

size_t fl_rttm_encode(
    uint8_t *buffer,
    uint8_t flags,
    int32_t session_id,
    int32_t stream_id,
    int64_t echo_timestamp,
    int64_t reception_delta,
    int64_t receiver_id)
{
    *(fl_rttm_frame_t *)buffer = (fl_rttm_frame_t){
        .header = fl_frame_header(FL_RTTM_LENGTH, flags, FL_FRAME_RTTM),
        .session_id = session_id,
        .stream_id = stream_id,
        .echo_timestamp = echo_timestamp,
        .reception_delta = reception_delta,
        .receiver_id = receiver_id};
    return FL_RTTM_LENGTH;
}

size_t fl_rsp_setup_encode(uint8_t *buffer, int32_t session_id, int32_t stream_id, int32_t response_session_id)
{
    *(fl_rsp_setup_frame_t *)buffer = (fl_rsp_setup_frame_t){
        .header = fl_frame_header(FL_RSP_SETUP_LENGTH, 0, FL_FRAME_RSP_SETUP),
        .session_id = session_id,
        .stream_id = stream_id,
        .response_session_id = response_session_id};
    return FL_RSP_SETUP_LENGTH;
}
