/* C's standard streams while a thread calls a library that writes to them. */
#ifndef FL_DPDK_STREAMS_H
#define FL_DPDK_STREAMS_H

#include <stddef.h>

/* From now on drop what the calling thread writes to `stdout`, and hand the lines that it writes to `stderr` to `line`.
 *
 * DPDK prints its usage, a hundred lines, to `stdout` when it is given a wrong option, and getopt names the option on
 * `stderr`. Descriptors 1 and 2 are the process's: to turn them elsewhere would swallow what an application that embeds
 * the driver writes meanwhile. So C's two variables are exchanged for streams that know the thread: what others write
 * through them goes on to where it was going, and what is written by other means, as Python does, never sees them.
 * Nothing is done where the variables cannot be set, which is without glibc.
 *
 * line     called on the same thread, without the line's end
 * thread   any, one at a time
 */
void fl_streams_take(void (*line)(const char *line, size_t length));

/* End that, on the same thread. */
void fl_streams_give_back(void);

#endif
