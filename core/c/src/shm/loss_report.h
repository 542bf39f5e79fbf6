/* The loss report: one record for each image that lost data (shm 6.2). */
#ifndef FL_SHM_LOSS_REPORT_H
#define FL_SHM_LOSS_REPORT_H

#include "api/layout.h"
#include "shm/words.h"

typedef struct fl_loss_report
{
    uint8_t *buffer;
    int64_t capacity;
    int64_t next;                   /* offset of the next record; control thread */
} fl_loss_report_t;

void fl_loss_report_init(fl_loss_report_t *report, void *buffer, int64_t length);

/* Append a record for an image's first gap. Blanks are appended to the source where the stock C reader would otherwise
 * stop early (shm 6.2).
 *
 * returns  the record, to be updated by whoever owns the image; NULL if it does not fit
 * thread   control
 */
fl_loss_record_t *fl_loss_report_create(
    fl_loss_report_t *report,
    int64_t bytes_lost,
    int64_t now_ms,
    int32_t session_id,
    int32_t stream_id,
    const char *channel,
    int32_t channel_length,
    const char *source,
    int32_t source_length);

/* Add a gap to a record. Thread: the image's agent. */
static inline void fl_loss_record_update(fl_loss_record_t *record, int64_t bytes_lost, int64_t now_ms)
{
    /* Release: pairs with a reader's acquire of the time. */
    fl_i64_store_release(&record->last_observation_timestamp_ms, now_ms);
    fl_i64_fetch_add(&record->total_bytes_lost, bytes_lost);
    fl_i64_fetch_add(&record->observation_count, 1);
}

typedef struct fl_loss_entry
{
    int64_t observation_count;
    int64_t total_bytes_lost;
    int64_t first_observation_ms;
    int64_t last_observation_ms;
    int32_t session_id;
    int32_t stream_id;
    int32_t channel_length;
    int32_t source_length;
    const char *channel;            /* in the report, not terminated */
    const char *source;
} fl_loss_entry_t;

/* Read the record at offset, beginning with 0. Returns the offset of the next one, or 0 at the end. Any thread. */
int64_t fl_loss_report_read(const void *buffer, int64_t length, int64_t offset, fl_loss_entry_t *entry);

#endif
