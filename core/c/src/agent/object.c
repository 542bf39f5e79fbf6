#include "agent/object.h"

#include <unistd.h>

void fl_object_stack_wake(fl_object_stack_t *stack)
{
    if (stack->wake_fd >= 0 && 0 != atomic_load_explicit(&stack->sleeping, memory_order_seq_cst) &&
        0 != atomic_exchange_explicit(&stack->sleeping, 0, memory_order_seq_cst))
    {
        const uint64_t one = 1;
        ssize_t written = write(stack->wake_fd, &one, sizeof(one));
        (void)written;   /* the eventfd is full only if nobody has read it, and then it is readable anyway */
    }
}

fl_object_t *fl_object_stack_take(fl_object_stack_t *stack)
{
    fl_object_t *newest = atomic_exchange_explicit(&stack->head, NULL, memory_order_seq_cst);
    fl_object_t *oldest = NULL;
    while (NULL != newest)
    {
        fl_object_t *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
