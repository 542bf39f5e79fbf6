/* What the kernel and ef_vi's driver say of an interface. */
#ifndef FL_EFVI_DEVICE_H
#define FL_EFVI_DEVICE_H

#include <framelane/errors.h>

#include "api/efvi.h"
#include "compat.h"

typedef struct fl_efvi_device
{
    uint32_t index;
    uint32_t mtu_length;
    int32_t numa_node;     /* -1: unknown */
} fl_efvi_device_t;

/* Index, MTU and NUMA node of an interface. Returns 0 or negative errno. */
int fl_efvi_device_read(int fd, const char *interface, fl_efvi_device_t *device);

/* Ask what the adapter can do. */
int fl_efvi_device_ask(
    ef_driver_handle handle, const char *interface, uint32_t index, fl_efvi_abilities_t *abilities,
    fl_failure_t *error);

/* Open the driver, with a text that says what stands in the way. */
int fl_efvi_driver_open(ef_driver_handle *handle, fl_failure_t *error);

#endif
