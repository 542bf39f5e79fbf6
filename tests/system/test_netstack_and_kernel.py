"""A netstack in own mode and the sockets of a Linux kernel at the far end of a veth pair."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from framelane._native import lib
from support.namespaces import Link, inside, run_in
from support.own_host import PORT, OwnHost
from support.wire import Wire, mac_of, take_from_kernel

pytestmark = pytest.mark.root

OURS, KERNEL, OURS6, KERNEL6 = "10.77.0.1", "10.77.0.2", "fd00:77::1", "fd00:77::2"
GROUP, GROUP6 = "239.77.1.1", "ff15::77:1"


@pytest.fixture
def device(link: Link) -> Link:
    """The left device is ours; the right one is the kernel's, which computes its checksums itself."""
    take_from_kernel(link.left)
    run_in(link.right, "ip", "address", "add", f"{KERNEL6}/64", "dev", "eth0", "nodad")
    run_in(link.right, "ethtool", "-K", "eth0", "tx", "off")
    return link


@pytest.fixture
def host(device: Link) -> Iterator[OwnHost]:
    host = OwnHost([f"{OURS}/24", f"{OURS6}/64"], mac=mac_of(device.left))
    yield host
    host.close()


@pytest.fixture
def wire(host: OwnHost, device: Link) -> Iterator[Wire]:
    with Wire(host, device.left, speed=5) as wire:
        yield wire


def kernel_socket(namespace: str, address: str, group: str | None = None) -> socket.socket:
    """A socket in the namespace, bound to port 40123."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(namespace):
        made = socket.socket(family, socket.SOCK_DGRAM)
        if group is not None and family == socket.AF_INET6:
            index = int(run_in(namespace, "cat", "/sys/class/net/eth0/ifindex"))
            membership = socket.inet_pton(family, group) + index.to_bytes(4, "little")
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        elif group is not None:
            membership = socket.inet_aton(group) + socket.inet_aton(KERNEL)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(KERNEL))
        made.bind((group or address, PORT))
    made.setblocking(False)
    return made


def received(made: socket.socket, into: list[bytes]) -> int:
    """Take what arrived at a socket. Returns how much there is in all."""
    try:
        while True:
            into.append(made.recv(65536))
    except BlockingIOError:
        return len(into)


@pytest.mark.parametrize(("ours", "kernel"), [(OURS, KERNEL), (OURS6, KERNEL6)])
def test_datagrams_of_every_length_reach_a_socket_and_come_back(
    host: OwnHost, wire: Wire, device: Link, ours: str, kernel: str
) -> None:
    most = 1500 - (48 if ":" in ours else 28)
    sent = [bytes(index % 251 for index in range(length)) for length in (0, 1, 2, 31, 32, 63, 64, 129, 1408, most)]
    endpoint = host.endpoint("::" if ":" in ours else "0.0.0.0")
    with kernel_socket(device.right, kernel) as far:
        arrived: list[bytes] = []
        for number, data in enumerate(sent):
            assert host.send(kernel, data) == 0
            wire.run_until(lambda least=number: received(far, arrived) > least)
        assert arrived == sent
        for number, data in enumerate(sent):
            far.sendto(data, (ours, PORT))
            wire.run_until(lambda least=number: len(endpoint.inbox) > least)
    assert [datagram.data for datagram in endpoint.inbox] == sent
    assert {str(datagram.source.ip) for datagram in endpoint.inbox} == {kernel}
    assert "memory-rx-checksum-failure-udp" not in host.counts()


@pytest.mark.parametrize(("group", "kernel"), [(GROUP, KERNEL), (GROUP6, KERNEL6)])
def test_a_group_is_shared_with_a_socket_in_both_directions(
    host: OwnHost, wire: Wire, device: Link, group: str, kernel: str
) -> None:
    endpoint = host.endpoint(group)
    with kernel_socket(device.right, kernel, group) as far:
        arrived: list[bytes] = []
        assert host.send(group, b"from us") == 0
        wire.run_until(lambda: received(far, arrived) > 0)
        assert arrived[0] == b"from us"
        far.sendto(b"from the kernel", (group, PORT))
        wire.run_until(lambda: len(endpoint.inbox) > 0)
    assert endpoint.inbox[0].data == b"from the kernel"


def test_a_stream_finds_a_kernel_that_took_another_mac_address(device: Link) -> None:
    host = OwnHost([f"{OURS}/24"], mac=mac_of(device.left), reachable_ms=1000)
    arrived: list[bytes] = []
    with kernel_socket(device.right, KERNEL) as far, Wire(host, device.left, speed=20) as wire:

        def has_arrived() -> bool:
            assert host.send(KERNEL, b"again") in (0, -lib.FL_EAGAIN)
            return received(far, arrived) > 0

        wire.run_until(has_arrived)
        # Linux tells nobody, so the old address goes on being used until it is asked again and does not answer.
        run_in(device.right, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:42")
        received(far, arrived)
        arrived.clear()
        wire.run_until(has_arrived)
    assert host.counts()["memory-neighbour-requests"] >= 4
    assert "memory-tx-unresolved" not in host.counts()
    host.close()
