/* What the plugin offers to Python, in the subset of C that cffi parses. */
#ifndef FL_API_VMA_H
#define FL_API_VMA_H

#include <framelane/transport.h>

/* The settings of `[transport.vma]` that the native half needs. */
typedef struct fl_vma_settings
{
    uint32_t receive_budget;    /* datagrams that a poll takes at most; 1 to 256 */
    uint32_t zero_copy;         /* 1: take datagrams in VMA's own memory where it offers that */
    uint32_t require_offload;   /* 1: refuse an endpoint that VMA leaves to the kernel */
} fl_vma_settings_t;

/* The library that this process has loaded. */
typedef struct fl_vma_library_info
{
    char path[256];             /* as the dynamic linker found it, terminated */
    uint64_t api_mask;          /* of the extra API: which of its calls are there; 0 without it */
    uint32_t has_api;           /* 1: the extra API is there */
    uint32_t has_zero_copy;     /* 1: recvfrom_zcopy and free_packets are there */
    uint32_t has_verdict;       /* 1: it can be asked whether it offloads a socket */
    uint32_t is_stand_in;       /* 1: it is the stand-in of framelane's tests */
} fl_vma_library_info_t;

/* Load the library, once in a process: it stays until the process ends. It reads its environment when the first of its
 * calls is used, so that is set before.
 *
 * path          file, or name for the dynamic linker to look for
 * info          set on success
 * text, length  on failure: why, terminated
 * returns       0; -FL_ENOENT: not found; -FL_EINVAL: not VMA; -FL_EBUSY: another one is loaded
 * thread        any, one at a time
 */
int fl_vma_library_load(const char *path, fl_vma_library_info_t *info, char *text, size_t length);

/* Make a UDP socket with the loaded library, and close it. VMA starts with its first socket, so this shows whether it
 * can; it may take a second. Returns 0 or a negative errno. Any thread, one at a time. */
int fl_vma_library_try(void);

/* Open the transport over the loaded library.
 *
 * host          checked for magic and version; outlives the transport
 * text, length  on failure: why, terminated
 * transport     set on success; closed by the ops table's `close`
 * thread        control
 */
int fl_vma_open(
    const fl_host_t *host,
    const fl_vma_settings_t *settings,
    char *text,
    size_t length,
    fl_transport_t **transport);

const fl_transport_ops_t *fl_vma_ops(void);

#endif
