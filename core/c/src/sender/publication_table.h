/* The publications of one send endpoint by (stream id, session id). */
#ifndef FL_SENDER_PUBLICATION_TABLE_H
#define FL_SENDER_PUBLICATION_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "api/publications.h"

typedef struct fl_publication_entry
{
    uint64_t key;
    fl_publication_t *publication;   /* NULL: free */
} fl_publication_entry_t;

/* Open addressing, at most half full. Changed between two cycles of the sender, read by it. */
typedef struct fl_publication_table
{
    fl_publication_entry_t *entries;
    uint32_t capacity;               /* a power of two, or 0 */
    uint32_t count;
} fl_publication_table_t;

/* Make an empty table for `count` publications. Returns 0 or -FL_ENOMEM. Thread: control. */
int fl_publication_table_init(fl_publication_table_t *table, uint32_t count);
void fl_publication_table_destroy(fl_publication_table_t *table);

/* Is there room for one more? */
int fl_publication_table_has_room(const fl_publication_table_t *table);

/* There is room. A publication that has the key already is replaced. */
void fl_publication_table_insert(
    fl_publication_table_t *table, int32_t stream_id, int32_t session_id, fl_publication_t *publication);

/* Nothing happens if the key is another publication's by now. */
void fl_publication_table_remove(
    fl_publication_table_t *table, int32_t stream_id, int32_t session_id, const fl_publication_t *publication);

/* NULL if it is not there. */
fl_publication_t *fl_publication_table_find(const fl_publication_table_t *table, int32_t stream_id, int32_t session_id);

/* Move all of `from` into `to`, which has room for them. */
void fl_publication_table_copy(fl_publication_table_t *to, const fl_publication_table_t *from);

#endif
