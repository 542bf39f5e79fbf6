/* The gate between a queue's thread and its virtual interface.
 *
 * Nothing of ef_vi may be called by two threads at once for one virtual interface, adding a filter included (bypass
 * 1.1). A filter is the control thread's to add while the queue's thread polls, so the control thread closes the gate
 * for it. The queue's thread never waits: while the gate is closed it finds nothing to receive and no room to send.
 */
#ifndef FL_EFVI_GATE_H
#define FL_EFVI_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct fl_efvi_gate
{
    _Atomic uint32_t turn;        /* odd while closed; written by the control thread */
    _Atomic uint32_t seen;        /* the last odd turn that the queue's thread met; written by it */
    _Atomic bool is_entered;      /* written by the queue's thread */
    pthread_t thread;             /* that entered */
} fl_efvi_gate_t;

/* Whether the virtual interface may be touched until the queue's next call. Thread: queue. */
static inline bool fl_efvi_gate_pass(fl_efvi_gate_t *gate)
{
    /* Acquire: pairs with fl_efvi_gate_open(). What was done to the virtual interface must be visible. */
    const uint32_t turn = atomic_load_explicit(&gate->turn, memory_order_acquire);
    if (__builtin_expect(0 == (turn & 1), 1))
    {
        return true;
    }
    /* Release: pairs with the acquire in fl_efvi_gate_close(). What this thread did comes before. */
    atomic_store_explicit(&gate->seen, turn, memory_order_release);
    return false;
}

/* The queue's thread comes and goes. */
void fl_efvi_gate_enter(fl_efvi_gate_t *gate);
void fl_efvi_gate_leave(fl_efvi_gate_t *gate);

/* Close the gate and wait until the queue's thread is not inside, if it is another thread. Returns false, with the gate
 * open again, if it did not make a call for 10 s. Thread: control, never that of a queue in a duty cycle. */
bool fl_efvi_gate_close(fl_efvi_gate_t *gate);
void fl_efvi_gate_open(fl_efvi_gate_t *gate);

#endif
