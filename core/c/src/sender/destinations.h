/* The destinations of a multi-destination send endpoint: given by the application, or learnt from status messages
 * (wire 3.8). */
#ifndef FL_SENDER_DESTINATIONS_H
#define FL_SENDER_DESTINATIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/attachment.h"

#define FL_DESTINATIONS_MAX 256                       /* of an endpoint; who learns them learns them off the wire */
#define FL_DESTINATION_TIMEOUT_NS INT64_C(5000000000)

typedef struct fl_destination
{
    fl_peer_t peer;                 /* its address is of family FL_FAMILY_NONE: the name did not resolve */
    int64_t id;                     /* registration id; -1: it was learnt */
    int64_t receiver_id;
    bool has_receiver_id;           /* one that was given has none before its receiver reports */
    int64_t time_of_last_activity_ns;
} fl_destination_t;

/* Belongs to the sender. */
typedef struct fl_destinations
{
    bool is_dynamic;
    uint32_t count;
    uint32_t start_index;           /* the first of the next pass */
    _Atomic int64_t *counter;       /* holds count */
    fl_destination_t entries[FL_DESTINATIONS_MAX];
} fl_destinations_t;

/* Returns NULL without memory. Thread: control. */
fl_destinations_t *fl_destinations_new(bool is_dynamic, _Atomic int64_t *counter);

/* Send runs to every destination. What is not taken for one of them does not hold up the others: its receiver will ask
 * for it. Only what none of them takes counts as not sent. As the transport's send. */
int fl_destinations_send(
    fl_destinations_t *destinations, const fl_attachment_t *attachment, fl_run_t *runs, uint32_t count, int64_t now_ns);

/* A status message came: refresh who sent it, bind it to a destination that was given, or learn it. Returns whether it
 * is of a destination now; not if there is no room, or the application gives others. */
bool fl_destinations_on_status_message(
    fl_destinations_t *destinations, int64_t receiver_id, const fl_address_t *source, int64_t now_ns);

/* The given destination of a receiver, or NULL. */
const fl_destination_t *fl_destinations_find_receiver(
    const fl_destinations_t *destinations, int64_t receiver_id, const fl_address_t *source);

/* Give one. Returns 0, or -FL_EBUSY without room. */
int fl_destinations_add(fl_destinations_t *destinations, int64_t id, const fl_address_t *address, int64_t now_ns);

/* The one with an id, or NULL. */
fl_destination_t *fl_destinations_find(fl_destinations_t *destinations, int64_t id);

/* Take one out that was given. Returns 0 or -FL_ENOENT. */
int fl_destinations_remove(fl_destinations_t *destinations, int64_t id);

/* The endpoint is on another transport: nothing that the last one knew of its peers counts. */
void fl_destinations_forget_caches(fl_destinations_t *destinations);

#endif
