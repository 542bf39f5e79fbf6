#include "queue.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FL_HUGE_PAGE (2u << 20)
#define FL_PAGE 4096u
/* Transmit buffers besides those in the ring: of frames that are being made. */
#define FL_SPARE_BUFFERS 128
/* Entries of a ring where nobody says another number (bypass 1.8). */
#define FL_DEFAULT_RING 512
/* What a virtual interface of a stand-in or an adapter may have before a frame, at most. */
#define FL_PREFIX_MAXIMUM 64

static uint32_t fl_stride(uint32_t mtu_length)
{
    return mtu_length + FL_EFVI_FRAME_OVERHEAD + FL_PREFIX_MAXIMUM <= 2048 ? 2048 : FL_PAGE;
}

static uint64_t fl_round(uint64_t length, uint64_t unit)
{
    return (length + unit - 1) / unit * unit;
}

/* As many receive buffers again as the ring holds, for those that the caller has; in multiples of the adapter's
 * batch. */
static uint32_t fl_receive_buffers(uint32_t capacity)
{
    return (uint32_t)fl_round(2 * (uint64_t)capacity, FL_EFVI_REFILL);
}

uint64_t fl_efvi_memory_length(int32_t rx_queue_size, int32_t tx_queue_size, uint32_t mtu_length, int shared_queues)
{
    const uint32_t rx = rx_queue_size > 0 ? (uint32_t)rx_queue_size : FL_DEFAULT_RING;
    const uint32_t tx = tx_queue_size > 0 ? (uint32_t)tx_queue_size : FL_DEFAULT_RING;
    const uint64_t buffers = (0 != shared_queues ? 0 : fl_receive_buffers(rx)) + tx + FL_SPARE_BUFFERS;
    return fl_round(buffers * fl_stride(mtu_length), FL_PAGE);
}

__attribute__((format(printf, 2, 3)))
static void fl_plan_note(fl_efvi_plan_t *plan, const char *format, ...)
{
    const size_t used = strlen(plan->note);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(plan->note + used, plan->note_length - used, format, arguments);
    va_end(arguments);
}

/* ---- the virtual interface ---- */

static enum ef_vi_flags fl_vi_flags(const fl_efvi_plan_t *plan, bool merges_events)
{
    const fl_efvi_settings_t *settings = plan->settings;
    /* Checksums are always those of the netstack: CTPIO and PIO send what is written (bypass 1.10). */
    unsigned long long flags = EF_VI_TX_IP_CSUM_DIS | EF_VI_TX_TCPUDP_CSUM_DIS;
    flags |= FL_EFVI_CTPIO == plan->transmit && !plan->abilities->ctpio_only ? EF_VI_TX_CTPIO : 0;
    flags |= 0 != (settings->vi_flags & FL_EFVI_CTPIO_NO_POISON) ? EF_VI_TX_CTPIO_NO_POISON : 0;
    flags |= 0 != (settings->vi_flags & FL_EFVI_TX_PUSH_ALWAYS) ? EF_VI_TX_PUSH_ALWAYS : 0;
    flags |= 0 != (settings->vi_flags & FL_EFVI_TX_PUSH_DISABLE) ? EF_VI_TX_PUSH_DISABLE : 0;
#ifdef FL_EFVI_HAS_TPH
    flags |= 0 != (settings->vi_flags & FL_EFVI_TPH) ? EF_VI_ENABLE_TPH : 0;
#endif
    flags |= 0 != settings->timestamps ? EF_VI_RX_TIMESTAMPS : 0;
    flags |= 0 != settings->tx_timestamps ? EF_VI_TX_TIMESTAMPS : 0;
    flags |= merges_events ? EF_VI_RX_EVENT_MERGE : 0;
    return (enum ef_vi_flags)flags;
}

static int fl_vi_alloc(fl_efvi_queue_t *queue, const fl_efvi_plan_t *plan, bool merges_events)
{
    const fl_efvi_settings_t *settings = plan->settings;
    const int code = ef_vi_alloc_from_pd(
        &queue->vi, queue->handle, plan->pd, plan->pd_handle, settings->event_queue_size, settings->rx_queue_size,
        settings->tx_queue_size, NULL, -1, fl_vi_flags(plan, merges_events));
    return code < 0 ? code : 0;
}

static int fl_vi_refused(const fl_efvi_plan_t *plan, int code, fl_failure_t *error)
{
    const char *interface = plan->settings->interface;
    switch (code)
    {
        case -EPERM:
            return fl_fail(
                error, EPERM, "a virtual interface of %s: the adapter refuses (EPERM). An SFN7000 needs an Onload "
                "activation key, and an SFN8000 or X2 without one allows merged receive events only%s; look at the "
                "keys with sfkey, or ask AMD for one", interface,
                FL_EFVI_OFF == plan->settings->event_merge ? ": set transport.efvi.event_merge = \"auto\""
                    : ", which it refuses too");

        case -ENOSPC:
        case -EBUSY:
            return fl_fail(
                error, ENOSPC, "a virtual interface of %s: there are none left (%s); set transport.efvi.queues = 1, or "
                "end other users of ef_vi and Onload", interface, strerror(-code));

        case -EINVAL:
            return fl_fail(
                error, EINVAL, "a virtual interface of %s: the adapter refuses these sizes or flags (EINVAL): "
                "rx_queue_size %d, tx_queue_size %d, event_queue_size %d (-1: its default)", interface,
                plan->settings->rx_queue_size, plan->settings->tx_queue_size, plan->settings->event_queue_size);

        case -ENOMEM:
            return fl_fail(
                error, ENOMEM, "a virtual interface of %s: no memory (ENOMEM)%s", interface,
                0 != plan->abilities->shared_queues ? "; shared receive queues want huge pages of 2 MiB, such as "
                    "sysctl vm.nr_hugepages=64" : "");

        default:
            return fl_fail(
                error, -code, "a virtual interface of %s: %s", interface, strerror(-code));
    }
}

static int fl_queue_take_vi(fl_efvi_queue_t *queue, fl_efvi_plan_t *plan, fl_failure_t *error)
{
    int code = fl_vi_alloc(queue, plan, plan->merges_events);
    if (-EPERM == code && !plan->merges_events && FL_EFVI_AUTO == plan->settings->event_merge)
    {
        code = fl_vi_alloc(queue, plan, true);
        if (0 == code)
        {
            plan->merges_events = true;
            fl_plan_note(plan, "Receive events are merged, since the adapter has no licence for more. ");
        }
    }
    if (-EOPNOTSUPP == code && FL_EFVI_CTPIO == plan->transmit && !plan->abilities->ctpio_only &&
        FL_EFVI_AUTO == plan->settings->transmit)
    {
        plan->transmit = FL_EFVI_DMA;
        fl_plan_note(plan, "CTPIO is switched off on this adapter. ");
        code = fl_vi_alloc(queue, plan, plan->merges_events);
    }
    if (0 != code)
    {
        return fl_vi_refused(plan, code, error);
    }
    queue->has_vi = true;
    const fl_efvi_model_t model = fl_efvi_model(&queue->vi);
    if (FL_EFVI_MODEL_OTHER == model)
    {
        return fl_fail(
            error, ENOTSUP, "%s is an interface of ef_vi's architecture %d, which this transport does not know; where "
            "that is AF_XDP (4), use the transport xdp", plan->settings->interface, queue->vi.nic_type.arch);
    }
    queue->is_shared = FL_EFVI_MODEL_SHARED == model;
    /* Flags too are those that the library made: its environment may have changed them. */
    queue->is_stamped = 0 != (ef_vi_flags(&queue->vi) & EF_VI_RX_TIMESTAMPS);
    queue->is_ctpio_only = queue->is_shared;
    if (FL_EFVI_CTPIO == plan->transmit && 0 == (ef_vi_flags(&queue->vi) & EF_VI_TX_CTPIO))
    {
        plan->transmit = FL_EFVI_DMA;
        fl_plan_note(plan, "The adapter gave no CTPIO. ");
    }
    return 0;
}

/* ---- memory ---- */

static int fl_queue_map(fl_efvi_queue_t *queue, const fl_efvi_plan_t *plan, uint64_t length, fl_failure_t *error)
{
    const uint32_t hugepages = plan->settings->hugepages;
    void *memory = MAP_FAILED;
    if (FL_EFVI_OFF != hugepages)
    {
        queue->memory_length = fl_round(length, FL_HUGE_PAGE);
        memory = mmap(
            NULL, queue->memory_length, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
        queue->is_huge = MAP_FAILED != memory;
        if (MAP_FAILED == memory && FL_EFVI_ON == hugepages)
        {
            return fl_fail(
                error, ENOMEM, "%llu KiB in huge pages of 2 MiB: %s; sysctl vm.nr_hugepages=..., or set "
                "transport.efvi.hugepages = \"auto\"", (unsigned long long)(queue->memory_length >> 10),
                strerror(errno));
        }
    }
    if (MAP_FAILED == memory)
    {
        queue->memory_length = fl_round(length, FL_PAGE);
        memory = mmap(
            NULL, queue->memory_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    }
    if (MAP_FAILED == memory)
    {
        return fl_fail(error, errno, "map %llu bytes of buffers: %s", (unsigned long long)length, strerror(errno));
    }
    queue->memory = memory;
    /* A child's write would give this process another page than the adapter's. */
    if (0 != madvise(memory, queue->memory_length, MADV_DONTFORK))
    {
        return fl_fail(error, errno, "keep buffers from child processes: %s", strerror(errno));
    }
    return 0;
}

static int fl_queue_register(fl_efvi_queue_t *queue, const fl_efvi_plan_t *plan, fl_failure_t *error)
{
    const int code = ef_memreg_alloc(
        &queue->registration, queue->handle, plan->pd, plan->pd_handle, queue->memory, queue->memory_length);
    if (code < 0)
    {
        return fl_fail(
            error, -code, "register %llu KiB of buffers with the adapter: %s%s",
            (unsigned long long)(queue->memory_length >> 10), strerror(-code),
            -ENOMEM == code || -EPERM == code ? "; raise the limit of locked memory (ulimit -l, LimitMEMLOCK=infinity)"
                : "");
    }
    queue->has_registration = true;
    return 0;
}

static uint32_t *fl_stack(uint32_t count)
{
    uint32_t *stack = calloc(count, sizeof(*stack));
    for (uint32_t i = 0; NULL != stack && i < count; i++)
    {
        stack[i] = count - 1 - i;
    }
    return stack;
}

static int fl_queue_make_buffers(fl_efvi_queue_t *queue, const fl_efvi_plan_t *plan, fl_failure_t *error)
{
    const uint32_t rx_capacity = (uint32_t)ef_vi_receive_capacity(&queue->vi);
    queue->stride = fl_stride(plan->mtu_length);
    queue->prefix = queue->is_shared ? 0 : (uint32_t)ef_vi_receive_prefix_len(&queue->vi);
    queue->frame_room = queue->stride - queue->prefix;
    queue->rx_count = queue->is_shared ? 0 : fl_receive_buffers(rx_capacity + 1);
    queue->tx_count = (uint32_t)ef_vi_transmit_capacity(&queue->vi) + 1 + FL_SPARE_BUFFERS;
    int code = fl_queue_map(queue, plan, (uint64_t)(queue->rx_count + queue->tx_count) * queue->stride, error);
    if (0 == code)
    {
        code = fl_queue_register(queue, plan, error);
    }
    if (0 != code)
    {
        return code;
    }
    queue->rx_free = queue->is_shared ? calloc(rx_capacity + 1, sizeof(uint32_t)) : fl_stack(queue->rx_count);
    queue->rx_free_count = queue->rx_count;
    queue->pending = calloc(FL_EFVI_PENDING, sizeof(*queue->pending));
    queue->tx_free = fl_stack(queue->tx_count);
    queue->tx_free_count = queue->tx_count;
    queue->tx_way = calloc(queue->tx_count, sizeof(*queue->tx_way));
    queue->tx_pio_length = calloc(queue->tx_count, sizeof(*queue->tx_pio_length));
    if (NULL == queue->rx_free || NULL == queue->pending || NULL == queue->tx_free || NULL == queue->tx_way ||
        NULL == queue->tx_pio_length)
    {
        return fl_fail(error, ENOMEM, "no memory for the lists of %u buffers", queue->rx_count + queue->tx_count);
    }
    return 0;
}

/* PIO regions are few. Without one the adapter reads frames itself. */
static void fl_queue_take_pio(fl_efvi_queue_t *queue, fl_efvi_plan_t *plan)
{
    int code = ef_pio_alloc(&queue->pio, queue->handle, plan->pd, (unsigned)-1, plan->pd_handle);
    if (0 == code)
    {
        code = ef_pio_link_vi(&queue->pio, queue->handle, &queue->vi, queue->handle);
        if (0 != code)
        {
            ef_pio_free(&queue->pio, queue->handle);
        }
    }
    queue->has_pio = 0 == code;
    const int length = queue->has_pio ? ef_vi_get_pio_size(&queue->vi) : 0;
    queue->pio_length = length > 0 ? (uint32_t)length & ~63u : 0;
    if (0 == queue->pio_length)
    {
        queue->transmit = FL_EFVI_DMA;
        fl_plan_note(plan, "No PIO region: %s. ", 0 != code ? strerror(-code) : "the adapter has none");
    }
}

int fl_efvi_queue_open(fl_efvi_queue_t *queue, fl_efvi_plan_t *plan, fl_failure_t *error)
{
    memset(queue, 0, sizeof(*queue));
    queue->death = plan->death;
    queue->handle = -1;
    ef_driver_handle handle;
    int code = ef_driver_open(&handle);
    if (code < 0)
    {
        return fl_fail(error, -code, "open the driver of ef_vi: %s", strerror(-code));
    }
    queue->handle = handle;
    code = fl_queue_take_vi(queue, plan, error);
    if (0 == code)
    {
        code = fl_queue_make_buffers(queue, plan, error);
    }
    if (0 != code)
    {
        fl_efvi_queue_close(queue);
        return code;
    }
    queue->transmit = plan->transmit;
    queue->ctpio_threshold = plan->settings->ctpio_threshold;
    if (FL_EFVI_PIO == queue->transmit)
    {
        fl_queue_take_pio(queue, plan);
        plan->transmit = queue->transmit;
    }
    if (!queue->is_shared)
    {
        ef_vi_receive_set_buffer_len(&queue->vi, queue->stride);
        fl_efvi_queue_refill(queue);
    }
    return 0;
}

void fl_efvi_queue_close(fl_efvi_queue_t *queue)
{
    if (queue->has_pio)
    {
        ef_pio_unlink_vi(&queue->pio, queue->handle, &queue->vi, queue->handle);
        ef_pio_free(&queue->pio, queue->handle);
    }
    /* The virtual interface before its memory: the adapter writes into what is posted until then. */
    if (queue->has_vi)
    {
        ef_vi_free(&queue->vi, queue->handle);
    }
    if (queue->has_registration)
    {
        ef_memreg_free(&queue->registration, queue->handle);
    }
    /* Pins go with the handle (bypass 1.5), so each opening has one of its own. */
    if (queue->handle >= 0)
    {
        ef_driver_close(queue->handle);
    }
    if (NULL != queue->memory)
    {
        munmap(queue->memory, queue->memory_length);
    }
    fl_efvi_wanted_clear(&queue->wanted);
    free(queue->rx_free);
    free(queue->pending);
    free(queue->tx_free);
    free(queue->tx_way);
    free(queue->tx_pio_length);
    queue->memory = NULL;
    queue->rx_free = queue->tx_free = NULL;
    queue->pending = NULL;
    queue->tx_way = NULL;
    queue->tx_pio_length = NULL;
    queue->handle = -1;
    queue->has_vi = queue->has_registration = queue->has_pio = false;
}

int fl_efvi_queue_arm(fl_efvi_queue_t *queue)
{
    if (!fl_efvi_gate_pass(&queue->gate) || 0 != queue->pending_count || ef_eventq_has_event(&queue->vi))
    {
        return -FL_EAGAIN;
    }
#ifndef FL_EFVI_HAS_REQUEST_WAKEUPS
    if (queue->is_shared)
    {
        return -FL_ENOTSUP;
    }
#endif
    /* The adapter looks at its own write position, so what came since the look above wakes at once. */
    return ef_vi_prime(&queue->vi, queue->handle, ef_eventq_current(&queue->vi)) < 0 ? -FL_ENOTSUP : queue->handle;
}
