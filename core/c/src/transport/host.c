#include "transport/host.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/error.h"

/* One place of the log's queue: a bounded queue of many producers and one consumer. `turn` tells whose it is: equal to
 * the ticket: a producer's; ticket + 1: the consumer's. */
typedef struct fl_log_slot
{
    _Atomic uint64_t turn;
    fl_log_line_t line;
} fl_log_slot_t;

struct fl_transport_host
{
    fl_host_t table;              /* first: transports pass its address back */
    fl_clock_t *clock;
    _Atomic uint64_t random_state;
    fl_counter_source_t counters;
    uint32_t counter_count;
    int64_t *allocated[FL_HOST_COUNTERS];
    uint32_t private_count;
    fl_host_counter_t private_counters[FL_HOST_PRIVATE_COUNTERS];
    _Atomic uint64_t log_window;  /* second << 8 | lines passed in it */
    _Atomic uint64_t log_suppressed;
    _Atomic uint64_t log_tail;
    uint64_t log_head;            /* the consumer's */
    fl_log_slot_t log[FL_HOST_LOG_LINES];
};

static fl_transport_host_t *fl_transport_host_of(const fl_host_t *table)
{
    return (fl_transport_host_t *)(uintptr_t)table;
}

static void fl_transport_host_error_set(const fl_host_t *table, const char *text)
{
    (void)table;
    fl_error(0, "%s", text);
}

static void fl_transport_host_error_append(const fl_host_t *table, const char *text)
{
    (void)table;
    fl_error_append("%s", text);
}

static int64_t fl_transport_host_nano_clock(const fl_host_t *table)
{
    return fl_clock_nano_now(fl_transport_host_of(table)->clock);
}

static int64_t fl_transport_host_epoch_clock(const fl_host_t *table)
{
    return fl_clock_epoch_now(fl_transport_host_of(table)->clock);
}

/* splitmix64: the state is a counter, so one atomic add makes it safe for every thread. */
static uint64_t fl_transport_host_random(const fl_host_t *table)
{
    const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
    fl_transport_host_t *host = fl_transport_host_of(table);
    uint64_t z = atomic_fetch_add_explicit(&host->random_state, step, memory_order_relaxed) + step;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t *fl_transport_host_private_counter(
    fl_transport_host_t *host, int32_t type_id, const void *key, size_t key_length, const char *label)
{
    if (FL_HOST_PRIVATE_COUNTERS == host->private_count)
    {
        return NULL;
    }
    fl_host_counter_t *counter = &host->private_counters[host->private_count++];
    counter->type_id = type_id;
    counter->key_length = (uint32_t)key_length;
    if (0 != key_length)
    {
        memcpy(counter->key, key, key_length);
    }
    snprintf(counter->label, sizeof(counter->label), "%s", label);
    return &counter->value;
}

static int64_t *fl_transport_host_counter_allocate(
    const fl_host_t *table, int32_t type_id, const void *key, size_t key_length, const char *label)
{
    fl_transport_host_t *host = fl_transport_host_of(table);
    if (key_length > sizeof(host->private_counters[0].key) || FL_HOST_COUNTERS == host->counter_count)
    {
        return NULL;
    }
    if (NULL == host->counters.allocate)
    {
        return fl_transport_host_private_counter(host, type_id, key, key_length, label);
    }
    int64_t *value = host->counters.allocate(host->counters.state, type_id, key, key_length, label);
    if (NULL != value)
    {
        host->allocated[host->counter_count++] = value;
    }
    return value;
}

/* Whether another line may pass in this second. */
static bool fl_transport_host_log_admit(fl_transport_host_t *host, int64_t now_ns)
{
    const uint64_t second = (uint64_t)(now_ns / INT64_C(1000000000));
    uint64_t seen = atomic_load_explicit(&host->log_window, memory_order_relaxed);
    for (;;)
    {
        const uint64_t passed = (seen >> 8) == second ? seen & 0xff : 0;
        if (passed >= FL_HOST_LOG_LINES_PER_SECOND)
        {
            return false;
        }
        /* Relaxed: the window orders nothing else. */
        if (atomic_compare_exchange_weak_explicit(
                &host->log_window, &seen, second << 8 | (passed + 1), memory_order_relaxed, memory_order_relaxed))
        {
            return true;
        }
    }
}

static void fl_transport_host_log(const fl_host_t *table, int32_t level, const char *text)
{
    fl_transport_host_t *host = fl_transport_host_of(table);
    if (!fl_transport_host_log_admit(host, fl_clock_nano_now(host->clock)))
    {
        atomic_fetch_add_explicit(&host->log_suppressed, 1, memory_order_relaxed);
        return;
    }

    uint64_t ticket = atomic_load_explicit(&host->log_tail, memory_order_relaxed);
    fl_log_slot_t *slot;
    for (;;)
    {
        slot = &host->log[ticket & (FL_HOST_LOG_LINES - 1)];
        /* Acquire: pairs with the release in fl_transport_host_log_poll; the consumer is done with the line. */
        const uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        if (turn == ticket)
        {
            if (atomic_compare_exchange_weak_explicit(
                    &host->log_tail, &ticket, ticket + 1, memory_order_relaxed, memory_order_relaxed))
            {
                break;
            }
        }
        else if ((int64_t)(turn - ticket) < 0)
        {
            atomic_fetch_add_explicit(&host->log_suppressed, 1, memory_order_relaxed);
            return;
        }
        else
        {
            ticket = atomic_load_explicit(&host->log_tail, memory_order_relaxed);
        }
    }
    slot->line.level = level;
    slot->line.epoch_ns = fl_clock_epoch_now(host->clock);
    strncpy(slot->line.text, text, sizeof(slot->line.text) - 1);
    /* Release: pairs with the acquire in fl_transport_host_log_poll; publishes the line. */
    atomic_store_explicit(&slot->turn, ticket + 1, memory_order_release);
}

int fl_transport_host_log_poll(fl_transport_host_t *host, fl_log_line_t *line)
{
    fl_log_slot_t *slot = &host->log[host->log_head & (FL_HOST_LOG_LINES - 1)];
    /* Acquire: pairs with the release in fl_transport_host_log. */
    if (atomic_load_explicit(&slot->turn, memory_order_acquire) != host->log_head + 1)
    {
        return 0;
    }
    *line = slot->line;
    /* Release: pairs with the acquire in fl_transport_host_log; the slot may be written again. */
    atomic_store_explicit(&slot->turn, host->log_head + FL_HOST_LOG_LINES, memory_order_release);
    host->log_head++;
    return 1;
}

uint64_t fl_transport_host_log_suppressed(fl_transport_host_t *host)
{
    return atomic_load_explicit(&host->log_suppressed, memory_order_relaxed);
}

fl_transport_host_t *fl_transport_host_new(fl_clock_t *clock, uint64_t seed, const fl_counter_source_t *counters)
{
    fl_transport_host_t *host = calloc(1, sizeof(*host));
    if (NULL == host)
    {
        fl_error(FL_ENOMEM, "transport host: no memory");
        return NULL;
    }
    host->table = (fl_host_t){
        .magic = FL_HOST_MAGIC,
        .size = sizeof(fl_host_t),
        .abi_version = FL_ABI_VERSION,
        .error_set = fl_transport_host_error_set,
        .error_append = fl_transport_host_error_append,
        .nano_clock = fl_transport_host_nano_clock,
        .epoch_clock = fl_transport_host_epoch_clock,
        .random = fl_transport_host_random,
        .counter_allocate = fl_transport_host_counter_allocate,
        .log = fl_transport_host_log,
    };
    host->clock = clock;
    atomic_init(&host->random_state, seed);
    if (NULL != counters)
    {
        host->counters = *counters;
    }
    for (uint64_t i = 0; i < FL_HOST_LOG_LINES; i++)
    {
        atomic_init(&host->log[i].turn, i);
    }
    return host;
}

void fl_transport_host_free(fl_transport_host_t *host)
{
    if (NULL != host)
    {
        for (uint32_t i = 0; i < host->counter_count && NULL != host->counters.free; i++)
        {
            host->counters.free(host->counters.state, host->allocated[i]);
        }
        free(host);
    }
}

const fl_host_t *fl_transport_host_table(fl_transport_host_t *host)
{
    return &host->table;
}

int fl_transport_host_counter(fl_transport_host_t *host, uint32_t index, fl_host_counter_t *counter)
{
    if (index >= host->private_count)
    {
        return 0;
    }
    *counter = host->private_counters[index];
    return 1;
}
