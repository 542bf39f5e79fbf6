#include "ops.h"

uint64_t ops_seed;
uint64_t ops_state;
uint64_t ops_done;
char ops_error[1024];

static void ops_host_error(const fl_host_t *host, const char *text)
{
    (void)host;
    snprintf(ops_error, sizeof(ops_error), "%s", text);
}

static void ops_host_append(const fl_host_t *host, const char *text)
{
    (void)host;
    const size_t length = strlen(ops_error);
    snprintf(ops_error + length, sizeof(ops_error) - length, "%s", text);
}

static int64_t ops_host_clock(const fl_host_t *host)
{
    (void)host;
    return (int64_t)ops_done * 1000;
}

static uint64_t ops_host_random(const fl_host_t *host)
{
    (void)host;
    return ops_random();
}

static void ops_host_log(const fl_host_t *host, int32_t level, const char *text)
{
    (void)host;
    (void)level;
    (void)text;
}

const fl_host_t ops_host = {
    .magic = FL_HOST_MAGIC,
    .size = sizeof(fl_host_t),
    .abi_version = FL_ABI_VERSION,
    .error_set = ops_host_error,
    .error_append = ops_host_append,
    .nano_clock = ops_host_clock,
    .epoch_clock = ops_host_clock,
    .random = ops_host_random,
    .log = ops_host_log,
};
