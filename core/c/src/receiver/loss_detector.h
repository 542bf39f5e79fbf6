/* When a gap is reported: at once, after a fixed delay, or after a random one that a group's receivers draw so that few
 * of them ask for the same data (wire 4.8). */
#ifndef FL_RECEIVER_LOSS_DETECTOR_H
#define FL_RECEIVER_LOSS_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/context.h"

#define FL_NAK_DELAY_MIN_NS 1000    /* unicast (wire 8.2) */

/* How long to wait before the first report of a gap and before each further one. */
typedef struct fl_nak_delay
{
    bool is_group;
    int64_t first_ns;            /* fixed delays */
    int64_t retry_ns;
    double scale_ns;             /* group: T / L */
    double span;                 /* group: e^L - 1 */
} fl_nak_delay_t;

void fl_nak_delay_init_fixed(fl_nak_delay_t *delay, int64_t first_ns, int64_t retry_ns);

/* max_backoff_ns: T of the formula, above 0. group_size: n, at least 1. */
void fl_nak_delay_init_group(fl_nak_delay_t *delay, int64_t max_backoff_ns, int32_t group_size);

/* A group's delay for a random number: 0 to T. */
int64_t fl_nak_delay_of_group(const fl_nak_delay_t *delay, uint64_t random);

typedef struct fl_loss_detector
{
    fl_nak_delay_t delay;
    bool is_open;                /* there is a gap */
    bool is_reported;            /* at least once */
    int32_t length;
    int64_t position;
    int64_t expiry_ns;
} fl_loss_detector_t;

/* The scan found this gap. Returns whether it is another one than before. Thread: receiver. */
bool fl_loss_detector_on_gap(
    fl_loss_detector_t *detector, fl_driver_context_t *context, int64_t position, int32_t length, int64_t now_ns);

/* Whether the open gap is to be reported now; if so, the next report is after the retry delay. Thread: receiver. */
bool fl_loss_detector_is_due(fl_loss_detector_t *detector, fl_driver_context_t *context, int64_t now_ns);

#endif
