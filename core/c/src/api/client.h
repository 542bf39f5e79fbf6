/* The client's hot path: offering to publications and polling subscriptions (shm 7.5 to 7.8), and its sign of life.
 *
 * Logs and counters are mapped by whoever calls; they stay mapped until the object over them was freed, and an object
 * that is closed answers CLOSED, so that a call on another thread never meets unmapped memory.
 */
#ifndef FL_API_CLIENT_H
#define FL_API_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "api/common.h"
#include "api/shm.h"

/* Results of offers below 0, as Aeron's clients have them (shm 7.5). */
#define FL_NOT_CONNECTED (-1)
#define FL_BACK_PRESSURED (-2)
#define FL_ADMIN_ACTION (-3)
#define FL_CLOSED (-4)
#define FL_MAX_POSITION_EXCEEDED (-5)
#define FL_OFFER_ERROR (-6)

/* ---- publications ---- */

typedef struct fl_client_publication fl_client_publication_t;

/* A claimed frame: fill payload, then commit or abort. */
typedef struct fl_claim
{
    uint8_t *payload;
    int32_t length;
} fl_claim_t;

/* Make a publication over a mapped log.
 *
 * publisher_limit   value of the pub-lmt counter
 * is_exclusive      1: one thread at a time; 0: any number of threads
 * returns           NULL with the error text set: no memory, or a log whose tail is impossible
 */
fl_client_publication_t *fl_client_publication_new(fl_log_t *log, const int64_t *publisher_limit, int is_exclusive);

/* Make every further call answer CLOSED. Any thread. */
void fl_client_publication_close(fl_client_publication_t *publication);

/* Free a closed publication that no call is in. */
void fl_client_publication_free(fl_client_publication_t *publication);

/* Offer a message, in fragments if it is longer than the MTU allows.
 *
 * reserved_value   for the frame headers, 0 by default
 * returns          position behind the message, or FL_NOT_CONNECTED to FL_OFFER_ERROR
 */
int64_t fl_client_publication_offer(
    fl_client_publication_t *publication, const void *message, size_t length, int64_t reserved_value);

/* Offer messages one after another until one is not taken.
 *
 * messages   contiguous bytes; message i has lengths[i] of them
 * accepted   out: how many were taken
 * returns    position behind the last one taken, or why the first one was not, if none was. ADMIN_ACTION is retried a
 *            few times.
 */
int64_t fl_client_publication_offer_batch(fl_client_publication_t *publication, const uint8_t *messages,
    const uint32_t *lengths, uint32_t count, uint32_t *accepted);

/* Offer one message from several parts. */
typedef struct fl_part
{
    const void *data;
    size_t length;
} fl_part_t;

int64_t fl_client_publication_offer_parts(
    fl_client_publication_t *publication, const fl_part_t *parts, uint32_t count, int64_t reserved_value);

/* Claim room for a message of at most max_payload_length bytes. Returns as offer does. */
int64_t fl_client_publication_try_claim(fl_client_publication_t *publication, size_t length, fl_claim_t *claim);
void fl_claim_set_reserved_value(const fl_claim_t *claim, int64_t reserved_value);
void fl_claim_set_flags(const fl_claim_t *claim, uint8_t flags);
void fl_claim_commit(const fl_claim_t *claim);
void fl_claim_abort(const fl_claim_t *claim);

/* Or FL_CLOSED; FL_OFFER_ERROR if the log's tail is impossible. */
int64_t fl_client_publication_position(fl_client_publication_t *publication);
int64_t fl_client_publication_limit(fl_client_publication_t *publication);   /* or FL_CLOSED */
int fl_client_publication_is_connected(fl_client_publication_t *publication);
int64_t fl_client_publication_max_message_length(fl_client_publication_t *publication);
int64_t fl_client_publication_max_payload_length(fl_client_publication_t *publication);

/* ---- subscriptions ---- */

typedef struct fl_client_subscription fl_client_subscription_t;
typedef struct fl_client_image fl_client_image_t;

/* A fragment or a whole message. */
typedef struct fl_fragment
{
    const uint8_t *data;            /* payload; in the log, or in the assembler of its image */
    uint32_t length;
    uint8_t flags;                  /* 0x80 begins a message, 0x40 ends one */
    uint8_t reserved[3];
    int32_t session_id;
    int32_t stream_id;
    int64_t position;               /* stream position behind it */
    int64_t reserved_value;
    fl_client_image_t *image;
} fl_fragment_t;

fl_client_subscription_t *fl_client_subscription_new(void);
void fl_client_subscription_close(fl_client_subscription_t *subscription);
void fl_client_subscription_free(fl_client_subscription_t *subscription);

/* Make an image over a mapped log; its position begins at the counter's value.
 *
 * subscriber_position   value of the sub-pos counter
 */
fl_client_image_t *fl_client_image_new(fl_log_t *log, int64_t *subscriber_position, int64_t correlation_id);

/* Note the final position; every further poll gives nothing. Any thread. */
void fl_client_image_close(fl_client_image_t *image);
void fl_client_image_free(fl_client_image_t *image);

int64_t fl_client_image_position(fl_client_image_t *image);
int64_t fl_client_image_join_position(fl_client_image_t *image);
int64_t fl_client_image_end_of_stream_position(fl_client_image_t *image);
int fl_client_image_is_end_of_stream(fl_client_image_t *image);
int fl_client_image_is_revoked(fl_client_image_t *image);
int fl_client_image_is_closed(fl_client_image_t *image);
int32_t fl_client_image_active_transport_count(fl_client_image_t *image);

/* Put an image into a subscription, or take it out: a poll in progress ends first. Any thread but one in a poll of
 * it. */
int fl_client_subscription_add_image(fl_client_subscription_t *subscription, fl_client_image_t *image);
int fl_client_subscription_remove_image(fl_client_subscription_t *subscription, fl_client_image_t *image);

/* Take what has arrived, images in turn.
 *
 * The fragments stay valid until the next poll or release on this subscription, which is when the driver learns that
 * they were consumed. Polling does not cross the end of a term within one image.
 *
 * fragments   written, up to limit of them; read again by a release of fewer than were returned
 * assemble    1: whole messages; fragments of a longer message are put together in memory of the image
 * returns     how many; FL_CLOSED
 * thread      one at a time
 */
int fl_client_subscription_poll(
    fl_client_subscription_t *subscription, fl_fragment_t *fragments, uint32_t limit, int assemble);

/* Tell the driver that the first `count` fragments of the last poll were consumed; the others come again with the next
 * poll. Without a call the next poll consumes all. Thread: as poll. */
void fl_client_subscription_release(fl_client_subscription_t *subscription, uint32_t count);

/* ---- sign of life ---- */

#define FL_KEEPALIVE_RUNNING 0
#define FL_KEEPALIVE_DRIVER_CLOSED 1      /* the driver shut down: heartbeat -1 */
#define FL_KEEPALIVE_DRIVER_DEAD 2        /* heartbeat older than the driver timeout */
#define FL_KEEPALIVE_COUNTER_LOST 3       /* the driver took this client for dead */
#define FL_KEEPALIVE_NOT_SERVICED 4       /* the process stood still for longer than the client liveness timeout */

typedef struct fl_keepalive fl_keepalive_t;

/* Start the thread that tells the driver that this client lives (shm 11.2), whatever the interpreter does.
 *
 * cnc                 mapped writable, outlives the thread
 * client_information  appended to the heartbeat counter's label, terminated; may be empty
 * wake_fd             an eventfd written when the state changes; -1: none
 */
fl_keepalive_t *fl_keepalive_start(fl_cnc_t *cnc, int64_t client_id, int64_t keepalive_interval_ns,
    int64_t driver_timeout_ms, const char *client_information, int wake_fd);

int fl_keepalive_state(fl_keepalive_t *keepalive);

/* Stop and free. In a forked child: nothing. */
void fl_keepalive_stop(fl_keepalive_t *keepalive);

#endif
