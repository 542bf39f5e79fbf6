/* The driver's data plane: its agents and the threads that run them. */
#ifndef FL_DRIVER_DRIVER_H
#define FL_DRIVER_DRIVER_H

#include "agent/runner.h"
#include "conductor/conductor.h"
#include "driver/context.h"
#include "receiver/receiver.h"
#include "sender/sender.h"

/* What different threads write in every cycle lies apart, so that none waits for a line that another has just
 * written. */
struct fl_driver
{
    fl_driver_context_t context;
    _Alignas(FL_APART) fl_conductor_t conductor;
    _Alignas(FL_APART) fl_sender_t sender;
    _Alignas(FL_APART) fl_receiver_t receiver;
    fl_agent_t agents[FL_AGENTS];
    fl_runner_t runners[FL_AGENTS];
    _Alignas(FL_APART) uint32_t runner_count;
    fl_runner_t *runner_of[FL_AGENTS];      /* who runs an agent, by FL_AGENT_* */
    int32_t pid;
    fl_object_t *taken;                     /* objects taken from the stack and not handed out yet */
};

/* Execute a closure where an agent runs. Thread: control. */
static inline int64_t fl_driver_call(
    fl_driver_t *driver, int agent, int64_t (*function)(void *argument), void *argument)
{
    return fl_runner_call(driver->runner_of[agent], function, argument);
}

/* Where a transport's endpoints of one role are polled. NULL: it is not under this driver. Thread: control, or the
 * agent. */
static inline fl_poll_entry_t *fl_driver_find_poller(fl_driver_t *driver, const fl_binding_t *binding, uint32_t role)
{
    fl_poll_entry_t *entry =
        FL_ROLE_SENDER == role ? fl_poll_set_find(&driver->sender.polls, binding) : NULL;
    if (NULL == entry)
    {
        entry = fl_poll_set_find(&driver->receiver.polls, binding);
    }
    return NULL != entry && 0 != (entry->roles & role) ? entry : NULL;
}

/* Take an object that is about to be freed off the event stack, with whatever it still had to say. Its agent has let go
 * of it, so nobody raises it any more. Thread: control. */
void fl_driver_forget(fl_driver_t *driver, fl_object_t *object);

#endif
