/* What a filter steals, the kernel must not see: a classifier on the interface's ingress drops it, behind the point
 * where packet sockets get their copy.
 *
 * One classifier for each filter, told apart by its handle; classic BPF, because every kernel with packet schedulers
 * runs it. Fragments are not stolen, as no IP filter matches them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ciul.h"

#define FL_CIUL_PRIORITY 0xc101u
#define FL_CIUL_PROGRAM_MAX 40

typedef struct
{
    struct nlmsghdr header;
    struct tcmsg message;
    char attributes[1024];
} fl_ciul_request_t;

static void fl_ciul_request_begin(fl_ciul_request_t *request, uint16_t type, uint16_t flags, int ifindex)
{
    memset(request, 0, sizeof(*request));
    request->header.nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg));
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    request->message.tcm_family = AF_UNSPEC;
    request->message.tcm_ifindex = ifindex;
}

static struct rtattr *fl_ciul_request_add(fl_ciul_request_t *request, uint16_t type, const void *data, size_t length)
{
    struct rtattr *attribute = (struct rtattr *)(void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(length);
    if (0 != length)
    {
        memcpy(RTA_DATA(attribute), data, length);
    }
    request->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
    return attribute;
}

static int fl_ciul_request_do(fl_ciul_request_t *request)
{
    struct
    {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[2048];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
    {
        return -errno;
    }
    int result = -EIO;
    if (send(fd, request, request->header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
    {
        result = -errno;
    }
    else if (NLMSG_ERROR == answer.header.nlmsg_type)
    {
        result = answer.error.error;
    }
    close(fd);
    return result;
}

/* ---- the program ---- */

typedef struct
{
    struct sock_filter code[FL_CIUL_PROGRAM_MAX];
    size_t length;
} fl_ciul_program_t;

static void fl_ciul_program_add(fl_ciul_program_t *program, uint16_t code, uint32_t value)
{
    program->code[program->length++] = (struct sock_filter){.code = code, .k = value};
}

/* Load what is at an offset, and go on only where it is the value. The miss is filled in at the end. */
static void fl_ciul_program_require(fl_ciul_program_t *program, uint16_t load, uint32_t offset, uint32_t value)
{
    fl_ciul_program_add(program, load, offset);
    fl_ciul_program_add(program, BPF_JMP | BPF_JEQ | BPF_K, value);
}

static void fl_ciul_program_make(fl_ciul_program_t *program, const fl_ciul_match_t *match)
{
    enum
    {
        WORD = BPF_LD | BPF_W | BPF_ABS,
        HALF = BPF_LD | BPF_H | BPF_ABS,
        BYTE = BPF_LD | BPF_B | BPF_ABS
    };
    bool is_ip4 = 4 == match->ip_version;
    uint32_t words = is_ip4 ? 1 : 4;
    uint32_t local = ETH_HLEN + (is_ip4 ? 16u : 24u);
    uint32_t remote = ETH_HLEN + (is_ip4 ? 12u : 8u);
    program->length = 0;
    fl_ciul_program_require(program, HALF, 12, is_ip4 ? ETH_P_IP : ETH_P_IPV6);
    fl_ciul_program_require(program, BYTE, ETH_HLEN + (is_ip4 ? 9u : 6u), match->protocol);
    for (uint32_t i = 0; i < words; i++)
    {
        uint32_t word;
        memcpy(&word, match->local + i * 4, sizeof(word));
        fl_ciul_program_require(program, WORD, local + i * 4, ntohl(word));
    }
    for (uint32_t i = 0; 0 != match->remote_port_be && i < words; i++)
    {
        uint32_t word;
        memcpy(&word, match->remote + i * 4, sizeof(word));
        fl_ciul_program_require(program, WORD, remote + i * 4, ntohl(word));
    }
    uint16_t load = HALF;
    uint32_t ports = ETH_HLEN + 40;
    if (is_ip4)
    {
        fl_ciul_program_add(program, HALF, ETH_HLEN + 6);
        fl_ciul_program_add(program, BPF_ALU | BPF_AND | BPF_K, 0x3fff);
        fl_ciul_program_add(program, BPF_JMP | BPF_JEQ | BPF_K, 0);
        fl_ciul_program_add(program, BPF_LDX | BPF_B | BPF_MSH, ETH_HLEN);
        load = BPF_LD | BPF_H | BPF_IND;
        ports = ETH_HLEN;
    }
    fl_ciul_program_require(program, load, ports + 2, ntohs(match->local_port_be));
    if (0 != match->remote_port_be)
    {
        fl_ciul_program_require(program, load, ports, ntohs(match->remote_port_be));
    }
    fl_ciul_program_add(program, BPF_RET | BPF_K, TC_ACT_SHOT);
    size_t miss = program->length;
    fl_ciul_program_add(program, BPF_RET | BPF_K, (uint32_t)TC_ACT_UNSPEC);
    for (size_t i = 0; i < miss; i++)
    {
        if ((BPF_JMP | BPF_JEQ | BPF_K) == program->code[i].code)
        {
            program->code[i].jf = (uint8_t)(miss - i - 1);
        }
    }
}

/* ---- the classifiers ---- */

static void fl_ciul_request_filter(fl_ciul_request_t *request, int id)
{
    request->message.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
    request->message.tcm_info = TC_H_MAKE(FL_CIUL_PRIORITY << 16, htons(ETH_P_ALL));
    request->message.tcm_handle = (uint32_t)id + 1;
    fl_ciul_request_add(request, TCA_KIND, "bpf", sizeof("bpf"));
}

int fl_ciul_kernel_drop_add(int ifindex, int id, const fl_ciul_match_t *match)
{
    fl_ciul_request_t request;
    fl_ciul_program_t program;
    fl_ciul_request_begin(&request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex);
    request.message.tcm_parent = TC_H_CLSACT;
    request.message.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    fl_ciul_request_add(&request, TCA_KIND, "clsact", sizeof("clsact"));
    int result = fl_ciul_request_do(&request);
    if (result < 0 && -EEXIST != result)
    {
        return result;
    }
    fl_ciul_program_make(&program, match);
    uint16_t length = (uint16_t)program.length;
    uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT;
    fl_ciul_request_begin(&request, RTM_NEWTFILTER, NLM_F_CREATE, ifindex);
    fl_ciul_request_filter(&request, id);
    struct rtattr *options = fl_ciul_request_add(&request, TCA_OPTIONS, NULL, 0);
    fl_ciul_request_add(&request, TCA_BPF_OPS_LEN, &length, sizeof(length));
    fl_ciul_request_add(&request, TCA_BPF_OPS, program.code, program.length * sizeof(program.code[0]));
    fl_ciul_request_add(&request, TCA_BPF_FLAGS, &flags, sizeof(flags));
    options->rta_len = (uint16_t)((char *)&request + request.header.nlmsg_len - (char *)options);
    return fl_ciul_request_do(&request);
}

int fl_ciul_kernel_drop_del(int ifindex, int id)
{
    fl_ciul_request_t request;
    fl_ciul_request_begin(&request, RTM_DELTFILTER, 0, ifindex);
    fl_ciul_request_filter(&request, id);
    return fl_ciul_request_do(&request);
}
