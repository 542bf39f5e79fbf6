/* Where received runs go: the first member of every endpoint that the agents own, and the context given to
 * poller_add. */
#ifndef FL_AGENT_SINK_H
#define FL_AGENT_SINK_H

#include <stdint.h>

#include <framelane/types.h>

typedef struct fl_sink fl_sink_t;

struct fl_sink
{
    /* Take one run. Its memory is read-only and valid until the call returns. Thread: the poller's. */
    void (*on_run)(fl_sink_t *sink, const fl_run_t *run, int64_t now_ns);
};

#endif
