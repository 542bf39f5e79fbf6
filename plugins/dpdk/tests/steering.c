/* Stands before DPDK's flow functions, for devices that have none: tells what is asked of them, and does it not. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_flow.h>

int rte_flow_isolate(uint16_t port, int set, struct rte_flow_error *error)
{
    (void)port;
    (void)error;
    printf("isolate %d\n", set);
    fflush(stdout);
    return 0;
}

int rte_flow_validate(
    uint16_t port, const struct rte_flow_attr *attributes, const struct rte_flow_item *items,
    const struct rte_flow_action *actions, struct rte_flow_error *error)
{
    (void)port;
    (void)attributes;
    (void)items;
    (void)actions;
    (void)error;
    return NULL != getenv("FLOW_TAKES_NOTHING") ? -ENOTSUP : 0;
}

static void tell(const struct rte_flow_item *item)
{
    char text[2][64];
    const struct rte_flow_item_ipv4 *ipv4 = item->spec, *ipv4_mask = item->mask;
    const struct rte_flow_item_ipv6 *ipv6 = item->spec, *ipv6_mask = item->mask;
    const struct rte_flow_item_vlan *vlan = item->spec;
    const struct rte_flow_item_udp *udp = item->spec;
    switch (item->type)
    {
        case RTE_FLOW_ITEM_TYPE_ETH:
            printf(" eth");
            break;

        case RTE_FLOW_ITEM_TYPE_VLAN:
            printf(" vlan %u", ntohs(vlan->hdr.vlan_tci));
            break;

        case RTE_FLOW_ITEM_TYPE_IPV4:
            printf(
                " ipv4 %s/%s", inet_ntop(AF_INET, &ipv4->hdr.dst_addr, text[0], sizeof(text[0])),
                inet_ntop(AF_INET, &ipv4_mask->hdr.dst_addr, text[1], sizeof(text[1])));
            break;

        case RTE_FLOW_ITEM_TYPE_IPV6:
            printf(
                " ipv6 %s/%s", inet_ntop(AF_INET6, &ipv6->hdr.dst_addr, text[0], sizeof(text[0])),
                inet_ntop(AF_INET6, &ipv6_mask->hdr.dst_addr, text[1], sizeof(text[1])));
            break;

        case RTE_FLOW_ITEM_TYPE_UDP:
            printf(" udp %u", ntohs(udp->hdr.dst_port));
            break;

        default:
            printf(" other");
            break;
    }
}

struct rte_flow *rte_flow_create(
    uint16_t port, const struct rte_flow_attr *attributes, const struct rte_flow_item *items,
    const struct rte_flow_action *actions, struct rte_flow_error *error)
{
    (void)port;
    (void)error;
    static char rule;
    printf("create ingress %u", attributes->ingress);
    for (; RTE_FLOW_ITEM_TYPE_END != items->type; items++)
    {
        tell(items);
    }
    const struct rte_flow_action_queue *queue = actions->conf;
    printf(" queue %u\n", queue->index);
    fflush(stdout);
    return (struct rte_flow *)&rule;
}

int rte_flow_destroy(uint16_t port, struct rte_flow *flow, struct rte_flow_error *error)
{
    (void)port;
    (void)flow;
    (void)error;
    printf("destroy\n");
    fflush(stdout);
    return 0;
}
