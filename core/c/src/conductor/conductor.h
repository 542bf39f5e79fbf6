/* The conductor agent: drains the to-driver ring so that clients never wait for the control plane, keeps the consumer
 * heartbeat, and owns IPC publications. */
#ifndef FL_CONDUCTOR_CONDUCTOR_H
#define FL_CONDUCTOR_CONDUCTOR_H

#include <stdint.h>

#include "agent/poll_set.h"
#include "api/publications.h"
#include "conductor/command_queue.h"
#include "driver/context.h"

typedef struct fl_client_heartbeat
{
    int64_t client_id;
    _Atomic int64_t *value;                  /* of the client's heartbeat counter */
} fl_client_heartbeat_t;

typedef struct fl_conductor
{
    fl_driver_context_t *context;
    fl_object_t object;                      /* reports the timer and malformed records */
    fl_mpsc_ring_t ring;
    fl_command_queue_t commands;
    int64_t timer_deadline_ns;
    int64_t housekeeping_deadline_ns;
    int64_t last_ring_head;
    int64_t time_of_last_ring_change_ns;
    fl_ipc_publication_t **publications;     /* dense */
    uint32_t publication_count;
    uint32_t publication_capacity;
    fl_client_heartbeat_t *clients;
    uint32_t client_count;
    uint32_t client_capacity;
    fl_binding_t *bindings[FL_POLL_SET_CAPACITY];
    uint32_t binding_count;
} fl_conductor_t;

/* Make the conductor's state over the CnC file of the configuration. Returns 0 or a negative FL_E* with text. */
int fl_conductor_init(fl_conductor_t *conductor, fl_driver_context_t *context);
void fl_conductor_destroy(fl_conductor_t *conductor);

/* One duty cycle: commands into the private queue, limits of IPC publications, the timer pass (shm 9.1, 9.6, 9.11).
 * Returns the work done. */
int fl_conductor_do_work(void *conductor, int64_t now_ns);

#endif
