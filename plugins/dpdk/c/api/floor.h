/* The floor of DPDK, in the subset of C that cffi parses. */
#ifndef FL_API_DPDK_FLOOR_H
#define FL_API_DPDK_FLOOR_H

#include <stddef.h>

#include <framelane/floor.h>

typedef struct fl_dpdk_floor fl_dpdk_floor_t;

/* Take a device. The environment must be there.
 *
 * name, devargs   as for rte_dev_probe; without devargs: one of the two ends, 0 or 1, of a pair of rings of this name
 * text, length    on failure: why, terminated
 * returns         0 or negative FL_E*
 */
int fl_dpdk_floor_open(
    const char *name, const char *devargs, uint32_t end, char *text, size_t length, fl_dpdk_floor_t **floor);
void fl_dpdk_floor_close(fl_dpdk_floor_t *floor);

/* The loops. Thread: any one. */
int fl_dpdk_floor_send(fl_dpdk_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result);
int fl_dpdk_floor_receive(fl_dpdk_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result);

#endif
