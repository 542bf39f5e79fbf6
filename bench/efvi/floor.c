/* The bare loop, and the far end, which is another one. */
#include "bare.h"

void fl_cost_address(
    fl_floor_work_t *work, const uint8_t *from_mac, const uint8_t *to_mac, const fl_address_t *from,
    const fl_address_t *to)
{
    memcpy(work->header, to_mac, 6);
    memcpy(work->header + 6, from_mac, 6);
    memcpy(work->header + 26, from->bytes, 4);
    memcpy(work->header + 30, to->bytes, 4);
    fl_floor_store(work->header + 34, htons(from->port));
    fl_floor_store(work->header + 36, htons(to->port));
}

/* ---- the measured side ---- */

static void *fl_floor_side_open(fl_cost_t *cost)
{
    fl_bare_t *bare = calloc(1, sizeof(*bare));
    if (NULL == bare)
    {
        fl_cost_fail("no memory");
    }
    fl_bare_open(bare, FL_COST_INTERFACE, &cost->near);
    ef_vi_get_mac(&bare->vi, bare->handle, cost->near_mac);
    return bare;
}

static void fl_floor_side_begin(void *side, fl_cost_t *cost)
{
    (void)side;
    if (cost->receives)
    {
        fl_cost_address(&cost->work, cost->far_mac, cost->near_mac, &cost->far, &cost->near);
    }
    else
    {
        fl_cost_address(&cost->work, cost->near_mac, cost->far_mac, &cost->near, &cost->far);
    }
}

static uint32_t fl_floor_side_receive(void *side, fl_cost_t *cost)
{
    return fl_bare_receive(side, &cost->work);
}

static uint32_t fl_floor_side_transmit(void *side, fl_cost_t *cost)
{
    const uint32_t sent = fl_bare_transmit(side, &cost->work, cost->batch);
    fl_bare_receive(side, &cost->work);
    return sent;
}

static void fl_floor_side_close(void *side)
{
    fl_bare_close(side);
    free(side);
}

const fl_cost_side_t fl_cost_floor = {
    .open = fl_floor_side_open,
    .begin = fl_floor_side_begin,
    .receive = fl_floor_side_receive,
    .transmit = fl_floor_side_transmit,
    .close = fl_floor_side_close,
};

/* ---- the far end ---- */

struct fl_cost_far
{
    fl_bare_t bare;
    fl_floor_work_t sent;
    fl_floor_work_t received;
};

fl_cost_far_t *fl_cost_far_open(fl_cost_t *cost)
{
    fl_cost_far_t *far = calloc(1, sizeof(*far));
    if (NULL == far)
    {
        fl_cost_fail("no memory");
    }
    /* The same memory: all of it holds one byte. */
    far->sent = far->received = cost->work;
    fl_bare_open(&far->bare, FL_COST_FAR_INTERFACE, &cost->far);
    ef_vi_get_mac(&far->bare.vi, far->bare.handle, cost->far_mac);
    fl_cost_address(&far->sent, cost->far_mac, cost->near_mac, &cost->far, &cost->near);
    fl_cost_address(&far->received, cost->near_mac, cost->far_mac, &cost->near, &cost->far);
    return far;
}

void fl_cost_far_send(fl_cost_far_t *far, uint32_t count)
{
    if (count != fl_bare_transmit(&far->bare, &far->sent, count))
    {
        fl_cost_fail("the far end could not send %u frames", count);
    }
    fl_bare_receive(&far->bare, &far->received);
}

void fl_cost_far_take(fl_cost_far_t *far, uint32_t count)
{
    uint32_t good = 0;
    for (uint32_t more = 1; 0 != more; good += more)
    {
        more = fl_bare_receive(&far->bare, &far->received);
    }
    if (good != count)
    {
        fl_cost_fail("%u datagrams were sent, and %u of them arrived as they should", count, good);
    }
}

void fl_cost_far_close(fl_cost_far_t *far)
{
    fl_bare_close(&far->bare);
    free(far);
}
