#include <framelane/types.h>
#include <stdlib.h>
#include <string.h>

#include "api/records.h"
#include "shm/words.h"
#include "util/error.h"

/* What was recorded, in private memory: clients can write the section. */
typedef struct fl_error_known
{
    int32_t code;
    int32_t length;
    int64_t offset;
    char *text;
} fl_error_known_t;

struct fl_error_log
{
    uint8_t *section;
    int64_t length;
    int64_t next;
    fl_error_known_t *known;
    size_t known_count;
    size_t known_capacity;
};

fl_error_log_t *fl_error_log_new(void *section, int64_t length)
{
    fl_error_log_t *log = calloc(1, sizeof(*log));
    if (NULL == log)
    {
        fl_error(FL_ENOMEM, "error log: no memory");
        return NULL;
    }
    log->section = section;
    log->length = length;
    return log;
}

void fl_error_log_free(fl_error_log_t *log)
{
    if (NULL != log)
    {
        for (size_t i = 0; i < log->known_count; i++)
        {
            free(log->known[i].text);
        }
        free(log->known);
        free(log);
    }
}

/* Remember and write a new error. Returns its place in `known`, or a negative error. */
static int64_t fl_error_log_append(fl_error_log_t *log, int32_t code, const char *text, int32_t length, int64_t now_ms)
{
    if (length > log->length - log->next - FL_ERROR_RECORD_HEADER_LENGTH)
    {
        return fl_error(
            FL_ENOSPC,
            "error log: %d bytes do not fit: %lld of %lld are taken",
            length,
            (long long)log->next,
            (long long)log->length);
    }
    if (log->known_count == log->known_capacity)
    {
        const size_t capacity = 0 == log->known_capacity ? 16 : 2 * log->known_capacity;
        fl_error_known_t *known = realloc(log->known, capacity * sizeof(*known));
        if (NULL == known)
        {
            return fl_error(FL_ENOMEM, "error log: no memory");
        }
        log->known = known;
        log->known_capacity = capacity;
    }
    char *copy = malloc((size_t)length + 1);
    if (NULL == copy)
    {
        return fl_error(FL_ENOMEM, "error log: no memory");
    }
    memcpy(copy, text, (size_t)length);
    log->known[log->known_count] =
        (fl_error_known_t){.code = code, .length = length, .offset = log->next, .text = copy};
    log->known_count += 1;

    fl_error_record_t *record = (fl_error_record_t *)(log->section + log->next);
    memcpy(record + 1, text, (size_t)length);
    record->first_observation_timestamp_ms = now_ms;
    fl_i32_store_relaxed(&record->observation_count, 0);
    log->next = fl_align(log->next + FL_ERROR_RECORD_HEADER_LENGTH + length, 8);
    /* Release: pairs with the acquire in read; the record is there before its length says so. */
    fl_i32_store_release(&record->length, FL_ERROR_RECORD_HEADER_LENGTH + length);
    return (int64_t)log->known_count - 1;
}

int fl_error_log_record(fl_error_log_t *log, int32_t code, const char *text, int32_t length, int64_t now_ms)
{
    if (length < 0)
    {
        return fl_error(FL_EINVAL, "error log: text of %d bytes", length);
    }
    int64_t at = -1;
    for (size_t i = 0; i < log->known_count && at < 0; i++)
    {
        const fl_error_known_t *known = &log->known[i];
        if (code == known->code && length == known->length && 0 == memcmp(text, known->text, (size_t)length))
        {
            at = (int64_t)i;
        }
    }
    const bool is_new = at < 0;
    if (is_new)
    {
        at = fl_error_log_append(log, code, text, length, now_ms);
        if (at < 0)
        {
            return (int)at;
        }
    }
    fl_error_record_t *record = (fl_error_record_t *)(log->section + log->known[at].offset);
    fl_i32_fetch_add(&record->observation_count, 1);
    /* Release: pairs with the acquire of the time in read. */
    fl_i64_store_release(&record->last_observation_timestamp_ms, now_ms);
    return is_new ? 1 : 0;
}

int64_t fl_error_log_read(const void *section, int64_t length, int64_t offset, fl_error_entry_t *entry)
{
    if (offset < 0 || 0 != offset % 8 || length - offset < FL_ERROR_RECORD_HEADER_LENGTH)
    {
        return 0;
    }
    const fl_error_record_t *record = (const fl_error_record_t *)((const uint8_t *)section + offset);
    /* Acquire: pairs with the release in record. */
    const int32_t record_length = fl_i32_load_acquire(&record->length);
    if (record_length < FL_ERROR_RECORD_HEADER_LENGTH || record_length > length - offset)
    {
        return 0;
    }
    entry->last_observation_ms = fl_i64_load_acquire(&record->last_observation_timestamp_ms);
    entry->first_observation_ms = record->first_observation_timestamp_ms;
    entry->observation_count = fl_i32_load_relaxed(&record->observation_count);
    entry->text_length = record_length - FL_ERROR_RECORD_HEADER_LENGTH;
    entry->text = (const char *)(record + 1);
    return fl_align(offset + record_length, 8);
}
