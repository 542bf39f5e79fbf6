/* Bytes and shared words that nobody honest writes (wire 9, design 2.5). */
#include "protocol/validate.h"
#include "receiver_frames.h"

#define VECTORS "tests/vectors/wire-frames.json"

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % limit);
}

/* Read whatever stands in the term, as a client would. Returns bytes consumed. */
static int64_t consume_frames(fixture_t *f)
{
    _Atomic int64_t *value = fixture_counter(f, COUNTER_SUBSCRIBERS);
    const int64_t position = fl_counter_get(value);
    const int64_t length = fl_i32_load_acquire(fl_log_term(f->log, position) + fl_log_term_offset(f->log, position));
    const int64_t aligned = length > 0 ? fl_align(length, FL_FRAME_ALIGNMENT) : 0;
    fl_counter_set(value, position + aligned);
    return aligned;
}

static char *read_vectors(void)
{
    FILE *file = fopen(VECTORS, "rb");
    CHECK(NULL != file);     /* the tests run in the root of the repository */
    CHECK(0 == fseek(file, 0, SEEK_END));
    const long length = ftell(file);
    char *text = calloc(1, (size_t)length + 1);
    rewind(file);
    CHECK_EQUAL(length, fread(text, 1, (size_t)length, file));
    fclose(file);
    return text;
}

/* Find the vector of a name and turn its bytes into binary. Returns their length. */
static uint32_t vector_bytes(const char *text, const char *name, uint8_t *bytes, size_t capacity)
{
    char key[128];
    char hex[1024];
    snprintf(key, sizeof(key), "\"name\": \"%s\"", name);
    const char *at = strstr(text, key);
    CHECK(NULL != at);
    at = strstr(at, "\"hex\": \"");
    CHECK(NULL != at);
    at += strlen("\"hex\": \"");
    const size_t digits = strcspn(at, "\"");
    CHECK(digits < sizeof(hex));
    memcpy(hex, at, digits);
    hex[digits] = '\0';
    return (uint32_t)check_unhex(hex, bytes, capacity);
}

static void test_every_invalid_vector_ends_in_its_own_counter(void)
{
    static const struct
    {
        const char *name;
        int drop;
        int is_invalid;
    } vectors[] = {
        {"invalid_version", FL_DROP_VERSION, 1},
        {"invalid_unaligned_data_datagram", FL_DROP_ALIGNMENT, 1},
        {"invalid_negative_frame_length", FL_DROP_FRAME_LENGTH, 1},
        {"invalid_data_second_frame_offset", FL_DROP_DATA_FIELDS, 1},
        {"invalid_setup_short", FL_DROP_SHORT, 1},
        {"invalid_setup_term_length", FL_DROP_SETUP_FIELDS, 1},
        {"invalid_unknown_type", FL_DROP_TYPE, 1},
        {"invalid_nak_range", FL_DROP_WRONG_SIDE, 0},
        {"invalid_sm_window", FL_DROP_WRONG_SIDE, 0},
        {"invalid_err_length", FL_DROP_WRONG_SIDE, 0},
        {"rsp_setup", FL_DROP_WRONG_SIDE, 0},
        {"res_self_ipv4", FL_DROP_TYPE, 0},
    };
    char *text = read_vectors();
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
    {
        fixture_t *f = fixture_new();
        uint8_t bytes[256];
        fixture_add_image(f);
        inject(f, bytes, vector_bytes(text, vectors[i].name, bytes, sizeof(bytes)));
        cycle(f, 0);
        CHECK_EQUAL(1, drops(f, vectors[i].drop));
        CHECK_EQUAL(1, all_drops(f));
        CHECK_EQUAL(vectors[i].is_invalid, counter(f, FL_COUNTER_INVALID_PACKETS));
        CHECK_EQUAL(0, counter(f, COUNTER_HWM));
        fixture_free(f);
    }
    free(text);
}

static void test_the_valid_vectors_build_one_stream(void)
{
    static const char *const names[] = {
        "data_unfragmented", "data_first_fragment", "data_last_fragment_reserved_value"};
    char *text = read_vectors();
    fixture_t *f = fixture_new();
    uint8_t bytes[256];
    uint8_t all[1024];
    uint32_t length = 0;
    fixture_add_image(f);
    for (size_t i = 0; i < 3; i++)
    {
        const uint32_t count = vector_bytes(text, names[i], bytes, sizeof(bytes));
        memcpy(all + length, bytes, count);
        length += count;
        inject(f, bytes, count);
    }
    cycle(f, 0);
    CHECK_EQUAL(length, counter(f, COUNTER_REBUILD));
    CHECK(0 == memcmp(all, f->log->terms[0], length));   /* reserved values and flags are relayed bit-exact */
    CHECK_EQUAL(0, all_drops(f));
    fixture_free(f);
    free(text);
}

static void test_impossible_positions_are_dropped(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[96];
    fixture_add_image(f);
    cycle(f, 0);
    fl_data_header_t *header = (fl_data_header_t *)bytes;
    write_frame(bytes, 0, 64, FL_FRAME_DATA);
    header->term_id = INITIAL_TERM - 1;
    inject(f, bytes, 64);
    header->term_id = fl_term_id_add(INITIAL_TERM, INT32_MAX);
    inject(f, bytes, 64);
    header->term_id = INITIAL_TERM;
    header->term_offset = TERM_LENGTH;
    inject(f, bytes, 64);
    header->term_offset = -32;
    inject(f, bytes, 64);
    header->term_offset = 16;
    inject(f, bytes, 64);
    header->term_offset = 0;
    header->frame_length = 31;
    inject(f, bytes, 64);
    header->frame_length = INT32_MAX;
    inject(f, bytes, 64);
    header->type = FL_FRAME_PAD;
    inject(f, bytes, 32);
    header->frame_length = TERM_LENGTH;      /* in the term, but beyond the over-run threshold */
    inject(f, bytes, 32);
    script_inject_run(&f->script, bytes, 0, 0);              /* an empty datagram */
    script_inject_run(&f->script, bytes, 64, 64)->flags = FL_RUN_TRUNCATED;
    cycle(f, 0);
    CHECK_EQUAL(1, drops(f, FL_DROP_TERM));
    CHECK_EQUAL(2, drops(f, FL_DROP_OVER_RUN));
    CHECK_EQUAL(6, drops(f, FL_DROP_DATA_FIELDS));
    CHECK_EQUAL(1, drops(f, FL_DROP_SHORT));
    CHECK_EQUAL(1, drops(f, FL_DROP_TRUNCATED));
    CHECK_EQUAL(11, all_drops(f));
    CHECK_EQUAL(0, counter(f, COUNTER_HWM));

    uint8_t setup[FL_SETUP_LENGTH];
    fl_setup_encode(setup, 0, 0, SESSION + 1, STREAM, INITIAL_TERM, INITIAL_TERM - 1, TERM_LENGTH, MTU, 0);
    inject(f, setup, sizeof(setup));
    cycle(f, 0);
    CHECK_EQUAL(1, drops(f, FL_DROP_SETUP_FIELDS));
    fixture_free(f);
}

/* Write a datagram that is somewhat like one of this stream. Returns its length. */
static uint32_t random_datagram(uint8_t *bytes)
{
    uint32_t length = 32 * (1 + random_below(8));
    write_frame(bytes, 32 * random_below(2 * TERM_LENGTH / 32), (int32_t)length, FL_FRAME_DATA);
    switch (random_below(8))
    {
        case 0:
            length = (uint32_t)fl_setup_encode(bytes, 0, 32 * (int32_t)random_below(3000),
                SESSION + (int32_t)random_below(4), STREAM, INITIAL_TERM, INITIAL_TERM, TERM_LENGTH, MTU, 0);
            break;
        case 1:
            length = (uint32_t)fl_rttm_encode(bytes, (uint8_t)random_below(256), SESSION, STREAM,
                (int64_t)random_state, -(int64_t)random_state, 0);
            break;
        case 2:
            length = (uint32_t)fl_heartbeat_encode(bytes, FL_DATA_UNFRAGMENTED, 32 * (int32_t)random_below(2048),
                SESSION, STREAM, INITIAL_TERM);
            break;
        case 3:
            length = random_below(100);
            break;
        default:
            break;
    }
    for (uint32_t i = random_below(4); i > 0; i--)
    {
        bytes[random_below(48)] = (uint8_t)random_below(256);
    }
    return length;
}

static void refuse_setups(fixture_t *f, int *count)
{
    fl_driver_event_t event;
    while (next_setup(f, &event))
    {
        (*count)++;
        CHECK_EQUAL(0, fl_receive_endpoint_refuse_setup(f->driver, f->endpoint, event.stream_id, event.session_id));
    }
}

static void begin_again(fixture_t *f)
{
    const fl_image_params_t params = fixture_image_params(f, f->log, 0);
    CHECK_EQUAL(0, fl_image_remove(f->driver, f->image));
    fl_receive_endpoint_remove_cool_down(f->driver, f->endpoint, STREAM, SESSION);
    for (int i = 0; i < FL_LOG_PARTITIONS; i++)
    {
        memset(f->log->terms[i], 0, TERM_LENGTH);
    }
    fixture_add_image_with(f, &params, 1);
    cycle(f, 1);
}

static void test_every_datagram_has_an_effect_or_one_drop(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[2048];
    int effects = 0;
    fixture_add_image(f);
    cycle(f, 0);
    for (int round = 0; round < 50000; round++)
    {
        const int64_t before = all_drops(f);
        const uint32_t length = random_datagram(bytes);
        const int32_t type = fl_datagram_check(bytes, length);
        int setups = 0;
        inject(f, bytes, length);
        cycle(f, 1);
        script_forget(&f->script);
        refuse_setups(f, &setups);
        const int64_t dropped = all_drops(f) - before;
        const bool is_refreshed = f->image->connections[0].time_of_last_activity_ns == fl_clock_nano(f->clock);
        CHECK(0 == dropped || 1 == dropped);
        CHECK(1 == dropped || is_refreshed || 1 == setups || FL_FRAME_RTTM == type);
        CHECK(0 == setups || 0 == dropped);
        effects += 0 == dropped ? 1 : 0;
        CHECK(f->image->rebuild_position <= f->image->hwm);
        CHECK(f->image->hwm <= f->image->overrun_threshold);
        while (0 == round % 64 && consume_frames(f) > 0)
        {
        }
        if (0 == round % 512)
        {
            begin_again(f);   /* forged ends of the stream end the image */
        }
    }
    CHECK(effects > 5000);
    fixture_free(f);
}

static void test_runs_of_random_datagrams_never_crash(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[65536];
    int setups = 0;
    fixture_add_image(f);
    cycle(f, 0);
    for (int round = 0; round < 5000; round++)
    {
        const uint32_t segment = 1 + random_below(300);
        const uint32_t length = random_below(16 * segment);
        for (uint32_t offset = 0; offset < length; offset += segment)
        {
            random_datagram(bytes + offset);
        }
        script_inject_run(&f->script, bytes, length, segment);
        cycle(f, random_below(1000000));
        refuse_setups(f, &setups);
        script_forget(&f->script);
        CHECK(f->image->rebuild_position <= f->image->hwm);
        CHECK(f->image->hwm <= f->image->overrun_threshold);
    }
    fixture_free(f);
}

/* Clients share the mapping: they may write anything anywhere in it, at any time. */
static void test_scribbled_terms_metadata_and_positions_do_no_harm(void)
{
    fixture_t *f = fixture_new();
    uint8_t bytes[1024];
    fixture_add_image(f);
    cycle(f, 0);
    for (int round = 0; round < 20000; round++)
    {
        const int64_t around = f->image->rebuild_position & ~INT64_C(31);
        for (int i = 0; i < 4; i++)
        {
            const int64_t position = around + 32 * random_below(1024);
            inject(f, bytes, write_frame(bytes, position, 32 + (int32_t)random_below(500), FL_FRAME_DATA));
        }
        for (int i = 0; i < 4; i++)
        {
            static const int32_t lengths[] = {0, 1, -1, 31, 33, 65536, INT32_MAX, INT32_MIN, 64, 4096};
            const int64_t position = around + 32 * random_below(2048);
            fl_i32_store_release(fl_log_term(f->log, position) + fl_log_term_offset(f->log, position),
                lengths[random_below(10)]);
        }
        if (0 == random_below(16))
        {
            memset(f->log->metadata, (int)random_below(256), sizeof(*f->log->metadata));
        }
        const int64_t positions[] = {INT64_MAX, INT64_MIN, -1, 0, f->image->hwm + 32, f->image->rebuild_position,
            f->image->rebuild_position - 64, f->image->rebuild_position - 7};
        fl_counter_set(fixture_counter(f, COUNTER_SUBSCRIBERS), positions[random_below(8)]);
        fl_counter_set(fixture_counter(f, COUNTER_HWM), (int64_t)random_state);
        cycle(f, 100 * 1000);
        const script_datagram_t *sm = last_sent(f, FL_FRAME_SM);
        CHECK(NULL == sm || 0 == sm_position(sm) % FL_FRAME_ALIGNMENT);
        script_forget(&f->script);
        const fl_image_t *image = f->image;
        CHECK(image->rebuild_position <= image->hwm);
        CHECK(image->hwm <= image->overrun_threshold);
        CHECK(image->last_sm_position <= image->rebuild_position);
        CHECK(image->clean_position <= image->last_sm_position);
        CHECK(image->overrun_threshold <= image->clean_position + 3 * TERM_LENGTH);
        CHECK_EQUAL(FL_IMAGE_ACTIVE, image->state);
    }
    CHECK(f->image->rebuild_position > TERM_LENGTH);
    fixture_free(f);
}

int main(void)
{
    RUN(test_every_invalid_vector_ends_in_its_own_counter);
    RUN(test_the_valid_vectors_build_one_stream);
    RUN(test_impossible_positions_are_dropped);
    RUN(test_every_datagram_has_an_effect_or_one_drop);
    RUN(test_runs_of_random_datagrams_never_crash);
    RUN(test_scribbled_terms_metadata_and_positions_do_no_harm);
    return 0;
}
