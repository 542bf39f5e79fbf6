/* Receiving from shared queues (X3, X4 express): packets are lent by id and must be given back. */
#ifndef FL_CIUL_ETHERFABRIC_EFCT_VI_H
#define FL_CIUL_ETHERFABRIC_EFCT_VI_H

#include <etherfabric/ef_vi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EFCT_FUTURE_VALID_BYTES 62

extern const void *efct_vi_rxpkt_get(struct ef_vi *vi, uint32_t pkt_id);
extern void efct_vi_rxpkt_release(struct ef_vi *vi, uint32_t pkt_id);
extern const void *efct_vi_rx_future_peek(struct ef_vi *vi);
int efct_vi_rx_future_poll(ef_vi *vi, ef_event *evs, int evs_len);

#ifdef __cplusplus
}
#endif

#endif
