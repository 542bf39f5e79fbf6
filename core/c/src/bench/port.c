/* The floor of a port: frames as fast as they can be made and taken apart without a netstack. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <framelane/port.h>

#include "bench/bench.h"
#include "netstack/checksum.h"
#include "netstack/headers.h"
#include "netstack/port_ops.h"
#include "util/error.h"

#define FL_BENCH_HEADERS (FL_ETHERNET_LENGTH + FL_IPV4_LENGTH + FL_UDP_LENGTH)
#define FL_BENCH_PORT_TURNS 16

/* A started port and the region that payloads come from or go to. */
typedef struct fl_bench_port
{
    fl_port_ops_t ops;
    fl_port_t *port;
    fl_port_attributes_t attributes;
    uint8_t *region;
    uint32_t at;          /* of the next payload in the region */
    uint32_t batch;
} fl_bench_port_t;

static int fl_bench_port_open(
    fl_bench_port_t *bench, const void *ops, void *port, const fl_bench_params_t *params, bool filters)
{
    memset(bench, 0, sizeof(*bench));
    bench->port = port;
    bench->batch = 0 == params->batch ? 32
        : params->batch < FL_BENCH_PORT_BATCH ? params->batch
                                              : FL_BENCH_PORT_BATCH;
    int result = fl_port_ops_complete(&bench->ops, ops, "benchmark");
    if (result < 0)
    {
        return result;
    }
    bench->attributes.size = sizeof(bench->attributes);
    result = bench->ops.attributes(port, &bench->attributes);
    bench->region = aligned_alloc(64, FL_BENCH_REGION);
    if (NULL == bench->region)
    {
        return fl_error(FL_ENOMEM, "benchmark of a port: no memory");
    }
    memset(bench->region, 0x5a, FL_BENCH_REGION);
    if (result >= 0)
    {
        result = bench->ops.start(port, 1);
    }
    if (result >= 0)
    {
        static const fl_address_t any = { .family = FL_FAMILY_NONE };
        result = bench->ops.queue_enter(port, 0);
        result = -FL_ENOTSUP == result ? 0 : result;
        if (result >= 0 && filters)
        {
            result = bench->ops.add_filter(port, 0, FL_VLAN_NONE, &params->local, &any);
            result = -FL_ENOTSUP == result ? 0 : result;
        }
        if (result < 0)
        {
            bench->ops.stop(port);
        }
    }
    if (result < 0)
    {
        fl_error_append(" (benchmark of a port)");
        free(bench->region);
    }
    return result;
}

static void fl_bench_port_close(fl_bench_port_t *bench, const fl_bench_params_t *params, bool filters)
{
    static const fl_address_t any = { .family = FL_FAMILY_NONE };
    if (filters)
    {
        bench->ops.remove_filter(bench->port, 0, FL_VLAN_NONE, &params->local, &any);
    }
    bench->ops.queue_leave(bench->port, 0);
    bench->ops.stop(bench->port);
    free(bench->region);
}

/* The next payload's place in the region, each on cache lines of its own. */
static inline uint8_t *fl_bench_port_next(fl_bench_port_t *bench, uint32_t length)
{
    if (bench->at + length > FL_BENCH_REGION)
    {
        bench->at = 0;
    }
    uint8_t *place = bench->region + bench->at;
    bench->at += (length + 63) / 64 * 64;
    return place;
}

/* ---- sending ---- */

/* Headers of one length; returns the sum that the payload's is added to. */
static uint64_t fl_bench_port_headers(
    uint8_t *to, const fl_bench_port_t *bench, const fl_bench_params_t *params, uint32_t length)
{
    fl_ethernet_header_t ethernet = { .ether_type = htons(FL_ETHER_TYPE_IPV4) };
    fl_ipv4_header_t ip = { .version_and_length = 0x45,
                            .total_length = htons((uint16_t)(FL_IPV4_LENGTH + FL_UDP_LENGTH + length)),
                            .flags_and_offset = htons(0x4000),
                            .ttl = 64,
                            .protocol = FL_IP_PROTOCOL_UDP };
    fl_udp_header_t udp = { .source_port = htons(params->local.port),
                            .destination_port = htons(params->peer.port),
                            .length = htons((uint16_t)(FL_UDP_LENGTH + length)) };
    /* To all: the floor knows no neighbours, and a device takes it without being told to. */
    memset(ethernet.destination, 0xff, FL_MAC_LENGTH);
    memcpy(ethernet.source, bench->attributes.mac, FL_MAC_LENGTH);
    memcpy(ip.source, params->local.bytes, 4);
    memcpy(ip.destination, params->peer.bytes, 4);
    ip.checksum = fl_checksum_finish(fl_checksum_sum((const uint8_t *)&ip, sizeof(ip)));
    memcpy(to, &ethernet, sizeof(ethernet));
    memcpy(to + FL_ETHERNET_LENGTH, &ip, sizeof(ip));
    memcpy(to + FL_ETHERNET_LENGTH + FL_IPV4_LENGTH, &udp, sizeof(udp));
    return fl_checksum_fold(fl_checksum_add(
        fl_checksum_pseudo(&params->local, &params->peer, FL_IP_PROTOCOL_UDP, FL_UDP_LENGTH + length),
        fl_checksum_sum((const uint8_t *)&udp, sizeof(udp))));
}

/* One burst. Returns how many frames went out, or a negative FL_E*. */
static int fl_bench_port_burst(
    fl_bench_port_t *bench, fl_tx_frame_t *frames, uint32_t *ready, fl_bench_lengths_t *lengths,
    const fl_bench_params_t *params, const uint8_t headers[64], uint64_t sum)
{
    if (*ready < bench->batch)
    {
        const int allocated = bench->ops.tx_alloc(bench->port, 0, &frames[*ready], bench->batch - *ready);
        if (allocated < 0)
        {
            return allocated;
        }
        *ready += (uint32_t)allocated;
    }
    uint64_t used_sum = sum;
    uint8_t mixed[64];
    for (uint32_t i = 0; i < *ready; i++)
    {
        const uint32_t length = fl_bench_lengths_next(lengths);
        const uint8_t *from = fl_bench_port_next(bench, length);
        uint8_t *to = frames[i].data;
        if (0 == params->length)
        {
            used_sum = fl_bench_port_headers(mixed, bench, params, length);
            headers = mixed;
        }
        memcpy(to, headers, 48);
        if (0 != params->checksums)
        {
            uint16_t checksum =
                fl_checksum_finish(fl_checksum_add(fl_checksum_copy(to + FL_BENCH_HEADERS, from, length), used_sum));
            checksum = 0 == checksum ? 0xffff : checksum;
            memcpy(to + FL_BENCH_HEADERS - 2, &checksum, sizeof(checksum));
        }
        else
        {
            memcpy(to + FL_BENCH_HEADERS, from, length);
        }
        const uint8_t *data = frames[i].data;
        frames[i] = (fl_tx_frame_t){
            .data = (uint8_t *)(uintptr_t)data, .token = frames[i].token, .length = (uint16_t)(FL_BENCH_HEADERS + length)
        };
    }
    const int sent = bench->ops.tx_burst(bench->port, 0, frames, *ready);
    const uint32_t gone = sent > 0 ? (uint32_t)sent : 0;
    memmove(frames, frames + gone, (*ready - gone) * sizeof(*frames));
    *ready -= gone;
    return sent;
}

int fl_bench_port_send(const void *ops, void *port, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_bench_port_t bench;
    fl_bench_lengths_t lengths;
    fl_tx_frame_t frames[FL_BENCH_PORT_BATCH];
    fl_completion_t completions[FL_BENCH_PORT_BATCH];
    uint8_t headers[64] = { 0 };
    uint32_t ready = 0;
    memset(result, 0, sizeof(*result));
    int code = fl_bench_port_open(&bench, ops, port, params, false);
    if (code < 0)
    {
        return code;
    }
    fl_bench_lengths_init(&lengths, params);
    const uint64_t sum = fl_bench_port_headers(headers, &bench, params, params->length);
    const int64_t cpu_ns = fl_bench_cpu();
    const int64_t begin_ns = fl_bench_now();
    int64_t now_ns = begin_ns;
    while (now_ns - begin_ns < params->duration_ns && code >= 0)
    {
        for (int turn = 0; turn < FL_BENCH_PORT_TURNS && code >= 0; turn++)
        {
            code = fl_bench_port_burst(&bench, frames, &ready, &lengths, params, headers, sum);
            bench.ops.tx_reap(port, 0, completions, FL_BENCH_PORT_BATCH);
            result->messages += code > 0 ? (uint64_t)code : 0;
            if (0 == code)
            {
                sched_yield();
            }
        }
        now_ns = fl_bench_now();
    }
    result->bytes = result->messages * params->length;
    result->elapsed_ns = now_ns - begin_ns;
    result->cpu_ns = fl_bench_cpu() - cpu_ns;
    bench.ops.tx_free(port, 0, frames, ready);
    fl_bench_port_close(&bench, params, false);
    return code < 0 ? fl_error(-code, "benchmark of a port: its transmit calls failed") : 0;
}

/* ---- receiving ---- */

/* Take one frame apart. Returns the length of its payload, 0 if it is not one of ours. */
static inline uint32_t fl_bench_port_accept(
    fl_bench_port_t *bench, const fl_rx_frame_t *frame, const fl_bench_params_t *params)
{
    uint8_t headers[48];
    fl_ipv4_header_t ip;
    fl_udp_header_t udp;
    if (frame->length < FL_BENCH_HEADERS)
    {
        return 0;
    }
    memcpy(headers, frame->data, FL_BENCH_HEADERS);
    memcpy(&ip, headers + FL_ETHERNET_LENGTH, sizeof(ip));
    memcpy(&udp, headers + FL_ETHERNET_LENGTH + FL_IPV4_LENGTH, sizeof(udp));
    const uint32_t length = ntohs(udp.length) - FL_UDP_LENGTH;
    if (FL_ETHER_TYPE_IPV4 != fl_load_u16(headers + 12) || 0x45 != ip.version_and_length ||
        FL_IP_PROTOCOL_UDP != ip.protocol || htons(params->local.port) != udp.destination_port ||
        ntohs(udp.length) < FL_UDP_LENGTH || length > frame->length - FL_BENCH_HEADERS)
    {
        return 0;
    }
    uint8_t *to = fl_bench_port_next(bench, length);
    if (FL_CHECKSUM_GOOD != frame->checksum)
    {
        uint64_t sum = fl_checksum_sum(headers + FL_ETHERNET_LENGTH, FL_IPV4_LENGTH);
        if (0xffff != fl_checksum_fold(sum))
        {
            return 0;
        }
        if (0 != udp.checksum)
        {
            /* Addresses, ports, lengths and checksum; then the payload. */
            sum = fl_checksum_sum(headers + FL_ETHERNET_LENGTH + 12, 8 + FL_UDP_LENGTH);
            sum = fl_checksum_add(sum, (uint64_t)udp.length + htons(FL_IP_PROTOCOL_UDP));
            sum = fl_checksum_add(sum, fl_checksum_sum(frame->data + FL_BENCH_HEADERS, length));
            if (0xffff != fl_checksum_fold(sum))
            {
                return 0;
            }
        }
    }
    memcpy(to, frame->data + FL_BENCH_HEADERS, length);
    return length;
}

int fl_bench_port_receive(const void *ops, void *port, const fl_bench_params_t *params, fl_bench_result_t *result)
{
    fl_bench_port_t bench;
    fl_bench_watch_t watch;
    fl_rx_frame_t frames[FL_BENCH_PORT_BATCH];
    memset(result, 0, sizeof(*result));
    int code = fl_bench_port_open(&bench, ops, port, params, true);
    if (code < 0)
    {
        return code;
    }
    const uint32_t batch = bench.batch < bench.attributes.max_hold ? bench.batch : bench.attributes.max_hold;
    fl_bench_watch_begin(&watch);
    for (;;)
    {
        const int count = bench.ops.rx_burst(port, 0, frames, batch);
        uint32_t accepted = 0;
        for (int i = 0; i < count; i++)
        {
            const uint32_t length = fl_bench_port_accept(&bench, &frames[i], params);
            accepted += length > 0;
            result->bytes += length;
        }
        if (count > 0)
        {
            bench.ops.rx_release(port, 0, frames, (uint32_t)count);
        }
        if (accepted > 0)
        {
            result->messages += accepted;
            fl_bench_watch_arrived(&watch);
        }
        else if (fl_bench_watch_is_over(&watch, params))
        {
            break;
        }
        else
        {
            sched_yield();
        }
    }
    fl_bench_watch_end(&watch, result);
    fl_bench_port_close(&bench, params, true);
    return 0;
}
