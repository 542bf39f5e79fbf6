/* The figures of a queue: written by its thread alone, summed by the control thread for `stats`. */
#ifndef FL_EFVI_COUNTERS_H
#define FL_EFVI_COUNTERS_H

#include <framelane/figures.h>

/* X(enumerator, suffix): shown as efvi-suffix. */
#define FL_EFVI_COUNTERS(X) \
    X(RX_FRAMES, "rx-frames") \
    X(RX_BYTES, "rx-frame-bytes") \
    X(RX_MERGED, "rx-merged-events")                       /* events that told of several frames */ \
    X(RX_DISCARD, "rx-discard")                            /* frames that the adapter found bad: the sum of these */ \
    X(RX_DISCARD_CHECKSUM, "rx-discard-checksum") \
    X(RX_DISCARD_MULTICAST, "rx-discard-multicast-mismatch") \
    X(RX_DISCARD_CRC, "rx-discard-crc")                    /* also what a peer's cut-through transmission poisoned */ \
    X(RX_DISCARD_TRUNCATED, "rx-discard-truncated") \
    X(RX_DISCARD_RIGHTS, "rx-discard-rights") \
    X(RX_DISCARD_EVENT, "rx-discard-event-error") \
    X(RX_DISCARD_OTHER, "rx-discard-other") \
    X(RX_DISCARD_INNER, "rx-discard-inner-checksum") \
    X(RX_INVALID, "rx-invalid")                            /* frames longer than a buffer, and events about nothing */ \
    X(RX_OTHERS, "rx-others")                              /* of shared queues, for another reader: passed over */ \
    X(RX_UNSTAMPED, "rx-unstamped")                        /* frames without the timestamp that was asked for */ \
    X(TX_FRAMES, "tx-frames") \
    X(TX_BYTES, "tx-frame-bytes") \
    X(TX_CTPIO, "tx-ctpio")                                /* completed: went out as they were written */ \
    X(TX_FALLBACK, "tx-ctpio-fallback")                    /* completed: were written, and then read by the adapter */ \
    X(TX_PIO, "tx-pio") \
    X(TX_DMA, "tx-dma") \
    X(TX_BUFFERS_OUT, "tx-buffers-out")                    /* buffers that were asked for and not there */ \
    X(TX_RING_FULL, "tx-ring-full")                        /* frames that found neither descriptor nor credit */ \
    X(TX_ERRORS, "tx-device-errors")                       /* transmit queues that the adapter stopped */ \
    X(TX_STAMPED, "tx-stamped") \
    X(TX_UNSYNCHRONISED, "tx-stamped-unsynchronised")      /* of these, by a clock not in step with real time */ \
    X(TX_LAST_STAMP, "tx-last-stamp-ns")                   /* nanoseconds since 1970 */ \
    X(UNKNOWN_EVENTS, "unknown-events")

typedef enum fl_efvi_counter
{
#define FL_EFVI_ENUMERATOR(name, suffix) FL_EFVI_##name,
    FL_EFVI_COUNTERS(FL_EFVI_ENUMERATOR)
#undef FL_EFVI_ENUMERATOR
    FL_EFVI_COUNTER_LIMIT
} fl_efvi_counter_t;

#endif
