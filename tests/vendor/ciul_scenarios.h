/* What the scenarios share: both ends of a wire, and their names. */
#ifndef FL_CIUL_SCENARIOS_H
#define FL_CIUL_SCENARIOS_H

#include "ciul_end.h"

typedef struct
{
    const char *name;
    void (*run)(void);
} scenario_t;

#define SCENARIO(name) {#name, name}

extern const scenario_t filter_scenarios[];
extern const size_t filter_scenarios_count;
extern const scenario_t fault_scenarios[];
extern const size_t fault_scenarios_count;
extern const scenario_t misuse_scenarios[];
extern const size_t misuse_scenarios_count;

static end_t left, right;
static taken_t taken[1024];
static int completed;

static inline void open_both(uint64_t flags, int pd_flags)
{
    end_open(&left, "left", flags, pd_flags, "10.7.0.1");
    end_open(&right, "right", flags, pd_flags, "10.7.0.2");
}

static inline void close_both(void)
{
    end_close(&left);
    end_close(&right);
}

static inline bool is_right(const taken_t *one, uint8_t first, size_t payload)
{
    for (size_t i = 0; i < payload; i++)
    {
        if (one->length < 42 + payload || one->frame[42 + i] != (uint8_t)(first + i))
        {
            return false;
        }
    }
    return true;
}

/* Send a number of frames, one after another; each must arrive whole and complete. */
static inline void send_and_expect(end_t *from, end_t *to, int rounds)
{
    for (int i = 0; i < rounds; i++)
    {
        REQUIRE(0 == end_send(from, to, RECEIVE + i % 32, (uint8_t)i, 100 + (size_t)i));
        REQUIRE(1 == end_wait(to, taken, 8, &completed));
        REQUIRE(is_right(&taken[0], (uint8_t)i, 100 + (size_t)i));
        end_release(to, taken[0].id);
        REQUIRE(0 == end_poll(from, taken, 8, &completed));
    }
    REQUIRE(completed == rounds);
    REQUIRE(0 == ef_vi_transmit_fill_level(&from->vi));
    completed = 0;
}

#endif
