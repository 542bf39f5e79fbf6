#include <framelane/types.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/shm.h"
#include "shm/words.h"
#include "util/error.h"

/* Java clients map the file as one buffer (shm 2.2). */
#define FL_CNC_LENGTH_MAX INT64_C(0x7fffffff)

/* The five lengths, each read once, and the sections that they give. */
static int fl_cnc_lay_out(fl_cnc_t *cnc, const int32_t lengths[5])
{
    int64_t offset = FL_CNC_METADATA_LENGTH;
    int64_t offsets[5];
    for (int i = 0; i < 5; i++)
    {
        if (lengths[i] < 0)
        {
            return fl_error(FL_EINVAL, "cnc file: section %d has a length of %d bytes", i + 1, lengths[i]);
        }
        offsets[i] = offset;
        offset += lengths[i];
    }
    if (0 == lengths[0] || 0 == lengths[1] || 0 == lengths[3] || lengths[2] / 4 < lengths[3])
    {
        return fl_error(
            FL_EINVAL,
            "cnc file: sections of %d, %d, %d, %d and %d bytes; counters metadata is four times as long as values",
            lengths[0],
            lengths[1],
            lengths[2],
            lengths[3],
            lengths[4]);
    }
    if (0 != lengths[0] % 8 || 0 != lengths[1] % 8 || 0 != lengths[2] % 8 || 0 != lengths[3] % 8)
    {
        return fl_error(FL_EINVAL, "cnc file: a section's length is not a multiple of 8");
    }
    if (offset > cnc->file.length)
    {
        return fl_error(
            FL_EAGAIN,
            "cnc file: %lld bytes, but its sections take %lld",
            (long long)cnc->file.length,
            (long long)offset);
    }
    uint8_t *file = cnc->file.address;
    cnc->to_driver = file + offsets[0];
    cnc->to_clients = file + offsets[1];
    cnc->counters_metadata = file + offsets[2];
    cnc->counters_values = file + offsets[3];
    cnc->error_log = file + offsets[4];
    cnc->to_driver_length = lengths[0];
    cnc->to_clients_length = lengths[1];
    cnc->counters_metadata_length = lengths[2];
    cnc->counters_values_length = lengths[3];
    cnc->error_log_length = lengths[4];
    return 0;
}

int fl_cnc_create(fl_cnc_t *cnc, const char *path, const fl_cnc_params_t *params)
{
    memset(cnc, 0, sizeof(*cnc));
    const int64_t metadata_length = 4 * (int64_t)params->counters_values_buffer_length;
    const int64_t page_size = params->file_page_size;
    if (!fl_is_power_of_two(page_size) || page_size < FL_LOG_PAGE_SIZE_MIN || page_size > FL_LOG_PAGE_SIZE_MAX)
    {
        return fl_error(
            FL_EINVAL,
            "cnc file: page size %lld; a power of two from %d to %d",
            (long long)page_size,
            FL_LOG_PAGE_SIZE_MIN,
            FL_LOG_PAGE_SIZE_MAX);
    }
    const int64_t length = fl_align(
        FL_CNC_METADATA_LENGTH + (int64_t)params->to_driver_buffer_length + params->to_clients_buffer_length +
            metadata_length + params->counters_values_buffer_length + params->error_log_buffer_length,
        page_size);
    if (length > FL_CNC_LENGTH_MAX)
    {
        return fl_error(
            FL_EINVAL,
            "cnc file: %lld bytes; at most %lld, so choose smaller buffers",
            (long long)length,
            (long long)FL_CNC_LENGTH_MAX);
    }
    int result = fl_mapped_file_create(&cnc->file, path, length, false);
    if (result < 0)
    {
        return result;
    }
    const int32_t lengths[5] = {
        params->to_driver_buffer_length,
        params->to_clients_buffer_length,
        (int32_t)metadata_length,
        params->counters_values_buffer_length,
        params->error_log_buffer_length};
    result = fl_cnc_lay_out(cnc, lengths);
    if (result < 0)
    {
        unlink(path);
        fl_cnc_close(cnc);
        return result;
    }
    cnc->metadata = (fl_cnc_metadata_t *)cnc->file.address;
    *cnc->metadata = (fl_cnc_metadata_t){
        .to_driver_buffer_length = lengths[0],
        .to_clients_buffer_length = lengths[1],
        .counters_metadata_buffer_length = lengths[2],
        .counters_values_buffer_length = lengths[3],
        .error_log_buffer_length = lengths[4],
        .client_liveness_timeout_ns = params->client_liveness_timeout_ns,
        .start_timestamp_ms = params->start_timestamp_ms,
        .pid = params->pid,
        .file_page_size = params->file_page_size};
    return 0;
}

void fl_cnc_ready(fl_cnc_t *cnc)
{
    /* Release: pairs with the acquire in fl_cnc_version of every client. */
    fl_i32_store_release(&cnc->metadata->cnc_version, FL_CNC_VERSION);
    msync(cnc->file.address, (size_t)cnc->file.length, MS_ASYNC);
}

int fl_cnc_map(fl_cnc_t *cnc, const char *path, bool writable)
{
    memset(cnc, 0, sizeof(*cnc));
    const int result = fl_mapped_file_open(&cnc->file, path, writable);
    if (result < 0)
    {
        return result;
    }
    if (cnc->file.length <= FL_CNC_METADATA_LENGTH)
    {
        const long long length = cnc->file.length;
        fl_cnc_close(cnc);
        return fl_error(FL_EAGAIN, "cnc file %s: %lld bytes, still being made", path, length);
    }
    cnc->metadata = (fl_cnc_metadata_t *)cnc->file.address;
    return 0;
}

int32_t fl_cnc_version(const fl_cnc_t *cnc)
{
    /* Acquire: pairs with the release in fl_cnc_ready. */
    return fl_i32_load_acquire(&cnc->metadata->cnc_version);
}

int fl_cnc_sections(fl_cnc_t *cnc)
{
    const fl_cnc_metadata_t *metadata = cnc->metadata;
    const int32_t lengths[5] = {
        fl_i32_load_relaxed(&metadata->to_driver_buffer_length),
        fl_i32_load_relaxed(&metadata->to_clients_buffer_length),
        fl_i32_load_relaxed(&metadata->counters_metadata_buffer_length),
        fl_i32_load_relaxed(&metadata->counters_values_buffer_length),
        fl_i32_load_relaxed(&metadata->error_log_buffer_length)};
    return fl_cnc_lay_out(cnc, lengths);
}

void fl_cnc_close(fl_cnc_t *cnc)
{
    fl_mapped_file_close(&cnc->file);
}
