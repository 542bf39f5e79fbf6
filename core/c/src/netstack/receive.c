/* Frames in: poll and release.
 *
 * A frame of a known flow is recognised by a few words of its headers, each read once. Any other one goes to receive_slow.c.
 */
#include <string.h>

#include "netstack/checksum_body.h"
#include "netstack/receive.h"

#define FL_RECEIVE_AHEAD 4     /* frames: how far ahead headers are fetched, which another core or the device wrote */
#define FL_RECEIVE_FAST_HEADERS (FL_ETHERNET_LENGTH + FL_IPV4_LENGTH + FL_UDP_LENGTH)

void fl_flows_clear(fl_poller_t *poller)
{
    for (uint32_t i = 0; i < FL_NETSTACK_FLOWS; i++)
    {
        poller->flows[i].endpoint = NULL;
        poller->flows[i].is_fast = false;
    }
}

/* ---- giving frames back ---- */

static void fl_receive_give_back(fl_receive_t *receive)
{
    fl_poller_t *poller = receive->poller;
    if (receive->dropped_first < receive->dropped_end)
    {
        poller->ops->rx_release(
            poller->port, poller->queue, &poller->frames[receive->dropped_first],
            receive->dropped_end - receive->dropped_first);
    }
    receive->dropped_first = receive->dropped_end = 0;
}

static void fl_receive_drop(fl_receive_t *receive, uint32_t index)
{
    receive->poller->references[index] = 0;
    if (receive->dropped_end != index || receive->dropped_first == receive->dropped_end)
    {
        fl_receive_give_back(receive);
        receive->dropped_first = index;
    }
    receive->dropped_end = index + 1;
}

void fl_netstack_release(fl_poller_t *poller, const fl_run_t *runs, uint32_t count)
{
    uint32_t first = 0;
    uint32_t end = 0;   /* frames from first to end are to be given back */
    if (poller->is_plain && count == poller->held)
    {
        /* All that the poll gave, as a rule. */
        memset(&poller->references[poller->plain_first], 0, count);
        poller->held = 0;
        poller->is_plain = false;
        poller->ops->rx_release(poller->port, poller->queue, &poller->frames[poller->plain_first], count);
        return;
    }
    poller->is_plain = false;   /* what is still held need not be the first ones of the poll */
    for (uint32_t i = 0; i < count; i++)
    {
        const uint32_t index = (uint32_t)runs[i].token;
        if (index >= FL_NETSTACK_BURST || 0 == poller->references[index])
        {
            continue;
        }
        poller->held--;
        if (0 != --poller->references[index] || (NULL != poller->carry && poller->next == index))
        {
            continue;
        }
        if (index != end)
        {
            if (first < end)
            {
                poller->ops->rx_release(poller->port, poller->queue, &poller->frames[first], end - first);
            }
            first = index;
        }
        end = index + 1;
    }
    if (first < end)
    {
        poller->ops->rx_release(poller->port, poller->queue, &poller->frames[first], end - first);
    }
}

void fl_receive_abandon(fl_poller_t *poller)
{
    poller->carry = NULL;
    if (poller->next < poller->taken)
    {
        poller->ops->rx_release(
            poller->port, poller->queue, &poller->frames[poller->next], poller->taken - poller->next);
    }
    poller->next = poller->taken = 0;
}

void fl_receive_forget(fl_poller_t *poller, const fl_endpoint_t *endpoint)
{
    while (NULL != poller->carry && endpoint == poller->carry->endpoint)
    {
        poller->carry = fl_demux_next(poller->carry, poller->carried.local);
        if (NULL == poller->carry)
        {
            const uint32_t index = poller->next++;
            if (0 == poller->references[index])
            {
                poller->ops->rx_release(poller->port, poller->queue, &poller->frames[index], 1);
            }
        }
    }
}

/* ---- known flows ---- */

/* The words of a frame's headers that say whose it is. */
typedef struct fl_head_words
{
    uint64_t first;
    uint64_t second;
    uint64_t third;
    uint64_t addresses;
    uint32_t ports;
} fl_head_words_t;

FL_ALWAYS_INLINE bool fl_receive_is_of(const fl_flow_t *flow, const fl_head_words_t *head)
{
    return 0 == ((head->first ^ flow->words[0]) | (fl_receive_mask_second(head->second) ^ flow->words[1]) |
                 (fl_receive_mask_third(head->third) ^ flow->words[2]) | (head->addresses ^ flow->words[3]) |
                 (head->ports ^ flow->ports));
}

/* Whether the checksums of IPv4's header and of UDP are right; of UDP only if it is to be verified and was sent. */
FL_ALWAYS_INLINE bool fl_receive_is_whole(
    const fl_flow_t *flow, const fl_head_words_t *head, const uint8_t *data, const uint16_t udp[2], uint32_t length,
    bool verifies_udp)
{
    uint16_t header_sum;
    memcpy(&header_sum, data + 24, sizeof(header_sum));
    const uint64_t sum = fl_receive_part(head->second, 6) + fl_receive_halves(head->third) +
        flow->addresses_sum + header_sum;
    return fl_checksum_is_right(sum) &&
        (!verifies_udp || 0 == udp[1] ||
         fl_checksum_is_right(fl_checksum_add(
             fl_checksum_body(NULL, data + FL_RECEIVE_FAST_HEADERS, length), flow->pseudo + 2u * udp[0] + udp[1])));
}

/* Take frames of known flows, `count` at most, a run for each. Ends at the first that is of none or that has anything wrong
 * with it. Returns how many were taken; adds to `bytes` those of their payload. */
FL_ALWAYS_INLINE uint32_t fl_receive_known_body(
    fl_poller_t *poller, uint32_t first, uint32_t count, fl_run_t *runs, int64_t *bytes, bool verifies_udp)
{
    /* No frame is of it: byte 15 is masked. */
    static const fl_flow_t none = { .words[1] = UINT64_MAX };
    const fl_rx_frame_t *const begin = &poller->frames[first];
    const fl_rx_frame_t *const end = begin + count;
    const fl_rx_frame_t *const fetched = count > FL_RECEIVE_AHEAD ? end - FL_RECEIVE_AHEAD : begin;
    const fl_flow_t *flow = &none;
    fl_run_t *run = runs;
    int64_t total = 0;
    const fl_rx_frame_t *frame = begin;
    for (; frame != end; frame++, run++)
    {
        const uint8_t *data = frame->data;
        if (frame < fetched)
        {
            __builtin_prefetch(frame[FL_RECEIVE_AHEAD].data);
        }
        if (frame->length < FL_RECEIVE_FAST_HEADERS)
        {
            break;
        }
        const fl_head_words_t head = {
            .first = fl_word_u64(data),
            .second = fl_word_u64(data + 8),
            .third = fl_word_u64(data + 16),
            .addresses = fl_word_u64(data + 26),
            .ports = fl_word_u32(data + 34),
        };
        const uint32_t length_and_sum = fl_word_u32(data + 38);
        /* As a rule it is of the flow of the frame before. */
        if (!fl_receive_is_of(flow, &head))
        {
            fl_flow_t *found = fl_receive_flow(poller, head.addresses, head.ports);
            if (!found->is_fast || !fl_receive_is_of(found, &head))
            {
                break;
            }
            found->turn = poller->turn;
            flow = found;
        }
        uint16_t udp[2];
        memcpy(udp, &length_and_sum, sizeof(udp));
        const uint32_t total_length = ntohs(fl_receive_part(head.third, 0));
        const uint32_t udp_length = ntohs(udp[0]);
        if (total_length + FL_ETHERNET_LENGTH > frame->length || udp_length < FL_UDP_LENGTH ||
            udp_length + FL_IPV4_LENGTH > total_length)
        {
            break;
        }
        const uint32_t length = udp_length - FL_UDP_LENGTH;
        if (FL_CHECKSUM_GOOD != frame->checksum &&
            (FL_CHECKSUM_BAD == frame->checksum || !fl_receive_is_whole(flow, &head, data, udp, length, verifies_udp)))
        {
            break;
        }
        fl_receive_write(
            run, data + FL_RECEIVE_FAST_HEADERS, length, &flow->peer, &flow->local, flow->context,
            first + (uint32_t)(frame - begin));
        if (flow->has_timestamps)
        {
            fl_receive_stamp(run, frame);
        }
        total += length;
    }
    const uint32_t taken = (uint32_t)(frame - begin);
    memset(&poller->references[first], 1, taken);
    *bytes += total;
    return taken;
}

FL_CHECKSUM_AVX2 static uint32_t fl_receive_known_avx2(
    fl_poller_t *poller, uint32_t first, uint32_t count, fl_run_t *runs, int64_t *bytes, bool verifies_udp)
{
    return fl_receive_known_body(poller, first, count, runs, bytes, verifies_udp);
}

static uint32_t fl_receive_known_any(
    fl_poller_t *poller, uint32_t first, uint32_t count, fl_run_t *runs, int64_t *bytes, bool verifies_udp)
{
    return fl_receive_known_body(poller, first, count, runs, bytes, verifies_udp);
}

/* From poller->next on, as far as there is room. */
static bool fl_receive_known(fl_receive_t *receive, bool verifies_udp)
{
    fl_poller_t *poller = receive->poller;
    const uint32_t left = poller->taken - poller->next;
    const uint32_t room = receive->capacity - receive->count;
    const uint32_t count = (fl_checksum_has_avx2() ? fl_receive_known_avx2 : fl_receive_known_any)(
        poller, poller->next, left < room ? left : room, &receive->runs[receive->count], &receive->bytes, verifies_udp);
    poller->next += count;
    receive->count += count;
    receive->packets += count;
    return poller->next < poller->taken && receive->count < receive->capacity;
}

/* ---- poll ---- */

/* Go on with the frame that the poll before could not hand to all its listeners. */
static void fl_receive_carried(fl_receive_t *receive)
{
    fl_poller_t *poller = receive->poller;
    const uint32_t index = poller->next;
    while (NULL != poller->carry && receive->count < receive->capacity)
    {
        fl_endpoint_t *endpoint = poller->carry->endpoint;
        fl_run_t *run = &receive->runs[receive->count++];
        *run = poller->carried;
        run->context = endpoint->context;
        if (0 != (endpoint->flags & FL_ENDPOINT_TIMESTAMPS))
        {
            fl_receive_stamp(run, &poller->frames[index]);
        }
        poller->references[index]++;
        poller->carry = fl_receive_listener(
            fl_demux_next(poller->carry, poller->carried.local), &poller->carried.peer->address, poller->carried.local);
    }
    poller->next += NULL == poller->carry;
}

/* Take frames from the port once those of the poll before are all handed out. */
static int fl_receive_take(fl_poller_t *poller, uint32_t capacity)
{
    if (poller->next < poller->taken)
    {
        return 1;
    }
    const int taken = fl_netstack_note(
        poller->netstack, poller->ops->rx_burst(poller->port, poller->queue, poller->frames, capacity));
    poller->next = 0;
    poller->taken = taken > 0 ? (uint32_t)taken : 0;
    return taken;
}

int fl_netstack_poll(fl_poller_t *poller, fl_run_t *runs, uint32_t capacity)
{
    fl_transport_t *netstack = poller->netstack;
    if (__builtin_expect(0 != poller->held, 0))
    {
        return -FL_EBUSY;
    }
    if (__builtin_expect(fl_netstack_is_lost(netstack), 0))
    {
        return -FL_ENODEV;
    }
    fl_poller_duties(poller);
    poller->turn++;
    fl_receive_t receive = {
        .poller = poller,
        .runs = runs,
        .capacity = capacity < poller->burst ? capacity : poller->burst,
    };
    if (NULL != poller->carry)
    {
        fl_receive_carried(&receive);
    }
    /* A run of the carried frame is out: its place is not to be filled again yet. */
    const int result = 0 == receive.count ? fl_receive_take(poller, receive.capacity) : 1;
    if (result <= 0)
    {
        return result;
    }
    const uint32_t first = poller->next;
    const bool verifies_udp = 0 == (netstack->config.flags & FL_NETSTACK_NO_UDP_CHECKSUM);
    while (poller->next < poller->taken && receive.count < receive.capacity)
    {
        if (!fl_receive_known(&receive, verifies_udp))
        {
            break;
        }
        const uint32_t index = poller->next;
        bool is_held;
        const fl_count_t reason = fl_receive_slow(&receive, index, &is_held);
        if (FL_COUNT_LIMIT != reason)
        {
            fl_counts_add(poller->counts, reason, 1);
        }
        if (!is_held)
        {
            fl_receive_drop(&receive, index);
        }
        poller->next += NULL == poller->carry;
    }
    fl_receive_give_back(&receive);
    if (0 != receive.packets)
    {
        fl_counts_add(poller->counts, FL_COUNT_RX_PACKETS, receive.packets);
        fl_counts_add(poller->counts, FL_COUNT_RX_BYTES, receive.bytes);
    }
    /* Each frame gave one run, in order. */
    poller->is_plain = 0 != receive.count && receive.count == receive.packets && receive.count == poller->next - first;
    poller->plain_first = first;
    poller->held = receive.count;
    return (int)receive.count;
}
