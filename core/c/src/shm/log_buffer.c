#include "shm/log_buffer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

int64_t fl_log_file_length(int32_t term_length, int32_t page_size)
{
    return fl_align((int64_t)FL_LOG_PARTITIONS * term_length + FL_LOG_METADATA_LENGTH, page_size);
}

fl_log_t *fl_log_new(void)
{
    fl_log_t *log = calloc(1, sizeof(*log));
    if (NULL == log)
    {
        fl_error(FL_ENOMEM, "log buffer: no memory");
    }
    return log;
}

void fl_log_free(fl_log_t *log)
{
    if (NULL != log)
    {
        fl_log_close(log);
        free(log);
    }
}

static int fl_log_check(
    const char *path, int32_t term_length, int32_t page_size, int32_t mtu_length, int32_t header_length)
{
    if (!fl_is_power_of_two(term_length) || term_length < FL_LOG_TERM_LENGTH_MIN ||
        term_length > FL_LOG_TERM_LENGTH_MAX)
    {
        return fl_error(
            FL_EINVAL,
            "log buffer %s: term length %d; a power of two from %d to %d",
            path,
            term_length,
            FL_LOG_TERM_LENGTH_MIN,
            FL_LOG_TERM_LENGTH_MAX);
    }
    if (!fl_is_power_of_two(page_size) || page_size < FL_LOG_PAGE_SIZE_MIN || page_size > FL_LOG_PAGE_SIZE_MAX)
    {
        return fl_error(
            FL_EINVAL,
            "log buffer %s: page size %d; a power of two from %d to %d",
            path,
            page_size,
            FL_LOG_PAGE_SIZE_MIN,
            FL_LOG_PAGE_SIZE_MAX);
    }
    if (mtu_length <= FL_DATA_HEADER_LENGTH || mtu_length > FL_MTU_LENGTH_MAX || 0 != mtu_length % FL_FRAME_ALIGNMENT)
    {
        return fl_error(
            FL_EINVAL,
            "log buffer %s: MTU %d; a multiple of %d, above %d and at most %d",
            path,
            mtu_length,
            FL_FRAME_ALIGNMENT,
            FL_DATA_HEADER_LENGTH,
            FL_MTU_LENGTH_MAX);
    }
    if (FL_DATA_HEADER_LENGTH != header_length)
    {
        return fl_error(FL_EINVAL, "log buffer %s: default frame header of %d bytes", path, header_length);
    }
    return 0;
}

/* Point at terms and metadata: the last page of the file, not what follows the terms (shm 7.1). */
static void fl_log_lay_out(fl_log_t *log, int32_t term_length)
{
    for (int i = 0; i < FL_LOG_PARTITIONS; i++)
    {
        log->terms[i] = log->file.address + (int64_t)i * term_length;
    }
    log->metadata = (fl_log_metadata_t *)(log->file.address + log->file.length - FL_LOG_METADATA_LENGTH);
    log->term_length = term_length;
    log->term_mask = term_length - 1;
    log->position_bits_to_shift = __builtin_ctz((unsigned)term_length);
}

/* Initial tails of a publication (shm 7.2): an inactive term holds what rotation expects to find there. */
static void fl_log_init_tails(fl_log_metadata_t *metadata, const fl_log_params_t *params)
{
    const int32_t start = params->starting_term_id;
    const int32_t count = fl_term_count(start, params->initial_term_id);
    metadata->term_tail_counters[fl_partition_of_count(count)] = fl_raw_tail(start, params->starting_term_offset);
    metadata->term_tail_counters[(fl_partition_of_count(count) + 1) % FL_LOG_PARTITIONS] =
        fl_raw_tail(fl_term_id_add(start, -2), 0);
    metadata->term_tail_counters[(fl_partition_of_count(count) + 2) % FL_LOG_PARTITIONS] =
        fl_raw_tail(fl_term_id_add(start, -1), 0);
    metadata->active_term_count = count;
}

static void fl_log_fill_metadata(fl_log_t *log, const fl_log_params_t *params)
{
    fl_log_metadata_t *metadata = log->metadata;
    if (FL_LOG_TYPE_IMAGE != params->type)
    {
        fl_log_init_tails(metadata, params);
    }
    metadata->end_of_stream_position = INT64_MAX;
    metadata->correlation_id = params->correlation_id;
    metadata->initial_term_id = params->initial_term_id;
    metadata->default_frame_header_length = FL_DATA_HEADER_LENGTH;
    metadata->mtu_length = params->mtu_length;
    metadata->term_length = params->term_length;
    metadata->page_size = params->page_size;
    metadata->publication_window_length = params->publication_window_length;
    metadata->receiver_window_length = params->receiver_window_length;
    metadata->socket_sndbuf_length = params->socket_sndbuf_length;
    metadata->os_default_socket_sndbuf_length = params->os_default_socket_sndbuf_length;
    metadata->os_max_socket_sndbuf_length = params->os_max_socket_sndbuf_length;
    metadata->socket_rcvbuf_length = params->socket_rcvbuf_length;
    metadata->os_default_socket_rcvbuf_length = params->os_default_socket_rcvbuf_length;
    metadata->os_max_socket_rcvbuf_length = params->os_max_socket_rcvbuf_length;
    metadata->max_resend = params->max_resend;
    memcpy(metadata->default_header, log->default_header, sizeof(log->default_header));
    metadata->entity_tag = params->entity_tag;
    metadata->response_correlation_id = params->response_correlation_id;
    metadata->linger_timeout_ns = params->linger_timeout_ns;
    metadata->untethered_window_limit_timeout_ns = params->untethered_window_limit_timeout_ns;
    metadata->untethered_resting_timeout_ns = params->untethered_resting_timeout_ns;
    memcpy(metadata->untethered_linger_timeout_ns, &params->untethered_linger_timeout_ns, sizeof(int64_t));
    metadata->group = params->group;
    metadata->is_response = params->is_response;
    metadata->rejoin = params->rejoin;
    metadata->reliable = params->reliable;
    metadata->sparse = params->sparse;
    metadata->signal_eos = params->signal_eos;
    metadata->spies_simulate_connection = params->spies_simulate_connection;
    metadata->tether = params->tether;
    metadata->type = params->type;
}

int fl_log_create(fl_log_t *log, const char *path, const fl_log_params_t *params)
{
    memset(log, 0, sizeof(*log));
    int result = fl_log_check(path, params->term_length, params->page_size, params->mtu_length, FL_DATA_HEADER_LENGTH);
    if (result < 0)
    {
        return result;
    }
    const int32_t offset = params->starting_term_offset;
    if (FL_LOG_TYPE_IMAGE != params->type &&
        (fl_term_count(params->starting_term_id, params->initial_term_id) < 0 || offset < 0 ||
         offset > params->term_length || 0 != offset % FL_FRAME_ALIGNMENT))
    {
        return fl_error(
            FL_EINVAL,
            "log buffer %s: starts at term id %d, offset %d, with initial term id %d and terms of %d bytes",
            path,
            params->starting_term_id,
            offset,
            params->initial_term_id,
            params->term_length);
    }
    const int64_t length = fl_log_file_length(params->term_length, params->page_size);
    result = fl_mapped_file_create(&log->file, path, length, 0 != params->sparse);
    if (result < 0)
    {
        return result;
    }
    fl_log_lay_out(log, params->term_length);
    log->initial_term_id = params->initial_term_id;
    log->mtu_length = params->mtu_length;
    log->session_id = params->session_id;
    log->stream_id = params->stream_id;
    log->page_size = params->page_size;
    log->type = params->type;
    log->correlation_id = params->correlation_id;
    const fl_data_header_t header = {
        .version = FL_FRAME_VERSION,
        .flags = FL_DATA_UNFRAGMENTED,
        .type = FL_FRAME_DATA,
        .session_id = params->session_id,
        .stream_id = params->stream_id,
        .term_id = params->initial_term_id};
    memcpy(log->default_header, &header, sizeof(header));
    fl_log_fill_metadata(log, params);
    return 0;
}

int fl_log_open(fl_log_t *log, const char *path, bool writable)
{
    memset(log, 0, sizeof(*log));
    int result = fl_mapped_file_open(&log->file, path, writable);
    if (result < 0)
    {
        return result;
    }
    const int64_t length = log->file.length;
    if (length < fl_log_file_length(FL_LOG_TERM_LENGTH_MIN, FL_LOG_PAGE_SIZE_MIN) ||
        0 != length % FL_LOG_PAGE_SIZE_MIN)
    {
        result = fl_error(
            FL_EINVAL,
            "log buffer %s: %lld bytes; pages of %d, and at least three terms of %d and a page",
            path,
            (long long)length,
            FL_LOG_PAGE_SIZE_MIN,
            FL_LOG_TERM_LENGTH_MIN);
        goto fail;
    }
    const fl_log_metadata_t *metadata =
        (const fl_log_metadata_t *)(log->file.address + length - FL_LOG_METADATA_LENGTH);
    const int32_t term_length = fl_i32_load_relaxed(&metadata->term_length);
    const int32_t page_size = fl_i32_load_relaxed(&metadata->page_size);
    const int32_t mtu_length = fl_i32_load_relaxed(&metadata->mtu_length);
    result = fl_log_check(
        path, term_length, page_size, mtu_length, fl_i32_load_relaxed(&metadata->default_frame_header_length));
    if (result < 0)
    {
        goto fail;
    }
    if (fl_log_file_length(term_length, page_size) != length)
    {
        result = fl_error(
            FL_EINVAL,
            "log buffer %s: %lld bytes, but terms of %d and pages of %d make %lld",
            path,
            (long long)length,
            term_length,
            page_size,
            (long long)fl_log_file_length(term_length, page_size));
        goto fail;
    }
    fl_log_lay_out(log, term_length);
    memcpy(log->default_header, metadata->default_header, sizeof(log->default_header));
    const fl_data_header_t *header = (const fl_data_header_t *)log->default_header;
    log->session_id = header->session_id;
    log->stream_id = header->stream_id;
    log->initial_term_id = fl_i32_load_relaxed(&metadata->initial_term_id);
    log->mtu_length = mtu_length;
    log->page_size = page_size;
    log->type = metadata->type;
    log->correlation_id = fl_i64_load_relaxed(&metadata->correlation_id);
    return 0;

fail:
    fl_mapped_file_close(&log->file);
    return result;
}

void fl_log_close(fl_log_t *log)
{
    fl_mapped_file_close(&log->file);
}
