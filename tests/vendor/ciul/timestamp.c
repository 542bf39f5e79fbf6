/* When a packet arrived: asked between its event and the next poll, bypass-apis 1.14. */
#include <errno.h>
#include <string.h>

#include "vi_state.h"

static int fl_ciul_timestamp_get(ef_vi *vi, const void *packet, ef_precisetime *out)
{
    const fl_ciul_vi_t *own = fl_ciul_vi(vi);
    memset(out, 0, sizeof(*out));
    if (0 == (vi->vi_flags & EF_VI_RX_TIMESTAMPS))
    {
        return -ENODATA;
    }
    if (FL_CIUL_CLOCK_UNKNOWN == own->settings.clock)
    {
        return -ENOMSG;
    }
    if (FL_CIUL_CLOCK_LOST == own->settings.clock)
    {
        return -EL2NSYNC;
    }
    for (int i = 0; i < own->stamps_count; i++)
    {
        if (own->stamps[i].packet == packet)
        {
            out->tv_sec = (int64_t)(own->stamps[i].time_ns / 1000000000u);
            out->tv_nsec = (uint32_t)(own->stamps[i].time_ns % 1000000000u);
            out->tv_flags = (uint16_t)((FL_CIUL_CLOCK_UNSET == own->settings.clock ? 0 : EF_VI_SYNC_FLAG_CLOCK_SET) |
                (FL_CIUL_CLOCK_SYNC == own->settings.clock ? EF_VI_SYNC_FLAG_CLOCK_IN_SYNC : 0));
            return 0;
        }
    }
    fl_ciul_misuse("ef_vi_receive_get_precise_timestamp: no packet of the last poll begins at %p", packet);
}

void fl_ciul_timestamp_ops(ef_vi *vi)
{
    vi->ops.receive_get_timestamp = fl_ciul_timestamp_get;
}

static int fl_ciul_timestamp_get_coarse(ef_vi *vi, const void *pkt, ef_timespec *ts_out, unsigned *flags_out)
{
    ef_precisetime precise;
    int result = fl_ciul_timestamp_get(vi, pkt, &precise);
    ts_out->tv_sec = precise.tv_sec;
    ts_out->tv_nsec = precise.tv_nsec;
    *flags_out = precise.tv_flags;
    return result;
}

int ef_vi_receive_get_timestamp_with_sync_flags(ef_vi *vi, const void *pkt, ef_timespec *ts_out, unsigned *flags_out)
{
    return fl_ciul_timestamp_get_coarse(vi, pkt, ts_out, flags_out);
}

int ef_vi_receive_get_timestamp(ef_vi *vi, const void *pkt, ef_timespec *ts_out)
{
    unsigned flags;
    return fl_ciul_timestamp_get_coarse(vi, pkt, ts_out, &flags);
}
