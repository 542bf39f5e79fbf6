/* The frames of the wire (wire 2). Fields are packed and may be unaligned; the structs may overlay any bytes.
 *
 * A frame in a term buffer begins with the same data header, but its first word is shared and goes through shm/words.h.
 */
#ifndef FL_PROTOCOL_FRAMES_H
#define FL_PROTOCOL_FRAMES_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "api/layout.h"
#include "shm/words.h"

#define FL_FRAME_VERSION 0

#define FL_FRAME_PAD 0x0000
#define FL_FRAME_DATA 0x0001
#define FL_FRAME_NAK 0x0002
#define FL_FRAME_SM 0x0003
#define FL_FRAME_ERR 0x0004
#define FL_FRAME_SETUP 0x0005
#define FL_FRAME_RTTM 0x0006
#define FL_FRAME_RES 0x0007
#define FL_FRAME_ATS_DATA 0x0008
#define FL_FRAME_ATS_SETUP 0x0009
#define FL_FRAME_ATS_SM 0x000a
#define FL_FRAME_RSP_SETUP 0x000b
#define FL_FRAME_EXT (-1)

#define FL_DATA_FLAG_BEGIN 0x80
#define FL_DATA_FLAG_END 0x40
#define FL_DATA_FLAG_EOS 0x20
#define FL_DATA_FLAG_REVOKED 0x10
#define FL_DATA_UNFRAGMENTED 0xc0
#define FL_SETUP_FLAG_SEND_RESPONSE 0x80
#define FL_SETUP_FLAG_GROUP 0x40
#define FL_SM_FLAG_SEND_SETUP 0x80
#define FL_SM_FLAG_EOS 0x40
#define FL_ERR_FLAG_HAS_GROUP_TAG 0x08
#define FL_RTTM_FLAG_REPLY 0x80
#define FL_RES_FLAG_SELF 0x80

#define FL_RES_TYPE_IPV4 1
#define FL_RES_TYPE_IPV6 2
#define FL_RES_NAME_LENGTH_MAX 512

#define FL_SETUP_LENGTH 40
#define FL_SM_LENGTH 36
#define FL_SM_GROUP_TAG_LENGTH 44
#define FL_NAK_LENGTH 28
#define FL_ERR_LENGTH 40
#define FL_ERR_TEXT_LENGTH_MAX 1023
#define FL_RTTM_LENGTH 40
#define FL_RSP_SETUP_LENGTH 20
#define FL_RES_LENGTH_MIN 22

#define FL_PACKED __attribute__((packed, may_alias))

typedef struct FL_PACKED fl_frame_header
{
    int32_t frame_length;
    int8_t version;
    uint8_t flags;
    int16_t type;
} fl_frame_header_t;

typedef struct FL_PACKED fl_data_header
{
    int32_t frame_length;      /* header and payload; of a PAD the whole extent; 0: heartbeat */
    int8_t version;
    uint8_t flags;
    int16_t type;
    int32_t term_offset;
    int32_t session_id;
    int32_t stream_id;
    int32_t term_id;
    int64_t reserved_value;
} fl_data_header_t;

typedef struct FL_PACKED fl_setup_frame
{
    fl_frame_header_t header;
    int32_t term_offset;
    int32_t session_id;
    int32_t stream_id;
    int32_t initial_term_id;
    int32_t active_term_id;
    int32_t term_length;
    int32_t mtu_length;
    int32_t ttl;
} fl_setup_frame_t;

typedef struct FL_PACKED fl_sm_frame
{
    fl_frame_header_t header;
    int32_t session_id;
    int32_t stream_id;
    int32_t consumption_term_id;
    int32_t consumption_term_offset;
    int32_t receiver_window;
    int64_t receiver_id;
    int64_t group_tag;         /* present only if fl_sm_has_group_tag */
} fl_sm_frame_t;

typedef struct FL_PACKED fl_nak_frame
{
    fl_frame_header_t header;
    int32_t session_id;
    int32_t stream_id;
    int32_t term_id;
    int32_t term_offset;
    int32_t length;
} fl_nak_frame_t;

typedef struct FL_PACKED fl_err_frame
{
    fl_frame_header_t header;
    int32_t session_id;
    int32_t stream_id;
    int64_t receiver_id;
    int64_t group_tag;         /* valid only with FL_ERR_FLAG_HAS_GROUP_TAG */
    int32_t error_code;
    int32_t error_length;
    char text[];
} fl_err_frame_t;

typedef struct FL_PACKED fl_rttm_frame
{
    fl_frame_header_t header;
    int32_t session_id;
    int32_t stream_id;
    int64_t echo_timestamp;
    int64_t reception_delta;
    int64_t receiver_id;
} fl_rttm_frame_t;

typedef struct FL_PACKED fl_rsp_setup_frame
{
    fl_frame_header_t header;
    int32_t session_id;
    int32_t stream_id;
    int32_t response_session_id;
} fl_rsp_setup_frame_t;

/* An entry of a RES frame; the address, an i16 name length and the name follow (wire 2.12). */
typedef struct FL_PACKED fl_res_entry
{
    int8_t res_type;
    uint8_t res_flags;
    uint16_t udp_port;
    int32_t age_in_ms;
} fl_res_entry_t;

static_assert(sizeof(fl_frame_header_t) == 8, "wire 2.3");
static_assert(offsetof(fl_frame_header_t, version) == 4, "wire 2.3");
static_assert(offsetof(fl_frame_header_t, flags) == 5, "wire 2.3");
static_assert(offsetof(fl_frame_header_t, type) == 6, "wire 2.3");
static_assert(sizeof(fl_data_header_t) == FL_DATA_HEADER_LENGTH, "wire 2.4");
static_assert(offsetof(fl_data_header_t, type) == 6, "wire 2.4");
static_assert(offsetof(fl_data_header_t, term_offset) == 8, "wire 2.4");
static_assert(offsetof(fl_data_header_t, session_id) == 12, "wire 2.4");
static_assert(offsetof(fl_data_header_t, stream_id) == 16, "wire 2.4");
static_assert(offsetof(fl_data_header_t, term_id) == 20, "wire 2.4");
static_assert(offsetof(fl_data_header_t, reserved_value) == 24, "wire 2.4");
static_assert(sizeof(fl_setup_frame_t) == FL_SETUP_LENGTH, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, term_offset) == 8, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, session_id) == 12, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, stream_id) == 16, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, initial_term_id) == 20, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, active_term_id) == 24, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, term_length) == 28, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, mtu_length) == 32, "wire 2.6");
static_assert(offsetof(fl_setup_frame_t, ttl) == 36, "wire 2.6");
static_assert(sizeof(fl_sm_frame_t) == FL_SM_GROUP_TAG_LENGTH, "wire 2.7");
static_assert(offsetof(fl_sm_frame_t, session_id) == 8, "wire 2.7");
static_assert(offsetof(fl_sm_frame_t, stream_id) == 12, "wire 2.7");
static_assert(offsetof(fl_sm_frame_t, consumption_term_id) == 16, "wire 2.7");
static_assert(offsetof(fl_sm_frame_t, consumption_term_offset) == 20, "wire 2.7");
static_assert(offsetof(fl_sm_frame_t, receiver_window) == 24, "wire 2.7");
static_assert(offsetof(fl_sm_frame_t, receiver_id) == 28, "wire 2.7");
static_assert(offsetof(fl_sm_frame_t, group_tag) == FL_SM_LENGTH, "wire 2.7");
static_assert(sizeof(fl_nak_frame_t) == FL_NAK_LENGTH, "wire 2.8");
static_assert(offsetof(fl_nak_frame_t, session_id) == 8, "wire 2.8");
static_assert(offsetof(fl_nak_frame_t, stream_id) == 12, "wire 2.8");
static_assert(offsetof(fl_nak_frame_t, term_id) == 16, "wire 2.8");
static_assert(offsetof(fl_nak_frame_t, term_offset) == 20, "wire 2.8");
static_assert(offsetof(fl_nak_frame_t, length) == 24, "wire 2.8");
static_assert(sizeof(fl_err_frame_t) == FL_ERR_LENGTH, "wire 2.9");
static_assert(offsetof(fl_err_frame_t, session_id) == 8, "wire 2.9");
static_assert(offsetof(fl_err_frame_t, stream_id) == 12, "wire 2.9");
static_assert(offsetof(fl_err_frame_t, receiver_id) == 16, "wire 2.9");
static_assert(offsetof(fl_err_frame_t, group_tag) == 24, "wire 2.9");
static_assert(offsetof(fl_err_frame_t, error_code) == 32, "wire 2.9");
static_assert(offsetof(fl_err_frame_t, error_length) == 36, "wire 2.9");
static_assert(sizeof(fl_rttm_frame_t) == FL_RTTM_LENGTH, "wire 2.10");
static_assert(offsetof(fl_rttm_frame_t, session_id) == 8, "wire 2.10");
static_assert(offsetof(fl_rttm_frame_t, stream_id) == 12, "wire 2.10");
static_assert(offsetof(fl_rttm_frame_t, echo_timestamp) == 16, "wire 2.10");
static_assert(offsetof(fl_rttm_frame_t, reception_delta) == 24, "wire 2.10");
static_assert(offsetof(fl_rttm_frame_t, receiver_id) == 32, "wire 2.10");
static_assert(sizeof(fl_rsp_setup_frame_t) == FL_RSP_SETUP_LENGTH, "wire 2.11");
static_assert(offsetof(fl_rsp_setup_frame_t, session_id) == 8, "wire 2.11");
static_assert(offsetof(fl_rsp_setup_frame_t, stream_id) == 12, "wire 2.11");
static_assert(offsetof(fl_rsp_setup_frame_t, response_session_id) == 16, "wire 2.11");
static_assert(sizeof(fl_res_entry_t) == 8, "wire 2.12");

/* A heartbeat is a data header of length 0 alone in its datagram (wire 2.5). length: of the datagram. */
static inline int fl_frame_is_heartbeat(const fl_data_header_t *frame, size_t length)
{
    return FL_DATA_HEADER_LENGTH == length && 0 == frame->frame_length;
}

/* Only read the tag when both the frame and the datagram have it (wire 9.2 item 6). */
static inline int fl_sm_has_group_tag(const fl_sm_frame_t *frame, size_t length)
{
    return length >= FL_SM_GROUP_TAG_LENGTH && FL_SM_GROUP_TAG_LENGTH == frame->header.frame_length;
}

#endif
