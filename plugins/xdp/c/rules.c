#include "rules.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "steering.h"

void fl_xdp_rules_init(fl_xdp_rules_t *rules)
{
    memset(rules, 0, sizeof(*rules));
    rules->fd = -1;
}

/* Make a directory and those above it. Returns 0 or negative errno. */
static int fl_directory_make(const char *directory)
{
    char path[sizeof(((fl_xdp_rules_t *)NULL)->path)];
    snprintf(path, sizeof(path), "%s/", directory);
    for (char *at = strchr(path + 1, '/'); NULL != at; at = strchr(at + 1, '/'))
    {
        *at = '\0';
        if (0 != mkdir(path, 0755) && EEXIST != errno)
        {
            return -errno;
        }
        *at = '/';
    }
    return 0;
}

static void fl_rules_take_off(const fl_xdp_rules_t *rules, int device, const char *interface)
{
    struct ethtool_rx_flow_spec rule;
    for (off_t at = 0; sizeof(rule) == pread(rules->fd, &rule, sizeof(rule), at); at += (off_t)sizeof(rule))
    {
        fl_xdp_steering_delete(device, interface, &rule);
    }
}

int fl_xdp_rules_open(
    fl_xdp_rules_t *rules, const char *directory, int device, const char *interface, uint32_t index, bool keeps,
    fl_failure_t *error)
{
    struct stat namespace = {0};
    stat("/proc/thread-self/ns/net", &namespace);
    const int length = snprintf(
        rules->path, sizeof(rules->path), "%s/rules-%llu-%u", directory, (unsigned long long)namespace.st_ino, index);
    int code = length < (int)sizeof(rules->path) ? 0 : -ENAMETOOLONG;
    rules->fd = 0 == code ? open(rules->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (rules->fd >= 0)
    {
        fl_rules_take_off(rules, device, interface);
        code = 0 == ftruncate(rules->fd, 0) ? 0 : -errno;
    }
    else if (0 == code && keeps)
    {
        code = fl_directory_make(directory);
        rules->fd = 0 == code ? open(rules->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
        code = 0 == code && rules->fd < 0 ? -errno : code;
    }
    if (0 != code || !keeps)
    {
        fl_xdp_rules_close(rules, 0 == code);
    }
    return 0 == code ? 0 : fl_fail(
        error, -code, "note the ntuple rules of %s in %s: %s; what this driver leaves if it is killed is to be deleted "
        "by hand then (ethtool -N %s delete N), or name another directory in FRAMELANE_XDP_STATE_DIRECTORY", interface,
        directory, strerror(-code), interface);
}

int fl_xdp_rules_note(fl_xdp_rules_t *rules, uint32_t place, const struct ethtool_rx_flow_spec *rule)
{
    static const struct ethtool_rx_flow_spec none;
    if (rules->fd < 0)
    {
        return 0;
    }
    const off_t at = (off_t)(place * sizeof(*rule));
    const ssize_t written = pwrite(rules->fd, NULL == rule ? &none : rule, sizeof(*rule), at);
    return sizeof(*rule) == written ? 0 : written < 0 ? -errno : -ENOSPC;
}

void fl_xdp_rules_close(fl_xdp_rules_t *rules, bool is_empty)
{
    if (rules->fd < 0)
    {
        return;
    }
    if (is_empty)
    {
        unlink(rules->path);
    }
    close(rules->fd);
    rules->fd = -1;
}
