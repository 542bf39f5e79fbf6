#include "program.h"

#include <errno.h>
#include <linux/if_link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include "bpf/program.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bpf/program.h is for little-endian machines"
#endif

#define FL_FILTERS_CAPACITY 4096
#define FL_PROGRAM_NAME "fl_xdp_filter"
#define FL_OWNER_NAME "fl_xdp_owner"
#define FL_OWNER_MAGIC 0x72656e776f6c66ULL   /* "flowner" */
#define FL_PROGRAM_LENGTH (sizeof(fl_xdp_program) / sizeof(fl_xdp_program[0]))

#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

/* Who attached the program: a process, told from a later one of the same number by when it started. */
typedef struct fl_xdp_owner
{
    uint64_t magic;
    uint64_t pid_namespace;    /* inode of the namespace that pid is of */
    uint64_t start_time;       /* /proc/PID/stat, clock ticks since boot */
    uint32_t pid;
    uint32_t reserved;
} fl_xdp_owner_t;

static_assert(sizeof(fl_xdp_key_t) == 40, "fl_xdp_key_t");

static int fl_quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
    (void)level;
    (void)format;
    (void)arguments;
    return 0;
}

static int fl_quiet_libxdp(enum libxdp_print_level level, const char *format, va_list arguments)
{
    (void)level;
    (void)format;
    (void)arguments;
    return 0;
}

/* The libraries would write what we report ourselves to the standard error stream. */
static void fl_libraries_silence(void)
{
    libbpf_set_print(fl_quiet);
    libxdp_set_print(fl_quiet_libxdp);
}

static uint64_t fl_process_start_time(uint32_t pid)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    FILE *file = fopen(path, "re");
    if (NULL == file)
    {
        return 0;
    }
    const size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    /* The name in field 2 may hold anything; field 3 follows its last parenthesis, and the time is field 22. */
    const char *at = strrchr(text, ')');
    for (int field = 2; NULL != at && field < 22; field++)
    {
        at = strchr(at + 1, ' ');
    }
    return NULL == at ? 0 : strtoull(at + 1, NULL, 10);
}

static uint64_t fl_pid_namespace(void)
{
    struct stat status;
    return 0 == stat("/proc/self/ns/pid", &status) ? (uint64_t)status.st_ino : 0;
}

static void fl_owner_init(fl_xdp_owner_t *owner)
{
    memset(owner, 0, sizeof(*owner));
    owner->magic = FL_OWNER_MAGIC;
    owner->pid = (uint32_t)getpid();
    owner->start_time = fl_process_start_time(owner->pid);
    owner->pid_namespace = fl_pid_namespace();
}

/* Certain only within one namespace: elsewhere the number means another process, so the owner counts as alive. */
static bool fl_owner_is_gone(const fl_xdp_owner_t *owner)
{
    return FL_OWNER_MAGIC == owner->magic && 0 != owner->pid_namespace && 0 != owner->start_time &&
        fl_pid_namespace() == owner->pid_namespace && fl_process_start_time(owner->pid) != owner->start_time;
}

static int fl_program_load_instructions(const int *maps, uint32_t flags)
{
    struct bpf_insn instructions[FL_PROGRAM_LENGTH];
    memcpy(instructions, fl_xdp_program, sizeof(instructions));
    for (size_t i = 0; i < FL_PROGRAM_LENGTH; i++)
    {
        if ((BPF_LD | BPF_IMM | BPF_DW) == instructions[i].code && BPF_PSEUDO_MAP_FD == instructions[i].src_reg)
        {
            instructions[i].imm = maps[instructions[i].imm];
        }
    }
    LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = flags, .expected_attach_type = BPF_XDP);
    return bpf_prog_load(BPF_PROG_TYPE_XDP, FL_PROGRAM_NAME, "GPL", instructions, FL_PROGRAM_LENGTH, &options);
}

void fl_xdp_program_init(fl_xdp_program_t *program)
{
    memset(program, 0, sizeof(*program));
    for (int i = 0; i < FL_XDP_MAPS; i++)
    {
        program->maps[i] = -1;
    }
    program->owner = -1;
    program->program = -1;
    program->link = -1;
}

static int fl_program_make_maps(fl_xdp_program_t *program, uint32_t device_queues)
{
    program->maps[FL_XDP_MAP_FILTERS] = bpf_map_create(
        BPF_MAP_TYPE_HASH, "fl_xdp_filters", sizeof(fl_xdp_key_t), sizeof(fl_xdp_filter_t), FL_FILTERS_CAPACITY, NULL);
    program->maps[FL_XDP_MAP_SOCKETS] =
        bpf_map_create(BPF_MAP_TYPE_XSKMAP, "fl_xdp_sockets", sizeof(uint32_t), sizeof(uint32_t), device_queues, NULL);
    program->maps[FL_XDP_MAP_COUNTS] = bpf_map_create(
        BPF_MAP_TYPE_PERCPU_ARRAY, "fl_xdp_counts", sizeof(uint32_t), sizeof(uint64_t), FL_XDP_COUNTS, NULL);
    program->owner =
        bpf_map_create(BPF_MAP_TYPE_ARRAY, FL_OWNER_NAME, sizeof(uint32_t), sizeof(fl_xdp_owner_t), 1, NULL);
    for (int i = 0; i < FL_XDP_MAPS; i++)
    {
        if (program->maps[i] < 0)
        {
            return program->maps[i];
        }
    }
    return program->owner < 0 ? program->owner : 0;
}

int fl_xdp_program_load(fl_xdp_program_t *program, uint32_t device_queues, fl_failure_t *error)
{
    fl_libraries_silence();
    int code = fl_program_make_maps(program, device_queues);
    if (0 != code)
    {
        return fl_fail(
            error, -code, "create the maps of the XDP program: %s%s", strerror(-code),
            -EPERM == code ? "; CAP_BPF and CAP_NET_ADMIN are needed" : "");
    }

    program->program = fl_program_load_instructions(program->maps, BPF_F_XDP_HAS_FRAGS);
    program->is_multi_buffer = program->program >= 0;
    if (program->program < 0)
    {
        /* Before Linux 5.18 the flag is unknown. */
        program->program = fl_program_load_instructions(program->maps, 0);
    }
    if (program->program < 0)
    {
        code = fl_fail(
            error, -program->program, "load the XDP program: %s; CAP_BPF and CAP_NET_ADMIN are needed",
            strerror(-program->program));
        goto failed;
    }

    const uint32_t zero = 0;
    fl_xdp_owner_t owner;
    fl_owner_init(&owner);
    code = bpf_map_update_elem(program->owner, &zero, &owner, BPF_ANY);
    if (0 == code)
    {
        code = bpf_prog_bind_map(program->program, program->owner, NULL);
    }
    if (0 != code)
    {
        code = fl_fail(error, -code, "record the owner of the XDP program: %s", strerror(-code));
        goto failed;
    }

    program->counts_cpus = libbpf_num_possible_cpus();
    program->counts_space = program->counts_cpus > 0
        ? calloc((size_t)program->counts_cpus, sizeof(uint64_t)) : NULL;
    if (NULL == program->counts_space)
    {
        code = fl_fail(error, ENOMEM, "no memory for the counts of the XDP program");
        goto failed;
    }
    return 0;

failed:
    fl_xdp_program_close(program);
    return code;
}

/* The record of the program's owner; all zero if the program is not ours or may not be looked at. */
static void fl_program_find_owner(uint32_t program_id, fl_xdp_owner_t *owner)
{
    memset(owner, 0, sizeof(*owner));
    const int program = bpf_prog_get_fd_by_id(program_id);
    if (program < 0)
    {
        return;
    }
    uint32_t maps[FL_XDP_MAPS + 1];
    struct bpf_prog_info info;
    memset(&info, 0, sizeof(info));
    info.nr_map_ids = FL_XDP_MAPS + 1;
    info.map_ids = (uintptr_t)maps;
    uint32_t length = sizeof(info);
    if (0 == bpf_obj_get_info_by_fd(program, &info, &length) && 0 == strcmp(FL_PROGRAM_NAME, info.name))
    {
        for (uint32_t i = 0; i < info.nr_map_ids && i < FL_XDP_MAPS + 1; i++)
        {
            struct bpf_map_info map_info;
            memset(&map_info, 0, sizeof(map_info));
            uint32_t map_length = sizeof(map_info);
            const uint32_t zero = 0;
            const int map = bpf_map_get_fd_by_id(maps[i]);
            if (map >= 0 && 0 == bpf_obj_get_info_by_fd(map, &map_info, &map_length) &&
                0 == strcmp(FL_OWNER_NAME, map_info.name) && sizeof(*owner) == map_info.value_size)
            {
                bpf_map_lookup_elem(map, &zero, owner);
            }
            if (map >= 0)
            {
                close(map);
            }
        }
    }
    close(program);
}

/* Detach the link by which the program is on the interface. */
static bool fl_program_detach_leftover(uint32_t program_id, uint32_t index)
{
    bool is_detached = false;
    uint32_t id = 0;
    while (!is_detached && 0 == bpf_link_get_next_id(id, &id))
    {
        const int link = bpf_link_get_fd_by_id(id);
        struct bpf_link_info info;
        memset(&info, 0, sizeof(info));
        uint32_t length = sizeof(info);
        if (link >= 0 && 0 == bpf_obj_get_info_by_fd(link, &info, &length) && BPF_LINK_TYPE_XDP == info.type &&
            program_id == info.prog_id && index == info.xdp.ifindex)
        {
            is_detached = 0 == bpf_link_detach(link);
        }
        if (link >= 0)
        {
            close(link);
        }
    }
    return is_detached;
}

static int fl_program_occupied(const char *interface, const fl_xdp_device_t *device, fl_failure_t *error)
{
    if (0 == device->program_id)
    {
        return fl_fail(
            error, EBUSY, "%s has an XDP program that was attached at this moment; try again", interface);
    }
    fl_xdp_owner_t owner;
    fl_program_find_owner(device->program_id, &owner);
    if (FL_OWNER_MAGIC == owner.magic)
    {
        return fl_fail(
            error, EBUSY, "%s has the XDP program of another framelane driver (program %u, '%s', process %u); stop "
            "that one, or use another interface", interface, device->program_id, device->program_name, owner.pid);
    }
    const bool has_name = '\0' != device->program_name[0];
    return fl_fail(
        error, EBUSY, "%s has an XDP program that is not framelane's (program %u, '%s'), which stays; detach it by "
        "what attached it (bpftool net show; ip link set dev %s xdp off), or use another interface", interface,
        device->program_id, has_name ? device->program_name : "no name, or none without CAP_SYS_ADMIN", interface);
}

int fl_xdp_program_attach(
    fl_xdp_program_t *program,
    const fl_xdp_device_t *device,
    const char *interface,
    uint32_t mode,
    char *note,
    size_t note_length,
    fl_failure_t *error)
{
    if (0 != device->program_id)
    {
        fl_xdp_owner_t owner;
        fl_program_find_owner(device->program_id, &owner);
        if (!fl_owner_is_gone(&owner) || !fl_program_detach_leftover(device->program_id, device->index))
        {
            return fl_program_occupied(interface, device, error);
        }
        snprintf(note, note_length, "took off the XDP program that process %u left behind. ", owner.pid);
    }

    int native_error = 0;
    if (FL_XDP_GENERIC != mode)
    {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
        program->link = bpf_link_create(program->program, (int)device->index, BPF_XDP, &options);
        program->is_native = program->link >= 0;
        native_error = program->link >= 0 ? 0 : -program->link;
    }
    if (program->link < 0 && FL_XDP_NATIVE != mode && EPERM != native_error && EBUSY != native_error)
    {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_SKB_MODE);
        program->link = bpf_link_create(program->program, (int)device->index, BPF_XDP, &options);
        if (program->link >= 0 && 0 != native_error)
        {
            const size_t used = strlen(note);
            snprintf(
                note + used, note_length - used, "generic mode, because driver %s refused native mode: %s. ",
                device->driver, strerror(native_error));
        }
    }
    if (program->link >= 0)
    {
        return 0;
    }
    const int code = -program->link;
    if (EBUSY == code || EEXIST == code)
    {
        fl_xdp_device_t now = *device;
        fl_xdp_device_look(interface, &now);
        return fl_program_occupied(interface, &now, error);
    }
    const char *next = EPERM == code ? "; CAP_NET_ADMIN is needed"
        : ERANGE == code || EOPNOTSUPP == code ? "; the driver cannot with this MTU or at all: mode = \"generic\" can"
        : "";
    return fl_fail(
        error, code, "attach the XDP program to %s in %s mode: %s%s", interface,
        FL_XDP_NATIVE == mode ? "native" : "generic", strerror(code), next);
}

bool fl_xdp_program_is_attached(const fl_xdp_program_t *program)
{
    struct bpf_link_info info;
    memset(&info, 0, sizeof(info));
    uint32_t length = sizeof(info);
    return 0 == bpf_obj_get_info_by_fd(program->link, &info, &length) && 0 != info.xdp.ifindex;
}

static void fl_close(int *fd)
{
    if (*fd >= 0)
    {
        close(*fd);
    }
    *fd = -1;
}

void fl_xdp_program_close(fl_xdp_program_t *program)
{
    if (program->link >= 0)
    {
        /* Closing is not enough where a forked child has the descriptor too. */
        bpf_link_detach(program->link);
    }
    fl_close(&program->link);
    fl_close(&program->program);
    fl_close(&program->owner);
    for (int i = 0; i < FL_XDP_MAPS; i++)
    {
        fl_close(&program->maps[i]);
    }
    free(program->counts_space);
    program->counts_space = NULL;
}

int64_t fl_xdp_program_count(fl_xdp_program_t *program, uint32_t number)
{
    uint64_t sum = 0;
    if (0 == bpf_map_lookup_elem(program->maps[FL_XDP_MAP_COUNTS], &number, program->counts_space))
    {
        for (int i = 0; i < program->counts_cpus; i++)
        {
            sum += program->counts_space[i];
        }
    }
    return (int64_t)sum;
}

const char *fl_xdp_library_version(void)
{
    return libbpf_version_string();
}

void fl_xdp_permissions(fl_xdp_permissions_t *permissions)
{
    fl_libraries_silence();
    memset(permissions, 0, sizeof(*permissions));
    const int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    permissions->socket = fd >= 0 ? 0 : errno;
    if (fd >= 0)
    {
        close(fd);
    }

    fl_xdp_program_t program;
    fl_xdp_program_init(&program);
    const int code = fl_program_make_maps(&program, 1);
    permissions->map = -code;
    permissions->program = -code;
    if (0 == code)
    {
        program.program = fl_program_load_instructions(program.maps, BPF_F_XDP_HAS_FRAGS);
        permissions->multi_buffer = program.program >= 0;
        if (program.program < 0)
        {
            program.program = fl_program_load_instructions(program.maps, 0);
        }
        permissions->program = program.program >= 0 ? 0 : -program.program;
    }
    fl_xdp_program_close(&program);
}
