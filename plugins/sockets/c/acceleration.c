#include "acceleration.h"

#include <assert.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* VMA and XLIO answer to a getsockopt on these descriptors, which are none (bypass-apis 3.4, 3.8). */
#define FL_GET_API 2800
#define FL_VMA_DESCRIPTOR (-1)
#define FL_XLIO_DESCRIPTOR (-2)
#define FL_XLIO_MAGIC UINT64_C(0x4f494c584144564e)

/* VMA's extra API, of which get_socket_rings_num is the seventh entry and the mask of what there is the twentieth. */
#define FL_VMA_HAS_RINGS_NUM (UINT64_C(1) << 10)

typedef struct fl_vma_api
{
    void *before[6];
    int (*get_socket_rings_num)(int fd);
    void *between[12];
    uint64_t supported_mask;
} fl_vma_api_t;

static_assert(offsetof(fl_vma_api_t, get_socket_rings_num) == 48, "get_socket_rings_num");
static_assert(offsetof(fl_vma_api_t, supported_mask) == 152, "vma_extra_supported_mask");

/* Of Onload's extensions: what onload_fd_stat() writes. The name is the caller's to free. */
typedef struct fl_onload_stat
{
    int32_t stack_id;
    char *stack_name;
    int32_t endpoint_id;
    int32_t endpoint_state;
} fl_onload_stat_t;

typedef int (*fl_onload_fd_stat_t)(int fd, fl_onload_stat_t *stat);

static fl_onload_fd_stat_t fl_find_onload(void)
{
    fl_onload_fd_stat_t found;
    *(void **)&found = dlsym(RTLD_DEFAULT, "onload_fd_stat");
    return found;
}

static const void *fl_find_api(int descriptor)
{
    const void *api = NULL;
    socklen_t length = sizeof(api);
    return 0 == getsockopt(descriptor, SOL_SOCKET, FL_GET_API, &api, &length) ? api : NULL;
}

uint32_t fl_acceleration_find(void)
{
    if (NULL != fl_find_onload())
    {
        return FL_ACCELERATOR_ONLOAD;
    }
    if (NULL != fl_find_api(FL_VMA_DESCRIPTOR))
    {
        return FL_ACCELERATOR_VMA;
    }
    const uint64_t *magic = fl_find_api(FL_XLIO_DESCRIPTOR);
    return NULL != magic && FL_XLIO_MAGIC == *magic ? FL_ACCELERATOR_XLIO : FL_ACCELERATOR_NONE;
}

const char *fl_acceleration_name(uint32_t accelerator)
{
    static const char *const names[] = {
        [FL_ACCELERATOR_NONE] = "none",
        [FL_ACCELERATOR_ONLOAD] = "Onload",
        [FL_ACCELERATOR_VMA] = "VMA",
        [FL_ACCELERATOR_XLIO] = "XLIO",
    };
    return names[accelerator];
}

int fl_acceleration_of(uint32_t accelerator, int fd)
{
    if (FL_ACCELERATOR_ONLOAD == accelerator)
    {
        fl_onload_stat_t stat = { 0 };
        const int result = fl_find_onload()(fd, &stat);
        free(stat.stack_name);
        return result > 0;
    }
    if (FL_ACCELERATOR_VMA == accelerator)
    {
        const fl_vma_api_t *api = fl_find_api(FL_VMA_DESCRIPTOR);
        return NULL != api && 0 != (api->supported_mask & FL_VMA_HAS_RINGS_NUM) ? api->get_socket_rings_num(fd) > 0
                                                                               : -FL_ENOTSUP;
    }
    return -FL_ENOTSUP;
}
