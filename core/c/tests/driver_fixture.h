/* A driver over a CnC file of its own, without transports. */
#ifndef FL_TESTS_DRIVER_FIXTURE_H
#define FL_TESTS_DRIVER_FIXTURE_H

#include <unistd.h>

#include "check.h"
#include "driver/driver.h"
#include "driver_config.h"
#include "shm/counters.h"

#define FIRST_DROP_COUNTER 46
#define FIRST_COUNTER 80        /* free for the test */

typedef struct driver_fixture
{
    char folder[64];
    char path[128];
    fl_clock_t *clock;
    fl_cnc_t cnc;
    fl_driver_config_t config;  /* changed before driver_fixture_start, if at all */
    fl_driver_t *driver;
} driver_fixture_t;

static inline const char *driver_fixture_path(driver_fixture_t *fixture, const char *name)
{
    snprintf(fixture->path, sizeof(fixture->path), "%s/%s", fixture->folder, name);
    return fixture->path;
}

/* Make the files and the configuration: INVOKER under a virtual clock for clock NULL. */
static inline void driver_fixture_prepare(driver_fixture_t *fixture, fl_clock_t *clock, uint32_t threading_mode)
{
    memset(fixture, 0, sizeof(*fixture));
    strcpy(fixture->folder, "/tmp/framelane-driver-XXXXXX");
    CHECK(NULL != mkdtemp(fixture->folder));
    fixture->clock = NULL != clock ? clock : fl_clock_virtual_new(SECOND, 1000 * SECOND);
    test_cnc_create(&fixture->cnc, driver_fixture_path(fixture, "cnc"));
    fixture->config = test_config(fixture->clock, &fixture->cnc, FIRST_DROP_COUNTER);
    fixture->config.threading_mode = threading_mode;
    for (int i = 0; i < FL_AGENTS; i++)
    {
        fixture->config.idle[i] = (fl_idle_config_t){.kind = FL_IDLE_WAIT, .max_spins = 10, .max_yields = 20,
            .min_park_ns = 1000, .max_park_ns = MS, .wait_max_ns = MS, .wait_max_no_clients_ns = 10 * MS};
    }
}

static inline void driver_fixture_start(driver_fixture_t *fixture)
{
    fixture->driver = fl_driver_new(&fixture->config);
    CHECK(NULL != fixture->driver);
    CHECK_EQUAL(0, fl_driver_start(fixture->driver));
}

static inline void driver_fixture_close(driver_fixture_t *fixture)
{
    if (NULL != fixture->driver)
    {
        CHECK_EQUAL(0, fl_driver_stop(fixture->driver));
        fl_driver_free(fixture->driver);
    }
    fl_cnc_close(&fixture->cnc);
    if (fl_clock_system() != fixture->clock)
    {
        fl_clock_virtual_free(fixture->clock);
    }
    unlink(driver_fixture_path(fixture, "cnc"));
    rmdir(fixture->folder);
}

/* Let virtual time pass, one cycle a step. */
static inline void driver_fixture_run(driver_fixture_t *fixture, int64_t steps, int64_t step_ns)
{
    for (int64_t i = 0; i < steps; i++)
    {
        fl_clock_advance(fixture->clock, step_ns);
        fl_driver_invoke(fixture->driver);
    }
}

static inline int64_t *driver_fixture_counter(const driver_fixture_t *fixture, int32_t id)
{
    return (int64_t *)(fixture->cnc.counters_values + (size_t)id * sizeof(fl_counter_value_t));
}

static inline int64_t driver_fixture_value(const driver_fixture_t *fixture, int32_t id)
{
    return fl_counter_get(driver_fixture_counter(fixture, id));
}

#endif
