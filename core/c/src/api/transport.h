/* The host's side of the native ABI as Python sees it: the table given to transports, and bindings. Functions
 * are called on the control thread unless they say otherwise. */
#ifndef FL_API_TRANSPORT_H
#define FL_API_TRANSPORT_H

#include <framelane/transport.h>

#include "api/common.h"

/* ---- what the driver offers to one transport ---- */

typedef struct fl_transport_host fl_transport_host_t;

/* Where a transport's counters live. allocate returns the value's address or NULL; free is given that address. Both are
 * called on the control thread. */
typedef struct fl_counter_source
{
    int64_t *(*allocate)(void *state, int32_t type_id, const void *key, size_t key_length, const char *label);
    void (*free)(void *state, int64_t *value);
    void *state;
} fl_counter_source_t;

/* One line of a transport's log. */
typedef struct fl_log_line
{
    int32_t level;             /* FL_LOG_* */
    uint32_t reserved;
    int64_t epoch_ns;
    char text[496];            /* terminated; truncated */
} fl_log_line_t;

/* A counter that lives in the host's private memory. */
typedef struct fl_host_counter
{
    int32_t type_id;
    uint32_t key_length;
    uint8_t key[112];
    char label[384];
    int64_t value;
} fl_host_counter_t;

/* Make the host of one transport.
 *
 * clock      outlives the host
 * seed       of the generator behind fl_host_t.random
 * counters   copied; NULL: counters live in private memory, see fl_transport_host_counter
 * returns    NULL: no memory
 */
fl_transport_host_t *fl_transport_host_new(fl_clock_t *clock, uint64_t seed, const fl_counter_source_t *counters);

/* Free the host and its counters, after the transport was closed. */
void fl_transport_host_free(fl_transport_host_t *host);

/* The table for OpenContext.host; lives as long as the host. */
const fl_host_t *fl_transport_host_table(fl_transport_host_t *host);

/* Take the oldest line of the log: 1, or 0 if there is none. One thread at a time. */
int fl_transport_host_log_poll(fl_transport_host_t *host, fl_log_line_t *line);

/* Lines that the rate limit or a full queue kept out so far. Any thread. */
uint64_t fl_transport_host_log_suppressed(fl_transport_host_t *host);

/* Copy the counter at `index` in private memory: 1, or 0 if there are not so many. */
int fl_transport_host_counter(fl_transport_host_t *host, uint32_t index, fl_host_counter_t *counter);

/* ---- a transport as the driver calls it ---- */

/* The ops are complete: where the transport has none, a stub returns -FL_ENOTSUP (release: does nothing), so no call
 * site tests for NULL. Immutable once made; any thread may read it. */
typedef struct fl_binding
{
    fl_transport_ops_t ops;
    fl_transport_t *transport;
    char name[32];
} fl_binding_t;

/* Bind to a transport.
 *
 * ops, object   fl_transport_ops_t * and fl_transport_t * as the plugin returned them; ops is copied
 * name          for messages; truncated
 * returns       NULL with the error text set: no ops or object; not an ops table; a port, which fl_netstack_open
 *               makes a transport of; another abi_version; a required entry missing
 */
fl_binding_t *fl_binding_new(const void *ops, void *object, const char *name);

/* Free the binding. Does not close the transport: that is binding->ops.close(binding->transport). */
void fl_binding_free(fl_binding_t *binding);

#endif
