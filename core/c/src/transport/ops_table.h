/* A plugin's ops table, checked and copied, whether it is a transport's or a port's. What stands in for absent entries
 * is the kind's own: binding.c, netstack/port_ops.c.
 */
#ifndef FL_TRANSPORT_OPS_TABLE_H
#define FL_TRANSPORT_OPS_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* An entry that a plugin must have. */
typedef struct fl_ops_entry
{
    const char *name;
    size_t offset;
} fl_ops_entry_t;

#define FL_OPS_ENTRY(type, entry) { #entry, offsetof(type, entry) }

/* A kind of table. All begin with the words magic, size and abi_version. */
typedef struct fl_ops_kind
{
    const char *name;              /* for messages: what has such a table */
    uint32_t magic;
    uint32_t other_magic;          /* of the other kind */
    const char *other_name;        /* what has that one, and what to do with it */
    size_t size;
    size_t head_length;            /* in front of the first entry; a table is at least so long */
    const fl_ops_entry_t *required;
    uint32_t required_count;
} fl_ops_kind_t;

/* Copy a plugin's table; what lies behind the size that it states is absent.
 *
 * complete      kind->size bytes; written whole
 * ops, object   as the plugin's open returned them
 * name          the plugin's device, for messages
 * returns       0, or a negative FL_E* with the error text set: no ops or object; not an ops table, or one of the
 *               other kind; another abi_version; a required entry missing
 */
int fl_ops_table_copy(const fl_ops_kind_t *kind, void *complete, const void *ops, const void *object, const char *name);

/* Put what returns -FL_ENOTSUP in the place of an absent entry. */
#define FL_OPS_FILL(ops, entry, absent) ((ops)->entry = NULL != (ops)->entry ? (ops)->entry : (absent))

#endif
