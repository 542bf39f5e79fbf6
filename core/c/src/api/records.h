/* Records in shared memory: the to-driver ring, the to-clients broadcast, counters, the error log and the loss
 * report. */
#ifndef FL_API_RECORDS_H
#define FL_API_RECORDS_H

#include <stdbool.h>

#include "api/layout.h"

/* ---- The to-driver ring: many producers, one consumer (shm 3).
 *
 * Any client can write anything anywhere in the ring, so the consumer keeps its head to itself, copies a record before
 * anybody looks at it, and checks every length against the ring and the tail. */

typedef struct fl_mpsc_ring
{
    uint8_t *buffer;
    fl_mpsc_ring_trailer_t *trailer;
    int32_t capacity;               /* bytes of records, a power of two */
    int32_t max_message_length;     /* capacity / 8 */
    int64_t head;                   /* consumer: the truth; what the trailer shows is for producers */
} fl_mpsc_ring_t;

/* View a section as a ring.
 *
 * length   of the section: a power of two of at least 64 bytes, and the trailer
 * returns  0, or -FL_EINVAL with error text
 */
int fl_mpsc_ring_init(fl_mpsc_ring_t *ring, void *section, int64_t length);

/* Claim room for a message (shm 3.2).
 *
 * type_id  1 or more
 * length   bytes of the message, 0 to max_message_length
 * returns  offset of the message in the buffer, which the caller fills before it commits or aborts; -FL_EAGAIN if the
 *          ring is full; -FL_EINVAL; -FL_EIO if somebody wrote over the tail
 * thread   any, of any process; does not block
 */
int32_t fl_mpsc_ring_claim(fl_mpsc_ring_t *ring, int32_t type_id, int32_t length);

/* End a claim: hand the message to the consumer, or have it skipped. offset is what claim returned.
 * returns  0, or -FL_EINVAL if there is no open claim at offset */
int fl_mpsc_ring_commit(fl_mpsc_ring_t *ring, int32_t offset);
int fl_mpsc_ring_abort(fl_mpsc_ring_t *ring, int32_t offset);

/* Write a whole message. As claim, and returns 0 in place of an offset. */
int fl_mpsc_ring_write(fl_mpsc_ring_t *ring, int32_t type_id, const void *message, int32_t length);

/* Move committed records into private memory (shm 3.3).
 *
 * Records are copied to `into` as they stand in the ring: header, message, each aligned to 8 bytes, without padding
 * records. Their lengths are checked: at least 8, at most max_message_length + 8, inside the ring and not beyond the
 * tail; their types are 1 or more. A record of which only the type is wrong is dropped alone. Behind a wrong length
 * nothing says where the next record begins but the tail, so everything up to the tail, or to the end of the ring if
 * that is first, is dropped at once; with a tail that is impossible too, 8 bytes are. A length where nothing is claimed
 * is cleared. Each such event adds 1 to malformed. A record that does not fit `into` stays in the ring.
 *
 * into, capacity   private memory, aligned to 8 bytes, at least max_message_length + 8 long
 * limit            most records to take
 * malformed        out: drops as above
 * returns          bytes in `into`; 0 if there was no record before the end of the ring, where each call stops: a full
 *                  drain goes on while the head moves
 * thread           consumer, with the one view whose head is the truth; does not block
 */
int32_t fl_mpsc_ring_read(
    fl_mpsc_ring_t *ring, uint8_t *into, int32_t capacity, int32_t limit, int32_t *malformed);

/* Repair the record at the head if its producer died (shm 3.4). To be called when the head did not move for the client
 * liveness timeout although fl_mpsc_ring_is_pending.
 *
 * returns  true if the consumer can go on
 * thread   consumer
 */
bool fl_mpsc_ring_unblock(fl_mpsc_ring_t *ring);

/* Is something claimed behind the head? Consumer only. */
bool fl_mpsc_ring_is_pending(const fl_mpsc_ring_t *ring);

/* The one sequence of client ids, command correlation ids and image ids (shm 3.5). Any thread. */
int64_t fl_mpsc_ring_next_correlation_id(fl_mpsc_ring_t *ring);

/* Epoch ms of the consumer's last sign of life; 0: not started; -1: closed (shm 3.6). */
int64_t fl_mpsc_ring_heartbeat(const fl_mpsc_ring_t *ring);
void fl_mpsc_ring_set_heartbeat(fl_mpsc_ring_t *ring, int64_t epoch_ms);

/* ---- The to-clients broadcast: one transmitter, many receivers, no flow control (shm 4). */

typedef struct fl_broadcast_transmitter
{
    uint8_t *buffer;
    fl_broadcast_trailer_t *trailer;
    int32_t capacity;
    int32_t max_message_length;     /* capacity / 8 */
    int64_t tail;                   /* the truth; the trailer's is for receivers */
} fl_broadcast_transmitter_t;

typedef struct fl_broadcast_receiver
{
    const uint8_t *buffer;
    const fl_broadcast_trailer_t *trailer;
    int32_t capacity;
    int32_t max_message_length;
    int64_t next;                   /* position of the record that the next receive looks at */
    int64_t lapped_count;
} fl_broadcast_receiver_t;

/* View a section as a broadcast. length: a power of two of at least 64 bytes, and the trailer. The receiver begins
 * with the latest record, which it so sees once more. Returns 0, or -FL_EINVAL with error text. */
int fl_broadcast_transmitter_init(fl_broadcast_transmitter_t *transmitter, void *section, int64_t length);
int fl_broadcast_receiver_init(fl_broadcast_receiver_t *receiver, const void *section, int64_t length);

/* Transmit one event. type_id 1 or more; length 0 to max_message_length. Returns 0 or -FL_EINVAL. One thread. */
int fl_broadcast_transmit(
    fl_broadcast_transmitter_t *transmitter, int32_t type_id, const void *message, int32_t length);

/* Take the next event into private memory: copied first, then found valid.
 *
 * into      at least max_message_length bytes
 * returns   length of the message; -FL_EAGAIN: none; -FL_ENOBUFS: events were lost because this receiver was too slow,
 *           and the next call goes on behind the latest one; -FL_EIO: the record is corrupt and the receiver goes on
 *           as if it had been too slow
 * thread    the receiver's own
 */
int32_t fl_broadcast_receive(fl_broadcast_receiver_t *receiver, int32_t *type_id, void *into);

/* ---- Counters: values that every process may read, with a key and a label (shm 5).
 *
 * fl_counters_t is a view for anybody. fl_counters_manager_t allocates; its state is private memory of the control
 * plane, since clients can write every word of the records. */

typedef struct fl_counters
{
    fl_counter_metadata_t *metadata;
    fl_counter_value_t *values;
    int32_t count;                  /* records; ids are 0 to count - 1 */
} fl_counters_t;

/* View two sections as counters. Returns 0, or -FL_EINVAL with error text if the lengths do not fit each other. */
int fl_counters_init(
    fl_counters_t *counters, void *metadata, int64_t metadata_length, void *values, int64_t values_length);

/* The word to give to whoever writes the counter; NULL if there is no such id. Stays valid until the file is closed;
 * after the counter is freed the word belongs to the next one that gets the id. */
int64_t *fl_counters_value(const fl_counters_t *counters, int32_t id);

/* Load a value with acquire, and store one with release. */
int64_t fl_counters_load(const int64_t *value);
void fl_counters_store(int64_t *value, int64_t to);

/* Add to a counter that several threads write; relaxed. */
void fl_counters_add(int64_t *value, int64_t delta);

/* A record as it was read: key and label are copied, the label's length is bounded. */
typedef struct fl_counter_snapshot
{
    int32_t id;
    int32_t state;                  /* FL_COUNTER_* */
    int32_t type_id;
    int32_t label_length;
    int64_t value;
    int64_t registration_id;
    int64_t owner_id;
    int64_t reference_id;
    uint8_t key[112];
    char label[384];                /* terminated behind label_length */
} fl_counter_snapshot_t;

/* Read a record. Returns its state, or -FL_EINVAL if there is no such id. Any thread. */
int fl_counters_read(const fl_counters_t *counters, int32_t id, fl_counter_snapshot_t *snapshot);

/* Find the next allocated counter from `from` on; -1 if there is none: the walk ends at the first unused record. */
int32_t fl_counters_next(const fl_counters_t *counters, int32_t from);

typedef struct fl_counters_manager fl_counters_manager_t;

/* Begin to manage zeroed sections. cool_down_ms: how long a freed id rests before reuse, 0 or more.
 * Returns NULL with error text: lengths, or no memory. All of the manager: control thread only. */
fl_counters_manager_t *fl_counters_manager_new(
    void *metadata, int64_t metadata_length, void *values, int64_t values_length, int64_t cool_down_ms);
void fl_counters_manager_free(fl_counters_manager_t *manager);

const fl_counters_t *fl_counters_manager_view(const fl_counters_manager_t *manager);

/* Take an id without showing it: its value record is zero, and readers pass over it until it is published.
 * Returns the id, or -FL_ENOBUFS with error text if all are in use or resting. now_ms: epoch. */
int32_t fl_counters_reserve(fl_counters_manager_t *manager, int64_t now_ms);

/* Show a reserved id. Key and label are cut at 112 and 380 bytes. Returns 0, or -FL_EINVAL if the id is not
 * reserved. */
int fl_counters_publish(
    fl_counters_manager_t *manager,
    int32_t id,
    int32_t type_id,
    const void *key,
    int32_t key_length,
    const char *label,
    int32_t label_length);

/* Both at once, as shm 5.3. Returns the id or -FL_ENOBUFS. */
int32_t fl_counters_allocate(
    fl_counters_manager_t *manager,
    int64_t now_ms,
    int32_t type_id,
    const void *key,
    int32_t key_length,
    const char *label,
    int32_t label_length);

/* Free an allocated or reserved id. Returns 0, or -FL_EINVAL if it is neither. */
int fl_counters_free(fl_counters_manager_t *manager, int32_t id, int64_t now_ms);

/* Set what readers match on, after allocation (shm 5.3). Returns 0 or -FL_EINVAL. */
int fl_counters_set_ids(
    fl_counters_manager_t *manager, int32_t id, int64_t registration_id, int64_t owner_id, int64_t reference_id);

/* Replace or extend a label; cut at 380 bytes. Returns the bytes written or -FL_EINVAL. */
int32_t fl_counters_label_update(fl_counters_manager_t *manager, int32_t id, const char *label, int32_t length);
int32_t fl_counters_label_append(fl_counters_manager_t *manager, int32_t id, const char *label, int32_t length);

/* ---- The distinct error log: one record for each distinct error, with how often and when (shm 6.1). */

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

/* ---- The loss report: one record for each image that lost data (shm 6.2). */

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
