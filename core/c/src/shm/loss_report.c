#include "shm/loss_report.h"

#include <string.h>

#define FL_LOSS_BLANKS_MAX 3

void fl_loss_report_init(fl_loss_report_t *report, void *buffer, int64_t length)
{
    report->buffer = buffer;
    report->capacity = length;
    report->next = 0;
}

/* Bytes of a record by the formula of the writer, which Java readers share, and by that of the C reader (shm 6.2). */
static int64_t fl_loss_required(int64_t channel_length, int64_t source_length)
{
    return FL_LOSS_RECORD_HEADER_LENGTH + fl_align(4 + channel_length, 4) + 4 + source_length;
}

static int64_t fl_loss_stride(int64_t channel_length, int64_t source_length)
{
    return fl_align(fl_loss_required(channel_length, source_length), FL_LOSS_RECORD_ALIGNMENT);
}

static int64_t fl_loss_c_reader_stride(int64_t channel_length, int64_t source_length)
{
    return fl_align(48 + channel_length + source_length, FL_LOSS_RECORD_ALIGNMENT);
}

fl_loss_record_t *fl_loss_report_create(
    fl_loss_report_t *report,
    int64_t bytes_lost,
    int64_t now_ms,
    int32_t session_id,
    int32_t stream_id,
    const char *channel,
    int32_t channel_length,
    const char *source,
    int32_t source_length)
{
    if (channel_length < 0 || source_length < 0)
    {
        return NULL;
    }
    int64_t blanks = 0;
    while (fl_loss_stride(channel_length, source_length + blanks) !=
           fl_loss_c_reader_stride(channel_length, source_length + blanks) && blanks < FL_LOSS_BLANKS_MAX)
    {
        blanks += 1;
    }
    const int64_t source_field_length = source_length + blanks;
    if (fl_loss_required(channel_length, source_field_length) > report->capacity - report->next)
    {
        return NULL;
    }
    fl_loss_record_t *record = (fl_loss_record_t *)(report->buffer + report->next);
    uint8_t *at = (uint8_t *)(record + 1);
    memcpy(at, &channel_length, sizeof(channel_length));
    memcpy(at + 4, channel, (size_t)channel_length);
    at += fl_align(4 + channel_length, 4);
    const int32_t length = (int32_t)source_field_length;
    memcpy(at, &length, sizeof(length));
    memcpy(at + 4, source, (size_t)source_length);
    memset(at + 4 + source_length, ' ', (size_t)blanks);
    record->total_bytes_lost = bytes_lost;
    record->first_observation_timestamp_ms = now_ms;
    record->last_observation_timestamp_ms = now_ms;
    record->session_id = session_id;
    record->stream_id = stream_id;
    report->next += fl_loss_stride(channel_length, source_field_length);
    /* Release: pairs with the acquire in read; the record is there before it counts. */
    fl_i64_store_release(&record->observation_count, 1);
    return record;
}

int64_t fl_loss_report_read(const void *buffer, int64_t length, int64_t offset, fl_loss_entry_t *entry)
{
    if (offset < 0 || 0 != offset % FL_LOSS_RECORD_ALIGNMENT || length - offset < FL_LOSS_RECORD_HEADER_LENGTH + 8)
    {
        return 0;
    }
    const uint8_t *at = (const uint8_t *)buffer + offset;
    const fl_loss_record_t *record = (const fl_loss_record_t *)at;
    const int64_t room = length - offset;
    /* Acquire: pairs with the release in create. */
    entry->observation_count = fl_i64_load_acquire(&record->observation_count);
    if (entry->observation_count <= 0)
    {
        return 0;
    }
    entry->total_bytes_lost = fl_i64_load_relaxed(&record->total_bytes_lost);
    entry->first_observation_ms = record->first_observation_timestamp_ms;
    entry->last_observation_ms = fl_i64_load_acquire(&record->last_observation_timestamp_ms);
    entry->session_id = record->session_id;
    entry->stream_id = record->stream_id;
    const int32_t channel_length = fl_i32_load_relaxed(at + FL_LOSS_RECORD_HEADER_LENGTH);
    if (channel_length < 0 || fl_loss_required(channel_length, 0) > room)
    {
        return 0;
    }
    const int64_t source_at = FL_LOSS_RECORD_HEADER_LENGTH + fl_align(4 + (int64_t)channel_length, 4);
    const int32_t source_length = fl_i32_load_relaxed(at + source_at);
    if (source_length < 0 || fl_loss_required(channel_length, source_length) > room)
    {
        return 0;
    }
    entry->channel_length = channel_length;
    entry->channel = (const char *)at + FL_LOSS_RECORD_HEADER_LENGTH + 4;
    entry->source_length = source_length;
    entry->source = (const char *)at + source_at + 4;
    return offset + fl_loss_stride(channel_length, source_length);
}
