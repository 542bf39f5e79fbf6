/* Congestion control of an image: which window its status messages advertise (wire 4.7).
 *
 * A strategy is made on the control thread with whatever memory it needs, and is then the receiver's. Its struct begins
 * with fl_congestion_control_t.
 */
#ifndef FL_RECEIVER_CONGESTION_CONTROL_H
#define FL_RECEIVER_CONGESTION_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/images.h"

typedef struct fl_congestion_control fl_congestion_control_t;

/* What the image's cycle found out. Positions and lengths in bytes. */
typedef struct fl_congestion_input
{
    int64_t now_ns;
    int64_t lowest_position;        /* of the subscribers */
    int64_t next_sm_position;
    int64_t hwm;
    int64_t rebuild_position;       /* before this cycle */
    int64_t new_rebuild_position;
    bool loss_found;                /* a gap became active */
} fl_congestion_input_t;

typedef struct fl_congestion_output
{
    int32_t window_length;
    bool force_sm;                  /* send a status message although little was consumed */
    bool measure_rtt;               /* send an RTTM request now */
} fl_congestion_output_t;

typedef struct fl_congestion_control_ops
{
    fl_congestion_output_t (*on_track_rebuild)(fl_congestion_control_t *control, const fl_congestion_input_t *input);
    void (*on_rtt)(fl_congestion_control_t *control, int64_t now_ns, int64_t rtt_ns);
    void (*free)(fl_congestion_control_t *control);
} fl_congestion_control_ops_t;

struct fl_congestion_control
{
    const fl_congestion_control_ops_t *ops;
    int32_t initial_window_length;      /* of the first status message */
    int32_t max_window_length;
};

typedef struct fl_congestion_control_params
{
    int32_t initial_window_length;      /* configured */
    int32_t term_length;
    int32_t mtu_length;
    int64_t now_ns;
    /* CUBIC */
    int64_t initial_rtt_ns;
    bool measures_rtt;
    bool tcp_mode;
    _Atomic int64_t *rtt_counter;       /* NULL: none, as the next */
    _Atomic int64_t *window_counter;
} fl_congestion_control_params_t;

/* Make a strategy.
 *
 * kind      FL_CONGESTION_CONTROL_*
 * returns   NULL with error text: no memory, or an unknown kind
 * thread    control
 */
fl_congestion_control_t *fl_congestion_control_new(uint32_t kind, const fl_congestion_control_params_t *params);

/* The most that any strategy may advertise. */
static inline int32_t fl_congestion_control_max_window(const fl_congestion_control_params_t *params)
{
    const int32_t half_term = params->term_length / 2;
    return params->initial_window_length < half_term ? params->initial_window_length : half_term;
}

/* In cubic.c. NULL: no memory. */
fl_congestion_control_t *fl_cubic_new(const fl_congestion_control_params_t *params);

#endif
