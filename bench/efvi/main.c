/* cost DIRECTORY CYCLES BATCH CASE...
 *
 * A case is SIDE:DIRECTION:MODEL:LENGTH, such as path:receive:x2522:64. Each runs in a process of its own, so that none
 * finds what another left, on a wire of its own under DIRECTORY, and prints a line: the case, datagrams, and
 * nanoseconds of all measured duty cycles. These are the calls of fl_cost_measured(): what the far end does comes
 * before or after them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cost.h"

#define FL_COST_WARM_UP 16              /* duty cycles: flows and headers are known */
#define FL_COST_PORT 20321

void fl_cost_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* What callgrind counts. Its name is told to the tool, so it stays a function. */
__attribute__((noinline)) uint32_t fl_cost_measured(
    uint32_t (*cycle)(void *side, fl_cost_t *cost), void *side, fl_cost_t *cost)
{
    return cycle(side, cost);
}

typedef struct fl_case
{
    const fl_cost_side_t *side;
    const char *model;
    fl_cost_t cost;
} fl_case_t;

static uint32_t fl_case_cycle(const fl_case_t *one, void *side, fl_cost_far_t *far, fl_cost_t *cost, bool is_measured)
{
    uint32_t (*cycle)(void *, fl_cost_t *) = cost->receives ? one->side->receive : one->side->transmit;
    if (cost->receives)
    {
        fl_cost_far_send(far, cost->batch);
    }
    const int64_t begin_ns = fl_measure_now();
    const uint32_t count = is_measured ? fl_cost_measured(cycle, side, cost) : cycle(side, cost);
    const int64_t end_ns = fl_measure_now();
    if (count != cost->batch)
    {
        fl_cost_fail("%u datagrams of %u in a duty cycle", count, cost->batch);
    }
    if (!cost->receives)
    {
        fl_cost_far_take(far, cost->batch);
    }
    return (uint32_t)(end_ns - begin_ns);
}

static void fl_case_run(fl_case_t *one, const char *name, const char *directory, uint32_t cycles)
{
    fl_cost_t *cost = &one->cost;
    char wire[64];
    char adapters[512];
    snprintf(wire, sizeof(wire), "%s/%d", directory, getpid());
    mkdir(wire, 0700);
    snprintf(
        adapters, sizeof(adapters), FL_COST_INTERFACE " model=%s mtu=%d wire=memory:%s;" FL_COST_FAR_INTERFACE
        " index=9999 model=x3522 mtu=%d wire=memory:%s", one->model, FL_COST_MTU, wire, FL_COST_MTU, wire);
    setenv("FRAMELANE_CIUL", adapters, 1);
    /* Of the loopback network, where an address is nobody's: several runs of this at once have one each. */
    const uint8_t own = (uint8_t)(getpid() % 250);
    cost->near = (fl_address_t){.family = FL_FAMILY_IPV4, .port = FL_COST_PORT, .bytes = {127, own, 1, 2}};
    cost->far = (fl_address_t){.family = FL_FAMILY_IPV4, .port = FL_COST_PORT, .bytes = {127, own, 1, 1}};
    const fl_floor_params_t params = {.length = cost->length, .has_checksums = 1};
    if (0 != fl_floor_work_open(&cost->work, &params))
    {
        fl_cost_fail("no memory");
    }
    void *side = one->side->open(cost);
    fl_cost_far_t *far = fl_cost_far_open(cost);
    one->side->begin(side, cost);
    for (uint32_t i = 0; i < FL_COST_WARM_UP; i++)
    {
        fl_case_cycle(one, side, far, cost, false);
    }
    int64_t elapsed_ns = 0;
    for (uint32_t i = 0; i < cycles; i++)
    {
        elapsed_ns += fl_case_cycle(one, side, far, cost, true);
    }
    one->side->close(side);
    fl_cost_far_close(far);
    fl_floor_work_close(&cost->work);
    rmdir(wire);
    printf("%s %d %llu %lld\n", name, getpid(), (unsigned long long)cycles * cost->batch, (long long)elapsed_ns);
    fflush(stdout);
}

static bool fl_case_parse(fl_case_t *one, char *text)
{
    const char *side = strsep(&text, ":");
    const char *direction = strsep(&text, ":");
    one->model = strsep(&text, ":");
    if (NULL == one->model || NULL == text)
    {
        return false;
    }
    one->cost.length = (uint32_t)atoi(text);
    one->cost.receives = 0 == strcmp(direction, "receive");
    one->side = 0 == strcmp(side, "path") ? &fl_cost_path : &fl_cost_floor;
    return (one->cost.receives || 0 == strcmp(direction, "transmit")) &&
        (0 == strcmp(side, "path") || 0 == strcmp(side, "floor")) && one->cost.length >= 18 &&
        one->cost.length <= FL_COST_MTU - 28;
}

int main(int count, char **words)
{
    if (count < 5)
    {
        fl_cost_fail("usage: cost DIRECTORY CYCLES BATCH SIDE:DIRECTION:MODEL:LENGTH...");
    }
    const uint32_t batch = (uint32_t)atoi(words[3]);
    if (0 == batch || batch > FL_COST_BATCH_MAXIMUM)
    {
        fl_cost_fail("a batch is 1 to %d datagrams, not %s", FL_COST_BATCH_MAXIMUM, words[3]);
    }
    for (int i = 4; i < count; i++)
    {
        fl_case_t one = {.cost = {.batch = batch}};
        char *text = strdup(words[i]);
        if (!fl_case_parse(&one, text))
        {
            fl_cost_fail("'%s' is no SIDE:DIRECTION:MODEL:LENGTH", words[i]);
        }
        fflush(stdout);
        const pid_t child = fork();
        if (0 == child)
        {
            fl_case_run(&one, words[i], words[1], (uint32_t)atoi(words[2]));
            return 0;
        }
        int status = 0;
        if (child < 0 || child != waitpid(child, &status, 0) || 0 != status)
        {
            fl_cost_fail("%s failed", words[i]);
        }
        free(text);
    }
    return 0;
}
