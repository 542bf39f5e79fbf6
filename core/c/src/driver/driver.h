/* The driver's data plane: its agents and the threads that run them. */
#ifndef FL_DRIVER_DRIVER_H
#define FL_DRIVER_DRIVER_H

#include "agent/runner.h"
#include "conductor/conductor.h"
#include "driver/context.h"
#include "receiver/receiver.h"
#include "sender/sender.h"

struct fl_driver
{
    fl_driver_context_t context;
    fl_conductor_t conductor;
    fl_sender_t sender;
    fl_receiver_t receiver;
    fl_agent_t agents[FL_AGENTS];
    fl_runner_t runners[FL_AGENTS];
    uint32_t runner_count;
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

#endif
