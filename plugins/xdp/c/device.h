/* What the kernel says of an interface, and the ioctls to ask it. */
#ifndef FL_XDP_DEVICE_H
#define FL_XDP_DEVICE_H

#include "api/xdp.h"

/* One SIOCETHTOOL call with a command's structure. Returns 0 or negative errno. Does not sleep for long. */
int fl_xdp_device_ethtool(int fd, const char *interface, void *command);

/* Fill in what fl_xdp_device_look does, through an open descriptor. */
int fl_xdp_device_read(int fd, const char *interface, fl_xdp_device_t *device);

#endif
