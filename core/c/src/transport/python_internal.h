/* The adapter's own structs, shared by python_adapter.c (control and poller) and python_service.c (the Python
 * thread). */
#ifndef FL_TRANSPORT_PYTHON_INTERNAL_H
#define FL_TRANSPORT_PYTHON_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "transport/byte_ring.h"
#include "transport/python_adapter.h"
#include "util/error.h"

/* A run on its way to Python, followed by its bytes. */
typedef struct fl_python_sent
{
    uint32_t endpoint;
    uint32_t length;
    uint32_t segment_length;
    uint32_t reserved;
    fl_address_t destination;
    fl_address_t local;
} fl_python_sent_t;

/* A datagram on its way from Python, followed by its bytes. */
typedef struct fl_python_received
{
    uint32_t endpoint;
    uint32_t length;
    fl_peer_t source;
    fl_address_t local;
} fl_python_received_t;

typedef enum fl_python_call_state
{
    FL_PYTHON_CALL_NONE,
    FL_PYTHON_CALL_POSTED,
    FL_PYTHON_CALL_TAKEN,
    FL_PYTHON_CALL_ANSWERED,
    FL_PYTHON_CALL_ABANDONED     /* taken, but control waited long enough */
} fl_python_call_state_t;

struct fl_python_adapter
{
    uint32_t max_datagram;
    fl_byte_ring_t to_python;
    fl_byte_ring_t from_python;
    int python_event;
    int agent_event;
    _Atomic bool is_armed;
    _Atomic bool is_stopped;
    uint32_t next_number;
    uint32_t open_endpoints;
    fl_poller_t *poller;
    _Atomic int64_t discarded;   /* for no endpoint on the poller, or not from its peer */
    _Atomic int64_t dropped;     /* by Python */

    /* The rendezvous of control and Python. */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    fl_python_call_state_t state;
    fl_python_request_t call;
    uint64_t call_after;         /* end of to_python when the call was posted: what was sent before comes first */
    int32_t answer_status;
    fl_address_t answer_local;
    char answer_text[FL_ERROR_TEXT_LENGTH];
};

static inline void fl_python_signal(int event)
{
    const uint64_t one = 1;
    /* The only failure is a counter that is full, and then the reader is awake. */
    (void)!write(event, &one, sizeof(one));
}

static inline void fl_python_clear(int event)
{
    uint64_t count;
    (void)!read(event, &count, sizeof(count));
}

#endif
