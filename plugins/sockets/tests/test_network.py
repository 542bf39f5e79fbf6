"""What needs a network of its own: routes with a small MTU, multicast over an interface, a kernel that refuses."""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest

IP_RECVTTL = 12
REUSE = 1
CONNECT = 4
HOSTS = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}
#: Data group and control group.
GROUPS = {4: ("224.20.30.41", "224.20.30.42"), 6: ("ff05::41", "ff05::42")}

pytestmark = pytest.mark.root


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def datagrams(received: list[Any]) -> list[bytes]:
    return [datagram for run in received for datagram in run.datagrams]


def cut(data: bytes, length: int) -> list[bytes]:
    return [data[i : i + length] for i in range(0, len(data), length)]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("connect", [CONNECT, 0])
def test_an_mtu_above_the_routes_forbids_segmentation_and_says_so(
    sockets: Any, run: Any, veth: Any, family: int, connect: int
) -> None:
    left, right = HOSTS[family]
    headers = {4: 28, 6: 48}[family]
    with veth.inside(veth.right):
        receiver = sockets.open((right, 0), role=2)
    with veth.inside(veth.left):
        fits = sockets.open((left, 0), receiver.address, flags=connect, mtu_length=1500 - headers)
        exceeds = sockets.open((left, 0), receiver.address, flags=connect, mtu_length=1500 - headers + 1)

    assert fits.note == ""
    assert exceeds.note == f"no UDP segmentation: mtu of {1501 - headers} bytes exceeds the route's 1500"
    data = noise(5 * 1400)
    for endpoint, segmented in ((fits, 5), (exceeds, 0)):
        before = sockets.stats()["tx-segmented"]
        assert sockets.send(endpoint, run(data, 1400)) == (1, [(5, 0)])
        assert datagrams(sockets.receive(5)) == cut(data, 1400)
        assert sockets.stats()["tx-segmented"] - before == segmented


@pytest.mark.parametrize("family", [4, 6])
def test_a_refused_segmentation_is_turned_off_and_the_rest_goes_plainly(
    sockets: Any, run: Any, veth: Any, family: int
) -> None:
    """The device's MTU shrinks under an open endpoint: the kernel fragments datagrams but no segments."""
    left, right = HOSTS[family]
    with veth.inside(veth.right):
        receiver = sockets.open((right, 0), role=2)
    with veth.inside(veth.left):
        sender = sockets.open((left, 0), receiver.address, flags=CONNECT, mtu_length=1408)
    veth.run(veth.left, "ip", "link", "set", "eth0", "mtu", "1300")
    small, large = noise(4 * 1000), noise(4 * 1400 + 7)

    results = sockets.send(sender, run(small, 1000), run(b"plain"), run(large, 1400), run(small, 1000))

    assert results == (4, [(4, 0), (1, 0), (5, 0), (4, 0)])
    assert datagrams(sockets.receive(14)) == [*cut(small, 1000), b"plain", *cut(large, 1400), *cut(small, 1000)]
    stats = sockets.stats()
    assert (stats["tx-segmented"], stats["tx-segmentation-refused"], stats["tx-errors"]) == (4, 1, 0)
    ((_, note),) = sockets.events()
    assert "no longer takes UDP segmentation" in note and f"]:{sender.address[1]}" in note.replace(left, "]")
    assert sockets.events() == []


def test_a_new_peer_gets_segmentation_by_its_own_route(sockets: Any, run: Any, veth: Any) -> None:
    with veth.inside(veth.right):
        receiver = sockets.open(("10.77.0.2", 0), role=2)
        other = sockets.open(("10.77.0.2", 0), role=2)
    veth.run(veth.left, "ip", "route", "add", "10.77.0.9/32", "dev", "eth0", "mtu", "1000")
    with veth.inside(veth.left):
        sender = sockets.open(("10.77.0.1", 0), ("10.77.0.9", 1), flags=CONNECT, mtu_length=1408)
    assert "exceeds the route's 1000" in sender.note
    peer = run.peer(receiver.address)
    assert sockets.ops.set_peer(sender.handle, peer) == 0
    assert sockets.send(sender, run(noise(4200), 1400)) == (1, [(3, 0)])
    assert sockets.send(sender, run(noise(2800), 1400, peer=run.peer(other.address))) == (1, [(2, 0)])
    assert sorted(datagrams(sockets.receive(5))) == sorted(cut(noise(4200), 1400) + cut(noise(2800), 1400))
    assert sockets.stats()["tx-segmented"] == 5


def test_a_new_peer_behind_another_interface_gets_its_source_address(sockets: Any, run: Any, veth: Any) -> None:
    with veth.inside(veth.right):
        receiver = sockets.open(("10.77.0.2", 0), role=2)
    with veth.inside(veth.left):
        sender = sockets.open(("0.0.0.0", 0), ("127.0.0.1", 9), flags=CONNECT)
    peer = run.peer(receiver.address)
    assert sockets.ops.set_peer(sender.handle, peer) == 0
    assert sockets.send(sender, run(b"moved"))[0] == 1
    assert [r.peer for r in sockets.receive(1)] == [("10.77.0.1", sender.address[1])]


@pytest.mark.parametrize("bind", ["0.0.0.0", "10.77.0.1"])
def test_a_new_peer_without_a_route_leaves_the_old_one(sockets: Any, run: Any, veth: Any, bind: str) -> None:
    with veth.inside(veth.right):
        receiver = sockets.open(("10.77.0.2", 0), role=2)
    with veth.inside(veth.left):
        sender = sockets.open((bind, 0), receiver.address, flags=CONNECT, context=1)
    lost = run.peer(("192.0.2.1", 9))
    assert sockets.ops.set_peer(sender.handle, lost) == -101
    sockets.send(sender, run(b"there"))
    (there,) = sockets.receive(1)
    assert there.peer == ("10.77.0.1", sender.address[1])
    sockets.send(receiver, run(b"and back", peer=run.peer(there.peer)))
    assert [(r.data, r.context) for r in sockets.receive(1)] == [(b"and back", 1)]


def test_a_peer_without_a_route_stops_alone(sockets: Any, run: Any, veth: Any) -> None:
    with veth.inside(veth.right):
        receiver = sockets.open(("10.77.0.2", 0), role=2)
    with veth.inside(veth.left):
        sender = sockets.open(("10.77.0.1", 0))
    lost, found = run.peer(("192.0.2.1", 9)), run.peer(receiver.address)
    taken, results = sockets.send(
        sender,
        run(b"1", peer=found),
        run(noise(3000), 1000, peer=lost),
        run(b"2", peer=found),
        run(b"never", peer=lost),
        run(noise(2000), 1000, peer=found),
    )
    assert (taken, results) == (3, [(1, 0), (0, -101), (1, 0), (0, -101), (2, 0)])
    assert b"".join(datagrams(sockets.receive(4))) == b"12" + noise(2000)


@pytest.mark.parametrize("family", [4, 6])
def test_a_multicast_publication_and_its_subscribers_hear_each_other(
    sockets: Any, run: Any, veth: Any, family: int
) -> None:
    left, right = HOSTS[family]
    data, control = GROUPS[family]
    options = {"flags": REUSE, "ttl": 3, "mtu_length": 1408}
    with veth.inside(veth.left):
        publication = sockets.open((control, 40001), (data, 40001), interface=left, context=1, **options)
        stranger = sockets.open((left, 0), context=9)
    with veth.inside(veth.right):
        subscriptions = [
            sockets.open((data, 40001), interface=right, role=2, context=context, **options) for context in (2, 3)
        ]

    assert sockets.send(publication, run(noise(3 * 1400), 1400)) == (1, [(3, 0)])
    received = sockets.receive(6)
    assert sorted(r.context for r in received for _ in r.datagrams) == [2, 2, 2, 3, 3, 3]
    assert {(r.peer[0], r.local) for r in received} == {(left, (data, 40001))}
    assert all(b"".join(datagrams([r for r in received if r.context == c])) == noise(4200) for c in (2, 3))

    feedback = run.peer((control, 40001))
    for subscription in subscriptions:
        assert sockets.send(subscription, run(b"sm", peer=feedback))[0] == 1
    received = sockets.receive(2)
    assert [(r.data, r.context, r.peer, r.local) for r in received] == [
        (b"sm", 1, (right, 40001), (control, 40001))
    ] * 2

    # Neither what comes to the port by unicast, nor another group of the port, is for these endpoints.
    sockets.send(stranger, run(b"unicast", peer=run.peer((left, 40001))))
    assert sockets.poll() == []


def test_a_group_that_others_joined_on_the_port_is_not_heard(sockets: Any, run: Any) -> None:
    one = sockets.open(("224.20.30.43", 40002), interface="127.0.0.1", role=2, flags=REUSE, context=1)
    two = sockets.open(("224.20.30.45", 40002), interface="127.0.0.1", role=2, flags=REUSE, context=2)
    sender = sockets.open(
        ("224.20.30.46", 40002), ("224.20.30.45", 40002), interface="127.0.0.1", flags=REUSE, context=3
    )
    sockets.send(sender, run(b"to two"))
    assert [(r.data, r.context) for r in sockets.receive(1)] == [(b"to two", 2)]
    sockets.open(("0.0.0.0", 40002), role=2, flags=REUSE, context=4)
    sockets.send(sender, run(b"to two"))
    assert [(r.data, r.context) for r in sockets.receive(1)] == [(b"to two", 2)]
    assert sockets.poll() == []
    assert (one.address, two.address) == (("224.20.30.43", 40002), ("224.20.30.45", 40002))


def test_the_ttl_of_a_multicast_publication_reaches_the_wire(sockets: Any, run: Any, veth: Any) -> None:
    with veth.inside(veth.right), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        listener.bind(("224.20.30.41", 40003))
        member = socket.inet_aton("224.20.30.41") + socket.inet_aton("10.77.0.2")
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        listener.settimeout(10)
        with veth.inside(veth.left):
            publication = sockets.open(
                ("224.20.30.42", 40003), ("224.20.30.41", 40003), interface="10.77.0.1", flags=REUSE, ttl=17
            )
        sockets.send(publication, run(b"far"))
        data, ancillary, _flags, source = listener.recvmsg(100, 100)
        assert (data, source[0]) == (b"far", "10.77.0.1")
        assert int.from_bytes(ancillary[0][2], "little") == 17


def test_a_path_mtu_learnt_from_icmp_is_no_error_of_the_endpoint(sockets: Any, run: Any, veth: Any) -> None:
    """`Fragmentation needed` from a router comes up as EMSGSIZE: consumed, and the datagrams go in fragments."""
    veth.run(veth.right, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    veth.run(veth.right, "ip", "link", "add", "narrow", "mtu", "1000", "type", "veth", "peer", "far")
    veth.run(veth.right, "ip", "address", "add", "10.88.0.1/24", "dev", "narrow")
    for device in ("narrow", "far"):
        veth.run(veth.right, "ip", "link", "set", device, "up")
    veth.run(veth.left, "ip", "route", "add", "10.88.0.0/24", "via", "10.77.0.2")
    with veth.inside(veth.left):
        sender = sockets.open(("10.77.0.1", 0), ("10.88.0.7", 9000), flags=CONNECT, mtu_length=1408)
    for _ in range(3):
        assert sockets.send(sender, run(noise(1400))) == (1, [(1, 0)])
    assert sockets.send(sender, run(noise(3 * 1400), 1400), run(b"tail")) == (2, [(3, 0), (1, 0)])
    assert sockets.poll() == []
    stats = sockets.stats()
    assert stats["icmp-errors"] == 1
    assert (stats["tx-segmented"], stats["tx-segmentation-refused"], stats["tx-errors"]) == (0, 1, 0)
    ((_, note),) = sockets.events()
    assert "Message too long" in note
