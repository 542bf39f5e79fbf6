/* Building frames: the worked bytes of wire 10. */
#include <string.h>

#include "check.h"
#include "protocol/encode.h"
#include "protocol/validate.h"

#define SESSION 0x1234abcd
#define STREAM 1001
#define INITIAL 0x7ffffffe
#define RECEIVER INT64_C(0x1122334455667788)

static void check_bytes(const uint8_t *actual, size_t length, const char *hex)
{
    CHECK_EQUAL(2 * length, strlen(hex));
    for (size_t i = 0; i < length; i++)
    {
        char text[3];
        snprintf(text, sizeof(text), "%02x", actual[i]);
        CHECK(0 == memcmp(text, hex + 2 * i, 2));
    }
}

/* One byte off, so that nothing depends on alignment. */
static uint8_t buffer[129];
static uint8_t *const frame = buffer + 1;

static void test_heartbeats_are_those_of_the_specification(void)
{
    size_t length = fl_heartbeat_encode(frame, FL_DATA_UNFRAGMENTED, 256, SESSION, STREAM, INITIAL);
    check_bytes(frame, length, "0000000000c0010000010000cdab3412e9030000feffff7f0000000000000000");
    CHECK_EQUAL(fl_frame_check(frame, length, 65536), FL_FRAME_DATA);
    CHECK(fl_frame_is_heartbeat((const fl_data_header_t *)frame, length));
    const uint8_t flags = FL_DATA_UNFRAGMENTED | FL_DATA_FLAG_EOS | FL_DATA_FLAG_REVOKED;
    length = fl_heartbeat_encode(frame, flags, 256, SESSION, STREAM, INITIAL);
    check_bytes(frame, length, "0000000000f0010000010000cdab3412e9030000feffff7f0000000000000000");
}

static void test_setup_is_that_of_the_specification(void)
{
    const size_t length = fl_setup_encode(
        frame, FL_SETUP_FLAG_GROUP, 0, SESSION, STREAM, INITIAL, (int32_t)0x80000000, 16777216, 1408, 8);
    check_bytes(
        frame, length, "280000000040050000000000cdab3412e9030000feffff7f00000080000000018005000008000000");
    CHECK_EQUAL(fl_frame_check(frame, length, 65536), FL_FRAME_SETUP);
}

static void test_status_messages_are_those_of_the_specification(void)
{
    size_t length = fl_sm_encode(frame, 0, SESSION, STREAM, INITIAL, 256, 32768, RECEIVER, NULL);
    check_bytes(frame, length, "2400000000000300cdab3412e9030000feffff7f00010000008000008877665544332211");
    CHECK(!fl_sm_has_group_tag((const fl_sm_frame_t *)frame, length));
    const int64_t group_tag = -1;
    length = fl_sm_encode(frame, 0, SESSION, STREAM, (int32_t)0x80000000, 128, 32768, -5, &group_tag);
    check_bytes(
        frame, length, "2c00000000000300cdab3412e9030000000000808000000000800000fbffffffffffffffffffffffffffffff");
    CHECK(fl_sm_has_group_tag((const fl_sm_frame_t *)frame, length));
    CHECK(!fl_sm_has_group_tag((const fl_sm_frame_t *)frame, length - 1));
    CHECK_EQUAL(((const fl_sm_frame_t *)frame)->receiver_id, -5);
}

static void test_nak_is_that_of_the_specification(void)
{
    const size_t length = fl_nak_encode(frame, SESSION, STREAM, INITIAL, 64, 96);
    check_bytes(frame, length, "1c00000000000200cdab3412e9030000feffff7f4000000060000000");
}

static void test_errors_are_those_of_the_specification(void)
{
    size_t length = fl_err_encode(frame, SESSION, STREAM, RECEIVER, NULL, 13, "Rejected by application", 23);
    check_bytes(
        frame,
        length,
        "3f00000000000400cdab3412e9030000887766554433221100000000000000000d00000017000000"
        "52656a6563746564206279206170706c69636174696f6e");
    const int64_t group_tag = 42;
    length = fl_err_encode(frame, SESSION, STREAM, RECEIVER, &group_tag, 13, "no", 2);
    check_bytes(
        frame,
        length,
        "2a00000000080400cdab3412e903000088776655443322112a000000000000000d000000020000006e6f");
}

static void test_round_trip_and_response_setup_are_those_of_the_specification(void)
{
    size_t length = fl_rttm_encode(frame, FL_RTTM_FLAG_REPLY, SESSION, STREAM, INT64_C(1234567890123), 0, RECEIVER);
    check_bytes(
        frame, length, "2800000000800600cdab3412e9030000cb04fb711f01000000000000000000008877665544332211");
    length = fl_rsp_setup_encode(frame, SESSION, STREAM, -77);
    check_bytes(frame, length, "1400000000000b00cdab3412e9030000b3ffffff");
}

int main(void)
{
    RUN(test_heartbeats_are_those_of_the_specification);
    RUN(test_setup_is_that_of_the_specification);
    RUN(test_status_messages_are_those_of_the_specification);
    RUN(test_nak_is_that_of_the_specification);
    RUN(test_errors_are_those_of_the_specification);
    RUN(test_round_trip_and_response_setup_are_those_of_the_specification);
    return 0;
}
