/* A wrapper that writes what passes to a pcap file.
 *
 * A wrapper is a transport: bind it with fl_binding_new(fl_..._ops(wrapper), wrapper, name). Its close op frees the
 * wrapper alone; what it wraps outlives it and is closed by whoever opened it. Functions are called on the control
 * thread unless they say otherwise.
 */
#ifndef FL_API_TRANSPORT_CAPTURE_H
#define FL_API_TRANSPORT_CAPTURE_H

#include "api/transport.h"

typedef struct fl_capture fl_capture_t;

/* Write every datagram sent through and received from `inner` to a pcap file with nanosecond time stamps and IP and
 * UDP headers made from the addresses (LINKTYPE_RAW). A thread of the wrapper writes; pollers only copy into a ring
 * of ring_length bytes each (0: 8 MiB) and count what does not fit. NULL with the error text set if the file cannot
 * be made. */
fl_capture_t *fl_capture_new(fl_binding_t *inner, const fl_host_t *host, const char *path, uint64_t ring_length);
const void *fl_capture_ops(const fl_capture_t *capture);

/* Have all that was captured before the call in the file: 0, or the error with which writing failed. */
int fl_capture_flush(fl_capture_t *capture);

/* Datagrams written to the file, and those dropped because a ring was full or a write failed. Any thread. */
int64_t fl_capture_written(fl_capture_t *capture);
int64_t fl_capture_dropped(fl_capture_t *capture);

#endif
