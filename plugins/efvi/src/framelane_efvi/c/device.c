#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <framelane/linux_interface.h>

int fl_efvi_device_read(int fd, const char *interface, fl_efvi_device_t *device)
{
    struct ifreq request;
    fl_interface_request(&request, interface);
    if (0 != ioctl(fd, SIOCGIFINDEX, &request))
    {
        return -errno;
    }
    device->index = (uint32_t)request.ifr_ifindex;
    device->mtu_length = 0 == ioctl(fd, SIOCGIFMTU, &request) ? (uint32_t)request.ifr_mtu : 1500;
    device->numa_node = fl_interface_numa_node(interface, device->index);
    return 0;
}

int fl_efvi_driver_open(ef_driver_handle *handle, fl_failure_t *error)
{
    const int code = ef_driver_open(handle);
    switch (code)
    {
        case 0:
            return 0;

        case -ENOENT:
        case -ENODEV:
        case -ENXIO:
            return fl_fail(
                error, ENODEV, "open ef_vi's driver: /dev/sfc_char: %s; modprobe sfc_char (onload_tool reload)",
                strerror(-code));

        case -EACCES:
        case -EPERM:
            return fl_fail(
                error, EACCES, "open ef_vi's driver: /dev/sfc_char: %s; join its group, or set SFC_CHAR_GROUP and "
                "SFC_CHAR_MODE in /etc/sysconfig/openonload and reload sfc_char", strerror(-code));

        default:
            return fl_fail(
                error, -code, "open ef_vi's driver: %s; this library wants the driver interface %s", strerror(-code),
                ef_vi_driver_interface_str());
    }
}

/* Capabilities that a release, or an adapter, does not know are absent. */
static uint64_t fl_capability(ef_driver_handle handle, uint32_t index, int capability)
{
    unsigned long value = 0;
    return 0 == ef_vi_capabilities_get(handle, (int)index, (enum ef_vi_capability)capability, &value) ? value : 0;
}

int fl_efvi_device_ask(
    ef_driver_handle handle, const char *interface, uint32_t index, fl_efvi_abilities_t *abilities, fl_failure_t *error)
{
    unsigned long value = 0;
    const int code = ef_vi_capabilities_get(handle, (int)index, EF_VI_CAP_PIO, &value);
    if (0 != code && -EOPNOTSUPP != code && -ENOSYS != code)
    {
        return fl_fail(
            error, ENODEV, "%s is no interface that ef_vi drives: %s; it must be the adapter's own, never a VLAN, bond "
            "or macvlan", interface, strerror(-code));
    }
    memset(abilities, 0, sizeof(*abilities));
    abilities->pio = 0 != fl_capability(handle, index, EF_VI_CAP_PIO);
    abilities->ctpio = 0 != fl_capability(handle, index, EF_VI_CAP_CTPIO);
    abilities->rx_timestamps = 0 != fl_capability(handle, index, EF_VI_CAP_HW_RX_TIMESTAMPING);
    abilities->tx_timestamps = 0 != fl_capability(handle, index, EF_VI_CAP_HW_TX_TIMESTAMPING);
    abilities->event_merge = 0 != fl_capability(handle, index, EF_VI_CAP_RX_MERGE);
    abilities->replication = 0 != fl_capability(handle, index, EF_VI_CAP_HW_MULTICAST_REPLICATION);
    abilities->udp6_filters = 0 != fl_capability(handle, index, EF_VI_CAP_RX_FILTER_TYPE_UDP6_LOCAL);
    abilities->vlan_filters = 0 != fl_capability(handle, index, EF_VI_CAP_RX_FILTER_TYPE_IP_VLAN);
    abilities->rx_queue_sizes = fl_capability(handle, index, EF_VI_CAP_RXQ_SIZES);
    abilities->tx_queue_sizes = fl_capability(handle, index, EF_VI_CAP_TXQ_SIZES);
#ifdef FL_EFVI_HAS_CTPIO_ONLY
    abilities->ctpio_only = 0 != fl_capability(handle, index, EF_VI_CAP_CTPIO_ONLY);
    abilities->ctpio |= abilities->ctpio_only;
#endif
#ifdef FL_EFVI_HAS_CAP_RX_REF
    abilities->shared_queues = 0 != fl_capability(handle, index, EF_VI_CAP_RX_REF);
#else
    /* Older releases do not tell. What sends by CTPIO alone is an X3, which has nothing else. */
    abilities->shared_queues = abilities->ctpio_only;
#endif
#ifdef FL_EFVI_HAS_EXPRESS
    abilities->express =
        0 != (fl_capability(handle, index, EF_VI_CAP_EXTRA_DATAPATHS) & EF_VI_EXTRA_DATAPATH_EXPRESS);
#endif
    return 0;
}

int fl_efvi_look(const char *interface, fl_efvi_abilities_t *abilities, char *text, size_t length)
{
    fl_failure_t error = {.text = ""};
    fl_efvi_device_t device = {.index = 0};
    ef_driver_handle handle = -1;
    const int fd = fl_interface_socket();
    int code = fd < 0 ? fd : fl_efvi_device_read(fd, interface, &device);
    if (0 != code)
    {
        code = fl_fail(&error, ENODEV, "interface %s: %s", interface, strerror(-code));
    }
    if (0 == code)
    {
        code = fl_efvi_driver_open(&handle, &error);
    }
    if (0 == code)
    {
        code = fl_efvi_device_ask(handle, interface, device.index, abilities, &error);
        ef_driver_close(handle);
    }
    if (fd >= 0)
    {
        close(fd);
    }
    if (0 != code)
    {
        snprintf(text, length, "%s", error.text);
    }
    return code;
}

const char *fl_efvi_version(void)
{
    return ef_vi_version_str();
}

const char *fl_efvi_driver_interface(void)
{
    return ef_vi_driver_interface_str();
}

int fl_efvi_is_stand_in(void)
{
    return NULL != strstr(ef_vi_version_str(), "stand-in");
}
