/* The XDP program of a port with its maps, and its place on the interface.
 *
 * It is attached by a BPF link, which the kernel takes off when the last descriptor of it is closed: a driver that is
 * killed leaves nothing behind. Where something does keep the link alive (a pin, a forked child), the next start
 * recognises the program by the record of its owner, and takes it off if that process is gone.
 */
#ifndef FL_XDP_PROGRAM_HANDLE_H
#define FL_XDP_PROGRAM_HANDLE_H

#include <stdbool.h>

#include <framelane/errors.h>

#include "api/xdp.h"
#include "bpf/maps.h"

typedef struct fl_xdp_program
{
    int maps[FL_XDP_MAPS];     /* by FL_XDP_MAP_* */
    int owner;                 /* the map with the owner's record */
    int program;
    int link;
    int counts_cpus;
    uint64_t *counts_space;    /* one for each CPU that there may be */
    bool is_native;
    bool is_multi_buffer;      /* loaded for frames of several buffers */
} fl_xdp_program_t;

/* Nothing is open. To be called before anything else. */
void fl_xdp_program_init(fl_xdp_program_t *program);

/* Make the maps and load the program for a device with so many queues. */
int fl_xdp_program_load(fl_xdp_program_t *program, uint32_t device_queues, fl_failure_t *error);

/* Attach it. mode is FL_XDP_AUTO, _NATIVE or _GENERIC; note says why automatic mode is not native. Whatever somebody
 * else attached stays, and is named in the error. */
int fl_xdp_program_attach(
    fl_xdp_program_t *program,
    const fl_xdp_device_t *device,
    const char *interface,
    uint32_t mode,
    char *note,
    size_t note_length,
    fl_failure_t *error);

/* Whether it still is on its interface. Takes the kernel's lock of network devices. */
bool fl_xdp_program_is_attached(const fl_xdp_program_t *program);

/* Take it off, and free everything. Safe after a failed load or attach. */
void fl_xdp_program_close(fl_xdp_program_t *program);

/* What the program has counted under FL_XDP_COUNT_*, summed over CPUs. */
int64_t fl_xdp_program_count(fl_xdp_program_t *program, uint32_t number);

#endif
