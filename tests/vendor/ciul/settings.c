/* FRAMELANE_CIUL and the file that FRAMELANE_CIUL_CONTROL names: which adapters there are, and what is wrong with them.
 *
 * One description an adapter, parted by ';' or line ends: the interface's name, or '*' for any, then words NAME=VALUE.
 * The control file comes after the variable and may change at any time. README.md lists the words.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ciul.h"

uint64_t fl_ciul_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int fl_ciul_errno_of(const char *name)
{
    static const struct
    {
        const char *name;
        int value;
    } errors[] = {{"ENOENT", ENOENT}, {"ENODEV", ENODEV}, {"EACCES", EACCES}, {"EPERM", EPERM}, {"ENOMEM", ENOMEM},
        {"EBUSY", EBUSY}, {"EEXIST", EEXIST}, {"ENOSPC", ENOSPC}, {"EPROTONOSUPPORT", EPROTONOSUPPORT},
        {"EOPNOTSUPP", EOPNOTSUPP}, {"EINVAL", EINVAL}, {"none", 0}};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
    {
        if (0 == strcmp(name, errors[i].name))
        {
            return errors[i].value;
        }
    }
    fl_ciul_misuse("FRAMELANE_CIUL: '%s' is no error that it knows", name);
}

static bool fl_ciul_is_on(const char *value)
{
    if (0 != strcmp(value, "0") && 0 != strcmp(value, "1"))
    {
        fl_ciul_misuse("FRAMELANE_CIUL: a switch is 0 or 1, not '%s'", value);
    }
    return '1' == value[0];
}

static void fl_ciul_settings_model(fl_ciul_settings_t *settings, const char *value)
{
    static const struct
    {
        const char *name;
        enum ef_vi_arch arch;
        int pio_size;
        bool is_express_capable, has_ctpio;
    } models[] = {
        {"sfn7122", EF_VI_ARCH_EF10, 2048, false, false},
        {"sfn8522", EF_VI_ARCH_EF10, 4096, false, false},
        {"x2522", EF_VI_ARCH_EF10, 4096, false, true},
        {"x3522", EF_VI_ARCH_EFCT, 0, false, true},
        {"x4", EF_VI_ARCH_EF10, 0, true, true},
    };
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
    {
        if (0 == strcmp(value, models[i].name))
        {
            settings->arch = models[i].arch;
            settings->pio_size = models[i].pio_size;
            settings->is_express_capable = models[i].is_express_capable;
            settings->has_ctpio = models[i].has_ctpio;
            settings->has_merge = EF_VI_ARCH_EF10 == models[i].arch;
            return;
        }
    }
    fl_ciul_misuse("FRAMELANE_CIUL: model '%s' is none of sfn7122, sfn8522, x2522, x3522, x4", value);
}

static void fl_ciul_settings_discard(fl_ciul_settings_t *settings, const char *value)
{
    static const struct
    {
        const char *name;
        unsigned flags;
    } reasons[] = {{"none", 0}, {"crc", EF_VI_DISCARD_RX_ETH_FCS_ERR}, {"length", EF_VI_DISCARD_RX_ETH_LEN_ERR},
        {"l3", EF_VI_DISCARD_RX_L3_CSUM_ERR}, {"l4", EF_VI_DISCARD_RX_L4_CSUM_ERR},
        {"inner", EF_VI_DISCARD_RX_INNER_L4_CSUM_ERR}, {"other", EF_VI_DISCARD_RX_L4_CLASS_OTHER}};
    char reason[16] = "";
    unsigned every = 1;
    sscanf(value, "%15[^:]:%u", reason, &every);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
    {
        if (0 == strcmp(reason, reasons[i].name) && 0 != every)
        {
            settings->discard = reasons[i].flags;
            settings->discard_every = every;
            return;
        }
    }
    fl_ciul_misuse("FRAMELANE_CIUL: discard '%s' is not REASON[:EVERY] with crc, length, l3, l4, inner, other", value);
}

static int fl_ciul_settings_choice(const char *value, const char *const *names, int count, const char *what)
{
    for (int i = 0; i < count; i++)
    {
        if (0 == strcmp(value, names[i]))
        {
            return i;
        }
    }
    fl_ciul_misuse("FRAMELANE_CIUL: %s cannot be '%s'", what, value);
}

static void fl_ciul_settings_word(fl_ciul_settings_t *settings, const char *name, const char *value)
{
    static const char *const clocks[] = {"sync", "set", "unset", "unknown", "lost"};
    static const char *const tx_errors[] = {"rights", "overflow", "length", "bus"};
    static const char *const licences[] = {"full", "merge", "none"};

    if (0 == strcmp(name, "model"))
    {
        fl_ciul_settings_model(settings, value);
    }
    else if (0 == strcmp(name, "wire"))
    {
        snprintf(settings->wire, sizeof(settings->wire), "%s", value);
    }
    else if (0 == strcmp(name, "index"))
    {
        settings->index = atoi(value);
    }
    else if (0 == strcmp(name, "mtu"))
    {
        settings->mtu = (unsigned)atoi(value);
    }
    else if (0 == strcmp(name, "ctpio"))
    {
        settings->has_ctpio = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "pio"))
    {
        settings->pio_size = fl_ciul_is_on(value) ? 4096 : 0;
    }
    else if (0 == strcmp(name, "merge"))
    {
        settings->has_merge = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "rx-timestamps"))
    {
        settings->has_rx_timestamps = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "tx-timestamps"))
    {
        settings->has_tx_timestamps = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "open"))
    {
        settings->open_error = fl_ciul_errno_of(value);
    }
    else if (0 == strcmp(name, "pd"))
    {
        settings->pd_error = fl_ciul_errno_of(value);
    }
    else if (0 == strcmp(name, "vi"))
    {
        settings->vi_error = fl_ciul_errno_of(value);
    }
    else if (0 == strcmp(name, "memreg"))
    {
        settings->memreg_error = fl_ciul_errno_of(value);
    }
    else if (0 == strcmp(name, "filter"))
    {
        settings->filter_error = fl_ciul_errno_of(value);
    }
    else if (0 == strcmp(name, "licence"))
    {
        int licence = fl_ciul_settings_choice(value, licences, 3, "licence");
        settings->needs_merge = 1 == licence;
        settings->is_unlicensed = 2 == licence;
    }
    else if (0 == strcmp(name, "hugepages"))
    {
        settings->has_huge_pages = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "stalled"))
    {
        settings->is_stalled = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "no-credits"))
    {
        settings->has_no_credits = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "ctpio-fails"))
    {
        settings->ctpio_fails = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "lost"))
    {
        settings->is_lost = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "others"))
    {
        settings->sees_others = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "overflow"))
    {
        settings->overflows = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "any-thread"))
    {
        settings->any_thread = fl_ciul_is_on(value);
    }
    else if (0 == strcmp(name, "discard"))
    {
        fl_ciul_settings_discard(settings, value);
    }
    else if (0 == strcmp(name, "tx-error"))
    {
        settings->tx_error = fl_ciul_settings_choice(value, tx_errors, 4, "tx-error");
    }
    else if (0 == strcmp(name, "clock"))
    {
        settings->clock = (fl_ciul_clock_t)fl_ciul_settings_choice(value, clocks, 5, "clock");
    }
    else
    {
        fl_ciul_misuse("FRAMELANE_CIUL: there is no word '%s'", name);
    }
}

/* Apply what a text says of an interface, known by name or by index. True if it is described there; the text is cut
 * up. */
static bool fl_ciul_settings_apply(fl_ciul_settings_t *settings, char *text, int ifindex)
{
    bool is_described = false;
    char *rest = text;
    for (char *description; NULL != (description = strsep(&rest, ";\n"));)
    {
        char *words = description;
        char *interface;
        do
        {
            interface = strsep(&words, " \t");
        } while (NULL != interface && '\0' == interface[0]);
        if (NULL == interface || '#' == interface[0])
        {
            continue;
        }
        fl_ciul_settings_t changed = *settings;
        changed.index = 0;
        for (char *word; NULL != (word = strsep(&words, " \t"));)
        {
            if ('\0' == word[0])
            {
                continue;
            }
            char *value = strchr(word, '=');
            if (NULL == value)
            {
                fl_ciul_misuse("FRAMELANE_CIUL: '%s' is not NAME=VALUE", word);
            }
            *value++ = '\0';
            fl_ciul_settings_word(&changed, word, value);
        }
        bool is_any = 0 == strcmp(interface, "*");
        bool is_index = 0 != changed.index && changed.index == ifindex;
        if (is_any || is_index || 0 == strcmp(interface, settings->interface))
        {
            changed.index = 0 == changed.index ? settings->index : changed.index;
            *settings = changed;
            if (!is_any)
            {
                snprintf(settings->interface, sizeof(settings->interface), "%s", interface);
            }
            is_described = true;
        }
    }
    return is_described;
}

static void fl_ciul_source_copy(char *to, size_t size, const char *variable)
{
    const char *value = getenv(variable);
    if (NULL != value && size <= strlen(value))
    {
        fl_ciul_misuse("%s has more than %zu characters", variable, size - 1);
    }
    snprintf(to, size, "%s", NULL == value ? "" : value);
}

void fl_ciul_source_get(fl_ciul_source_t *source)
{
    fl_ciul_source_copy(source->description, sizeof(source->description), "FRAMELANE_CIUL");
    fl_ciul_source_copy(source->control, sizeof(source->control), "FRAMELANE_CIUL_CONTROL");
}

static bool fl_ciul_settings_read(
    fl_ciul_settings_t *settings, const fl_ciul_source_t *source, const char *name, int ifindex)
{
    char text[FL_CIUL_TEXT];
    memset(settings, 0, sizeof(*settings));
    snprintf(settings->interface, sizeof(settings->interface), "%s", NULL == name ? "" : name);
    snprintf(settings->wire, sizeof(settings->wire), "packet");
    settings->has_rx_timestamps = true;
    settings->has_tx_timestamps = true;
    settings->has_huge_pages = true;
    settings->tx_error = -1;
    settings->discard_every = 1;
    fl_ciul_settings_model(settings, "x2522");

    memcpy(text, source->description, sizeof(text));
    bool is_described = fl_ciul_settings_apply(settings, text, ifindex);
    int fd = '\0' == source->control[0] ? -1 : open(source->control, O_RDONLY | O_CLOEXEC);
    if (0 <= fd)
    {
        ssize_t length = read(fd, text, sizeof(text) - 1);
        text[length < 0 ? 0 : length] = '\0';
        close(fd);
        is_described |= fl_ciul_settings_apply(settings, text, ifindex);
    }
    return is_described;
}

int fl_ciul_settings_of_index(fl_ciul_settings_t *settings, const fl_ciul_source_t *source, int ifindex)
{
    char name[IF_NAMESIZE];
    return fl_ciul_settings_read(settings, source, if_indextoname((unsigned)ifindex, name), ifindex) ? 0 : -ENODEV;
}

int fl_ciul_settings_of_name(fl_ciul_settings_t *settings, const fl_ciul_source_t *source, const char *name)
{
    if (!fl_ciul_settings_read(settings, source, name, 0))
    {
        return -ENODEV;
    }
    if (0 == settings->index)
    {
        settings->index = (int)if_nametoindex(name);
    }
    return 0 == settings->index ? -ENODEV : 0;
}

int fl_ciul_settings_open_error(void)
{
    fl_ciul_source_t source;
    fl_ciul_settings_t settings;
    fl_ciul_source_get(&source);
    if ('\0' == source.description[0])
    {
        return ENOENT;
    }
    fl_ciul_settings_read(&settings, &source, NULL, 0);
    return settings.open_error;
}

bool fl_ciul_settings_are_old(const fl_ciul_source_t *source, uint64_t now_ns, uint64_t *looked_ns, uint64_t *version)
{
    struct stat status;
    if ('\0' == source->control[0] || now_ns - *looked_ns < 2000000)
    {
        return false;
    }
    *looked_ns = now_ns;
    uint64_t found = 0;
    if (0 == stat(source->control, &status))
    {
        found = (uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec + status.st_ino;
    }
    bool is_old = found != *version;
    *version = found;
    return is_old;
}
