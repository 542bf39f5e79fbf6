#include "library.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static fl_vma_library_t fl_library;
static bool fl_library_is_loaded;

const fl_vma_library_t *fl_vma_library(void)
{
    return fl_library_is_loaded ? &fl_library : NULL;
}

/* Find a call in the library itself. A handle's search goes on in what the library depends on, and the C library's call
 * of the same name would be a socket of the kernel. */
static void *fl_library_find(void *handle, const char *name)
{
    const struct link_map *map = NULL;
    void *found = dlsym(handle, name);
    Dl_info where;
    if (NULL == found || 0 != dlinfo(handle, RTLD_DI_LINKMAP, &map) || 0 == dladdr(found, &where))
    {
        return NULL;
    }
    /* An exported function of the library lies in the object that the handle is of: the same file gave both. */
    return 0 == strcmp(where.dli_fname, map->l_name) ? found : NULL;
}

/* Returns the name of a call that the library lacks, NULL if it has all. */
static const char *fl_library_find_calls(void *handle, fl_vma_calls_t *calls)
{
    const struct
    {
        const char *name;
        void **place;
    } wanted[] = {
        { "socket", (void **)&calls->socket },           { "close", (void **)&calls->close },
        { "bind", (void **)&calls->bind },               { "connect", (void **)&calls->connect },
        { "getsockname", (void **)&calls->getsockname }, { "setsockopt", (void **)&calls->setsockopt },
        { "getsockopt", (void **)&calls->getsockopt },   { "fcntl", (void **)&calls->fcntl },
        { "recvmsg", (void **)&calls->recvmsg },         { "sendto", (void **)&calls->sendto },
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
    {
        *wanted[i].place = fl_library_find(handle, wanted[i].name);
        if (NULL == *wanted[i].place)
        {
            return wanted[i].name;
        }
    }
    return NULL;
}

static bool fl_library_has(const fl_vma_library_t *library, uint64_t bits)
{
    return bits == (library->info.api_mask & bits);
}

static void fl_library_find_api(fl_vma_library_t *library)
{
    fl_vma_api_t *api = NULL;
    socklen_t length = sizeof(api);
    if (0 == library->calls.getsockopt(-1, SOL_SOCKET, FL_VMA_SO_GET_API, &api, &length) && NULL != api)
    {
        library->api = api;
        library->info.has_api = 1;
        library->info.api_mask = api->supported_mask;
        library->info.has_zero_copy = fl_library_has(library, FL_VMA_HAS_RECVFROM_ZCOPY | FL_VMA_HAS_FREE_PACKETS);
        library->info.has_verdict = fl_library_has(library, FL_VMA_HAS_RINGS_NUM);
    }
}

int fl_vma_library_load(const char *path, fl_vma_library_info_t *info, char *text, size_t length)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (NULL == handle)
    {
        snprintf(text, length, "%s", dlerror());
        return -FL_ENOENT;
    }
    const struct link_map *map = NULL;
    fl_vma_library_t found = { 0 };
    const char *missing = "its own name";
    if (0 == dlinfo(handle, RTLD_DI_LINKMAP, &map))
    {
        snprintf(found.info.path, sizeof(found.info.path), "%s", map->l_name);
        missing = fl_library_find_calls(handle, &found.calls);
    }
    if (NULL != missing)
    {
        snprintf(text, length, "%s has no %s of its own, so it is not VMA", path, missing);
        dlclose(handle);
        return -FL_EINVAL;
    }
    if (fl_library_is_loaded)
    {
        /* The same one again is the same handle, counted once more. */
        dlclose(handle);
        if (fl_library.calls.socket != found.calls.socket)
        {
            snprintf(text, length, "this process has loaded %s, and has one VMA only", fl_library.info.path);
            return -FL_EBUSY;
        }
        *info = fl_library.info;
        return 0;
    }
    found.info.is_stand_in = NULL != dlsym(handle, "fl_vma_stand_in");
    fl_library_find_api(&found);
    fl_library = found;
    fl_library_is_loaded = true;
    *info = fl_library.info;
    return 0;
}

int fl_vma_library_try(void)
{
    const int fd = fl_library.calls.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
    {
        return 0 != errno ? -errno : -FL_EIO;
    }
    fl_library.calls.close(fd);
    return 0;
}

fl_offload_t fl_vma_receives_offloaded(int fd)
{
    if (!fl_library_has(&fl_library, FL_VMA_HAS_RINGS_NUM))
    {
        return FL_OFFLOAD_UNKNOWN;
    }
    return fl_library.api->get_socket_rings_num(fd) > 0 ? FL_OFFLOAD_YES : FL_OFFLOAD_NO;
}

fl_offload_t fl_vma_sends_offloaded(int fd, const struct sockaddr_in *peer)
{
    if (!fl_library_has(&fl_library, FL_VMA_HAS_TX_RING_FD))
    {
        return FL_OFFLOAD_UNKNOWN;
    }
    struct sockaddr_in to = *peer;
    if (fl_library.api->get_socket_tx_ring_fd(fd, (struct sockaddr *)&to, sizeof(to)) >= 0)
    {
        return FL_OFFLOAD_YES;
    }
    return ENODATA == errno ? FL_OFFLOAD_UNKNOWN : FL_OFFLOAD_NO;
}
