#include "driver/driver.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "shm/counters.h"
#include "util/error.h"

static const char *const fl_thread_names_classic[FL_AGENTS] = {"conductor", "sender", "receiver"};
static const char *const fl_thread_names_new[FL_AGENTS] = {
    "aeron-md-cond", "aeron-md-snd", "aeron-md-rcv"};
static const char *const fl_thread_names_shared[4] = {"shared", "aeron-md-shared", "network", "aeron-md-net"};

/* ---- making ---- */

_Atomic int64_t *fl_driver_counter(fl_driver_context_t *context, int32_t counter_id)
{
    const fl_cnc_t *cnc = context->config.cnc;
    const int32_t count = cnc->counters_values_length / (int32_t)sizeof(fl_counter_value_t);
    if (counter_id < 0 || counter_id >= count)
    {
        return NULL;
    }
    return (_Atomic int64_t *)(cnc->counters_values + (size_t)counter_id * sizeof(fl_counter_value_t));
}

static int fl_driver_find_counters(fl_driver_context_t *context)
{
    for (int i = 0; i < FL_SYSTEM_COUNTERS; i++)
    {
        context->system_counters[i] = fl_driver_counter(context, context->config.system_counter_ids[i]);
        if (NULL == context->system_counters[i])
        {
            return fl_error(FL_EINVAL, "system counter %d: %d is no counter of the CnC file", i,
                context->config.system_counter_ids[i]);
        }
    }
    for (int i = 0; i < FL_DROPS; i++)
    {
        context->drop_counters[i] = fl_driver_counter(context, context->config.drop_counter_ids[i]);
        if (NULL == context->drop_counters[i])
        {
            return fl_error(FL_EINVAL, "drop counter %d: %d is no counter of the CnC file", i,
                context->config.drop_counter_ids[i]);
        }
    }
    return 0;
}

static void fl_driver_init_agents(fl_driver_t *driver)
{
    const fl_driver_config_t *config = &driver->context.config;
    const struct
    {
        int (*do_work)(void *state, int64_t now_ns);
        bool (*is_at_rest)(const void *state);
        void *state;
        fl_poll_set_t *polls;
        int max_cycle_time;
        int cycles_over_threshold;
    } parts[FL_AGENTS] = {
        {fl_conductor_do_work, NULL, &driver->conductor, NULL, FL_COUNTER_CONDUCTOR_MAX_CYCLE_TIME,
            FL_COUNTER_CONDUCTOR_CYCLES_OVER_THRESHOLD},
        {fl_sender_do_work, fl_sender_is_at_rest, &driver->sender, &driver->sender.polls,
            FL_COUNTER_SENDER_MAX_CYCLE_TIME, FL_COUNTER_SENDER_CYCLES_OVER_THRESHOLD},
        {fl_receiver_do_work, fl_receiver_is_at_rest, &driver->receiver, &driver->receiver.polls,
            FL_COUNTER_RECEIVER_MAX_CYCLE_TIME, FL_COUNTER_RECEIVER_CYCLES_OVER_THRESHOLD},
    };
    const int64_t now_ns = fl_clock_nano_now(config->clock);
    driver->sender.polls.events = driver->receiver.polls.events = &driver->context.events;
    driver->sender.polls.object.kind = driver->receiver.polls.object.kind = FL_OBJECT_TRANSPORTS;
    driver->sender.polls.run_limit = config->sender_poll_runs;
    driver->receiver.polls.run_limit = config->receiver_poll_runs;
    for (int i = 0; i < FL_AGENTS; i++)
    {
        driver->agents[i] = (fl_agent_t){
            .name = fl_thread_names_classic[i],
            .do_work = parts[i].do_work,
            .is_at_rest = parts[i].is_at_rest,
            .state = parts[i].state,
            .polls = parts[i].polls,
            .cycle_threshold_ns = config->cycle_threshold_ns[i],
            .time_of_last_cycle_ns = now_ns,
            .max_cycle_time = driver->context.system_counters[parts[i].max_cycle_time],
            .cycles_over_threshold = driver->context.system_counters[parts[i].cycles_over_threshold],
        };
    }
}

/* Which runner executes which agent: DEDICATED one each, SHARED_NETWORK conductor and network, else one for all. */
static int fl_driver_init_runners(fl_driver_t *driver)
{
    static const int runner_by_mode[4][FL_AGENTS] = {{0, 1, 2}, {0, 1, 1}, {0, 0, 0}, {0, 0, 0}};
    const fl_driver_config_t *config = &driver->context.config;
    const int *runner_of = runner_by_mode[config->threading_mode];
    driver->runner_count = (uint32_t)runner_of[FL_AGENT_RECEIVER] + 1;
    for (int i = 0; i < FL_AGENTS; i++)
    {
        fl_runner_t *runner = &driver->runners[runner_of[i]];
        runner->agents[runner->agent_count++] = &driver->agents[i];
        driver->runner_of[i] = runner;
    }
    for (uint32_t i = 0; i < FL_AGENTS; i++)
    {
        driver->runners[i].wake_fd = -1;
    }
    for (uint32_t i = 0; i < driver->runner_count; i++)
    {
        const bool is_shared = driver->runners[i].agent_count > 1;
        const char *name = is_shared
            ? fl_thread_names_shared[(0 == i ? 0 : 2) + (config->thread_naming_new ? 1 : 0)]
            : (config->thread_naming_new ? fl_thread_names_new : fl_thread_names_classic)[i];
        const int result = fl_runner_init(&driver->runners[i], config->clock, &config->idle[i],
            config->cpu_affinity[i], name, &driver->context.has_clients);
        if (result < 0)
        {
            return result;
        }
    }
    return 0;
}

fl_driver_t *fl_driver_new(const fl_driver_config_t *config)
{
    if (config->threading_mode > FL_THREADING_INVOKER)
    {
        fl_error(FL_EINVAL, "threading mode %u is none of FL_THREADING_*", config->threading_mode);
        return NULL;
    }
    fl_driver_t *driver = aligned_alloc(_Alignof(fl_driver_t), sizeof(*driver));
    if (NULL == driver)
    {
        fl_error(FL_ENOMEM, "no memory for a driver");
        return NULL;
    }
    memset(driver, 0, sizeof(*driver));
    fl_driver_context_t *context = &driver->context;
    driver->pid = (int32_t)getpid();
    context->config = *config;
    context->clock = config->clock;
    atomic_init(&context->random_state, config->seed);
    context->events.wake_fd = -1;
    if (FL_THREADING_INVOKER != config->threading_mode)
    {
        context->events.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (context->events.wake_fd < 0)
        {
            fl_error(errno, "cannot make the control plane's wake-up descriptor: %s", strerror(errno));
            free(driver);
            return NULL;
        }
    }
    if (fl_driver_find_counters(context) < 0 || fl_conductor_init(&driver->conductor, context) < 0)
    {
        goto failed;
    }
    if (fl_sender_init(&driver->sender, context) < 0)
    {
        goto failed_sender;
    }
    if (fl_receiver_init(&driver->receiver, context) < 0)
    {
        goto failed_receiver;
    }
    fl_driver_init_agents(driver);
    if (fl_driver_init_runners(driver) < 0)
    {
        fl_driver_free(driver);
        return NULL;
    }
    return driver;

failed_receiver:
    fl_sender_destroy(&driver->sender);
failed_sender:
    fl_conductor_destroy(&driver->conductor);
failed:
    if (context->events.wake_fd >= 0)
    {
        close(context->events.wake_fd);
    }
    free(driver);
    return NULL;
}

int fl_driver_start(fl_driver_t *driver)
{
    if (FL_THREADING_INVOKER == driver->context.config.threading_mode)
    {
        fl_runner_begin(&driver->runners[0]);
        return 0;
    }
    for (uint32_t i = 0; i < driver->runner_count; i++)
    {
        const int result = fl_runner_start(&driver->runners[i]);
        if (result < 0)
        {
            fl_driver_stop(driver);
            return result;
        }
    }
    return 0;
}

/* A forked child has neither the agents' threads nor a right to the files. */
static bool fl_driver_is_mine(const fl_driver_t *driver)
{
    return (int32_t)getpid() == driver->pid;
}

int fl_driver_invoke(fl_driver_t *driver)
{
    return fl_driver_is_mine(driver) ? fl_runner_cycle(&driver->runners[0]) : 0;
}

int fl_driver_stop(fl_driver_t *driver)
{
    for (uint32_t i = 0; fl_driver_is_mine(driver) && i < driver->runner_count; i++)
    {
        fl_runner_stop(&driver->runners[i]);
    }
    return 0;
}

void fl_driver_free(fl_driver_t *driver)
{
    if (NULL == driver || !fl_driver_is_mine(driver))
    {
        return;
    }
    for (uint32_t i = 0; i < driver->runner_count; i++)
    {
        fl_runner_destroy(&driver->runners[i]);
    }
    fl_receiver_destroy(&driver->receiver);
    fl_sender_destroy(&driver->sender);
    fl_conductor_destroy(&driver->conductor);
    if (driver->context.events.wake_fd >= 0)
    {
        close(driver->context.events.wake_fd);
    }
    free(driver);
}

/* ---- waiting ---- */

static int fl_driver_what_is_there(fl_driver_t *driver)
{
    int what = 0;
    if (!fl_command_queue_is_empty(&driver->conductor.commands))
    {
        what |= FL_WAIT_COMMAND;
    }
    if (NULL != driver->taken || NULL != atomic_load_explicit(&driver->context.events.head, memory_order_seq_cst))
    {
        what |= FL_WAIT_EVENT;
    }
    return what;
}

int fl_driver_wait(fl_driver_t *driver, int wanted, int64_t timeout_ns)
{
    fl_object_stack_t *events = &driver->context.events;
    if (events->wake_fd < 0)
    {
        return fl_driver_what_is_there(driver) & wanted;
    }
    /* Sequentially consistent: pairs with the agents' stores of queue tail and stack head before they look at it. */
    atomic_store_explicit(&events->sleeping, 1, memory_order_seq_cst);
    int what = fl_driver_what_is_there(driver) & wanted;
    if (0 == what)
    {
        const struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
        struct pollfd poll_fd = {.fd = events->wake_fd, .events = POLLIN};
        ppoll(&poll_fd, 1, &timeout, NULL);
        what = fl_driver_what_is_there(driver) & wanted;
    }
    atomic_store_explicit(&events->sleeping, 0, memory_order_seq_cst);
    uint64_t ignored;
    ssize_t count = read(events->wake_fd, &ignored, sizeof(ignored));
    (void)count;
    return what;
}

void fl_driver_wake(fl_driver_t *driver)
{
    const uint64_t one = 1;
    if (driver->context.events.wake_fd >= 0)
    {
        ssize_t written = write(driver->context.events.wake_fd, &one, sizeof(one));
        (void)written;
    }
}

int fl_driver_next_command(fl_driver_t *driver, int32_t *type_id, uint8_t *buffer, int32_t capacity)
{
    return fl_command_queue_take(&driver->conductor.commands, type_id, buffer, capacity);
}

int fl_driver_next_event(fl_driver_t *driver, fl_driver_event_t *event)
{
    if (NULL == driver->taken)
    {
        driver->taken = fl_object_stack_take(&driver->context.events);
    }
    fl_object_t *object = driver->taken;
    if (NULL == object)
    {
        return 0;
    }
    driver->taken = object->next;
    if (FL_OBJECT_SETUP == object->kind || FL_OBJECT_PUBLICATION_ERROR == object->kind ||
        FL_OBJECT_RESPONSE_SETUP == object->kind)
    {
        fl_notice_read((fl_notice_t *)object, event);
    }
    else
    {
        memset(event, 0, sizeof(*event));
        event->kind = object->kind;
        event->id = object->id;
        event->mask = fl_object_take(object);
    }
    return 1;
}

void fl_driver_forget(fl_driver_t *driver, fl_object_t *object)
{
    fl_object_t **link = &driver->taken;
    while (NULL != *link)
    {
        link = &(*link)->next;
    }
    *link = fl_object_stack_take(&driver->context.events);
    for (link = &driver->taken; NULL != *link; link = &(*link)->next)
    {
        if (*link == object)
        {
            *link = object->next;
            return;
        }
    }
}

void fl_driver_set_has_clients(fl_driver_t *driver, int has_clients)
{
    atomic_store_explicit(&driver->context.has_clients, has_clients ? 1 : 0, memory_order_relaxed);
}
