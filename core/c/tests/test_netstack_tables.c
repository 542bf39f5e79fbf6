/* The leaf tables of the netstack: checksum, addresses, routes, neighbours. */
#include "check.h"

#include <arpa/inet.h>
#include <pthread.h>

#include "netstack/addresses.h"
#include "netstack/checksum.h"
#include "netstack/neighbours.h"
#include "netstack/routes.h"

#define SECOND INT64_C(1000000000)

static fl_address_t address_of(const char *text)
{
    fl_address_t address = { .family = NULL != strchr(text, ':') ? FL_FAMILY_IPV6 : FL_FAMILY_IPV4 };
    CHECK(1 == inet_pton(FL_FAMILY_IPV6 == address.family ? AF_INET6 : AF_INET, text, address.bytes));
    return address;
}

static bool is_address(const char *text, const fl_address_t *address)
{
    const fl_address_t expected = address_of(text);
    return 0 == memcmp(&expected, address, sizeof(expected));
}

/* RFC 1071 as it is written: 16-bit words, carries added back. */
static uint16_t plain_checksum(const uint8_t *bytes, size_t length)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i += 2)
    {
        sum += (uint64_t)bytes[i] << 8 | (i + 1 < length ? bytes[i + 1] : 0);
    }
    while (sum > 0xffff)
    {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void test_the_checksum_equals_the_plain_one_at_every_length_and_alignment(void)
{
    static uint8_t bytes[700];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof(bytes); i++)
    {
        seed = seed * 1103515245 + 12345;
        bytes[i] = i < 350 ? (uint8_t)(seed >> 16) : 0xff;
    }
    for (size_t offset = 0; offset < 34; offset++)
    {
        for (size_t length = 0; offset + length <= sizeof(bytes); length += length < 300 ? 1 : 37)
        {
            const uint16_t expected = plain_checksum(bytes + offset, length);
            CHECK_EQUAL(expected, ntohs(fl_checksum_finish(fl_checksum_sum(bytes + offset, length))));
            uint8_t copy[sizeof(bytes) + 1];
            memset(copy, 0xaa, sizeof(copy));
            CHECK_EQUAL(expected, ntohs(fl_checksum_finish(fl_checksum_copy(copy, bytes + offset, length))));
            CHECK(0 == memcmp(copy, bytes + offset, length));
            CHECK_EQUAL(0xaa, copy[length]);
        }
    }
}

static void test_parts_that_begin_at_even_offsets_add_up_to_the_whole(void)
{
    uint8_t bytes[101];
    memset(bytes, 0xfe, sizeof(bytes));
    const uint64_t parts = fl_checksum_add(fl_checksum_sum(bytes, 64), fl_checksum_sum(bytes + 64, 37));
    CHECK_EQUAL(plain_checksum(bytes, sizeof(bytes)), ntohs(fl_checksum_finish(parts)));
}

static void test_the_pseudo_header_is_that_of_the_family(void)
{
    uint8_t bytes[40];
    const size_t four = check_unhex("c0a80101 c0a801c7 0011 0123", bytes, sizeof(bytes));
    const fl_address_t a = address_of("192.168.1.1");
    const fl_address_t b = address_of("192.168.1.199");
    CHECK_EQUAL(plain_checksum(bytes, four), ntohs(fl_checksum_finish(fl_checksum_pseudo(&a, &b, 17, 0x123))));
    const size_t six = check_unhex(
        "fe800000000000000000000000000001 ff0200000000000000000001ff000002 00010203 0000003a", bytes, sizeof(bytes));
    const fl_address_t c = address_of("fe80::1");
    const fl_address_t d = address_of("ff02::1:ff00:2");
    CHECK_EQUAL(plain_checksum(bytes, six), ntohs(fl_checksum_finish(fl_checksum_pseudo(&c, &d, 58, 0x10203))));
}

static void set_addresses(fl_addresses_t *addresses, const char *const *texts, const uint32_t *prefixes, uint32_t count)
{
    fl_interface_address_t entries[FL_INTERFACE_ADDRESSES + 1] = { { .prefix_length = 0 } };
    for (uint32_t i = 0; i < count; i++)
    {
        entries[i].address = address_of(texts[i]);
        entries[i].prefix_length = prefixes[i];
    }
    CHECK_EQUAL(0, fl_addresses_set(addresses, entries, count));
}

static const char *const OWN[] = { "10.0.0.1", "192.168.7.9", "fe80::1", "2001:db8::1", "10.9.0.1" };
static const uint32_t OWN_PREFIXES[] = { 24, 20, 64, 48, 31 };

static void test_addresses_are_ours_on_link_or_broadcast(void)
{
    static fl_addresses_t addresses;
    set_addresses(&addresses, OWN, OWN_PREFIXES, 5);
    static const struct
    {
        const char *text;
        bool is_ours;
        bool is_broadcast;
        bool is_on_link;
    } cases[] = {
        { "10.0.0.1", true, false, true },        { "10.0.0.2", false, false, true },
        { "10.0.0.255", false, true, true },      { "10.0.1.1", false, false, false },
        { "192.168.15.255", false, true, true },  { "192.168.0.255", false, false, true },
        { "192.168.16.0", false, false, false },  { "255.255.255.255", false, true, false },
        { "10.9.0.1", true, false, true },        { "10.9.0.0", false, false, true },
        { "fe80::1", true, false, true },         { "fe80:1::2", false, false, true },
        { "2001:db8:0:7::2", false, false, true }, { "2001:db8:1::2", false, false, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        const fl_address_t address = address_of(cases[i].text);
        printf("  %s\n", cases[i].text);
        CHECK_EQUAL(cases[i].is_ours, fl_addresses_has(&addresses, &address));
        CHECK_EQUAL(cases[i].is_broadcast, fl_addresses_is_broadcast(&addresses, &address));
        CHECK_EQUAL(cases[i].is_on_link, fl_addresses_is_on_link(&addresses, &address));
    }
}

static void test_the_source_is_of_the_same_network_else_of_the_same_scope(void)
{
    static fl_addresses_t addresses;
    set_addresses(&addresses, OWN, OWN_PREFIXES, 5);
    static const char *const cases[][2] = {
        { "10.0.0.77", "10.0.0.1" },      { "192.168.3.3", "192.168.7.9" }, { "8.8.8.8", "10.0.0.1" },
        { "10.9.0.0", "10.9.0.1" },       { "239.1.1.1", "10.0.0.1" },      { "fe80::9", "fe80::1" },
        { "2001:4860::1", "2001:db8::1" }, { "ff02::5", "fe80::1" },         { "ff0e::5", "2001:db8::1" },
    };
    fl_address_t source;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        const fl_address_t destination = address_of(cases[i][0]);
        printf("  %s\n", cases[i][0]);
        CHECK(fl_addresses_source_for(&addresses, &destination, &source));
        CHECK(is_address(cases[i][1], &source));
    }
    set_addresses(&addresses, &OWN[2], &OWN_PREFIXES[2], 1);
    const fl_address_t global = address_of("2001:db8::2");
    const fl_address_t four = address_of("10.0.0.2");
    CHECK(!fl_addresses_source_for(&addresses, &global, &source));
    CHECK(!fl_addresses_source_for(&addresses, &four, &source));
}

static void test_too_many_addresses_or_routes_are_refused_and_change_nothing(void)
{
    static fl_addresses_t addresses;
    static fl_routes_t routes;
    static const fl_interface_address_t none[FL_INTERFACE_ADDRESSES + 1];
    static const fl_netstack_route_t no_routes[FL_NETSTACK_ROUTES + 1];
    set_addresses(&addresses, OWN, OWN_PREFIXES, 1);
    CHECK_EQUAL(-FL_ENOSPC, fl_addresses_set(&addresses, none, FL_INTERFACE_ADDRESSES + 1));
    CHECK_EQUAL(-FL_ENOSPC, fl_routes_set(&routes, no_routes, FL_NETSTACK_ROUTES + 1));
    const fl_address_t own = address_of(OWN[0]);
    CHECK(fl_addresses_has(&addresses, &own));
}

static fl_netstack_route_t route_of(const char *network, uint32_t prefix_length, const char *gateway, uint32_t metric)
{
    return (fl_netstack_route_t){
        .network = address_of(network),
        .gateway = NULL != gateway ? address_of(gateway) : (fl_address_t){ .family = FL_FAMILY_NONE },
        .prefix_length = prefix_length,
        .metric = metric,
    };
}

static void test_the_longest_prefix_then_the_lowest_metric_gives_the_next_hop(void)
{
    static fl_addresses_t addresses;
    static fl_routes_t routes;
    set_addresses(&addresses, OWN, OWN_PREFIXES, 5);
    fl_netstack_route_t entries[] = {
        route_of("0.0.0.0", 0, "10.0.0.254", 100), route_of("0.0.0.0", 0, "10.0.0.253", 50),
        route_of("172.16.0.0", 12, "192.168.0.1", 0), route_of("172.16.5.0", 24, NULL, 0),
        route_of("10.0.0.128", 25, "10.0.0.3", 0), route_of("::", 0, "fe80::fe", 0),
    };
    entries[2].mtu_length = 1400;
    entries[3].source = address_of("192.168.7.9");
    CHECK_EQUAL(0, fl_routes_set(&routes, entries, 6));
    static const struct
    {
        const char *destination;
        const char *next_hop;
        const char *source;
        uint32_t mtu;
    } cases[] = {
        { "10.0.0.7", "10.0.0.7", "10.0.0.1", 0 },        { "8.8.8.8", "10.0.0.253", "10.0.0.1", 0 },
        { "172.17.0.1", "192.168.0.1", "192.168.7.9", 1400 }, { "172.16.5.5", "172.16.5.5", "192.168.7.9", 0 },
        { "10.0.0.200", "10.0.0.3", "10.0.0.1", 0 },      { "2001:4860::1", "fe80::fe", "2001:db8::1", 0 },
        { "2001:db8::7", "2001:db8::7", "2001:db8::1", 0 }, { "fe80::7", "fe80::7", "fe80::1", 0 },
    };
    fl_address_t next_hop;
    fl_address_t source;
    uint32_t mtu;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        fl_address_t destination = address_of(cases[i].destination);
        destination.port = 40123;
        printf("  %s\n", cases[i].destination);
        CHECK_EQUAL(0, fl_routes_find(&routes, &addresses, &destination, &next_hop, &source, &mtu));
        CHECK(is_address(cases[i].next_hop, &next_hop));
        CHECK(is_address(cases[i].source, &source));
        CHECK_EQUAL(cases[i].mtu, mtu);
    }
    CHECK_EQUAL(0, fl_routes_set(&routes, entries + 2, 1));
    const fl_address_t nowhere = address_of("8.8.8.8");
    CHECK_EQUAL(-FL_ENETUNREACH, fl_routes_find(&routes, &addresses, &nowhere, &next_hop, &source, &mtu));
}

static fl_address_t numbered(uint32_t number)
{
    fl_address_t address = { .family = FL_FAMILY_IPV4, .bytes = { 10, 1 } };
    address.bytes[2] = (uint8_t)(number >> 8);
    address.bytes[3] = (uint8_t)number;
    return address;
}

static void test_the_generation_moves_only_when_an_answer_would_change(void)
{
    fl_neighbours_t neighbours;
    _Atomic uint64_t generation = 1;
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
    static const uint8_t other[6] = { 2, 0, 0, 0, 0, 2 };
    CHECK_EQUAL(0, fl_neighbours_init(&neighbours, 16, &generation));
    const fl_address_t a = numbered(1);
    uint8_t found[6];
    uint32_t slot;
    CHECK_EQUAL(FL_NEIGHBOUR_NONE, fl_neighbours_find(&neighbours, &a, 5, found, &slot));
    CHECK_EQUAL(FL_NEIGHBOUR_NO_SLOT, slot);
    static const struct
    {
        uint32_t state;
        const uint8_t *mac;
        bool moves;
    } steps[] = {
        { FL_NEIGHBOUR_INCOMPLETE, NULL, false }, { FL_NEIGHBOUR_REACHABLE, mac, true },
        { FL_NEIGHBOUR_STALE, NULL, false },      { FL_NEIGHBOUR_PROBE, NULL, false },
        { FL_NEIGHBOUR_REACHABLE, other, true },  { FL_NEIGHBOUR_FAILED, NULL, true },
        { FL_NEIGHBOUR_INCOMPLETE, NULL, true },  { FL_NEIGHBOUR_STALE, mac, true },
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
    {
        const uint64_t before = generation;
        CHECK(NULL != fl_neighbours_set(&neighbours, &a, steps[i].state, steps[i].mac, (int64_t)i + 1));
        CHECK_EQUAL(before + steps[i].moves, generation);
        memset(found, 0, sizeof(found));
        CHECK_EQUAL(steps[i].state, fl_neighbours_find(&neighbours, &a, 7, found, &slot));
        CHECK_EQUAL(!fl_neighbour_is_usable(steps[i].state), 0 == found[0]);
    }
    CHECK_EQUAL(7, fl_neighbours_entry(&neighbours, &a)->used_ns);
    fl_neighbours_touch(&neighbours, slot, 9);
    CHECK_EQUAL(9, fl_neighbours_entry(&neighbours, &a)->used_ns);
    const uint64_t before = generation;
    fl_neighbours_remove(&neighbours, &a);
    CHECK_EQUAL(before + 1, generation);
    CHECK_EQUAL(FL_NEIGHBOUR_NONE, fl_neighbours_find(&neighbours, &a, 5, found, &slot));
    fl_neighbours_destroy(&neighbours);
}

static void test_a_full_table_gives_up_what_nobody_uses_and_never_what_is_in_use(void)
{
    fl_neighbours_t neighbours;
    _Atomic uint64_t generation = 1;
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
    uint8_t found[6];
    uint32_t slot;
    CHECK_EQUAL(0, fl_neighbours_init(&neighbours, 256, &generation));
    for (uint32_t i = 0; i < 256; i++)
    {
        const fl_address_t address = numbered(i);
        CHECK(NULL != fl_neighbours_set(&neighbours, &address, FL_NEIGHBOUR_STALE, mac, SECOND));
        if (0 != i % 2)
        {
            CHECK_EQUAL(FL_NEIGHBOUR_STALE, fl_neighbours_find(&neighbours, &address, 2 * SECOND, found, &slot));
        }
    }
    for (uint32_t i = 1000; i < 20000; i++)
    {
        const fl_address_t stranger = numbered(i);
        CHECK(NULL != fl_neighbours_set(&neighbours, &stranger, FL_NEIGHBOUR_STALE, mac, 3 * SECOND + i));
        CHECK(neighbours.count <= 256);
    }
    for (uint32_t i = 0; i < 256; i++)
    {
        const fl_address_t address = numbered(i);
        CHECK_EQUAL(0 != i % 2, NULL != fl_neighbours_entry(&neighbours, &address));
        CHECK(NULL != fl_neighbours_set(&neighbours, &address, FL_NEIGHBOUR_PERMANENT, mac, 4 * SECOND));
    }
    CHECK_EQUAL(256, fl_neighbours_copy(&neighbours, NULL, 0));
    const fl_address_t one_more = numbered(999);
    CHECK(NULL == fl_neighbours_set(&neighbours, &one_more, FL_NEIGHBOUR_STALE, mac, 5 * SECOND));
    fl_neighbours_destroy(&neighbours);
}

/* Shared by the threads of the next test. */
static struct
{
    fl_neighbours_t neighbours;
    fl_addresses_t addresses;
    fl_routes_t routes;
    _Atomic uint64_t generation;
    _Atomic int is_over;
    _Atomic int64_t reads;
} shared;

/* Whatever a reader finds belongs together: entry n has MAC addresses whose bytes are equal, and ends in n's parity. */
static void *read_the_tables(void *unused)
{
    (void)unused;
    fl_interface_address_t entries[FL_INTERFACE_ADDRESSES];
    int64_t reads = 0;
    while (!atomic_load_explicit(&shared.is_over, memory_order_relaxed))
    {
        const fl_address_t address = numbered((uint32_t)reads % 32);
        uint8_t mac[6];
        uint32_t slot;
        if (fl_neighbour_is_usable(fl_neighbours_find(&shared.neighbours, &address, reads, mac, &slot)))
        {
            CHECK(mac[0] == mac[5] && mac[1] == mac[4] && mac[0] == mac[2]);
            CHECK_EQUAL(address.bytes[3] % 2, mac[0] % 2);
        }
        const uint32_t count = fl_addresses_copy(&shared.addresses, entries);
        for (uint32_t i = 0; i < count; i++)
        {
            CHECK_EQUAL(count, entries[i].prefix_length);
            CHECK_EQUAL(count, entries[i].address.bytes[3]);
        }
        fl_address_t next_hop;
        fl_address_t source;
        uint32_t mtu;
        const fl_address_t far = address_of("203.0.113.1");
        if (0 == fl_routes_find(&shared.routes, &shared.addresses, &far, &next_hop, &source, &mtu))
        {
            CHECK_EQUAL(mtu, next_hop.bytes[3]);
        }
        reads++;
        atomic_fetch_add_explicit(&shared.reads, 1, memory_order_relaxed);
    }
    return NULL;
}

static void test_readers_never_see_half_a_change(void)
{
    pthread_t readers[2];
    shared.generation = 1;
    CHECK_EQUAL(0, fl_neighbours_init(&shared.neighbours, 16, &shared.generation));
    for (int i = 0; i < 2; i++)
    {
        CHECK_EQUAL(0, pthread_create(&readers[i], NULL, read_the_tables, NULL));
    }
    /* The writer goes on until the readers have had their turns, however few cores there are. */
    for (uint32_t turn = 0;
         turn < 20000 || atomic_load_explicit(&shared.reads, memory_order_relaxed) < 20000; turn++)
    {
        const fl_address_t address = numbered(turn % 32);
        uint8_t mac[6];
        memset(mac, (int)((turn / 32 * 2 + turn % 2) & 0xff), sizeof(mac));
        fl_neighbours_set(
            &shared.neighbours, &address, 0 == turn % 7 ? FL_NEIGHBOUR_FAILED : FL_NEIGHBOUR_STALE, mac,
            turn * SECOND);
        if (0 == turn % 16)
        {
            fl_interface_address_t entries[8];
            const uint32_t count = 1 + turn / 16 % 8;
            for (uint32_t i = 0; i < count; i++)
            {
                entries[i] = (fl_interface_address_t){ .address = numbered(count), .prefix_length = count };
            }
            CHECK_EQUAL(0, fl_addresses_set(&shared.addresses, entries, count));
            fl_netstack_route_t route = route_of("0.0.0.0", 0, "10.0.0.0", 0);
            route.gateway.bytes[3] = (uint8_t)count;
            route.mtu_length = count;
            CHECK_EQUAL(0, fl_routes_set(&shared.routes, &route, 1));
        }
    }
    atomic_store_explicit(&shared.is_over, 1, memory_order_relaxed);
    for (int i = 0; i < 2; i++)
    {
        CHECK_EQUAL(0, pthread_join(readers[i], NULL));
    }
    fl_neighbours_destroy(&shared.neighbours);
}

int main(void)
{
    RUN(test_the_checksum_equals_the_plain_one_at_every_length_and_alignment);
    RUN(test_parts_that_begin_at_even_offsets_add_up_to_the_whole);
    RUN(test_the_pseudo_header_is_that_of_the_family);
    RUN(test_addresses_are_ours_on_link_or_broadcast);
    RUN(test_the_source_is_of_the_same_network_else_of_the_same_scope);
    RUN(test_too_many_addresses_or_routes_are_refused_and_change_nothing);
    RUN(test_the_longest_prefix_then_the_lowest_metric_gives_the_next_hop);
    RUN(test_the_generation_moves_only_when_an_answer_would_change);
    RUN(test_a_full_table_gives_up_what_nobody_uses_and_never_what_is_in_use);
    RUN(test_readers_never_see_half_a_change);
    return 0;
}
