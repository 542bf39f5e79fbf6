/* Regions of programmed I/O, of which an adapter has few. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vi_state.h"

#define FL_CIUL_PIO_REGIONS 16

static int fl_ciul_pio_regions; /* in use; under the lock */

int ef_pio_alloc(ef_pio *pio, ef_driver_handle pio_dh, struct ef_pd *pd, unsigned len_hint, ef_driver_handle pd_dh)
{
    fl_ciul_handle_check(pio_dh, "ef_pio_alloc");
    fl_ciul_handle_check(pd_dh, "ef_pio_alloc");
    const fl_ciul_domain_t *domain = fl_ciul_domain_of(pd, "ef_pio_alloc");
    (void)len_hint; /* an adapter gives what it has */
    if (0 == domain->settings.pio_size || domain->is_express || EF_VI_ARCH_EF10 != domain->settings.arch)
    {
        return -EOPNOTSUPP;
    }
    uint8_t *memory = (uint8_t *)calloc(1, (size_t)domain->settings.pio_size);
    fl_ciul_lock();
    bool has_one = NULL != memory && fl_ciul_pio_regions < FL_CIUL_PIO_REGIONS;
    fl_ciul_pio_regions += has_one;
    fl_ciul_unlock();
    if (!has_one)
    {
        free(memory);
        return -ENOSPC;
    }
    pio->pio_buffer = memory;
    pio->pio_io = memory;
    pio->pio_resource_id = 1;
    pio->pio_len = (unsigned)domain->settings.pio_size;
    return 0;
}

int ef_pio_free(ef_pio *pio, ef_driver_handle pio_dh)
{
    fl_ciul_handle_check(pio_dh, "ef_pio_free");
    if (NULL == pio->pio_buffer)
    {
        fl_ciul_misuse("ef_pio_free: the PIO region was freed before");
    }
    free(pio->pio_buffer);
    memset(pio, 0, sizeof(*pio));
    fl_ciul_lock();
    fl_ciul_pio_regions--;
    fl_ciul_unlock();
    return 0;
}

int ef_pio_link_vi(ef_pio *pio, ef_driver_handle pio_dh, struct ef_vi *vi, ef_driver_handle vi_dh)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(pio_dh, "ef_pio_link_vi");
    fl_ciul_handle_check(vi_dh, "ef_pio_link_vi");
    if (NULL != own->pio)
    {
        return -EBUSY;
    }
    own->pio = pio;
    return 0;
}

int ef_pio_unlink_vi(ef_pio *pio, ef_driver_handle pio_dh, struct ef_vi *vi, ef_driver_handle vi_dh)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    fl_ciul_handle_check(pio_dh, "ef_pio_unlink_vi");
    fl_ciul_handle_check(vi_dh, "ef_pio_unlink_vi");
    if (own->pio != pio)
    {
        return -EINVAL;
    }
    own->pio = NULL;
    return 0;
}

int ef_vi_get_pio_size(ef_vi *vi)
{
    const fl_ciul_vi_t *own = fl_ciul_vi(vi);
    return NULL == own->pio ? -ENOENT : (int)own->pio->pio_len;
}

int ef_pio_memcpy(ef_vi *vi, const void *base, int offset, int len)
{
    fl_ciul_vi_t *own = fl_ciul_vi(vi);
    if (NULL == own->pio || offset < 0 || len < 0 || (int)own->pio->pio_len < offset + len)
    {
        fl_ciul_misuse("ef_pio_memcpy: %d bytes at %d are outside the PIO region", len, offset);
    }
    memcpy(own->pio->pio_buffer + offset, base, (size_t)len);
    return 0;
}
