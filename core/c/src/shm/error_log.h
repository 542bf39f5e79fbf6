/* The distinct error log: one record for each distinct error, with how often and when (shm 6.1). */
#ifndef FL_SHM_ERROR_LOG_H
#define FL_SHM_ERROR_LOG_H

#include "api/layout.h"
#include "shm/words.h"

typedef struct fl_error_log fl_error_log_t;

/* Begin an error log in a zeroed section. NULL: no memory. What was recorded is remembered in private memory.
 * All of it: control thread only. */
fl_error_log_t *fl_error_log_new(void *section, int64_t length);
void fl_error_log_free(fl_error_log_t *log);

/* Record one observation. Equal code and text share a record.
 *
 * returns  1 if the error is new, 0 if it is known, -FL_ENOSPC if the log is full: the caller shows the text elsewhere
 */
int fl_error_log_record(fl_error_log_t *log, int32_t code, const char *text, int32_t length, int64_t now_ms);

/* One record, as a reader sees it. */
typedef struct fl_error_entry
{
    int32_t observation_count;
    int32_t text_length;
    int64_t first_observation_ms;
    int64_t last_observation_ms;
    const char *text;               /* in the section, not terminated */
} fl_error_entry_t;

/* Read the record at offset, beginning with 0. Returns the offset of the next one, or 0 at the end. Any thread. */
int64_t fl_error_log_read(const void *section, int64_t length, int64_t offset, fl_error_entry_t *entry);

#endif
