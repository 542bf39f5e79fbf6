/* Driver handles, and waiting on an event queue. */
#ifndef FL_CIUL_ETHERFABRIC_BASE_H
#define FL_CIUL_ETHERFABRIC_BASE_H

#include <etherfabric/ef_vi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EF_VI_NIC_PAGE_SHIFT 12
#define EF_VI_NIC_PAGE_SIZE (1 << EF_VI_NIC_PAGE_SHIFT)
#define EF_INVALID_ADDR ((ef_addr)-1)

struct timeval;

extern int ef_eventq_wait(ef_vi *vi, ef_driver_handle vi_dh, unsigned current_ptr, const struct timeval *timeout);
extern int ef_driver_open(ef_driver_handle *dh_out);
extern int ef_driver_close(ef_driver_handle dh);

#ifdef __cplusplus
}
#endif

#endif
