/* The datagrams that a queue's filters ask for. On shared queues frames come that are another's, of this process or not, so
 * each is compared with it (bypass 1.11). The control thread changes it with the queue's gate closed. */
#ifndef FL_EFVI_WANTED_H
#define FL_EFVI_WANTED_H

#include <stdbool.h>

#include <framelane/types.h>

typedef struct fl_efvi_wanted
{
    fl_address_t *addresses;
    uint32_t count;
    uint32_t capacity;
} fl_efvi_wanted_t;

/* Add an address with its port, or take one away. Returns 0 or -ENOMEM. */
int fl_efvi_wanted_add(fl_efvi_wanted_t *wanted, const fl_address_t *address);
void fl_efvi_wanted_remove(fl_efvi_wanted_t *wanted, const fl_address_t *address);
void fl_efvi_wanted_clear(fl_efvi_wanted_t *wanted);

/* Whether a frame is a UDP datagram to one of them. Thread: queue. */
bool fl_efvi_wanted_has(const fl_efvi_wanted_t *wanted, const uint8_t *frame, uint32_t length);

#endif
