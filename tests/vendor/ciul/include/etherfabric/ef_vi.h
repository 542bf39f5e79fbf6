/* The data path of the ef_vi interface, as the stand-in offers it: names, types, values and offsets of Onload 10.0.
 *
 * tools/check_vendor_headers.py compares them with an installed SDK. The behaviour behind them is described in
 * bypass-apis 1. What no program is meant to touch is reserved space.
 */
#ifndef FL_CIUL_ETHERFABRIC_EF_VI_H
#define FL_CIUL_ETHERFABRIC_EF_VI_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EF_VI_ALIGN(bytes) __attribute__((aligned(bytes)))
#define ef_vi_inline static inline
#define ef_vi_pure __attribute__((pure))
#define ef_vi_cold __attribute__((cold))
#define ef_vi_noinline __attribute__((noinline))

#define EF_VI_DMA_ALIGN 64
#define EF_VI_MAX_QS 32
#define EF_VI_EVENT_POLL_MIN_EVS 2
#define EF_VI_MAX_EFCT_RXQS 8
#define EF_REQUEST_ID_MASK 0xffffffff
#define EF_VI_TX_TS_FRAC_NS_BITS 4
#define EF_VI_RECEIVE_BATCH 15
#define EF_VI_TRANSMIT_BATCH 64
#define EF_VI_CTPIO_CT_THRESHOLD_SNF 0xffff

typedef int ef_driver_handle;
typedef uint32_t ef_eventq_ptr;
typedef uint64_t ef_addr;
typedef int ef_request_id;
typedef char *ef_vi_ioaddr_t;

struct ef_vi;
struct ef_filter_spec;
struct ef_filter_cookie;

/* ---- events ---- */

typedef union
{
    struct
    {
        unsigned type : 16;
    } generic;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned __reserved : 8;
        unsigned rq_id : 32;
        unsigned len : 16;
        unsigned flags : 16;
        unsigned ofs : 16;
    } rx;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned __reserved : 8;
        unsigned rq_id : 32;
        unsigned len : 16;
        unsigned flags : 16;
        unsigned subtype : 16;
    } rx_discard;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned flags : (8 - EF_VI_TX_TS_FRAC_NS_BITS);
        unsigned __reserved : EF_VI_TX_TS_FRAC_NS_BITS;
        unsigned desc_id : 16;
        unsigned deferred_evs : 16;
    } tx;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned flags : (8 - EF_VI_TX_TS_FRAC_NS_BITS);
        unsigned __reserved : EF_VI_TX_TS_FRAC_NS_BITS;
        unsigned desc_id : 16;
        unsigned deferred_evs : 16;
        unsigned subtype : 16;
    } tx_error;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned flags : (8 - EF_VI_TX_TS_FRAC_NS_BITS);
        unsigned ts_nsec_frac : EF_VI_TX_TS_FRAC_NS_BITS;
        unsigned rq_id : 32;
        unsigned ts_sec : 32;
        unsigned ts_nsec : 30;
        unsigned ts_flags : 2;
    } tx_timestamp;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
    } rx_no_desc_trunc;
    struct
    {
        unsigned type : 16;
        unsigned data;
    } sw;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned __reserved : 8;
        unsigned n_descs : 16;
        unsigned flags : 16;
    } rx_multi;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned __reserved : 8;
        unsigned n_descs : 16;
        unsigned flags : 16;
        unsigned subtype : 16;
    } rx_multi_discard;
    struct
    {
        unsigned type : 16;
        unsigned q_id : 8;
        unsigned __reserved : 8;
        unsigned n_pkts : 16;
        unsigned flags : 16;
    } rx_multi_pkts;
    struct
    {
        unsigned type : 16;
        unsigned len : 16;
        unsigned pkt_id : 32;
        unsigned q_id : 8;
        unsigned filter_id : 16;
        unsigned user : 8;
    } rx_ref;
    struct
    {
        unsigned type : 16;
        unsigned len : 16;
        unsigned pkt_id : 32;
        unsigned q_id : 8;
        unsigned filter_id : 16;
        unsigned user : 8;
        unsigned flags : 16;
    } rx_ref_discard;
} ef_event;

enum
{
    EF_EVENT_TYPE_RX,
    EF_EVENT_TYPE_TX,
    EF_EVENT_TYPE_RX_DISCARD,
    EF_EVENT_TYPE_TX_ERROR,
    EF_EVENT_TYPE_RX_NO_DESC_TRUNC,
    EF_EVENT_TYPE_SW,
    EF_EVENT_TYPE_OFLOW,
    EF_EVENT_TYPE_TX_WITH_TIMESTAMP,
    EF_EVENT_TYPE_RX_PACKED_STREAM,
    EF_EVENT_TYPE_RX_MULTI,
    EF_EVENT_TYPE_TX_ALT,
    EF_EVENT_TYPE_RX_MULTI_DISCARD,
    EF_EVENT_TYPE_RESET,
    EF_EVENT_TYPE_RX_MULTI_PKTS,
    EF_EVENT_TYPE_RX_REF,
    EF_EVENT_TYPE_RX_REF_DISCARD,
    EF_EVENT_TYPE_MAX,
};

enum
{
    EF_EVENT_RX_DISCARD_CSUM_BAD,
    EF_EVENT_RX_DISCARD_MCAST_MISMATCH,
    EF_EVENT_RX_DISCARD_CRC_BAD,
    EF_EVENT_RX_DISCARD_TRUNC,
    EF_EVENT_RX_DISCARD_RIGHTS,
    EF_EVENT_RX_DISCARD_EV_ERROR,
    EF_EVENT_RX_DISCARD_OTHER,
    EF_EVENT_RX_DISCARD_INNER_CSUM_BAD,
    EF_EVENT_RX_DISCARD_MAX,
};

enum
{
    EF_EVENT_TX_ERROR_RIGHTS,
    EF_EVENT_TX_ERROR_OFLOW,
    EF_EVENT_TX_ERROR_2BIG,
    EF_EVENT_TX_ERROR_BUS,
};

#define EF_EVENT_FLAG_SOP 0x1
#define EF_EVENT_FLAG_CONT 0x2
#define EF_EVENT_FLAG_MULTICAST 0x8
#define EF_EVENT_FLAG_CTPIO 0x1

#define EF_VI_SYNC_FLAG_CLOCK_SET 1
#define EF_VI_SYNC_FLAG_CLOCK_IN_SYNC 2

#define EF_EVENT_TYPE(event) ((event).generic.type)

#define EF_EVENT_RX_BYTES(event) ((event).rx.len)
#define EF_EVENT_RX_Q_ID(event) ((event).rx.q_id)
#define EF_EVENT_RX_RQ_ID(event) ((event).rx.rq_id)
#define EF_EVENT_RX_CONT(event) ((event).rx.flags & EF_EVENT_FLAG_CONT)
#define EF_EVENT_RX_SOP(event) ((event).rx.flags & EF_EVENT_FLAG_SOP)

#define EF_EVENT_RX_DISCARD_BYTES(event) ((event).rx_discard.len)
#define EF_EVENT_RX_DISCARD_Q_ID(event) ((event).rx_discard.q_id)
#define EF_EVENT_RX_DISCARD_RQ_ID(event) ((event).rx_discard.rq_id)
#define EF_EVENT_RX_DISCARD_CONT(event) ((event).rx_discard.flags & EF_EVENT_FLAG_CONT)
#define EF_EVENT_RX_DISCARD_SOP(event) ((event).rx_discard.flags & EF_EVENT_FLAG_SOP)
#define EF_EVENT_RX_DISCARD_TYPE(event) ((event).rx_discard.subtype)

#define EF_EVENT_RX_MULTI_Q_ID(event) ((event).rx_multi.q_id)
#define EF_EVENT_RX_MULTI_CONT(event) ((event).rx_multi.flags & EF_EVENT_FLAG_CONT)
#define EF_EVENT_RX_MULTI_SOP(event) ((event).rx_multi.flags & EF_EVENT_FLAG_SOP)
#define EF_EVENT_RX_MULTI_DISCARD_TYPE(event) ((event).rx_multi_discard.subtype)
#define EF_EVENT_RX_NO_DESC_TRUNC_Q_ID(event) ((event).rx_no_desc_trunc.q_id)

#define EF_EVENT_TX_Q_ID(event) ((event).tx.q_id)
#define EF_EVENT_TX_CTPIO(event) ((event).tx.flags & EF_EVENT_FLAG_CTPIO)
#define EF_EVENT_TX_ERROR_Q_ID(event) ((event).tx_error.q_id)
#define EF_EVENT_TX_ERROR_TYPE(event) ((event).tx_error.subtype)

#define EF_EVENT_TX_WITH_TIMESTAMP_Q_ID(event) ((event).tx_timestamp.q_id)
#define EF_EVENT_TX_WITH_TIMESTAMP_RQ_ID(event) ((event).tx_timestamp.rq_id)
#define EF_EVENT_TX_WITH_TIMESTAMP_SEC(event) ((event).tx_timestamp.ts_sec)
#define EF_EVENT_TX_WITH_TIMESTAMP_NSEC(event) ((event).tx_timestamp.ts_nsec)
#define EF_EVENT_TX_WITH_TIMESTAMP_NSEC_FRAC16(event) \
    ((uint16_t)((uint16_t)(event).tx_timestamp.ts_nsec_frac << (16 - EF_VI_TX_TS_FRAC_NS_BITS)))
#define EF_EVENT_TX_WITH_TIMESTAMP_SYNC_MASK (EF_VI_SYNC_FLAG_CLOCK_SET | EF_VI_SYNC_FLAG_CLOCK_IN_SYNC)
#define EF_EVENT_TX_WITH_TIMESTAMP_SYNC_FLAGS(event) \
    ((event).tx_timestamp.ts_flags & EF_EVENT_TX_WITH_TIMESTAMP_SYNC_MASK)

#define EF_EVENT_SW_DATA_MASK 0xffff
#define EF_EVENT_SW_DATA(event) ((event).sw.data)
#define EF_EVENT_FMT "[ev:%x]"
#define EF_EVENT_PRI_ARG(event) (unsigned)(event).generic.type

/* ---- values ---- */

typedef struct
{
    ef_addr iov_base EF_VI_ALIGN(8);
    unsigned iov_len;
} ef_iovec;

#define ef_timespec struct timespec

typedef struct
{
    int64_t tv_sec;
    uint32_t tv_nsec;
    uint16_t tv_nsec_frac;
    uint16_t tv_flags;
} ef_precisetime;

enum ef_vi_flags
{
    EF_VI_FLAGS_DEFAULT = 0x0,
    EF_VI_TX_PHYS_ADDR = 0x20,
    EF_VI_RX_PHYS_ADDR = 0x40,
    EF_VI_TX_IP_CSUM_DIS = 0x80,
    EF_VI_TX_TCPUDP_CSUM_DIS = 0x100,
    EF_VI_TX_PUSH_DISABLE = 0x4000,
    EF_VI_TX_PUSH_ALWAYS = 0x8000,
    EF_VI_RX_TIMESTAMPS = 0x10000,
    EF_VI_TX_TIMESTAMPS = 0x20000,
    EF_VI_RX_PACKED_STREAM = 0x80000,
    EF_VI_RX_EVENT_MERGE = 0x200000,
    EF_VI_TX_ALT = 0x400000,
    EF_VI_ENABLE_EV_TIMER = 0x800000,
    EF_VI_TX_CTPIO = 0x1000000,
    EF_VI_TX_CTPIO_NO_POISON = 0x2000000,
    EF_VI_RX_ZEROCOPY = 0x4000000,
    EF_VI_EFCT_UNIQUEUE = 0x10000000,
    EF_VI_RX_EXCLUSIVE = 0x20000000,
    EF_VI_ENABLE_TPH = 0x40000000,
    EF_VI_TPH_TAG_MODE = 0x80000000,
    EF_VI_RX_FILTER_ID = 0x100000000ull,
};

enum ef_vi_out_flags
{
    EF_VI_OUT_CLOCK_SYNC_STATUS = 0x1,
};

enum ef_vi_rx_discard_err_flags
{
    EF_VI_DISCARD_RX_L4_CSUM_ERR = 0x1,
    EF_VI_DISCARD_RX_L3_CSUM_ERR = 0x2,
    EF_VI_DISCARD_RX_ETH_FCS_ERR = 0x4,
    EF_VI_DISCARD_RX_ETH_LEN_ERR = 0x8,
    EF_VI_DISCARD_RX_TOBE_DISC = 0x10,
    EF_VI_DISCARD_RX_INNER_L4_CSUM_ERR = 0x20,
    EF_VI_DISCARD_RX_INNER_L3_CSUM_ERR = 0x40,
    EF_VI_DISCARD_RX_L2_CLASS_OTHER = 0x80,
    EF_VI_DISCARD_RX_L3_CLASS_OTHER = 0x100,
    EF_VI_DISCARD_RX_L4_CLASS_OTHER = 0x200
};

enum ef_vi_arch
{
    EF_VI_ARCH_FALCON,
    EF_VI_ARCH_EF10,
    EF_VI_ARCH_EF100,
    EF_VI_ARCH_EFCT,
    EF_VI_ARCH_AF_XDP,
    EF_VI_ARCH_EF10CT,
};

struct ef_vi_nic_type
{
    unsigned char arch;
    char variant;
    unsigned char revision;
    unsigned char nic_flags;
};

/* ---- state that the inline functions read ---- */

typedef struct
{
    uint32_t previous;
    uint32_t added;
    uint32_t removed;
    uint32_t ct_added;
    uint32_t ct_removed;
    uint32_t ts_nsec;
    uint16_t ts_nsec_frac;
    uint16_t ts_flags;
} ef_vi_txq_state;

typedef struct
{
    uint32_t posted;
    uint32_t added;
    uint32_t removed;
    uint32_t in_jumbo;
    uint32_t bytes_acc;
    uint16_t last_desc_i;
    uint16_t rx_ps_credit_avail;
    uint64_t reserved[49];
} ef_vi_rxq_state;

typedef struct
{
    ef_eventq_ptr evq_ptr;
    int32_t evq_clear_stride;
    uint32_t reserved[6];
    int32_t min_unused_evq_slots;
} ef_eventq_state;

typedef struct
{
    ef_eventq_state evq;
    ef_vi_txq_state txq;
    ef_vi_rxq_state rxq;
} ef_vi_state;

typedef struct
{
    uint32_t mask;
    uint32_t ct_fifo_bytes;
    uint64_t reserved[2];
    void *descriptors;
    uint32_t *ids;
} ef_vi_txq;

typedef struct
{
    uint32_t mask;
    void *descriptors;
    uint32_t *ids;
} ef_vi_rxq;

typedef struct
{
    uintptr_t reserved[14];
    int (*set_client_buf_count)(struct ef_vi *, size_t);
    uintptr_t user_data;
} ef_vi_efct_rxq_ops;

typedef struct
{
    uint64_t reserved[50];
    ef_vi_efct_rxq_ops *ops;
    uint64_t reserved_too[2];
} ef_vi_efct_rxqs;

typedef struct
{
    uint32_t rx_ev_lost;
    uint32_t rx_ev_bad_desc_i;
    uint32_t rx_ev_bad_q_label;
    uint32_t evq_gap;
    uint64_t reserved[104];
} ef_vi_stats;

typedef struct
{
    unsigned removed;
    char *vi_ctpio_mmap_ptr;
} ef_vi_tx_warm_state;

typedef struct ef_vi
{
    unsigned inited;
    unsigned vi_resource_id;
    unsigned vi_i;
    ef_driver_handle dh;
    unsigned rx_buffer_len;
    unsigned rx_prefix_len;
    uint64_t reserved[19];
    ef_vi_txq vi_txq;
    ef_vi_rxq vi_rxq;
    ef_vi_state *ep_state;
    enum ef_vi_flags vi_flags;
    enum ef_vi_out_flags vi_out_flags;
    ef_vi_stats *vi_stats;
    struct ef_vi *evq_vi;
    struct ef_vi *vi_qs[EF_VI_MAX_QS];
    int vi_qs_n;
    uint8_t future_qix;
    ef_vi_efct_rxqs efct_rxqs;
    uint64_t reserved_alternatives[3];
    struct ef_vi_nic_type nic_type;
    uint64_t reserved_xdp[4];
    struct ops
    {
        int (*transmit)(struct ef_vi *, ef_addr base, int len, ef_request_id);
        int (*transmitv)(struct ef_vi *, const ef_iovec *, int iov_len, ef_request_id);
        int (*transmitv_init)(struct ef_vi *, const ef_iovec *, int iov_len, ef_request_id);
        void (*transmit_push)(struct ef_vi *);
        int (*transmit_pio)(struct ef_vi *, int offset, int len, ef_request_id dma_id);
        int (*transmit_copy_pio)(struct ef_vi *, int pio_offset, const void *src_buf, int len, ef_request_id dma_id);
        void (*start_transmit_warm)(struct ef_vi *, ef_vi_tx_warm_state *saved_state, char *warm_ctpio_mmap_ptr);
        void (*stop_transmit_warm)(struct ef_vi *, ef_vi_tx_warm_state *saved_state);
        void (*transmit_pio_warm)(struct ef_vi *);
        void (*transmit_copy_pio_warm)(struct ef_vi *, int pio_offset, const void *src_buf, int len);
        void (*transmitv_ctpio)(
            struct ef_vi *, size_t frame_len, const struct iovec *iov, int iov_len, unsigned threshold);
        void (*transmitv_ctpio_copy)(struct ef_vi *, size_t frame_len, const struct iovec *iov, int iov_len,
            unsigned threshold, void *fallback);
        int (*transmit_alt_select)(struct ef_vi *, unsigned alt_id);
        int (*transmit_alt_select_default)(struct ef_vi *);
        int (*transmit_alt_stop)(struct ef_vi *, unsigned alt_id);
        int (*transmit_alt_go)(struct ef_vi *, unsigned alt_id);
        int (*receive_set_discards)(struct ef_vi *vi, unsigned discard_err_flags);
        uint64_t (*receive_get_discards)(struct ef_vi *vi);
        int (*transmit_alt_discard)(struct ef_vi *, unsigned alt_id);
        int (*receive_init)(struct ef_vi *, ef_addr, ef_request_id);
        void (*receive_push)(struct ef_vi *);
        int (*receive_get_timestamp)(struct ef_vi *, const void *pkt, ef_precisetime *);
        int (*eventq_poll)(struct ef_vi *, ef_event *, int evs_len);
        void (*eventq_prime)(struct ef_vi *);
        void (*eventq_timer_prime)(struct ef_vi *, unsigned v);
        void (*eventq_timer_run)(struct ef_vi *, unsigned v);
        void (*eventq_timer_clear)(struct ef_vi *);
        void (*eventq_timer_zero)(struct ef_vi *);
        int (*eventq_has_event)(const struct ef_vi *);
        int (*eventq_has_many_events)(const struct ef_vi *, int n_events);
        int (*transmit_ctpio_fallback)(struct ef_vi *vi, ef_addr dma_addr, size_t len, ef_request_id dma_id);
        int (*transmitv_ctpio_fallback)(
            struct ef_vi *vi, const ef_iovec *dma_iov, int dma_iov_len, ef_request_id dma_id);
        int (*receive_poll)(struct ef_vi *, ef_event *evs, int evs_len);
        int32_t (*receive_get_filter_id)(struct ef_vi *vi, const ef_event *rx_event, const void *rx_packet);
        int (*future_eventq_poll)(struct ef_vi *, ef_event *, int evs_len);
    } ops;
    uintptr_t reserved_internal[3];
} ef_vi;

/* ---- the virtual interface ---- */

ef_vi_inline unsigned ef_vi_resource_id(ef_vi *vi) { return vi->vi_resource_id; }
ef_vi_inline enum ef_vi_flags ef_vi_flags(ef_vi *vi) { return vi->vi_flags; }
ef_vi_inline unsigned ef_vi_instance(ef_vi *vi) { return vi->vi_i; }

extern const char *ef_vi_version_str(void);
extern const char *ef_vi_driver_interface_str(void);

/* ---- receive ---- */

ef_vi_inline int ef_vi_receive_prefix_len(const ef_vi *vi) { return (int)vi->rx_prefix_len; }
ef_vi_inline int ef_vi_receive_buffer_len(const ef_vi *vi) { return (int)vi->rx_buffer_len; }
ef_vi_inline void ef_vi_receive_set_buffer_len(ef_vi *vi, unsigned length) { vi->rx_buffer_len = length; }
ef_vi_inline int ef_vi_receive_capacity(const ef_vi *vi) { return (int)vi->vi_rxq.mask; }

ef_vi_inline int ef_vi_receive_fill_level(const ef_vi *vi)
{
    return (int)(vi->ep_state->rxq.added - vi->ep_state->rxq.removed);
}

ef_vi_inline int ef_vi_receive_space(const ef_vi *vi)
{
    return ef_vi_receive_capacity(vi) - ef_vi_receive_fill_level(vi);
}

#define ef_vi_receive_init(vi, addr, dma_id) (vi)->ops.receive_init((vi), (addr), (dma_id))
#define ef_vi_receive_push(vi) (vi)->ops.receive_push((vi))
#define ef_vi_receive_set_discards(vi, flags) (vi)->ops.receive_set_discards((vi), (flags))
#define ef_vi_receive_get_discards(vi) (vi)->ops.receive_get_discards((vi))
#define ef_vi_receive_get_precise_timestamp(vi, pkt, ts_out) (vi)->ops.receive_get_timestamp((vi), (pkt), (ts_out))
#define ef_vi_receive_get_filter_id(vi, event, pkt) (vi)->ops.receive_get_filter_id((vi), (event), (pkt))

/* As the SDK marks them: replaced by ef_vi_receive_get_precise_timestamp. */
#define FL_CIUL_REPLACED __attribute__((deprecated("ef_vi_receive_get_precise_timestamp")))
extern FL_CIUL_REPLACED int ef_vi_receive_get_timestamp(ef_vi *vi, const void *pkt, ef_timespec *ts_out);
extern FL_CIUL_REPLACED int ef_vi_receive_get_timestamp_with_sync_flags(
    ef_vi *vi, const void *pkt, ef_timespec *ts_out, unsigned *flags_out);

extern int ef_vi_receive_post(ef_vi *vi, ef_addr addr, ef_request_id dma_id);
extern int ef_vi_receive_get_bytes(ef_vi *vi, const void *pkt, uint16_t *bytes_out);
extern int ef_vi_receive_unbundle(ef_vi *ep, const ef_event *event, ef_request_id *ids);
extern ef_request_id ef_vi_rxq_next_desc_id(ef_vi *vi);

enum ef_vi_layout_type
{
    EF_VI_LAYOUT_FRAME,
    EF_VI_LAYOUT_MINOR_TICKS,
    EF_VI_LAYOUT_PACKET_LENGTH,
    EF_VI_LAYOUT_COMPAT_TS,
    EF_VI_LAYOUT_FILTER_ID,
};

typedef struct
{
    enum ef_vi_layout_type evle_type;
    int evle_offset;
    const char *evle_description;
} ef_vi_layout_entry;

extern int ef_vi_receive_query_layout(ef_vi *vi, const ef_vi_layout_entry **const layout_out, int *layout_len_out);

ef_vi_inline unsigned ef_vi_get_rx_discard_subtype_from_flags(unsigned flags)
{
    static const struct
    {
        unsigned flags;
        unsigned subtype;
    } by_precedence[] = {
        {EF_VI_DISCARD_RX_ETH_FCS_ERR, EF_EVENT_RX_DISCARD_CRC_BAD},
        {EF_VI_DISCARD_RX_ETH_LEN_ERR, EF_EVENT_RX_DISCARD_TRUNC},
        {EF_VI_DISCARD_RX_L4_CSUM_ERR | EF_VI_DISCARD_RX_L3_CSUM_ERR, EF_EVENT_RX_DISCARD_CSUM_BAD},
        {EF_VI_DISCARD_RX_INNER_L4_CSUM_ERR | EF_VI_DISCARD_RX_INNER_L3_CSUM_ERR, EF_EVENT_RX_DISCARD_INNER_CSUM_BAD},
        {EF_VI_DISCARD_RX_L2_CLASS_OTHER | EF_VI_DISCARD_RX_L3_CLASS_OTHER | EF_VI_DISCARD_RX_L4_CLASS_OTHER,
            EF_EVENT_RX_DISCARD_OTHER},
    };
    for (size_t i = 0; i < sizeof(by_precedence) / sizeof(by_precedence[0]); i++)
    {
        if (0 != (flags & by_precedence[i].flags))
        {
            return by_precedence[i].subtype;
        }
    }
    return 0;
}

/* ---- transmit ---- */

ef_vi_inline int ef_vi_transmit_capacity(const ef_vi *vi) { return (int)vi->vi_txq.mask; }

ef_vi_inline int ef_vi_transmit_fill_level(const ef_vi *vi)
{
    return (int)(vi->ep_state->txq.added - vi->ep_state->txq.removed);
}

ef_vi_inline int ef_vi_transmit_space(const ef_vi *vi)
{
    return ef_vi_transmit_capacity(vi) - ef_vi_transmit_fill_level(vi);
}

ef_vi_inline int ef_vi_transmit_fill_level_bytes(const ef_vi *vi)
{
    return (int)(vi->ep_state->txq.ct_added - vi->ep_state->txq.ct_removed);
}

ef_vi_inline int ef_vi_transmit_space_bytes(const ef_vi *vi)
{
    if (vi->evq_vi->ep_state->evq.min_unused_evq_slots <= 0)
    {
        return 0;
    }
    return (int)vi->vi_txq.ct_fifo_bytes - ef_vi_transmit_fill_level_bytes(vi);
}

#define ef_vi_transmitv_init(vi, iov, iov_len, dma_id) (vi)->ops.transmitv_init((vi), (iov), (iov_len), (dma_id))
#define ef_vi_transmit_push(vi) (vi)->ops.transmit_push((vi))
#define ef_vi_transmit(vi, base, len, dma_id) (vi)->ops.transmit((vi), (base), (len), (dma_id))
#define ef_vi_transmitv(vi, iov, iov_len, dma_id) (vi)->ops.transmitv((vi), (iov), (iov_len), (dma_id))
#define ef_vi_transmit_pio(vi, offset, len, dma_id) (vi)->ops.transmit_pio((vi), (offset), (len), (dma_id))
#define ef_vi_transmit_copy_pio(vi, offset, src, len, dma_id) \
    (vi)->ops.transmit_copy_pio((vi), (offset), (src), (len), (dma_id))
#define ef_vi_start_transmit_warm(vi, state, dummy) (vi)->ops.start_transmit_warm((vi), (state), (dummy))
#define ef_vi_stop_transmit_warm(vi, state) (vi)->ops.stop_transmit_warm((vi), (state))
#define ef_vi_transmitv_ctpio(vi, frame_len, iov, iov_len, threshold) \
    (vi)->ops.transmitv_ctpio((vi), (frame_len), (iov), (iov_len), (threshold))
#define ef_vi_transmitv_ctpio_copy(vi, frame_len, iov, iov_len, threshold, fallback) \
    (vi)->ops.transmitv_ctpio_copy((vi), (frame_len), (iov), (iov_len), (threshold), (fallback))
#define ef_vi_transmit_ctpio_fallback(vi, dma_addr, len, dma_id) \
    (vi)->ops.transmit_ctpio_fallback((vi), (dma_addr), (len), (dma_id))
#define ef_vi_transmitv_ctpio_fallback(vi, iov, iov_len, dma_id) \
    (vi)->ops.transmitv_ctpio_fallback((vi), (iov), (iov_len), (dma_id))

ef_vi_inline void ef_vi_transmit_ctpio(ef_vi *vi, const void *frame, size_t length, unsigned threshold)
{
    struct iovec whole = {(void *)(uintptr_t)frame, length};
    ef_vi_transmitv_ctpio(vi, length, &whole, 1, threshold);
}

extern int ef_vi_transmit_init(ef_vi *vi, ef_addr addr, int bytes, ef_request_id dma_id);
extern void ef_vi_transmit_init_undo(ef_vi *vi);
extern int ef_vi_transmit_unbundle(ef_vi *ep, const ef_event *event, ef_request_id *ids);
extern void ef_vi_set_tx_push_threshold(ef_vi *vi, unsigned threshold);

extern int __ef_vi_reinit_txq_post_error(ef_vi *vi);
#define ef_vi_reinit_txq_post_error(vi) __ef_vi_reinit_txq_post_error((vi))

/* A loop header: its body runs for each request that a TX error lost, with its id in dma_id. */
#define ef_vi_for_each_tx_error_failed_transmit(vi, dma_id) \
    for (; (vi)->ep_state->txq.removed < (vi)->ep_state->txq.added; (vi)->ep_state->txq.removed++) \
        if (EF_REQUEST_ID_MASK != ((dma_id) = (vi)->vi_txq.ids[(vi)->ep_state->txq.removed & (vi)->vi_txq.mask]))

/* ---- event queue ---- */

#define ef_eventq_poll(evq, evs, evs_len) (evq)->ops.eventq_poll((evq), (evs), (evs_len))
#define ef_receive_poll(evq, evs, evs_len) (evq)->ops.receive_poll((evq), (evs), (evs_len))
#define ef_eventq_has_event(vi) (vi)->ops.eventq_has_event((vi))
#define ef_eventq_has_many_events(vi, n_events) (vi)->ops.eventq_has_many_events((vi), (n_events))
#define ef_eventq_prime(vi) (vi)->ops.eventq_prime((vi))
#define ef_vi_set_shrub_client_buffer_count(vi, count) (vi)->efct_rxqs.ops->set_client_buf_count((vi), (count))

extern int ef_eventq_capacity(ef_vi *vi);

ef_vi_inline unsigned ef_eventq_current(ef_vi *evq) { return (unsigned)evq->ep_state->evq.evq_ptr; }

ef_vi_inline ef_vi *__ef_vi_get_vi_from_q_id(ef_vi *vi, int q_id)
{
    return (0 <= q_id && q_id < vi->vi_qs_n) ? vi->vi_qs[q_id] : NULL;
}
#define ef_vi_get_vi_from_q_id(vi, q_id) __ef_vi_get_vi_from_q_id((vi), (q_id))

#ifdef __cplusplus
}
#endif

#endif
