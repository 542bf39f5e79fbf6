/* One end of a wire for the scenarios: a VI with buffers, a UDP filter, and frames in and out in either model. */
#ifndef FL_CIUL_END_H
#define FL_CIUL_END_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <etherfabric/capabilities.h>
#include <etherfabric/checksum.h>
#include <etherfabric/efct_vi.h>
#include <etherfabric/memreg.h>
#include <etherfabric/pd.h>
#include <etherfabric/pio.h>
#include <etherfabric/vi.h>

#define REQUIRE(condition) \
    do \
    { \
        if (!(condition)) \
        { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

#define BUFFER 2048
#define BUFFERS 256
#define RECEIVE 64 /* the first of them receive */

typedef struct
{
    ef_driver_handle handle;
    ef_pd pd;
    ef_vi vi;
    ef_memreg region;
    uint8_t *memory;
    bool is_shared; /* shared queues */
    uint32_t address_be;
    uint16_t port_be;
    ef_filter_cookie cookie;
} end_t;

typedef struct
{
    unsigned type;      /* of the event */
    unsigned subtype;   /* of a discard */
    int id;             /* of the buffer or packet */
    size_t length;
    const uint8_t *frame;
    const void *packet; /* what a time stamp is asked for */
} taken_t;

/* event_slots, receive_slots: of its queues, or -1. */
static inline int end_try_sized(
    end_t *end, const char *interface, uint64_t flags, int pd_flags, int event_slots, int receive_slots)
{
    memset(end, 0, sizeof(*end));
    int result = ef_driver_open(&end->handle);
    if (0 == result)
    {
        result = ef_pd_alloc_by_name(&end->pd, end->handle, interface, (enum ef_pd_flags)pd_flags);
    }
    if (0 != result)
    {
        return result;
    }
    return ef_vi_alloc_from_pd(&end->vi, end->handle, &end->pd, end->handle, event_slots, receive_slots, -1, NULL, -1,
        (enum ef_vi_flags)flags);
}

static inline int end_try(end_t *end, const char *interface, uint64_t flags, int pd_flags)
{
    return end_try_sized(end, interface, flags, pd_flags, -1, -1);
}

static inline void end_memory(end_t *end)
{
    unsigned long value;
    end->is_shared = 0 == ef_pd_capabilities_get(end->handle, &end->pd, end->handle, EF_VI_CAP_RX_REF, &value);
    void *memory =
        mmap(NULL, BUFFERS * BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(MAP_FAILED != memory);
    end->memory = (uint8_t *)memory;
    REQUIRE(0 == ef_memreg_alloc(&end->region, end->handle, &end->pd, end->handle, memory, BUFFERS * BUFFER));
}

static inline ef_addr end_dma(end_t *end, int buffer)
{
    return ef_memreg_dma_addr(&end->region, (size_t)buffer * BUFFER);
}

static inline void end_post(end_t *end, int first, int count)
{
    for (int i = first; i < first + count; i++)
    {
        REQUIRE(0 == ef_vi_receive_init(&end->vi, end_dma(end, i), i));
    }
    ef_vi_receive_push(&end->vi);
}

static inline int end_filter_vlan(end_t *end, const char *address, int port, unsigned flags, int vlan)
{
    ef_filter_spec spec;
    inet_pton(AF_INET, address, &end->address_be);
    end->port_be = htons((uint16_t)port);
    ef_filter_spec_init(&spec, (enum ef_filter_flags)flags);
    REQUIRE(0 == ef_filter_spec_set_ip4_local(&spec, IPPROTO_UDP, end->address_be, end->port_be));
    REQUIRE(vlan < 0 || 0 == ef_filter_spec_set_vlan(&spec, vlan));
    return ef_vi_filter_add(&end->vi, end->handle, &spec, &end->cookie);
}

static inline int end_filter(end_t *end, const char *address, int port, unsigned flags)
{
    return end_filter_vlan(end, address, port, flags, EF_FILTER_VLAN_ID_ANY);
}

static inline void end_open(end_t *end, const char *interface, uint64_t flags, int pd_flags, const char *address)
{
    REQUIRE(0 == end_try(end, interface, flags, pd_flags));
    end_memory(end);
    if (!end->is_shared)
    {
        end_post(end, 0, RECEIVE);
    }
    REQUIRE(0 == end_filter(end, address, 40123, EF_FILTER_FLAG_REQUEST_WAKEUPS));
}

static inline void end_close(end_t *end)
{
    REQUIRE(0 == ef_memreg_free(&end->region, end->handle));
    REQUIRE(0 == ef_vi_free(&end->vi, end->handle));
    REQUIRE(0 == ef_pd_free(&end->pd, end->handle));
    REQUIRE(0 == ef_driver_close(end->handle));
    munmap(end->memory, BUFFERS * BUFFER);
}

/* Write a UDP frame to another end, payload bytes counting up from first; its length. */
static inline size_t end_frame(const end_t *end, const end_t *to, uint8_t *frame, uint8_t first, size_t payload)
{
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 4, .protocol = IPPROTO_UDP, .saddr = end->address_be};
    struct udphdr udp = {.source = end->port_be, .dest = to->port_be, .len = htons((uint16_t)(8 + payload))};
    uint8_t *data = frame + 42;
    for (size_t i = 0; i < payload; i++)
    {
        data[i] = (uint8_t)(first + i);
    }
    struct iovec vector = {data, payload};
    ip.daddr = to->address_be;
    ip.tot_len = htons((uint16_t)(28 + payload));
    ip.check = (uint16_t)ef_ip_checksum(&ip);
    udp.check = (uint16_t)ef_udp_checksum(&ip, &udp, &vector, 1);
    memcpy(frame, "\x02\xc1\x00\x00\x00\x02\x02\xc1\x00\x00\x00\x01\x08\x00", 14);
    memcpy(frame + 14, &ip, 20);
    memcpy(frame + 34, &udp, 8);
    return 42 + payload;
}

/* Send one frame from a buffer behind the receiving ones. */
static inline int end_send(end_t *end, const end_t *to, int buffer, uint8_t first, size_t payload)
{
    size_t length = end_frame(end, to, end->memory + (size_t)buffer * BUFFER, first, payload);
    return ef_vi_transmit(&end->vi, end_dma(end, buffer), (int)length, buffer);
}

/* Poll; received packets into taken, completed sends counted. */
static inline int end_poll(end_t *end, taken_t *taken, int capacity, int *completed)
{
    ef_event events[64];
    ef_request_id ids[EF_VI_TRANSMIT_BATCH];
    int count = 0;
    int made = ef_eventq_poll(&end->vi, events, capacity < 64 ? capacity : 64);
    int prefix = ef_vi_receive_prefix_len(&end->vi);
    for (int i = 0; i < made; i++)
    {
        taken_t *one = &taken[count];
        unsigned type = EF_EVENT_TYPE(events[i]);
        memset(one, 0, sizeof(*one));
        one->type = type;
        if (EF_EVENT_TYPE_TX == type || EF_EVENT_TYPE_TX_ERROR == type)
        {
            *completed += ef_vi_transmit_unbundle(&end->vi, &events[i], ids);
            if (EF_EVENT_TYPE_TX == type)
            {
                continue;
            }
        }
        else if (EF_EVENT_TYPE_TX_WITH_TIMESTAMP == type)
        {
            (*completed)++;
            continue;
        }
        else if (EF_EVENT_TYPE_RX == type || EF_EVENT_TYPE_RX_DISCARD == type)
        {
            one->id = (int)EF_EVENT_RX_RQ_ID(events[i]);
            one->packet = end->memory + (size_t)one->id * BUFFER;
            one->frame = end->memory + (size_t)one->id * BUFFER + prefix;
            one->length = EF_EVENT_RX_BYTES(events[i]) - (size_t)prefix;
            one->subtype = EF_EVENT_TYPE_RX_DISCARD == type ? EF_EVENT_RX_DISCARD_TYPE(events[i]) : 0;
        }
        else if (EF_EVENT_TYPE_RX_REF == type || EF_EVENT_TYPE_RX_REF_DISCARD == type)
        {
            one->id = (int)events[i].rx_ref.pkt_id;
            one->length = events[i].rx_ref.len;
            one->packet = one->frame = (const uint8_t *)efct_vi_rxpkt_get(&end->vi, events[i].rx_ref.pkt_id);
            one->subtype = EF_EVENT_TYPE_RX_REF_DISCARD == type
                ? ef_vi_get_rx_discard_subtype_from_flags(events[i].rx_ref_discard.flags)
                : 0;
        }
        else if (EF_EVENT_TYPE_RX_MULTI == type || EF_EVENT_TYPE_RX_MULTI_DISCARD == type)
        {
            int number = ef_vi_receive_unbundle(&end->vi, &events[i], ids);
            for (int j = 0; j < number; j++, count++)
            {
                uint16_t bytes;
                taken[count].type = type;
                taken[count].id = ids[j];
                taken[count].packet = end->memory + (size_t)ids[j] * BUFFER;
                taken[count].frame = end->memory + (size_t)ids[j] * BUFFER + prefix;
                REQUIRE(0 == ef_vi_receive_get_bytes(&end->vi, taken[count].packet, &bytes));
                taken[count].length = bytes;
            }
            continue;
        }
        count++;
    }
    return count;
}

static inline void end_release(end_t *end, int id)
{
    if (end->is_shared)
    {
        efct_vi_rxpkt_release(&end->vi, (uint32_t)id);
    }
    else
    {
        REQUIRE(0 == ef_vi_receive_init(&end->vi, end_dma(end, id), id));
        ef_vi_receive_push(&end->vi);
    }
}

/* Poll until something arrives, for at most five seconds. */
static inline int end_wait(end_t *end, taken_t *taken, int capacity, int *completed)
{
    time_t end_at = time(NULL) + 5;
    int count = 0;
    while (0 == count && time(NULL) < end_at)
    {
        count = end_poll(end, taken, capacity, completed);
    }
    return count;
}

#endif
