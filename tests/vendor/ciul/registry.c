/* The table of VIs and filters that all processes on one wire share: a mapped file, written under its lock.
 *
 * A data path reads it only when its generation moves, into a copy of its own; a copy during which somebody wrote is
 * repeated. What a process leaves behind that was killed is removed by the next one that opens the table.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ciul.h"

#define FL_CIUL_MAGIC 0x1f7ac1000002u

/* When a process was started, in the kernel's ticks; 0 if there is none. */
static uint64_t fl_ciul_process_started(int32_t pid)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
    {
        return 0;
    }
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[length < 0 ? 0 : length] = '\0';
    char *at = strrchr(text, ')');
    unsigned long long started = 0;
    char state = 'Z';
    if (NULL == at ||
        2 != sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &state,
                 &started) ||
        'Z' == state)
    {
        return 0;
    }
    return started;
}

/* Writers of this process, and its readers beside them; the file's lock is between processes. */
static pthread_mutex_t fl_ciul_registry_mutex = PTHREAD_MUTEX_INITIALIZER;

static void fl_ciul_registry_begin(fl_ciul_registry_t *registry)
{
    pthread_mutex_lock(&fl_ciul_registry_mutex);
    while (0 != flock(registry->fd, LOCK_EX) && EINTR == errno)
    {
    }
    /* Acquire: pairs with the release in fl_ciul_registry_copy(). Nothing is written before the generation is odd. That
     * of a writer that was killed is odd already. */
    atomic_fetch_or_explicit(&registry->shared->generation, 1, memory_order_acquire);
}

static void fl_ciul_registry_end(fl_ciul_registry_t *registry)
{
    /* Release: pairs with the acquire in fl_ciul_registry_copy(). Publishes the table. */
    atomic_fetch_add_explicit(&registry->shared->generation, 1, memory_order_release);
    flock(registry->fd, LOCK_UN);
    pthread_mutex_unlock(&fl_ciul_registry_mutex);
}

static void fl_ciul_registry_remove_filter(fl_ciul_registry_t *registry, int id)
{
    fl_ciul_filter_t *filter = &registry->shared->filters[id];
    if (filter->is_dropped_by_kernel)
    {
        fl_ciul_kernel_drop_del(registry->ifindex, id);
    }
    memset(filter, 0, sizeof(*filter));
}

static void fl_ciul_registry_remove_member(fl_ciul_registry_t *registry, int member)
{
    for (int id = 0; id < FL_CIUL_FILTERS; id++)
    {
        if (registry->shared->filters[id].is_used && registry->shared->filters[id].member == (uint32_t)member)
        {
            fl_ciul_registry_remove_filter(registry, id);
        }
    }
    memset(&registry->shared->members[member], 0, sizeof(fl_ciul_member_t));
}

static int fl_ciul_registry_find_path(fl_ciul_registry_t *registry)
{
    if (registry->is_packet)
    {
        struct stat status;
        if (0 != stat("/proc/thread-self/ns/net", &status))
        {
            return -errno;
        }
        snprintf(registry->path, sizeof(registry->path), "/dev/shm/framelane-ciul-%lu-%d",
            (unsigned long)status.st_ino, registry->ifindex);
        return 0;
    }
    if (0 != strncmp(registry->wire, "memory:", 7))
    {
        fl_ciul_misuse("FRAMELANE_CIUL: wire '%s' is neither packet nor memory:DIRECTORY", registry->wire);
    }
    snprintf(registry->path, sizeof(registry->path), "%s/table", registry->wire + 7);
    return 0;
}

/* Open the file and lock it. The last member that left may have unlinked it meanwhile: then it is another one. */
static int fl_ciul_registry_open_file(fl_ciul_registry_t *registry)
{
    for (;;)
    {
        struct stat status;
        registry->fd = open(registry->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (registry->fd < 0 || 0 != flock(registry->fd, LOCK_EX) || 0 != fstat(registry->fd, &status))
        {
            return -errno;
        }
        if (0 != status.st_nlink)
        {
            bool is_short = (size_t)status.st_size < sizeof(fl_ciul_table_t);
            return is_short && 0 != ftruncate(registry->fd, sizeof(fl_ciul_table_t)) ? -errno : 0;
        }
        close(registry->fd);
    }
}

/* Enter the caller's process as a member; its index, or -ENOSPC. */
static int fl_ciul_registry_join(fl_ciul_registry_t *registry, const char *interface)
{
    for (int member = 0; member < FL_CIUL_MEMBERS; member++)
    {
        fl_ciul_member_t *one = &registry->shared->members[member];
        if (!one->is_used)
        {
            one->is_used = 1;
            one->pid = (int32_t)getpid();
            one->started = fl_ciul_process_started(one->pid);
            one->serial = ++registry->shared->serials;
            snprintf(one->interface, sizeof(one->interface), "%s", interface);
            return member;
        }
    }
    return -ENOSPC;
}

int fl_ciul_registry_open(fl_ciul_registry_t *registry, const fl_ciul_settings_t *settings, int ifindex)
{
    registry->fd = -1;
    registry->shared = NULL;
    registry->ifindex = ifindex;
    registry->is_packet = 0 == strcmp(settings->wire, "packet");
    snprintf(registry->wire, sizeof(registry->wire), "%s", settings->wire);
    int result = fl_ciul_registry_find_path(registry);
    if (0 == result)
    {
        result = fl_ciul_registry_open_file(registry);
    }
    if (result < 0)
    {
        fl_ciul_registry_close(registry);
        return result;
    }
    void *shared = mmap(NULL, sizeof(fl_ciul_table_t), PROT_READ | PROT_WRITE, MAP_SHARED, registry->fd, 0);
    if (MAP_FAILED == shared)
    {
        int error = errno;
        fl_ciul_registry_close(registry);
        return -error;
    }
    registry->shared = (fl_ciul_table_t *)shared;
    if (FL_CIUL_MAGIC != registry->shared->magic)
    {
        memset(shared, 0, sizeof(fl_ciul_table_t));
        registry->shared->magic = FL_CIUL_MAGIC;
    }
    fl_ciul_registry_begin(registry);
    for (int member = 0; member < FL_CIUL_MEMBERS; member++)
    {
        const fl_ciul_member_t *one = &registry->shared->members[member];
        if (one->is_used && fl_ciul_process_started(one->pid) != one->started)
        {
            fl_ciul_registry_remove_member(registry, member);
        }
    }
    result = fl_ciul_registry_join(registry, settings->interface);
    fl_ciul_registry_end(registry);
    return result;
}

void fl_ciul_registry_close(fl_ciul_registry_t *registry)
{
    if (NULL != registry->shared)
    {
        munmap(registry->shared, sizeof(fl_ciul_table_t));
        registry->shared = NULL;
    }
    if (0 <= registry->fd)
    {
        close(registry->fd);
        registry->fd = -1;
    }
}

void fl_ciul_registry_leave(fl_ciul_registry_t *registry, int member)
{
    bool is_empty = true;
    fl_ciul_registry_begin(registry);
    fl_ciul_registry_remove_member(registry, member);
    for (int i = 0; i < FL_CIUL_MEMBERS; i++)
    {
        is_empty &= !registry->shared->members[i].is_used;
    }
    if (is_empty)
    {
        unlink(registry->path);
    }
    fl_ciul_registry_end(registry);
}

static bool fl_ciul_match_is_multicast(const fl_ciul_match_t *match)
{
    return (4 == match->ip_version && 0xe0 == (match->local[0] & 0xf0)) ||
        (6 == match->ip_version && 0xff == match->local[0]);
}

/* Whether two owners cannot hold both. Rings replicate, also unicast; a shared queue has one owner for each unicast
 * filter, and a multicast filter may be wanted by all. */
static bool fl_ciul_filters_conflict(
    const fl_ciul_table_t *table, const fl_ciul_filter_t *held, const fl_ciul_filter_t *wanted, bool is_ring_model)
{
    bool is_same = held->type == wanted->type && 0 == memcmp(&held->match, &wanted->match, sizeof(held->match)) &&
        0 == strcmp(table->members[held->member].interface, table->members[wanted->member].interface);
    return is_same && (held->member == wanted->member || (!is_ring_model && !fl_ciul_match_is_multicast(&held->match)));
}

int fl_ciul_registry_filter_add(fl_ciul_registry_t *registry, const fl_ciul_filter_t *filter, bool is_ring_model)
{
    fl_ciul_table_t *table = registry->shared;
    int found = -ENOSPC;
    fl_ciul_registry_begin(registry);
    for (int id = FL_CIUL_FILTERS - 1; 0 <= id; id--)
    {
        if (!table->filters[id].is_used)
        {
            found = -EEXIST == found || -EBUSY == found ? found : id;
        }
        else if (fl_ciul_filters_conflict(table, &table->filters[id], filter, is_ring_model))
        {
            found = table->filters[id].member == filter->member ? -EEXIST : -EBUSY;
        }
    }
    if (0 <= found)
    {
        table->filters[found] = *filter;
        table->filters[found].is_used = 1;
        if (registry->is_packet && !fl_ciul_match_is_multicast(&filter->match) && FL_CIUL_FILTER_MAC != filter->type)
        {
            int result = fl_ciul_kernel_drop_add(registry->ifindex, found, &filter->match);
            if (result < 0)
            {
                memset(&table->filters[found], 0, sizeof(table->filters[found]));
                found = result;
            }
            else
            {
                table->filters[found].is_dropped_by_kernel = 1;
            }
        }
    }
    fl_ciul_registry_end(registry);
    return found;
}

int fl_ciul_registry_filter_del(fl_ciul_registry_t *registry, int id, int member)
{
    int result = -ENOENT;
    fl_ciul_registry_begin(registry);
    if (0 <= id && id < FL_CIUL_FILTERS && registry->shared->filters[id].is_used &&
        registry->shared->filters[id].member == (uint32_t)member)
    {
        fl_ciul_registry_remove_filter(registry, id);
        result = 0;
    }
    fl_ciul_registry_end(registry);
    return result;
}

bool fl_ciul_registry_copy(const fl_ciul_registry_t *registry, fl_ciul_table_t *copy)
{
    /* Acquire: pairs with the release in fl_ciul_registry_end(). */
    uint32_t before = atomic_load_explicit(&registry->shared->generation, memory_order_acquire);
    uint32_t held = atomic_load_explicit(&copy->generation, memory_order_relaxed);
    if (before == held || 0 != (before & 1) || 0 != pthread_mutex_trylock(&fl_ciul_registry_mutex))
    {
        return false;
    }
    memcpy(copy->members, registry->shared->members, sizeof(copy->members));
    memcpy(copy->filters, registry->shared->filters, sizeof(copy->filters));
    /* Release, by adding nothing: pairs with the acquire in fl_ciul_registry_begin(). A writer of another process that
     * began meanwhile is seen. */
    bool is_whole = before == atomic_fetch_add_explicit(&registry->shared->generation, 0, memory_order_release);
    atomic_store_explicit(&copy->generation, is_whole ? before : 0, memory_order_relaxed);
    pthread_mutex_unlock(&fl_ciul_registry_mutex);
    return is_whole;
}

static bool fl_ciul_filter_matches(
    const fl_ciul_filter_t *filter, const fl_ciul_headers_t *headers, const uint8_t *frame, size_t length)
{
    const fl_ciul_match_t *match = &filter->match;
    if (0 <= match->vlan_id && match->vlan_id != headers->vlan_id)
    {
        return false;
    }
    if (FL_CIUL_FILTER_MAC == filter->type)
    {
        return 6 <= length && 0 == memcmp(match->local, frame, 6);
    }
    return 0 != headers->l4_offset && match->ip_version == headers->ip_version &&
        match->protocol == headers->protocol && match->local_port_be == headers->local_port_be &&
        0 == memcmp(match->local, headers->local, sizeof(match->local)) &&
        (FL_CIUL_FILTER_FULL != filter->type ||
            (match->remote_port_be == headers->remote_port_be &&
                0 == memcmp(match->remote, headers->remote, sizeof(match->remote))));
}

int fl_ciul_filter_find(
    const fl_ciul_table_t *table, int member, const char *interface, const uint8_t *frame, size_t length)
{
    fl_ciul_headers_t headers;
    fl_ciul_headers_parse(&headers, frame, length);
    uint32_t best = UINT32_MAX;
    int own = -1;
    bool has_shared_queue = false;
    bool is_shared_match = false;
    int shared_match = -1;
    for (int id = 0; id < FL_CIUL_FILTERS; id++)
    {
        const fl_ciul_filter_t *filter = &table->filters[id];
        if (!filter->is_used || 0 != strcmp(table->members[filter->member].interface, interface))
        {
            continue;
        }
        bool is_shared = 0 != (filter->flags & EF_FILTER_FLAG_SHARED_RXQ);
        has_shared_queue |= is_shared && filter->member == (uint32_t)member;
        if (!fl_ciul_filter_matches(filter, &headers, frame, length) || best < filter->type)
        {
            continue;
        }
        if (filter->type < best)
        {
            best = filter->type;
            own = -1;
            is_shared_match = false;
        }
        if (filter->member == (uint32_t)member)
        {
            own = id;
        }
        if (is_shared)
        {
            is_shared_match = true;
            shared_match = id;
        }
    }
    if (own < 0 && has_shared_queue && is_shared_match)
    {
        return shared_match;
    }
    return own;
}
