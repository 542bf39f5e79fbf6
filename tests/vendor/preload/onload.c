/* Onload's answer about a descriptor: positive, and a name that the caller frees, if its socket is accelerated. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct onload_stat
{
    int32_t stack_id;
    char *stack_name;
    int32_t endpoint_id;
    int32_t endpoint_state;
};

int onload_fd_stat(int fd, struct onload_stat *stat)
{
    const char *words = getenv("ONLOAD_STAND_IN");
    if (fd < 0 || NULL == words || 0 == strcmp(words, "kernel"))
    {
        return 0;
    }
    stat->stack_id = 1;
    stat->stack_name = strdup("stand-in");
    stat->endpoint_id = fd;
    return 1;
}
