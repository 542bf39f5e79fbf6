/* Registered memory: one DMA address for each page of 4 KiB. */
#ifndef FL_CIUL_ETHERFABRIC_MEMREG_H
#define FL_CIUL_ETHERFABRIC_MEMREG_H

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ef_memreg
{
    ef_addr *mr_dma_addrs;
    ef_addr *mr_dma_addrs_base;
} ef_memreg;

struct ef_pd;

extern int ef_memreg_alloc(
    ef_memreg *mr, ef_driver_handle mr_dh, struct ef_pd *pd, ef_driver_handle pd_dh, void *p_mem, size_t len_bytes);
extern int ef_memreg_free(ef_memreg *mr, ef_driver_handle mr_dh);

ef_vi_inline ef_addr ef_memreg_dma_addr(ef_memreg *mr, size_t offset)
{
    return mr->mr_dma_addrs[offset / EF_VI_NIC_PAGE_SIZE] + offset % EF_VI_NIC_PAGE_SIZE;
}

#ifdef __cplusplus
}
#endif

#endif
