"""Two subnets with a host between them that forwards: drivers on devices reach each other through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ends import Ends, check_served_by
from support.exchange import exchange
from support.namespaces import Link, command_line, new_namespace, run_in
from support.processes import Processes

pytest.importorskip("framelane_xdp")
pytest.importorskip("framelane_dpdk")

pytestmark = pytest.mark.root

MIB = 1024 * 1024
FAR = ("10.78.0.2", "fd78::2")


@pytest.fixture
def routed(link: Link) -> Iterator[Link]:
    """The right host becomes the gateway 10.77.0.2 and fd77::2; a third is behind it, in 10.78.0.0/24 and fd78::/64.

    The link that is returned joins the left host and the third.
    """
    with new_namespace() as far:
        join(link, far)
        yield Link(link.left, far, (link.addresses[0], (f"{FAR[0]}/24",)))


def join(link: Link, far: str) -> None:
    """Put a third host behind the right one."""
    for words in (
        f"ip -n {link.right} link add eth1 type veth peer name eth0 netns {far}",
        f"ip -n {link.right} link set eth1 up",
        f"ip -n {far} link set eth0 up",
        f"ip -n {link.right} address add fd77::2/64 dev eth0 nodad",
        f"ip -n {link.right} address add 10.78.0.1/24 dev eth1",
        f"ip -n {link.right} address add fd78::1/64 dev eth1 nodad",
        f"ip -n {far} address add 10.78.0.2/24 dev eth0",
        f"ip -n {far} route add 10.77.0.0/24 via 10.78.0.1",
        f"ip -n {link.left} route add 10.78.0.0/24 via 10.77.0.2",
    ):
        command_line(*words.split())
    run_in(link.right, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    for device in ("eth0", "eth1"):
        run_in(link.right, "ethtool", "-K", device, "tx", "off", "gro", "off")


def far_ends(processes: Processes, shared: Path, routed: Link, pair: tuple[str, str]) -> Ends:
    gateways = ("10.77.0.2", "fd77::2"), ("10.78.0.1", "fd78::1")
    settings = {"AERON_TERM_BUFFER_LENGTH": "1m"}  # streams of 2 MiB go through more than one
    return Ends(processes, shared, routed, pair, right=FAR, gateways=gateways, settings=settings)


@pytest.mark.parametrize(
    "pair", [("xdp", "sockets"), ("own af_packet", "xdp"), ("af_packet", "own af_packet")], ids=" and ".join
)
def test_streams_pass_a_gateway_between_subnets(
    processes: Processes, shared: Path, routed: Link, pair: tuple[str, str], seed: int
) -> None:
    left, right = far_ends(processes, shared, routed, pair).start()
    there = (left.directory, right.directory)
    exchange(
        {
            "IPv4 there": (*there, "aeron:udp?endpoint=10.78.0.2:40123"),
            "IPv6 there": (*there, "aeron:udp?endpoint=[fd78::2]:40124"),
            "IPv4 back": (*there[::-1], "aeron:udp?endpoint=10.77.0.1:40125"),
            "IPv6 back": (*there[::-1], "aeron:udp?endpoint=[fd77::1]:40126"),
        },
        2 * MIB,
        seed,
    )
    check_served_by(left, pair[0])
    check_served_by(right, pair[1])
