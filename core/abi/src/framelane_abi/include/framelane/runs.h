/* The order of runs that a datagram transport keeps in `send` (transport.h): those to one peer stop at the first that
 * is not taken whole, and those to others go on. For C sources alone; cffi does not take it. */
#ifndef FRAMELANE_RUNS_H
#define FRAMELANE_RUNS_H

#include <stdbool.h>
#include <string.h>

#include <framelane/transport.h>

/* NULL is the connected peer. */
static inline bool fl_peer_is_same(const fl_peer_t *left, const fl_peer_t *right)
{
    return left == right ||
        (NULL != left && NULL != right && 0 == memcmp(&left->address, &right->address, sizeof(left->address)));
}

/* Find out whether runs to the peer of `run` have stopped. Returns the status with which the first of those from
 * `first_failed` to before `end` did, 0 if none did. */
static inline int32_t fl_runs_stopped(const fl_run_t *runs, uint32_t first_failed, uint32_t end, const fl_run_t *run)
{
    for (uint32_t i = first_failed; i < end; i++)
    {
        if (0 != runs[i].status && fl_peer_is_same(runs[i].peer, run->peer))
        {
            return runs[i].status;
        }
    }
    return 0;
}

/* There is no room for the rest of the run `first` and for those behind it; a peer that had stopped before keeps its
 * status. `accepted` stays as it is. */
static inline void fl_runs_wait(fl_run_t *runs, uint32_t first, uint32_t count, uint32_t first_failed)
{
    for (uint32_t i = first; i < count; i++)
    {
        const int32_t status = fl_runs_stopped(runs, first_failed, first, &runs[i]);
        runs[i].status = 0 != status ? status : -FL_EAGAIN;
    }
}

#endif
