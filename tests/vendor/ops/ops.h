/* What the random drivers of ops tables share: a seeded generator, a host, and how a failure is told.
 *
 * A program prints its seed first; the same seed and number of operations do the same again. */
#ifndef FL_OPS_H
#define FL_OPS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <framelane/host.h>

extern uint64_t ops_seed;
extern uint64_t ops_state;
extern uint64_t ops_done;
extern char ops_error[1024];   /* the last error text that was set */
extern const fl_host_t ops_host;

static inline uint64_t ops_mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static inline uint64_t ops_random(void)
{
    return ops_mix(ops_state += 0x9e3779b97f4a7c15u);
}

/* A number below limit, which is not 0. */
static inline uint32_t ops_below(uint32_t limit)
{
    return (uint32_t)(ops_random() % limit);
}

static inline bool ops_once_in(uint32_t times)
{
    return 0 == ops_below(times);
}

/* Mostly few, sometimes many: 1 to limit. */
static inline uint32_t ops_some(uint32_t limit)
{
    return 1 + ops_below(ops_once_in(8) ? limit : limit < 4 ? limit : 4);
}

#define OPS_REQUIRE(condition, ...)                                                                                  \
    do                                                                                                               \
    {                                                                                                                \
        if (!(condition))                                                                                            \
        {                                                                                                            \
            fprintf(stderr, "%s:%d: operation %" PRIu64 " of seed %" PRIu64 ": %s: ", __FILE__, __LINE__, ops_done,  \
                ops_seed, #condition);                                                                               \
            fprintf(stderr, __VA_ARGS__);                                                                            \
            fprintf(stderr, "; last error text: %s\n", ops_error);                                                   \
            exit(1);                                                                                                 \
        }                                                                                                            \
    }                                                                                                                \
    while (0)

/* Require 0 or more, or one of the listed errors; ends with 0. */
static inline int ops_expect(const char *what, int code, const int *errors)
{
    bool is_listed = code >= 0;
    for (; 0 != *errors; errors++)
    {
        is_listed |= code == -*errors;
    }
    OPS_REQUIRE(is_listed, "%s returned %d", what, code);
    return code;
}

#define OPS_EXPECT(code, ...) ops_expect(#code, (code), (const int[]){__VA_ARGS__ __VA_OPT__(,) 0})

/* Arguments: SEED OPERATIONS, then the program's own. */
static inline uint64_t ops_begin(int count, char **arguments, int needed, const char *usage)
{
    if (count != needed + 1)
    {
        fprintf(stderr, "usage: %s SEED OPERATIONS %s\n", arguments[0], usage);
        exit(2);
    }
    ops_seed = ops_state = strtoull(arguments[1], NULL, 10);
    printf("seed %" PRIu64 ", %s operations\n", ops_seed, arguments[2]);
    fflush(stdout);
    return strtoull(arguments[2], NULL, 10);
}

/* The figure of a name. */
static inline int64_t ops_figure(const fl_stat_t *stats, int count, const char *name)
{
    for (int i = 0; i < count; i++)
    {
        if (0 == strcmp(stats[i].name, name))
        {
            return stats[i].value;
        }
    }
    OPS_REQUIRE(false, "no figure %s among %d", name, count);
    return 0;
}

#endif
