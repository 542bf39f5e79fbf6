/* The floor: what a program that needs nothing but its datagrams would write. */
#include "bare.h"

#include <sys/mman.h>

static void fl_bare_check(int code, const char *what)
{
    if (code < 0)
    {
        fl_cost_fail("%s: %s", what, strerror(-code));
    }
}

static ef_addr fl_bare_address(fl_bare_t *bare, const uint8_t *data)
{
    return ef_memreg_dma_addr(&bare->region, (size_t)(data - bare->memory));
}

/* Post what is free, in the adapter's batches of eight. */
static void fl_bare_post(fl_bare_t *bare)
{
    const uint32_t space = (uint32_t)ef_vi_receive_space(&bare->vi);
    const uint32_t count = (bare->receive_free < space ? bare->receive_free : space) & ~7u;
    for (uint32_t i = 0; i < count; i++)
    {
        const uint32_t buffer = bare->receive_stack[--bare->receive_free];
        ef_vi_receive_init(
            &bare->vi, fl_bare_address(bare, bare->memory + (size_t)buffer * FL_COST_STRIDE), (ef_request_id)buffer);
    }
    if (0 != count)
    {
        ef_vi_receive_push(&bare->vi);
    }
}

void fl_bare_open(fl_bare_t *bare, const char *interface, const fl_address_t *address)
{
    const int flags = EF_VI_TX_IP_CSUM_DIS | EF_VI_TX_TCPUDP_CSUM_DIS;
    memset(bare, 0, sizeof(*bare));
    fl_bare_check(ef_driver_open(&bare->handle), "ef_driver_open");
    fl_bare_check(ef_pd_alloc_by_name(&bare->pd, bare->handle, interface, EF_PD_DEFAULT), "ef_pd_alloc_by_name");
    /* An adapter with shared queues sends by CTPIO alone, and wants no flag for it. */
    fl_bare_check(
        ef_vi_alloc_from_pd(
            &bare->vi, bare->handle, &bare->pd, bare->handle, -1, FL_COST_RING, FL_COST_RING, NULL, -1,
            (enum ef_vi_flags)flags),
        "ef_vi_alloc_from_pd");
    bare->is_shared = EF_VI_ARCH_EF10 != bare->vi.nic_type.arch;
    bare->prefix = bare->is_shared ? 0 : (uint32_t)ef_vi_receive_prefix_len(&bare->vi);
    bare->receive_buffers = bare->is_shared ? 0 : FL_COST_RECEIVE_BUFFERS;
    const size_t length = (size_t)(bare->receive_buffers + FL_COST_TRANSMIT_BUFFERS) * FL_COST_STRIDE;
    bare->memory =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (MAP_FAILED == bare->memory)
    {
        fl_cost_fail("no memory for %zu bytes of buffers", length);
    }
    fl_bare_check(
        ef_memreg_alloc(&bare->region, bare->handle, &bare->pd, bare->handle, bare->memory, length), "ef_memreg_alloc");
    for (uint32_t i = 0; i < bare->receive_buffers; i++)
    {
        bare->receive_stack[bare->receive_free++] = bare->receive_buffers - 1 - i;
    }
    for (uint32_t i = 0; i < FL_COST_TRANSMIT_BUFFERS; i++)
    {
        bare->transmit_stack[bare->transmit_free++] = FL_COST_TRANSMIT_BUFFERS - 1 - i;
    }
    if (!bare->is_shared)
    {
        ef_vi_receive_set_buffer_len(&bare->vi, FL_COST_STRIDE);
        fl_bare_post(bare);
    }
    ef_filter_spec filter;
    uint32_t host;
    memcpy(&host, address->bytes, sizeof(host));
    ef_filter_spec_init(&filter, EF_FILTER_FLAG_NONE);
    fl_bare_check(
        ef_filter_spec_set_ip4_local(&filter, IPPROTO_UDP, host, htons(address->port)), "ef_filter_spec_set_ip4_local");
    fl_bare_check(ef_vi_filter_add(&bare->vi, bare->handle, &filter, &bare->cookie), "ef_vi_filter_add");
}

void fl_bare_close(fl_bare_t *bare)
{
    ef_vi_free(&bare->vi, bare->handle);
    ef_memreg_free(&bare->region, bare->handle);
    ef_pd_free(&bare->pd, bare->handle);
    ef_driver_close(bare->handle);
    munmap(bare->memory, (size_t)(bare->receive_buffers + FL_COST_TRANSMIT_BUFFERS) * FL_COST_STRIDE);
}

static void fl_bare_complete(fl_bare_t *bare, const ef_event *event)
{
    ef_request_id buffers[EF_VI_TRANSMIT_BATCH];
    const int count = ef_vi_transmit_unbundle(&bare->vi, event, buffers);
    for (int i = 0; i < count; i++)
    {
        bare->transmit_stack[bare->transmit_free++] = (uint32_t)buffers[i];
    }
}

uint32_t fl_bare_receive(fl_bare_t *bare, fl_floor_work_t *work)
{
    ef_event events[FL_COST_EVENTS];
    uint32_t good = 0;
    const int count = ef_eventq_poll(&bare->vi, events, FL_COST_EVENTS);
    for (int i = 0; i < count; i++)
    {
        switch (EF_EVENT_TYPE(events[i]))
        {
            case EF_EVENT_TYPE_RX:
            {
                const uint32_t buffer = EF_EVENT_RX_RQ_ID(events[i]);
                good += fl_floor_read(
                    work, bare->memory + (size_t)buffer * FL_COST_STRIDE + bare->prefix,
                    (uint32_t)EF_EVENT_RX_BYTES(events[i]) - bare->prefix) >= 0;
                bare->receive_stack[bare->receive_free++] = buffer;
                break;
            }

            case EF_EVENT_TYPE_RX_REF:
            {
                const uint32_t packet = events[i].rx_ref.pkt_id;
                good += fl_floor_read(work, efct_vi_rxpkt_get(&bare->vi, packet), events[i].rx_ref.len) >= 0;
                efct_vi_rxpkt_release(&bare->vi, packet);
                break;
            }

            case EF_EVENT_TYPE_TX:
                fl_bare_complete(bare, &events[i]);
                break;

            default:
                fl_cost_fail("an event of type %u", (unsigned)EF_EVENT_TYPE(events[i]));
        }
    }
    if (!bare->is_shared)
    {
        fl_bare_post(bare);
    }
    return good;
}

uint32_t fl_bare_transmit(fl_bare_t *bare, fl_floor_work_t *work, uint32_t count)
{
    uint32_t sent = 0;
    for (; sent < count && 0 != bare->transmit_free; sent++)
    {
        const uint32_t buffer = bare->transmit_stack[bare->transmit_free - 1];
        uint8_t *frame =
            bare->memory + (size_t)(bare->receive_buffers + buffer) * FL_COST_STRIDE + FL_COST_TRANSMIT_OFFSET;
        uint32_t payload;
        const uint32_t length = fl_floor_write(work, frame, &payload);
        const ef_addr address = fl_bare_address(bare, frame);
        if (bare->is_shared)
        {
            if ((uint32_t)ef_vi_transmit_space_bytes(&bare->vi) < length)
            {
                break;
            }
            ef_vi_transmit_ctpio(&bare->vi, frame, length, FL_COST_CTPIO_THRESHOLD);
            if (0 != ef_vi_transmit_ctpio_fallback(&bare->vi, address, length, (ef_request_id)buffer))
            {
                break;
            }
        }
        else if (0 != ef_vi_transmit_init(&bare->vi, address, (int)length, (ef_request_id)buffer))
        {
            break;
        }
        bare->transmit_free--;
    }
    if (0 != sent && !bare->is_shared)
    {
        ef_vi_transmit_push(&bare->vi);
    }
    return sent;
}
