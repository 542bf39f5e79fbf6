/* Which streams and sessions an endpoint's subscriptions want (wire 4.1).
 *
 * The table is written by the control thread alone: it makes a changed copy, the receiver swaps the pointer between two
 * duty cycles, and the old copy is freed. Interest is counted, since several subscriptions may want the same.
 */
#ifndef FL_RECEIVER_INTEREST_H
#define FL_RECEIVER_INTEREST_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fl_interest_entry
{
    int32_t stream_id;
    int32_t session_id;          /* 0 if in all sessions */
    uint32_t has_session_id;     /* 0: in all sessions of the stream */
    uint32_t references;
} fl_interest_entry_t;

typedef struct fl_interest
{
    uint32_t count;
    fl_interest_entry_t entries[];   /* by stream, all sessions first, then by session */
} fl_interest_t;

/* Copy a table with one more, or one fewer, reference to an entry. NULL for `interest` is an empty table.
 *
 * is_new     out, may be NULL: the entry came or went
 * returns    the copy; NULL with error text: no memory, or there is nothing to remove
 * thread     control
 */
fl_interest_t *fl_interest_with(
    const fl_interest_t *interest, int32_t stream_id, bool has_session_id, int32_t session_id, bool *is_new);
fl_interest_t *fl_interest_without(
    const fl_interest_t *interest, int32_t stream_id, bool has_session_id, int32_t session_id, bool *is_gone);

/* Whether any session of a stream is wanted, and whether this one is. Thread: receiver, or control. */
bool fl_interest_has_stream(const fl_interest_t *interest, int32_t stream_id);
bool fl_interest_has_session(const fl_interest_t *interest, int32_t stream_id, int32_t session_id);

#endif
