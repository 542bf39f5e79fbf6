#include "gate.h"

#include <time.h>

#define FL_GATE_LOOK_NS 20000
#define FL_GATE_LOOKS 500000

void fl_efvi_gate_enter(fl_efvi_gate_t *gate)
{
    gate->thread = pthread_self();
    atomic_store_explicit(&gate->is_entered, true, memory_order_release);
    /* With the fence in fl_efvi_gate_close(): either that sees this thread inside, or this thread's next look at the
     * gate sees it closed. */
    atomic_thread_fence(memory_order_seq_cst);
}

void fl_efvi_gate_leave(fl_efvi_gate_t *gate)
{
    /* Release: pairs with the acquire in fl_efvi_gate_close(). */
    atomic_store_explicit(&gate->is_entered, false, memory_order_release);
}

bool fl_efvi_gate_close(fl_efvi_gate_t *gate)
{
    const struct timespec pause = {.tv_nsec = FL_GATE_LOOK_NS};
    const uint32_t turn = atomic_load_explicit(&gate->turn, memory_order_relaxed) + 1;
    atomic_store_explicit(&gate->turn, turn, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t i = 0; i < FL_GATE_LOOKS; i++)
    {
        /* Acquire: pairs with the releases of the queue's thread, whose work on the virtual interface is then
         * visible. */
        if (!atomic_load_explicit(&gate->is_entered, memory_order_acquire) ||
            pthread_equal(gate->thread, pthread_self()) ||
            turn == atomic_load_explicit(&gate->seen, memory_order_acquire))
        {
            return true;
        }
        nanosleep(&pause, NULL);
    }
    fl_efvi_gate_open(gate);
    return false;
}

void fl_efvi_gate_open(fl_efvi_gate_t *gate)
{
    const uint32_t turn = atomic_load_explicit(&gate->turn, memory_order_relaxed);
    /* Release: pairs with the acquire in fl_efvi_gate_pass(). */
    atomic_store_explicit(&gate->turn, turn + 1, memory_order_release);
}
