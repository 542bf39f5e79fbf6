/* Retransmission: what NAKs asked for, and what is not sent again for a while (wire 3.7).
 *
 * An action goes through delay, sending and linger. Ranges are positions, so a term id that went by means no confusion.
 */
#ifndef FL_SENDER_RETRANSMIT_H
#define FL_SENDER_RETRANSMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "api/publications.h"

/* Of an action. */
#define FL_RETRANSMIT_FREE 0
#define FL_RETRANSMIT_PENDING 1     /* is being delayed, or sent in pieces of at most a cycle's worth */
#define FL_RETRANSMIT_LINGERING 2   /* was sent: the same NAK is ignored until the deadline */

typedef struct fl_retransmit_action
{
    int64_t position;       /* of the gap */
    int64_t end;
    int64_t next;           /* what to send next, in [position, end] */
    int64_t deadline_ns;    /* pending: not before; lingering: until */
    uint32_t state;         /* FL_RETRANSMIT_* */
} fl_retransmit_action_t;

typedef struct fl_retransmit
{
    fl_retransmit_action_t *actions;
    uint32_t slots;
    uint32_t pending;       /* actions in that state */
    bool has_group_semantics;   /* a pool of slots; else one, which the next gap takes over */
    int64_t delay_ns;
    int64_t linger_ns;
} fl_retransmit_t;

/* slots: 1 without group semantics. Returns 0 or -FL_ENOMEM with text. Thread: control. */
int fl_retransmit_init(
    fl_retransmit_t *retransmit, uint32_t slots, bool has_group_semantics, int64_t delay_ns, int64_t linger_ns);
void fl_retransmit_destroy(fl_retransmit_t *retransmit);

/* Take a NAK for [position, end). Returns 1 if it became an action, 0 if one covers it, -FL_ENOSPC if no slot is free.
 * Thread: sender. */
int fl_retransmit_on_nak(fl_retransmit_t *retransmit, int64_t position, int64_t end, int64_t now_ns);

/* Send what is due, at most one piece of every action. Returns the bytes sent. Thread: sender. */
int64_t fl_retransmit_work(fl_retransmit_t *retransmit, fl_publication_t *publication, int64_t now_ns);

#endif
