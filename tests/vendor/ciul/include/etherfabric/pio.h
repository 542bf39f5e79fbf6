/* Programmed I/O regions. */
#ifndef FL_CIUL_ETHERFABRIC_PIO_H
#define FL_CIUL_ETHERFABRIC_PIO_H

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EF_VI_CONFIG_PIO 1

typedef struct ef_pio
{
    uint8_t *pio_buffer;
    uint8_t *pio_io;
    unsigned pio_resource_id;
    unsigned pio_len;
} ef_pio;

struct ef_pd;
struct ef_vi;

extern int ef_pio_alloc(
    ef_pio *pio, ef_driver_handle pio_dh, struct ef_pd *pd, unsigned len_hint, ef_driver_handle pd_dh);
extern int ef_vi_get_pio_size(ef_vi *vi);
extern int ef_pio_free(ef_pio *pio, ef_driver_handle pio_dh);
extern int ef_pio_link_vi(ef_pio *pio, ef_driver_handle pio_dh, struct ef_vi *vi, ef_driver_handle vi_dh);
extern int ef_pio_unlink_vi(ef_pio *pio, ef_driver_handle pio_dh, struct ef_vi *vi, ef_driver_handle vi_dh);
extern int ef_pio_memcpy(ef_vi *vi, const void *base, int offset, int len);

#ifdef __cplusplus
}
#endif

#endif
