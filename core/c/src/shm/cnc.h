/* The command and control file (shm 2). */
#ifndef FL_SHM_CNC_H
#define FL_SHM_CNC_H

#include "api/layout.h"
#include "shm/mapped_file.h"
#include "shm/words.h"

/* Lengths and facts of a new file. Section lengths include trailers. */
typedef struct fl_cnc_params
{
    int32_t to_driver_buffer_length;
    int32_t to_clients_buffer_length;
    int32_t counters_values_buffer_length;   /* the metadata section is four times as long */
    int32_t error_log_buffer_length;
    int64_t client_liveness_timeout_ns;
    int64_t start_timestamp_ms;
    int64_t pid;
    int32_t file_page_size;
    int32_t reserved;
} fl_cnc_params_t;

typedef struct fl_cnc
{
    fl_mapped_file_t file;
    fl_cnc_metadata_t *metadata;
    /* The sections; NULL and 0 until fl_cnc_sections has checked them. */
    uint8_t *to_driver;
    uint8_t *to_clients;
    uint8_t *counters_metadata;
    uint8_t *counters_values;
    uint8_t *error_log;
    int32_t to_driver_length;
    int32_t to_clients_length;
    int32_t counters_metadata_length;
    int32_t counters_values_length;
    int32_t error_log_length;
} fl_cnc_t;

/* Create the file with all of the metadata but the version: clients wait until fl_cnc_ready.
 *
 * returns  0; -FL_EINVAL for lengths out of range; as fl_mapped_file_create
 * thread   control plane; blocks
 */
int fl_cnc_create(fl_cnc_t *cnc, const char *path, const fl_cnc_params_t *params);

/* Store the version, with release, when ring, counters and heartbeat are there (shm 2.4), and msync. */
void fl_cnc_ready(fl_cnc_t *cnc);

/* Map an existing file, whose contents are not looked at (shm 2.5 step 2).
 *
 * returns  0; -FL_EAGAIN if it is not longer than 128 bytes but not empty; as fl_mapped_file_open
 */
int fl_cnc_map(fl_cnc_t *cnc, const char *path, bool writable);

/* Acquire the version; 0: not ready. */
int32_t fl_cnc_version(const fl_cnc_t *cnc);

/* Find the sections, each length read once and checked (shm 2.5 step 5).
 *
 * returns  0; -FL_EAGAIN with error text if the file does not cover them; -FL_EINVAL if a length is impossible
 */
int fl_cnc_sections(fl_cnc_t *cnc);

/* Unmap; the file stays. Nothing in a forked child. */
void fl_cnc_close(fl_cnc_t *cnc);

#endif
