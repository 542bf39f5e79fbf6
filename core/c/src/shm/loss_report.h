/* What an image's agent does with its record of the loss report. api/records.h has the rest. */
#ifndef FL_SHM_LOSS_REPORT_H
#define FL_SHM_LOSS_REPORT_H

#include "api/records.h"
#include "shm/words.h"

/* Add a gap to a record. Thread: the image's agent. */
static inline void fl_loss_record_update(fl_loss_record_t *record, int64_t bytes_lost, int64_t now_ms)
{
    /* Release: pairs with a reader's acquire of the time. */
    fl_i64_store_release(&record->last_observation_timestamp_ms, now_ms);
    fl_i64_fetch_add(&record->total_bytes_lost, bytes_lost);
    fl_i64_fetch_add(&record->observation_count, 1);
}

#endif
