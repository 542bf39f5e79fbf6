/* What the kernel and ef_vi's driver say of an interface. */
#ifndef FL_EFVI_DEVICE_H
#define FL_EFVI_DEVICE_H

#include "api/efvi.h"
#include "compat.h"
#include "error.h"

typedef struct fl_efvi_device
{
    uint32_t index;
    uint32_t mtu_length;
    int32_t numa_node;     /* -1: unknown */
} fl_efvi_device_t;

/* A descriptor for ioctls in the calling thread's network namespace; negative errno on failure. */
int fl_efvi_device_socket(void);

/* Index, MTU and NUMA node of an interface. Returns 0 or negative errno. */
int fl_efvi_device_read(int fd, const char *interface, fl_efvi_device_t *device);

/* Whether the interface of this index is up and has its carrier; negative errno if it is gone. Takes no lock that blocks. */
int fl_efvi_device_has_link(int fd, const char *interface, uint32_t index);

/* Ask what the adapter can do. */
int fl_efvi_device_ask(
    ef_driver_handle handle, const char *interface, uint32_t index, fl_efvi_abilities_t *abilities,
    fl_efvi_error_t *error);

/* Open the driver, with a text that says what stands in the way. */
int fl_efvi_driver_open(ef_driver_handle *handle, fl_efvi_error_t *error);

#endif
