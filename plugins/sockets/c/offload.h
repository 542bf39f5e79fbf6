/* What the kernel does for the transport: segmentation on send, coalescing on receive, and the route's MTU. */
#ifndef FL_SOCKETS_OFFLOAD_H
#define FL_SOCKETS_OFFLOAD_H

#include "api/sockets.h"

/* IP and UDP headers before the payload. */
#define FL_IPV4_HEADERS 28
#define FL_IPV6_HEADERS 48

/* The MTU of the route by which the connected socket `fd` of `family` (AF_INET, AF_INET6) sends: bytes with the IP
 * header; 0 if the kernel cannot say. */
uint32_t fl_offload_route_mtu(int fd, int family);

#endif
