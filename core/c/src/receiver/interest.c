#include "receiver/interest.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "framelane/types.h"
#include "util/error.h"

static int fl_interest_compare(
    const fl_interest_entry_t *entry, int32_t stream_id, uint32_t has_session_id, int32_t session_id)
{
    if (entry->stream_id != stream_id)
    {
        return entry->stream_id < stream_id ? -1 : 1;
    }
    if (entry->has_session_id != has_session_id)
    {
        return entry->has_session_id < has_session_id ? -1 : 1;
    }
    return entry->session_id == session_id ? 0 : (entry->session_id < session_id ? -1 : 1);
}

/* Index of the first entry that is not before the one asked for. */
static uint32_t fl_interest_lower_bound(
    const fl_interest_t *interest, int32_t stream_id, uint32_t has_session_id, int32_t session_id)
{
    uint32_t low = 0;
    uint32_t high = NULL == interest ? 0 : interest->count;
    while (low < high)
    {
        const uint32_t middle = low + (high - low) / 2;
        if (fl_interest_compare(&interest->entries[middle], stream_id, has_session_id, session_id) < 0)
        {
            low = middle + 1;
        }
        else
        {
            high = middle;
        }
    }
    return low;
}

static bool fl_interest_is_at(
    const fl_interest_t *interest, uint32_t index, int32_t stream_id, uint32_t has_session_id, int32_t session_id)
{
    return NULL != interest && index < interest->count &&
        0 == fl_interest_compare(&interest->entries[index], stream_id, has_session_id, session_id);
}

static fl_interest_t *fl_interest_allocate(uint32_t count)
{
    fl_interest_t *interest = malloc(sizeof(*interest) + count * sizeof(interest->entries[0]));
    if (NULL == interest)
    {
        fl_error(FL_ENOMEM, "no memory for an interest in %u streams", count);
        return NULL;
    }
    interest->count = count;
    return interest;
}

fl_interest_t *fl_interest_with(
    const fl_interest_t *interest, int32_t stream_id, bool has_session_id, int32_t session_id, bool *is_new)
{
    const uint32_t count = NULL == interest ? 0 : interest->count;
    const int32_t session = has_session_id ? session_id : 0;
    const uint32_t index = fl_interest_lower_bound(interest, stream_id, has_session_id, session);
    const bool is_there = fl_interest_is_at(interest, index, stream_id, has_session_id, session);
    fl_interest_t *copy = fl_interest_allocate(is_there ? count : count + 1);
    if (NULL == copy)
    {
        return NULL;
    }
    if (NULL != is_new)
    {
        *is_new = !is_there;
    }
    const uint32_t behind = is_there ? index : index + 1;
    if (count > 0)
    {
        memcpy(copy->entries, interest->entries, index * sizeof(copy->entries[0]));
        memcpy(&copy->entries[behind], &interest->entries[index], (count - index) * sizeof(copy->entries[0]));
    }
    if (is_there)
    {
        copy->entries[index].references++;
    }
    else
    {
        copy->entries[index] = (fl_interest_entry_t){stream_id, session, has_session_id, 1};
    }
    return copy;
}

fl_interest_t *fl_interest_without(
    const fl_interest_t *interest, int32_t stream_id, bool has_session_id, int32_t session_id, bool *is_gone)
{
    const int32_t session = has_session_id ? session_id : 0;
    const uint32_t index = fl_interest_lower_bound(interest, stream_id, has_session_id, session);
    if (!fl_interest_is_at(interest, index, stream_id, has_session_id, session))
    {
        fl_error(FL_ENOENT, "the endpoint has no such interest: stream %d, %s %d", stream_id,
            has_session_id ? "session" : "all sessions", session);
        return NULL;
    }
    const bool is_last = 1 == interest->entries[index].references;
    fl_interest_t *copy = fl_interest_allocate(interest->count - (is_last ? 1 : 0));
    if (NULL == copy)
    {
        return NULL;
    }
    if (NULL != is_gone)
    {
        *is_gone = is_last;
    }
    const uint32_t from = is_last ? index + 1 : index;
    memcpy(copy->entries, interest->entries, index * sizeof(copy->entries[0]));
    memcpy(&copy->entries[index], &interest->entries[from], (interest->count - from) * sizeof(copy->entries[0]));
    if (!is_last)
    {
        copy->entries[index].references--;
    }
    return copy;
}

bool fl_interest_has_stream(const fl_interest_t *interest, int32_t stream_id)
{
    const uint32_t index = fl_interest_lower_bound(interest, stream_id, 0, INT32_MIN);
    return NULL != interest && index < interest->count && interest->entries[index].stream_id == stream_id;
}

bool fl_interest_has_session(const fl_interest_t *interest, int32_t stream_id, int32_t session_id)
{
    const uint32_t all = fl_interest_lower_bound(interest, stream_id, 0, 0);
    if (fl_interest_is_at(interest, all, stream_id, 0, 0))
    {
        return true;
    }
    const uint32_t one = fl_interest_lower_bound(interest, stream_id, 1, session_id);
    return fl_interest_is_at(interest, one, stream_id, 1, session_id);
}
