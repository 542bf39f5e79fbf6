/* The transport: settings, what the kernel offers, and the lists of what is open. Control thread only, but for the
 * fields that never change after open. */
#ifndef FL_SOCKETS_TRANSPORT_H
#define FL_SOCKETS_TRANSPORT_H

#include <stdbool.h>
#include <sys/types.h>

#include <framelane/errors.h>

#include "api/sockets.h"
#include "counters.h"

/* Notes kept for `events`; when the host does not collect them, the newest are dropped. */
#define FL_NOTES_CAPACITY 64

struct fl_transport
{
    /* Never change after open. */
    const fl_host_t *host;
    fl_sockets_settings_t settings;
    fl_sockets_offloads_t offloads;
    uint64_t generation;   /* of the names in peers' caches; random, so that another transport's never pass for ours */
    pid_t pid;             /* who opened it; every other process leaves it alone */

    fl_endpoint_t *endpoints;
    fl_poller_t *pollers;
    int64_t closed_counters[FL_POLLER_COUNTERS];   /* the figures of pollers that are gone */
    int64_t closed_overflows;       /* datagrams that the kernel dropped at sockets that are gone */
    fl_event_t notes[FL_NOTES_CAPACITY];
    uint32_t notes_count;
};

/* Whether this process opened the transport. A child of it must not touch shared sockets and epoll sets. */
bool fl_transport_is_mine(const fl_transport_t *transport);

/* Keep a note for `events`. */
void fl_transport_note(fl_transport_t *transport, const fl_address_t *address, const char *text);

/* The errno of a socket's call as one of the ABI's errors, positive. */
int fl_socket_error(int error);

/* Whether an errno of a send or a receive may be the ICMP error of an earlier datagram, which the call has consumed:
 * the next call finds the socket as if it had not come. */
bool fl_error_is_icmp(int error);

#endif
