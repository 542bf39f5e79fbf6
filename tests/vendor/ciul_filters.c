/* Filters: which virtual interface a frame goes to. */
#include <errno.h>

#include "ciul_scenarios.h"

static void specific_filters_first(void)
{
    end_t second;
    ef_filter_spec spec;
    open_both(0, 0);
    end_open(&second, "right", 0, 0, "10.7.0.3");
    ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
    REQUIRE(0 ==
        ef_filter_spec_set_ip4_full(
            &spec, IPPROTO_UDP, right.address_be, right.port_be, left.address_be, left.port_be));
    REQUIRE(0 == ef_vi_filter_add(&second.vi, second.handle, &spec, NULL));
    REQUIRE(0 == end_send(&left, &right, RECEIVE, 5, 64));
    REQUIRE(1 == end_wait(&second, taken, 8, &completed) && is_right(&taken[0], 5, 64));
    REQUIRE(0 == end_poll(&right, taken, 8, &completed));
    end_close(&second);
    REQUIRE(0 == end_send(&left, &right, RECEIVE + 1, 6, 64));
    REQUIRE(1 == end_wait(&right, taken, 8, &completed) && is_right(&taken[0], 6, 64));
    close_both();
}

static void duplicates(void)
{
    end_t second;
    open_both(0, 0);
    REQUIRE(-EEXIST == end_filter(&right, "10.7.0.2", 40123, 0));
    REQUIRE(0 == end_try(&second, "right", 0, 0));
    end_memory(&second);
    if (second.is_shared)
    {
        REQUIRE(-EBUSY == end_filter(&second, "10.7.0.2", 40123, 0));
        REQUIRE(-EINVAL ==
            end_filter(&second, "10.7.0.2", 40124, EF_FILTER_FLAG_EXCLUSIVE_RXQ | EF_FILTER_FLAG_SHARED_RXQ));
    }
    else
    {
        end_post(&second, 0, RECEIVE);
        REQUIRE(0 == end_filter(&second, "10.7.0.2", 40123, 0));
        REQUIRE(0 == end_send(&left, &right, RECEIVE, 5, 64));
        REQUIRE(1 == end_wait(&second, taken, 8, &completed) && 1 == end_wait(&right, taken, 8, &completed));
    }
    REQUIRE(0 == end_filter(&right, "239.1.1.1", 40123, 0));
    REQUIRE(0 == end_filter(&second, "239.1.1.1", 40123, 0));
    REQUIRE(0 == end_send(&left, &right, RECEIVE + 1, 8, 64));
    REQUIRE(1 == end_wait(&second, taken, 8, &completed) && 1 == end_wait(&right, taken, 8, &completed));
    end_close(&second);
    close_both();
}

/* A tag is the frame's; a filter with another one does not match, and neither does any a fragment. */
static void vlan(void)
{
    end_open(&left, "left", 0, 0, "10.7.0.1");
    REQUIRE(0 == end_try(&right, "right", 0, 0));
    end_memory(&right);
    if (right.is_shared)
    {
        REQUIRE(-EPROTONOSUPPORT == end_filter_vlan(&right, "10.7.0.2", 40123, 0, 7));
        return;
    }
    end_post(&right, 0, RECEIVE);
    REQUIRE(0 == end_filter_vlan(&right, "10.7.0.2", 40123, 0, 7));
    for (int tag = 6; tag < 8; tag++)
    {
        uint8_t *frame = left.memory + (size_t)(RECEIVE + tag) * BUFFER;
        size_t length = end_frame(&left, &right, frame, (uint8_t)tag, 64);
        memmove(frame + 16, frame + 12, length - 12);
        memcpy(frame + 12, (uint8_t[]){0x81, 0, 0, (uint8_t)tag}, 4);
        REQUIRE(0 == ef_vi_transmit(&left.vi, end_dma(&left, RECEIVE + tag), (int)length + 4, tag));
    }
    REQUIRE(1 == end_wait(&right, taken, 8, &completed) && 7 == taken[0].frame[15] && 7 == taken[0].frame[46]);
    REQUIRE(0 == ef_vi_filter_del(&right.vi, right.handle, &right.cookie));
    REQUIRE(-ENOENT == ef_vi_filter_del(&right.vi, right.handle, &right.cookie));
    REQUIRE(0 == end_filter(&right, "10.7.0.2", 40123, 0));
    uint8_t *frame = left.memory + RECEIVE * BUFFER;
    size_t length = end_frame(&left, &right, frame, 1, 64);
    frame[20] = 0x20;
    REQUIRE(0 == ef_vi_transmit(&left.vi, end_dma(&left, RECEIVE), (int)length, 1));
    REQUIRE(0 == end_poll(&right, taken, 8, &completed));
    close_both();
}

static void ip6(void)
{
    static const uint8_t ethernet[14] = {2, 0xc1, 0, 0, 0, 2, 2, 0xc1, 0, 0, 0, 1, 0x86, 0xdd};
    ef_filter_spec spec;
    struct in6_addr address;
    open_both(0, 0);
    inet_pton(AF_INET6, "fd00::2", &address);
    ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
    REQUIRE(0 == ef_filter_spec_set_ip6_local(&spec, IPPROTO_UDP, &address, htons(40123)));
    REQUIRE(0 == ef_vi_filter_add(&right.vi, right.handle, &spec, NULL));
    for (int port = 40122; port < 40124; port++)
    {
        uint8_t *frame = left.memory + (size_t)(RECEIVE + port - 40122) * BUFFER;
        struct udphdr udp = {.source = htons(1), .dest = htons((uint16_t)port), .len = htons(16)};
        memset(frame, 0, 70);
        memcpy(frame, ethernet, sizeof(ethernet));
        frame[14] = 0x60;
        frame[19] = 16;
        frame[20] = IPPROTO_UDP;
        frame[37] = 9;
        memcpy(frame + 38, &address, sizeof(address));
        struct iovec payload = {frame + 62, 8};
        const void *ip = frame + 14;
        udp.check = (uint16_t)ef_udp_checksum_ip6((const struct ipv6hdr *)ip, &udp, &payload, 1);
        memcpy(frame + 54, &udp, sizeof(udp));
        REQUIRE(0 == ef_vi_transmit(&left.vi, end_dma(&left, RECEIVE + port - 40122), 70, port));
    }
    REQUIRE(1 == end_wait(&right, taken, 8, &completed) && 70 == taken[0].length);
    REQUIRE(EF_EVENT_TYPE_RX == taken[0].type || EF_EVENT_TYPE_RX_REF == taken[0].type);
    REQUIRE(0 == memcmp(taken[0].frame + 56, (uint8_t[]){0x9c, 0xbb}, 2));
    close_both();
}

static void others(void)
{
    end_t second;
    open_both(0, 0);
    end_open(&second, "right", 0, 0, "10.7.0.3");
    REQUIRE(0 == end_send(&left, &second, RECEIVE, 5, 64));
    REQUIRE(1 == end_wait(&right, taken, 8, &completed) && is_right(&taken[0], 5, 64));
    REQUIRE(0 != memcmp(taken[0].frame + 30, &right.address_be, 4));
    REQUIRE(1 == end_wait(&second, taken, 8, &completed));
    end_close(&second);
    close_both();
}

const scenario_t filter_scenarios[] = {
    SCENARIO(specific_filters_first), SCENARIO(duplicates), SCENARIO(others), SCENARIO(vlan), SCENARIO(ip6),
};

const size_t filter_scenarios_count = sizeof(filter_scenarios) / sizeof(filter_scenarios[0]);
