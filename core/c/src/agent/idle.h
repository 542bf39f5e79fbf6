/* Idle strategies: what an agent thread does after a cycle without work (shm 10.1, and `wait` of our own). */
#ifndef FL_AGENT_IDLE_H
#define FL_AGENT_IDLE_H

#include <stdint.h>

#include "api/driver.h"

typedef struct fl_idle
{
    fl_idle_config_t config;
    uint32_t state;              /* backoff: 0 spinning, 1 yielding, 2 parking */
    uint64_t turns;              /* in this state */
    int64_t park_ns;
} fl_idle_t;

void fl_idle_init(fl_idle_t *idle, const fl_idle_config_t *config);

/* Idle once. Returns 1 if the strategy is `wait` and it is time to block on the pollers, else 0.
 *
 * work   what the cycle did; above 0 starts the strategy over
 */
int fl_idle_do(fl_idle_t *idle, int work);

#endif
