/* The transport: settings, and the lists of what is open. Control thread only, but for the fields that never change
 * after open. */
#ifndef FL_VMA_TRANSPORT_H
#define FL_VMA_TRANSPORT_H

#include <stdbool.h>
#include <sys/types.h>

#include <framelane/errors.h>

#include "counters.h"
#include "library.h"

/* Longest UDP payload that IPv4 carries; VMA makes fragments itself. */
#define FL_MAX_DATAGRAM 65507

struct fl_transport
{
    /* Never change after open. */
    const fl_host_t *host;
    const fl_vma_library_t *library;
    fl_vma_settings_t settings;
    uint64_t generation;        /* of the names in peers' caches */
    uint32_t ring_user_ids;     /* the first of two numbers that no other transport of the process has */
    pid_t pid;                  /* who opened it; every other process leaves it alone */

    fl_endpoint_t *endpoints;
    fl_poller_t *pollers;
    int64_t closed_counters[FL_POLLER_COUNTERS];   /* the figures of pollers that are gone */
};

/* Whether this process opened the transport. A child of it must not touch VMA's sockets and rings. */
bool fl_transport_is_mine(const fl_transport_t *transport);

/* The errno of a socket's call as one of the ABI's errors, positive. */
int fl_socket_error(int error);

/* Whether an errno of a send or a receive may be the ICMP error of an earlier datagram, which the call has consumed:
 * the next call finds the socket as if it had not come. */
bool fl_error_is_icmp(int error);

#endif
