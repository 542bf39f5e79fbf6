"""Hostile bytes: whatever arrives is dropped under one count or acted upon once, and nothing in use is lost."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.igmp import IGMP_MQ, IGMPv2_MR, IGMPv3_MQ
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLQuery,
    ICMPv6MLQuery2,
    ICMPv6MLReport,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from support.control_stack import REACHABLE, ControlStack, verified

OUR_MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
PEER, PEER6 = "10.0.0.2", "2001:db8::2"
GROUP, GROUP6 = "239.1.1.1", "ff15::1:2:3"

Make = Callable[..., ControlStack]


def seeds() -> list[bytes]:
    """A good frame of every kind that is taken."""
    four = IP(src=PEER, dst="10.0.0.1")
    six = IPv6(src=PEER6, dst="2001:db8::1", hlim=255)
    link = IPv6(src="fe80::9", dst="ff02::1", hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    multicast = IP(src=PEER, dst="224.0.0.1", ttl=1, options=[IPOption_Router_Alert()])
    packets: list[Packet] = [
        ARP(op=1, hwsrc=PEER_MAC, psrc=PEER, pdst="10.0.0.1"),
        ARP(op=2, hwsrc=PEER_MAC, psrc=PEER, hwdst=OUR_MAC, pdst="10.0.0.1"),
        four / ICMP(type=8) / Raw(b"abcdefg"),
        four / ICMP(type=3, code=4, nexthopmtu=1400) / IP(src="10.0.0.1", dst=PEER) / UDP(sport=1, dport=2),
        IP(src=PEER, dst="10.0.0.1", options=[IPOption_NOP()] * 8) / ICMP(type=8),
        multicast / IGMPv3_MQ(gaddr="0.0.0.0", mrcode=1),
        multicast / IGMPv3_MQ(gaddr=GROUP, mrcode=1, srcaddrs=[PEER, "10.0.0.3"]),
        multicast / IGMP_MQ(gaddr="0.0.0.0", mrcode=1),
        IP(src=PEER, dst=GROUP, ttl=1) / IGMPv2_MR(gaddr=GROUP),
        six / ICMPv6ND_NS(tgt="2001:db8::1") / ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC),
        six / ICMPv6ND_NA(S=1, O=1, tgt=PEER6) / ICMPv6NDOptDstLLAddr(lladdr=PEER_MAC),
        six / ICMPv6EchoRequest(data=b"abcd"),
        six / ICMPv6PacketTooBig(mtu=1280) / IPv6(src="2001:db8::1", dst=PEER6) / UDP(sport=1, dport=2),
        link / ICMPv6MLQuery2(mrd=10),
        link / ICMPv6MLQuery(mrd=10),
        IPv6(src="fe80::9", dst=GROUP6, hlim=1)
        / IPv6ExtHdrHopByHop(options=[RouterAlert()])
        / ICMPv6MLReport(mladdr=GROUP6),
    ]
    return [bytes(Ether(src=PEER_MAC, dst="ff:ff:ff:ff:ff:ff") / packet) for packet in packets]


SEEDS = seeds()


def checksum(data: bytes) -> bytes:
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def with_checksums(frame: bytearray) -> bytes:
    """Make the IP header's and the message's checksum right, as far as the frame's bytes lead to them."""
    if frame[12:14] == b"\x08\x00" and len(frame) >= 34:
        header_length = max(20, 4 * (frame[14] & 15))
        frame[24:26] = b"\0\0"
        frame[24:26] = checksum(bytes(frame[14 : 14 + header_length]))
        at, end = 14 + header_length, min(len(frame), 14 + int.from_bytes(frame[16:18], "big"))
        pseudo = b""
    elif frame[12:14] == b"\x86\xdd" and len(frame) >= 62:
        at = 54 + (8 if frame[20] == 0 else 0)
        end = min(len(frame), 54 + int.from_bytes(frame[18:20], "big"))
        pseudo = bytes(frame[22:54]) + max(0, end - at).to_bytes(4, "big") + b"\0\0\0\x3a"
    else:
        return bytes(frame)
    if end - at >= 4:
        frame[at + 2 : at + 4] = b"\0\0"
        frame[at + 2 : at + 4] = checksum(pseudo + bytes(frame[at:end]))
    return bytes(frame)


def make_hostile_stack(make_stack: Make) -> ControlStack:
    """A stack with groups joined and two neighbours in use."""
    stack = make_stack("10.0.0.1/24", "2001:db8::1/64", "fe80::1/64", random=12345, neighbour_capacity=16)
    stack.start()
    stack.join(GROUP)
    stack.join(GROUP6)
    for address in (PEER, PEER6):
        stack.resolve(address)
    stack.receive(SEEDS[1])
    stack.receive(SEEDS[10])
    assert [stack.use(address)[0] for address in (PEER, PEER6)] == [REACHABLE, REACHABLE]
    stack.pass_time(3)
    stack.sent()
    return stack


def dropped(counts: dict[str, int]) -> int:
    return sum(value for name, value in counts.items() if name.startswith("rx-"))


def check_one(stack: ControlStack, frame: bytes) -> None:
    """One frame in: at most one count of a drop, and out at most an answer and a question about who asks."""
    before = stack.counts()
    stack.receive(frame)
    after = stack.counts()
    sent = stack.sent_bytes()
    assert dropped(after) - dropped(before) in (0, 1)
    assert len(sent) <= 2
    assert not sent or after.get("rx-malformed", 0) == before.get("rx-malformed", 0)
    for raw in sent:
        verified(raw)
    assert len(stack.neighbours()) <= 16


EDIT = st.tuples(st.integers(0, 200), st.integers(0, 255))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(SEEDS), st.lists(EDIT, max_size=6), st.one_of(st.none(), st.integers(0, 120)), st.booleans()
)  # fmt: skip
def test_a_frame_with_any_bytes_changed_is_dropped_under_one_count_or_answered(
    make_stack: Make, seed: bytes, edits: list[tuple[int, int]], length: int | None, is_repaired: bool
) -> None:
    frame = bytearray(seed)
    for position, value in edits:
        frame[position % len(frame)] = value
    frame = frame[:length]
    stack = make_hostile_stack(make_stack)
    check_one(stack, with_checksums(frame) if is_repaired and len(frame) > 20 else bytes(frame))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([b"\x08\x00", b"\x08\x06", b"\x86\xdd"]), st.binary(max_size=120))
def test_any_bytes_behind_an_ethernet_header_are_dropped_under_one_count(
    make_stack: Make, ether_type: bytes, rest: bytes
) -> None:
    stack = make_hostile_stack(make_stack)
    check_one(stack, b"\xff" * 6 + bytes.fromhex("020000000002") + ether_type + rest)


@pytest.mark.parametrize(
    ("seed", "frames"),
    [(1, 20_000), (2, 20_000), pytest.param(3, 1_000_000, marks=[pytest.mark.acceptance, pytest.mark.timeout(3600)])],
)
def test_mutated_frames_leave_the_neighbours_in_use_and_the_groups_as_they_were(
    make_stack: Make, seed: int, frames: int
) -> None:
    stack = make_hostile_stack(make_stack)
    source = random.Random(seed)
    for turn in range(frames):
        frame = bytearray(source.choice(SEEDS))
        for _ in range(source.randrange(5)):
            frame[source.randrange(len(frame))] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
        if source.random() < 0.1:
            del frame[source.randrange(len(frame)) :]
        stack.receive(with_checksums(frame) if len(frame) > 20 and source.random() < 0.7 else bytes(frame))
        if turn % 500 == 0:
            stack.pass_time(0.1)
            for address in (PEER, PEER6):
                stack.use(address)
            stack.sent_bytes()
    states = stack.neighbours()
    assert {PEER, PEER6} <= states.keys()
    assert len(states) <= 16
    stack.pass_time(420)
    stack.sent()
    stack.receive(SEEDS[5])
    stack.receive(SEEDS[13])
    reports = [packet for _, packet in stack.pass_time(1)]
    assert len(reports) == 2, "one report of each family: the queriers' versions are forgotten, the groups are not"
