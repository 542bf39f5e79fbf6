/* A subscriber of the stock C client: prints each message as it has it, with the time after the poll that brought it.
 *
 *     stock_view DIRECTORY CHANNEL STREAM COUNT
 *
 * Prints "ready", then for each message "message POLLED_NS RESERVED_VALUE PAYLOAD", the payload in hexadecimal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aeronc.h"

#define PATIENCE_S 60
#define LONGEST 256

typedef struct
{
    int64_t reserved_value;
    size_t length;
    uint8_t payload[LONGEST];
}
message_t;

static message_t last;

static int64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void require(int is_met, const char *what)
{
    if (!is_met)
    {
        fprintf(stderr, "%s: %s\n", what, aeron_errmsg());
        exit(1);
    }
}

static void take(void *context, const uint8_t *payload, size_t length, aeron_header_t *header)
{
    (void)context;
    aeron_header_values_t values;
    require(0 == aeron_header_values(header, &values) && length <= LONGEST, "a message");
    last.reserved_value = values.frame.reserved_value;
    last.length = length;
    memcpy(last.payload, payload, length);
}

static void print(int64_t polled_ns)
{
    printf("message %" PRId64 " %" PRId64 " ", polled_ns, last.reserved_value);
    for (size_t i = 0; i < last.length; i++)
    {
        printf("%02x", last.payload[i]);
    }
    printf("\n");
}

int main(int count, char **words)
{
    require(5 == count, "DIRECTORY CHANNEL STREAM COUNT");
    aeron_context_t *context = NULL;
    aeron_t *client = NULL;
    require(0 == aeron_context_init(&context) && 0 == aeron_context_set_dir(context, words[1]), "context");
    require(0 == aeron_init(&client, context) && 0 == aeron_start(client), "client");

    aeron_async_add_subscription_t *adding = NULL;
    aeron_subscription_t *subscription = NULL;
    int32_t stream_id = (int32_t)strtol(words[3], NULL, 10);
    require(
        0 == aeron_async_add_subscription(&adding, client, words[2], stream_id, NULL, NULL, NULL, NULL), "subscribe");
    while (NULL == subscription)
    {
        require(aeron_async_add_subscription_poll(&subscription, adding) >= 0, "subscription");
    }
    printf("ready\n");
    fflush(stdout);

    int64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + PATIENCE_S * INT64_C(1000000000);
    for (long left = strtol(words[4], NULL, 10); left > 0;)
    {
        int polled = aeron_subscription_poll(subscription, take, NULL, 1);
        int64_t polled_ns = clock_ns(CLOCK_REALTIME);
        require(polled >= 0 && clock_ns(CLOCK_MONOTONIC) < deadline_ns, "poll");
        if (polled > 0)
        {
            print(polled_ns);
            left--;
        }
        else
        {
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        }
    }
    aeron_subscription_close(subscription, NULL, NULL);
    aeron_close(client);
    aeron_context_close(context);
    return 0;
}
