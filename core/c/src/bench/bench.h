/* What the benchmark loops share. */
#ifndef FL_BENCH_BENCH_H
#define FL_BENCH_BENCH_H

#include <framelane/measure.h>

#include "api/bench.h"

static inline void fl_bench_lengths_init(fl_measure_lengths_t *lengths, const fl_bench_params_t *params)
{
    fl_measure_lengths_init(lengths, params->length, params->min_length, params->max_length, params->seed);
}

#endif
