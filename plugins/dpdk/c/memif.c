#include "memif.h"

#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FL_MEMIF_LIBRARY "librte_net_memif.so"
#define FL_BURST_LOOK_US 10

static pthread_mutex_t fl_memif_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Wait until the burst that a queue is in, if it is in one, is over. */
static void fl_memif_wait_for_queue(fl_queue_t *queue)
{
    /* Acquire, here and below: pairs with the release in fl_memif_burst_end. */
    const uint32_t bursts = atomic_load_explicit(&queue->bursts, memory_order_acquire);
    while (0 != (bursts & 1) && bursts == atomic_load_explicit(&queue->bursts, memory_order_acquire))
    {
        usleep(FL_BURST_LOOK_US);
    }
}

static void fl_memif_wait_for_port(fl_port_t *port)
{
    for (uint32_t i = 0; i < FL_MAX_QUEUES; i++)
    {
        fl_memif_wait_for_queue(&port->queues[i]);
    }
}

/* Which of the devices is being disconnected is not known here; all wait, which takes no longer than one burst each. */
static void fl_memif_wait(void)
{
    /* Pairs with the fence in fl_memif_burst_begin. */
    atomic_thread_fence(memory_order_seq_cst);
    fl_ports_visit(fl_memif_wait_for_port);
}

static int fl_memif_close(int descriptor)
{
    fl_memif_wait();
    return close(descriptor);
}

static int fl_memif_munmap(void *memory, size_t length)
{
    fl_memif_wait();
    return munmap(memory, length);
}

/* What a library says of its imports, in its dynamic section. */
typedef struct fl_imports
{
    const ElfW(Sym) *symbols;
    const char *names;
    const ElfW(Rela) *tables[2];   /* of calls; of the rest */
    size_t sizes[2];               /* bytes */
    uintptr_t fixed_first;         /* what the loader makes read-only when it is done */
    uintptr_t fixed_end;
}
fl_imports_t;

static fl_imports_t fl_imports_read(const struct dl_phdr_info *library)
{
    fl_imports_t imports = {0};
    const ElfW(Dyn) *entry = NULL;
    for (uint32_t i = 0; i < library->dlpi_phnum; i++)
    {
        const ElfW(Phdr) *header = &library->dlpi_phdr[i];
        if (PT_DYNAMIC == header->p_type)
        {
            entry = (const ElfW(Dyn) *)(library->dlpi_addr + header->p_vaddr);
        }
        else if (PT_GNU_RELRO == header->p_type)
        {
            imports.fixed_first = library->dlpi_addr + header->p_vaddr;
            imports.fixed_end = imports.fixed_first + header->p_memsz;
        }
    }
    for (; NULL != entry && DT_NULL != entry->d_tag; entry++)
    {
        const void *place = (const void *)entry->d_un.d_ptr;
        switch (entry->d_tag)
        {
            case DT_SYMTAB:
                imports.symbols = place;
                break;

            case DT_STRTAB:
                imports.names = place;
                break;

            case DT_JMPREL:
                imports.tables[0] = place;
                break;

            case DT_PLTRELSZ:
                imports.sizes[0] = entry->d_un.d_val;
                break;

            case DT_RELA:
                imports.tables[1] = place;
                break;

            case DT_RELASZ:
                imports.sizes[1] = entry->d_un.d_val;
                break;

            default:
                break;
        }
    }
    return imports;
}

/* Write one place of a library's table of imports. Returns whether that could be done. */
static bool fl_import_set(const fl_imports_t *imports, void **place, void *function)
{
    const uintptr_t page_length = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t page = (uintptr_t)place & ~(page_length - 1);
    const bool is_fixed = (uintptr_t)place >= imports->fixed_first && (uintptr_t)place < imports->fixed_end;
    if (is_fixed && 0 != mprotect((void *)page, page_length, PROT_READ | PROT_WRITE))
    {
        return false;
    }
    /* Relaxed: the interrupt thread may read it at any time, and both values are good. */
    __atomic_store_n(place, function, __ATOMIC_RELAXED);
    return !is_fixed || 0 == mprotect((void *)page, page_length, PROT_READ);
}

static int fl_memif_guard_library(struct dl_phdr_info *library, size_t size, void *replaced)
{
    (void)size;
    if (NULL == strstr(library->dlpi_name, FL_MEMIF_LIBRARY))
    {
        return 0;
    }
    static const struct
    {
        const char *name;
        void *function;
    }
    replacements[] = {{"close", fl_memif_close}, {"munmap", fl_memif_munmap}};
    const fl_imports_t imports = fl_imports_read(library);
    for (uint32_t table = 0; table < 2; table++)
    {
        for (size_t i = 0; i < imports.sizes[table] / sizeof(ElfW(Rela)); i++)
        {
            const ElfW(Rela) *import = &imports.tables[table][i];
            const char *name = imports.names + imports.symbols[ELF64_R_SYM(import->r_info)].st_name;
            for (uint32_t one = 0; one < sizeof(replacements) / sizeof(*replacements); one++)
            {
                void **place = (void **)(library->dlpi_addr + import->r_offset);
                if (0 == strcmp(name, replacements[one].name) &&
                    fl_import_set(&imports, place, replacements[one].function))
                {
                    *(uint32_t *)replaced |= 1u << one;
                }
            }
        }
    }
    return 1;
}

int fl_memif_guard(char *text, size_t length)
{
    static uint32_t replaced;
    pthread_mutex_lock(&fl_memif_mutex);
    if (0 == replaced)
    {
        dl_iterate_phdr(fl_memif_guard_library, &replaced);
    }
    const bool is_guarded = 3 == replaced;
    pthread_mutex_unlock(&fl_memif_mutex);
    if (!is_guarded)
    {
        snprintf(
            text, length, "the imports of %s (close, munmap) were not found: if its peer leaves during a burst, the "
            "process may crash", FL_MEMIF_LIBRARY);
    }
    return is_guarded ? 0 : -FL_ENOTSUP;
}
