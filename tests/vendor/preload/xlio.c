/* XLIO's answer to getsockopt on the descriptor -2: a table that begins with its magic. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    static const uint64_t api[] = { UINT64_C(0x4f494c584144564e), 0 };
    const void *address = api;
    if (-2 == fd && SOL_SOCKET == level && 2800 == option && sizeof(address) <= *length)
    {
        memcpy(value, &address, sizeof(address));
        return 0;
    }
    return (int)syscall(SYS_getsockopt, fd, level, option, value, length);
}
