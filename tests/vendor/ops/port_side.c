#include "port_side.h"

side_t sides[2] = {{.interface = "eth2", .number = 0}, {.interface = "eth3", .number = 1}};
const fl_port_ops_t *ops;

static record_t records[RECORDS];
static uint64_t next_number = 1;

/* ---- frames in and out ---- */

static uint64_t digest_of(const uint8_t *data, uint32_t length)
{
    uint64_t digest = length;
    for (uint32_t i = 0; i < length; i++)
    {
        digest = (digest ^ data[i]) * 0x100000001b3u;
    }
    return digest;
}

static void check_received(side_t *side, uint32_t queue, const fl_rx_frame_t *frame)
{
    uint8_t expected[512];
    const uint64_t number = frame->length < 60 ? UINT64_MAX : frame_number(frame->data, frame->length);
    const record_t *record = &records[number % RECORDS];
    OPS_REQUIRE(
        number == record->number && 0 != record->sent_at, "a frame of %u bytes with number %" PRIu64 " was not sent",
        frame->length, number);
    OPS_REQUIRE(record->side == 1 - side->number, "frame %" PRIu64 " came back to its sender", number);
    memset(expected, 0, sizeof(expected));
    const uint32_t length = frame_make(record, expected);
    const uint32_t padded = length < 60 ? 60 : length;
    OPS_REQUIRE(padded == frame->length, "frame %" PRIu64 " has %u bytes of %u", number, frame->length, padded);
    OPS_REQUIRE(0 == memcmp(expected, frame->data, padded), "frame %" PRIu64 " came with other bytes", number);
    OPS_REQUIRE(
        0 != side->holders[record->target][queue] || side->gone[record->target][queue] > record->sent_at,
        "frame %" PRIu64 " to target %u came to queue %u, which has no filter for it", number, record->target, queue);
    uint64_t *last = &side->last[queue][record->queue];
    OPS_REQUIRE(number > *last, "frame %" PRIu64 " came after %" PRIu64 " of the same queue", number, *last);
    *last = number;
    side->got[queue] += number >= side->got_from;
}

int side_receive(side_t *side, uint32_t queue, uint32_t capacity)
{
    fl_rx_frame_t frames[64];
    const uint32_t room = HELD - side->held_count[queue];
    capacity = capacity < room ? capacity : room;
    capacity = capacity < 64 ? capacity : 64;
    const int count = OPS_EXPECT(ops->rx_burst(side->port, queue, frames, capacity), FL_ENODEV);
    OPS_REQUIRE(count <= (int)capacity, "%d frames for room of %u", count, capacity);
    for (int i = 0; i < count; i++)
    {
        check_received(side, queue, &frames[i]);
        held_t *held = &side->held[queue][side->held_count[queue]++];
        held->frame = frames[i];
        held->digest = digest_of(frames[i].data, frames[i].length);
        side->received++;
    }
    return count;
}

/* In any order, and what is held has to be what it was. */
void side_release(side_t *side, uint32_t queue, uint32_t count)
{
    fl_rx_frame_t frames[HELD];
    for (uint32_t i = 0; i < count; i++)
    {
        held_t *held = &side->held[queue][ops_below(side->held_count[queue])];
        OPS_REQUIRE(
            held->digest == digest_of(held->frame.data, held->frame.length),
            "a held frame of queue %u has changed", queue);
        frames[i] = held->frame;
        *held = side->held[queue][--side->held_count[queue]];
    }
    ops->rx_release(side->port, queue, frames, count);
}

void side_allocate(side_t *side, uint32_t queue, uint32_t count)
{
    fl_tx_frame_t *frames = &side->out[queue][side->out_count[queue]];
    const uint32_t room = OUT - side->out_count[queue];
    memset(frames, 0, room * sizeof(*frames));
    const int given = OPS_EXPECT(ops->tx_alloc(side->port, queue, frames, count < room ? count : room), FL_ENODEV);
    if (given < 0)
    {
        side_bury(side);
        return;
    }
    for (int i = 0; i < given; i++)
    {
        OPS_REQUIRE(0 == (uintptr_t)frames[i].data % 2, "a buffer at %p", (void *)frames[i].data);
        for (const fl_tx_frame_t *other = side->out[queue]; other < &frames[i]; other++)
        {
            OPS_REQUIRE(other->data != frames[i].data, "the buffer at %p was given out twice", (void *)other->data);
        }
        memset(frames[i].data, 0xa5, side->facts.mtu_length + 18);
    }
    side->out_count[queue] += (uint32_t)given;
}

int side_send(side_t *side, uint32_t queue, uint32_t count, int target)
{
    fl_tx_frame_t *frames = side->out[queue];
    count = count < side->out_count[queue] ? count : side->out_count[queue];
    const uint64_t first = next_number;
    for (uint32_t i = 0; i < count; i++)
    {
        record_t *record = &records[next_number % RECORDS];
        *record = (record_t){
            .number = next_number++,
            .side = (uint8_t)side->number,
            .queue = (uint8_t)queue,
            .target = (uint8_t)(target < 0 ? ops_below(TARGETS) : (uint32_t)target),
            .payload = (uint8_t)(ops_once_in(3) ? 8 + ops_below(16) : PAYLOAD_LEAST + ops_below(PAYLOAD_MOST)),
        };
        frames[i].length = (uint16_t)frame_make(record, frames[i].data);
    }
    const int sent = OPS_EXPECT(ops->tx_burst(side->port, queue, frames, count), FL_ENODEV);
    if (sent < 0)
    {
        side_bury(side);
        return 0;
    }
    OPS_REQUIRE(sent <= (int)count, "%d frames of %u were taken", sent, count);
    for (int i = 0; i < sent; i++)
    {
        records[(first + (uint64_t)i) % RECORDS].sent_at = ops_done + 1;
    }
    side->out_count[queue] -= (uint32_t)sent;
    memmove(frames, frames + sent, side->out_count[queue] * sizeof(*frames));
    side->sent += sent;
    return sent;
}

void side_abandon(side_t *side, uint32_t queue, uint32_t count)
{
    fl_tx_frame_t frames[OUT];
    for (uint32_t i = 0; i < count; i++)
    {
        fl_tx_frame_t *out = &side->out[queue][ops_below(side->out_count[queue])];
        frames[i] = *out;
        *out = side->out[queue][--side->out_count[queue]];
    }
    ops->tx_free(side->port, queue, frames, count);
}

uint32_t side_count_buffers(side_t *side, uint32_t queue)
{
    static fl_tx_frame_t all[8192];
    uint32_t count = 0;
    int given;
    do
    {
        given = OPS_EXPECT(ops->tx_alloc(side->port, queue, all + count, 64));
        count += (uint32_t)given;
    }
    while (64 == given);
    for (uint32_t i = count; i > 1; i--)
    {
        const uint32_t other = ops_below(i);
        const fl_tx_frame_t moved = all[i - 1];
        all[i - 1] = all[other];
        all[other] = moved;
    }
    ops->tx_free(side->port, queue, all, count);
    return count;
}

int64_t side_figure(side_t *side, const char *name)
{
    fl_stat_t stats[64];
    const int count = ops->stats(side->port, NULL, 0);
    OPS_REQUIRE(count > 0 && count <= 64 && count == ops->stats(side->port, stats, 64), "%d figures", count);
    return ops_figure(stats, count, name);
}

/* ---- filters ---- */

void side_add_filter(side_t *side, uint32_t queue, uint32_t target)
{
    const fl_address_t address = target_address(side->number, target);
    const fl_address_t nobody = {.family = FL_FAMILY_NONE};
    bool is_elsewhere = false;
    for (uint32_t i = 0; i < side->queues; i++)
    {
        is_elsewhere |= i != queue && 0 != side->holders[target][i];
    }
    const int expected = 0 != side->holders[target][queue] ? 0
        : is_elsewhere && !target_is_multicast(target) ? -FL_EEXIST
        : side->is_lost ? -FL_ENODEV
        : 0 != side->filter_error ? -side->filter_error
        : 0 != side->facts.shared_queues && !side->has_huge_pages ? -FL_ENOMEM
        : 0;
    ops_error[0] = '\0';
    const int code = ops->add_filter(side->port, queue, target_vlan(target), &address, &nobody);
    if (-FL_ENODEV == code)
    {
        side_bury(side);
        return;
    }
    OPS_REQUIRE(code == expected, "a filter for target %u on queue %u: %d, expected %d", target, queue, code, expected);
    OPS_REQUIRE(0 == code || '\0' != ops_error[0], "%d without a text", code);
    if (0 == code)
    {
        side->holders[target][queue]++;
        side->gone[target][queue] = UINT64_MAX;
    }
}

void side_remove_filter(side_t *side, uint32_t queue, uint32_t target)
{
    const fl_address_t address = target_address(side->number, target);
    const fl_address_t nobody = {.family = FL_FAMILY_NONE};
    const int expected = 0 != side->holders[target][queue] ? 0 : -FL_ENOENT;
    const int code = ops->remove_filter(side->port, queue, target_vlan(target), &address, &nobody);
    if (-FL_ENODEV == code)
    {
        side_bury(side);
        return;
    }
    OPS_REQUIRE(code == expected, "removing target %u of queue %u: %d, expected %d", target, queue, code, expected);
    if (0 == code && 0 == --side->holders[target][queue])
    {
        side->gone[target][queue] = ops_done + 1;
    }
}

/* ---- life ---- */

static void forget_filters(side_t *side)
{
    for (uint32_t target = 0; target < TARGETS; target++)
    {
        for (uint32_t queue = 0; queue < QUEUES; queue++)
        {
            side->gone[target][queue] = 0;
            side->holders[target][queue] = 0;
        }
    }
}

void side_open(side_t *side)
{
    static const char *const models[] = {"sfn7122", "sfn8522", "x2522", "x3522", "x4"};
    char text[512] = "";
    side->model = models[ops_below(5)];
    for (bool has_wishes = true;; has_wishes = false)
    {
        const bool is_refused = has_wishes && ops_once_in(8);
        faults_clear(side);
        fl_efvi_settings_t settings = {
            .queues = 1 + ops_below(QUEUES),
            .rx_queue_size = 512,
            .tx_queue_size = ops_once_in(2) ? 512 : -1,
            .event_queue_size = -1,
            .ctpio_threshold = ops_once_in(2) ? 0xffff : 64,
            .hugepages = FL_EFVI_OFF,
            .share_queues = has_wishes ? ops_below(3) : FL_EFVI_AUTO,
            .transmit = has_wishes ? ops_below(4) : FL_EFVI_AUTO,
            .event_merge = has_wishes ? ops_below(3) : FL_EFVI_AUTO,
            .datapath = has_wishes ? ops_below(3) : FL_EFVI_AUTO,
            .timestamps = ops_below(2),
            .tx_timestamps = ops_below(2),
            .ip_mtu = 400,
        };
        snprintf(settings.interface, sizeof(settings.interface), "%s", side->interface);
        if (is_refused)
        {
            static const char *const refusals[] = {
                "vi=ENOSPC", "pd=EPERM", "memreg=ENOMEM", "licence=none", "lost=1", "vi=EINVAL"};
            snprintf(side->faults, sizeof(side->faults), "%s", refusals[ops_below(6)]);
        }
        faults_write(has_wishes && ops_once_in(20) ? "open=EACCES" : NULL);
        const int code = OPS_EXPECT(
            fl_efvi_open(&ops_host, &settings, text, sizeof(text), &side->port), FL_ENOTSUP, FL_EINVAL, FL_ENOSPC,
            FL_EPERM, FL_ENOMEM, FL_ENODEV, FL_EACCES);
        OPS_REQUIRE(0 == code || has_wishes, "opening %s as %s: %d: %s", side->interface, side->model, code, text);
        OPS_REQUIRE(0 == code || '\0' != text[0], "%d without a text", code);
        if (0 == code)
        {
            break;
        }
    }
    faults_clear(side);
    faults_write(NULL);
    side->may_die = false;
    side->lives++;
    /* Some live long: what is lost one by one shows late. */
    side->lives_until = ops_done + (500u << ops_below(10));
    fl_efvi_facts(side->port, &side->facts);
    fl_port_attributes_t attributes = {.size = sizeof(attributes)};
    OPS_REQUIRE(0 == ops->attributes(side->port, &attributes), "the attributes of %s", side->model);
    OPS_REQUIRE(
        attributes.queues == side->facts.queues && attributes.max_hold >= HELD, "max_hold %u", attributes.max_hold);
    side->queues = attributes.queues;
    OPS_REQUIRE(-FL_EINVAL == ops->start(side->port, side->queues + 1), "start of more queues than there are");
    OPS_REQUIRE(0 == ops->start(side->port, side->queues), "start");
    OPS_REQUIRE(-FL_EBUSY == ops->start(side->port, side->queues), "start twice");
    for (uint32_t queue = 0; queue < side->queues; queue++)
    {
        OPS_REQUIRE(0 == ops->queue_enter(side->port, queue), "enter queue %u", queue);
        side->fds[queue] = -1;
        side->held_count[queue] = side->out_count[queue] = 0;
        side->buffers[queue] = side_count_buffers(side, queue);
    }
    forget_filters(side);
    side->sent = side->received = 0;
}

void side_close(side_t *side)
{
    OPS_REQUIRE(-FL_EBUSY == ops->close(side->port), "close while queues are entered");
    for (uint32_t queue = 0; queue < side->queues; queue++)
    {
        side_release(side, queue, side->held_count[queue]);
        side_abandon(side, queue, side->out_count[queue]);
        OPS_REQUIRE(0 == ops->queue_leave(side->port, queue), "leave queue %u", queue);
    }
    if (ops_once_in(2))
    {
        OPS_EXPECT(ops->stop(side->port), FL_ENODEV);
    }
    OPS_EXPECT(ops->close(side->port), FL_ENODEV);
    side->port = NULL;
}

void side_bury(side_t *side)
{
    OPS_REQUIRE(side->may_die, "%s died without a reason", side->interface);
    int code = 0;
    for (int i = 0; i < 1000 && code >= 0; i++)
    {
        side_release(side, 0, side->held_count[0]);
        code = side_receive(side, 0, 16);
    }
    OPS_REQUIRE(-FL_ENODEV == code, "%s says once that it is lost, and then works: %d", side->interface, code);
    fl_event_t events[8];
    int removed = 0;
    for (int i = 0; i < 3; i++)
    {
        const int count = OPS_EXPECT(ops->events(side->port, events, 1 + ops_below(8)));
        for (int j = 0; j < count; j++)
        {
            removed += FL_EVENT_REMOVED == events[j].kind;
            OPS_REQUIRE(
                FL_EVENT_REMOVED != events[j].kind || NULL != strstr(events[j].text, side->interface), "it says '%s'",
                events[j].text);
        }
    }
    OPS_REQUIRE(1 == removed, "%d events of the loss", removed);
    fl_port_attributes_t attributes = {.size = sizeof(attributes)};
    fl_tx_frame_t frame;
    OPS_REQUIRE(-FL_ENODEV == ops->attributes(side->port, &attributes), "attributes of a lost adapter");
    OPS_REQUIRE(-FL_ENODEV == ops->tx_alloc(side->port, 0, &frame, 1), "a buffer of a lost adapter");
    OPS_REQUIRE(-FL_ENODEV == ops->arm(side->port, 0), "arm a lost adapter");
    OPS_REQUIRE(-FL_ENODEV == ops->tx_reap(side->port, 0, NULL, 0), "reap of a lost adapter");
    side_close(side);
    side_open(side);
}
