"""Frames in: what scapy encodes is delivered or dropped under its reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from framelane._native import lib
from framelane.transport.address import Address
from support.netstack import MAC, PEER, PEER6, PEER_MAC, PORT, SELF, SELF6, Netstack

DATA = b"a payload of odd length"


@pytest.fixture
def stack() -> Iterator[Netstack]:
    with Netstack() as made:
        yield made


def ether(**fields: object) -> Packet:
    return Ether(**{"src": PEER_MAC, "dst": MAC, **fields})


def udp(**fields: object) -> Packet:
    return UDP(**{"sport": 5000, "dport": PORT, **fields}) / Raw(DATA)


def v4(**fields: object) -> Packet:
    return ether() / IP(**{"src": PEER, "dst": SELF, **fields})


def v6(**fields: object) -> Packet:
    return ether() / IPv6(**{"src": PEER6, "dst": "fd00::1", **fields})


def at(frame: bytes, offset: int, value: bytes) -> bytes:
    return frame[:offset] + value + frame[offset + len(value) :]


@pytest.mark.parametrize(
    "frame",
    [
        v4() / udp(),
        v4(options=[IPOption_RR(routers=["1.2.3.4"])]) / udp(),
        v4(tos=0xFF, ttl=1, id=7, flags="DF") / udp(),
        v4() / udp(chksum=0),
        v4() / udp() / Raw(bytes(30)),
        v4() / UDP(sport=0, dport=PORT, len=8 + len(DATA)) / Raw(DATA),
        ether() / Dot1Q(vlan=0, prio=3) / IP(src=PEER, dst=SELF) / udp(),
    ],
)
def test_a_datagram_is_delivered(stack: Netstack, frame: Packet) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, PORT))
    raw = bytes(frame)
    for _ in range(3):
        got = stack.receive(endpoint, raw)
        assert got in ([DATA], [DATA + bytes(30)])
    assert stack.counts()["rx-pkts"] == 3


def test_padding_behind_the_packet_is_left_out(stack: Netstack) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, PORT))
    assert stack.receive(endpoint, bytes(v4() / udp()) + bytes(18)) == [DATA]


@pytest.mark.parametrize(
    "extensions",
    [
        None,
        IPv6ExtHdrHopByHop(options=[PadN(optdata=b"1234")]),
        IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt(),
        IPv6ExtHdrRouting(segleft=0, addresses=["fd00::9"]),
    ],
)
def test_a_datagram_over_ipv6_is_delivered(stack: Netstack, extensions: Packet | None) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF6, PORT))
    packet = v6(dst=SELF6) / udp() if extensions is None else v6(dst=SELF6) / extensions / udp()
    assert stack.receive(endpoint, bytes(packet)) == [DATA]


PLAIN = bytes(v4() / udp())
PLAIN6 = bytes(v6() / udp())
LONG = bytes(v4() / UDP(sport=5000, dport=PORT) / Raw(bytes(1000)))


@pytest.mark.parametrize(
    ("reason", "frame"),
    [
        ("rx-malformed", b""),
        ("rx-malformed", PLAIN[:13]),
        ("rx-malformed", PLAIN[:33]),
        ("rx-malformed", PLAIN[:-1]),
        ("rx-malformed", bytes(v4(ihl=4) / udp())),
        ("rx-malformed", bytes(v4(len=19) / udp())),
        ("rx-malformed", bytes(v4(version=5) / udp())),
        ("rx-malformed", bytes(v4() / udp(len=7))),
        ("rx-malformed", bytes(v4() / udp(len=len(DATA) + 9))),
        ("rx-malformed", bytes(v4(proto=17) / Raw(b"1234567"))),
        ("rx-malformed", PLAIN6[:-1]),
        ("rx-malformed", bytes(v6(nh=0) / Raw(b"\x11\xff" + bytes(30)))),
        ("rx-malformed", bytes(v6() / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / udp())),
        ("rx-malformed", bytes(v6(nh=60) / Raw((b"\x3c\x00" + bytes(6)) * 12) / udp())),
        ("rx-other-vlan", bytes(ether() / Dot1Q(vlan=5) / IP(src=PEER, dst=SELF) / udp())),
        ("rx-other-vlan", bytes(ether() / Dot1AD(vlan=5) / Dot1Q(vlan=6) / IP(src=PEER, dst=SELF) / udp())),
        ("rx-malformed", bytes(ether(type=0x8100) / Raw(b"\0\0"))),
        ("rx-unsupported-ethernet-type", bytes(ether(type=0x88CC) / Raw(bytes(50)))),
        ("rx-unsupported-ethernet-type", bytes(ether(type=46) / Raw(bytes(50)))),
        ("rx-unsupported-ethernet-type", bytes(ether() / ARP(psrc=PEER, pdst=SELF))),
        ("rx-unsupported-protocol", bytes(v4() / TCP(dport=PORT))),
        ("rx-unsupported-protocol", bytes(v4() / ICMP())),
        ("rx-unsupported-protocol", bytes(v6() / IPv6ExtHdrRouting(segleft=1, addresses=["fd00::9"]) / udp())),
        ("rx-not-mine", bytes(Ether(src=PEER_MAC, dst="02:00:00:00:00:09") / IP(src=PEER, dst=SELF) / udp())),
        ("rx-not-mine", bytes(v4(dst="127.9.0.77") / udp())),
        ("rx-not-mine", bytes(ether(dst="ff:ff:ff:ff:ff:ff") / IP(src=PEER, dst=SELF) / udp())),
        ("rx-not-mine", bytes(ether(dst="01:00:5e:01:02:03") / IP(src=PEER, dst="239.1.2.3") / udp())),
        ("rx-not-mine", bytes(v4(src="239.1.1.1") / udp())),
        ("rx-no-listener", bytes(v4() / udp(dport=PORT + 1))),
        ("rx-fragments", bytes(v4(flags="MF") / udp())),
        ("rx-fragments", bytes(v4(frag=3) / udp())),
        ("rx-fragments", bytes(v6() / IPv6ExtHdrFragment(m=1) / udp())),
        ("rx-not-mine", at(PLAIN, 5, b"\x77")),
        ("rx-checksum-failure-ip", at(PLAIN, 15, b"\x09")),
        ("rx-checksum-failure-ip", at(PLAIN, 18, b"\x12\x34")),
        ("rx-checksum-failure-ip", at(PLAIN, 24, b"\x12\x34")),
        ("rx-checksum-failure-udp", at(PLAIN, 34, b"\x12\x34")),
        ("rx-checksum-failure-udp", at(PLAIN, 40, b"\x12\x34")),
        ("rx-checksum-failure-udp", at(PLAIN, len(PLAIN) - 1, b"\xff")),
        ("rx-checksum-failure-udp", at(LONG, 500, b"\x01")),
        ("rx-checksum-failure-udp", bytes(v6() / udp(chksum=0))),
    ],
)
def test_what_is_wrong_is_dropped_under_its_reason(stack: Netstack, reason: str, frame: bytes) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, PORT))
    endpoint6 = stack.station.open(bind=Address.of(SELF6, PORT))
    assert stack.receive(endpoint, frame) == []
    assert stack.counts() == {reason: 1}
    # The same after the flow is known, from where its frames take a shorter way.
    assert stack.receive(endpoint, PLAIN) == [DATA]
    assert stack.receive(endpoint, frame) == []
    assert stack.receive(endpoint, PLAIN) == [DATA]
    assert stack.counts()[reason] == 2
    # And between two of that flow in one poll, whose headers are compared with each other.
    stack.port.inject(PLAIN)
    stack.port.inject(frame)
    assert stack.receive(endpoint, PLAIN) == [DATA, DATA]
    assert stack.counts()[reason] == 3
    assert not endpoint6.inbox


def test_a_frame_that_is_cut_short_is_no_shorter_one_with_the_headers_of_the_one_before(stack: Netstack) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, PORT))
    unsummed = bytes(v4() / udp(chksum=0))
    assert stack.receive(endpoint, unsummed) == [DATA]
    stack.port.inject(unsummed)
    stack.port.inject(unsummed[:-1])
    assert stack.receive(endpoint, unsummed) == [DATA, DATA]
    assert stack.counts()["rx-malformed"] == 1


def test_frames_of_one_poll_may_differ_in_any_part_of_their_headers(stack: Netstack) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, PORT))
    stack.station.open(bind=Address.of(SELF, PORT + 1))
    packets = [
        *(
            v4(**fields) / udp()
            for fields in ({}, {"id": 7}, {"tos": 3}, {"ttl": 9}, {"flags": "DF"}, {}, {"src": SELF})
        ),
        v4() / udp(sport=5001),
        v4() / udp() / Raw(b"longer"),
        v4() / udp(chksum=0),
        v4() / udp(),
    ]
    frames = [bytes(packet) for packet in packets]
    for frame in frames:
        assert stack.receive(endpoint, frame), "the flow is known from now on"
    for frame in frames[:-1]:
        stack.port.inject(frame)
    got = stack.receive(endpoint, frames[-1])
    assert got == [DATA] * 8 + [DATA + b"longer", DATA, DATA]
    assert stack.counts() == {"rx-pkts": 22, "rx-bytes": stack.counts()["rx-bytes"]}


def test_a_verdict_of_the_device_replaces_the_sums() -> None:
    wrong = at(at(PLAIN, 24, b"\x12\x34"), 40, b"\x56\x78")
    with Netstack(offloads=lib.FL_PORT_RX_CHECKSUM) as stack:
        endpoint = stack.station.open(bind=Address.of(SELF, PORT))
        stack.set_faults(checksum=lib.FL_CHECKSUM_GOOD)
        assert [stack.receive(endpoint, wrong) for _ in range(3)] == [[DATA]] * 3
        stack.set_faults(checksum=lib.FL_CHECKSUM_BAD)
        assert [stack.receive(endpoint, PLAIN) for _ in range(3)] == [[]] * 3
        assert stack.counts()["rx-checksum-failure-udp"] == 3


def test_a_verdict_is_of_its_frame_alone_and_not_of_others_with_the_same_headers() -> None:
    wrong = at(PLAIN, 24, b"\x12\x34")
    with Netstack(offloads=lib.FL_PORT_RX_CHECKSUM) as stack:
        endpoint = stack.station.open(bind=Address.of(SELF, PORT))
        assert stack.receive(endpoint, PLAIN) == [DATA]
        for verdict in (lib.FL_CHECKSUM_GOOD, lib.FL_CHECKSUM_UNKNOWN, lib.FL_CHECKSUM_GOOD, lib.FL_CHECKSUM_BAD):
            stack.set_faults(checksum=verdict)
            stack.port.inject(wrong)
        stack.set_faults(checksum=lib.FL_CHECKSUM_UNKNOWN)
        assert stack.receive(endpoint, PLAIN) == [DATA] * 3
        counts = stack.counts()
        assert (counts["rx-pkts"], counts["rx-checksum-failure-ip"]) == (4, 2)


def test_without_udp_checksums_none_is_verified_over_ipv4() -> None:
    with Netstack(netstack={"flags": lib.FL_NETSTACK_NO_UDP_CHECKSUM}) as stack:
        endpoint = stack.station.open(bind=Address.of(SELF, PORT))
        assert [stack.receive(endpoint, at(PLAIN, 40, b"\x12\x34")) for _ in range(3)] == [[DATA]] * 3


@pytest.mark.parametrize("takes_vlan", [False, True])
def test_frames_of_the_own_vlan_are_taken_and_no_others(takes_vlan: bool) -> None:
    with Netstack(netstack={"vlan": 5}) as stack:
        stack.set_faults(takes_vlan=takes_vlan)
        endpoint = stack.station.open(bind=Address.of(SELF, PORT))
        own = bytes(ether() / Dot1Q(vlan=5, prio=6) / IP(src=PEER, dst=SELF) / udp())
        other = bytes(ether() / Dot1Q(vlan=6) / IP(src=PEER, dst=SELF) / udp())
        assert [stack.receive(endpoint, frame) for frame in (own, own, other, PLAIN)] == [[DATA], [DATA], [], []]
        assert stack.counts()["rx-other-vlan"] == 2


def test_every_endpoint_of_a_group_gets_the_datagram_whatever_the_capacity(stack: Netstack) -> None:
    group = Address.of("239.1.2.3", PORT)
    flags = lib.FL_ENDPOINT_REUSE_ADDRESS
    endpoints = [
        stack.station.open(bind=group, interface=Address.of(SELF), flags=flags, on_poller=True) for _ in range(5)
    ]
    other = stack.station.open(bind=Address.of("239.1.2.4", PORT), interface=Address.of(SELF), flags=flags)
    frames = [
        bytes(ether(dst="01:00:5e:01:02:03") / IP(src=PEER, dst="239.1.2.3") / UDP(dport=PORT) / Raw(bytes([i])))
        for i in range(7)
    ]
    for capacity in (1, 2, 3, 4, 64):
        for frame in frames:
            stack.port.inject(frame)
        got: list[tuple[int, bytes]] = []
        while runs := stack.station.poll(capacity):
            assert all(run.memory() == run.data for run in runs)
            got += [(run.context, run.data) for run in runs]
            for run in reversed(runs):
                stack.station.release([run])
        expected = [bytes([i]) for i in range(7)]
        for endpoint in endpoints:
            assert [data for context, data in got if context == endpoint.context] == expected
        assert not [data for context, data in got if context == other.context]
        assert stack.port.totals().held == 0
    assert stack.counts()["rx-pkts"] == 35


def test_a_poll_may_be_given_back_in_parts_of_which_the_last_are_its_first(stack: Netstack) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, PORT))
    stack.receive(endpoint, bytes(v4() / udp()))  # the flow is known from now on
    for i in range(6):
        stack.port.inject(bytes(v4() / UDP(dport=PORT) / Raw(bytes([i]))))
    runs = stack.station.poll()
    assert [run.data for run in runs] == [bytes([i]) for i in range(6)]
    stack.station.release(runs[:3])
    assert stack.port.totals().held == 3
    stack.station.release(runs[3:])
    totals = stack.port.totals()
    assert (totals.held, totals.released, totals.double_releases) == (0, 7, 0)


def test_an_endpoint_may_leave_while_a_datagram_of_its_group_is_carried_over(stack: Netstack) -> None:
    group = Address.of("239.1.2.3", PORT)
    endpoints = [
        stack.station.open(bind=group, interface=Address.of(SELF), flags=lib.FL_ENDPOINT_REUSE_ADDRESS)
        for _ in range(3)
    ]
    frame = bytes(ether(dst="01:00:5e:01:02:03") / IP(src=PEER, dst="239.1.2.3") / udp())
    for leaving in list(endpoints):
        stack.port.inject(frame)
        runs = stack.station.poll(1)
        stack.station.remove(leaving)
        stack.station.release(runs)
        rest = stack.station.poll()
        assert leaving.context not in {run.context for run in rest}
        stack.station.release(rest)
        assert stack.port.totals().held == 0


def test_more_flows_than_places_keep_their_sources(stack: Netstack) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, PORT))
    template = v4() / UDP(dport=PORT, chksum=0) / Raw(b"x")
    for turn in range(40):
        ports = [1 + turn * 60 + i for i in range(60)]
        for port in ports:
            stack.port.inject(at(bytes(template), 34, port.to_bytes(2)))
        stack.station.cycle()
        assert [datagram.source for datagram in endpoint.inbox] == [Address.of(PEER, port) for port in ports]
        endpoint.inbox.clear()


def test_a_connected_endpoint_counts_strangers(stack: Netstack) -> None:
    endpoint = stack.station.open(
        role=lib.FL_ROLE_SENDER,
        bind=Address.of(SELF, PORT),
        peer=Address.of(PEER, 5000),
        flags=lib.FL_ENDPOINT_CONNECT,
    )
    assert stack.receive(endpoint, PLAIN) == [DATA]
    assert stack.receive(endpoint, bytes(v4() / udp(sport=5001))) == []
    assert stack.counts()["rx-not-connected-peer"] == 1
    assert endpoint.set_peer(Address.of(PEER, 5001)) == 0
    assert stack.receive(endpoint, bytes(v4() / udp(sport=5001))) == [DATA]
    assert stack.receive(endpoint, PLAIN) == []


def test_what_belongs_to_the_other_agent_is_counted_as_that() -> None:
    with Netstack(queues=2, offloads=lib.FL_PORT_STEERING) as stack:
        station = stack.station
        station.close_poller(station.poller)
        pollers = []
        for queue, roles in ((0, lib.FL_ROLE_SENDER), (1, lib.FL_ROLE_RECEIVER)):
            made = stack.new_poller(queue, roles)
            pollers.append(made)
        receiver = station.open(bind=Address.of(SELF, PORT), on_poller=False)
        sender = station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(SELF, PORT + 1), on_poller=False)
        station.add(receiver, pollers[1])
        station.add(sender, pollers[0])
        assert sorted(queue for _, queue in stack.port.filters()) == [0, 1]
        stack.port.inject(PLAIN, queue=0)
        stack.port.inject(bytes(v4() / udp(dport=PORT + 1)), queue=1)
        assert [station.poll(poller=poller) for poller in pollers] == [[], []]
        assert stack.counts() == {"rx-sender-discard": 1, "rx-receiver-discard": 1}
        station.remove(receiver, pollers[1])
        station.remove(sender, pollers[0])
        station.close_poller(pollers[1])
        station.close_poller(pollers[0])
        station.poller = station.open_poller(0)


@pytest.mark.parametrize(
    ("clock", "has_timestamp"),
    [("FL_CLOCK_NONE", 0), ("FL_CLOCK_SOFTWARE", 1), ("FL_CLOCK_HARDWARE", 0), ("FL_CLOCK_HARDWARE_SYNC", 1)],
)
def test_timestamps_count_if_they_are_in_step_with_real_time(stack: Netstack, clock: str, has_timestamp: int) -> None:
    stack.set_faults(clock=getattr(lib, clock))
    stack.station.open(bind=Address.of(SELF, PORT), flags=lib.FL_ENDPOINT_TIMESTAMPS)
    for _ in range(2):
        stack.port.inject(PLAIN)
        (run,) = stack.station.poll()
        assert bool(run.flags & lib.FL_RUN_TIMESTAMP) == bool(has_timestamp)
        assert bool(run.timestamp_ns) == bool(has_timestamp)
        stack.station.release([run])


def test_an_endpoint_is_granted_the_clock_that_its_port_has() -> None:
    for offloads, clock in ((0, lib.FL_CLOCK_NONE), (lib.FL_PORT_RX_TIMESTAMP, lib.FL_CLOCK_HARDWARE_SYNC)):
        with Netstack(offloads=offloads) as stack:
            endpoint = stack.station.open(bind=Address.of(SELF, PORT), flags=lib.FL_ENDPOINT_TIMESTAMPS)
            assert endpoint.receive_clock == clock


def test_a_poll_with_runs_unreleased_is_refused(stack: Netstack) -> None:
    stack.station.open(bind=Address.of(SELF, PORT))
    stack.port.inject(PLAIN)
    runs = stack.station.poll()
    assert stack.station.ops.poll(stack.station.poller, stack.station._runs, 1) == -lib.FL_EBUSY
    stack.station.release(runs)
    stack.station.release(runs)
    assert stack.port.totals().released == 1
