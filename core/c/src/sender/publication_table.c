#include "sender/publication_table.h"

#include <stdlib.h>

#define FL_PUBLICATION_TABLE_CAPACITY_MIN 16

static uint64_t fl_publication_key(int32_t stream_id, int32_t session_id)
{
    return (uint64_t)(uint32_t)stream_id << 32 | (uint32_t)session_id;
}

/* Where a key belongs. The ids are chosen by users and counted up, so they are mixed (Fibonacci hashing). */
static uint32_t fl_publication_table_home(const fl_publication_table_t *table, uint64_t key)
{
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (table->capacity - 1);
}

int fl_publication_table_init(fl_publication_table_t *table, uint32_t count)
{
    uint32_t capacity = FL_PUBLICATION_TABLE_CAPACITY_MIN;
    while (capacity < 2 * count)
    {
        capacity *= 2;
    }
    table->entries = calloc(capacity, sizeof(*table->entries));
    table->capacity = NULL != table->entries ? capacity : 0;
    table->count = 0;
    return NULL != table->entries ? 0 : -FL_ENOMEM;
}

void fl_publication_table_destroy(fl_publication_table_t *table)
{
    free(table->entries);
    *table = (fl_publication_table_t){0};
}

int fl_publication_table_has_room(const fl_publication_table_t *table)
{
    return 2 * (table->count + 1) <= table->capacity;
}

/* The key's entry, or the free one where it would be. */
static fl_publication_entry_t *fl_publication_table_probe(const fl_publication_table_t *table, uint64_t key)
{
    uint32_t i = fl_publication_table_home(table, key);
    while (NULL != table->entries[i].publication && table->entries[i].key != key)
    {
        i = (i + 1) & (table->capacity - 1);
    }
    return &table->entries[i];
}

void fl_publication_table_insert(
    fl_publication_table_t *table, int32_t stream_id, int32_t session_id, fl_publication_t *publication)
{
    const uint64_t key = fl_publication_key(stream_id, session_id);
    fl_publication_entry_t *entry = fl_publication_table_probe(table, key);
    table->count += NULL == entry->publication;
    *entry = (fl_publication_entry_t){.key = key, .publication = publication};
}

void fl_publication_table_remove(
    fl_publication_table_t *table, int32_t stream_id, int32_t session_id, const fl_publication_t *publication)
{
    fl_publication_entry_t *hole = fl_publication_table_probe(table, fl_publication_key(stream_id, session_id));
    if (hole->publication != publication)
    {
        return;
    }
    table->count--;
    hole->publication = NULL;
    /* What follows without a gap may stand behind its home because of the hole: put it in again. */
    uint32_t i = (uint32_t)(hole - table->entries);
    for (;;)
    {
        i = (i + 1) & (table->capacity - 1);
        const fl_publication_entry_t entry = table->entries[i];
        if (NULL == entry.publication)
        {
            return;
        }
        table->entries[i].publication = NULL;
        *fl_publication_table_probe(table, entry.key) = entry;
    }
}

fl_publication_t *fl_publication_table_find(const fl_publication_table_t *table, int32_t stream_id, int32_t session_id)
{
    return fl_publication_table_probe(table, fl_publication_key(stream_id, session_id))->publication;
}

void fl_publication_table_copy(fl_publication_table_t *to, const fl_publication_table_t *from)
{
    for (uint32_t i = 0; i < from->capacity; i++)
    {
        if (NULL != from->entries[i].publication)
        {
            *fl_publication_table_probe(to, from->entries[i].key) = from->entries[i];
            to->count++;
        }
    }
}
