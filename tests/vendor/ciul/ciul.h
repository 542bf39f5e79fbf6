/* What the parts of the stand-in share: adapters and their settings, regions, the table of filters, wires.
 *
 * README.md describes the stand-in, its models and the faults that can be injected. Every object has one owning thread
 * at a time, as with ef_vi itself; what several VIs share is under one mutex and never touched by a data path, except
 * the table of filters, which is copied when its generation changes.
 */
#ifndef FL_CIUL_H
#define FL_CIUL_H

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <etherfabric/base.h>
#include <etherfabric/pd.h>
#include <etherfabric/pio.h>
#include <etherfabric/vi.h>

#define FL_CIUL_FRAME_MAX 9728
#define FL_CIUL_BATCH 32
#define FL_CIUL_POISON 0xdb
#define FL_CIUL_PREFIX 14
#define FL_CIUL_PREFIX_LENGTH_AT 8
#define FL_CIUL_SLOT 2048
#define FL_CIUL_SLOTS 512

/* Say what was done wrong, on standard error, and abort: what hardware would answer with silent corruption. */
__attribute__((noreturn, format(printf, 1, 2))) void fl_ciul_misuse(const char *format, ...);

/* ---- settings ---- */

typedef enum
{
    FL_CIUL_CLOCK_SYNC,      /* set and in sync */
    FL_CIUL_CLOCK_SET,       /* set once, not in sync now */
    FL_CIUL_CLOCK_UNSET,     /* runs, but was never set */
    FL_CIUL_CLOCK_UNKNOWN,   /* the library has not synchronised with the adapter: -ENOMSG */
    FL_CIUL_CLOCK_LOST,      /* the library has lost the adapter's clock: -EL2NSYNC */
} fl_ciul_clock_t;

typedef struct
{
    char interface[IF_NAMESIZE];
    char wire[96]; /* "packet" or "memory:DIRECTORY" */
    int index;     /* of the interface, where the kernel has none of that name */
    enum ef_vi_arch arch;
    bool is_express_capable;
    int pio_size; /* 0: has none */
    bool has_ctpio;
    bool has_merge;
    bool has_rx_timestamps;
    bool has_tx_timestamps;
    unsigned mtu; /* 0: the interface's own */

    int open_error, pd_error, vi_error, memreg_error, filter_error; /* errno values */
    bool needs_merge;   /* licence: only VIs with merged events */
    bool is_unlicensed; /* licence: none at all */
    bool has_huge_pages;
    bool is_stalled;     /* the wire takes nothing: rings fill up */
    bool has_no_credits; /* no event slots for transmit completions */
    bool ctpio_fails;
    bool is_lost;
    bool sees_others; /* packets for other applications arrive on shared queues */
    bool overflows;
    int tx_error; /* EF_EVENT_TX_ERROR_*, or -1 */
    unsigned discard;       /* ef_vi_rx_discard_err_flags */
    unsigned discard_every; /* which frames are discarded: every so many */
    bool any_thread;        /* interleaved threads are no misuse: the caller has a lock */
    fl_ciul_clock_t clock;
} fl_ciul_settings_t;

#define FL_CIUL_TEXT 4096

/* FRAMELANE_CIUL, and the path in FRAMELANE_CIUL_CONTROL: copies, for an environment may change beside a poll. */
typedef struct
{
    char description[FL_CIUL_TEXT];
    char control[256];
} fl_ciul_source_t;

void fl_ciul_source_get(fl_ciul_source_t *source);

/* What the description and the control file say of an interface. 0, or -ENODEV where they name no adapter there. */
int fl_ciul_settings_of_index(fl_ciul_settings_t *settings, const fl_ciul_source_t *source, int ifindex);
int fl_ciul_settings_of_name(fl_ciul_settings_t *settings, const fl_ciul_source_t *source, const char *name);

/* The errno that ef_driver_open is to end with, or 0. */
int fl_ciul_settings_open_error(void);

/* Whether the control file has changed since; looks at most every two milliseconds. */
bool fl_ciul_settings_are_old(const fl_ciul_source_t *source, uint64_t now_ns, uint64_t *looked_ns, uint64_t *version);

uint64_t fl_ciul_now_ns(void);

/* ---- frames ---- */

typedef struct
{
    int vlan_id;     /* -1: untagged */
    int ip_offset;   /* 0: neither IPv4 nor IPv6 */
    int ip_version;
    int ip_length;   /* what the header says, from ip_offset on */
    int l4_offset;   /* 0: a fragment, or no known protocol */
    int protocol;
    uint8_t local[16];
    uint8_t remote[16];
    uint16_t local_port_be, remote_port_be;
    bool is_multicast;
} fl_ciul_headers_t;

void fl_ciul_headers_parse(fl_ciul_headers_t *headers, const uint8_t *frame, size_t length);

/* Write the IPv4 header's checksum and the UDP or TCP checksum, as the adapter's DMA path does. */
void fl_ciul_checksums_fill(uint8_t *frame, size_t length, bool ip, bool l4);

/* The ef_vi_rx_discard_err_flags that the frame's checksums deserve. */
unsigned fl_ciul_checksums_verify(const uint8_t *frame, size_t length);

/* ---- the table that the processes on one wire share ---- */

#define FL_CIUL_FILTERS 256
#define FL_CIUL_MEMBERS 64

typedef enum
{
    FL_CIUL_FILTER_NONE,
    FL_CIUL_FILTER_FULL,
    FL_CIUL_FILTER_LOCAL,
    FL_CIUL_FILTER_MAC,
} fl_ciul_filter_type_t;

/* The words of an ef_filter_spec's data, and what a table's filter holds. */
typedef struct
{
    uint8_t local[16];
    uint8_t remote[16];
    uint16_t local_port_be, remote_port_be;
    int16_t vlan_id; /* -1: any */
    uint8_t protocol;
    uint8_t ip_version; /* 4, 6; 0 for MAC filters, whose address is in local */
} fl_ciul_match_t;

typedef struct
{
    uint32_t is_used;
    uint32_t type; /* fl_ciul_filter_type_t */
    uint32_t flags;
    uint32_t member; /* index of the VI */
    uint32_t is_dropped_by_kernel;
    fl_ciul_match_t match;
} fl_ciul_filter_t;

typedef struct
{
    uint32_t is_used;
    int32_t pid;
    uint64_t started; /* of the process: a pid alone may be somebody else's by now */
    char interface[IF_NAMESIZE];
    uint32_t serial;
} fl_ciul_member_t;

typedef struct
{
    uint64_t magic;
    _Atomic uint32_t generation; /* odd while it is being written */
    uint32_t serials;
    fl_ciul_member_t members[FL_CIUL_MEMBERS];
    fl_ciul_filter_t filters[FL_CIUL_FILTERS];
} fl_ciul_table_t;

typedef struct
{
    int fd;
    int ifindex;
    bool is_packet;
    char wire[96];
    char path[128];
    fl_ciul_table_t *shared;
} fl_ciul_registry_t;

/* Map the table of an adapter's wire, made on first use, and join it; the index of the new member or a negative errno.
 * Members whose processes died are removed with their filters. */
int fl_ciul_registry_open(fl_ciul_registry_t *registry, const fl_ciul_settings_t *settings, int ifindex);
void fl_ciul_registry_close(fl_ciul_registry_t *registry);
void fl_ciul_registry_leave(fl_ciul_registry_t *registry, int member);
int fl_ciul_registry_filter_add(fl_ciul_registry_t *registry, const fl_ciul_filter_t *filter, bool is_ring_model);
int fl_ciul_registry_filter_del(fl_ciul_registry_t *registry, int id, int member);

/* Copy the table if it is another than the copy. True if it was. */
bool fl_ciul_registry_copy(const fl_ciul_registry_t *registry, fl_ciul_table_t *copy);

/* Let the kernel drop what a filter steals from it, or not any longer; 0 or a negative errno. */
int fl_ciul_kernel_drop_add(int ifindex, int id, const fl_ciul_match_t *match);
int fl_ciul_kernel_drop_del(int ifindex, int id);

/* Where a frame goes: the filter that brings it to this member, or -1. Others' packets come where queues are shared. */
int fl_ciul_filter_find(
    const fl_ciul_table_t *table, int member, const char *interface, const uint8_t *frame, size_t length);

/* ---- wires ---- */

typedef struct
{
    size_t length;
    uint64_t time_ns;
    uint8_t data[FL_CIUL_FRAME_MAX];
} fl_ciul_frame_t;

typedef struct fl_ciul_wire fl_ciul_wire_t;

struct fl_ciul_wire
{
    /* One frame out. 0, -EAGAIN where the wire takes no more now, or -ENODEV. */
    int (*send)(fl_ciul_wire_t *wire, const uint8_t *frame, size_t length);
    /* Frames in, at most FL_CIUL_BATCH; -ENODEV once the interface is gone. */
    int (*receive)(fl_ciul_wire_t *wire, fl_ciul_frame_t *frames, int capacity);
    /* Readable while frames wait; -1 before wire_listen. Ringing may have to be asked for. */
    int (*arm)(fl_ciul_wire_t *wire, bool is_armed);
    bool (*has_frames)(fl_ciul_wire_t *wire);
    void (*close)(fl_ciul_wire_t *wire);
};

/* Open the wire for one VI, and receive from it from now on. */
int fl_ciul_wire_packet_open(fl_ciul_wire_t **wire, const fl_ciul_registry_t *registry);
int fl_ciul_wire_memory_open(fl_ciul_wire_t **wire, const fl_ciul_registry_t *registry, int member);

/* ---- handles, domains, regions ---- */

/* Abort unless the handle is open. */
void fl_ciul_handle_check(ef_driver_handle handle, const char *caller);
void fl_ciul_handle_kick(ef_driver_handle handle, bool is_ready);

typedef struct
{
    bool is_used;
    ef_driver_handle handle;
    int ifindex;
    int vis; /* allocated from it */
    bool is_express;
    fl_ciul_settings_t settings;
} fl_ciul_domain_t;

/* The domain of a PD, aborting where it was freed or never made. */
fl_ciul_domain_t *fl_ciul_domain_of(const ef_pd *pd, const char *caller);

/* The memory behind a DMA address. Aborts where the address is in no registered memory of that domain, or where length
 * leaves the contiguous piece; caller and what are for the message. */
uint8_t *fl_ciul_region_at(unsigned pd_id, ef_addr address, size_t length, const char *caller);

/* Mark a receive buffer as the adapter's or as the caller's again; aborts where it already is. */
void fl_ciul_region_lend(ef_addr address, bool is_lent, const char *caller);

/* Which architecture a VI of these settings has, and what the adapter says of a capability: 0 or a negative errno. */
int fl_ciul_capability(const fl_ciul_settings_t *settings, bool is_express, unsigned capability, unsigned long *value);

/* Guards handles, domains, regions and PIO. Control plane only. */
void fl_ciul_lock(void);
void fl_ciul_unlock(void);

#endif
