/* What each model of adapter says that it can do: bypass-apis 1.7 and 1.8. */
#include <errno.h>
#include <stdio.h>

#include <etherfabric/capabilities.h>

#include "ciul.h"

/* The sizes between two powers of two, as a mask. */
static unsigned long fl_ciul_sizes(unsigned long least, unsigned long most)
{
    return (most << 1) - least;
}

int fl_ciul_capability(const fl_ciul_settings_t *settings, bool is_express, unsigned capability, unsigned long *value)
{
    bool is_ring = EF_VI_ARCH_EF10 == settings->arch && !is_express;
    unsigned long found = 0;
    switch (capability)
    {
        case EF_VI_CAP_PIO:
            found = is_ring && 0 != settings->pio_size;
            break;
        case EF_VI_CAP_PIO_BUFFER_SIZE:
            found = is_ring ? (unsigned long)settings->pio_size : 0;
            break;
        case EF_VI_CAP_PIO_BUFFER_COUNT:
            found = is_ring && 0 != settings->pio_size ? 16 : 0;
            break;
        case EF_VI_CAP_HW_MULTICAST_REPLICATION:
        case EF_VI_CAP_BUFFER_MODE:
        case EF_VI_CAP_RX_FILTER_TYPE_UDP_LOCAL:
        case EF_VI_CAP_RX_FILTER_TYPE_TCP_LOCAL:
        case EF_VI_CAP_RX_FILTER_TYPE_UDP_FULL:
        case EF_VI_CAP_RX_FILTER_TYPE_TCP_FULL:
        case EF_VI_CAP_RX_FILTER_TYPE_UDP6_LOCAL:
        case EF_VI_CAP_RX_FILTER_TYPE_TCP6_LOCAL:
        case EF_VI_CAP_RX_FILTER_TYPE_UDP6_FULL:
        case EF_VI_CAP_RX_FILTER_TYPE_TCP6_FULL:
        case EF_VI_CAP_RX_FILTER_TYPE_ETH_LOCAL:
            found = 1;
            break;
        case EF_VI_CAP_RX_FILTER_TYPE_IP_VLAN:
        case EF_VI_CAP_RX_FILTER_TYPE_IP6_VLAN:
        case EF_VI_CAP_RX_FILTER_TYPE_ETH_LOCAL_VLAN:
        case EF_VI_CAP_ZERO_RX_PREFIX:
        case EF_VI_CAP_TX_PUSH_ALWAYS:
            found = is_ring;
            break;
        case EF_VI_CAP_HW_RX_TIMESTAMPING:
            found = settings->has_rx_timestamps;
            break;
        case EF_VI_CAP_HW_TX_TIMESTAMPING:
            found = settings->has_tx_timestamps;
            break;
        case EF_VI_CAP_RXQ_SIZES:
            found = is_ring ? fl_ciul_sizes(512, 4096) : fl_ciul_sizes(is_express ? 1024 : 512, 131072);
            break;
        case EF_VI_CAP_TXQ_SIZES:
            found = is_ring ? fl_ciul_sizes(512, 2048) : is_express ? fl_ciul_sizes(128, 4096) : 512;
            break;
        case EF_VI_CAP_EVQ_SIZES:
            found = is_ring ? fl_ciul_sizes(512, 32768) : fl_ciul_sizes(128, is_express ? 32768 : 8192);
            break;
        case EF_VI_CAP_RX_MERGE:
            found = is_ring && settings->has_merge;
            break;
        case EF_VI_CAP_RX_FORCE_EVENT_MERGING:
            found = is_ring && settings->needs_merge;
            break;
        case EF_VI_CAP_CTPIO:
            found = settings->has_ctpio;
            break;
        case EF_VI_CAP_CTPIO_ONLY:
        case EF_VI_CAP_RX_REF:
        case EF_VI_CAP_RX_POLL:
        case EF_VI_CAP_RX_FILTER_ID:
            found = !is_ring;
            break;
        case EF_VI_CAP_RX_SHARED:
            found = EF_VI_ARCH_EFCT == settings->arch;
            break;
        case EF_VI_CAP_MIN_BUFFER_MODE_SIZE:
            found = EF_VI_NIC_PAGE_SIZE;
            break;
        case EF_VI_CAP_EXTRA_DATAPATHS:
            found = settings->is_express_capable ? EF_VI_EXTRA_DATAPATH_EXPRESS : 0;
            break;
        default:
            if (EF_VI_CAP_MAX <= capability)
            {
                return -ENOSYS;
            }
    }
    if (0 == found)
    {
        return -EOPNOTSUPP;
    }
    *value = found;
    return 0;
}

int ef_vi_capabilities_get_from_pd_flags(ef_driver_handle handle, int ifindex, enum ef_pd_flags pd_flags,
    enum ef_vi_capability cap, unsigned long *value)
{
    fl_ciul_source_t source;
    fl_ciul_settings_t settings;
    fl_ciul_handle_check(handle, "ef_vi_capabilities_get");
    fl_ciul_source_get(&source);
    int result = fl_ciul_settings_of_index(&settings, &source, ifindex);
    if (result < 0 || settings.is_lost)
    {
        return -ENODEV;
    }
    return fl_ciul_capability(&settings, 0 != (pd_flags & EF_PD_EXPRESS), (unsigned)cap & ~EF_VI_CAP_F_ALL, value);
}

int ef_vi_capabilities_get(ef_driver_handle handle, int ifindex, enum ef_vi_capability cap, unsigned long *value)
{
    bool is_express = 0 != ((unsigned)cap & EF_VI_CAP_F_LLCT);
    return ef_vi_capabilities_get_from_pd_flags(
        handle, ifindex, is_express ? EF_PD_EXPRESS : EF_PD_DEFAULT, cap, value);
}

int ef_pd_capabilities_get(
    ef_driver_handle handle, ef_pd *pd, ef_driver_handle pd_dh, enum ef_vi_capability cap, unsigned long *value)
{
    fl_ciul_handle_check(handle, "ef_pd_capabilities_get");
    fl_ciul_handle_check(pd_dh, "ef_pd_capabilities_get");
    const fl_ciul_domain_t *domain = fl_ciul_domain_of(pd, "ef_pd_capabilities_get");
    return fl_ciul_capability(&domain->settings, domain->is_express, (unsigned)cap, value);
}

int ef_vi_capabilities_max(void)
{
    return EF_VI_CAP_MAX - 1;
}

const char *ef_vi_capabilities_name(enum ef_vi_capability cap)
{
    static _Thread_local char name[32];
    snprintf(name, sizeof(name), "capability %d", (int)cap);
    return name;
}
