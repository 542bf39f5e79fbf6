/* Notices: things that happen to no object yet, or that carry text: a SETUP without an image, an ERR frame.
 *
 * Each agent has a pool of its own. It takes a notice, fills it and raises it; the control plane copies the content and
 * gives the notice back. With the pool empty the agent drops what it wanted to say: the peer repeats both kinds of
 * frame.
 */
#ifndef FL_AGENT_NOTICE_H
#define FL_AGENT_NOTICE_H

#include <stdatomic.h>
#include <stdint.h>

#include "agent/object.h"

typedef struct fl_notice
{
    fl_object_t object;            /* kind and id are those of the content */
    _Atomic uint32_t in_use;
    fl_driver_event_t content;
} fl_notice_t;

typedef struct fl_notice_pool
{
    fl_notice_t *notices;
    uint32_t capacity;
    uint32_t next;                 /* where to look first */
} fl_notice_pool_t;

int fl_notice_pool_init(fl_notice_pool_t *pool, uint32_t capacity);
void fl_notice_pool_destroy(fl_notice_pool_t *pool);

/* Take a free notice, its content zeroed but for the kind. NULL: none is free. Thread: the pool's agent. */
fl_notice_t *fl_notice_take(fl_notice_pool_t *pool, uint32_t kind);

/* Hand a filled notice to the control plane. Thread: the pool's agent. */
void fl_notice_raise(fl_notice_t *notice, fl_object_stack_t *events);

/* Copy the content and give the notice back. Thread: control. */
void fl_notice_read(fl_notice_t *notice, fl_driver_event_t *event);

#endif
