#include "device.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <framelane/linux_interface.h>

int fl_xdp_device_ethtool(int fd, const char *interface, void *command)
{
    struct ifreq request;
    fl_interface_request(&request, interface);
    request.ifr_data = command;
    return 0 == ioctl(fd, SIOCETHTOOL, &request) ? 0 : -errno;
}

static uint32_t fl_xdp_device_queues(int fd, const char *interface)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    if (0 != fl_xdp_device_ethtool(fd, interface, &channels))
    {
        return 1;
    }
    const uint32_t queues = channels.combined_count + channels.rx_count;
    return 0 == queues ? 1 : queues;
}

static void fl_xdp_device_read_program(fl_xdp_device_t *device)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    if (0 != bpf_xdp_query((int)device->index, 0, &query))
    {
        return;
    }
    const uint32_t ids[] = {query.prog_id, query.drv_prog_id, query.skb_prog_id, query.hw_prog_id};
    for (size_t i = 0; 0 == device->program_id && i < sizeof(ids) / sizeof(ids[0]); i++)
    {
        device->program_id = ids[i];
    }
    const int program = 0 != device->program_id ? bpf_prog_get_fd_by_id(device->program_id) : -1;
    if (program >= 0)
    {
        struct bpf_prog_info info;
        memset(&info, 0, sizeof(info));
        uint32_t length = sizeof(info);
        if (0 == bpf_obj_get_info_by_fd(program, &info, &length))
        {
            snprintf(device->program_name, sizeof(device->program_name), "%s", info.name);
        }
        close(program);
    }
}

int fl_xdp_device_read(int fd, const char *interface, fl_xdp_device_t *device)
{
    memset(device, 0, sizeof(*device));
    struct ifreq request;
    fl_interface_request(&request, interface);
    if (0 != ioctl(fd, SIOCGIFINDEX, &request))
    {
        return -errno;
    }
    device->index = (uint32_t)request.ifr_ifindex;
    if (0 == ioctl(fd, SIOCGIFMTU, &request))
    {
        device->mtu_length = (uint32_t)request.ifr_mtu;
    }
    if (0 == ioctl(fd, SIOCGIFHWADDR, &request))
    {
        memcpy(device->mac, request.ifr_hwaddr.sa_data, sizeof(device->mac));
    }
    if (0 == ioctl(fd, SIOCGIFFLAGS, &request))
    {
        device->is_up = 0 != (request.ifr_flags & IFF_UP);
        device->has_link = device->is_up && 0 != (request.ifr_flags & IFF_RUNNING);
    }

    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    if (0 == fl_xdp_device_ethtool(fd, interface, &driver))
    {
        snprintf(device->driver, sizeof(device->driver), "%s", driver.driver);
    }
    device->device_queues = fl_xdp_device_queues(fd, interface);
    device->numa_node = fl_interface_numa_node(interface, device->index);

    struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
    if (0 == fl_xdp_device_ethtool(fd, interface, &flags))
    {
        struct ethtool_rxnfc rules = {.cmd = ETHTOOL_GRXCLSRLCNT};
        device->steers = device->device_queues > 1 && 0 != (flags.data & ETH_FLAG_NTUPLE) &&
            0 == fl_xdp_device_ethtool(fd, interface, &rules);
        device->strips_vlan = 0 != (flags.data & ETH_FLAG_RXVLAN);
    }
    fl_xdp_device_read_program(device);
    return 0;
}

int fl_xdp_device_look(const char *interface, fl_xdp_device_t *device)
{
    const int fd = fl_interface_socket();
    if (fd < 0)
    {
        return -FL_EIO;
    }
    const int code = fl_xdp_device_read(fd, interface, device);
    close(fd);
    return 0 == code ? 0 : -FL_ENODEV;
}
