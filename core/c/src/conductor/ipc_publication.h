/* IPC publications, owned by the conductor agent (shm 9.6). */
#ifndef FL_CONDUCTOR_IPC_PUBLICATION_H
#define FL_CONDUCTOR_IPC_PUBLICATION_H

#include <stdbool.h>
#include <stdint.h>

#include "api/publications.h"
#include "driver/context.h"
#include "driver/subscribers.h"
#include "shm/log_buffer.h"

typedef enum fl_ipc_publication_state
{
    FL_IPC_PUBLICATION_ACTIVE,
    FL_IPC_PUBLICATION_DRAINING,
    FL_IPC_PUBLICATION_LINGER,
    FL_IPC_PUBLICATION_DONE
} fl_ipc_publication_state_t;

struct fl_ipc_publication
{
    fl_object_t object;
    fl_driver_context_t *context;
    fl_log_t *log;
    fl_ipc_publication_state_t state;
    bool is_exclusive;
    bool is_released;                       /* the last client reference is gone */
    bool is_cooling_down;
    int64_t window_length;
    int64_t trip_gain;
    int64_t trip_limit;                     /* the limit is moved when it would pass this */
    int64_t limit;                          /* what pub-lmt holds */
    int64_t producer_position;              /* as last believed */
    int64_t consumer_position;              /* highest subscriber position seen */
    int64_t clean_position;
    int64_t clean_target;
    int64_t last_consumer_position;         /* at the last timer pass */
    int64_t time_of_last_consumer_change_ns;
    int64_t cool_down_deadline_ns;
    fl_subscribers_t subscribers;
    _Atomic int64_t *publisher_position;
    _Atomic int64_t *publisher_limit;
};

/* Where publishers are, as far as that can be believed; stores pub-pos if it moved. Thread: conductor agent. */
int64_t fl_ipc_publication_producer_position(fl_ipc_publication_t *publication);

/* Every cycle: publisher position and limit, cleaning. Returns 1 if the limit moved. Thread: conductor agent. */
int fl_ipc_publication_update(fl_ipc_publication_t *publication);

/* Every timer pass: life cycle, blocked check, cool-down. Thread: conductor agent. */
void fl_ipc_publication_on_timer(fl_ipc_publication_t *publication, int64_t now_ns);

#endif
