#include "holders.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fl_process_holds(const char *pid)
{
    char directory[64];
    snprintf(directory, sizeof(directory), "/proc/%.20s/fd", pid);
    DIR *entries = opendir(directory);
    if (NULL == entries)
    {
        return false;
    }
    bool holds = false;
    for (const struct dirent *entry; !holds && NULL != (entry = readdir(entries));)
    {
        char target[64];
        const ssize_t length = readlinkat(dirfd(entries), entry->d_name, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        holds = 0 == strcmp(target, "/dev/sfc_char") || 0 == strncmp(target, "/dev/onload", strlen("/dev/onload"));
    }
    closedir(entries);
    return holds;
}

static void fl_process_name(const char *pid, char *name, size_t length)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    FILE *file = fopen(path, "re");
    if (NULL == file || NULL == fgets(name, (int)length, file))
    {
        snprintf(name, length, "a process");
    }
    if (NULL != file)
    {
        fclose(file);
    }
    name[strcspn(name, "\n")] = '\0';
}

const char *fl_efvi_holders_find(fl_efvi_holders_t *holders)
{
    DIR *processes = opendir("/proc");
    size_t used = 0;
    holders->text[0] = '\0';
    for (const struct dirent *entry; NULL != processes && NULL != (entry = readdir(processes));)
    {
        if (!isdigit((unsigned char)entry->d_name[0]) || (pid_t)atol(entry->d_name) == getpid() ||
            !fl_process_holds(entry->d_name))
        {
            continue;
        }
        char name[32];
        fl_process_name(entry->d_name, name, sizeof(name));
        used += (size_t)snprintf(
            holders->text + used, sizeof(holders->text) - used, "%s%s (pid %.20s)", 0 == used ? "" : ", ", name,
            entry->d_name);
        if (used >= sizeof(holders->text))
        {
            break;
        }
    }
    if (NULL != processes)
    {
        closedir(processes);
    }
    return '\0' != holders->text[0] ? holders->text : "none that this user may see (look as root: fuser /dev/sfc_char)";
}
