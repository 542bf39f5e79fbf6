/* Frames in: poll and release.
 *
 * A frame of a known flow is recognised by a few words of its headers, each read once; one with the headers of the
 * frame before, but for the id, needs no second look at them. Any other one goes to receive_slow.c.
 */
#include <string.h>

#include "netstack/checksum_body.h"
#include "netstack/receive.h"

#define FL_RECEIVE_AHEAD 4     /* frames: how far ahead headers are fetched, which another core or the device wrote */
#define FL_RECEIVE_LONG 256    /* bytes: the next frame is fetched whole while one as long as this is summed up */
#define FL_RECEIVE_LINE 64
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

/* A frame's headers up to UDP's checksum, each word as it was read once. */
typedef struct fl_heads
{
    uint64_t words[5];
} fl_heads_t;

/* What a frame with certain headers is, found out once: those that follow it have the same ones as a rule. */
typedef struct fl_shape
{
    fl_heads_t heads;
    const fl_flow_t *flow;
    uint32_t frame_length;           /* bytes that a frame needs to have */
    uint32_t length;                 /* of the payload */
    uint64_t ip_sum;                 /* of the IP header without id and checksum */
    uint64_t sum;                    /* of what UDP's checksum is over, but payload and checksum */
    uint8_t verdict;                 /* FL_CHECKSUM_* of the frame; unless it is good, the IP header's was verified */
    bool verifies_udp;               /* unless it was not sent */
} fl_shape_t;

FL_ALWAYS_INLINE bool fl_receive_is_of(
    const fl_flow_t *flow, const fl_heads_t *heads, uint64_t addresses, uint32_t ports)
{
    return 0 == ((heads->words[0] ^ flow->words[0]) | (fl_receive_mask_second(heads->words[1]) ^ flow->words[1]) |
                 (fl_receive_mask_third(heads->words[2]) ^ flow->words[2]) | (addresses ^ flow->words[3]) |
                 (ports ^ flow->ports));
}

/* ip_sum: of the IP header without id and checksum */
FL_ALWAYS_INLINE bool fl_receive_is_ip_right(const fl_heads_t *heads, uint64_t ip_sum)
{
    return fl_checksum_is_right(ip_sum + fl_receive_part(heads->words[2], 2) + fl_receive_part(heads->words[3], 0));
}

/* Find out what a frame is. Returns false if it is of no known flow, or anything is wrong with its headers. */
FL_ALWAYS_INLINE bool fl_receive_find_shape(
    fl_poller_t *poller, const fl_rx_frame_t *frame, const fl_heads_t *heads, bool verifies_udp, fl_shape_t *shape)
{
    const uint64_t addresses = fl_receive_straddle(heads->words[3], heads->words[4]);
    const uint32_t ports = (uint32_t)(heads->words[4] >> 16);   /* bytes 2 to 5 of 8, in either order */
    const uint16_t udp_length_sent = fl_receive_part(heads->words[4], 6);
    const fl_flow_t *flow = shape->flow;
    if (!fl_receive_is_of(flow, heads, addresses, ports))
    {
        fl_flow_t *found = fl_receive_flow(poller, addresses, ports);
        if (!found->is_fast || !fl_receive_is_of(found, heads, addresses, ports))
        {
            return false;
        }
        found->turn = poller->turn;
        flow = found;
    }
    const uint32_t total_length = ntohs(fl_receive_part(heads->words[2], 0));
    const uint32_t udp_length = ntohs(udp_length_sent);
    if (total_length + FL_ETHERNET_LENGTH > frame->length || udp_length < FL_UDP_LENGTH ||
        udp_length + FL_IPV4_LENGTH > total_length || FL_CHECKSUM_BAD == frame->checksum)
    {
        return false;
    }
    const uint64_t ip_sum = fl_receive_part(heads->words[1], 6) +
        fl_receive_halves(fl_receive_mask_id(heads->words[2])) + flow->addresses_sum;
    if (FL_CHECKSUM_GOOD != frame->checksum && !fl_receive_is_ip_right(heads, ip_sum))
    {
        return false;
    }
    *shape = (fl_shape_t){
        .heads = *heads,
        .flow = flow,
        .frame_length = total_length + FL_ETHERNET_LENGTH,
        .length = udp_length - FL_UDP_LENGTH,
        .ip_sum = ip_sum,
        .sum = flow->pseudo + 2u * udp_length_sent,
        .verdict = frame->checksum,
        .verifies_udp = verifies_udp && FL_CHECKSUM_GOOD != frame->checksum,
    };
    return true;
}

/* Whether a frame is what the one before was: it has the same headers, but maybe another id, and so another
 * checksum. */
FL_ALWAYS_INLINE bool fl_receive_has_shape(const fl_shape_t *shape, const fl_rx_frame_t *frame, const fl_heads_t *heads)
{
    const uint64_t third = heads->words[2] ^ shape->heads.words[2];
    const uint64_t fourth = heads->words[3] ^ shape->heads.words[3];
    return 0 == ((heads->words[0] ^ shape->heads.words[0]) | (heads->words[1] ^ shape->heads.words[1]) |
                 fl_receive_mask_id(third) | fl_receive_mask_header_sum(fourth) |
                 (heads->words[4] ^ shape->heads.words[4])) &&
        shape->verdict == frame->checksum && frame->length >= shape->frame_length &&
        (0 == (third | fourth) || FL_CHECKSUM_GOOD == frame->checksum || fl_receive_is_ip_right(heads, shape->ip_sum));
}

/* Fetch what follows a frame's first line. Summing alone waits at the start of each frame, until the processor sees
 * that it is read on. */
FL_ALWAYS_INLINE void fl_receive_fetch(const fl_rx_frame_t *frame)
{
    const uint8_t *end = frame->data + frame->length;
    for (const uint8_t *line = frame->data + FL_RECEIVE_LINE; line < end; line += FL_RECEIVE_LINE)
    {
        __builtin_prefetch(line);
    }
}

/* Take frames of known flows, `count` at most, a run for each. Ends at the first that is of none or that has anything
 * wrong with it. Returns how many were taken; adds to `bytes` those of their payload. */
FL_ALWAYS_INLINE uint32_t fl_receive_known_body(
    fl_poller_t *poller, uint32_t first, uint32_t count, fl_run_t *runs, int64_t *bytes, bool verifies_udp)
{
    /* No frame is of it: byte 15 is masked, and no frame is that long. */
    static const fl_flow_t none = { .words[1] = UINT64_MAX };
    const fl_rx_frame_t *const begin = &poller->frames[first];
    const fl_rx_frame_t *const end = begin + count;
    const fl_rx_frame_t *const fetched = count > FL_RECEIVE_AHEAD ? end - FL_RECEIVE_AHEAD : begin;
    const fl_rx_frame_t *const whole = verifies_udp && begin->length >= FL_RECEIVE_LONG ? end - 1 : begin;
    fl_shape_t shape = { .flow = &none, .frame_length = UINT32_MAX };
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
        if (frame < whole)
        {
            fl_receive_fetch(frame + 1);
        }
        if (frame->length < FL_RECEIVE_FAST_HEADERS)
        {
            break;
        }
        const fl_heads_t heads = { { fl_word_u64(data), fl_word_u64(data + 8), fl_word_u64(data + 16),
            fl_word_u64(data + 24), fl_word_u64(data + 32) } };
        uint16_t udp_sum;
        memcpy(&udp_sum, data + 40, sizeof(udp_sum));
        if (!fl_receive_has_shape(&shape, frame, &heads) &&
            !fl_receive_find_shape(poller, frame, &heads, verifies_udp, &shape))
        {
            break;
        }
        if (shape.verifies_udp && 0 != udp_sum &&
            !fl_checksum_is_right(fl_checksum_add(
                fl_checksum_body(NULL, data + FL_RECEIVE_FAST_HEADERS, shape.length), shape.sum + udp_sum)))
        {
            break;
        }
        const fl_flow_t *flow = shape.flow;
        fl_receive_write(
            run, data + FL_RECEIVE_FAST_HEADERS, shape.length, &flow->peer, &flow->local, flow->context,
            first + (uint32_t)(frame - begin));
        if (flow->has_timestamps)
        {
            fl_receive_stamp(run, frame);
        }
        total += shape.length;
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
