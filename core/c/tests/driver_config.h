/* What every driver of the C tests begins with: a CnC file and a configuration, which a fixture then changes. */
#ifndef FL_TESTS_DRIVER_CONFIG_H
#define FL_TESTS_DRIVER_CONFIG_H

#include "check.h"
#include "driver/driver.h"

#define US INT64_C(1000)
#define MS (1000 * US)
#define SECOND (1000 * MS)

static inline void test_cnc_create(fl_cnc_t *cnc, const char *path)
{
    const fl_cnc_params_t params = {.to_driver_buffer_length = 65536 + FL_MPSC_RING_TRAILER_LENGTH,
        .to_clients_buffer_length = 65536 + FL_BROADCAST_TRAILER_LENGTH, .counters_values_buffer_length = 65536,
        .error_log_buffer_length = 65536, .client_liveness_timeout_ns = 10 * SECOND, .pid = 1, .file_page_size = 4096};
    CHECK_EQUAL(0, fl_cnc_create(cnc, path, &params));
    CHECK_EQUAL(0, fl_cnc_sections(cnc));
}

/* INVOKER, the stock timeouts; system counters are their own ids, those of the drops begin at first_drop_counter. */
static inline fl_driver_config_t test_config(fl_clock_t *clock, fl_cnc_t *cnc, int32_t first_drop_counter)
{
    fl_driver_config_t config = {
        .clock = clock,
        .cnc = cnc,
        .threading_mode = FL_THREADING_INVOKER,
        .cpu_affinity = {-1, -1, -1},
        .cycle_threshold_ns = {SECOND, SECOND, SECOND},
        .seed = 1,
        .timer_interval_ns = SECOND,
        .client_liveness_timeout_ns = 10 * SECOND,
        .publication_connection_timeout_ns = 5 * SECOND,
        .retransmit_linger_ns = 10 * MS,
        .send_to_status_poll_ratio = 6,
        .send_run_length = 65536,
        .status_message_timeout_ns = 200 * MS,
        .image_liveness_timeout_ns = 10 * SECOND,
        .nak_unicast_delay_ns = US,
        .nak_unicast_retry_ratio = 100,
        .nak_multicast_max_backoff_ns = 10 * MS,
        .nak_multicast_group_size = 10,
        .stream_session_limit = INT32_MAX,
        .publication_unblock_timeout_ns = 15 * SECOND,
    };
    for (int32_t i = 0; i < FL_SYSTEM_COUNTERS; i++)
    {
        config.system_counter_ids[i] = i;
    }
    for (int32_t i = 0; i < FL_DROPS; i++)
    {
        config.drop_counter_ids[i] = first_drop_counter + i;
    }
    return config;
}

#endif
