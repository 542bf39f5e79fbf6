/* A port's table, checked and made complete. */
#ifndef FL_NETSTACK_PORT_OPS_H
#define FL_NETSTACK_PORT_OPS_H

#include <framelane/port.h>

/* Copy `ops` into `complete` with stubs for what is absent. Returns 0, or a negative FL_E* with the error text set. */
int fl_port_ops_complete(fl_port_ops_t *complete, const void *ops, const char *name);

#endif
