/* ef_vi, and what its releases do not all have: FL_EFVI_HAS_... is found out by compiling (build.py). */
#ifndef FL_EFVI_COMPAT_H
#define FL_EFVI_COMPAT_H

#include <etherfabric/vi.h>
#include <etherfabric/pd.h>
#include <etherfabric/memreg.h>
#include <etherfabric/pio.h>
#include <etherfabric/capabilities.h>
#include <etherfabric/efct_vi.h>

#include <stdbool.h>

/* Negative errno, or 0 with the time in whole nanoseconds and the flags EF_VI_SYNC_FLAG_... */
static inline int fl_efvi_receive_time(ef_vi *vi, const void *packet, int64_t *time_ns, unsigned *flags)
{
#ifdef FL_EFVI_HAS_PRECISE_TIMESTAMP
    ef_precisetime time;
    const int code = ef_vi_receive_get_precise_timestamp(vi, packet, &time);
    *flags = time.tv_flags;
#else
    ef_timespec time;
    const int code = ef_vi_receive_get_timestamp_with_sync_flags(vi, packet, &time, flags);
#endif
    if (0 == code)
    {
        *time_ns = (int64_t)time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
    }
    return code;
}

/* The EF_EVENT_RX_DISCARD_... of a discarded frame of a shared queue. */
static inline unsigned fl_efvi_discard_subtype(unsigned flags)
{
#ifdef FL_EFVI_HAS_DISCARD_SUBTYPE
    return ef_vi_get_rx_discard_subtype_from_flags(flags);
#else
    return 0 != (flags & EF_VI_DISCARD_RX_ETH_FCS_ERR) ? EF_EVENT_RX_DISCARD_CRC_BAD
        : 0 != (flags & EF_VI_DISCARD_RX_ETH_LEN_ERR) ? EF_EVENT_RX_DISCARD_TRUNC
        : 0 != (flags & (EF_VI_DISCARD_RX_L3_CSUM_ERR | EF_VI_DISCARD_RX_L4_CSUM_ERR)) ? EF_EVENT_RX_DISCARD_CSUM_BAD
        : EF_EVENT_RX_DISCARD_OTHER;
#endif
}

/* How a virtual interface receives. */
typedef enum fl_efvi_model
{
    FL_EFVI_MODEL_RINGS,
    FL_EFVI_MODEL_SHARED,
    FL_EFVI_MODEL_OTHER        /* AF_XDP under ef_vi's calls, and architectures that nobody has told of */
} fl_efvi_model_t;

/* By what the library made, which its environment may have changed (EF_VI_COMPAT_MODE). */
static inline fl_efvi_model_t fl_efvi_model(const ef_vi *vi)
{
    switch (vi->nic_type.arch)
    {
        case EF_VI_ARCH_EF10:
            return FL_EFVI_MODEL_RINGS;

#ifdef FL_EFVI_HAS_RX_REF
        case EF_VI_ARCH_EFCT:
            return FL_EFVI_MODEL_SHARED;
#endif
#ifdef FL_EFVI_HAS_EF10CT
        case EF_VI_ARCH_EF10CT:
            return FL_EFVI_MODEL_SHARED;
#endif

        default:
            return FL_EFVI_MODEL_OTHER;
    }
}

/* Whether the protection domain is on the express datapath of an X4. */
static inline bool fl_efvi_is_express(const ef_pd *pd)
{
#ifdef FL_EFVI_HAS_EXPRESS
    return 0 != (pd->pd_flags & EF_PD_EXPRESS);
#else
    (void)pd;
    return false;
#endif
}

#endif
