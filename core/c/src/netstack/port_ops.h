/* A port's table, checked and made complete. */
#ifndef FL_NETSTACK_PORT_OPS_H
#define FL_NETSTACK_PORT_OPS_H

#include <framelane/port.h>

/* Copy a port's table with stubs for what is absent.
 *
 * from, port   fl_port_ops_t * and fl_port_t * as the plugin returned them
 * name         for messages
 * returns      0, or a negative FL_E* with the error text set; see fl_ops_table_copy()
 */
int fl_port_ops_complete(fl_port_ops_t *ops, const void *from, const void *port, const char *name);

/* Ask a port of a complete table for its attributes. Returns 0, or a negative FL_E* with the error text set. */
int fl_port_ops_attributes(
    const fl_port_ops_t *ops, fl_port_t *port, const char *name, fl_port_attributes_t *attributes);

#endif
