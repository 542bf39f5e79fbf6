/* Our path: an endpoint of the netstack over an ef_vi port, driven as the driver's agents drive it. */
#include <stdlib.h>

#include "api/efvi.h"
#include "api/netstack.h"
#include "api/transport.h"
#include "netstack/neighbours.h"
#include "util/error.h"

#include "cost.h"

#define FL_PATH_RUNS 64

typedef struct fl_path
{
    fl_transport_host_t *host;
    fl_port_t *port;
    fl_transport_t *netstack;
    const fl_transport_ops_t *ops;
    fl_poller_t *poller;
    fl_endpoint_t *endpoint;
    fl_peer_t peer;
} fl_path_t;

static void fl_path_check(int code, const char *what)
{
    if (code < 0)
    {
        fl_cost_fail("%s: error %d: %s", what, -code, fl_error_text());
    }
}

/* The kernel's part in it: addresses, and the neighbour that the far end is. */
static void fl_path_feed(const fl_path_t *path, const fl_cost_t *cost)
{
    fl_interface_address_t address = {.address = cost->near, .prefix_length = 24};
    fl_netstack_neighbour_t neighbour = {.address = cost->far, .state = FL_NEIGHBOUR_REACHABLE};
    address.address.port = neighbour.address.port = 0;
    memcpy(neighbour.mac, cost->far_mac, sizeof(neighbour.mac));
    fl_path_check(fl_netstack_set_addresses(path->netstack, &address, 1), "set the address");
    fl_path_check(fl_netstack_set_neighbour(path->netstack, &neighbour), "set the neighbour");
}

/* With the settings that a user has who sets none but the interface; the rings have one size here, those of the bare
 * loop. */
static void fl_path_open_port(fl_path_t *path)
{
    const fl_efvi_settings_t settings = {
        .interface = FL_COST_INTERFACE,
        .queues = 1,
        .rx_queue_size = FL_COST_RING,
        .tx_queue_size = FL_COST_RING,
        .event_queue_size = -1,
        .ctpio_threshold = FL_COST_CTPIO_THRESHOLD,
        .ip_mtu = FL_COST_MTU,
    };
    char text[512];
    if (0 != fl_efvi_open(fl_transport_host_table(path->host), &settings, text, sizeof(text), &path->port))
    {
        fl_cost_fail("open the port: %s", text);
    }
}

static void *fl_path_open(fl_cost_t *cost)
{
    fl_path_t *path = calloc(1, sizeof(*path));
    if (NULL == path)
    {
        fl_cost_fail("no memory");
    }
    path->host = fl_transport_host_new(fl_clock_system(), 1, NULL);
    fl_path_open_port(path);
    const fl_netstack_config_t config = {.mode = FL_NETSTACK_KERNEL, .vlan = 0xffff, .name = "efvi"};
    path->netstack = fl_netstack_open(fl_efvi_ops(), path->port, &config, fl_transport_host_table(path->host), 1);
    if (NULL == path->netstack)
    {
        fl_cost_fail("open the netstack: %s", fl_error_text());
    }
    path->ops = fl_netstack_ops(path->netstack);
    fl_port_attributes_t attributes = {.size = sizeof(attributes)};
    fl_path_check(fl_port_attributes(fl_efvi_ops(), path->port, "efvi", &attributes), "ask the port");
    memcpy(cost->near_mac, attributes.mac, sizeof(cost->near_mac));
    return path;
}

static void fl_path_begin(void *side, fl_cost_t *cost)
{
    fl_path_t *path = side;
    const uint32_t role = cost->receives ? FL_ROLE_RECEIVER : FL_ROLE_SENDER;
    fl_event_t events[4];
    fl_endpoint_params_t params = {
        .size = sizeof(params),
        .role = role,
        .flags = cost->receives ? 0 : FL_ENDPOINT_CONNECT,
        .bind = cost->near,
        .mtu_length = cost->length,
    };
    if (!cost->receives)
    {
        params.peer = cost->far;
    }
    path->peer.address = cost->far;
    fl_path_feed(path, cost);
    path->ops->housekeeping(path->netstack, fl_clock_nano(fl_clock_system()));
    fl_path_check(path->ops->open_endpoint(path->netstack, &params, &path->endpoint), "open an endpoint");
    fl_path_check(path->ops->poller_open(path->netstack, 0, role, &path->poller), "open a poller");
    fl_path_check(path->ops->poller_enter(path->poller), "enter the poller");
    fl_path_check(path->ops->poller_add(path->poller, path->endpoint, path), "add the endpoint");
    fl_path_check(path->ops->events(path->netstack, events, 4), "take events");
}

static uint32_t fl_path_receive(void *side, fl_cost_t *cost)
{
    fl_path_t *path = side;
    fl_run_t runs[FL_PATH_RUNS];
    const int count = path->ops->poll(path->poller, runs, FL_PATH_RUNS);
    for (const fl_run_t *run = runs; run < runs + count; run++)
    {
        memcpy(fl_floor_place(&cost->work, run->length), run->data, run->length);
    }
    if (count > 0)
    {
        path->ops->release(path->poller, runs, (uint32_t)count);
    }
    return count > 0 ? (uint32_t)count : 0;
}

static uint32_t fl_path_transmit(void *side, fl_cost_t *cost)
{
    fl_path_t *path = side;
    fl_completion_t completions[FL_PATH_RUNS];
    fl_run_t run = {.length = cost->batch * cost->length, .segment_length = cost->length, .peer = &path->peer};
    run.data = fl_floor_place(&cost->work, run.length);
    path->ops->send(path->endpoint, &run, 1);
    /* A sender looks for status messages in every duty cycle, and with them for completions. */
    fl_path_receive(side, cost);
    path->ops->reap(path->poller, completions, FL_PATH_RUNS);
    return run.accepted;
}

static void fl_path_close(void *side)
{
    fl_path_t *path = side;
    path->ops->poller_remove(path->poller, path->endpoint);
    path->ops->poller_leave(path->poller);
    path->ops->poller_close(path->poller);
    fl_path_check(path->ops->close_endpoint(path->endpoint), "close the endpoint");
    fl_path_check(path->ops->close(path->netstack), "close the netstack");
    fl_transport_host_free(path->host);
    free(path);
}

const fl_cost_side_t fl_cost_path = {
    .open = fl_path_open,
    .begin = fl_path_begin,
    .receive = fl_path_receive,
    .transmit = fl_path_transmit,
    .close = fl_path_close,
};
