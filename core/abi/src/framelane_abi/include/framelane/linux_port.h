/* The life of a port on an interface that stays with Linux: in whose process it is, its link, its loss, and what
 * `events` says of them. For C sources alone; cffi does not take it.
 *
 * The port's struct begins with the one of this header, so that a pointer to one is a pointer to the other:
 *
 *     struct fl_port { fl_linux_port_t base; ... };
 */
#ifndef FRAMELANE_LINUX_PORT_H
#define FRAMELANE_LINUX_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <framelane/errors.h>
#include <framelane/linux_interface.h>
#include <framelane/port.h>

typedef struct fl_linux_port
{
    /* Never change after open. */
    const fl_host_t *host;
    const char *interface;
    uint32_t index;                /* of the interface, as it was at open */
    int control;                   /* for ioctls; in the interface's network namespace */
    pid_t pid;                     /* a forked child does nothing to the device */

    uint32_t queue_count;          /* started; 0: not started */

    /* Written by housekeeping and by the queues, read by events: relaxed, for each says all there is to say. */
    _Atomic int loss;              /* 0, or why the device is lost: a number of the plugin's own */
    _Atomic bool has_link;
    bool is_loss_reported;
    bool has_link_reported;
    bool is_note_reported;
} fl_linux_port_t;

/* Writes a terminated text about a port. */
typedef void (*fl_port_describe_t)(const fl_port_t *port, char *text, size_t length);

static inline fl_linux_port_t *fl_linux_port(const fl_port_t *port)
{
    return (fl_linux_port_t *)(uintptr_t)port;
}

/* Begin a port that is all zero. interface: terminated; stays. */
static inline void fl_linux_port_init(fl_port_t *port, const fl_host_t *host, const char *interface)
{
    fl_linux_port_t *base = fl_linux_port(port);
    base->host = host;
    base->interface = interface;
    base->pid = getpid();
    base->control = -1;
}

/* Make the descriptor for ioctls. Returns 0, or a negative FL_E* with its text. The index is the caller's to set. */
static inline int fl_linux_port_open(fl_port_t *port, fl_failure_t *failure)
{
    fl_linux_port_t *base = fl_linux_port(port);
    base->control = fl_interface_socket();
    if (base->control < 0)
    {
        return fl_fail(failure, -base->control, "open a socket for ioctls: %s", strerror(-base->control));
    }
    return 0;
}

/* Close the descriptor for ioctls, also if there is none. */
static inline void fl_linux_port_close(fl_port_t *port)
{
    fl_linux_port_t *base = fl_linux_port(port);
    if (base->control >= 0)
    {
        close(base->control);
    }
    base->control = -1;
}

/* Whether this process opened the port. */
static inline bool fl_linux_port_is_mine(const fl_port_t *port)
{
    return getpid() == fl_linux_port(port)->pid;
}

static inline bool fl_linux_port_is_lost(const fl_port_t *port)
{
    return 0 != atomic_load_explicit(&fl_linux_port(port)->loss, memory_order_relaxed);
}

/* The device is lost. why: not 0. Any thread. */
static inline void fl_linux_port_lose(fl_port_t *port, int why)
{
    atomic_store_explicit(&fl_linux_port(port)->loss, why, memory_order_relaxed);
}

/* Hand a failure's text to the host, if `code` is one. Returns code. Thread: control. */
static inline int fl_linux_port_fail(const fl_port_t *port, int code, const fl_failure_t *failure)
{
    const fl_host_t *host = fl_linux_port(port)->host;
    if (code < 0)
    {
        host->error_set(host, failure->text);
    }
    return code;
}

/* Hand out what `attributes` found, as much of it as the host knows. */
static inline void fl_port_attributes_give(fl_port_attributes_t *attributes, const fl_port_attributes_t *found)
{
    memcpy(attributes, found, attributes->size < sizeof(*found) ? attributes->size : sizeof(*found));
}

/* Check what `start` is asked for. Returns 0, or -FL_EBUSY or -FL_EINVAL with its text. */
static inline int fl_linux_port_check_start(
    const fl_port_t *port, uint32_t queues, uint32_t offered, fl_failure_t *failure)
{
    const fl_linux_port_t *base = fl_linux_port(port);
    if (0 != base->queue_count)
    {
        return fl_fail(failure, EBUSY, "start: the port is started already");
    }
    if (0 == queues || queues > offered)
    {
        return fl_fail(failure, EINVAL, "start %u queues: %s offers %u", queues, base->interface, offered);
    }
    return 0;
}

/* Check what queue_enter and queue_leave are given. Returns 0 or -FL_EINVAL. */
static inline int fl_linux_port_check_queue(const fl_port_t *port, uint32_t queue)
{
    return queue < fl_linux_port(port)->queue_count ? 0 : -FL_EINVAL;
}

/* Wait for the link, at the end of `start`: what was done before makes some drivers take it down and up again. From
 * then on a link is what is expected: `events` says so if there is none. */
static inline void fl_linux_port_wait_for_link(fl_port_t *port, uint32_t limit_ms)
{
    fl_linux_port_t *base = fl_linux_port(port);
    const uint32_t pause_ms = 10;
    const struct timespec pause = {.tv_nsec = pause_ms * 1000000};
    bool has_link = 1 == fl_interface_has_link(base->control, base->interface, base->index);
    for (uint32_t waited_ms = 0; waited_ms + pause_ms <= limit_ms && !has_link; waited_ms += pause_ms)
    {
        nanosleep(&pause, NULL);
        has_link = 1 == fl_interface_has_link(base->control, base->interface, base->index);
    }
    atomic_store_explicit(&base->has_link, has_link, memory_order_relaxed);
    base->has_link_reported = true;
}

static inline fl_event_t *fl_event_init(fl_event_t *event, uint32_t kind)
{
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    return event;
}

/* What `events` returns of a port: once what it is, once that it is lost, and while it is started how its link
 * changes. */
static inline int fl_linux_port_events(
    fl_port_t *port, fl_event_t *events, uint32_t capacity, fl_port_describe_t describe,
    fl_port_describe_t describe_loss)
{
    fl_linux_port_t *base = fl_linux_port(port);
    uint32_t count = 0;
    if (!fl_linux_port_is_mine(port))
    {
        return 0;
    }
    if (!base->is_note_reported && count < capacity)
    {
        base->is_note_reported = true;
        fl_event_t *event = fl_event_init(&events[count++], FL_EVENT_NOTE);
        describe(port, event->text, sizeof(event->text));
    }
    if (fl_linux_port_is_lost(port))
    {
        if (!base->is_loss_reported && count < capacity)
        {
            base->is_loss_reported = true;
            fl_event_t *event = fl_event_init(&events[count++], FL_EVENT_REMOVED);
            describe_loss(port, event->text, sizeof(event->text));
        }
        return (int)count;
    }
    const bool has_link = atomic_load_explicit(&base->has_link, memory_order_relaxed);
    if (0 != base->queue_count && has_link != base->has_link_reported && count < capacity)
    {
        base->has_link_reported = has_link;
        fl_event_t *event = fl_event_init(&events[count++], has_link ? FL_EVENT_LINK_UP : FL_EVENT_LINK_DOWN);
        snprintf(event->text, sizeof(event->text), "%s", base->interface);
    }
    return (int)count;
}

#endif
