/* A client's sign of life, on a thread of its own, so that an application may hold the interpreter for as long as it
 * likes (shm 11.2). */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <framelane/types.h>

#include "api/client.h"
#include "shm/counters.h"
#include "shm/mpsc_ring.h"
#include "util/clock.h"
#include "util/error.h"

#define FL_KEEPALIVE_CHECK_INTERVAL_NS INT64_C(16000000)
#define FL_COUNTER_TYPE_CLIENT_HEARTBEAT 11
#define FL_NS_PER_MS INT64_C(1000000)

struct fl_keepalive
{
    fl_mpsc_ring_t ring;
    fl_counters_t counters;
    int64_t client_id;
    int64_t interval_ns;
    int64_t driver_timeout_ms;
    char information[384];
    int wake_fd;
    int32_t pid;
    int32_t counter_id;             /* -1: not found yet */
    int64_t deadline_ns;
    int64_t service_limit_ns;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stopped;
    bool is_stopping;
    _Atomic int state;
};

static bool fl_keepalive_is_own(const fl_keepalive_t *keepalive, int32_t id)
{
    const fl_counter_metadata_t *metadata = &keepalive->counters.metadata[id];
    int64_t client_id;
    if (1 != fl_i32_load_acquire(&metadata->state) || FL_COUNTER_TYPE_CLIENT_HEARTBEAT != metadata->type_id)
    {
        return false;
    }
    memcpy(&client_id, metadata->key, sizeof(client_id));
    return client_id == keepalive->client_id;
}

/* The search goes over every record: freed ones may lie before the heartbeat's (shm 5.3). */
static void fl_keepalive_find(fl_keepalive_t *keepalive)
{
    for (int32_t id = 0; id < keepalive->counters.count; id++)
    {
        const int32_t state = fl_i32_load_acquire(&keepalive->counters.metadata[id].state);
        if (0 == state)
        {
            return;
        }
        if (fl_keepalive_is_own(keepalive, id))
        {
            fl_counter_metadata_t *metadata = &keepalive->counters.metadata[id];
            const int32_t length = fl_i32_load_acquire(&metadata->label_length);
            const int32_t room = length < 0 || length > (int32_t)sizeof(metadata->label)
                ? 0 : (int32_t)sizeof(metadata->label) - length;
            int32_t added = (int32_t)strlen(keepalive->information);
            added = added < room ? added : room;
            memcpy(metadata->label + length, keepalive->information, (size_t)added);
            fl_i32_store_release(&metadata->label_length, length + added);
            keepalive->counter_id = id;
            return;
        }
    }
}

/* idle_ns: since the last turn */
static int fl_keepalive_check(fl_keepalive_t *keepalive, int64_t idle_ns)
{
    const int64_t now_ms = fl_clock_read(CLOCK_REALTIME) / FL_NS_PER_MS;
    const int64_t heartbeat_ms = fl_mpsc_ring_heartbeat(&keepalive->ring);
    if (-1 == heartbeat_ms)
    {
        return FL_KEEPALIVE_DRIVER_CLOSED;
    }
    if (now_ms > heartbeat_ms + keepalive->driver_timeout_ms)
    {
        return FL_KEEPALIVE_DRIVER_DEAD;
    }
    if (keepalive->counter_id >= 0 && idle_ns > keepalive->service_limit_ns)
    {
        /* The driver may have freed this client's counters and logs, and given them to somebody else. */
        return FL_KEEPALIVE_NOT_SERVICED;
    }
    if (keepalive->counter_id < 0)
    {
        fl_keepalive_find(keepalive);
    }
    else if (!fl_keepalive_is_own(keepalive, keepalive->counter_id))
    {
        return FL_KEEPALIVE_COUNTER_LOST;
    }
    if (keepalive->counter_id >= 0)
    {
        fl_counter_set(fl_counters_value(&keepalive->counters, keepalive->counter_id), now_ms);
    }
    return FL_KEEPALIVE_RUNNING;
}

static void *fl_keepalive_main(void *argument)
{
    fl_keepalive_t *keepalive = argument;
    pthread_setname_np(pthread_self(), "client-alive");
    pthread_mutex_lock(&keepalive->mutex);
    int64_t last_ns = fl_clock_read(CLOCK_MONOTONIC);
    while (!keepalive->is_stopping)
    {
        const int64_t now_ns = fl_clock_read(CLOCK_MONOTONIC);
        const int64_t idle_ns = now_ns - last_ns;
        last_ns = now_ns;
        /* Until the counter is there it is looked for in every turn: the driver makes it with the first command. */
        if (now_ns >= keepalive->deadline_ns || keepalive->counter_id < 0)
        {
            keepalive->deadline_ns = now_ns + keepalive->interval_ns;
            const int state = fl_keepalive_check(keepalive, idle_ns);
            if (FL_KEEPALIVE_RUNNING != state)
            {
                atomic_store_explicit(&keepalive->state, state, memory_order_release);
                const uint64_t one = 1;
                ssize_t written = keepalive->wake_fd < 0 ? 0 : write(keepalive->wake_fd, &one, sizeof(one));
                (void)written;
                break;
            }
        }
        const int64_t wake_ns = now_ns + FL_KEEPALIVE_CHECK_INTERVAL_NS;
        const struct timespec until = {wake_ns / 1000000000, wake_ns % 1000000000};
        pthread_cond_timedwait(&keepalive->stopped, &keepalive->mutex, &until);
    }
    pthread_mutex_unlock(&keepalive->mutex);
    return NULL;
}

fl_keepalive_t *fl_keepalive_start(fl_cnc_t *cnc, int64_t client_id, int64_t keepalive_interval_ns,
    int64_t driver_timeout_ms, const char *client_information, int wake_fd)
{
    fl_keepalive_t *keepalive = calloc(1, sizeof(*keepalive));
    if (NULL == keepalive)
    {
        fl_error(FL_ENOMEM, "no memory for the keepalive thread");
        return NULL;
    }
    if (fl_mpsc_ring_init(&keepalive->ring, cnc->to_driver, cnc->to_driver_length) < 0 ||
        fl_counters_init(&keepalive->counters, cnc->counters_metadata, cnc->counters_metadata_length,
            cnc->counters_values, cnc->counters_values_length) < 0)
    {
        free(keepalive);
        return NULL;
    }
    keepalive->client_id = client_id;
    keepalive->interval_ns = keepalive_interval_ns;
    keepalive->driver_timeout_ms = driver_timeout_ms;
    keepalive->service_limit_ns = cnc->metadata->client_liveness_timeout_ns;
    keepalive->wake_fd = wake_fd;
    keepalive->pid = (int32_t)getpid();
    keepalive->counter_id = -1;
    snprintf(keepalive->information, sizeof(keepalive->information), "%s", client_information);
    pthread_mutex_init(&keepalive->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keepalive->stopped, &attributes);
    pthread_condattr_destroy(&attributes);

    sigset_t all, previous;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    const int code = pthread_create(&keepalive->thread, NULL, fl_keepalive_main, keepalive);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    if (0 != code)
    {
        fl_error(code, "cannot start the keepalive thread: %s", strerror(code));
        pthread_cond_destroy(&keepalive->stopped);
        pthread_mutex_destroy(&keepalive->mutex);
        free(keepalive);
        return NULL;
    }
    return keepalive;
}

int fl_keepalive_state(fl_keepalive_t *keepalive)
{
    return atomic_load_explicit(&keepalive->state, memory_order_acquire);
}

void fl_keepalive_stop(fl_keepalive_t *keepalive)
{
    if ((int32_t)getpid() != keepalive->pid)
    {
        return;
    }
    pthread_mutex_lock(&keepalive->mutex);
    keepalive->is_stopping = true;
    pthread_cond_signal(&keepalive->stopped);
    pthread_mutex_unlock(&keepalive->mutex);
    pthread_join(keepalive->thread, NULL);
    pthread_cond_destroy(&keepalive->stopped);
    pthread_mutex_destroy(&keepalive->mutex);
    free(keepalive);
}
