/* What the kernel says of a network interface. For C sources alone; cffi does not take it. */
#ifndef FRAMELANE_LINUX_INTERFACE_H
#define FRAMELANE_LINUX_INTERFACE_H

#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A descriptor for ioctls in the calling thread's network namespace; negative errno on failure. */
static inline int fl_interface_socket(void)
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
    {
        return fd;
    }
    /* A host without IPv4 still has netlink. */
    const int other = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    return other >= 0 ? other : -errno;
}

/* Begin an ioctl's request about an interface. */
static inline void fl_interface_request(struct ifreq *request, const char *interface)
{
    memset(request, 0, sizeof(*request));
    snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", interface);
}

/* Whether the interface of this name and index is up and has its carrier: 1 or 0; -ENODEV if it is gone, or another has
 * its name; else a negative errno. Takes no lock that blocks. */
static inline int fl_interface_has_link(int fd, const char *interface, uint32_t index)
{
    struct ifreq request;
    fl_interface_request(&request, interface);
    if (0 != ioctl(fd, SIOCGIFINDEX, &request))
    {
        return -errno;
    }
    if ((uint32_t)request.ifr_ifindex != index)
    {
        return -ENODEV;
    }
    if (0 != ioctl(fd, SIOCGIFFLAGS, &request))
    {
        return -errno;
    }
    return (request.ifr_flags & IFF_UP) && (request.ifr_flags & IFF_RUNNING) ? 1 : 0;
}

/* A number that sysfs has of an interface, `absent` if it has none. */
static inline int fl_interface_read_number(const char *interface, const char *name, int absent)
{
    char path[128];
    int value = absent;
    snprintf(path, sizeof(path), "/sys/class/net/%s/%s", interface, name);
    FILE *file = fopen(path, "re");
    if (NULL != file)
    {
        if (1 != fscanf(file, "%d", &value))
        {
            value = absent;
        }
        fclose(file);
    }
    return value;
}

/* The NUMA node of an interface's device, -1 if it is not known. sysfs may show another network namespace's interfaces:
 * only what has the same index is the same one. */
static inline int fl_interface_numa_node(const char *interface, uint32_t index)
{
    return (int)index == fl_interface_read_number(interface, "ifindex", 0)
        ? fl_interface_read_number(interface, "device/numa_node", -1)
        : -1;
}

#endif
