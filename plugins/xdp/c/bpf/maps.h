/* What the XDP program and the plugin share: the layout of its maps. Fixed-width and without holes, because keys are
 * compared as bytes. */
#ifndef FL_XDP_MAPS_H
#define FL_XDP_MAPS_H

#include <linux/types.h>

/* Where the maps stand in the program: the number in place of a map's descriptor. */
#define FL_XDP_MAP_FILTERS 0   /* hash: fl_xdp_key_t -> fl_xdp_filter_t */
#define FL_XDP_MAP_SOCKETS 1   /* XSKMAP: device queue -> AF_XDP socket */
#define FL_XDP_MAP_COUNTS 2    /* per-CPU array of __u64, by FL_XDP_COUNT_* */
#define FL_XDP_MAPS 3

#define FL_XDP_VLAN_NONE 0xffff

/* An endpoint that is taken from the kernel: datagrams to (address, port), from one source or, with an all-zero source,
 * from any. IPv4 addresses are in the first four bytes. */
typedef struct fl_xdp_key
{
    __u8 family;         /* 4 or 6 */
    __u8 reserved;
    __u16 vlan;          /* tag, host byte order; FL_XDP_VLAN_NONE: untagged */
    __u16 port;          /* network byte order */
    __u16 reserved2;
    __u8 address[16];
    __u8 source[16];
} fl_xdp_key_t;

/* The entry with an all-zero source exists for every (address, port) that has a filter at all, so that a frame for
 * nobody costs one look-up. */
typedef struct fl_xdp_filter
{
    __u32 any_source;    /* 1: from any source; 0: only from those with an entry of their own */
} fl_xdp_filter_t;

#define FL_XDP_COUNT_REDIRECTED 0   /* frames given to a socket */
#define FL_XDP_COUNT_NO_SOCKET 1    /* owned, but there is no socket on the device queue: left to the kernel */
#define FL_XDP_COUNTS 2

#endif
