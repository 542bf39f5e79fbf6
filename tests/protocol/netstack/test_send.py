"""Frames out: what the netstack sends is what scapy decodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from framelane._native import ffi, lib
from framelane.errors import NativeError
from framelane.testing.station import Endpoint, Run, RunResult
from framelane.transport.address import Address
from support.netstack import MAC, PEER, PEER6, PEER_MAC, PORT, RESERVED, SELF, SELF6, Netstack

TO = Address.of(PEER, 5000)


@pytest.fixture
def stack() -> Iterator[Netstack]:
    with Netstack() as made:
        yield made


def sender(stack: Netstack, peer: Address | None = TO, bind: str = SELF, **options: object) -> Endpoint:
    return stack.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(bind, PORT), peer=peer, **options)


def check_sums(frame: bytes) -> Packet:
    """Decode a frame; its checksums are those that scapy computes."""
    packet = Ether(frame)
    again = packet.copy()
    for layer in (IP, UDP):
        if layer in again:
            del again[layer].chksum
    if packet[UDP].chksum == 0xFFFF:
        again[UDP].chksum = 0xFFFF
    assert bytes(again) == frame, "a checksum is wrong"
    return packet


OFFLOADS = [
    0,
    lib.FL_PORT_TX_CHECKSUM_IPV4,
    lib.FL_PORT_TX_CHECKSUM_UDP,
    lib.FL_PORT_TX_CHECKSUM_IPV4 | lib.FL_PORT_TX_CHECKSUM_UDP | lib.FL_PORT_TX_PAYLOAD,
]


@pytest.mark.parametrize("offloads", OFFLOADS)
@pytest.mark.parametrize("ip", [SELF, SELF6])
@pytest.mark.parametrize("vlan", [None, 5])
def test_every_field_of_a_frame_is_right(offloads: int, ip: str, vlan: int | None) -> None:
    with Netstack(offloads=offloads, netstack={} if vlan is None else {"vlan": vlan}) as stack:
        peer = Address.of(PEER6 if ":" in ip else PEER, 5000)
        endpoint = sender(stack, peer, ip)
        data = bytes(range(250)) * 4 + b"odd"
        for length in (0, 1, 2, 47, 64, 128, 1003):
            assert endpoint.send([Run(data[:length])]) == (1, [RunResult(1, 0)])
            sent = stack.port.take()
            assert sent is not None
            packet = check_sums(sent.data)
            assert (packet[Ether].src, packet[Ether].dst) == (MAC, PEER_MAC)
            assert (Dot1Q in packet, packet[Dot1Q].vlan if vlan else None) == (vlan is not None, vlan)
            network = packet[IPv6 if ":" in ip else IP]
            assert (network.src, network.dst) == (ip, str(peer.ip))
            assert (network.hlim if ":" in ip else network.ttl) == 64
            assert (packet[UDP].sport, packet[UDP].dport, packet[UDP].len) == (PORT, 5000, length + 8)
            assert bytes(packet[UDP].payload) == data[:length]
            assert len(sent.data) == (14 if vlan is None else 18) + (48 if ":" in ip else 28) + length


def test_a_checksum_that_comes_out_as_0_is_sent_as_ffff(stack: Netstack) -> None:
    endpoint = sender(stack)
    endpoint.send([Run(bytes(2))])
    (frame,) = stack.port.take_all()
    endpoint.send([Run(frame[40:42])])  # adding the complement of the sum makes it 0
    assert stack.port.take_all()[0][40:42] == b"\xff\xff"


def test_without_checksums_ipv4_carries_0_and_ipv6_a_sum() -> None:
    with Netstack(netstack={"flags": lib.FL_NETSTACK_NO_UDP_CHECKSUM}) as stack:
        sender(stack).send([Run(b"four")])
        assert stack.port.take_all()[0][40:42] == bytes(2)
        sender(stack, Address.of(PEER6, 5000), SELF6).send([Run(b"six")])
        check_sums(stack.port.take_all()[0])


@pytest.mark.parametrize(
    ("group", "mac", "ttl"), [("239.129.2.3", "01:00:5e:01:02:03", 3), ("ff15::1:2:3", "33:33:00:02:00:03", 0)]
)
def test_a_group_has_its_mac_address_and_hop_limit(stack: Netstack, group: str, mac: str, ttl: int) -> None:
    source = SELF6 if ":" in group else SELF
    endpoint = stack.station.open(
        role=lib.FL_ROLE_SENDER, bind=Address.of(source), peer=Address.of(group, 5000), ttl=ttl
    )
    endpoint.send([Run(b"data")])
    packet = check_sums(stack.port.take_all()[0])
    assert packet[Ether].dst == mac
    assert (packet[IPv6].hlim if ":" in group else packet[IP].ttl) == (ttl or 1)
    assert packet[UDP].sport == endpoint.local.port


def test_a_reply_leaves_from_the_address_that_was_asked_for(stack: Netstack) -> None:
    stack.port.set_addresses([f"{SELF}/24", "127.9.0.9/24"])
    endpoint = stack.station.open(bind=Address.of("0.0.0.0", 0))
    runs = [Run(b"x", peer=TO, local=Address.of(ip)) for ip in (SELF, "127.9.0.9", "127.9.0.77")]
    endpoint.send(runs)
    assert [Ether(frame)[IP].src for frame in stack.port.take_all()] == [SELF, "127.9.0.9", SELF]


LENGTHS = st.tuples(st.integers(1, 1472), st.integers(0, 9000))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=st.lists(LENGTHS, min_size=1, max_size=12), burst=st.integers(0, 40), alloc=st.integers(0, 40))
def test_what_is_accepted_is_sent_in_order_and_nothing_else(
    stack: Netstack, shapes: list[tuple[int, int]], burst: int, alloc: int
) -> None:
    """Of every peer's runs a beginning is sent, whatever the port accepts; the results say which."""
    endpoint = sender(stack, None) if not stack.station.endpoints else next(iter(stack.station.endpoints.values()))
    stack.set_faults(tx_burst_limit=burst, tx_alloc_limit=alloc)
    peers = [Address.of(PEER, 5000 + i % 3) for i in range(len(shapes))]
    runs = [Run(bytes([i]) * min(total, segment * 64), segment, peers[i]) for i, (segment, total) in enumerate(shapes)]
    whole, results = endpoint.send(runs)
    stack.set_faults()
    sent = [check_sums(frame)[UDP] for frame in stack.port.take_all()]
    expected = []
    for run, result in zip(runs, results, strict=True):
        datagrams = run.datagrams()
        assert result.accepted <= len(datagrams)
        assert (result.status == 0) == (result.accepted == len(datagrams)), result
        assert result.status in (0, -lib.FL_EAGAIN)
        assert run.peer is not None
        expected += [(run.peer.port, data) for data in datagrams[: result.accepted]]
    assert [(udp.dport, bytes(udp.payload)) for udp in sent] == expected
    assert whole == sum(result.status == 0 for result in results)
    for port in {peer.port for peer in peers}:
        statuses = [result for peer, result in zip(peers, results, strict=True) if peer.port == port]
        stopped = [i for i, result in enumerate(statuses) if result.status]
        assert all(result.accepted == 0 for result in statuses[stopped[0] + 1 :]) if stopped else True
    totals = stack.port.totals()
    assert totals.allocated == totals.transmitted + totals.outstanding + totals.freed


def test_frames_of_many_runs_share_a_burst(stack: Netstack) -> None:
    endpoint = sender(stack)
    assert endpoint.send([Run(b"x" * 30) for _ in range(200)])[0] == 200
    assert stack.port.totals().bursts == 4


def test_one_peers_obstacle_stops_no_other(stack: Netstack) -> None:
    endpoint = sender(stack, None)
    stack.port.set_neighbour("127.9.0.3", "00:00:00:00:00:00", 5)
    failed = Address.of("127.9.0.3", 1)
    _, results = endpoint.send(
        [
            Run(b"1", peer=failed),
            Run(b"2", peer=TO),
            Run(b"3", peer=failed),
            Run(b"4", peer=Address.of("10.9.9.9", 1)),
            Run(b"5", peer=TO),
            Run(b"6", peer=Address.of(PEER6, 1)),
        ]
    )
    statuses = [result.status for result in results]
    unreachable = -lib.FL_EHOSTUNREACH
    assert statuses == [unreachable, 0, unreachable, -lib.FL_ENETUNREACH, 0, -lib.FL_EAFNOSUPPORT]
    assert [frame[-1:] for frame in stack.port.take_all()] == [b"2", b"5"]


def test_datagrams_wait_for_their_neighbour_and_leave_in_order(stack: Netstack) -> None:
    endpoint = sender(stack, None)
    stranger = Address.of("127.9.0.7", 5000)
    data = b"".join(bytes([i]) * 10 for i in range(5))
    assert endpoint.send([Run(data, 10, stranger), Run(b"other", peer=TO)]) == (
        1,
        [RunResult(3, -lib.FL_EAGAIN), RunResult(1, 0)],
    )
    assert endpoint.send([Run(b"more", peer=stranger)])[1] == [RunResult(0, -lib.FL_EAGAIN)]
    assert [frame[42:] for frame in stack.port.take_all()] == [b"other"]
    assert stack.port.wishes() == ["127.9.0.7"]
    stack.port.set_neighbour("127.9.0.7", "02:00:00:00:00:07", RESERVED)
    assert endpoint.send([Run(b"after", peer=stranger)])[0] == 1
    frames = stack.port.take_all()
    assert [frame[42:] for frame in frames] == [data[:10], data[10:20], data[20:30], b"after"]
    assert {Ether(frame).dst for frame in frames} == {"02:00:00:00:00:07"}
    assert stack.counts()["tx-waited-for-neighbour"] == 3


def test_datagrams_to_a_neighbour_that_never_answers_are_dropped_and_counted(stack: Netstack) -> None:
    endpoint = sender(stack, None)
    now = lib.fl_clock_nano(stack.port.host.clock)
    stack.housekeeping(now)
    stack.station.cycle()
    endpoint.send([Run(b"lost", peer=Address.of("127.9.0.7", 1)), Run(b"too", peer=Address.of("127.9.0.8", 1))])
    stack.port.set_neighbour("127.9.0.7", "00:00:00:00:00:00", 5)
    stack.station.cycle()
    assert stack.counts()["tx-unresolved"] == 1
    stack.housekeeping(now + 4_000_000_000)
    stack.station.cycle()
    assert stack.counts()["tx-unresolved"] == 2


def test_a_change_of_the_neighbour_is_seen_by_the_next_datagram(stack: Netstack) -> None:
    endpoint = sender(stack)
    endpoint.send([Run(b"1")])
    stack.port.set_neighbour(PEER, "02:00:00:00:00:22", RESERVED)
    endpoint.send([Run(b"2")])
    stack.port.set_routes([("127.9.0.2/32", "127.9.0.5")])
    stack.port.set_neighbour("127.9.0.5", "02:00:00:00:00:55", RESERVED)
    endpoint.send([Run(b"3")])
    macs = [Ether(frame).dst for frame in stack.port.take_all()]
    assert macs == [PEER_MAC, "02:00:00:00:00:22", "02:00:00:00:00:55"]


def test_held_runs_point_at_registered_memory_and_come_back_in_order() -> None:
    with Netstack(offloads=lib.FL_PORT_TX_PAYLOAD) as stack:
        endpoint = sender(stack)
        memory, region = ffi.new("uint8_t[]", 4096), ffi.new("uint64_t *")
        binding = stack.transport.binding
        assert stack.station.ops.register_memory(binding.transport, memory, 4096, region) == 0
        ffi.buffer(memory)[:] = bytes(range(256)) * 16
        stack.set_faults(holds_completions=True)
        runs = ffi.new("fl_run_t[]", 3)
        elsewhere = ffi.new("uint8_t[]", 100)
        for i, (data, length) in enumerate([(memory, 1000), (elsewhere, 100), (memory + 2000, 2096)]):
            runs[i].data, runs[i].length, runs[i].segment_length = data, length, 300
            runs[i].flags, runs[i].token = lib.FL_RUN_HOLD, 100 + i
        assert stack.station.ops.send(endpoint.native, runs, 3) == 3
        sent = list(iter(stack.port.take, None))
        assert [frame.payload_length for frame in sent] == [300, 300, 300, 100, 0, *[300] * 6, 296]
        payload = b"".join(bytes(check_sums(frame.data)[UDP].payload) for frame in sent)
        assert payload == bytes(ffi.buffer(memory))[:1000] + bytes(100) + bytes(ffi.buffer(memory))[2000:]
        assert stack.station.reap() == []
        stack.station.remove(endpoint)
        assert stack.station.ops.close_endpoint(endpoint.native) == -lib.FL_EBUSY
        stack.set_faults()
        assert stack.station.reap() == [(100, 0), (101, 0), (102, 0)]
        assert stack.station.ops.unregister_memory(binding.transport, region[0]) == 0
        # What is not accepted does not come back; what is accepted in part does, once.
        stack.station.add(endpoint)
        assert stack.station.ops.register_memory(binding.transport, memory, 4096, region) == 0
        stack.set_faults(tx_burst_limit=2)
        assert stack.station.ops.send(endpoint.native, runs, 3) == 0
        assert [run.accepted for run in runs] == [2, 0, 0]
        assert stack.station.reap() == [(100, 0)]
        stack.set_faults()
        stack.port.take_all()


def test_a_datagram_too_long_for_the_route_is_refused(stack: Netstack) -> None:
    with pytest.raises(NativeError, match=r"1473 bytes and 28 bytes of headers .* 1500 bytes") as raised:
        stack.station.open(bind=Address.of(SELF), mtu_length=1473)
    assert raised.value.code == lib.FL_EMSGSIZE
    endpoint = sender(stack)
    assert endpoint.send([Run(bytes(1473))])[1] == [RunResult(0, -lib.FL_EMSGSIZE)]
    assert endpoint.send([Run(bytes(1472))])[1] == [RunResult(1, 0)]
    stack.port.take_all()


def test_a_lost_device_says_so_once_and_for_good(stack: Netstack) -> None:
    endpoint = sender(stack)
    stack.set_faults(is_removed=True)
    assert endpoint.send([Run(b"gone")])[1] == [RunResult(0, -lib.FL_ENODEV)]
    events = ffi.new("fl_event_t[]", 8)
    binding = stack.transport.binding
    kinds = []
    for _ in range(3):
        count = stack.station.ops.events(binding.transport, events, 8)
        kinds += [events[i].kind for i in range(max(count, 0))]
    assert kinds.count(lib.FL_EVENT_REMOVED) == 1
    stack.set_faults()
    assert endpoint.send([Run(b"still gone")])[1] == [RunResult(0, -lib.FL_ENODEV)]
    assert stack.station.ops.reap(stack.station.poller, ffi.NULL, 0) == -lib.FL_ENODEV
    endpoint.close()
