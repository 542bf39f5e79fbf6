/* What the kernel says of an interface, and the ioctls to ask it. */
#ifndef FL_XDP_DEVICE_H
#define FL_XDP_DEVICE_H

#include <stdbool.h>

#include "api/xdp.h"

/* A descriptor for ioctls in the calling thread's network namespace; negative errno on failure. */
int fl_xdp_device_socket(void);

/* One SIOCETHTOOL call with a command's structure. Returns 0 or negative errno. Does not sleep for long. */
int fl_xdp_device_ethtool(int fd, const char *interface, void *command);

/* Whether the interface is up and has its carrier; negative errno if it is gone. Takes no lock that blocks. */
int fl_xdp_device_has_link(int fd, const char *interface);

/* Fill in what fl_xdp_device_look does, through an open descriptor. */
int fl_xdp_device_read(int fd, const char *interface, fl_xdp_device_t *device);

#endif
