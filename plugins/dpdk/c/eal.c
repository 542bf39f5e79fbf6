#include "eal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_timer.h>

#include "compat.h"
#include "streams.h"

#define FL_EAL_ARGUMENTS 64
#define FL_EAL_WORK 64
#define FL_EAL_TAIL 768          /* bytes of DPDK's last log lines, for the text of a failure */
#define FL_EAL_TICK_NS 100000000 /* between two runs of the drivers' timers; ENA wants about a second at most */

typedef struct fl_eal_work
{
    void (*work)(void *);
    void *argument;
} fl_eal_work_t;

/* The process's one environment. `mutex` guards everything below it; `log_mutex` what DPDK's log touches, because
 * DPDK logs from inside calls that are made with `mutex` held. */
static struct
{
    pthread_mutex_t start_mutex;   /* one start at a time */

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_cond_t done;
    pid_t pid;                     /* who started it; 0: nobody */
    bool is_answered;              /* the thread knows how the start went */
    int start_code;
    char *arguments[FL_EAL_ARGUMENTS + 1];   /* DPDK keeps pointers: they live as long as the process */
    int argument_count;
    const char *not_taken;         /* the first argument that DPDK leaves to the application, or NULL */
    fl_eal_work_t queue[FL_EAL_WORK];
    uint64_t queued;
    uint64_t finished;
    uint32_t timer_holds;

    pthread_mutex_t log_mutex;
    const fl_host_t *log_host;
    char tail[FL_EAL_TAIL];
    size_t tail_length;
} fl_eal = {
    .start_mutex = PTHREAD_MUTEX_INITIALIZER,
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
    .log_mutex = PTHREAD_MUTEX_INITIALIZER,
};

void fl_dpdk_version(fl_dpdk_version_t *version)
{
    memset(version, 0, sizeof(*version));
    snprintf(
        version->built, sizeof(version->built), "DPDK %d.%02d.%d", RTE_VER_YEAR, RTE_VER_MONTH, RTE_VER_MINOR);
    snprintf(version->loaded, sizeof(version->loaded), "%s", rte_version());
    version->abi_major = FL_DPDK_ABI_MAJOR;
    version->loaded_year = rte_version_year();
    version->loaded_month = rte_version_month();
#ifdef RTE_EAL_PMD_PATH
    snprintf(version->drivers, sizeof(version->drivers), "%s", RTE_EAL_PMD_PATH);
#endif
}

bool fl_eal_is_mine(void)
{
    return getpid() == fl_eal.pid;
}

int fl_dpdk_eal_is_started(void)
{
    return fl_eal_is_mine();
}

void fl_eal_log_to(const fl_host_t *host)
{
    pthread_mutex_lock(&fl_eal.log_mutex);
    fl_eal.log_host = host;
    pthread_mutex_unlock(&fl_eal.log_mutex);
}

/* Of net_memif, which wants to share its devices with further processes, which an environment without files cannot; and
 * which complains of a peer that is not there yet, which is an event of the port. */
static const char *const fl_eal_known_lines[] = {
    "Failed to register mp action callback", "memif_connect_client(): Failed to connect socket"};

static bool fl_eal_is_known(const char *line)
{
    for (size_t i = 0; i < sizeof(fl_eal_known_lines) / sizeof(*fl_eal_known_lines); i++)
    {
        if (NULL != strstr(line, fl_eal_known_lines[i]))
        {
            return true;
        }
    }
    return false;
}

/* Add a line to the last words; the oldest give way. */
static void fl_eal_keep_words(const char *line, size_t length)
{
    const char *const separator = fl_eal.tail_length > 0 ? "; " : "";
    const size_t needed = strlen(separator) + length;
    if (fl_eal.tail_length + needed > FL_EAL_TAIL)
    {
        const size_t excess = fl_eal.tail_length + needed - FL_EAL_TAIL;
        memmove(fl_eal.tail, fl_eal.tail + excess, fl_eal.tail_length - excess);
        fl_eal.tail_length -= excess;
    }
    memcpy(fl_eal.tail + fl_eal.tail_length, separator, strlen(separator));
    memcpy(fl_eal.tail + fl_eal.tail_length + strlen(separator), line, length);
    fl_eal.tail_length += needed;
}

/* What the start writes to the standard error stream, which for the most part getopt does. */
static void fl_eal_keep_error(const char *line, size_t length)
{
    const char *const logged = "EAL: FATAL: ";   /* the log has it too */
    pthread_mutex_lock(&fl_eal.log_mutex);
    const bool is_known = 0 == strncmp(line, logged, strlen(logged)) ||
        NULL != memmem(fl_eal.tail, fl_eal.tail_length, line, length);   /* options are read twice */
    if (!is_known)
    {
        fl_eal_keep_words(line, length);
    }
    pthread_mutex_unlock(&fl_eal.log_mutex);
}

/* DPDK's log stream: keep the last lines, and pass each on to the driver's log. */
static ssize_t fl_eal_log_write(void *cookie, const char *data, size_t length)
{
    (void)cookie;
    pthread_mutex_lock(&fl_eal.log_mutex);
    char line[256];
    size_t count = length < sizeof(line) - 1 ? length : sizeof(line) - 1;
    memcpy(line, data, count);
    while (count > 0 && ('\n' == line[count - 1] || '\r' == line[count - 1]))
    {
        count--;
    }
    line[count] = '\0';
    if (count > 0 && !fl_eal_is_known(line))
    {
        fl_eal_keep_words(line, count);
        if (NULL != fl_eal.log_host)
        {
            fl_eal.log_host->log(fl_eal.log_host, FL_LOG_WARNING, line);
        }
    }
    pthread_mutex_unlock(&fl_eal.log_mutex);
    return (ssize_t)length;
}

static void fl_eal_open_log(void)
{
    const cookie_io_functions_t functions = {.write = fl_eal_log_write};
    FILE *stream = fopencookie(NULL, "w", functions);
    if (NULL != stream)
    {
        setvbuf(stream, NULL, _IOLBF, 1024);
        rte_openlog_stream(stream);
    }
}

void fl_eal_forget_words(void)
{
    pthread_mutex_lock(&fl_eal.log_mutex);
    fl_eal.tail_length = 0;
    pthread_mutex_unlock(&fl_eal.log_mutex);
}

void fl_eal_describe(char *text, size_t length, const char *what)
{
    pthread_mutex_lock(&fl_eal.log_mutex);
    const bool has_words = fl_eal.tail_length > 0;
    snprintf(
        text, length, "%s%s%.*s", what, has_words ? "; DPDK says: " : "", (int)fl_eal.tail_length, fl_eal.tail);
    pthread_mutex_unlock(&fl_eal.log_mutex);
}

static void fl_eal_wait_for_work(void)
{
    if (0 == fl_eal.timer_holds)
    {
        pthread_cond_wait(&fl_eal.changed, &fl_eal.mutex);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += FL_EAL_TICK_NS;
    if (until.tv_nsec >= 1000000000)
    {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&fl_eal.changed, &fl_eal.mutex, &until);
}

static void fl_eal_serve(void)
{
    pthread_mutex_lock(&fl_eal.mutex);
    for (;;)
    {
        while (fl_eal.finished < fl_eal.queued)
        {
            const fl_eal_work_t work = fl_eal.queue[fl_eal.finished % FL_EAL_WORK];
            pthread_mutex_unlock(&fl_eal.mutex);
            work.work(work.argument);
            pthread_mutex_lock(&fl_eal.mutex);
            fl_eal.finished++;
            pthread_cond_broadcast(&fl_eal.done);
        }
        fl_eal_wait_for_work();
        if (fl_eal.timer_holds > 0)
        {
            pthread_mutex_unlock(&fl_eal.mutex);
            rte_timer_manage();
            pthread_mutex_lock(&fl_eal.mutex);
        }
    }
}

/* Returns 0 or errno. */
static int fl_eal_init(void)
{
    fl_streams_take(fl_eal_keep_error);
    const int read = rte_eal_init(fl_eal.argument_count, fl_eal.arguments);
    const int code = read < 0 ? rte_errno : 0;
    fl_streams_give_back();
    if (0 == code && read + 1 < fl_eal.argument_count)
    {
        fl_eal.not_taken = fl_eal.arguments[read + 1];
        rte_eal_cleanup();
        return EINVAL;
    }
    return code;
}

static void *fl_eal_main(void *unused)
{
    (void)unused;
    int code = fl_eal_init();
    if (0 == code)
    {
        const int timers = rte_timer_subsystem_init();
        code = timers < 0 && -EALREADY != timers ? -timers : 0;
    }
    pthread_mutex_lock(&fl_eal.mutex);
    fl_eal.start_code = code;
    fl_eal.is_answered = true;
    pthread_cond_broadcast(&fl_eal.done);
    pthread_mutex_unlock(&fl_eal.mutex);
    if (0 == code)
    {
        fl_eal_serve();
    }
    return NULL;
}

static int fl_eal_copy_arguments(const char *const *arguments, uint32_t count)
{
    if (count > FL_EAL_ARGUMENTS)
    {
        return -FL_EINVAL;
    }
    for (uint32_t i = 0; i < count; i++)
    {
        fl_eal.arguments[i] = strdup(arguments[i]);
        if (NULL == fl_eal.arguments[i])
        {
            return -FL_ENOMEM;
        }
    }
    fl_eal.arguments[count] = NULL;
    fl_eal.argument_count = (int)count;
    return 0;
}

void fl_signals_block(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

/* Start the thread and wait for its answer. */
static int fl_eal_launch(void)
{
    sigset_t before;
    fl_eal.is_answered = false;
    fl_signals_block(&before);
    pthread_t thread;
    const int code = pthread_create(&thread, NULL, fl_eal_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (0 != code)
    {
        return code;
    }
    pthread_setname_np(thread, "framelane-eal");
    pthread_mutex_lock(&fl_eal.mutex);
    while (!fl_eal.is_answered)
    {
        pthread_cond_wait(&fl_eal.done, &fl_eal.mutex);
    }
    const int started = fl_eal.start_code;
    pthread_mutex_unlock(&fl_eal.mutex);
    if (0 == started)
    {
        pthread_detach(thread);
    }
    else
    {
        pthread_join(thread, NULL);
    }
    return started;
}

int fl_dpdk_eal_start(const char *const *arguments, uint32_t count, char *text, size_t length)
{
    int code = 0;
    pthread_mutex_lock(&fl_eal.start_mutex);
    if (fl_eal_is_mine())
    {
        goto out;
    }
    if (0 != fl_eal.pid)
    {
        snprintf(
            text, length, "process %d is a child of process %d, which started DPDK before it forked; start this driver "
            "in a process of its own (multiprocessing: the spawn method)", getpid(), fl_eal.pid);
        code = -FL_EBUSY;
        goto out;
    }
    code = fl_eal_copy_arguments(arguments, count);
    if (0 != code)
    {
        snprintf(text, length, "%u arguments for DPDK; at most %d are taken", count, FL_EAL_ARGUMENTS);
        goto out;
    }
    fl_eal_open_log();
    code = fl_eal_launch();
    if (0 != code)
    {
        char what[256];
        if (NULL != fl_eal.not_taken)
        {
            snprintf(
                what, sizeof(what), "'%.128s' is no option of DPDK and belongs to none", fl_eal.not_taken);
        }
        else
        {
            snprintf(what, sizeof(what), "rte_eal_init failed with %s (%d)", strerror(code), code);
        }
        fl_eal_describe(text, length, what);
        code = -code;
        goto out;
    }
    fl_eal.pid = getpid();
out:
    pthread_mutex_unlock(&fl_eal.start_mutex);
    return code;
}

int fl_eal_run(void (*work)(void *), void *argument, bool wait)
{
    int code = 0;
    pthread_mutex_lock(&fl_eal.mutex);
    if (fl_eal.queued - fl_eal.finished >= FL_EAL_WORK)
    {
        code = -FL_ENOBUFS;
        goto out;
    }
    const uint64_t number = fl_eal.queued;
    fl_eal.queue[number % FL_EAL_WORK] = (fl_eal_work_t){.work = work, .argument = argument};
    fl_eal.queued++;
    pthread_cond_signal(&fl_eal.changed);
    while (wait && fl_eal.finished <= number)
    {
        pthread_cond_wait(&fl_eal.done, &fl_eal.mutex);
    }
out:
    pthread_mutex_unlock(&fl_eal.mutex);
    return code;
}

static void fl_eal_change_holds(int delta)
{
    pthread_mutex_lock(&fl_eal.mutex);
    fl_eal.timer_holds = (uint32_t)((int)fl_eal.timer_holds + delta);
    pthread_cond_signal(&fl_eal.changed);
    pthread_mutex_unlock(&fl_eal.mutex);
}

void fl_eal_hold_timers(void)
{
    fl_eal_change_holds(1);
}

void fl_eal_release_timers(void)
{
    fl_eal_change_holds(-1);
}
