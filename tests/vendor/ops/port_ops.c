/* Drives two ef_vi ports with operations of chance, one against the other on a wire in memory, over the stand-in for
 * libciul, which aborts on misuse. A model beside them says what each may answer; at intervals faults are taken away,
 * and everything that is sent has to arrive, and every buffer to be back.
 *
 *   port_ops SEED OPERATIONS DIRECTORY     eth2 and eth3 have to exist; time is the program's own
 */
#include <poll.h>
#include <sys/stat.h>
#include <time.h>

#include "port_side.h"

/* The stand-in looks at its faults by the clock, so the clock is one that goes by calls. */
static int64_t now_ns = INT64_C(1700000000000000000);

int __wrap_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
    (void)id;
    now_ns += 300;
    time->tv_sec = now_ns / 1000000000;
    time->tv_nsec = now_ns % 1000000000;
    return 0;
}

/* ---- faults ---- */

static const char *directory;

void faults_write(const char *driver)
{
    static time_t writes = 1000000000;
    char path[256];
    char beside[256];
    snprintf(path, sizeof(path), "%s/control", directory);
    snprintf(beside, sizeof(beside), "%s/control.new", directory);
    FILE *file = fopen(beside, "w");
    OPS_REQUIRE(NULL != file, "no file %s", beside);
    for (int i = 0; i < 2; i++)
    {
        if (NULL != sides[i].model)
        {
            fprintf(file, "%s model=%s %s\n", sides[i].interface, sides[i].model, sides[i].faults);
        }
    }
    if (NULL != driver)
    {
        fprintf(file, "* %s\n", driver);
    }
    fflush(file);
    /* The stand-in knows a new file by its time. */
    const struct timespec times[2] = {{.tv_sec = ++writes}, {.tv_sec = writes}};
    OPS_REQUIRE(0 == futimens(fileno(file), times), "the time of %s", beside);
    fclose(file);
    OPS_REQUIRE(0 == rename(beside, path), "rename to %s", path);
    now_ns += 3000000;
}

void faults_clear(side_t *side)
{
    side->faults[0] = '\0';
    side->filter_error = 0;
    side->is_lost = false;
    side->has_huge_pages = true;
}

static void change_faults(side_t *side)
{
    static const char *const words[] = {
        "stalled=1", "no-credits=1", "ctpio-fails=1", "tx-error=rights", "tx-error=overflow", "tx-error=length",
        "tx-error=bus", "discard=crc:3", "discard=length:2", "discard=l3:5", "discard=l4:1", "discard=inner:4",
        "discard=other:7", "others=1", "clock=set", "clock=unset", "clock=unknown", "clock=lost",
    };
    static const struct
    {
        const char *name;
        int value;
    } errors[] = {{"EBUSY", FL_EBUSY}, {"EEXIST", FL_EEXIST}, {"ENOSPC", FL_ENOSPC}, {"ENOMEM", FL_ENOMEM}};
    faults_clear(side);
    const uint32_t count = ops_once_in(3) ? 0 : ops_some(4);
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        used += (size_t)snprintf(
            side->faults + used, sizeof(side->faults) - used, "%s ",
            words[ops_below(sizeof(words) / sizeof(words[0]))]);
    }
    if (ops_once_in(8))
    {
        const uint32_t error = ops_below(4);
        side->filter_error = errors[error].value;
        used += (size_t)snprintf(side->faults + used, sizeof(side->faults) - used, "filter=%s ", errors[error].name);
    }
    if (ops_once_in(8))
    {
        side->has_huge_pages = false;
        used += (size_t)snprintf(side->faults + used, sizeof(side->faults) - used, "hugepages=0 ");
    }
    if (ops_done > side->lives_until && ops_once_in(6))
    {
        side->is_lost = ops_once_in(2);
        side->may_die = true;
        snprintf(side->faults + used, sizeof(side->faults) - used, side->is_lost ? "lost=1" : "overflow=1");
    }
    faults_write(NULL);
}

/* ---- with nothing wrong ---- */

/* Poll both until nothing moves any more: 32 events a poll, one for each of 2048 descriptors at most. */
static void drain(void)
{
    for (int idle = 0; idle < 70; idle++)
    {
        for (int i = 0; i < 2; i++)
        {
            side_t *side = &sides[i];
            for (uint32_t queue = 0; queue < side->queues; queue++)
            {
                side_release(side, queue, side->held_count[queue]);
                const int count = side_receive(side, queue, 64);
                if (count < 0)
                {
                    side_bury(side);
                    idle = 0;
                    break;
                }
                idle = 0 != count ? 0 : idle;
            }
        }
    }
}

/* The queue of a filter, adding one if there is none. */
static uint32_t queue_for(side_t *side, uint32_t target)
{
    for (uint32_t queue = 0; queue < side->queues; queue++)
    {
        if (0 != side->holders[target][queue])
        {
            return queue;
        }
    }
    const uint32_t queue = ops_below(side->queues);
    side_add_filter(side, queue, target);
    return queue;
}

/* Send so many, held by the receiver until all are there; every one has to arrive, or to be counted as a discard. */
static void transfer(side_t *from, side_t *to, uint32_t target, uint32_t wanted)
{
    const uint32_t queue = ops_below(from->queues);
    const int64_t discards = side_figure(to, "efvi-rx-discard");
    const int64_t before = from->sent;
    uint32_t rounds = 0;
    uint32_t receivers = 0;
    uint64_t got = 0;
    to->got_from = 0;
    memset(to->got, 0, sizeof(to->got));
    for (uint32_t i = 0; i < to->queues; i++)
    {
        receivers += 0 != to->holders[target][i];
    }
    int idle = 0;
    while (from->sent - before < (int64_t)wanted || idle < 3)
    {
        const uint32_t left = (uint32_t)(wanted - (from->sent - before));
        const uint32_t some = ops_some(OUT);
        if (0 != left)
        {
            side_allocate(from, queue, left < some ? left : some);
            side_send(from, queue, OUT, (int)target);
            side_receive(from, queue, 8);
        }
        idle = 0 == left ? idle + 1 : 0;
        for (uint32_t i = 0; i < to->queues; i++)
        {
            idle = 0 != side_receive(to, i, 64) ? 0 : idle;
            side_release(to, i, ops_once_in(4) ? to->held_count[i] : 0);
        }
        side_receive(from, queue, 8);
        OPS_REQUIRE(
            ++rounds < 10000, "%s takes %" PRId64 " of %u frames", from->interface, from->sent - before, wanted);
    }
    for (uint32_t i = 0; i < to->queues; i++)
    {
        got += to->got[i];
        OPS_REQUIRE(
            0 == to->holders[target][i] || '\0' != to->faults[0] || to->got[i] == wanted,
            "%" PRIu64 " of %u frames of target %u from %s came to queue %u", to->got[i], wanted,
            target, from->model, i);
    }
    const int64_t counted = side_figure(to, "efvi-rx-discard") - discards;
    OPS_REQUIRE(
        0 != to->facts.shared_queues || (int64_t)got + counted == (int64_t)wanted * receivers,
        "%u frames to %u queues: %" PRIu64 " came, %" PRId64 " were discarded", wanted, receivers, got, counted);
}

/* The descriptor of arm wakes at a frame. */
static void wake(side_t *from, side_t *to, uint32_t target)
{
    const uint32_t queue = queue_for(to, target);
    const int fd = OPS_EXPECT(ops->arm(to->port, queue), FL_EAGAIN);
    struct pollfd look = {.fd = fd, .events = POLLIN};
    if (fd >= 0)
    {
        OPS_REQUIRE(to->fds[queue] < 0 || fd == to->fds[queue], "another descriptor: %d, %d", fd, to->fds[queue]);
        to->fds[queue] = fd;
        side_allocate(from, 0, 1);
        OPS_REQUIRE(1 == side_send(from, 0, 1, (int)target), "%s takes nothing", from->interface);
        OPS_REQUIRE(
            1 == poll(&look, 1, 0), "a frame came to queue %u of %s, and its descriptor sleeps", queue, to->model);
        OPS_REQUIRE(0 == ops->disarm(to->port, queue), "disarm");
    }
}

static void settle(void)
{
    for (int i = 0; i < 2; i++)
    {
        faults_clear(&sides[i]);
    }
    faults_write(NULL);
    drain();
    for (int i = 0; i < 2; i++)
    {
        side_t *side = &sides[i];
        side->may_die = false;
        for (uint32_t queue = 0; queue < side->queues; queue++)
        {
            side_abandon(side, queue, side->out_count[queue]);
            const uint32_t buffers = side_count_buffers(side, queue);
            OPS_REQUIRE(
                buffers == side->buffers[queue], "%s has %u transmit buffers of %u", side->model, buffers,
                side->buffers[queue]);
        }
        OPS_REQUIRE(
            side_figure(side, "efvi-tx-frames") == side->sent && side_figure(side, "efvi-rx-frames") == side->received,
            "%" PRId64 " sent and %" PRId64 " received are not what is counted", side->sent, side->received);
    }
    side_t *from = &sides[ops_below(2)];
    side_t *to = &sides[1 - from->number];
    const uint32_t target = ops_below(TARGETS);
    queue_for(to, target);
    if (ops_once_in(2))
    {
        snprintf(to->faults, sizeof(to->faults), "discard=crc:%u", 1 + ops_below(5));
        faults_write(NULL);
        drain();
    }
    transfer(from, to, target, ops_once_in(3) ? HELD : ops_some(HELD));
    faults_clear(to);
    faults_write(NULL);
    drain();
    wake(from, to, target);
    drain();
}

/* ---- operations ---- */

static void stop_and_start(side_t *side)
{
    for (uint32_t queue = 0; queue < side->queues; queue++)
    {
        side_release(side, queue, side->held_count[queue]);
        side_abandon(side, queue, side->out_count[queue]);
        OPS_REQUIRE(0 == ops->queue_leave(side->port, queue), "leave queue %u", queue);
        OPS_REQUIRE(0 == queue || 1 == side->queues || -FL_EBUSY != ops->queue_leave(side->port, queue), "leave again");
    }
    if (ops_once_in(2))
    {
        OPS_REQUIRE(0 == ops->stop(side->port), "stop");
        for (uint32_t target = 0; target < TARGETS; target++)
        {
            for (uint32_t queue = 0; queue < side->queues; queue++)
            {
                side->gone[target][queue] =
                    0 != side->holders[target][queue] ? ops_done + 1 : side->gone[target][queue];
                side->holders[target][queue] = 0;
            }
        }
        OPS_REQUIRE(0 == ops->start(side->port, side->queues), "start");
    }
    for (uint32_t queue = 0; queue < side->queues; queue++)
    {
        OPS_REQUIRE(0 == ops->queue_enter(side->port, queue), "enter queue %u", queue);
    }
}

static void look(side_t *side)
{
    fl_event_t events[4];
    fl_stat_t stats[64];
    fl_port_attributes_t attributes = {.size = sizeof(attributes)};
    OPS_EXPECT(ops->stats(side->port, stats, ops_below(64)));
    OPS_EXPECT(ops->housekeeping(side->port, now_ns), FL_ENODEV);
    OPS_EXPECT(ops->attributes(side->port, &attributes), FL_ENODEV);
    const fl_address_t group = target_address(side->number, 7);
    OPS_EXPECT(ops_once_in(2) ? ops->join_group(side->port, &group) : ops->leave_group(side->port, &group), FL_ENODEV);
    /* A loss is told when it is buried, so what is taken here is not of one. */
    const int count = side->may_die ? 0 : OPS_EXPECT(ops->events(side->port, events, ops_below(5)));
    for (int i = 0; i < count; i++)
    {
        OPS_REQUIRE(FL_EVENT_REMOVED != events[i].kind, "%s", events[i].text);
    }
}

static void sleep_and_wake(side_t *side, uint32_t queue)
{
    const int fd = OPS_EXPECT(ops->arm(side->port, queue), FL_EAGAIN, FL_ENODEV);
    if (fd >= 0)
    {
        OPS_REQUIRE(side->fds[queue] < 0 || fd == side->fds[queue], "another descriptor: %d, %d", fd, side->fds[queue]);
        side->fds[queue] = fd;
        OPS_REQUIRE(0 == ops->disarm(side->port, queue), "disarm");
    }
}

static void step(void)
{
    side_t *side = &sides[ops_below(2)];
    const uint32_t queue = ops_below(side->queues);
    const uint32_t choice = ops_below(1000);
    if (choice < 200)
    {
        side_allocate(side, queue, ops_some(OUT));
    }
    else if (choice < 420)
    {
        side_send(side, queue, ops_some(OUT), -1);
    }
    else if (choice < 450)
    {
        side_abandon(side, queue, ops_below(side->out_count[queue] + 1));
    }
    else if (choice < 700)
    {
        if (side_receive(side, queue, ops_some(64)) < 0)
        {
            side_bury(side);
        }
    }
    else if (choice < 830)
    {
        side_release(side, queue, ops_below(side->held_count[queue] + 1));
    }
    else if (choice < 880)
    {
        OPS_EXPECT(ops->tx_reap(side->port, queue, NULL, 0), FL_ENODEV);
    }
    else if (choice < 930)
    {
        side_add_filter(side, queue, ops_below(TARGETS));
    }
    else if (choice < 970)
    {
        side_remove_filter(side, queue, ops_below(TARGETS));
    }
    else if (choice < 985)
    {
        sleep_and_wake(side, queue);
    }
    else if (choice < 993)
    {
        look(side);
    }
    else if (choice < 996)
    {
        change_faults(side);
    }
    else if (choice == 996 && ops_once_in(2))
    {
        settle();
    }
    else if (choice == 997 && !side->may_die)
    {
        stop_and_start(side);
    }
    else if (choice == 998 && ops_done > side->lives_until)
    {
        side_close(side);
        side_open(side);
    }
}

int main(int count, char **arguments)
{
    const uint64_t operations = ops_begin(count, arguments, 3, "DIRECTORY");
    char description[512];
    directory = arguments[3];
    snprintf(
        description, sizeof(description), "eth2 wire=memory:%s; eth3 wire=memory:%s", directory, directory);
    setenv("FRAMELANE_CIUL", description, 1);
    snprintf(description, sizeof(description), "%s/control", directory);
    setenv("FRAMELANE_CIUL_CONTROL", description, 1);
    ops = fl_efvi_ops();
    side_open(&sides[0]);
    side_open(&sides[1]);
    int64_t shared = 0;
    while (ops_done < operations)
    {
        step();
        ops_done++;
        shared += 0 != sides[0].facts.shared_queues;
    }
    settle();
    printf(
        "%u and %u openings, %" PRId64 "%% with shared queues\n", sides[0].lives, sides[1].lives,
        shared * 100 / (int64_t)operations);
    side_close(&sides[0]);
    side_close(&sides[1]);
    return 0;
}
