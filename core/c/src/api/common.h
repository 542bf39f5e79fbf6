/* What every part of the data plane offers to Python: error text, clocks and the end of a process. */
#ifndef FL_API_COMMON_H
#define FL_API_COMMON_H

#include <stddef.h>
#include <stdint.h>

/* The calling thread's error text, terminated; empty if there is none. Valid until the thread's next failing call. */
const char *fl_error_text(void);

/* The code that belongs to it, positive FL_E*; 0 if it is not known. */
int fl_error_code(void);

/* Forget the calling thread's error text and code. */
void fl_error_clear(void);

/* Have the kernel send this process a signal when the thread that started it ends, or now if that process is not
 * parent_id any more. Not inherited by what this process starts. Any thread. */
void fl_process_end_with(int parent_id, int signal_number);

typedef struct fl_clock fl_clock_t;

/* The system's clocks: CLOCK_MONOTONIC and CLOCK_REALTIME. Never freed. */
fl_clock_t *fl_clock_system(void);

/* A clock that stands still until it is advanced. nano_ns and epoch_ns are its first readings. NULL: no memory. */
fl_clock_t *fl_clock_virtual_new(int64_t nano_ns, int64_t epoch_ns);
void fl_clock_virtual_free(fl_clock_t *clock);

/* Move a virtual clock forward by delta_ns, 0 or more. Any thread. */
void fl_clock_advance(fl_clock_t *clock, int64_t delta_ns);

/* Monotonic nanoseconds, and nanoseconds since 1970. Any thread. */
int64_t fl_clock_nano(fl_clock_t *clock);
int64_t fl_clock_epoch(fl_clock_t *clock);

#endif
