/* Checks on bytes from the wire, before anybody acts on them (wire 9.1). Pure functions over private memory. */
#ifndef FL_PROTOCOL_VALIDATE_H
#define FL_PROTOCOL_VALIDATE_H

#include "api/protocol.h"
#include "protocol/frames.h"

/* Why a datagram is refused. A function returns one of these negated; each has a counter of its own,
 * named by fl_invalid_name. */
enum
{
    FL_INVALID_SHORT = 1,          /* shorter than its type's header, or than 8 bytes */
    FL_INVALID_VERSION = 2,
    FL_INVALID_TYPE = 3,           /* unknown, ATS or EXT */
    FL_INVALID_FRAME_LENGTH = 4,   /* negative, or of a control frame beyond the datagram */
    FL_INVALID_ALIGNMENT = 5,      /* a data datagram that is not a multiple of 32 */
    FL_INVALID_TERM_OFFSET = 6,    /* not in the term, not a multiple of 32, or not where the walk expects it */
    FL_INVALID_DATA_FRAME = 7,     /* in the walk: a length of 0 or less, or neither DATA nor PAD */
    FL_INVALID_TERM_END = 8,       /* a frame or a gap passes the end of the term */
    FL_INVALID_WALK_LENGTH = 9,    /* the frames' lengths do not sum up to the datagram's */
    FL_INVALID_TERM_LENGTH = 10,   /* SETUP: not a power of two in 64 KiB to 1 GiB */
    FL_INVALID_MTU = 11,           /* SETUP: not a multiple of 32 in 32 to 65504 */
    FL_INVALID_NAK_LENGTH = 12,    /* NAK: negative */
    FL_INVALID_WINDOW = 13,        /* SM: negative, or more than half a term */
    FL_INVALID_ERROR_TEXT = 14,    /* ERR: text length out of range or beyond the frame */
    FL_INVALID_RES_ENTRY = 15,     /* RES: an entry does not fit, or its type or name length is wrong */
    FL_INVALID_REASONS = 16        /* one more than the last, for tables */
};

/* The datagram level: the first table of wire 9.1.
 *
 * returns  the type of the first frame, FL_FRAME_PAD to FL_FRAME_RSP_SETUP, or a negated reason
 */
int32_t fl_datagram_check(const uint8_t *datagram, size_t length);

/* The field level, of datagrams that passed fl_datagram_check. 0 or a negated reason. */
int32_t fl_setup_check(const fl_setup_frame_t *frame);
int32_t fl_err_check(const fl_err_frame_t *frame);

/* term_length: of the publication that the frame names. */
int32_t fl_nak_check(const fl_nak_frame_t *frame, int32_t term_length);

/* Offset in the term and a multiple of 32, window in 0 to half a term (wire 3.6.1 item 2). term_length: of the
 * addressed publication, or FL_LOG_TERM_LENGTH_MAX if there is none. That the position is near the sender's (item 3) is
 * for flow control to check. */
int32_t fl_sm_check(const fl_sm_frame_t *frame, int32_t term_length);

/* Walk the frames of a data datagram that passed fl_datagram_check (wire 9.1, field level).
 *
 * term_length   of the image
 * returns       bytes that the frames take in the term, a PAD at its whole extent; 0 for a heartbeat; a negated reason
 */
static inline int64_t fl_data_walk(const uint8_t *datagram, size_t length, int32_t term_length)
{
    const fl_data_header_t *first = (const fl_data_header_t *)datagram;
    int64_t term_offset = first->term_offset;
    if (term_offset < 0 || term_offset >= term_length || 0 != (term_offset & (FL_FRAME_ALIGNMENT - 1)))
    {
        return -FL_INVALID_TERM_OFFSET;
    }
    if (fl_frame_is_heartbeat(first, length))
    {
        return 0;
    }
    const int64_t datagram_length = (int64_t)length;
    int64_t walked = 0;
    while (walked < datagram_length)
    {
        if (datagram_length - walked < FL_DATA_HEADER_LENGTH)
        {
            return -FL_INVALID_WALK_LENGTH;
        }
        const fl_data_header_t *frame = (const fl_data_header_t *)(datagram + walked);
        const int16_t type = frame->type;
        const int32_t frame_length = frame->frame_length;
        /* A frame shorter than its header would be read past its end by every subscriber. */
        if (frame_length < FL_DATA_HEADER_LENGTH || (FL_FRAME_DATA != type && FL_FRAME_PAD != type))
        {
            return -FL_INVALID_DATA_FRAME;
        }
        if (frame->term_offset != term_offset)
        {
            return -FL_INVALID_TERM_OFFSET;
        }
        const int64_t extent = fl_align(frame_length, FL_FRAME_ALIGNMENT);
        if (extent > term_length - term_offset)
        {
            return -FL_INVALID_TERM_END;
        }
        walked += extent;
        term_offset += extent;
        if (walked > datagram_length && FL_FRAME_PAD != type)
        {
            return -FL_INVALID_WALK_LENGTH;
        }
    }
    return walked;
}

/* One entry of a RES frame. */
typedef struct fl_res_view
{
    int8_t res_type;
    uint8_t res_flags;
    uint16_t udp_port;
    int32_t age_in_ms;
    const uint8_t *address;        /* 4 or 16 bytes, network byte order */
    int16_t name_length;           /* 1 to 512 */
    const char *name;              /* not terminated, any bytes */
} fl_res_view_t;

/* Read the entry at offset, beginning with 8, of a RES datagram (wire 2.12, 9.2 item 4).
 *
 * returns  offset behind the entry, which is `length` or more after the last; or a negated reason
 */
int32_t fl_res_read(const uint8_t *datagram, size_t length, int32_t offset, fl_res_view_t *entry);

#endif
