/* Who else uses ef_vi on this machine. */
#ifndef FL_EFVI_HOLDERS_H
#define FL_EFVI_HOLDERS_H

typedef struct fl_efvi_holders
{
    char text[192];
} fl_efvi_holders_t;

/* Describe the other processes that have the device of ef_vi or of Onload open, as far as this user may see them, such
 * as "trader (pid 4711)". Reads /proc. Thread: control. */
const char *fl_efvi_holders_find(fl_efvi_holders_t *holders);

#endif
