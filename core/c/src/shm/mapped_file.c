#include <errno.h>
#include <fcntl.h>
#include <framelane/types.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api/shm.h"
#include "util/error.h"

/* The error that a caller can act on; what else the system says is in the text. */
static int fl_mapped_file_code(int system_error)
{
    switch (system_error)
    {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
            return FL_ENOSPC;
        case EEXIST:
            return FL_EEXIST;
        case ENOENT:
        case ENOTDIR:
            return FL_ENOENT;
        case EACCES:
        case EPERM:
        case EROFS:
            return FL_EACCES;
        case ENOMEM:
            return FL_ENOMEM;
        default:
            return FL_EIO;
    }
}

static const char *fl_mapped_file_next_step(int code)
{
    switch (code)
    {
        case FL_ENOSPC:
            return "free space there, mount a larger file system, or choose smaller buffers";
        case FL_EEXIST:
            return "remove it if no process uses it";
        case FL_ENOENT:
            return "check that the directory exists";
        case FL_EACCES:
            return "check owner and mode of the file and of its directory";
        case FL_ENOMEM:
            return "raise the limit of address space or lock fewer pages";
        default:
            return "see the system's log";
    }
}

static int fl_mapped_file_error(const char *action, const char *path, int64_t length, int system_error)
{
    const int code = fl_mapped_file_code(system_error);
    return fl_error(
        code,
        "cannot %s %s (%lld bytes): %s (errno %d); %s",
        action,
        path,
        (long long)length,
        strerror(system_error),
        system_error,
        fl_mapped_file_next_step(code));
}

/* Give the file its length. Returns 0 or an errno. */
static int fl_mapped_file_size(int descriptor, int64_t length, bool sparse)
{
    int result;
    if (sparse)
    {
        do
        {
            result = ftruncate(descriptor, length) < 0 ? errno : 0;
        } while (EINTR == result);
        return result;
    }
    do
    {
        /* posix_fallocate would write every block where the file system cannot allocate, which is still right. */
        result = posix_fallocate(descriptor, 0, length);
    } while (EINTR == result);
    return result;
}

int fl_mapped_file_create(fl_mapped_file_t *file, const char *path, int64_t length, bool sparse)
{
    memset(file, 0, sizeof(*file));
    if (length <= 0)
    {
        return fl_error(FL_EINVAL, "cannot create %s with %lld bytes", path, (long long)length);
    }
    const int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0)
    {
        return fl_mapped_file_error("create", path, length, errno);
    }
    int result = 0;
    const int system_error = fl_mapped_file_size(descriptor, length, sparse);
    if (0 != system_error)
    {
        result = fl_mapped_file_error("allocate", path, length, system_error);
        goto fail;
    }
    void *address = mmap(
        NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED | (sparse ? 0 : MAP_POPULATE), descriptor, 0);
    if (MAP_FAILED == address)
    {
        result = fl_mapped_file_error("map", path, length, errno);
        goto fail;
    }
    close(descriptor);
    *file = (fl_mapped_file_t){.address = address, .length = length, .pid = getpid(), .is_writable = true};
    return 0;

fail:
    unlink(path);
    close(descriptor);
    return result;
}

int fl_mapped_file_open(fl_mapped_file_t *file, const char *path, bool writable)
{
    memset(file, 0, sizeof(*file));
    const int descriptor = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (descriptor < 0)
    {
        return fl_mapped_file_error("open", path, 0, errno);
    }
    int result = 0;
    struct stat status;
    if (fstat(descriptor, &status) < 0)
    {
        result = fl_mapped_file_error("look at", path, 0, errno);
        goto done;
    }
    if (!S_ISREG(status.st_mode) || 0 == status.st_size)
    {
        result = fl_error(FL_EINVAL, "cannot map %s: it is %s", path, S_ISREG(status.st_mode) ? "empty" : "not a file");
        goto done;
    }
    void *address =
        mmap(NULL, (size_t)status.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, descriptor, 0);
    if (MAP_FAILED == address)
    {
        result = fl_mapped_file_error("map", path, status.st_size, errno);
        goto done;
    }
    *file = (fl_mapped_file_t){
        .address = address, .length = status.st_size, .pid = getpid(), .is_writable = writable};

done:
    close(descriptor);
    return result;
}

void fl_mapped_file_close(fl_mapped_file_t *file)
{
    if (NULL != file->address && getpid() == file->pid)
    {
        munmap(file->address, (size_t)file->length);
        file->address = NULL;
    }
}

int fl_storage_check(const char *directory, int64_t length, int64_t warning_threshold, int64_t *usable)
{
    struct statvfs status;
    if (statvfs(directory, &status) < 0)
    {
        return fl_mapped_file_error("look at the file system of", directory, length, errno);
    }
    const int64_t available = (int64_t)status.f_bavail * (int64_t)status.f_frsize;
    if (NULL != usable)
    {
        *usable = available;
    }
    if (available < length)
    {
        return fl_error(
            FL_ENOSPC,
            "insufficient usable storage for new log of length=%lld usable=%lld in %s",
            (long long)length,
            (long long)available,
            directory);
    }
    return available <= warning_threshold ? 1 : 0;
}
