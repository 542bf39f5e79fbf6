/* A shared file in memory. Files are made and mapped on the control plane or its helper thread only. */
#ifndef FL_SHM_MAPPED_FILE_H
#define FL_SHM_MAPPED_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct fl_mapped_file
{
    uint8_t *address;   /* NULL: not mapped */
    int64_t length;     /* of the file when it was mapped */
    pid_t pid;          /* who mapped it; in a forked child the handle is inert */
    bool is_writable;
} fl_mapped_file_t;

/* Create a file that must not exist, mode 0666 less the umask, reading as zero, and map it shared (shm 1.3).
 *
 * length   bytes, above 0
 * sparse   false: storage is allocated now (fallocate) and the mapping is pre-faulted, so that later stores cannot
 *          fail; true: sized with ftruncate only, and the caller has asked fl_storage_check before, since a full file
 *          system raises SIGBUS in whoever first touches a page
 * returns  0; -FL_ENOSPC if the file system is too small, -FL_EEXIST, -FL_ENOENT, -FL_EACCES or -FL_EIO with error text;
 *          on failure no file is left behind
 */
int fl_mapped_file_create(fl_mapped_file_t *file, const char *path, int64_t length, bool sparse);

/* Map an existing file whole and shared.
 *
 * returns  0; -FL_ENOENT if there is none; -FL_EINVAL if it is empty; -FL_EACCES, -FL_ENOMEM or -FL_EIO with error text
 */
int fl_mapped_file_open(fl_mapped_file_t *file, const char *path, bool writable);

/* Unmap. Nothing in a forked child, and nothing if not mapped. The file stays. */
void fl_mapped_file_close(fl_mapped_file_t *file);

/* Check the file system of a directory for a new file (shm 9.12).
 *
 * warning_threshold   bytes; usable space at or below it is worth a warning
 * usable              bytes usable without privilege; may be NULL
 * returns             0: enough; 1: enough, but at or below the threshold; -FL_ENOSPC with the text of shm 9.12;
 *                     -FL_ENOENT or -FL_EIO if the directory cannot be looked at
 */
int fl_storage_check(const char *directory, int64_t length, int64_t warning_threshold, int64_t *usable);

#endif
