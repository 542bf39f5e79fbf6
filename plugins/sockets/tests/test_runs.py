"""Runs over loopback: what is sent comes out byte for byte, whatever way the kernel carries it."""

from __future__ import annotations

import random
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

CONNECT = 4
TIMESTAMPS = 2
LOOPBACK = ["127.0.0.1", "::1"]
#: 80 Mbit/s, with a queue that never overflows.
LIMITER = ["tbf", "rate", "80mbit", "burst", "4kb", "limit", "9mb"]


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def pair(sockets: Any, host: str, **params: int) -> tuple[Any, Any]:
    """A receive endpoint, and a send endpoint connected to it."""
    receiver = sockets.open((host, 0), role=2, receive_buffer_length=4 << 20)
    sender = sockets.open((host, 0), receiver.address, flags=CONNECT, mtu_length=1408, **params)
    return sender, receiver


def datagrams(received: list[Any]) -> list[bytes]:
    return [datagram for run in received for datagram in run.datagrams]


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("length", [0, 1, 1408, 65507])
def test_a_lone_datagram_arrives_as_it_was_sent(sockets: Any, run: Any, host: str, length: int) -> None:
    sender, receiver = pair(sockets, host)
    assert sockets.send(sender, run(noise(length))) == (1, [(1, 0)])
    (received,) = sockets.receive(1)
    assert received.data == noise(length)
    assert received.segment_length == length
    assert (received.peer, received.local) == (sender.address, receiver.address)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("coalescing", [True, False])
@pytest.mark.parametrize("segmentation", [True, False])
@pytest.mark.parametrize(("length", "segment"), [(47 * 1376, 1376), (47 * 1376 - 1, 1376), (129, 64), (4096, 32)])
def test_a_run_arrives_as_its_datagrams(
    make_sockets: Any,
    run: Any,
    host: str,
    coalescing: bool,
    segmentation: bool,
    length: int,
    segment: int,
) -> None:
    sockets = make_sockets(coalescing=coalescing, segmentation=segmentation, receive_buffers=64)
    sender, _receiver = pair(sockets, host)
    expected = [noise(length)[i : i + segment] for i in range(0, length, segment)]

    assert sockets.send(sender, run(noise(length), segment)) == (1, [(len(expected), 0)])
    received = sockets.receive(len(expected))

    assert datagrams(received) == expected
    stats = sockets.stats()
    assert stats["tx-datagrams"] == stats["rx-datagrams"] == len(expected)
    assert stats["tx-segmented"] == (len(expected) if segmentation else 0)
    assert stats["rx-coalesced"] == (len(expected) if segmentation and coalescing else 0)
    assert (len(received) == 1) == (segmentation and coalescing)


@pytest.mark.parametrize("host", LOOPBACK)
def test_runs_of_every_kind_leave_in_one_system_call(make_sockets: Any, run: Any, host: str) -> None:
    sockets = make_sockets(receive_buffers=64)
    sender, _receiver = pair(sockets, host)
    shapes = [(5000, 1000), (70, 70), (0, 0), (2049, 512), (65507, 1376), (64, 64), (100, 99)]
    runs = [run(noise(length), segment) for length, segment in shapes]

    taken, results = sockets.send(sender, *runs)

    assert taken == len(runs)
    assert [status for _, status in results] == [0] * len(runs)
    assert sockets.stats()["tx-syscalls"] == 1
    expected = [noise(n)[i : i + s] for n, s in shapes for i in (range(0, n, s) if n else [0])]
    assert sum(accepted for accepted, _ in results) == len(expected)
    assert datagrams(sockets.receive(len(expected))) == expected


def test_a_run_beyond_the_kernels_limit_is_cut_into_several(sockets: Any, run: Any) -> None:
    sender, _receiver = pair(sockets, "127.0.0.1")
    count = 3 * sender.params.max_run_segments + 1
    assert sockets.send(sender, run(noise(count * 8), 8)) == (1, [(count, 0)])
    assert b"".join(datagrams(sockets.receive(count))) == noise(count * 8)
    assert sockets.stats()["tx-segmentation-refused"] == 0


def test_more_runs_than_the_vector_holds_are_all_sent(make_sockets: Any, run: Any) -> None:
    sockets = make_sockets(segmentation=False)
    sender, _receiver = pair(sockets, "127.0.0.1")
    runs = [run(noise(3 * 32 + i % 7), 32) for i in range(100)]
    taken, results = sockets.send(sender, *runs)
    assert taken == 100
    count = sum(accepted for accepted, _ in results)
    assert datagrams(sockets.receive(count)) == [r.data[i : i + 32] for r in runs for i in range(0, len(r.data), 32)]


def test_a_malformed_run_is_refused_and_the_rest_of_its_peer_waits(sockets: Any, run: Any) -> None:
    receiver = sockets.open(("127.0.0.1", 0), role=2)
    other = sockets.open(("127.0.0.1", 0), role=2, context=2)
    sender = sockets.open(("127.0.0.1", 0), role=2, context=3)
    first, second, alien = (run.peer(a) for a in (receiver.address, other.address, ("::1", 9)))
    taken, results = sockets.send(
        sender,
        run(b"one", peer=first),
        run(noise(65508), peer=first),
        run(b"late", peer=first),
        run(b"two", peer=second),
        run(b"alien", peer=alien),
        run(b"three", peer=second),
        run(b"nobody"),
    )
    assert results == [(1, 0), (0, -90), (0, -90), (1, 0), (0, -97), (1, 0), (0, -22)]
    assert taken == 3
    assert sorted((r.data, r.context) for r in sockets.receive(3)) == [(b"one", 0), (b"three", 2), (b"two", 2)]


@pytest.mark.root
def test_a_full_send_buffer_takes_a_part_and_the_rest_later(veth: Any, make_sockets: Any, run: Any) -> None:
    """A rate limit on the device keeps what was sent in the socket's send buffer."""
    sockets = make_sockets()
    veth.run(
        veth.left, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "80mbit", "burst", "4kb", "limit", "9mb"
    )
    with veth.inside(veth.right):
        receiver = sockets.open(("10.77.0.2", 0), role=2, receive_buffer_length=1 << 20)
    with veth.inside(veth.left):
        sender = sockets.open(
            ("10.77.0.1", 0), receiver.address, flags=CONNECT, send_buffer_length=20_000, mtu_length=1408
        )
    data = noise(400 * 1000)
    sent = 0
    partial = 0
    received: list[bytes] = []
    while len(received) < 400:
        if sent < 400:
            runs = [run(data[i * 1000 : (i + 4) * 1000], 1000) for i in range(sent, min(sent + 40, 397), 4)]
            taken, results = sockets.send(sender, *runs)
            if taken < len(runs):
                assert [status for _, status in results] == [0] * taken + [-11] * (len(runs) - taken)
                assert all(accepted == 0 for accepted, _ in results[taken + 1 :])
                partial += 1
            accepted = sum(accepted for accepted, _ in results)
            assert accepted % 4 == 0
            sent += accepted
        received += datagrams(sockets.poll())
    assert partial > 0
    assert b"".join(received) == data
    assert sockets.stats()["tx-eagain"] == partial


def test_receive_timestamps_come_with_every_datagram_and_without_coalescing(sockets: Any, run: Any) -> None:
    receiver = sockets.open(("127.0.0.1", 0), role=2, flags=TIMESTAMPS)
    sender = sockets.open(("127.0.0.1", 0), receiver.address, flags=CONNECT, mtu_length=1408)
    sockets.send(sender, run(noise(10 * 1000), 1000))
    received = sockets.receive(10)
    assert [r.data for r in received] == [noise(10_000)[i : i + 1000] for i in range(0, 10_000, 1000)]
    assert all(r.flags == 4 and r.timestamp_ns > 1_600_000_000 * 10**9 for r in received)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_wildcard_endpoint_knows_the_address_and_answers_from_it(sockets: Any, run: Any, host: str) -> None:
    wildcard = "0.0.0.0" if host == "127.0.0.1" else "::"
    target = "127.0.0.9" if host == "127.0.0.1" else "::1"
    server = sockets.open((wildcard, 0), role=2, context=1)
    client = sockets.open((host, 0), (target, server.address[1]), flags=CONNECT, context=2, mtu_length=1408)
    sockets.send(client, run(b"question"))
    (question,) = sockets.receive(1)
    assert (question.local, question.peer) == ((target, server.address[1]), client.address)
    answer = run(noise(2500), 1000, peer=run.peer(question.peer), local=question.local)
    assert sockets.send(server, answer) == (1, [(3, 0)])
    received = sockets.receive(3)
    assert b"".join(datagrams(received)) == noise(2500)
    assert {(r.context, r.peer) for r in received} == {(2, question.local)}


def test_an_ipv6_wildcard_serves_ipv4_peers_too(sockets: Any, run: Any) -> None:
    server = sockets.open(("::", 0), role=2, context=1)
    client = sockets.open(("127.0.0.1", 0), ("127.0.0.9", server.address[1]), flags=CONNECT, context=2)
    sockets.send(client, run(b"question"))
    (question,) = sockets.receive(1)
    assert IPv6Address(question.peer[0]).ipv4_mapped == IPv4Address("127.0.0.1")
    assert IPv6Address(question.local[0]).ipv4_mapped == IPv4Address("127.0.0.9")
    sockets.send(server, run(b"answer", peer=run.peer(question.peer), local=question.local))
    (answer,) = sockets.receive(1)
    assert (answer.data, answer.peer[0]) == (b"answer", "127.0.0.9")


def test_a_connected_endpoint_hears_its_peer_only(sockets: Any, run: Any) -> None:
    peer = sockets.open(("127.0.0.1", 0), role=2, context=1)
    stranger = sockets.open(("127.0.0.1", 0), role=2, context=2)
    connected = sockets.open(("127.0.0.1", 0), peer.address, flags=CONNECT, context=3)
    sockets.send(stranger, run(b"stranger", peer=run.peer(connected.address)))
    sockets.send(peer, run(b"peer", peer=run.peer(connected.address)))
    assert [(r.data, r.context) for r in sockets.receive(1)] == [(b"peer", 3)]
    assert sockets.poll() == []


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", "::"])
@pytest.mark.parametrize("connect", [CONNECT, 0])
def test_set_peer_turns_to_the_new_peer_and_keeps_the_port(sockets: Any, run: Any, bind: str, connect: int) -> None:
    loopback = "::1" if bind == "::" else "127.0.0.1"
    receivers = [sockets.open((loopback, 0), role=2, context=c) for c in (1, 2)]
    sender = sockets.open((bind, 0), receivers[0].address, flags=connect, context=3)
    sockets.send(sender, run(b"to the first"))
    (first,) = sockets.receive(1)
    peer = run.peer(receivers[1].address)
    assert sockets.ops.set_peer(sender.handle, peer) == 0
    sockets.send(sender, run(b"to the second"))
    (second,) = sockets.receive(1)
    assert (first.context, second.context) == (1, 2)
    assert first.peer == second.peer == (loopback, sender.address[1])
    sockets.send(receivers[1], run(b"back", peer=run.peer(second.peer)))
    assert [(r.data, r.context) for r in sockets.receive(1)] == [(b"back", 3)]


def test_a_refused_datagram_is_consumed_and_what_follows_is_sent(sockets: Any, run: Any) -> None:
    """On loopback the ICMP error of one datagram is there when the next one is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        peer = placeholder.getsockname()
    sender = sockets.open(("127.0.0.1", 0), peer, flags=CONNECT, mtu_length=1408)
    for _ in range(5):
        assert sockets.send(sender, run(b"x")) == (1, [(1, 0)])
    assert sockets.send(sender, run(b"a"), run(noise(3000), 1000), run(b"b")) == (3, [(1, 0), (3, 0), (1, 0)])
    assert sockets.poll() == []
    assert sockets.stats()["icmp-errors"] >= 4

    sockets.send(sender, run(b"refused"))
    receiver = sockets.open(peer, role=2)
    sockets.send(receiver, run(b"behind the error", peer=run.peer(sender.address)))
    assert [r.data for r in sockets.poll()] == [b"behind the error"]
    assert sockets.send(sender, run(b"now")) == (1, [(1, 0)])
    assert [r.data for r in sockets.receive(1)] == [b"now"]


@pytest.mark.parametrize("endpoints", [1, 2, 3, 80])
def test_endpoints_take_turns_and_each_keeps_its_order(make_sockets: Any, run: Any, endpoints: int) -> None:
    sockets = make_sockets(receive_buffers=2)
    receivers = [sockets.open(("127.0.0.1", 0), role=2, context=c) for c in range(endpoints)]
    far = make_sockets()
    sender = far.open(("127.0.0.1", 0))
    peers = [run.peer(r.address) for r in receivers]
    for i in range(20):
        for peer in peers:
            assert far.send(sender, run(b"%d" % i, peer=peer))[0] == 1

    order: dict[int, list[int]] = {c: [] for c in range(endpoints)}
    served_when_first_done = None
    for _ in range(20 * endpoints):
        for received in sockets.poll(2):
            order[received.context].append(int(received.data))
        if served_when_first_done is None and any(len(got) == 20 for got in order.values()):
            served_when_first_done = [len(got) for got in order.values()]
    assert all(got == list(range(20)) for got in order.values())
    assert served_when_first_done is not None and min(served_when_first_done) > 0
