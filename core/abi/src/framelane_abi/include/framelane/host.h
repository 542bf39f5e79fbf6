/* What the driver offers to a transport. The table is given to the transport's native open function. */
#ifndef FRAMELANE_HOST_H
#define FRAMELANE_HOST_H

#include <framelane/types.h>

FL_BEGIN_DECLS

#define FL_LOG_INFO 1
#define FL_LOG_WARNING 2
#define FL_LOG_ERROR 3

typedef struct fl_host fl_host_t;

/* The table outlives the transport. Entries are appended only; a transport checks `size` before it uses one that came
 * later than the version it was written against. */
struct fl_host
{
    uint32_t magic;         /* FL_HOST_MAGIC */
    uint32_t size;          /* sizeof(fl_host_t) of the host */
    uint32_t abi_version;   /* FL_ABI_VERSION of the host */
    uint32_t reserved;

    /* Set, or append to, the calling thread's error text. Set it where a failure is seen; callers append. The host
     * takes the text after a call that failed and clears it. Truncated at 1023 bytes. Any thread; does not block. */
    void (*error_set)(const fl_host_t *host, const char *text);
    void (*error_append)(const fl_host_t *host, const char *text);

    /* The driver's monotonic clock and its wall clock (since 1970), nanoseconds. They are virtual in a simulation, so a
     * transport reads no other clock. Any thread; does not block. */
    int64_t (*nano_clock)(const fl_host_t *host);
    int64_t (*epoch_clock)(const fl_host_t *host);

    /* The next value of the driver's seeded generator. Any thread; does not block. */
    uint64_t (*random)(const fl_host_t *host);

    /* Allocate a counter of Aeron type `type_id` for users to see.
     *
     * key, key_length   at most 112 bytes; may be NULL with length 0
     * label             terminated, at most 380 bytes
     * returns           where to store the value (relaxed stores, one writer), or NULL if the table is full; the
     *                   counter is freed by the host when the transport is closed
     * thread            control plane only: native open, open_endpoint, close_endpoint
     */
    int64_t *(*counter_allocate)(
        const fl_host_t *host, int32_t type_id, const void *key, size_t key_length, const char *label);

    /* Write a line to the driver's log under the transport's name. Any thread; does not block; at most ten lines a
     * second pass, the others are counted. */
    void (*log)(const fl_host_t *host, int32_t level, const char *text);
};

FL_END_DECLS

#endif
