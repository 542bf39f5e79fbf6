/* The transport: settings, what the kernel offers, and what is open. Control thread only, but for the fields that never
 * change after open. */
#ifndef FL_SOCKETS_TRANSPORT_H
#define FL_SOCKETS_TRANSPORT_H

#include <framelane/socket_errors.h>
#include <framelane/transport_base.h>

#include "api/sockets.h"
#include "counters.h"

/* Notes kept for `events`; when the host does not collect them, the newest are dropped. */
#define FL_NOTES_CAPACITY 64

struct fl_transport
{
    fl_transport_base_t base;

    /* Never change after open. */
    fl_sockets_settings_t settings;
    fl_sockets_offloads_t offloads;

    int64_t closed_counters[FL_POLLER_COUNTERS];   /* the figures of pollers that are gone */
    int64_t closed_overflows;       /* datagrams that the kernel dropped at sockets that are gone */
    fl_event_t notes[FL_NOTES_CAPACITY];
    uint32_t notes_count;
};

/* Keep a note for `events`. */
void fl_transport_note(fl_transport_t *transport, const fl_address_t *address, const char *text);

#endif
