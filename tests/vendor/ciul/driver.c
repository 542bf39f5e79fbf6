/* Driver handles, protection domains and registered memory: the control plane, under one mutex.
 *
 * A handle is an epoll instance, so that it can be waited on like the device's own: fl_ciul_handle_kick() makes it
 * readable, and a VI that is primed adds its wire. A DMA address of the descriptor-ring adapters is no pointer, and
 * neighbouring pages have addresses that do not neighbour, as behind an IOMMU: who computes with it is found out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <etherfabric/memreg.h>

#include "ciul.h"

#define FL_CIUL_HANDLES 64
#define FL_CIUL_DOMAINS 64
#define FL_CIUL_REGIONS 256
#define FL_CIUL_PAGE ((size_t)EF_VI_NIC_PAGE_SIZE)
#define FL_CIUL_ADDRESS_BITS 36

typedef struct
{
    bool is_open;
    ef_driver_handle handle;
    int kick;
    int objects; /* PDs and VIs that use it */
} fl_ciul_handle_t;

typedef struct
{
    _Atomic(uint8_t *) memory; /* NULL: unused */
    size_t length;
    unsigned pd_id;
    ef_driver_handle handle;
    bool is_virtual; /* addresses are pointers */
    bool is_freed;   /* its table is gone, the memory stays pinned until the handle closes */
    uint8_t *lent;   /* for each EF_VI_DMA_ALIGN bytes: whether a receive buffer begins here */
} fl_ciul_region_t;

static pthread_mutex_t fl_ciul_mutex = PTHREAD_MUTEX_INITIALIZER;
static fl_ciul_handle_t fl_ciul_handles[FL_CIUL_HANDLES];
static fl_ciul_domain_t fl_ciul_domains[FL_CIUL_DOMAINS];
static fl_ciul_region_t fl_ciul_regions[FL_CIUL_REGIONS];

void fl_ciul_lock(void)
{
    pthread_mutex_lock(&fl_ciul_mutex);
}

void fl_ciul_unlock(void)
{
    pthread_mutex_unlock(&fl_ciul_mutex);
}

/* ---- handles ---- */

static fl_ciul_handle_t *fl_ciul_handle_find(ef_driver_handle handle)
{
    for (int i = 0; i < FL_CIUL_HANDLES; i++)
    {
        if (fl_ciul_handles[i].is_open && fl_ciul_handles[i].handle == handle)
        {
            return &fl_ciul_handles[i];
        }
    }
    return NULL;
}

void fl_ciul_handle_check(ef_driver_handle handle, const char *caller)
{
    fl_ciul_lock();
    bool is_open = NULL != fl_ciul_handle_find(handle);
    fl_ciul_unlock();
    if (!is_open)
    {
        fl_ciul_misuse("%s: driver handle %d is not open", caller, handle);
    }
}

void fl_ciul_handle_kick(ef_driver_handle handle, bool is_ready)
{
    eventfd_t value;
    fl_ciul_lock();
    const fl_ciul_handle_t *one = fl_ciul_handle_find(handle);
    if (NULL != one && is_ready)
    {
        eventfd_write(one->kick, 1);
    }
    else if (NULL != one)
    {
        eventfd_read(one->kick, &value);
    }
    fl_ciul_unlock();
}

int ef_driver_open(ef_driver_handle *dh_out)
{
    int error = fl_ciul_settings_open_error();
    if (0 != error)
    {
        return -error;
    }
    int result = -EMFILE;
    fl_ciul_lock();
    for (int i = 0; i < FL_CIUL_HANDLES && -EMFILE == result; i++)
    {
        fl_ciul_handle_t *one = &fl_ciul_handles[i];
        if (!one->is_open)
        {
            struct epoll_event readable = {.events = EPOLLIN};
            one->handle = epoll_create1(EPOLL_CLOEXEC);
            one->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            if (one->handle < 0 || one->kick < 0 || 0 != epoll_ctl(one->handle, EPOLL_CTL_ADD, one->kick, &readable))
            {
                result = -errno;
                break;
            }
            one->is_open = true;
            *dh_out = one->handle;
            result = 0;
        }
    }
    fl_ciul_unlock();
    return result;
}

int ef_driver_close(ef_driver_handle dh)
{
    fl_ciul_handle_check(dh, "ef_driver_close");
    fl_ciul_lock();
    for (int i = 0; i < FL_CIUL_REGIONS; i++)
    {
        fl_ciul_region_t *region = &fl_ciul_regions[i];
        if (NULL != atomic_load_explicit(&region->memory, memory_order_relaxed) && region->handle == dh)
        {
            atomic_store_explicit(&region->memory, NULL, memory_order_relaxed);
            free(region->lent);
        }
    }
    fl_ciul_handle_t *one = fl_ciul_handle_find(dh);
    one->is_open = false;
    close(one->kick);
    close(one->handle);
    fl_ciul_unlock();
    return 0;
}

/* ---- protection domains ---- */

static int fl_ciul_pd_alloc(
    ef_pd *pd, ef_driver_handle pd_dh, const fl_ciul_settings_t *settings, int ifindex, int flags)
{
    fl_ciul_handle_check(pd_dh, "ef_pd_alloc");
    if (0 != settings->pd_error)
    {
        return -settings->pd_error;
    }
    if (settings->is_lost)
    {
        return -ENODEV;
    }
    if (0 != (flags & EF_PD_EXPRESS) && !settings->is_express_capable)
    {
        return -EOPNOTSUPP;
    }
    int result = -ENOSPC;
    fl_ciul_lock();
    for (int i = 0; i < FL_CIUL_DOMAINS; i++)
    {
        fl_ciul_domain_t *domain = &fl_ciul_domains[i];
        if (!domain->is_used)
        {
            memset(domain, 0, sizeof(*domain));
            domain->is_used = true;
            domain->handle = pd_dh;
            domain->ifindex = ifindex;
            domain->is_express = 0 != (flags & EF_PD_EXPRESS);
            domain->settings = *settings;
            memset(pd, 0, sizeof(*pd));
            pd->pd_flags = (enum ef_pd_flags)flags;
            pd->pd_resource_id = (unsigned)i + 1;
            pd->pd_intf_name = domain->settings.interface;
            pd->pd_cluster_sock = -1;
            result = 0;
            break;
        }
    }
    fl_ciul_unlock();
    return result;
}

int ef_pd_alloc(ef_pd *pd, ef_driver_handle pd_dh, int ifindex, enum ef_pd_flags flags)
{
    fl_ciul_source_t source;
    fl_ciul_settings_t settings;
    fl_ciul_source_get(&source);
    int result = fl_ciul_settings_of_index(&settings, &source, ifindex);
    return result < 0 ? result : fl_ciul_pd_alloc(pd, pd_dh, &settings, ifindex, (int)flags);
}

int ef_pd_alloc_by_name(ef_pd *pd, ef_driver_handle pd_dh, const char *name, enum ef_pd_flags flags)
{
    fl_ciul_source_t source;
    fl_ciul_settings_t settings;
    fl_ciul_source_get(&source);
    int result = fl_ciul_settings_of_name(&settings, &source, name);
    return result < 0 ? result : fl_ciul_pd_alloc(pd, pd_dh, &settings, settings.index, (int)flags);
}

const char *ef_pd_interface_name(ef_pd *pd)
{
    return fl_ciul_domain_of(pd, "ef_pd_interface_name")->settings.interface;
}

fl_ciul_domain_t *fl_ciul_domain_of(const ef_pd *pd, const char *caller)
{
    if (0 == pd->pd_resource_id || FL_CIUL_DOMAINS < pd->pd_resource_id ||
        !fl_ciul_domains[pd->pd_resource_id - 1].is_used)
    {
        fl_ciul_misuse("%s: the protection domain was freed or never allocated", caller);
    }
    return &fl_ciul_domains[pd->pd_resource_id - 1];
}

int ef_pd_free(ef_pd *pd, ef_driver_handle pd_dh)
{
    fl_ciul_handle_check(pd_dh, "ef_pd_free");
    fl_ciul_domain_t *domain = fl_ciul_domain_of(pd, "ef_pd_free");
    fl_ciul_lock();
    int vis = domain->vis;
    domain->is_used = false;
    fl_ciul_unlock();
    if (0 != vis)
    {
        fl_ciul_misuse("ef_pd_free: %d virtual interfaces still use the protection domain", vis);
    }
    return 0;
}

/* ---- registered memory ---- */

/* The pages of a region in another order, so that no two neighbours have neighbouring addresses. */
static size_t fl_ciul_page_shuffle(size_t page)
{
    return page ^ ((page & 1) << 20);
}

int ef_memreg_alloc(
    ef_memreg *mr, ef_driver_handle mr_dh, struct ef_pd *pd, ef_driver_handle pd_dh, void *p_mem, size_t len_bytes)
{
    fl_ciul_handle_check(mr_dh, "ef_memreg_alloc");
    fl_ciul_handle_check(pd_dh, "ef_memreg_alloc");
    const fl_ciul_domain_t *domain = fl_ciul_domain_of(pd, "ef_memreg_alloc");
    if (0 != (uintptr_t)p_mem % FL_CIUL_PAGE || 0 == len_bytes || 0 != len_bytes % 2048)
    {
        fl_ciul_misuse("ef_memreg_alloc: %zu bytes at %p are no pages of %zu", len_bytes, p_mem, FL_CIUL_PAGE);
    }
    if (0 != domain->settings.memreg_error)
    {
        return -domain->settings.memreg_error;
    }
    size_t pages = (len_bytes + FL_CIUL_PAGE - 1) / FL_CIUL_PAGE;
    ef_addr *addresses = (ef_addr *)calloc(pages, sizeof(ef_addr));
    uint8_t *lent = (uint8_t *)calloc(len_bytes / EF_VI_DMA_ALIGN, 1);
    int result = NULL == addresses || NULL == lent ? -ENOMEM : -ENOSPC;
    fl_ciul_lock();
    for (size_t i = 0; i < FL_CIUL_REGIONS && -ENOSPC == result; i++)
    {
        fl_ciul_region_t *region = &fl_ciul_regions[i];
        if (NULL != atomic_load_explicit(&region->memory, memory_order_relaxed))
        {
            continue;
        }
        region->length = len_bytes;
        region->pd_id = pd->pd_resource_id;
        region->handle = mr_dh;
        region->is_virtual = domain->is_express || EF_VI_ARCH_EF10 != domain->settings.arch;
        region->is_freed = false;
        region->lent = lent;
        for (size_t page = 0; page < pages; page++)
        {
            addresses[page] = region->is_virtual
                ? (ef_addr)(uintptr_t)p_mem + page * FL_CIUL_PAGE
                : (((ef_addr)i + 1) << FL_CIUL_ADDRESS_BITS) | fl_ciul_page_shuffle(page) * FL_CIUL_PAGE;
        }
        /* Release: pairs with the acquire in fl_ciul_region_find(). Publishes the region. */
        atomic_store_explicit(&region->memory, (uint8_t *)p_mem, memory_order_release);
        result = 0;
    }
    fl_ciul_unlock();
    if (0 != result)
    {
        free(addresses);
        free(lent);
        return result;
    }
    mr->mr_dma_addrs = addresses;
    mr->mr_dma_addrs_base = addresses;
    return 0;
}

static fl_ciul_region_t *fl_ciul_region_find(ef_addr address, size_t *offset)
{
    size_t index = (size_t)(address >> FL_CIUL_ADDRESS_BITS);
    for (size_t i = 0; i < FL_CIUL_REGIONS; i++)
    {
        fl_ciul_region_t *region = &fl_ciul_regions[i];
        /* Acquire: pairs with the release in ef_memreg_alloc(). */
        const uint8_t *memory = atomic_load_explicit(&region->memory, memory_order_acquire);
        if (NULL == memory)
        {
            continue;
        }
        if (region->is_virtual)
        {
            *offset = (size_t)(address - (ef_addr)(uintptr_t)memory);
        }
        else if (i + 1 == index)
        {
            size_t within = (size_t)(address & (((ef_addr)1 << FL_CIUL_ADDRESS_BITS) - 1));
            *offset = fl_ciul_page_shuffle(within / FL_CIUL_PAGE) * FL_CIUL_PAGE + within % FL_CIUL_PAGE;
        }
        else
        {
            continue;
        }
        if (*offset < region->length)
        {
            return region;
        }
    }
    return NULL;
}

int ef_memreg_free(ef_memreg *mr, ef_driver_handle mr_dh)
{
    size_t offset = 0;
    fl_ciul_handle_check(mr_dh, "ef_memreg_free");
    if (NULL == mr->mr_dma_addrs_base)
    {
        fl_ciul_misuse("ef_memreg_free: the registration was freed before");
    }
    fl_ciul_lock();
    fl_ciul_region_t *region = fl_ciul_region_find(mr->mr_dma_addrs_base[0], &offset);
    if (NULL != region)
    {
        region->is_freed = true;
    }
    fl_ciul_unlock();
    free(mr->mr_dma_addrs_base);
    mr->mr_dma_addrs = NULL;
    mr->mr_dma_addrs_base = NULL;
    return 0;
}

uint8_t *fl_ciul_region_at(unsigned pd_id, ef_addr address, size_t length, const char *caller)
{
    size_t offset = 0;
    const fl_ciul_region_t *region = fl_ciul_region_find(address, &offset);
    if (NULL == region || region->is_freed)
    {
        fl_ciul_misuse("%s: DMA address 0x%llx is in no registered memory", caller, (unsigned long long)address);
    }
    if (region->pd_id != pd_id)
    {
        fl_ciul_misuse("%s: DMA address 0x%llx is of another protection domain", caller, (unsigned long long)address);
    }
    size_t contiguous = region->is_virtual ? region->length - offset : FL_CIUL_PAGE - offset % FL_CIUL_PAGE;
    if (contiguous < length)
    {
        fl_ciul_misuse("%s: %zu bytes at DMA address 0x%llx leave what is contiguous there, %zu bytes", caller, length,
            (unsigned long long)address, contiguous);
    }
    return atomic_load_explicit(&region->memory, memory_order_relaxed) + offset;
}

void fl_ciul_region_lend(ef_addr address, bool is_lent, const char *caller)
{
    size_t offset = 0;
    fl_ciul_region_t *region = fl_ciul_region_find(address, &offset);
    if (NULL == region)
    {
        return; /* its handle was closed before the VI was freed */
    }
    uint8_t *mark = &region->lent[offset / EF_VI_DMA_ALIGN];
    if (*mark && is_lent)
    {
        fl_ciul_misuse("%s: the buffer at DMA address 0x%llx is the adapter's already: it was given back twice", caller,
            (unsigned long long)address);
    }
    *mark = is_lent;
}
