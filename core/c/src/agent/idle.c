#include "agent/idle.h"

#include <sched.h>
#include <time.h>

enum
{
    FL_IDLE_SPINNING,
    FL_IDLE_YIELDING,
    FL_IDLE_PARKING
};

static inline void fl_idle_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static void fl_idle_park(int64_t duration_ns)
{
    const struct timespec time = {duration_ns / 1000000000, duration_ns % 1000000000};
    nanosleep(&time, NULL);
}

void fl_idle_init(fl_idle_t *idle, const fl_idle_config_t *config)
{
    idle->config = *config;
    idle->state = FL_IDLE_SPINNING;
    idle->turns = 0;
    idle->park_ns = config->min_park_ns;
}

/* Spin, then yield, then say so. Returns 1 once both phases have passed. */
static int fl_idle_back_off(fl_idle_t *idle)
{
    if (FL_IDLE_SPINNING == idle->state)
    {
        if (idle->turns++ < idle->config.max_spins)
        {
            fl_idle_pause();
            return 0;
        }
        idle->state = FL_IDLE_YIELDING;
        idle->turns = 0;
    }
    if (FL_IDLE_YIELDING == idle->state)
    {
        if (idle->turns++ < idle->config.max_yields)
        {
            sched_yield();
            return 0;
        }
        idle->state = FL_IDLE_PARKING;
        idle->park_ns = idle->config.min_park_ns;
    }
    return 1;
}

int fl_idle_do(fl_idle_t *idle, int work)
{
    if (work > 0)
    {
        idle->state = FL_IDLE_SPINNING;
        idle->turns = 0;
        return 0;
    }
    switch (idle->config.kind)
    {
        case FL_IDLE_NOOP:
            break;
        case FL_IDLE_SPIN:
            fl_idle_pause();
            break;
        case FL_IDLE_YIELD:
            sched_yield();
            break;
        case FL_IDLE_SLEEP:
            fl_idle_park(idle->config.min_park_ns);
            break;
        case FL_IDLE_WAIT:
            return fl_idle_back_off(idle);
        default:
            if (fl_idle_back_off(idle))
            {
                fl_idle_park(idle->park_ns);
                idle->park_ns = idle->park_ns * 2 < idle->config.max_park_ns ? idle->park_ns * 2
                                                                             : idle->config.max_park_ns;
            }
            break;
    }
    return 0;
}
