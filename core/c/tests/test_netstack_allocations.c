/* A million duty cycles of a netstack, busy and idle ones, allocate nothing. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/memory_port.h"
#include "api/netstack.h"
#include "api/transport.h"
#include "check.h"

#define CYCLES 1000000
#define RUNS 8

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* The sanitizer has the allocator. */
static long fl_allocations;
#else
static _Atomic long fl_allocations;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    fl_allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    fl_allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    fl_allocations++;
    return __libc_realloc(memory, size);
}
#endif

/* One end: a netstack over a port in memory, with one endpoint on one poller. */
typedef struct end
{
    fl_transport_host_t *host;
    void *port;
    fl_transport_t *netstack;
    const fl_transport_ops_t *ops;
    fl_poller_t *poller;
    fl_endpoint_t *endpoint;
    fl_peer_t peer;
} end_t;

static fl_address_t address_of(uint8_t last, uint16_t port)
{
    return (fl_address_t){ .family = FL_FAMILY_IPV4, .port = port, .bytes = { 10, 0, 0, last } };
}

static void end_open(end_t *end, fl_clock_t *clock, uint8_t last, uint8_t other)
{
    const fl_memory_port_config_t port = { .mac = { 2, 0, 0, 0, 0, last } };
    const fl_netstack_config_t config = { .mode = FL_NETSTACK_OWN, .vlan = 0xffff, .name = "memory" };
    const fl_interface_address_t address = { .address = address_of(last, 0), .prefix_length = 24 };
    fl_endpoint_params_t params = { .size = sizeof(params), .role = FL_ROLE_RECEIVER, .bind = address_of(last, 4000) };
    memset(end, 0, sizeof(*end));
    end->host = fl_transport_host_new(clock, last, NULL);
    end->port = fl_memory_port_new(&port, fl_transport_host_table(end->host));
    CHECK(NULL != end->port);
    end->netstack =
        fl_netstack_open(fl_memory_port_ops(), end->port, &config, fl_transport_host_table(end->host), 0);
    CHECK(NULL != end->netstack);
    end->ops = fl_netstack_ops(end->netstack);
    CHECK(0 == fl_netstack_set_addresses(end->netstack, &address, 1));
    CHECK(0 == end->ops->open_endpoint(end->netstack, &params, &end->endpoint));
    CHECK(0 == end->ops->poller_open(end->netstack, 0, FL_ROLE_SENDER | FL_ROLE_RECEIVER, &end->poller));
    CHECK(0 == end->ops->poller_enter(end->poller));
    CHECK(0 == end->ops->poller_add(end->poller, end->endpoint, end));
    end->peer.address = address_of(other, 4000);
}

static void end_close(end_t *end)
{
    CHECK(0 == end->ops->poller_remove(end->poller, end->endpoint));
    CHECK(0 == end->ops->poller_leave(end->poller));
    CHECK(0 == end->ops->poller_close(end->poller));
    CHECK(0 == end->ops->close_endpoint(end->endpoint));
    CHECK(0 == end->ops->close(end->netstack));
    fl_transport_host_free(end->host);
}

/* One duty cycle. Returns how many datagrams came. */
static int cycle(end_t *end, uint32_t runs_to_send)
{
    static uint8_t payload[3000];
    fl_run_t runs[64];
    fl_completion_t completions[16];
    memset(runs, 0, sizeof(*runs) * RUNS);
    for (uint32_t i = 0; i < runs_to_send; i++)
    {
        runs[i].data = payload;
        runs[i].length = 100 + 400 * i;
        runs[i].segment_length = 100 + 50 * i;
        runs[i].peer = &end->peer;
    }
    end->ops->send(end->endpoint, runs, runs_to_send);
    end->ops->reap(end->poller, completions, 16);
    const int count = end->ops->poll(end->poller, runs, 64);
    CHECK(count >= 0);
    end->ops->release(end->poller, runs, (uint32_t)count);
    return count;
}

int main(void)
{
    fl_clock_t *clock = fl_clock_virtual_new(1, 1);
    end_t near;
    end_t far;
    end_open(&near, clock, 1, 2);
    end_open(&far, clock, 2, 1);
    fl_memory_port_connect(near.port, far.port);
    for (int i = 0; i < 10; i++)
    {
        cycle(&near, 1);
        cycle(&far, 0);
    }

    const long before = fl_allocations;
    long received = 0;
    for (long i = 0; i < CYCLES / 2; i++)
    {
        const bool is_busy = 0 == i % 4;
        if (0 == i % 1000)
        {
            /* The tenth of a second passes: neighbours age, are asked again, and answer. */
            fl_clock_advance(clock, 100000000);
            near.ops->housekeeping(near.netstack, fl_clock_nano(clock));
            far.ops->housekeeping(far.netstack, fl_clock_nano(clock));
        }
        cycle(&near, is_busy ? RUNS : 0);
        received += cycle(&far, is_busy ? 1 : 0);
    }
    CHECK(before == fl_allocations);
    CHECK(received > CYCLES / 8);
    end_close(&near);
    end_close(&far);
    fl_clock_virtual_free(clock);
    return 0;
}
