/* Objects that report to the control plane.
 *
 * An object keeps a mask of what happened to it. The first bit that is set pushes the object on the driver's event
 * stack, the control plane takes the whole stack and each object's mask. So an event is never lost, needs no memory and
 * no room in a ring, and a slow control plane sees the sum of what happened.
 */
#ifndef FL_AGENT_OBJECT_H
#define FL_AGENT_OBJECT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "api/driver.h"

typedef struct fl_object
{
    _Atomic uint32_t pending;    /* FL_EVENT_BIT_*, by kind */
    uint32_t kind;               /* FL_OBJECT_* */
    int64_t id;                  /* registration, correlation or endpoint id: what the control plane knows it by */
    struct fl_object *next;      /* on the stack; the control plane's while it walks what it took */
} fl_object_t;

typedef struct fl_object_stack
{
    _Atomic(fl_object_t *) head;
    int wake_fd;                 /* eventfd of the control plane; -1 in a simulation */
    _Atomic uint32_t sleeping;   /* 1 while the control plane blocks, or is about to */
} fl_object_stack_t;

/* Wake the control plane if it sleeps. Any thread; at most one system call, and none while it is awake. */
void fl_object_stack_wake(fl_object_stack_t *stack);

/* Set bits of an object's mask. Any thread; does not block. The object lives until the control plane freed it, which it
 * does after the owning agent let go. */
static inline void fl_object_raise(fl_object_stack_t *stack, fl_object_t *object, uint32_t bits)
{
    /* Release: pairs with the acquire in fl_object_take(); what the bits report was stored before. */
    if (0 != atomic_fetch_or_explicit(&object->pending, bits, memory_order_acq_rel))
    {
        return;   /* on the stack already, or being pushed by whoever set the first bit */
    }
    fl_object_t *head = atomic_load_explicit(&stack->head, memory_order_relaxed);
    do
    {
        object->next = head;
    }
    while (!atomic_compare_exchange_weak_explicit(
        &stack->head, &head, object, memory_order_seq_cst, memory_order_relaxed));
    /* The exchange is seq_cst: it pairs with the control plane's store of `sleeping` followed by its load of `head`, so
     * either it sees the object or this thread sees that it sleeps. */
    fl_object_stack_wake(stack);
}

/* Take all objects, oldest first. Control plane. */
fl_object_t *fl_object_stack_take(fl_object_stack_t *stack);

/* Take an object's mask; afterwards it may be raised again, so `next` must have been read before. Control plane. */
static inline uint32_t fl_object_take(fl_object_t *object)
{
    return atomic_exchange_explicit(&object->pending, 0, memory_order_acq_rel);
}

#endif
