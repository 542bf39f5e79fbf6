/* The transport: settings, and what is open. Control thread only, but for the fields that never change after open. */
#ifndef FL_VMA_TRANSPORT_H
#define FL_VMA_TRANSPORT_H

#include <framelane/socket_errors.h>
#include <framelane/transport_base.h>

#include "counters.h"
#include "library.h"

struct fl_transport
{
    fl_transport_base_t base;

    /* Never change after open. */
    const fl_vma_library_t *library;
    fl_vma_settings_t settings;
    uint32_t ring_user_ids;     /* the first of two numbers that no other transport of the process has */

    int64_t closed_counters[FL_POLLER_COUNTERS];   /* the figures of pollers that are gone */
};

#endif
