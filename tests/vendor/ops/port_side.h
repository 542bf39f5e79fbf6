/* One port under the random driver, and the model of it: what it has lent, what was lent to it, which filters it
 * holds. */
#ifndef FL_PORT_SIDE_H
#define FL_PORT_SIDE_H

#include "api/efvi.h"
#include "port_frames.h"

#define QUEUES 3
#define HELD 511                 /* max_hold of a ring of 512 */
#define OUT 48
#define RECORDS 65536

typedef struct
{
    fl_rx_frame_t frame;
    uint64_t digest;
} held_t;

typedef struct
{
    const char *interface;
    uint32_t number;
    fl_port_t *port;
    fl_efvi_facts_t facts;
    uint32_t queues;
    int fds[QUEUES];                          /* what arm returned; -1: nothing yet */
    uint32_t buffers[QUEUES];                 /* transmit buffers, all of them */
    uint32_t held_count[QUEUES];
    held_t held[QUEUES][HELD];
    uint32_t out_count[QUEUES];
    fl_tx_frame_t out[QUEUES][OUT];
    uint32_t holders[TARGETS][QUEUES];
    uint64_t gone[TARGETS][QUEUES];           /* operation at which the filter went; 0: never was there */
    uint64_t last[QUEUES][QUEUES];            /* number received last, by the sender's queue */
    uint64_t got_from;                        /* frames from this number on are counted */
    uint64_t got[QUEUES];
    int64_t sent;
    int64_t received;
    uint32_t lives;
    uint64_t lives_until;                     /* operation before which it is neither closed nor lost */

    /* What is wrong with the adapter. */
    const char *model;
    char faults[256];
    int filter_error;
    bool is_lost;
    bool may_die;                             /* it was told to, since the port was opened */
    bool has_huge_pages;
} side_t;

extern side_t sides[2];
extern const fl_port_ops_t *ops;

/* Write the control file with the faults of both sides; what polls from now on sees it. */
void faults_write(const char *driver);
void faults_clear(side_t *side);

/* Open a port with settings of chance, over the adapter's faults; start it and enter its queues. */
void side_open(side_t *side);
/* Give everything back and close. */
void side_close(side_t *side);
/* The port said -FL_ENODEV: it has to have a reason, say so once, and close. Then it is opened again. */
void side_bury(side_t *side);

/* One receiving call; what came is checked and held. Returns how many frames came, or -FL_ENODEV. */
int side_receive(side_t *side, uint32_t queue, uint32_t capacity);
void side_release(side_t *side, uint32_t queue, uint32_t count);
void side_allocate(side_t *side, uint32_t queue, uint32_t count);
/* Send of what was allocated, to targets of chance or one, numbered. Returns how many frames were taken. */
int side_send(side_t *side, uint32_t queue, uint32_t count, int target);
void side_abandon(side_t *side, uint32_t queue, uint32_t count);
int64_t side_figure(side_t *side, const char *name);
uint32_t side_count_buffers(side_t *side, uint32_t queue);
void side_add_filter(side_t *side, uint32_t queue, uint32_t target);
void side_remove_filter(side_t *side, uint32_t queue, uint32_t target);

#endif
