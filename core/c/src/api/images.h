/* What the control plane does with the receiver's objects, receive endpoints and images. Threads and errors are those
 * of driver.h. */
#ifndef FL_API_IMAGES_H
#define FL_API_IMAGES_H

#include <stdint.h>

#include <framelane/types.h>

#include "api/driver.h"
#include "api/shm.h"
#include "api/transport.h"

typedef struct fl_receive_endpoint fl_receive_endpoint_t;
typedef struct fl_image fl_image_t;

/* ---- receive endpoints ---- */

typedef struct fl_receive_endpoint_params
{
    int64_t id;
    uint8_t is_multicast;
    uint8_t has_group_tag;
    uint8_t has_control;                /* explicit control address: periodic elicitation (wire 4.2) */
    uint8_t reserved[5];
    int64_t group_tag;
    fl_address_t control;               /* multicast: the control group; with has_control: that address */
    int32_t ttl;                        /* own, to notice an asymmetry; 0: the system's */
    int32_t reserved2;
    uint32_t media_timestamp_at;        /* byte of a frame at which the time of its arrival goes (wire 6); 0: it does
                                         * not */
    uint32_t channel_timestamp_at;      /* as well, the time at which the driver takes it */
} fl_receive_endpoint_params_t;

fl_receive_endpoint_t *fl_receive_endpoint_open(
    fl_driver_t *driver, fl_binding_t *binding, fl_endpoint_params_t *params,
    const fl_receive_endpoint_params_t *receive_params);

/* Multi-destination subscriptions (wire 4.12): an endpoint that is never attached, and any number of members, up to
 * 16, that are. Streams, interest, images, group tag and timestamps are the owner's; bind, control address and ttl a
 * member's. Members are closed as any endpoint, before their owner. */
fl_receive_endpoint_t *fl_receive_endpoint_new_owner(
    fl_driver_t *driver, const fl_receive_endpoint_params_t *receive_params);
fl_receive_endpoint_t *fl_receive_endpoint_open_member(fl_driver_t *driver, fl_receive_endpoint_t *owner,
    fl_binding_t *binding, fl_endpoint_params_t *params, const fl_receive_endpoint_params_t *receive_params);

/* As for send endpoints: sessions, images, their positions and timers go on. */
int fl_receive_endpoint_detach(fl_driver_t *driver, fl_receive_endpoint_t *endpoint);
int fl_receive_endpoint_attach(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, fl_binding_t *binding, fl_endpoint_params_t *params);

/* Close it; every image on it was removed and every subscription taken off before. */
int fl_receive_endpoint_close(fl_driver_t *driver, fl_receive_endpoint_t *endpoint);

/* Count in a counter the datagrams that came without the timestamp which their transport was to give. */
int fl_receive_endpoint_count_unstamped(fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t counter_id);

/* -FL_ENODEV: it is detached. */
int fl_receive_endpoint_local_address(fl_receive_endpoint_t *endpoint, fl_address_t *address);
int64_t fl_receive_endpoint_receiver_id(fl_receive_endpoint_t *endpoint);

/* Monotonic time of the last datagrams, for re-resolution (wire 5.9); kept for endpoints with an explicit control
 * address. */
int64_t fl_receive_endpoint_time_of_last_run(fl_receive_endpoint_t *endpoint);

/* The control name resolves to another address now. */
int fl_receive_endpoint_set_control(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, const fl_address_t *control);

/* Interest in a stream, in all its sessions or in one. Interest is counted: each add needs its remove (wire 4.1). */
int fl_receive_endpoint_add_stream(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int has_session_id, int32_t session_id);
int fl_receive_endpoint_remove_stream(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int has_session_id, int32_t session_id);

/* Ask for a SETUP of one session, at every control address that the endpoint has. */
int fl_receive_endpoint_elicit_session(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id);

/* No image will be made for a SETUP event: the next SETUP may ask again. */
int fl_receive_endpoint_refuse_setup(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id);

/* After an image ended before its stream did, the session cools down (wire 4.10); this ends it, for rejoin=true. */
int fl_receive_endpoint_remove_cool_down(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, int32_t stream_id, int32_t session_id);

/* ---- images ---- */

#define FL_CONGESTION_CONTROL_STATIC 0
#define FL_CONGESTION_CONTROL_CUBIC 1

typedef struct fl_image_params
{
    int64_t correlation_id;
    fl_log_t *log;
    int32_t initial_window_length;      /* rcv-wnd or the driver's */
    uint32_t congestion_control;        /* FL_CONGESTION_CONTROL_* */
    int64_t join_position;              /* from the SETUP */
    fl_address_t source;
    uint8_t is_reliable;
    uint8_t treat_as_group;
    uint8_t reserved[6];
    int64_t nak_delay_ns;               /* -1: the driver's */
    int32_t rcv_hwm_counter_id;
    int32_t rcv_pos_counter_id;
    int32_t rcv_naks_sent_counter_id;
    int32_t rtt_counter_id;             /* CUBIC: holds the round trip time, ns; -1: none does, as the next */
    int32_t window_counter_id;          /* holds the window, bytes */
    int32_t reserved2;
} fl_image_params_t;

/* Make the image that a SETUP event asked for, with its first subscribers, all at the join position, in one step.
 * The position counters are stored (release) before it returns. */
fl_image_t *fl_image_add(
    fl_driver_t *driver, fl_receive_endpoint_t *endpoint, const fl_image_params_t *params,
    const int64_t *subscription_ids, const int32_t *position_counter_ids, uint32_t subscribers);

/* Tell the publication of an image, with each status message timeout, in which session it is responded to; and tell
 * it no more (wire 3.10). */
int fl_image_respond(fl_driver_t *driver, fl_image_t *image, int32_t response_session_id);
int fl_image_stop_responding(fl_driver_t *driver, fl_image_t *image);

/* As for IPC publications, by the receiver. -FL_EAGAIN if the image takes no subscribers now. */
int64_t fl_image_link(
    fl_driver_t *driver, fl_image_t *image, int64_t subscription_id, int32_t position_counter_id);
int fl_image_unlink(fl_driver_t *driver, fl_image_t *image, int64_t subscription_id);
int fl_image_is_behind(fl_driver_t *driver, fl_image_t *image, int64_t subscription_id);

/* A subscriber rejects the image: it takes no more data and answers ERR in place of status messages (wire 4.11). */
int fl_image_reject(fl_driver_t *driver, fl_image_t *image, const char *reason, uint32_t length);

/* Where the receiver notes further losses, from FL_EVENT_IMAGE_LOSS; NULL: the report is full. The first loss is in the
 * entry already. */
int fl_image_set_loss_entry(fl_driver_t *driver, fl_image_t *image, fl_loss_record_t *record);

/* What was lost up to now, for the entry: bytes and count. */
int fl_image_loss(fl_driver_t *driver, fl_image_t *image, int64_t *bytes, int64_t *count);

/* Take it from the receiver, in whatever state, and free it. */
int fl_image_remove(fl_driver_t *driver, fl_image_t *image);

#endif
