/* The frames of a stream that the receiver's tests inject, and what they look at afterwards. */
#ifndef FL_TESTS_RECEIVER_FRAMES_H
#define FL_TESTS_RECEIVER_FRAMES_H

#include "protocol/encode.h"
#include "receiver_fixture.h"

/* Write the frame of a stream's position: its payload is a pattern that depends on the position. type PAD: the header
 * alone. Returns the bytes written. */
static inline uint32_t write_frame_of(
    uint8_t *at, int64_t position, int32_t frame_length, int16_t type, int32_t session_id, int32_t term_length)
{
    const fl_data_header_t header = {
        .frame_length = frame_length,
        .flags = FL_DATA_UNFRAGMENTED,
        .type = type,
        .term_offset = (int32_t)(position % term_length),
        .session_id = session_id,
        .stream_id = STREAM,
        .term_id = fl_term_id_add(INITIAL_TERM, (int32_t)(position / term_length)),
    };
    memcpy(at, &header, sizeof(header));
    if (FL_FRAME_PAD == type)
    {
        return sizeof(header);
    }
    const uint32_t aligned = (uint32_t)fl_align(frame_length, FL_FRAME_ALIGNMENT);
    for (uint32_t i = sizeof(header); i < aligned; i++)
    {
        at[i] = i < (uint32_t)frame_length ? (uint8_t)(position / 32 + i) : 0;
    }
    return aligned;
}

static inline uint32_t write_frame(uint8_t *at, int64_t position, int32_t frame_length, int16_t type)
{
    return write_frame_of(at, position, frame_length, type, SESSION, TERM_LENGTH);
}

/* Queue one datagram with one frame. */
static inline void inject_data(fixture_t *f, int64_t position, int32_t frame_length)
{
    uint8_t bytes[65536];
    inject(f, bytes, write_frame(bytes, position, frame_length, FL_FRAME_DATA));
}

static inline void inject_pad(fixture_t *f, int64_t position, int32_t frame_length)
{
    uint8_t bytes[32];
    inject(f, bytes, write_frame(bytes, position, frame_length, FL_FRAME_PAD));
}

static inline void inject_heartbeat(fixture_t *f, int64_t position, uint8_t flags)
{
    uint8_t bytes[32];
    const size_t length = fl_heartbeat_encode(bytes, (uint8_t)(FL_DATA_UNFRAGMENTED | flags),
        (int32_t)(position % TERM_LENGTH), SESSION, STREAM,
        fl_term_id_add(INITIAL_TERM, (int32_t)(position / TERM_LENGTH)));
    inject(f, bytes, (uint32_t)length);
}

static inline void inject_setup(fixture_t *f, int32_t session_id, int32_t term_offset)
{
    uint8_t bytes[FL_SETUP_LENGTH];
    const size_t length = fl_setup_encode(
        bytes, 0, term_offset, session_id, STREAM, INITIAL_TERM, INITIAL_TERM, TERM_LENGTH, MTU, 0);
    inject(f, bytes, (uint32_t)length);
}

/* ---- observing ---- */

/* The latest frame of a type that was sent; NULL: none. */
static inline const script_datagram_t *last_sent(fixture_t *f, int16_t type)
{
    for (uint32_t i = f->script.sent_count; i > 0; i--)
    {
        if (((const fl_frame_header_t *)f->script.sent[i - 1].bytes)->type == type)
        {
            return &f->script.sent[i - 1];
        }
    }
    return NULL;
}

static inline uint32_t sent_of_type(fixture_t *f, int16_t type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->script.sent_count; i++)
    {
        count += ((const fl_frame_header_t *)f->script.sent[i].bytes)->type == type ? 1 : 0;
    }
    return count;
}

static inline int64_t sm_position(const script_datagram_t *frame)
{
    const fl_sm_frame_t *sm = (const fl_sm_frame_t *)frame->bytes;
    return fl_position(sm->consumption_term_id, sm->consumption_term_offset, 16, INITIAL_TERM);
}

static inline int64_t nak_position(const script_datagram_t *frame)
{
    const fl_nak_frame_t *nak = (const fl_nak_frame_t *)frame->bytes;
    return fl_position(nak->term_id, nak->term_offset, 16, INITIAL_TERM);
}

/* Read as a client's poll does, up to the next missing frame or the end of a term, checking every payload byte against
 * the pattern. Returns bytes consumed. */
static inline int64_t consume_as(fixture_t *f, uint32_t subscriber)
{
    _Atomic int64_t *value = fixture_counter(f, (int32_t)(COUNTER_SUBSCRIBERS + subscriber));
    const int64_t begin = fl_counter_get(value);
    const int32_t length_of_term = f->log->term_length;
    const uint8_t *term = fl_log_term(f->log, begin);
    int32_t offset = fl_log_term_offset(f->log, begin);
    const int32_t first = offset;
    while (offset < length_of_term)
    {
        const int32_t length = fl_i32_load_acquire(term + offset);
        if (length <= 0)
        {
            break;
        }
        const fl_data_header_t *header = (const fl_data_header_t *)(term + offset);
        CHECK_EQUAL(offset, header->term_offset);
        if (FL_FRAME_DATA == header->type)
        {
            for (int32_t i = 32; i < length; i++)
            {
                CHECK_EQUAL((uint8_t)((begin + offset - first) / 32 + i), term[offset + i]);
            }
        }
        offset += (int32_t)fl_align(length, FL_FRAME_ALIGNMENT);
    }
    fl_counter_set(value, begin + offset - first);
    return offset - first;
}

static inline int64_t consume(fixture_t *f)
{
    return consume_as(f, 0);
}

/* The mask of what happened to the image since the last look, 0 if nothing; other events are skipped. */
static inline uint32_t image_events(fixture_t *f)
{
    fl_driver_event_t event;
    uint32_t mask = 0;
    while (fl_driver_next_event(f->driver, &event))
    {
        mask |= FL_OBJECT_IMAGE == event.kind ? event.mask : 0;
    }
    return mask;
}

/* Take the next SETUP event. Returns whether there was one. */
static inline bool next_setup(fixture_t *f, fl_driver_event_t *event)
{
    while (fl_driver_next_event(f->driver, event))
    {
        if (FL_OBJECT_SETUP == event->kind)
        {
            return true;
        }
    }
    return false;
}

#endif
