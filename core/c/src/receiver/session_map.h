/* What an endpoint knows of the sessions that it hears: the image, or in which state they are without one (wire 4.1).
 *
 * An open-addressing table keyed by stream and session. The hash is keyed with a secret of the endpoint, so that who
 * chooses session ids cannot choose collisions. Sessions without an image that a peer can bring about (PENDING_SETUP
 * and INIT_IN_PROGRESS) are bounded by FL_SETUPS_CAPACITY. Images, and COOL_DOWN, which was an image once, have their
 * room from the control thread before they are made.
 *
 * NO_INTEREST is no state here: whether a session is wanted is looked up when it is heard, which has the same effect,
 * and unwanted sessions then cost no memory.
 */
#ifndef FL_RECEIVER_SESSION_MAP_H
#define FL_RECEIVER_SESSION_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "api/images.h"

#define FL_SETUPS_CAPACITY 256    /* sessions of one endpoint that wait for a SETUP or for their image */

typedef enum fl_session_state
{
    FL_SESSION_NONE = 0,               /* an empty place */
    FL_SESSION_PENDING_SETUP,          /* a SETUP was elicited; lapses after a second */
    FL_SESSION_INIT_IN_PROGRESS,       /* the control plane was asked for an image */
    FL_SESSION_ACTIVE,                 /* there is an image */
    FL_SESSION_COOL_DOWN               /* the image ended before its stream did */
} fl_session_state_t;

typedef struct fl_session
{
    int32_t stream_id;
    int32_t session_id;
    fl_session_state_t state;
    uint32_t setup_index;              /* PENDING_SETUP, INIT_IN_PROGRESS: which of the endpoint's setups */
    fl_image_t *image;                 /* ACTIVE */
} fl_session_t;

typedef struct fl_session_map
{
    fl_session_t *sessions;
    uint32_t capacity;                 /* a power of two, at least twice what may be in it */
    uint32_t count;
    uint64_t secret;
} fl_session_map_t;

/* Places that a map with `images` images and cool-downs needs. */
uint32_t fl_session_map_capacity(uint32_t images);

/* Make an empty map over zeroed memory for `capacity` sessions. */
void fl_session_map_init(fl_session_map_t *map, fl_session_t *memory, uint32_t capacity, uint64_t secret);

/* Find a session. NULL: nothing is known of it. What is returned is valid until the next put or remove. */
fl_session_t *fl_session_map_find(const fl_session_map_t *map, int32_t stream_id, int32_t session_id);

/* Find a session or make room for one, in state NONE, which the caller sets at once. There is room. */
fl_session_t *fl_session_map_put(fl_session_map_t *map, int32_t stream_id, int32_t session_id);

/* Forget a session that fl_session_map_find returned. Others may move. */
void fl_session_map_remove(fl_session_map_t *map, fl_session_t *session);

/* Move everything to larger, zeroed memory. Returns the old memory. */
fl_session_t *fl_session_map_move(fl_session_map_t *map, fl_session_t *memory, uint32_t capacity);

#endif
