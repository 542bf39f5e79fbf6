/* Drives VMA's datagram transport with operations of chance, over the stand-in for libvma, which aborts on misuse. A
 * model beside it says what each may answer, and that every packet is given back once; at intervals faults are taken
 * away, and everything that is sent has to arrive.
 *
 *   transport_ops SEED OPERATIONS LIBRARY     the loopback interface has to be up
 */
#include <dlfcn.h>

#include "transport_model.h"

static void (*set_words)(const char *words);
static void (*read_figures)(uint64_t figures[6]);
static const char *library_words;   /* of the whole run */
static uint32_t lives;

/* ---- faults ---- */

static void clear_faults(void)
{
    is_kernel = is_late = false;
    refusal = 0;
    set_words(library_words);
}

static void change_faults(void)
{
    char words[256];
    clear_faults();
    const uint32_t chance = ops_below(12);
    refusal = 0 == chance ? FL_ENOMEM : 1 == chance ? FL_ENODEV : 0;
    is_kernel = 2 == chance;
    is_late = 3 == chance || 4 == chance;
    size_t used = (size_t)snprintf(
        words, sizeof(words), "%s,refuse=%d%s%s", library_words, refusal, is_kernel ? ",kernel" : "",
        3 == chance ? ",late_rings=ring" : 4 == chance ? ",late_rings=kernel" : "");
    if (ops_once_in(2))
    {
        used += (size_t)snprintf(words + used, sizeof(words) - used, ",copy_every=%u", 1 + ops_below(9));
    }
    if (ops_once_in(2))
    {
        used += (size_t)snprintf(words + used, sizeof(words) - used, ",fragment=%u", 200 + ops_below(2000));
    }
    if (ops_once_in(3))
    {
        snprintf(words + used, sizeof(words) - used, ",tx_full_every=%u", 1 + ops_below(40));
    }
    set_words(words);
}

/* ---- the transport's life ---- */

static void open_all(void)
{
    char text[512] = "";
    const fl_vma_settings_t settings = {
        .receive_budget = 1 + ops_below(RUNS), .zero_copy = !ops_once_in(6), .require_offload = ops_once_in(6)};
    requires_offload = 0 != settings.require_offload;
    if (0 != refusal)
    {
        OPS_REQUIRE(
            fl_vma_open(&ops_host, &settings, text, sizeof(text), &transport) < 0 && '\0' != text[0],
            "a transport is opened where the library makes no socket");
        clear_faults();
    }
    OPS_REQUIRE(0 == fl_vma_open(&ops_host, &settings, text, sizeof(text), &transport), "%s", text);
    lives++;
    sent_count = received_count = 0;
    for (uint32_t i = 0; i < POLLERS; i++)
    {
        fl_poller_t *second;
        OPS_REQUIRE(-FL_EINVAL == ops->poller_open(transport, i, 0, &second), "a poller without roles");
        OPS_REQUIRE(0 == ops->poller_open(transport, i, 1 + i % 3, &pollers[i].poller), "poller_open");
        OPS_REQUIRE(-FL_EBUSY == ops->poller_open(transport, i, 1, &second), "a second poller of a queue");
        OPS_REQUIRE(0 == ops->poller_enter(pollers[i].poller), "poller_enter");
    }
}

static void close_all(void)
{
    OPS_REQUIRE(-FL_EBUSY == ops->close(transport), "close with pollers");
    for (uint32_t i = 0; i < ENDPOINTS; i++)
    {
        if (NULL != endpoints[i].endpoint)
        {
            if (endpoints[i].poller >= 0)
            {
                OPS_REQUIRE(
                    -FL_EBUSY == ops->poller_close(pollers[endpoints[i].poller].poller), "close with endpoints");
            }
            endpoint_close(&endpoints[i]);
        }
    }
    for (uint32_t i = 0; i < POLLERS; i++)
    {
        poller_release(&pollers[i], pollers[i].count);
        OPS_REQUIRE(0 == ops->poller_leave(pollers[i].poller), "poller_leave");
        OPS_REQUIRE(0 == ops->poller_close(pollers[i].poller), "poller_close");
    }
    OPS_REQUIRE(0 == ops->close(transport), "close");
}

/* ---- figures ---- */

static void check_figures(void)
{
    fl_stat_t stats[64];
    uint64_t figures[6];
    int64_t open = 0;
    const int count = ops->stats(transport, NULL, 0);
    OPS_REQUIRE(count > 0 && count <= 64 && count == ops->stats(transport, stats, 64), "%d figures", count);
    OPS_EXPECT(ops->stats(transport, stats, ops_below(64)));
    OPS_REQUIRE(count == ops->stats(transport, stats, 64), "other figures");
    read_figures(figures);
    for (uint32_t i = 0; i < ENDPOINTS; i++)
    {
        open += NULL != endpoints[i].endpoint;
    }
    const struct
    {
        const char *name;
        int64_t value;
    } expected[] = {
        {"vma-rx-held", (int64_t)figures[0]}, {"vma-rx-not-freed", 0},      {"vma-tx-datagrams", sent_count},
        {"vma-rx-datagrams", received_count}, {"vma-rx-truncated", 0},      {"vma-transports", open},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
    {
        const int64_t found = ops_figure(stats, count, expected[i].name);
        OPS_REQUIRE(
            found == expected[i].value, "%s is %" PRId64 " and should be %" PRId64, expected[i].name, found,
            expected[i].value);
    }
}

/* ---- with nothing wrong ---- */

static void drain(void)
{
    for (int idle = 0; idle < 2; idle++)
    {
        for (uint32_t i = 0; i < POLLERS; i++)
        {
            idle = 0 != poller_poll(&pollers[i], RUNS) ? 0 : idle;
        }
    }
}

static model_t *choose(bool is_on_poller)
{
    model_t *model = &endpoints[ops_below(ENDPOINTS)];
    return NULL != model->endpoint && (!is_on_poller || model->poller >= 0) ? model : NULL;
}

static void settle(void)
{
    clear_faults();
    drain();
    for (uint32_t i = 0; i < POLLERS; i++)
    {
        poller_release(&pollers[i], pollers[i].count);
    }
    check_figures();
    uint64_t figures[6];
    read_figures(figures);
    OPS_REQUIRE(0 == figures[0], "%" PRIu64 " packets are held, and every run is released", figures[0]);
    model_t *from = choose(true);
    const model_t *to = choose(true);
    if (NULL == from || NULL == to || to->is_multicast || to->hears_peer_only)
    {
        return;
    }
    memset(got, 0, sizeof(got));
    uint32_t sent = 0;
    for (uint32_t i = ops_some(20); i > 0; i--)
    {
        /* A small receive buffer takes one of these, and is emptied behind each. */
        const uint32_t accepted = endpoint_send(from, to->slot, 1, 300);
        OPS_REQUIRE(accepted > 0, "endpoint %u takes nothing for %u", from->slot, to->slot);
        sent += accepted;
        drain();
    }
    OPS_REQUIRE(
        sent == got[to->slot] || to == from, "%" PRIu64 " of %u datagrams of endpoint %u came to %u",
        got[to->slot], sent, from->slot, to->slot);
    got_from = 0;
}

/* ---- operations ---- */

static void step(void)
{
    model_t *model = &endpoints[ops_below(ENDPOINTS)];
    const bool is_open = NULL != model->endpoint;
    poller_model_t *poller = &pollers[ops_below(POLLERS)];
    const uint32_t choice = ops_below(1000);
    if (choice < 430)
    {
        if (is_open && model->poller >= 0)
        {
            endpoint_send(model, NOBODY, ops_some(16), ops_once_in(200) ? 65507 : ops_once_in(4) ? 1500 : 100);
        }
    }
    else if (choice < 750)
    {
        poller_poll(poller, ops_some(RUNS));
    }
    else if (choice < 920)
    {
        poller_release(poller, ops_below(poller->count + 1));
    }
    else if (choice < 940)
    {
        if (is_open)
        {
            poller_add(poller, model);
        }
    }
    else if (choice < 946)
    {
        if (is_open && model->poller >= 0)
        {
            poller_remove(model);
        }
    }
    else if (choice < 966)
    {
        if (!is_open)
        {
            endpoint_open(model);
        }
    }
    else if (choice < 970)
    {
        endpoint_open_wrongly();
    }
    else if (choice < 976)
    {
        if (is_open)
        {
            endpoint_close(model);
        }
    }
    else if (choice < 984)
    {
        if (is_open)
        {
            endpoint_set_peer(model);
        }
    }
    else if (choice < 992)
    {
        check_figures();
    }
    else if (choice < 996)
    {
        change_faults();
    }
    else if (choice < 998)
    {
        settle();
    }
    else if (ops_once_in(8))
    {
        close_all();
        open_all();
    }
}

int main(int count, char **arguments)
{
    const uint64_t operations = ops_begin(count, arguments, 3, "LIBRARY");
    char text[512];
    fl_vma_library_info_t info;
    library_words = ops_once_in(2) ? "on" : "on,three_tuple";
    char words[64];
    snprintf(words, sizeof(words), "%s,packets=48", library_words);
    setenv("VMA_STAND_IN", words, 1);
    setenv("VMA_TX_NONBLOCKED_EAGAINS", "1", 1);
    OPS_REQUIRE(0 == fl_vma_library_load(arguments[3], &info, text, sizeof(text)), "%s", text);
    void *library = dlopen(arguments[3], RTLD_NOW | RTLD_NOLOAD);
    *(void **)&set_words = dlsym(library, "fl_vma_stand_in_words");
    *(void **)&read_figures = dlsym(library, "fl_vma_stand_in");
    OPS_REQUIRE(NULL != set_words && NULL != read_figures && 0 != info.is_stand_in, "%s is no stand-in", arguments[3]);
    ops = fl_vma_ops();
    open_all();
    for (; ops_done < operations; ops_done++)
    {
        step();
    }
    settle();
    uint64_t figures[6];
    read_figures(figures);
    printf(
        "%u openings, %" PRIu64 " packets without copying, at most %" PRIu64 " held\n", lives, figures[2], figures[1]);
    close_all();
    return 0;
}
