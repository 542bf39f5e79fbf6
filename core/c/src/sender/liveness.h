/* Which receivers of a publication are alive: receiver id and time of the last status message (wire 3.1). */
#ifndef FL_SENDER_LIVENESS_H
#define FL_SENDER_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

/* Receivers known at once. One more takes the place of the one that was silent for longest: ids come off the wire, so
 * the memory is bounded, and all that the loser loses is that an ERR of it would go unreported. */
#define FL_LIVENESS_RECEIVERS 128

typedef struct fl_live_receiver
{
    int64_t receiver_id;
    int64_t time_of_last_sm_ns;
} fl_live_receiver_t;

/* Belongs to the sender. */
typedef struct fl_liveness
{
    uint32_t count;
    fl_live_receiver_t receivers[FL_LIVENESS_RECEIVERS];
} fl_liveness_t;

void fl_liveness_touch(fl_liveness_t *liveness, int64_t receiver_id, int64_t now_ns);
bool fl_liveness_has(const fl_liveness_t *liveness, int64_t receiver_id);
void fl_liveness_remove(fl_liveness_t *liveness, int64_t receiver_id);

/* Forget those whose last status message came at time_ns or before. */
void fl_liveness_expire(fl_liveness_t *liveness, int64_t time_ns);

#endif
