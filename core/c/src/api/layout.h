/* Layouts of the files that a driver shares with its clients. Offsets are those of the shared-memory specification.
 *
 * Fields that more than one process touches are accessed with the functions of shm/words.h, never plainly.
 */
#ifndef FL_API_LAYOUT_H
#define FL_API_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* CnC file (shm 2). */
#define FL_CNC_VERSION 512
#define FL_CNC_METADATA_LENGTH 128

typedef struct fl_cnc_metadata
{
    int32_t cnc_version;
    int32_t to_driver_buffer_length;
    int32_t to_clients_buffer_length;
    int32_t counters_metadata_buffer_length;
    int32_t counters_values_buffer_length;
    int32_t error_log_buffer_length;
    int64_t client_liveness_timeout_ns;
    int64_t start_timestamp_ms;
    int64_t pid;
    int32_t file_page_size;
    uint8_t padding[76];
} fl_cnc_metadata_t;

static_assert(offsetof(fl_cnc_metadata_t, cnc_version) == 0, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, to_driver_buffer_length) == 4, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, to_clients_buffer_length) == 8, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, counters_metadata_buffer_length) == 12, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, counters_values_buffer_length) == 16, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, error_log_buffer_length) == 20, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, client_liveness_timeout_ns) == 24, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, start_timestamp_ms) == 32, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, pid) == 40, "shm 2.1");
static_assert(offsetof(fl_cnc_metadata_t, file_page_size) == 48, "shm 2.1");
static_assert(sizeof(fl_cnc_metadata_t) == FL_CNC_METADATA_LENGTH, "shm 2.1");

/* To-driver ring (shm 3.1). */
#define FL_MPSC_RING_TRAILER_LENGTH 768
#define FL_MPSC_RING_HEARTBEAT_CLOSED (-1)

typedef struct fl_mpsc_ring_trailer
{
    uint8_t padding_0[128];
    int64_t tail;
    uint8_t padding_1[120];
    int64_t head_cache;
    uint8_t padding_2[120];
    int64_t head;
    uint8_t padding_3[120];
    int64_t correlation_counter;
    uint8_t padding_4[120];
    int64_t consumer_heartbeat_ms;
    uint8_t padding_5[120];
} fl_mpsc_ring_trailer_t;

static_assert(offsetof(fl_mpsc_ring_trailer_t, tail) == 128, "shm 3.1");
static_assert(offsetof(fl_mpsc_ring_trailer_t, head_cache) == 256, "shm 3.1");
static_assert(offsetof(fl_mpsc_ring_trailer_t, head) == 384, "shm 3.1");
static_assert(offsetof(fl_mpsc_ring_trailer_t, correlation_counter) == 512, "shm 3.1");
static_assert(offsetof(fl_mpsc_ring_trailer_t, consumer_heartbeat_ms) == 640, "shm 3.1");
static_assert(sizeof(fl_mpsc_ring_trailer_t) == FL_MPSC_RING_TRAILER_LENGTH, "shm 3.1");

/* Record of the ring and of the broadcast; the message follows. Records are aligned to 8 bytes. */
#define FL_RECORD_HEADER_LENGTH 8
#define FL_RECORD_ALIGNMENT 8
#define FL_RECORD_PADDING (-1)

typedef struct fl_record_header
{
    int32_t length;     /* header and message */
    int32_t type_id;
} fl_record_header_t;

static_assert(sizeof(fl_record_header_t) == FL_RECORD_HEADER_LENGTH, "shm 3.1, 4.1");

/* To-clients broadcast (shm 4.1). */
#define FL_BROADCAST_TRAILER_LENGTH 128

typedef struct fl_broadcast_trailer
{
    int64_t tail_intent;
    int64_t tail;
    int64_t latest;
    uint8_t padding[104];
} fl_broadcast_trailer_t;

static_assert(offsetof(fl_broadcast_trailer_t, tail_intent) == 0, "shm 4.1");
static_assert(offsetof(fl_broadcast_trailer_t, tail) == 8, "shm 4.1");
static_assert(offsetof(fl_broadcast_trailer_t, latest) == 16, "shm 4.1");
static_assert(sizeof(fl_broadcast_trailer_t) == FL_BROADCAST_TRAILER_LENGTH, "shm 4.1");

/* Counters (shm 5.1, 5.2). */
#define FL_COUNTER_VALUE_LENGTH 128
#define FL_COUNTER_METADATA_LENGTH 512
#define FL_COUNTER_KEY_LENGTH 112
#define FL_COUNTER_LABEL_LENGTH 380
#define FL_COUNTER_UNUSED 0
#define FL_COUNTER_ALLOCATED 1
#define FL_COUNTER_RECLAIMED (-1)
#define FL_COUNTER_NULL (-1)

typedef struct fl_counter_value
{
    int64_t value;
    int64_t registration_id;
    int64_t owner_id;
    int64_t reference_id;
    uint8_t padding[96];
} fl_counter_value_t;

typedef struct fl_counter_metadata
{
    int32_t state;                       /* FL_COUNTER_* */
    int32_t type_id;
    int64_t free_for_reuse_deadline_ms;
    uint8_t key[112];
    int32_t label_length;
    uint8_t label[380];
} fl_counter_metadata_t;

static_assert(offsetof(fl_counter_value_t, value) == 0, "shm 5.1");
static_assert(offsetof(fl_counter_value_t, registration_id) == 8, "shm 5.1");
static_assert(offsetof(fl_counter_value_t, owner_id) == 16, "shm 5.1");
static_assert(offsetof(fl_counter_value_t, reference_id) == 24, "shm 5.1");
static_assert(sizeof(fl_counter_value_t) == FL_COUNTER_VALUE_LENGTH, "shm 5.1");
static_assert(offsetof(fl_counter_metadata_t, state) == 0, "shm 5.2");
static_assert(offsetof(fl_counter_metadata_t, type_id) == 4, "shm 5.2");
static_assert(offsetof(fl_counter_metadata_t, free_for_reuse_deadline_ms) == 8, "shm 5.2");
static_assert(offsetof(fl_counter_metadata_t, key) == 16, "shm 5.2");
static_assert(offsetof(fl_counter_metadata_t, label_length) == 128, "shm 5.2");
static_assert(offsetof(fl_counter_metadata_t, label) == 132, "shm 5.2");
static_assert(sizeof(fl_counter_metadata_t) == FL_COUNTER_METADATA_LENGTH, "shm 5.2");

/* Distinct error log (shm 6.1): the text follows. */
#define FL_ERROR_RECORD_HEADER_LENGTH 24

typedef struct fl_error_record
{
    int32_t length;
    int32_t observation_count;
    int64_t last_observation_timestamp_ms;
    int64_t first_observation_timestamp_ms;
} fl_error_record_t;

static_assert(offsetof(fl_error_record_t, length) == 0, "shm 6.1");
static_assert(offsetof(fl_error_record_t, observation_count) == 4, "shm 6.1");
static_assert(offsetof(fl_error_record_t, last_observation_timestamp_ms) == 8, "shm 6.1");
static_assert(offsetof(fl_error_record_t, first_observation_timestamp_ms) == 16, "shm 6.1");
static_assert(sizeof(fl_error_record_t) == FL_ERROR_RECORD_HEADER_LENGTH, "shm 6.1");

/* Loss report (shm 6.2): channel length, channel, source length and source follow. */
#define FL_LOSS_RECORD_HEADER_LENGTH 40
#define FL_LOSS_RECORD_ALIGNMENT 64

typedef struct fl_loss_record
{
    int64_t observation_count;
    int64_t total_bytes_lost;
    int64_t first_observation_timestamp_ms;
    int64_t last_observation_timestamp_ms;
    int32_t session_id;
    int32_t stream_id;
} fl_loss_record_t;

static_assert(offsetof(fl_loss_record_t, observation_count) == 0, "shm 6.2");
static_assert(offsetof(fl_loss_record_t, total_bytes_lost) == 8, "shm 6.2");
static_assert(offsetof(fl_loss_record_t, first_observation_timestamp_ms) == 16, "shm 6.2");
static_assert(offsetof(fl_loss_record_t, last_observation_timestamp_ms) == 24, "shm 6.2");
static_assert(offsetof(fl_loss_record_t, session_id) == 32, "shm 6.2");
static_assert(offsetof(fl_loss_record_t, stream_id) == 36, "shm 6.2");
static_assert(sizeof(fl_loss_record_t) == FL_LOSS_RECORD_HEADER_LENGTH, "shm 6.2");

/* Log buffers (shm 7.1, 7.2). */
#define FL_LOG_PARTITIONS 3
#define FL_LOG_TERM_LENGTH_MIN 65536
#define FL_LOG_TERM_LENGTH_MAX 1073741824
#define FL_LOG_PAGE_SIZE_MIN 4096
#define FL_LOG_PAGE_SIZE_MAX 1073741824
#define FL_LOG_METADATA_LENGTH 4096
#define FL_LOG_METADATA_USED_LENGTH 508
#define FL_LOG_TYPE_CONCURRENT 0
#define FL_LOG_TYPE_EXCLUSIVE 1
#define FL_LOG_TYPE_IMAGE 2
#define FL_FRAME_ALIGNMENT 32
#define FL_DATA_HEADER_LENGTH 32
#define FL_MTU_LENGTH_MAX 65504
#define FL_MESSAGE_LENGTH_MAX 16777216

typedef struct fl_log_metadata
{
    int64_t term_tail_counters[3];
    int32_t active_term_count;
    uint8_t padding_0[100];
    int64_t end_of_stream_position;
    int32_t is_connected;
    int32_t active_transport_count;
    uint8_t padding_1[112];
    int64_t correlation_id;
    int32_t initial_term_id;
    int32_t default_frame_header_length;
    int32_t mtu_length;
    int32_t term_length;
    int32_t page_size;
    int32_t publication_window_length;
    int32_t receiver_window_length;
    int32_t socket_sndbuf_length;
    int32_t os_default_socket_sndbuf_length;
    int32_t os_max_socket_sndbuf_length;
    int32_t socket_rcvbuf_length;
    int32_t os_default_socket_rcvbuf_length;
    int32_t os_max_socket_rcvbuf_length;
    int32_t max_resend;
    uint8_t default_header[128];         /* the first 32 bytes are used (shm 7.4) */
    int64_t entity_tag;
    int64_t response_correlation_id;
    int64_t linger_timeout_ns;
    int64_t untethered_window_limit_timeout_ns;
    int64_t untethered_resting_timeout_ns;
    uint8_t group;
    uint8_t is_response;
    uint8_t rejoin;
    uint8_t reliable;
    uint8_t sparse;
    uint8_t signal_eos;
    uint8_t spies_simulate_connection;
    uint8_t tether;
    uint8_t is_publication_revoked;
    uint8_t type;                        /* FL_LOG_TYPE_* */
    uint8_t padding_2[2];
    uint8_t untethered_linger_timeout_ns[8];   /* an i64 that is not aligned */
    uint8_t padding_3[4];
} fl_log_metadata_t;

static_assert(offsetof(fl_log_metadata_t, term_tail_counters) == 0, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, active_term_count) == 24, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, end_of_stream_position) == 128, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, is_connected) == 136, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, active_transport_count) == 140, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, correlation_id) == 256, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, initial_term_id) == 264, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, default_frame_header_length) == 268, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, mtu_length) == 272, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, term_length) == 276, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, page_size) == 280, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, publication_window_length) == 284, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, receiver_window_length) == 288, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, socket_sndbuf_length) == 292, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, os_default_socket_sndbuf_length) == 296, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, os_max_socket_sndbuf_length) == 300, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, socket_rcvbuf_length) == 304, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, os_default_socket_rcvbuf_length) == 308, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, os_max_socket_rcvbuf_length) == 312, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, max_resend) == 316, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, default_header) == 320, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, entity_tag) == 448, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, response_correlation_id) == 456, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, linger_timeout_ns) == 464, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, untethered_window_limit_timeout_ns) == 472, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, untethered_resting_timeout_ns) == 480, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, group) == 488, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, is_response) == 489, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, rejoin) == 490, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, reliable) == 491, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, sparse) == 492, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, signal_eos) == 493, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, spies_simulate_connection) == 494, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, tether) == 495, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, is_publication_revoked) == 496, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, type) == 497, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, untethered_linger_timeout_ns) == 500, "shm 7.2");
static_assert(offsetof(fl_log_metadata_t, padding_3) == FL_LOG_METADATA_USED_LENGTH, "shm 7.2");

#endif
