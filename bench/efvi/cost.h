/* What a packet costs over ef_vi: our path, and beside it a bare loop that does the same work. Both stand on the
 * stand-in for libciul, whose wire is memory, and both are driven a duty cycle at a time by main.c.
 */
#ifndef FL_EFVI_COST_H
#define FL_EFVI_COST_H

#include <stdbool.h>
#include <stdint.h>

#include <framelane/floor_work.h>

#define FL_COST_INTERFACE "lo"          /* a name that every kernel knows; nothing of it is touched */
#define FL_COST_FAR_INTERFACE "far0"
#define FL_COST_RING 512
#define FL_COST_STRIDE 2048             /* bytes of a buffer */
#define FL_COST_MTU 1500
#define FL_COST_CTPIO_THRESHOLD 64
#define FL_COST_BATCH_MAXIMUM 32
#define FL_COST_EVENTS 32               /* of one poll, on both sides */
#define FL_COST_TRANSMIT_BUFFERS 640    /* what the plugin has with such a ring */
#define FL_COST_TRANSMIT_OFFSET 22      /* of a frame in its buffer: payload begins on a multiple of 64 */
#define FL_COST_RECEIVE_BUFFERS 1024

/* What is measured, and where its frames come from. */
typedef struct fl_cost
{
    uint32_t length;                    /* of a datagram, bytes */
    uint32_t batch;                     /* datagrams of a duty cycle */
    fl_address_t near;                  /* of the measured side */
    fl_address_t far;
    uint8_t near_mac[6];
    uint8_t far_mac[6];
    bool receives;                      /* so it does, else it sends */
    fl_floor_work_t work;               /* memory that is copied out of and into */
} fl_cost_t;

/* A side that is measured. Each call ends the program with a message if anything is not as it should be. */
typedef struct fl_cost_side
{
    void *(*open)(fl_cost_t *cost);
    /* Once the far end is there too. */
    void (*begin)(void *side, fl_cost_t *cost);
    /* One duty cycle: take, verify, copy out and give back what waits. Returns datagrams. */
    uint32_t (*receive)(void *side, fl_cost_t *cost);
    /* One duty cycle: send a batch, and take completions. Returns datagrams. */
    uint32_t (*transmit)(void *side, fl_cost_t *cost);
    void (*close)(void *side);
} fl_cost_side_t;

extern const fl_cost_side_t fl_cost_path;
extern const fl_cost_side_t fl_cost_floor;

/* The far end: gives frames to the wire, and takes and verifies what the measured side sends. */
typedef struct fl_cost_far fl_cost_far_t;

fl_cost_far_t *fl_cost_far_open(fl_cost_t *cost);
void fl_cost_far_send(fl_cost_far_t *far, uint32_t count);
void fl_cost_far_take(fl_cost_far_t *far, uint32_t count);
void fl_cost_far_close(fl_cost_far_t *far);

__attribute__((noreturn, format(printf, 1, 2))) void fl_cost_fail(const char *format, ...);

/* Have a header say from whom to whom it goes. */
void fl_cost_address(
    fl_floor_work_t *work, const uint8_t *from_mac, const uint8_t *to_mac, const fl_address_t *from,
    const fl_address_t *to);

#endif
