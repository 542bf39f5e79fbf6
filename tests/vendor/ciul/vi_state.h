/* A VI's private state, in front of which lies the state that the inline functions read. */
#ifndef FL_CIUL_VI_STATE_H
#define FL_CIUL_VI_STATE_H

#include "ciul.h"

#define FL_CIUL_EVENTS_A_POLL 256
/* Packets of a poll: each of its events may be of several. */
#define FL_CIUL_STAMPS (FL_CIUL_EVENTS_A_POLL * EF_VI_RECEIVE_BATCH)

typedef struct
{
    const uint8_t *data;
    uint32_t length;
    uint32_t digest; /* of the bytes when they were pushed */
    bool is_last;
    bool is_ctpio;
} fl_ciul_send_t;

typedef struct
{
    const void *packet;
    uint64_t time_ns;
    int filter;
} fl_ciul_stamp_t;

typedef struct
{
    ef_vi_state state; /* first: ef_vi.ep_state points here */
    ef_vi_stats stats;
    ef_vi *vi;
    unsigned pd_id;
    bool is_express;
    bool is_ring; /* descriptor rings, not shared queues */
    bool is_dead; /* reset: nothing goes any more */
    int member;
    fl_ciul_registry_t registry;
    fl_ciul_wire_t *wire;
    fl_ciul_source_t source;
    fl_ciul_settings_t settings;
    uint64_t settings_looked_ns, settings_version;
    fl_ciul_table_t table;

    /* who uses it */
    _Atomic int busy_tid;
    uint32_t poller, poller_place, former_poller; /* threads by serial */

    /* events that wait */
    ef_event *events;
    uint32_t events_head, events_tail, events_mask;
    bool is_primed, wants_wakeups;
    bool reset_said, overflow_said;
    ef_driver_handle primed_handle;

    /* transmit */
    fl_ciul_send_t *sends;
    uint32_t sent; /* descriptors the adapter has read */
    bool ctpio_waits, ctpio_went;
    bool is_tx_broken; /* until the queue is made anew after an error */
    bool is_warming;
    ef_pio *pio;
    uint8_t staging[FL_CIUL_FRAME_MAX];

    /* receive */
    unsigned discard_mask;
    unsigned long received;
    fl_ciul_frame_t *frames; /* taken from the wire and not yet delivered */
    int frames_count, frames_at;
    uint32_t consumed; /* descriptors that frames have used */
    uint8_t **buffers; /* descriptor ring: by index */
    ef_addr *addresses;
    fl_ciul_stamp_t stamps[FL_CIUL_STAMPS];
    int stamps_count;
    uint64_t drops; /* frames for which there was no buffer */

    /* shared queues */
    int memory_fd;
    uint8_t *slots;         /* the adapter's view */
    const uint8_t *packets; /* the program's, read-only */
    size_t superbuffers;
    uint16_t *lent; /* packets lent, by superbuffer */
    bool *is_lent;  /* by packet */
    size_t current;
    unsigned filled;
    ef_vi_efct_rxq_ops queue_ops;
} fl_ciul_vi_t;

static inline fl_ciul_vi_t *fl_ciul_vi(const ef_vi *vi)
{
    return (fl_ciul_vi_t *)(void *)vi->ep_state;
}

/* The first and last line of every data-path function: aborts on two threads at once. */
void fl_ciul_enter(fl_ciul_vi_t *own, const char *caller);
void fl_ciul_leave(fl_ciul_vi_t *own);

/* Put an event behind those that wait; a full queue is an overflow. */
void fl_ciul_event_put(fl_ciul_vi_t *own, const ef_event *event);

/* Abort where the descriptors in use could overrun the event queue. */
void fl_ciul_event_check_room(const fl_ciul_vi_t *own, const char *caller);

int fl_ciul_receive_ring_open(fl_ciul_vi_t *own, int capacity);
int fl_ciul_receive_shared_open(fl_ciul_vi_t *own, int capacity);
void fl_ciul_receive_shared_close(fl_ciul_vi_t *own);
int fl_ciul_transmit_open(fl_ciul_vi_t *own, int capacity);

/* Deliver one frame; the number of events written, or -ENOSPC where evs is too short for it. */
int fl_ciul_receive_ring_deliver(
    fl_ciul_vi_t *own, const fl_ciul_frame_t *frame, unsigned flags, ef_event *evs, int space);
int fl_ciul_receive_shared_deliver(
    fl_ciul_vi_t *own, const fl_ciul_frame_t *frame, unsigned flags, int filter, ef_event *event);

/* Let the adapter read what was pushed and not yet taken by the wire. */
void fl_ciul_transmit_run(fl_ciul_vi_t *own);

/* Give the oldest descriptor back, after its completion was taken; true if it was its packet's last. */
bool fl_ciul_transmit_finish(fl_ciul_vi_t *own);

int fl_ciul_event_poll(ef_vi *vi, ef_event *evs, int evs_len);
int fl_ciul_event_poll_receive(ef_vi *vi, ef_event *evs, int evs_len);
void fl_ciul_event_ops(fl_ciul_vi_t *own);
void fl_ciul_timestamp_ops(ef_vi *vi);

#endif
