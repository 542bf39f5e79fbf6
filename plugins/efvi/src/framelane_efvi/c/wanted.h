/* The datagrams that a queue's filters ask for. On shared queues frames come that are another's, of this process or
 * not, so each is compared with it (bypass 1.11). The control thread changes it with the queue's gate closed. */
#ifndef FL_EFVI_WANTED_H
#define FL_EFVI_WANTED_H

#include <stdbool.h>
#include <string.h>

#include <framelane/types.h>

/* Bytes of an untagged frame with IPv4, without options, and UDP. */
#define FL_EFVI_WANTED_HEADERS 42

typedef struct fl_efvi_wanted
{
    fl_address_t *addresses;
    uint32_t count;
    uint32_t capacity;
    uint64_t last;                 /* where the last one of them went, as fl_efvi_wanted_goal() says it; 0: not known */
} fl_efvi_wanted_t;

/* Add an address with its port, or take one away. Returns 0 or -ENOMEM. */
int fl_efvi_wanted_add(fl_efvi_wanted_t *wanted, const fl_address_t *address);
void fl_efvi_wanted_remove(fl_efvi_wanted_t *wanted, const fl_address_t *address);
void fl_efvi_wanted_clear(fl_efvi_wanted_t *wanted);

/* Destination and its port of such a frame; never 0. */
static inline uint64_t fl_efvi_wanted_goal(const uint8_t *frame)
{
    static const uint8_t between[8] = {0, 0, 0, 0, 255, 255, 0, 0};    /* the source port */
    uint64_t goal;
    uint64_t covered;
    memcpy(&goal, frame + 30, sizeof(goal));
    memcpy(&covered, between, sizeof(covered));
    return goal | covered;
}

/* Whether a frame is one: IPv4's type, version 4 without options, UDP. */
static inline bool fl_efvi_wanted_is_plain(const uint8_t *frame, uint32_t length)
{
    static const uint8_t kind[4] = {0x08, 0x00, 0x45, 0};
    static const uint8_t mask[4] = {255, 255, 255, 0};
    uint32_t found;
    uint32_t kept;
    uint32_t wanted;
    if (length < FL_EFVI_WANTED_HEADERS)
    {
        return false;
    }
    memcpy(&found, frame + 12, sizeof(found));
    memcpy(&kept, mask, sizeof(kept));
    memcpy(&wanted, kind, sizeof(wanted));
    return wanted == (found & kept) && 17 == frame[23];
}

/* Find out whether a frame is a UDP datagram to one of them. Thread: queue. */
bool fl_efvi_wanted_find(fl_efvi_wanted_t *wanted, const uint8_t *frame, uint32_t length);

/* The same, quickly for what goes where the last one went. */
static inline bool fl_efvi_wanted_has(fl_efvi_wanted_t *wanted, const uint8_t *frame, uint32_t length)
{
    if (fl_efvi_wanted_is_plain(frame, length) && wanted->last == fl_efvi_wanted_goal(frame))
    {
        return true;
    }
    return fl_efvi_wanted_find(wanted, frame, length);
}

#endif
