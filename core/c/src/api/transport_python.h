/* The adapter of level `python`.
 *
 * A native transport with one queue. What an agent sends and polls crosses two bounded rings to the Python thread that
 * serves the adapter, so an agent never enters Python.
 */
#ifndef FL_API_TRANSPORT_PYTHON_H
#define FL_API_TRANSPORT_PYTHON_H

#include "api/transport.h"

typedef struct fl_python_adapter fl_python_adapter_t;

#define FL_PYTHON_OPEN 1     /* open_endpoint: answer with fl_python_adapter_answer */
#define FL_PYTHON_CLOSE 2    /* close_endpoint: likewise */
#define FL_PYTHON_SEND 3     /* one run to send */

/* What the Python thread is asked to do. */
typedef struct fl_python_request
{
    uint32_t kind;                /* FL_PYTHON_* */
    uint32_t endpoint;            /* the adapter's number of the endpoint; numbers are not used again */
    fl_endpoint_params_t params;  /* open */
    const uint8_t *data;          /* send; valid until the next fl_python_adapter_take */
    uint32_t length;
    uint32_t segment_length;
    fl_address_t destination;     /* send */
    fl_address_t local;           /* send: source to use, or family FL_FAMILY_NONE */
} fl_python_request_t;

/* Make an adapter with two rings of ring_length bytes (0: 4 MiB each) for datagrams of at most max_datagram bytes.
 * NULL with the error text set. */
fl_python_adapter_t *fl_python_adapter_new(uint64_t ring_length, uint32_t max_datagram);
const void *fl_python_adapter_ops(void);

/* Readable when there is something to take. Any thread. */
int fl_python_adapter_descriptor(fl_python_adapter_t *adapter);

/* Take the next request: 1, or 0 if there is none (the descriptor is then no longer readable). Python's thread. */
int fl_python_adapter_take(fl_python_adapter_t *adapter, fl_python_request_t *request);

/* Answer an open or close request: status 0 or negative FL_E*, text for a failure (may be NULL), and for open the
 * bound address. Returns 0; -FL_EAGAIN if nobody waits for the answer any more: then close what was opened. Python's
 * thread. */
int fl_python_adapter_answer(
    fl_python_adapter_t *adapter, int32_t status, const char *text, const fl_address_t *local);

/* Hand over a received datagram. 0; -FL_EAGAIN: the ring is full and the datagram is not taken (keep it, or drop it
 * with fl_python_adapter_drop). local: family FL_FAMILY_NONE if unknown. Python's thread. */
int fl_python_adapter_deliver(
    fl_python_adapter_t *adapter, uint32_t endpoint, const void *data, uint32_t length, const fl_address_t *source,
    const fl_address_t *local);

/* Count a datagram that Python dropped. Python's thread. */
void fl_python_adapter_drop(fl_python_adapter_t *adapter);

/* End the service, so that the Python thread can be joined and the transport closed: wakes the thread; open_endpoint
 * fails with -FL_ENODEV from now on. Returns 0; -FL_EBUSY, and goes on, while endpoints or pollers are open. Control
 * thread. */
int fl_python_adapter_stop(fl_python_adapter_t *adapter);

/* Whether the service ended: 1 or 0. Any thread. */
int fl_python_adapter_is_stopped(fl_python_adapter_t *adapter);

#endif
