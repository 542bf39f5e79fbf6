/* Building frames (wire 2). Each function writes a whole frame into a buffer, of any alignment and of at least the
 * frame's length, and returns that length. Any thread; no checks: the caller's values are the driver's own. */
#ifndef FL_PROTOCOL_ENCODE_H
#define FL_PROTOCOL_ENCODE_H

#include "protocol/frames.h"

size_t fl_heartbeat_encode(
    uint8_t *buffer, uint8_t flags, int32_t term_offset, int32_t session_id, int32_t stream_id, int32_t term_id);

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
    int32_t ttl);

/* group_tag: NULL for a frame without one. */
size_t fl_sm_encode(
    uint8_t *buffer,
    uint8_t flags,
    int32_t session_id,
    int32_t stream_id,
    int32_t consumption_term_id,
    int32_t consumption_term_offset,
    int32_t receiver_window,
    int64_t receiver_id,
    const int64_t *group_tag);

size_t fl_nak_encode(
    uint8_t *buffer, int32_t session_id, int32_t stream_id, int32_t term_id, int32_t term_offset, int32_t length);

/* text is cut at 1023 bytes; group_tag: NULL for none. The buffer has room for 40 + text_length bytes. */
size_t fl_err_encode(
    uint8_t *buffer,
    int32_t session_id,
    int32_t stream_id,
    int64_t receiver_id,
    const int64_t *group_tag,
    int32_t error_code,
    const char *text,
    int32_t text_length);

size_t fl_rttm_encode(
    uint8_t *buffer,
    uint8_t flags,
    int32_t session_id,
    int32_t stream_id,
    int64_t echo_timestamp,
    int64_t reception_delta,
    int64_t receiver_id);

size_t fl_rsp_setup_encode(uint8_t *buffer, int32_t session_id, int32_t stream_id, int32_t response_session_id);

#endif
