#include "sender/destinations.h"

#include <stdlib.h>
#include <string.h>

#include "sender/term_scan.h"
#include "shm/words.h"
#include "transport/address.h"

fl_destinations_t *fl_destinations_new(bool is_dynamic, _Atomic int64_t *counter)
{
    fl_destinations_t *destinations = calloc(1, sizeof(*destinations));
    if (NULL != destinations)
    {
        destinations->is_dynamic = is_dynamic;
        destinations->counter = counter;
    }
    return destinations;
}

static void fl_destinations_set_count(fl_destinations_t *destinations, uint32_t count)
{
    destinations->count = count;
    if (NULL != destinations->counter)
    {
        fl_i64_store_release(destinations->counter, count);
    }
}

static void fl_destinations_take_out(fl_destinations_t *destinations, uint32_t index)
{
    destinations->entries[index] = destinations->entries[destinations->count - 1];
    fl_peer_forget(&destinations->entries[index].peer);
    fl_destinations_set_count(destinations, destinations->count - 1);
}

/* ---- sending ---- */

/* What the destination that took most of some runs took of each. */
typedef struct fl_most_taken
{
    int result;
    uint64_t datagrams;
    uint32_t accepted[FL_SCAN_RUNS];
    int32_t status[FL_SCAN_RUNS];
} fl_most_taken_t;

static void fl_most_taken_note(fl_most_taken_t *most, const fl_run_t *runs, uint32_t count, int result, bool is_first)
{
    uint64_t datagrams = 0;
    for (uint32_t i = 0; i < count && result >= 0; i++)
    {
        datagrams += runs[i].accepted;
    }
    if (!is_first && (result < most->result || (result == most->result && datagrams <= most->datagrams)))
    {
        return;
    }
    most->result = result;
    most->datagrams = datagrams;
    for (uint32_t i = 0; i < count; i++)
    {
        most->accepted[i] = runs[i].accepted;
        most->status[i] = runs[i].status;
    }
}

static void fl_destinations_expire(fl_destinations_t *destinations, int64_t now_ns)
{
    for (uint32_t i = destinations->count; destinations->is_dynamic && i-- > 0;)
    {
        if (now_ns - destinations->entries[i].time_of_last_activity_ns > FL_DESTINATION_TIMEOUT_NS)
        {
            fl_destinations_take_out(destinations, i);
        }
    }
}

int fl_destinations_send(
    fl_destinations_t *destinations, const fl_attachment_t *attachment, fl_run_t *runs, uint32_t count, int64_t now_ns)
{
    fl_most_taken_t most = {.result = 0};
    bool is_first = true;
    fl_destinations_expire(destinations, now_ns);
    destinations->start_index++;
    for (uint32_t i = 0; i < destinations->count; i++)
    {
        const fl_destination_t *destination =
            &destinations->entries[(destinations->start_index + i) % destinations->count];
        if (FL_FAMILY_NONE == destination->peer.address.family)
        {
            continue;
        }
        for (uint32_t run = 0; run < count; run++)
        {
            runs[run].peer = &destination->peer;
        }
        fl_most_taken_note(&most, runs, count, fl_attachment_send(attachment, runs, count), is_first);
        is_first = false;
    }
    for (uint32_t i = 0; i < count; i++)
    {
        runs[i].peer = NULL;
        runs[i].accepted = is_first ? fl_run_segments(&runs[i]) : most.accepted[i];
        runs[i].status = is_first ? 0 : most.status[i];
    }
    return is_first ? (int)count : most.result;   /* without destinations there is nobody who could miss anything */
}

/* ---- who reports ---- */

static bool fl_destination_is_of(const fl_destination_t *destination, int64_t receiver_id, const fl_address_t *source)
{
    return destination->has_receiver_id && destination->receiver_id == receiver_id &&
        destination->peer.address.port == source->port;
}

bool fl_destinations_on_status_message(
    fl_destinations_t *destinations, int64_t receiver_id, const fl_address_t *source, int64_t now_ns)
{
    for (uint32_t i = 0; i < destinations->count; i++)
    {
        fl_destination_t *destination = &destinations->entries[i];
        if (!destination->has_receiver_id && fl_address_is_same(&destination->peer.address, source))
        {
            destination->has_receiver_id = true;
            destination->receiver_id = receiver_id;
        }
        if (fl_destination_is_of(destination, receiver_id, source))
        {
            destination->time_of_last_activity_ns = now_ns;
            return true;
        }
    }
    const bool is_learnt = destinations->is_dynamic && destinations->count < FL_DESTINATIONS_MAX;
    if (is_learnt)
    {
        destinations->entries[destinations->count] = (fl_destination_t){.peer = {.address = *source}, .id = -1,
            .receiver_id = receiver_id, .has_receiver_id = true, .time_of_last_activity_ns = now_ns};
        fl_destinations_set_count(destinations, destinations->count + 1);
    }
    return is_learnt;
}

const fl_destination_t *fl_destinations_find_receiver(
    const fl_destinations_t *destinations, int64_t receiver_id, const fl_address_t *source)
{
    for (uint32_t i = 0; i < destinations->count; i++)
    {
        if (fl_destination_is_of(&destinations->entries[i], receiver_id, source))
        {
            return &destinations->entries[i];
        }
    }
    return NULL;
}

/* ---- what the application gives ---- */

int fl_destinations_add(fl_destinations_t *destinations, int64_t id, const fl_address_t *address, int64_t now_ns)
{
    if (FL_DESTINATIONS_MAX == destinations->count)
    {
        return -FL_EBUSY;
    }
    destinations->entries[destinations->count] =
        (fl_destination_t){.peer = {.address = *address}, .id = id, .time_of_last_activity_ns = now_ns};
    fl_destinations_set_count(destinations, destinations->count + 1);
    return 0;
}

fl_destination_t *fl_destinations_find(fl_destinations_t *destinations, int64_t id)
{
    for (uint32_t i = 0; i < destinations->count; i++)
    {
        if (destinations->entries[i].id == id)
        {
            return &destinations->entries[i];
        }
    }
    return NULL;
}

int fl_destinations_remove(fl_destinations_t *destinations, int64_t id)
{
    const fl_destination_t *destination = fl_destinations_find(destinations, id);
    if (NULL == destination)
    {
        return -FL_ENOENT;
    }
    fl_destinations_take_out(destinations, (uint32_t)(destination - destinations->entries));
    return 0;
}

void fl_destinations_forget_caches(fl_destinations_t *destinations)
{
    for (uint32_t i = 0; i < destinations->count; i++)
    {
        fl_peer_forget(&destinations->entries[i].peer);
    }
}
