#include "transport_model.h"

#include <arpa/inet.h>

#define SENT 1048576
#define HEADER 24
#define ARENA 131072
#define SEGMENTS 64

fl_transport_t *transport;
const fl_transport_ops_t *ops;
model_t endpoints[ENDPOINTS];
poller_model_t pollers[POLLERS];
int64_t sent_count;
int64_t received_count;
uint64_t got_from;
uint64_t got[ENDPOINTS];
bool is_kernel;
bool is_late;
bool requires_offload;
int refusal;

static uint64_t next_number = 1;
static uint64_t taken[SENT];           /* numbers that the transport has taken */

/* In front of each datagram that is not empty; what follows it comes of the number. */
typedef struct
{
    uint64_t number;
    uint32_t slot;                     /* of the sender */
    uint32_t length;
    uint64_t check;
} header_t;

fl_address_t address_of(const char *host, uint16_t port)
{
    fl_address_t address = {.family = FL_FAMILY_IPV4, .port = port};
    inet_pton(AF_INET, host, address.bytes);
    return address;
}

static fl_address_t data_group(uint32_t group)
{
    return address_of(0 == group ? "239.77.0.2" : "239.77.0.4", (uint16_t)(5002 + 2 * group));
}

static fl_address_t control_group(uint32_t group)
{
    return address_of(0 == group ? "239.77.0.1" : "239.77.0.3", (uint16_t)(5001 + 2 * group));
}

static bool is_same(const fl_address_t *one, const fl_address_t *other)
{
    return 0 == memcmp(one, other, sizeof(*one));
}

static uint64_t digest_of(const uint8_t *data, uint32_t length)
{
    uint64_t digest = length;
    for (uint32_t i = 0; i < length; i += i < 256 ? 1 : 61)
    {
        digest = (digest ^ data[i]) * 0x100000001b3u;
    }
    return digest;
}

/* ---- datagrams ---- */

static void datagram_make(uint8_t *data, uint32_t length, uint32_t slot)
{
    const header_t header = {
        .number = next_number, .slot = slot, .length = length, .check = ops_mix(next_number ^ length)};
    next_number++;
    if (length >= HEADER)
    {
        memcpy(data, &header, sizeof(header));
        memset(data + HEADER, (uint8_t)(header.number * 7), length - HEADER);
    }
}

static void datagram_check(model_t *model, const fl_run_t *run)
{
    static uint8_t expected[65536];
    header_t header;
    if (0 == run->length)
    {
        return;
    }
    OPS_REQUIRE(run->length >= HEADER, "a datagram of %u bytes was not sent", run->length);
    memcpy(&header, run->data, sizeof(header));
    OPS_REQUIRE(
        header.length == run->length && header.check == ops_mix(header.number ^ header.length) &&
            header.slot < ENDPOINTS, "a datagram of %u bytes has a header that was not sent", run->length);
    memset(expected, (uint8_t)(header.number * 7), run->length);
    OPS_REQUIRE(
        0 == memcmp(run->data + HEADER, expected, run->length - HEADER), "datagram %" PRIu64 " came with other bytes",
        header.number);
    OPS_REQUIRE(taken[header.number % SENT] >= header.number, "datagram %" PRIu64 " was not taken", header.number);
    OPS_REQUIRE(
        header.number > model->last[header.slot], "datagram %" PRIu64 " came after %" PRIu64, header.number,
        model->last[header.slot]);
    model->last[header.slot] = header.number;
    got[model->slot] += header.number >= got_from;
}

/* ---- endpoints ---- */

static fl_endpoint_params_t params_of(uint32_t role, fl_address_t bind, fl_address_t peer, uint32_t flags)
{
    return (fl_endpoint_params_t){
        .size = sizeof(fl_endpoint_params_t),
        .role = role,
        .flags = flags,
        .bind = bind,
        .peer = peer,
        .interface_address = address_of("127.0.0.1", 0),
        .mtu_length = 1408,
        .send_buffer_length = ops_once_in(2) ? 0 : 65536,
        .receive_buffer_length = ops_once_in(2) ? 0 : 8192u << ops_below(7),
    };
}

void endpoint_open(model_t *model)
{
    const uint32_t slot = (uint32_t)(model - endpoints);
    const fl_address_t nobody = {.family = FL_FAMILY_NONE};
    const uint32_t kind = ops_below(8);
    const uint32_t group = ops_below(GROUPS);
    const model_t *other = &endpoints[ops_below(ENDPOINTS)];
    fl_endpoint_params_t params;
    *model = (model_t){.slot = slot, .poller = -1};
    if (0 == kind)
    {
        params = params_of(FL_ROLE_RECEIVER, data_group(group), nobody, FL_ENDPOINT_REUSE_ADDRESS);
    }
    else if (1 == kind)
    {
        params = params_of(FL_ROLE_SENDER, control_group(group), data_group(group), FL_ENDPOINT_REUSE_ADDRESS);
    }
    else
    {
        const bool has_peer = NULL != other->endpoint && !other->is_multicast && kind < 6;
        params = params_of(
            kind % 2 ? FL_ROLE_SENDER : FL_ROLE_RECEIVER, address_of(ops_once_in(6) ? "0.0.0.0" : "127.0.0.1", 0),
            has_peer ? other->address : nobody, has_peer && ops_once_in(2) ? FL_ENDPOINT_CONNECT : 0);
    }
    params.flags |= ops_once_in(6) ? FL_ENDPOINT_TIMESTAMPS : 0;
    const bool is_offloaded = !is_kernel;
    ops_error[0] = '\0';
    fl_endpoint_t *opened = NULL;
    const int code = ops->open_endpoint(transport, &params, &opened);
    if (code < 0)
    {
        OPS_REQUIRE('\0' != ops_error[0], "%d without a text", code);
        OPS_REQUIRE(
            0 != refusal || (requires_offload && (!is_offloaded || is_late) && -FL_EADDRNOTAVAIL == code),
            "open_endpoint of kind %u: %d", kind, code);
        return;
    }
    OPS_REQUIRE(0 == refusal, "an endpoint is opened where the library makes no socket");
    OPS_REQUIRE(!requires_offload || is_offloaded, "an endpoint that is not offloaded is opened");
    OPS_REQUIRE(is_offloaded || '\0' != params.note[0], "an endpoint is not offloaded, and nothing says so");
    OPS_REQUIRE(params.max_run_segments >= 1 && params.max_run_length >= 65507, "runs of %u", params.max_run_length);
    model->endpoint = opened;
    model->peer = params.peer;
    model->is_multicast = kind < 2;
    model->hears_peer_only = 0 != (params.flags & FL_ENDPOINT_CONNECT);
    OPS_REQUIRE(0 == ops->local_address(opened, &model->address), "the address of an endpoint");
    OPS_REQUIRE(0 != model->address.port, "an address without port");
    if (!model->is_multicast && 0 == model->address.bytes[0])
    {
        model->address = address_of("127.0.0.1", model->address.port);   /* where it can be reached */
    }
}

/* What the contract refuses, each by its own error. */
void endpoint_open_wrongly(void)
{
    const fl_address_t nobody = {.family = FL_FAMILY_NONE};
    const model_t *other = &endpoints[ops_below(ENDPOINTS)];
    fl_endpoint_params_t params = params_of(FL_ROLE_RECEIVER, address_of("127.0.0.1", 0), nobody, 0);
    fl_endpoint_t *opened = NULL;
    int expected = FL_EINVAL;
    switch (ops_below(7))
    {
        case 0:
            params.bind = address_of("10.99.9.9", 0);
            expected = FL_EADDRNOTAVAIL;
            break;
        case 1:
            params.mtu_length = 65508;
            expected = FL_EMSGSIZE;
            break;
        case 2:
            params.bind.family = FL_FAMILY_IPV6;
            expected = FL_EAFNOSUPPORT;
            break;
        case 3:
            params.role = 3;
            break;
        case 4:
            params.flags = FL_ENDPOINT_CONNECT;
            break;
        case 5:
            params.size = 8;
            break;
        default:
            if (NULL == other->endpoint || other->is_multicast)
            {
                return;
            }
            params.bind = other->address;
            expected = FL_EADDRINUSE;
            break;
    }
    ops_error[0] = '\0';
    const int code = ops->open_endpoint(transport, &params, &opened);
    OPS_REQUIRE(code == -expected || (0 != refusal && code < 0), "open_endpoint: %d, expected %d", code, -expected);
    OPS_REQUIRE('\0' != ops_error[0], "%d without a text", code);
}

void endpoint_close(model_t *model)
{
    if (model->poller >= 0)
    {
        OPS_REQUIRE(-FL_EBUSY == ops->close_endpoint(model->endpoint), "close on a poller");
        poller_remove(model);
    }
    for (uint32_t i = 0; i < POLLERS; i++)
    {
        for (uint32_t j = 0; j < pollers[i].count; j++)
        {
            if (pollers[i].runs[j].context == model)
            {
                poller_release(&pollers[i], pollers[i].count);
            }
        }
    }
    OPS_REQUIRE(0 == ops->close_endpoint(model->endpoint), "close");
    model->endpoint = NULL;
}

void endpoint_set_peer(model_t *model)
{
    const model_t *other = &endpoints[ops_below(ENDPOINTS)];
    if (NULL == other->endpoint || other->is_multicast || model->is_multicast || FL_FAMILY_NONE == model->peer.family)
    {
        return;
    }
    fl_peer_t next = {.address = other->address};
    model->set_peer = next;
    OPS_EXPECT(ops->set_peer(model->endpoint, &model->set_peer));
    model->peer = other->address;
}

/* ---- sending ---- */

static const fl_peer_t *choose_peer(model_t *model, uint32_t to)
{
    const uint32_t chosen = NOBODY != to ? to : ops_below(ENDPOINTS + GROUPS);
    const fl_address_t address = chosen >= ENDPOINTS ? data_group(chosen - ENDPOINTS) : endpoints[chosen].address;
    fl_peer_t *peer = &model->peers[chosen];
    if (FL_FAMILY_NONE == address.family || (NOBODY == to && ops_once_in(3)))
    {
        return NULL;   /* the connected one, or none */
    }
    if (!is_same(&peer->address, &address))
    {
        *peer = (fl_peer_t){.address = address};
    }
    return peer;
}

static uint32_t segments_of(const fl_run_t *run)
{
    return 0 == run->length ? 1 : (run->length + run->segment_length - 1) / run->segment_length;
}

static void check_sent(const model_t *model, const fl_run_t *runs, uint32_t count, int whole)
{
    int found = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        const fl_run_t *run = &runs[i];
        const int status = OPS_EXPECT(
            run->status, FL_EAGAIN, FL_ECONNREFUSED, FL_EHOSTUNREACH, FL_ENETUNREACH, FL_EMSGSIZE, FL_EINVAL);
        OPS_REQUIRE(status <= 0 && run->accepted <= segments_of(run), "status %d, %u accepted", status, run->accepted);
        OPS_REQUIRE((0 == status) == (run->accepted == segments_of(run)), "status %d, %u", status, run->accepted);
        OPS_REQUIRE(
            -FL_EINVAL != status || (NULL == run->peer && FL_FAMILY_NONE == model->peer.family), "a peer is refused");
        found += 0 == status;
        for (uint32_t j = 0; j < i; j++)
        {
            OPS_REQUIRE(
                runs[j].peer != run->peer || 0 == runs[j].status || (0 == run->accepted && runs[j].status == status),
                "a run to a peer goes on behind one with status %d", runs[j].status);
        }
    }
    OPS_REQUIRE(whole == found, "%d runs are taken whole, send returned %d", found, whole);
}

uint32_t endpoint_send(model_t *model, uint32_t to, uint32_t run_count, uint32_t most_bytes)
{
    static uint8_t arena[ARENA];
    fl_run_t runs[16];
    uint64_t first[16];
    uint32_t used = 0;
    uint32_t count = 0;
    for (; count < run_count && count < 16; count++)
    {
        const bool is_empty = NOBODY == to && ops_once_in(50);
        const uint32_t segment = is_empty ? 0 : HEADER + ops_below(most_bytes - HEADER);
        uint32_t segments = is_empty ? 1 : ops_some(NOBODY == to ? SEGMENTS : 3);
        segments = segments * segment > 65507 ? 1 : segments;
        const uint32_t length =
            is_empty ? 0 : segments * segment - (1 < segments ? ops_below(segment - HEADER + 1) : 0);
        if (used + length > ARENA)
        {
            break;
        }
        first[count] = next_number;
        for (uint32_t at = 0; at < length || (is_empty && 0 == at); at += is_empty ? 1 : segment)
        {
            datagram_make(arena + used + at, length - at < segment ? length - at : segment, model->slot);
        }
        runs[count] = (fl_run_t){
            .data = arena + used,
            .length = length,
            .segment_length = segment,
            .peer = choose_peer(model, to),
            .accepted = 0xdead,
            .status = 0xdead,
            .flags = ops_once_in(10) ? FL_RUN_HOLD : 0,
        };
        used += length;
    }
    const int whole = OPS_EXPECT(ops->send(model->endpoint, runs, count));
    check_sent(model, runs, count, whole);
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < count; i++)
    {
        for (uint32_t j = 0; j < runs[i].accepted; j++)
        {
            taken[(first[i] + j) % SENT] = first[i] + j;
        }
        accepted += runs[i].accepted;
    }
    memset(arena, 0x5a, used);   /* the memory is the caller's again */
    sent_count += accepted;
    return accepted;
}

/* ---- pollers ---- */

void poller_add(poller_model_t *poller, model_t *model)
{
    const int expected = model->poller >= 0 ? -FL_EBUSY : 0;
    OPS_REQUIRE(expected == ops->poller_add(poller->poller, model->endpoint, model), "poller_add");
    model->poller = model->poller >= 0 ? model->poller : (int)(poller - pollers);
}

void poller_remove(model_t *model)
{
    OPS_REQUIRE(0 == ops->poller_remove(pollers[model->poller].poller, model->endpoint), "poller_remove");
    model->poller = -1;
}

static void check_run(const poller_model_t *poller, const fl_run_t *run)
{
    model_t *model = run->context;
    OPS_REQUIRE(model >= endpoints && model < endpoints + ENDPOINTS && NULL != model->endpoint, "a run of nobody's");
    OPS_REQUIRE(model->poller == poller - pollers, "a run of an endpoint that is on poller %d", model->poller);
    OPS_REQUIRE(
        run->segment_length == run->length && 0 == (run->flags & FL_RUN_TRUNCATED) && NULL != run->peer,
        "a run of %u bytes with flags %u", run->length, run->flags);
    OPS_REQUIRE(
        !model->hears_peer_only || is_same(&run->peer->address, &model->peer), "a connected endpoint hears port %u",
        run->peer->address.port);
    OPS_REQUIRE(
        NULL == run->local || is_same(run->local, &model->address), "a datagram to port %u came to another",
        run->local->port);
    datagram_check(model, run);
}

uint32_t poller_poll(poller_model_t *poller, uint32_t capacity)
{
    poller_release(poller, poller->count);
    const int count = OPS_EXPECT(ops->poll(poller->poller, poller->runs, capacity));
    OPS_REQUIRE(count <= (int)capacity, "%d runs for room of %u", count, capacity);
    for (int i = 0; i < count; i++)
    {
        check_run(poller, &poller->runs[i]);
        poller->digests[i] = digest_of(poller->runs[i].data, poller->runs[i].length);
    }
    poller->count = (uint32_t)count;
    received_count += count;
    return (uint32_t)count;
}

/* In any order, and what was received has to be what it was. */
void poller_release(poller_model_t *poller, uint32_t count)
{
    fl_run_t runs[RUNS];
    for (uint32_t i = 0; i < count; i++)
    {
        const uint32_t one = ops_below(poller->count);
        const fl_run_t *run = &poller->runs[one];
        OPS_REQUIRE(poller->digests[one] == digest_of(run->data, run->length), "a run that is held has changed");
        runs[i] = *run;
        poller->count--;
        poller->runs[one] = poller->runs[poller->count];
        poller->digests[one] = poller->digests[poller->count];
    }
    ops->release(poller->poller, runs, count);
}
