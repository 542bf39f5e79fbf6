/* What differs between the releases of DPDK that the plugin compiles against: 21.11 to current (bypass-apis 2.11). */
#ifndef FL_DPDK_COMPAT_H
#define FL_DPDK_COMPAT_H

#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(21, 11, 0, 0)
#error "framelane-dpdk needs DPDK 21.11 or newer"
#endif

#include <rte_dev.h>
#include <rte_ethdev.h>

/* The release whose major ABI this build has; a binary runs with its own major alone (bypass-apis 2.1). */
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
#define FL_DPDK_ABI_MAJOR 26
#elif RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
#define FL_DPDK_ABI_MAJOR 25
#elif RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
#define FL_DPDK_ABI_MAJOR 24
#elif RTE_VERSION >= RTE_VERSION_NUM(22, 11, 0, 0)
#define FL_DPDK_ABI_MAJOR 23
#else
#define FL_DPDK_ABI_MAJOR 22
#endif

/* rte_device became opaque in 22.11; 21.11 has the name in the structure. */
static inline const char *fl_device_name(const struct rte_device *device)
{
#if RTE_VERSION >= RTE_VERSION_NUM(22, 11, 0, 0)
    return rte_dev_name(device);
#else
    return device->name;
#endif
}

#endif
