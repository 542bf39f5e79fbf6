/* An agent's endpoint on a transport, which can be taken off and put on another while all that lives on it goes on.
 *
 * Send and receive endpoints begin with one. While it is detached, because the device was lost and nothing else binds
 * its address yet, nothing is received and every send answers -FL_ENODEV; timers, sessions and positions go on.
 */
#ifndef FL_DRIVER_ATTACHMENT_H
#define FL_DRIVER_ATTACHMENT_H

#include <stdint.h>

#include "agent/sink.h"
#include "api/driver.h"

typedef struct fl_attachment fl_attachment_t;

struct fl_attachment
{
    fl_sink_t sink;                 /* first: the context of the transport's runs */
    const fl_binding_t *binding;    /* never NULL: while detached it is one that has no device */
    fl_endpoint_t *endpoint;
    fl_poller_t *poller;
    uint32_t role;                  /* FL_ROLE_SENDER or FL_ROLE_RECEIVER */
    int64_t id;                     /* for messages */
    /* The owner's part of being attached, as a step of its agent: what the last transport knew of is worth nothing now,
     * so it clears the caches of its peers and takes over what the endpoint grants. */
    void (*on_attached)(fl_attachment_t *attachment, const fl_endpoint_params_t *granted);
};

/* Make a detached one. */
void fl_attachment_init(fl_attachment_t *attachment, uint32_t role, int64_t id,
    void (*on_run)(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns),
    void (*on_attached)(fl_attachment_t *attachment, const fl_endpoint_params_t *granted));

/* Open an endpoint on a transport of the driver and hand it to the agent of its role.
 *
 * params    in and out, see types.h; size and role are set here
 * returns   0, or a negative FL_E* with the error text set; then it is as detached as it was. -FL_EBUSY: it is attached
 * thread    control
 */
int fl_attachment_attach(
    fl_driver_t *driver, fl_attachment_t *attachment, const fl_binding_t *binding, fl_endpoint_params_t *params);

/* Take the endpoint from its agent and close it; the address is free when this returns. Runs that the transport held
 * (FL_RUN_HOLD) count as returned: a transport lets go of them before close_endpoint succeeds, a dead one has. Does
 * nothing if it is detached. Returns what close_endpoint returned, 0 for a dead device. Thread: control. */
int fl_attachment_detach(fl_driver_t *driver, fl_attachment_t *attachment);

static inline int fl_attachment_send(const fl_attachment_t *attachment, fl_run_t *runs, uint32_t count)
{
    return attachment->binding->ops.send(attachment->endpoint, runs, count);
}

#endif
