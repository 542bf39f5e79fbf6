/* A transport as the driver calls it: the ops of a plugin, checked and made complete.
 *
 * Agents call `binding->ops.send(endpoint, runs, count)` and so on; fl_binding_t is in api/transport.h. Entries that a
 * transport may do without answer -FL_ENOTSUP, which from poller_enter, poller_leave, reap and housekeeping means that
 * there was nothing to do.
 */
#ifndef FL_TRANSPORT_BINDING_H
#define FL_TRANSPORT_BINDING_H

#include "api/transport.h"

#endif
