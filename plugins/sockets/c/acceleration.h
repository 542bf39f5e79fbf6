/* A library that was preloaded and has taken over the process's socket calls: which one, and whether it moves a
 * socket's datagrams itself or has left it to the kernel. */
#ifndef FL_SOCKETS_ACCELERATION_H
#define FL_SOCKETS_ACCELERATION_H

#include "api/sockets.h"

/* Look for one of FL_ACCELERATOR_*. Any thread. */
uint32_t fl_acceleration_find(void);

/* Its name, for messages. */
const char *fl_acceleration_name(uint32_t accelerator);

/* Ask about a socket that is bound or connected. Returns 1: it is accelerated; 0: it is not; negative: the accelerator
 * has no way to ask. Control thread. */
int fl_acceleration_of(uint32_t accelerator, int fd);

#endif
