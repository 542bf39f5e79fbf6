/* At most so many a second, with bursts: a token bucket that is one word, the time at which it will be full again. */
#ifndef FL_NETSTACK_LIMIT_H
#define FL_NETSTACK_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fl_limit
{
    int64_t interval_ns;   /* one more each */
    int64_t burst;         /* at once; at least what one tick brings in */
    int64_t full_ns;
} fl_limit_t;

/* Take one. Returns false if there is none. One thread. */
static inline bool fl_limit_take(fl_limit_t *limit, int64_t now_ns)
{
    const int64_t full_ns = limit->full_ns > now_ns ? limit->full_ns : now_ns;
    if (full_ns - now_ns > (limit->burst - 1) * limit->interval_ns)
    {
        return false;
    }
    limit->full_ns = full_ns + limit->interval_ns;
    return true;
}

#endif
