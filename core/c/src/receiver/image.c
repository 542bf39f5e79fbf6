#include "receiver/image.h"

#include <string.h>

#include "protocol/timestamp.h"
#include "protocol/validate.h"

/* What is put into the frames of one datagram (wire 6). */
typedef struct fl_image_stamps
{
    uint32_t media_at;      /* FL_TIMESTAMP_NOWHERE: none */
    uint32_t channel_at;
    int64_t media_ns;
    int64_t channel_ns;
} fl_image_stamps_t;

/* Datagrams that continue each other in the run and in the term, copied as one block. */
typedef struct fl_image_block
{
    const uint8_t *source;
    uint8_t *target;
    uint32_t length;        /* bytes to copy; 0: no block */
    int64_t position;
    int64_t end;            /* position behind the last frame, a PAD at its whole extent */
    const fl_image_stamps_t *stamps;   /* NULL: none; else a block is one datagram */
} fl_image_block_t;

void fl_image_connect(
    fl_image_t *image, uint32_t slot, const fl_address_t *source, const fl_address_t *local, int64_t now_ns)
{
    fl_image_connection_t *connection = &image->connections[slot];
    *connection = (fl_image_connection_t){.is_known = true, .time_of_last_activity_ns = now_ns};
    if (NULL != source)
    {
        connection->source.address = *source;
        connection->time_of_last_frame_ns = now_ns;
    }
    if (NULL != local)
    {
        connection->local = *local;
    }
    image->connection_count = slot < image->connection_count ? image->connection_count : slot + 1;
}

/* The connection by which the run that is being taken came. */
static inline fl_image_connection_t *fl_image_connection(fl_image_t *image, int64_t now_ns)
{
    const fl_receive_endpoint_t *endpoint = image->endpoint;
    fl_image_connection_t *connection = &image->connections[endpoint->receiving->slot];
    if (__builtin_expect(!connection->is_known, 0))
    {
        fl_image_connect(image, endpoint->receiving->slot, &endpoint->run->peer->address, endpoint->run->local, now_ns);
    }
    return connection;
}

static inline void fl_image_refresh(fl_image_t *image, int64_t now_ns)
{
    fl_image_connection_t *connection = fl_image_connection(image, now_ns);
    image->time_of_last_packet_ns = now_ns;
    connection->time_of_last_activity_ns = now_ns;
    connection->time_of_last_frame_ns = now_ns;
}

/* What was received up to `end` may open, move or close a gap. */
static inline void fl_image_extend(fl_image_t *image, int64_t end)
{
    if (end > image->hwm)
    {
        image->hwm = end;
    }
    image->scan_due = true;
    if (!image->is_active)
    {
        fl_receiver_activate(image->receiver, image);
    }
}

/* Stamp the frames of a block that begin a message and are whole DATA frames of it. Lengths are those of the source,
 * which was walked: clients can write the term. */
static void fl_image_stamp(const fl_image_block_t *block)
{
    const fl_image_stamps_t *stamps = block->stamps;
    uint32_t offset = 0;
    while (offset + FL_DATA_HEADER_LENGTH <= block->length)
    {
        const fl_data_header_t *frame = (const fl_data_header_t *)(block->source + offset);
        const int32_t frame_length = frame->frame_length;
        if (FL_FRAME_DATA != frame->type || frame_length < FL_DATA_HEADER_LENGTH ||
            (uint32_t)frame_length > block->length - offset)
        {
            return;
        }
        if (0 != (frame->flags & FL_DATA_FLAG_BEGIN))
        {
            if (FL_TIMESTAMP_NOWHERE != stamps->media_at)
            {
                fl_timestamp_put(block->target + offset, (uint32_t)frame_length, stamps->media_at, stamps->media_ns);
            }
            if (FL_TIMESTAMP_NOWHERE != stamps->channel_at)
            {
                fl_timestamp_put(
                    block->target + offset, (uint32_t)frame_length, stamps->channel_at, stamps->channel_ns);
            }
        }
        offset += (uint32_t)fl_align(frame_length, FL_FRAME_ALIGNMENT);
    }
}

static inline void fl_image_write(fl_image_t *image, fl_image_block_t *block)
{
    if (0 == block->length)
    {
        return;
    }
    int64_t first_word;
    memcpy(block->target + sizeof(first_word), block->source + sizeof(first_word), block->length - sizeof(first_word));
    memcpy(&first_word, block->source, sizeof(first_word));
    if (__builtin_expect(NULL != block->stamps, 0))
    {
        fl_image_stamp(block);
    }
    /* Release: pairs with the subscribers' acquire of the frame length, which is in this word. Everything behind it is
     * visible then: they come to the block's later frames only by way of the first. */
    fl_i64_store_release(block->target, first_word);
    if (block->position == image->rebuild_position)
    {
        image->rebuild_position = block->end;
    }
    fl_image_extend(image, block->end);
    block->length = 0;
}

/* Sources that are only expected, at a control address, have nothing to end. */
static bool fl_image_is_open_at(const fl_image_connection_t *connection)
{
    return connection->is_known && 0 != connection->time_of_last_frame_ns && !connection->is_end_of_stream;
}

static void fl_image_on_end_of_stream(fl_image_t *image, uint8_t flags, int64_t position, int64_t now_ns)
{
    fl_image_connection_t *connection = fl_image_connection(image, now_ns);
    connection->is_end_of_stream = true;
    connection->end_of_stream_position = position;
    int64_t highest = 0;
    for (uint32_t i = 0; i < image->connection_count; i++)
    {
        if (fl_image_is_open_at(&image->connections[i]))
        {
            return;
        }
        highest = image->connections[i].end_of_stream_position > highest
            ? image->connections[i].end_of_stream_position
            : highest;
    }
    image->is_end_of_stream = true;
    image->end_of_stream_position = highest;
    if (0 != (flags & FL_DATA_FLAG_REVOKED))
    {
        image->is_revoked = true;
        fl_log_set_revoked(image->log);
        fl_count(image->receiver->context, FL_COUNTER_IMAGES_REVOKED, 1);
        fl_object_raise(&image->receiver->context->events, &image->object, FL_EVENT_IMAGE_REVOKED);
    }
    fl_log_set_end_of_stream_position(image->log, highest);
}

static void fl_image_on_heartbeat(fl_image_t *image, uint8_t flags, int64_t position, int64_t now_ns)
{
    fl_receiver_t *receiver = image->receiver;
    receiver->has_sums = true;
    if (position < image->last_sm_position - image->log->term_length)
    {
        receiver->sums.under_runs++;
        fl_receiver_drop(receiver, FL_DROP_UNDER_RUN);
        return;
    }
    receiver->sums.heartbeats++;
    fl_image_refresh(image, now_ns);
    if (0 != (flags & FL_DATA_FLAG_EOS) && !image->is_end_of_stream)
    {
        fl_image_on_end_of_stream(image, flags, position, now_ns);
        fl_image_extend(image, position);
    }
    else if (position > image->hwm)
    {
        fl_image_extend(image, position);
    }
}

static void fl_image_on_under_run(fl_image_t *image, int64_t position, int64_t now_ns)
{
    image->receiver->sums.under_runs++;
    fl_receiver_drop(image->receiver, FL_DROP_UNDER_RUN);
    if (position >= image->last_sm_position - image->max_window_length)
    {
        fl_image_connection(image, now_ns)->time_of_last_activity_ns = now_ns;
    }
}

static inline void fl_image_insert_datagram(
    fl_image_t *image, fl_image_block_t *block, const uint8_t *datagram, uint32_t length, int64_t now_ns)
{
    fl_receiver_t *receiver = image->receiver;
    const fl_log_t *log = image->log;
    const fl_data_header_t *header = (const fl_data_header_t *)datagram;
    const int32_t term_count = fl_term_count(header->term_id, log->initial_term_id);
    if (__builtin_expect(image->is_rejected || image->is_revoked, 0))
    {
        fl_receiver_drop(receiver, FL_DROP_IMAGE_CLOSED);
        return;
    }
    if (__builtin_expect(term_count < 0, 0))
    {
        fl_receiver_drop(receiver, FL_DROP_TERM);
        return;
    }
    const int64_t walked = fl_data_walk(datagram, length, log->term_length);
    if (__builtin_expect(walked < 0, 0))
    {
        fl_receiver_drop_invalid(receiver, FL_DROP_DATA_FIELDS);
        return;
    }
    const int32_t offset = header->term_offset;
    const int64_t position = ((int64_t)term_count << log->position_bits_to_shift) + offset;
    const int64_t end = position + walked;
    if (__builtin_expect(end > image->overrun_threshold, 0))
    {
        receiver->sums.over_runs++;
        fl_receiver_drop(receiver, FL_DROP_OVER_RUN);
        return;
    }
    if (__builtin_expect(0 == walked, 0))
    {
        fl_image_write(image, block);
        fl_image_on_heartbeat(image, header->flags, position, now_ns);
        return;
    }
    if (__builtin_expect(position < image->last_sm_position, 0))
    {
        fl_image_on_under_run(image, position, now_ns);
        return;
    }
    if (__builtin_expect(image->is_end_of_stream && end > image->end_of_stream_position, 0))
    {
        fl_receiver_drop(receiver, FL_DROP_IMAGE_CLOSED);
        return;
    }

    /* Offset 0 begins another term, in other memory. */
    const bool continues =
        0 != block->length && position == block->end && datagram == block->source + block->length && 0 != offset;
    if (!continues)
    {
        fl_image_write(image, block);
        block->target = log->terms[fl_partition_of_count(term_count)] + offset;
    }
    if (__builtin_expect(0 != fl_i32_load_relaxed(block->target + block->length), 0))
    {
        fl_image_write(image, block);
        fl_image_refresh(image, now_ns);
        fl_image_extend(image, end);
        fl_receiver_drop(receiver, FL_DROP_DUPLICATE);
        return;
    }
    if (!continues)
    {
        fl_image_refresh(image, now_ns);
        block->source = datagram;
        block->position = position;
    }
    block->length += length;
    block->end = end;
    if (walked != length)
    {
        fl_image_write(image, block);   /* a PAD ends it: what follows stands elsewhere in the term */
    }
}

/* As fl_image_insert, of an endpoint that stamps: the datagrams one by one, each with its own time. Those of a run
 * arrived together, so they have one timestamp of the transport's, and each a reading of the clock. */
static uint32_t fl_image_insert_stamped(fl_image_t *image, const fl_run_t *run, uint32_t offset, int64_t now_ns)
{
    const fl_receive_endpoint_t *endpoint = image->endpoint;
    const fl_receive_endpoint_t *member = endpoint->receiving;
    fl_receiver_t *receiver = image->receiver;
    fl_clock_t *clock = receiver->context->clock;
    fl_image_stamps_t stamps = {
        .media_at = endpoint->media_timestamp_at, .channel_at = endpoint->channel_timestamp_at};
    fl_image_block_t block = {.length = 0, .stamps = &stamps};
    const uint64_t key = fl_data_key(run->data + offset);
    bool is_missing = false;
    if (FL_TIMESTAMP_NOWHERE != stamps.media_at)
    {
        if (0 != (run->flags & FL_RUN_TIMESTAMP))
        {
            stamps.media_ns = run->timestamp_ns;
        }
        else if (member->stamps_arrival)
        {
            stamps.media_ns = fl_poll_set_arrival(&receiver->polls, clock);
        }
        else
        {
            stamps.media_at = FL_TIMESTAMP_NOWHERE;   /* wire 9.2 item 8 */
            is_missing = true;
        }
    }
    const uint8_t *datagram = run->data + offset;
    uint32_t left = run->length - offset;
    int64_t datagrams = 0;
    do
    {
        const uint32_t length = left < run->segment_length ? left : run->segment_length;
        if (FL_TIMESTAMP_NOWHERE != stamps.channel_at)
        {
            stamps.channel_ns = fl_clock_epoch_now(clock);
        }
        fl_image_insert_datagram(image, &block, datagram, length, now_ns);
        fl_image_write(image, &block);
        datagram += length;
        left -= length;
        datagrams++;
    }
    while (left > 0 && fl_is_data_datagram(datagram, left < run->segment_length ? left : run->segment_length) &&
        fl_data_key(datagram) == key);
    if (is_missing && NULL != member->unstamped_counter)
    {
        /* Relaxed: a figure with one writer that publishes nothing else. */
        atomic_fetch_add_explicit(member->unstamped_counter, datagrams, memory_order_relaxed);
    }
    return run->length - left;
}

uint32_t fl_image_insert(fl_image_t *image, const fl_run_t *run, uint32_t offset, int64_t now_ns)
{
    if (__builtin_expect(image->endpoint->is_stamping, 0))
    {
        return fl_image_insert_stamped(image, run, offset, now_ns);
    }
    fl_image_block_t block = {.length = 0};
    const uint64_t key = (uint32_t)image->session_id | ((uint64_t)(uint32_t)image->stream_id << 32);
    const uint32_t segment_length = run->segment_length;
    const uint8_t *datagram = run->data + offset;
    uint32_t left = run->length - offset;
    do
    {
        const uint32_t length = left < segment_length ? left : segment_length;
        fl_image_insert_datagram(image, &block, datagram, length, now_ns);
        datagram += length;
        left -= length;
    }
    while (left > 0 && fl_is_data_datagram(datagram, left < segment_length ? left : segment_length) &&
        fl_data_key(datagram) == key);
    fl_image_write(image, &block);
    return run->length - left;
}

void fl_image_on_setup(fl_image_t *image, int64_t now_ns)
{
    fl_image_connection(image, now_ns)->time_of_last_activity_ns = now_ns;
}

void fl_image_on_rttm(fl_image_t *image, const fl_rttm_frame_t *frame, int64_t now_ns)
{
    if (0 != (frame->header.flags & FL_RTTM_FLAG_REPLY))
    {
        fl_image_send_rttm(image, 0, frame->echo_timestamp, now_ns);
        return;
    }
    /* The sums wrap: what an unsolicited answer claims must not overflow. */
    const uint64_t elapsed_ns = (uint64_t)now_ns - (uint64_t)frame->echo_timestamp;
    const int64_t rtt_ns = (int64_t)(elapsed_ns - (uint64_t)frame->reception_delta);
    if (rtt_ns >= 0)
    {
        image->congestion_control->ops->on_rtt(image->congestion_control, now_ns, rtt_ns);
    }
}
