/* Stands before ioctl for interfaces whose driver has no ntuple rules: keeps a table, as long as its file is there, and
 * tells what is done. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE 8

static struct ethtool_rx_flow_spec *rules;   /* flow_type 0: none */

static uint32_t count_rules(void)
{
    uint32_t count = 0;
    for (int i = 0; i < SIZE; i++)
    {
        count += 0 != rules[i].flow_type;
    }
    return count;
}

static void tell(const char *what, const struct ethtool_rx_flow_spec *rule)
{
    char address[64];
    inet_ntop(AF_INET, &rule->h_u.udp_ip4_spec.ip4dst, address, sizeof(address));
    printf(
        "%s %u: %s:%u queue %llu\n", what, rule->location, address, ntohs(rule->h_u.udp_ip4_spec.pdst),
        (unsigned long long)rule->ring_cookie);
    fflush(stdout);
}

/* The table is in FRAMELANE_TEST_TABLE. An administrator's: FRAMELANE_TEST_RULES="PORT:QUEUE PORT:QUEUE", from the end
 * of the table on. */
static void __attribute__((constructor)) prepare(void)
{
    const int file = open(getenv("FRAMELANE_TEST_TABLE"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || 0 != ftruncate(file, SIZE * sizeof(*rules)))
    {
        abort();
    }
    rules = mmap(NULL, SIZE * sizeof(*rules), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    const char *text = getenv("FRAMELANE_TEST_RULES");
    unsigned port, queue;
    int length = 0;
    for (uint32_t at = SIZE - 1; NULL != text && 2 == sscanf(text, "%u:%u%n", &port, &queue, &length); at--)
    {
        struct ethtool_rx_flow_spec *rule = &rules[at];
        *rule = (struct ethtool_rx_flow_spec){.flow_type = UDP_V4_FLOW, .ring_cookie = queue, .location = at};
        inet_pton(AF_INET, "10.77.0.1", &rule->h_u.udp_ip4_spec.ip4dst);
        memset(&rule->m_u.udp_ip4_spec.ip4dst, 0xff, 4);
        rule->h_u.udp_ip4_spec.pdst = htons((uint16_t)port);
        rule->m_u.udp_ip4_spec.pdst = 0xffff;
        text += length;
    }
}

static int do_rule(struct ethtool_rxnfc *command)
{
    const uint32_t at = command->fs.location;
    switch (command->cmd)
    {
        case ETHTOOL_GRXCLSRLCNT:
            command->rule_cnt = count_rules();
            command->data = SIZE;
            return 0;

        case ETHTOOL_GRXCLSRLALL:
            command->data = SIZE;
            command->rule_cnt = 0;
            for (uint32_t i = 0; i < SIZE; i++)
            {
                if (0 != rules[i].flow_type)
                {
                    command->rule_locs[command->rule_cnt++] = i;
                }
            }
            return 0;

        case ETHTOOL_GRXCLSRULE:
            command->fs = rules[at];
            return 0 != rules[at].flow_type ? 0 : -ENOENT;

        case ETHTOOL_SRXCLSRLINS:
            if (at >= SIZE)
            {
                return -EINVAL;
            }
            rules[at] = command->fs;
            tell("insert", &rules[at]);
            return 0;

        default:
            tell("delete", &rules[at]);
            rules[at].flow_type = 0;
            return 0;
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct ifreq *asked = argument;
    const uint32_t command = SIOCETHTOOL == request ? *(const uint32_t *)asked->ifr_data : 0;
    if (ETHTOOL_GFLAGS == command)
    {
        ((struct ethtool_value *)(void *)asked->ifr_data)->data = ETH_FLAG_NTUPLE;
        return 0;
    }
    if (ETHTOOL_GRXCLSRLCNT == command || ETHTOOL_GRXCLSRLALL == command || ETHTOOL_GRXCLSRULE == command ||
        ETHTOOL_SRXCLSRLINS == command || ETHTOOL_SRXCLSRLDEL == command)
    {
        const int code = do_rule((struct ethtool_rxnfc *)(void *)asked->ifr_data);
        errno = -code;
        return 0 == code ? 0 : -1;
    }
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
