/* The endpoints whose datagrams the adapter hands to a queue. Control thread alone, with the queue's gate closed. */
#ifndef FL_EFVI_FILTERS_H
#define FL_EFVI_FILTERS_H

#include <framelane/port_filters.h>

#include "queue.h"

typedef struct fl_efvi_filter
{
    fl_port_filter_t base;
    ef_filter_cookie cookie;
} fl_efvi_filter_t;

typedef struct fl_efvi_filters
{
    const char *interface;
    uint32_t share_queues;         /* FL_EFVI_AUTO, _ON or _OFF */
    uint32_t count;
    uint32_t capacity;
    fl_efvi_filter_t *entries;
} fl_efvi_filters_t;

/* As add_filter and remove_filter of port.h; queue is the one of that number. A source is not part of the filter, since
 * the adapter has none without the source's port: strangers are the netstack's to drop. */
int fl_efvi_filters_add(
    fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, uint32_t number, uint16_t vlan, const fl_address_t *address,
    fl_failure_t *error);
int fl_efvi_filters_remove(
    fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, uint32_t number, uint16_t vlan, const fl_address_t *address,
    fl_failure_t *error);

/* Take all filters of a queue away. */
void fl_efvi_filters_clear(fl_efvi_filters_t *filters, fl_efvi_queue_t *queue, uint32_t number);
void fl_efvi_filters_close(fl_efvi_filters_t *filters);

#endif
