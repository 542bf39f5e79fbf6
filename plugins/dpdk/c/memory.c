/* Memory of the driver from which a device may read payload (bypass-apis 2.6). */
#include "device_port.h"

#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>

/* Whether DPDK lets devices read this memory: only in virtual-address mode, where its address is theirs. */
static int fl_memory_register(fl_port_t *port, void *memory, size_t length, size_t page)
{
    const size_t pages = length / page;
    rte_iova_t *addresses = calloc(pages, sizeof(*addresses));
    if (NULL == addresses)
    {
        return fl_host_error(port->host, FL_ENOMEM, "no memory to register %zu pages", pages);
    }
    for (size_t i = 0; i < pages; i++)
    {
        addresses[i] = (rte_iova_t)(uintptr_t)memory + i * page;
    }
    const int code = rte_extmem_register(memory, length, addresses, (unsigned)pages, page);
    free(addresses);
    return 0 == code
        ? 0
        : fl_host_error(port->host, rte_errno, "register %zu bytes with DPDK: %s", length, rte_strerror(rte_errno));
}

int fl_port_register_memory(fl_port_t *port, void *memory, size_t length, uint64_t *region)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (0 == port->settings.zero_copy_tx)
    {
        return fl_host_error(port->host, FL_ENOTSUP, "transport.dpdk.zero_copy_tx is off, or %s cannot", port->driver);
    }
    if (0 == length || 0 != length % page || 0 != (uintptr_t)memory % page)
    {
        return fl_host_error(port->host, FL_EINVAL, "memory %p of %zu bytes is not whole pages", memory, length);
    }
    fl_region_t *added = calloc(1, sizeof(*added));
    if (NULL == added)
    {
        return fl_host_error(port->host, FL_ENOMEM, "no memory for a region");
    }
    const int code = fl_memory_register(port, memory, length, page);
    if (0 != code)
    {
        free(added);
        return code;
    }
    added->memory = memory;
    added->length = length;
    /* A device that needs no mapping, such as a virtual one, says that it has none. */
    added->is_mapped = 0 == rte_dev_dma_map(port->device, memory, (uint64_t)(uintptr_t)memory, length);
    if (!added->is_mapped && ENOTSUP != rte_errno)
    {
        const int error = rte_errno;
        rte_extmem_unregister(memory, length);
        free(added);
        return fl_host_error(port->host, error, "map %zu bytes for %s: %s", length, port->driver, rte_strerror(error));
    }
    added->next = port->regions;
    port->regions = added;
    *region = (uint64_t)(uintptr_t)added;
    return 0;
}

static void fl_region_end(fl_port_t *port, fl_region_t *region)
{
    if (region->is_mapped && !atomic_load_explicit(&port->is_lost, memory_order_acquire))
    {
        rte_dev_dma_unmap(port->device, region->memory, (uint64_t)(uintptr_t)region->memory, region->length);
    }
    rte_extmem_unregister(region->memory, region->length);
    free(region);
}

int fl_port_unregister_memory(fl_port_t *port, uint64_t number)
{
    for (fl_region_t **place = &port->regions; NULL != *place; place = &(*place)->next)
    {
        fl_region_t *region = *place;
        if ((uint64_t)(uintptr_t)region == number)
        {
            *place = region->next;
            fl_region_end(port, region);
            return 0;
        }
    }
    return fl_host_error(port->host, FL_ENOENT, "no such region");
}

void fl_memory_forget(fl_port_t *port)
{
    while (NULL != port->regions)
    {
        fl_region_t *region = port->regions;
        port->regions = region->next;
        fl_region_end(port, region);
    }
}
