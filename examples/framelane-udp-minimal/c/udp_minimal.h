/* What the plugin's Python half calls. The rest goes through the ops table. */
#ifndef UDP_MINIMAL_H
#define UDP_MINIMAL_H

#include <framelane/transport.h>

const fl_transport_ops_t *udp_minimal_ops(void);

/* NULL: no memory. The host's table outlives the transport. */
fl_transport_t *udp_minimal_open(const fl_host_t *host);

#endif
