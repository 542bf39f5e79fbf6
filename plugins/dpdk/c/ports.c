/* The ports that are open in this process: where DPDK's events and its log go. */
#include "device_port.h"
#include "eal.h"

static pthread_mutex_t fl_ports_mutex = PTHREAD_MUTEX_INITIALIZER;
static fl_port_t *fl_ports;

void fl_ports_add(fl_port_t *port)
{
    pthread_mutex_lock(&fl_ports_mutex);
    port->next_open = fl_ports;
    fl_ports = port;
    pthread_mutex_unlock(&fl_ports_mutex);
    fl_eal_log_to(port->host);
}

void fl_ports_tell(uint16_t ethdev, void (*tell)(fl_port_t *port, int what), int what)
{
    pthread_mutex_lock(&fl_ports_mutex);
    for (fl_port_t *port = fl_ports; NULL != port; port = port->next_open)
    {
        if (port->ethdev == ethdev && !atomic_load_explicit(&port->is_taken, memory_order_acquire))
        {
            tell(port, what);
        }
    }
    pthread_mutex_unlock(&fl_ports_mutex);
}

void fl_ports_visit(void (*visit)(fl_port_t *port))
{
    pthread_mutex_lock(&fl_ports_mutex);
    for (fl_port_t *port = fl_ports; NULL != port; port = port->next_open)
    {
        visit(port);
    }
    pthread_mutex_unlock(&fl_ports_mutex);
}

void fl_ports_remove(fl_port_t *port)
{
    pthread_mutex_lock(&fl_ports_mutex);
    for (fl_port_t **place = &fl_ports; NULL != *place; place = &(*place)->next_open)
    {
        if (*place == port)
        {
            *place = port->next_open;
            break;
        }
    }
    /* DPDK's log goes on to a host that is still there. */
    fl_eal_log_to(NULL == fl_ports ? NULL : fl_ports->host);
    pthread_mutex_unlock(&fl_ports_mutex);
}
