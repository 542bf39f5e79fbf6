/* The floor of AF_XDP, in the subset of C that cffi parses. */
#ifndef FL_API_XDP_FLOOR_H
#define FL_API_XDP_FLOOR_H

#include <stddef.h>

#include <framelane/floor.h>

typedef struct fl_xdp_floor fl_xdp_floor_t;

/* Take queue 0 of an interface, with every frame that comes to it.
 *
 * text, length  on failure: why, terminated
 * returns       0 or negative FL_E*
 */
int fl_xdp_floor_open(const char *interface, char *text, size_t length, fl_xdp_floor_t **floor);
void fl_xdp_floor_close(fl_xdp_floor_t *floor);

/* The loops. Thread: any one. */
int fl_xdp_floor_send(fl_xdp_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result);
int fl_xdp_floor_receive(fl_xdp_floor_t *floor, const fl_floor_params_t *params, fl_floor_result_t *result);

#endif
