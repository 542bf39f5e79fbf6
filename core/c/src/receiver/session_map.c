#include "receiver/session_map.h"

#include <stddef.h>

uint32_t fl_session_map_capacity(uint32_t images)
{
    uint32_t capacity = 4 * FL_SETUPS_CAPACITY;
    while (capacity < 2 * (images + FL_SETUPS_CAPACITY))
    {
        capacity *= 2;
    }
    return capacity;
}

void fl_session_map_init(fl_session_map_t *map, fl_session_t *memory, uint32_t capacity, uint64_t secret)
{
    map->sessions = memory;
    map->capacity = capacity;
    map->count = 0;
    map->secret = secret;
}

static uint32_t fl_session_map_home(const fl_session_map_t *map, int32_t stream_id, int32_t session_id)
{
    uint64_t z = (((uint64_t)(uint32_t)stream_id << 32) | (uint32_t)session_id) ^ map->secret;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z ^ (z >> 31)) & (map->capacity - 1);
}

fl_session_t *fl_session_map_find(const fl_session_map_t *map, int32_t stream_id, int32_t session_id)
{
    uint32_t index = fl_session_map_home(map, stream_id, session_id);
    for (;;)
    {
        fl_session_t *session = &map->sessions[index];
        if (FL_SESSION_NONE == session->state)
        {
            return NULL;
        }
        if (session->session_id == session_id && session->stream_id == stream_id)
        {
            return session;
        }
        index = (index + 1) & (map->capacity - 1);
    }
}

fl_session_t *fl_session_map_put(fl_session_map_t *map, int32_t stream_id, int32_t session_id)
{
    uint32_t index = fl_session_map_home(map, stream_id, session_id);
    for (;;)
    {
        fl_session_t *session = &map->sessions[index];
        if (FL_SESSION_NONE == session->state)
        {
            session->stream_id = stream_id;
            session->session_id = session_id;
            map->count++;
            return session;
        }
        if (session->session_id == session_id && session->stream_id == stream_id)
        {
            return session;
        }
        index = (index + 1) & (map->capacity - 1);
    }
}

void fl_session_map_remove(fl_session_map_t *map, fl_session_t *session)
{
    /* Those behind move into the gap unless that would put them before their home. */
    const uint32_t mask = map->capacity - 1;
    uint32_t gap = (uint32_t)(session - map->sessions);
    for (uint32_t i = (gap + 1) & mask; FL_SESSION_NONE != map->sessions[i].state; i = (i + 1) & mask)
    {
        const uint32_t home = fl_session_map_home(map, map->sessions[i].stream_id, map->sessions[i].session_id);
        if (((i - home) & mask) >= ((i - gap) & mask))
        {
            map->sessions[gap] = map->sessions[i];
            gap = i;
        }
    }
    map->sessions[gap] = (fl_session_t){.state = FL_SESSION_NONE};
    map->count--;
}

fl_session_t *fl_session_map_move(fl_session_map_t *map, fl_session_t *memory, uint32_t capacity)
{
    fl_session_t *old = map->sessions;
    const uint32_t old_capacity = map->capacity;
    fl_session_map_init(map, memory, capacity, map->secret);
    for (uint32_t i = 0; i < old_capacity; i++)
    {
        if (FL_SESSION_NONE != old[i].state)
        {
            *fl_session_map_put(map, old[i].stream_id, old[i].session_id) = old[i];
        }
    }
    return old;
}
