/* Endpoints and pollers under the random driver, and the model of them. */
#ifndef FL_TRANSPORT_MODEL_H
#define FL_TRANSPORT_MODEL_H

#include "api/vma.h"
#include "ops.h"

#define ENDPOINTS 20
#define POLLERS 3
#define RUNS 64
#define GROUPS 2
#define NOBODY ENDPOINTS

typedef struct
{
    fl_endpoint_t *endpoint;       /* NULL: not open */
    uint32_t slot;
    fl_address_t address;
    fl_address_t peer;             /* family 0: none */
    bool is_multicast;             /* a group is where it receives */
    bool hears_peer_only;
    int poller;                    /* -1: on none */
    uint64_t last[ENDPOINTS];      /* number received last, by the sender's slot */
    fl_peer_t peers[ENDPOINTS + GROUPS];
    fl_peer_t set_peer;            /* of set_peer, which stays until the next one */
} model_t;

typedef struct
{
    fl_poller_t *poller;           /* NULL: not open */
    uint32_t count;                /* runs of the last poll that are not released */
    fl_run_t runs[RUNS];
    uint64_t digests[RUNS];
} poller_model_t;

extern fl_transport_t *transport;
extern const fl_transport_ops_t *ops;
extern model_t endpoints[ENDPOINTS];
extern poller_model_t pollers[POLLERS];
extern int64_t sent_count;
extern int64_t received_count;
extern uint64_t got_from;          /* datagrams from this number on are counted by the slot that they come to */
extern uint64_t got[ENDPOINTS];
extern bool is_kernel;             /* new sockets are not offloaded */
extern bool is_late;               /* and whether they are is not known at once */
extern bool requires_offload;
extern int refusal;

fl_address_t address_of(const char *host, uint16_t port);
void endpoint_open(model_t *model);
void endpoint_open_wrongly(void);
void endpoint_close(model_t *model);
void endpoint_set_peer(model_t *model);
/* Datagrams in runs of chance, to all and everybody or to one slot; returns how many were taken. */
uint32_t endpoint_send(model_t *model, uint32_t to, uint32_t run_count, uint32_t most_bytes);
void poller_add(poller_model_t *poller, model_t *model);
void poller_remove(model_t *model);
uint32_t poller_poll(poller_model_t *poller, uint32_t capacity);
void poller_release(poller_model_t *poller, uint32_t count);

#endif
