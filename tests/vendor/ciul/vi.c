/* A virtual interface's life, and who may use it when. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <etherfabric/capabilities.h>

#include "vi_state.h"

#define FL_CIUL_LIVE 0x11fecau

const char *ef_vi_version_str(void)
{
    return "stand-in for tests, ef_vi of Onload 10.0";
}

const char *ef_vi_driver_interface_str(void)
{
    return "stand-in";
}

static int fl_ciul_thread_id(void)
{
    static _Thread_local int id;
    if (0 == id)
    {
        id = (int)syscall(SYS_gettid);
    }
    return id;
}

void fl_ciul_enter(fl_ciul_vi_t *own, const char *caller)
{
    int thread = fl_ciul_thread_id();
    int other = 0;
    /* Acquire: pairs with the release in fl_ciul_leave(), for callers that have a lock of their own. */
    if (!atomic_compare_exchange_strong_explicit(
            &own->busy_tid, &other, thread, memory_order_acquire, memory_order_relaxed))
    {
        fl_ciul_misuse(
            "%s: thread %d is inside the virtual interface at the same time as thread %d", caller, other, thread);
    }
}

void fl_ciul_leave(fl_ciul_vi_t *own)
{
    atomic_store_explicit(&own->busy_tid, 0, memory_order_release);
}

/* ---- allocation ---- */

/* The size of a queue: asked for, from the environment where -1 asks, or by default; a negative errno otherwise. */
static int fl_ciul_queue_size(int wanted, const char *variable, int by_default, unsigned long sizes)
{
    const char *text = getenv(variable);
    int size = 0 <= wanted ? wanted : NULL == text ? by_default : atoi(text);
    if (size < 0)
    {
        return -EINVAL;
    }
    if (0 == size)
    {
        return 0;
    }
    unsigned long rounded = 1;
    while (rounded < (unsigned long)size || (0 == (rounded & sizes) && rounded < sizes))
    {
        rounded <<= 1;
    }
    return 0 == (rounded & sizes) ? -EINVAL : (int)rounded;
}

static int fl_ciul_flags_check(const fl_ciul_settings_t *settings, bool is_ring, enum ef_vi_flags flags)
{
    if (0 != settings->vi_error)
    {
        return -settings->vi_error;
    }
    if (settings->is_lost)
    {
        return -ENODEV;
    }
    if (settings->is_unlicensed || (settings->needs_merge && 0 == (flags & EF_VI_RX_EVENT_MERGE)))
    {
        return -EPERM;
    }
    if (0 != (flags & (EF_VI_TX_ALT | EF_VI_RX_PACKED_STREAM)))
    {
        return -EOPNOTSUPP;
    }
    if ((0 != (flags & EF_VI_RX_TIMESTAMPS) && !settings->has_rx_timestamps) ||
        (0 != (flags & EF_VI_TX_TIMESTAMPS) && !settings->has_tx_timestamps) ||
        (0 != (flags & EF_VI_TX_CTPIO) && !settings->has_ctpio) ||
        (0 != (flags & EF_VI_RX_EVENT_MERGE) && (!is_ring || !settings->has_merge)))
    {
        return -EOPNOTSUPP;
    }
    return 0;
}

static void fl_ciul_vi_close(fl_ciul_vi_t *own)
{
    if (NULL != own->wire)
    {
        own->wire->close(own->wire);
    }
    if (NULL != own->registry.shared)
    {
        if (0 <= own->member)
        {
            fl_ciul_registry_leave(&own->registry, own->member);
        }
        fl_ciul_registry_close(&own->registry);
    }
    fl_ciul_receive_shared_close(own);
    free(own->vi->vi_txq.ids);
    free(own->vi->vi_rxq.ids);
    free(own->sends);
    free(own->buffers);
    free(own->addresses);
    free(own->frames);
    free(own->events);
    free(own);
}

static int fl_ciul_vi_open(fl_ciul_vi_t *own, const fl_ciul_domain_t *domain, const int *sizes)
{
    int result = fl_ciul_registry_open(&own->registry, &own->settings, domain->ifindex);
    own->member = result;
    if (0 <= result)
    {
        result = own->registry.is_packet ? fl_ciul_wire_packet_open(&own->wire, &own->registry)
                                         : fl_ciul_wire_memory_open(&own->wire, &own->registry, own->member);
    }
    own->events_mask = (uint32_t)sizes[0] - 1;
    own->events = (ef_event *)calloc((size_t)sizes[0], sizeof(ef_event));
    own->frames = (fl_ciul_frame_t *)malloc(FL_CIUL_BATCH * sizeof(fl_ciul_frame_t));
    if (0 == result && (NULL == own->events || NULL == own->frames))
    {
        result = -ENOMEM;
    }
    if (0 == result && 0 != sizes[1])
    {
        result = own->is_ring ? fl_ciul_receive_ring_open(own, sizes[1]) : fl_ciul_receive_shared_open(own, sizes[1]);
    }
    return 0 != result || 0 == sizes[2] ? result : fl_ciul_transmit_open(own, sizes[2]);
}

int ef_vi_alloc_from_pd(ef_vi *vi, ef_driver_handle vi_dh, struct ef_pd *pd, ef_driver_handle pd_dh, int evq_capacity,
    int rxq_capacity, int txq_capacity, ef_vi *evq_opt, ef_driver_handle evq_dh, enum ef_vi_flags flags)
{
    static _Atomic unsigned instances;
    unsigned long masks[3] = {0, 0, 0};
    int sizes[3];
    (void)evq_dh;
    fl_ciul_handle_check(vi_dh, "ef_vi_alloc_from_pd");
    fl_ciul_handle_check(pd_dh, "ef_vi_alloc_from_pd");
    fl_ciul_domain_t *domain = fl_ciul_domain_of(pd, "ef_vi_alloc_from_pd");
    if (NULL != evq_opt)
    {
        return -EOPNOTSUPP; /* each VI of the stand-in has an event queue of its own */
    }
    fl_ciul_source_t source;
    fl_ciul_settings_t settings;
    fl_ciul_source_get(&source);
    int result = fl_ciul_settings_of_index(&settings, &source, domain->ifindex);
    if (result < 0)
    {
        return result;
    }
    bool is_ring = EF_VI_ARCH_EF10 == settings.arch && !domain->is_express;
    result = fl_ciul_flags_check(&settings, is_ring, flags);
    if (result < 0)
    {
        return result;
    }
    fl_ciul_capability(&settings, domain->is_express, EF_VI_CAP_EVQ_SIZES, &masks[0]);
    fl_ciul_capability(&settings, domain->is_express, EF_VI_CAP_RXQ_SIZES, &masks[1]);
    fl_ciul_capability(&settings, domain->is_express, EF_VI_CAP_TXQ_SIZES, &masks[2]);
    sizes[1] = fl_ciul_queue_size(rxq_capacity, "EF_VI_RXQ_SIZE", 512, masks[1]);
    sizes[2] = fl_ciul_queue_size(txq_capacity, "EF_VI_TXQ_SIZE", 512, masks[2]);
    if (sizes[1] < 0 || sizes[2] < 0)
    {
        return -EINVAL;
    }
    int slots = (is_ring ? sizes[1] : 0) + sizes[2] * (0 != (flags & EF_VI_TX_TIMESTAMPS) ? 3 : 1);
    sizes[0] = fl_ciul_queue_size(evq_capacity, "EF_VI_EVQ_SIZE", 0 == slots ? 512 : slots, masks[0]);
    if (sizes[0] <= 0)
    {
        return -EINVAL;
    }

    fl_ciul_vi_t *own = (fl_ciul_vi_t *)calloc(1, sizeof(fl_ciul_vi_t));
    if (NULL == own)
    {
        return -ENOMEM;
    }
    memset(vi, 0, sizeof(*vi));
    own->vi = vi;
    own->pd_id = pd->pd_resource_id;
    own->is_express = domain->is_express;
    own->is_ring = is_ring;
    own->member = -1;
    own->memory_fd = -1;
    own->registry.fd = -1;
    own->source = source;
    own->settings = settings;
    own->discard_mask = EF_VI_DISCARD_RX_L4_CSUM_ERR | EF_VI_DISCARD_RX_L3_CSUM_ERR | EF_VI_DISCARD_RX_ETH_FCS_ERR |
        EF_VI_DISCARD_RX_ETH_LEN_ERR;
    vi->inited = FL_CIUL_LIVE;
    vi->vi_i = atomic_fetch_add_explicit(&instances, 1, memory_order_relaxed);
    vi->vi_resource_id = vi->vi_i + 1;
    vi->dh = vi_dh;
    vi->ep_state = &own->state;
    vi->vi_stats = &own->stats;
    vi->evq_vi = vi;
    vi->vi_qs[0] = vi;
    vi->vi_qs_n = 1;
    vi->vi_flags = (enum ef_vi_flags)(is_ring ? (unsigned long)flags : (unsigned long)flags | EF_VI_TX_CTPIO);
    vi->vi_out_flags = 0 != (flags & EF_VI_RX_TIMESTAMPS) ? EF_VI_OUT_CLOCK_SYNC_STATUS : (enum ef_vi_out_flags)0;
    vi->nic_type.arch = (unsigned char)(domain->is_express ? EF_VI_ARCH_EF10CT : settings.arch);
    vi->nic_type.variant = 'A';
    vi->rx_buffer_len = is_ring ? 1792 : FL_CIUL_SLOT;
    bool has_prefix = is_ring && 0 != (flags & (EF_VI_RX_TIMESTAMPS | EF_VI_RX_EVENT_MERGE));
    vi->rx_prefix_len = has_prefix ? FL_CIUL_PREFIX : 0;
    own->state.evq.min_unused_evq_slots = sizes[0] - 1;

    result = fl_ciul_vi_open(own, domain, sizes);
    if (result < 0)
    {
        fl_ciul_vi_close(own);
        vi->inited = 0;
        return result;
    }
    fl_ciul_event_ops(own);
    fl_ciul_timestamp_ops(vi);
    fl_ciul_lock();
    domain->vis++;
    fl_ciul_unlock();
    return 0; /* its label */
}

static int fl_ciul_use_after_free(void)
{
    fl_ciul_misuse("a virtual interface is used after ef_vi_free");
}

int ef_vi_free(ef_vi *vi, ef_driver_handle nic)
{
    fl_ciul_handle_check(nic, "ef_vi_free");
    if (FL_CIUL_LIVE != vi->inited)
    {
        fl_ciul_misuse("ef_vi_free: the virtual interface was freed before or never allocated");
    }
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_enter(own, "ef_vi_free");
    if (own->is_ring && NULL != own->addresses)
    {
        for (uint32_t i = own->consumed; i != own->state.rxq.added; i++)
        {
            fl_ciul_region_lend(own->addresses[i & vi->vi_rxq.mask], false, "ef_vi_free");
        }
    }
    fl_ciul_lock();
    ef_pd pd = {.pd_resource_id = own->pd_id};
    fl_ciul_domain_of(&pd, "ef_vi_free")->vis--;
    fl_ciul_unlock();
    fl_ciul_vi_close(own);

    /* Every entry ends the program; their arguments are not looked at. */
    int (*stop)(void) = fl_ciul_use_after_free;
    for (size_t i = 0; i < sizeof(vi->ops) / sizeof(stop); i++)
    {
        memcpy((char *)&vi->ops + i * sizeof(stop), &stop, sizeof(stop));
    }
    vi->inited = 0;
    return 0;
}

/* ---- what it is ---- */

static int fl_ciul_interface_ask(const fl_ciul_vi_t *own, unsigned long request, struct ifreq *answer)
{
    memset(answer, 0, sizeof(*answer));
    memcpy(answer->ifr_name, own->settings.interface, sizeof(answer->ifr_name));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result = ioctl(fd, request, answer) < 0 ? -errno : 0;
    close(fd);
    return result;
}

unsigned ef_vi_mtu(ef_vi *vi, ef_driver_handle vi_dh)
{
    struct ifreq answer;
    const fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(vi_dh, "ef_vi_mtu");
    unsigned mtu = 1500;
    if (0 != own->settings.mtu)
    {
        mtu = own->settings.mtu;
    }
    else if (0 == fl_ciul_interface_ask(own, SIOCGIFMTU, &answer))
    {
        mtu = (unsigned)answer.ifr_mtu;
    }
    return own->is_dead ? 0 : mtu + 18;
}

int ef_vi_get_mac(ef_vi *vi, ef_driver_handle vi_dh, void *mac_out)
{
    struct ifreq answer;
    const fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(vi_dh, "ef_vi_get_mac");
    if (own->is_dead)
    {
        return -ENODEV;
    }
    if (0 == fl_ciul_interface_ask(own, SIOCGIFHWADDR, &answer))
    {
        memcpy(mac_out, answer.ifr_hwaddr.sa_data, 6);
        return 0;
    }
    uint8_t mac[6] = {0x02, 0xc1, 0, 0, (uint8_t)(own->registry.ifindex >> 8), (uint8_t)own->registry.ifindex};
    memcpy(mac_out, mac, sizeof(mac));
    return 0;
}

int ef_vi_flush(ef_vi *vi, ef_driver_handle nic)
{
    (void)vi;
    fl_ciul_handle_check(nic, "ef_vi_flush");
    return 0;
}
