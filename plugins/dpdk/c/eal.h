/* DPDK's environment abstraction layer, of which a process has one (bypass-apis 2.12).
 *
 * It is started by a thread of its own, which stays: that thread is DPDK's main lcore, on which drivers' timers run,
 * and it does what must not block an agent, such as the reset of a device. Callers keep their affinity.
 */
#ifndef FL_DPDK_EAL_H
#define FL_DPDK_EAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/dpdk.h"

/* Whether this process, and not a parent of it, started the environment. */
bool fl_eal_is_mine(void);

/* Block every signal: they go to no thread of DPDK, and threads that DPDK or a driver starts inherit the mask. */
void fl_signals_block(sigset_t *before);

/* Forget DPDK's last log lines; and write what, with those that came since. Any thread. */
void fl_eal_forget_words(void);
void fl_eal_describe(char *text, size_t length, const char *what);

/* Send DPDK's own log lines to a host, until another or NULL is set. Any thread. */
void fl_eal_log_to(const fl_host_t *host);

/* Run work(argument) on the environment's thread, and wait for it, or not. Queued work is done in order. Returns 0, or
 * -FL_ENOBUFS if too much is queued. Any other thread. */
int fl_eal_run(void (*work)(void *), void *argument, bool wait);

/* Have drivers' timers run, until as many releases as holds. Any thread. */
void fl_eal_hold_timers(void);
void fl_eal_release_timers(void);

#endif
