#include "transport/ops_table.h"

#include <inttypes.h>
#include <string.h>

#include <framelane/types.h>

#include "util/error.h"

/* The first three words are the same in every table, so they can be looked at before the kind is known. */
typedef struct fl_ops_head
{
    uint32_t magic;
    uint32_t size;
    uint32_t abi_version;
} fl_ops_head_t;

static int fl_ops_head_check(const fl_ops_kind_t *kind, const fl_ops_head_t *head, const char *name)
{
    if (kind->other_magic == head->magic)
    {
        return fl_error(FL_ENOTSUP, "%s '%s' is %s", kind->name, name, kind->other_name);
    }
    if (kind->magic != head->magic)
    {
        return fl_error(
            FL_EINVAL, "%s '%s': not an ops table: magic is 0x%08" PRIx32 ", expected 0x%08" PRIx32, kind->name, name,
            head->magic, kind->magic);
    }
    if (FL_ABI_VERSION != head->abi_version)
    {
        return fl_error(
            FL_EINVAL,
            "%s '%s': ABI version is %" PRIu32 ", this driver's is %d; install a release of the plugin that was built "
            "for ABI version %d",
            kind->name, name, head->abi_version, FL_ABI_VERSION, FL_ABI_VERSION);
    }
    if (head->size < kind->head_length)
    {
        return fl_error(
            FL_EINVAL, "%s '%s': ops table is %" PRIu32 " bytes, at least %zu expected", kind->name, name, head->size,
            kind->head_length);
    }
    return 0;
}

int fl_ops_table_copy(const fl_ops_kind_t *kind, void *complete, const void *ops, const void *object, const char *name)
{
    if (NULL == ops || NULL == object)
    {
        return fl_error(
            FL_EINVAL, "%s '%s': open returned no %s", kind->name, name, NULL == ops ? "ops table" : "object");
    }
    fl_ops_head_t head;
    memcpy(&head, ops, sizeof(head));
    const int code = fl_ops_head_check(kind, &head, name);
    if (code < 0)
    {
        return code;
    }
    memset(complete, 0, kind->size);
    memcpy(complete, ops, head.size < kind->size ? head.size : kind->size);
    head.size = (uint32_t)kind->size;
    memcpy(complete, &head, sizeof(head));
    for (uint32_t i = 0; i < kind->required_count; i++)
    {
        static const uint8_t absent[sizeof(void (*)(void))];
        if (0 == memcmp((const uint8_t *)complete + kind->required[i].offset, absent, sizeof(absent)))
        {
            return fl_error(
                FL_EINVAL, "%s '%s': required entry %s is absent from its ops table", kind->name, name,
                kind->required[i].name);
        }
    }
    return 0;
}
