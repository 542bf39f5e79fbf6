/* The pollers of one agent, each polled in turn. */
#ifndef FL_AGENT_POLL_SET_H
#define FL_AGENT_POLL_SET_H

#include <stdint.h>

#include "agent/object.h"
#include "agent/sink.h"
#include "transport/binding.h"
#include "util/clock.h"

#define FL_POLL_SET_CAPACITY 16    /* transports at once */
#define FL_POLL_RUNS 16            /* runs taken in one poll */

typedef struct fl_poll_entry
{
    fl_binding_t *binding;
    fl_poller_t *poller;
    uint32_t roles;                /* FL_ROLE_* that this poller serves */
    uint32_t is_gone;              /* 1: poll has answered -FL_ENODEV; it goes on to do so */
} fl_poll_entry_t;

typedef struct fl_poll_set
{
    fl_poll_entry_t entries[FL_POLL_SET_CAPACITY];
    uint32_t count;
    uint32_t run_limit;            /* runs taken in one poll, if the user set it; 0: FL_POLL_RUNS */
    int64_t arrival_ns;            /* real time at which the runs came out of poll; 0: nobody has asked yet */
    fl_object_stack_t *events;     /* of the control plane; NULL: nobody is told */
    fl_object_t object;            /* FL_OBJECT_TRANSPORTS */
} fl_poll_set_t;

/* Poll every poller once, hand each run to its sink, release. The control plane is told of a device that is gone.
 * Returns how many bytes came. */
int64_t fl_poll_set_poll(fl_poll_set_t *set, int64_t now_ns);

/* The real time, since 1970, at which the runs that are being handed out arrived: as soon after the poll as the first
 * of their sinks asks. Thread: the agent's, in on_run. */
static inline int64_t fl_poll_set_arrival(fl_poll_set_t *set, fl_clock_t *clock)
{
    if (0 == set->arrival_ns)
    {
        set->arrival_ns = fl_clock_epoch_now(clock);
    }
    return set->arrival_ns;
}

/* Reap every poller once; what comes back from FL_RUN_HOLD is nothing yet, since no sender holds. */
void fl_poll_set_reap(fl_poll_set_t *set);

/* Find the poller of a binding. NULL if it is not there. */
fl_poll_entry_t *fl_poll_set_find(fl_poll_set_t *set, const fl_binding_t *binding);

#endif
