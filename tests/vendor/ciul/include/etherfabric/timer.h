/* Timers of event queues. */
#ifndef FL_CIUL_ETHERFABRIC_TIMER_H
#define FL_CIUL_ETHERFABRIC_TIMER_H

#define ef_eventq_timer_prime(q, v) (q)->ops.eventq_timer_prime((q), (v))
#define ef_eventq_timer_run(q, v) (q)->ops.eventq_timer_run((q), (v))
#define ef_eventq_timer_clear(q) (q)->ops.eventq_timer_clear((q))
#define ef_eventq_timer_zero(q) (q)->ops.eventq_timer_zero((q))

#endif
