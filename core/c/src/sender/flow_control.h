/* Flow control: how far a publication may send, from its receivers' status messages (wire 3.6). */
#ifndef FL_SENDER_FLOW_CONTROL_H
#define FL_SENDER_FLOW_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct fl_flow_control fl_flow_control_t;

/* An accepted status message, in positions. */
typedef struct fl_status
{
    int64_t receiver_id;
    int64_t position;
    int32_t receiver_window;
    bool is_end_of_stream;
    bool has_group_tag;
    int64_t group_tag;
} fl_status_t;

/* A strategy. All calls by the sender; none allocates or blocks. Limits are sender limits: positions. */
typedef struct fl_flow_control_ops
{
    /* A status message without SEND_SETUP was accepted. Returns the new limit, which is not below the old one. */
    int64_t (*on_status_message)(fl_flow_control_t *flow, const fl_status_t *status, int64_t limit, int64_t now_ns);

    /* Nothing was sent for a heartbeat interval; comes once in each as long as that lasts. Or a receiver ended or
     * reported an error, for which wire 3.2 has the next idle cycle. Returns the new limit, which may be lower than the
     * old one. */
    int64_t (*on_idle)(fl_flow_control_t *flow, int64_t limit, int64_t now_ns);

    /* A receiver asked for a SETUP, and: the SETUP that was asked for is being sent. */
    void (*on_setup_elicited)(fl_flow_control_t *flow, const fl_status_t *status, int64_t now_ns);
    void (*on_setup_sent)(fl_flow_control_t *flow, int64_t limit, int64_t now_ns);

    /* A receiver reported an error: it takes no more. */
    void (*on_error)(fl_flow_control_t *flow, int64_t receiver_id, int64_t now_ns);

    /* Are there as many receivers as the publication needs to be connected? */
    bool (*has_required_receivers)(const fl_flow_control_t *flow);
} fl_flow_control_ops_t;

/* One publication's; a strategy with state has it behind this, in a struct of its own. */
struct fl_flow_control
{
    const fl_flow_control_ops_t *ops;
};

/* Receivers that min and tagged know at once. Ids come off the wire, so the memory is bounded; one more is not waited
 * for. */
#define FL_FLOW_CONTROL_RECEIVERS 128

typedef struct fl_flow_control_params
{
    uint32_t kind;                      /* FL_FLOW_CONTROL_* */
    int32_t group_min_size;             /* min and tagged, as what follows */
    int64_t group_tag;                  /* tagged: of the receivers that count */
    int64_t receiver_timeout_ns;
    _Atomic int64_t *receivers_counter; /* holds how many there are; NULL: none does */
} fl_flow_control_params_t;

/* Make a strategy. Returns NULL with error text: no memory, an unknown kind, or a group larger than
 * FL_FLOW_CONTROL_RECEIVERS. Thread: control. */
fl_flow_control_t *fl_flow_control_new(const fl_flow_control_params_t *params);
void fl_flow_control_free(fl_flow_control_t *flow);

/* In flow_control_group.c: min, and with `is_tagged` tagged. NULL: no memory. */
fl_flow_control_t *fl_flow_control_group_new(const fl_flow_control_params_t *params, bool is_tagged);

#endif
