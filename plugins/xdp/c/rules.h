/* The ntuple rules that a port made, noted in a file: rules outlive processes, and the next start takes off what a
 * killed driver left without touching anybody else's. Control thread alone.
 *
 * One file for each interface of each network namespace, with an `ethtool_rx_flow_spec` in each place that holds a rule
 * and zeros in each that does not. A rule is written down after it was inserted and struck out before it is deleted: a
 * process that ends in between leaves a rule that counts as somebody else's, and never a note that claims one.
 */
#ifndef FL_XDP_RULES_H
#define FL_XDP_RULES_H

#include <linux/ethtool.h>
#include <stdbool.h>

#include <framelane/errors.h>

typedef struct fl_xdp_rules
{
    int fd;                    /* -1: nothing is kept */
    char path[256];
} fl_xdp_rules_t;

/* Nothing is kept. To be called before anything else. */
void fl_xdp_rules_init(fl_xdp_rules_t *rules);

/* Take off the device what a killed driver noted in this directory, and keep notes from now on if `keeps`. To be called
 * by whoever alone may have rules on the interface, which is who has the XDP program on it.
 *
 * device   for ioctls
 * returns  0; a negative FL_E* with its text if no notes can be kept, and none are then */
int fl_xdp_rules_open(
    fl_xdp_rules_t *rules, const char *directory, int device, const char *interface, uint32_t index, bool keeps,
    fl_failure_t *error);

/* Note a rule in a place, or with NULL that the place has none. Returns 0 or negative errno. */
int fl_xdp_rules_note(fl_xdp_rules_t *rules, uint32_t place, const struct ethtool_rx_flow_spec *rule);

/* Keep no notes any more. is_empty: no rule was left behind, so that the file may go. */
void fl_xdp_rules_close(fl_xdp_rules_t *rules, bool is_empty);

#endif
