"""ICMP and ICMPv6: echo is answered, errors are counted, a link with a shorter MTU is told of (bypass 5.6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from support.control_stack import ControlStack

OURS, OURS6, OUR_MAC = "10.0.0.1", "2001:db8::1", "02:00:00:00:00:01"
PEER, PEER6, PEER_MAC = "192.168.9.9", "2001:db8:9::9", "02:00:00:00:00:02"
FAR, FAR6 = "203.0.113.7", "2001:db8:ffff::7"

Make = Callable[..., ControlStack]


@pytest.fixture
def stack(make_stack: Make) -> ControlStack:
    return make_stack(f"{OURS}/24", f"{OURS6}/64")


def ip(source: str = PEER, destination: str = OURS, to: str = OUR_MAC, **fields: object) -> Packet:
    layer = IPv6 if ":" in source else IP
    return Ether(src=PEER_MAC, dst=to) / layer(src=source, dst=destination, **fields)


def echo(data: bytes = b"abc") -> Packet:
    return ip(ttl=3) / ICMP(type=8, id=0x1234, seq=7) / Raw(data)


@pytest.mark.parametrize("data", [b"", b"x", b"abcdefgh" * 180])
def test_an_echo_comes_back_with_its_id_sequence_and_data(stack: ControlStack, data: bytes) -> None:
    stack.receive(echo(data))
    (answer,) = stack.sent()
    assert (answer.dst, answer.src) == (PEER_MAC, OUR_MAC)
    assert (answer[IP].src, answer[IP].dst, answer[IP].ttl) == (OURS, PEER, 64)
    message = answer[ICMP]
    assert (message.type, message.code, message.id, message.seq) == (0, 0, 0x1234, 7)
    assert bytes(message.payload) == data
    assert stack.counts() == {"echo-answers": 1}


@pytest.mark.parametrize("data", [b"", b"xyz"])
def test_an_icmpv6_echo_comes_back_with_its_id_sequence_and_data(stack: ControlStack, data: bytes) -> None:
    stack.receive(ip(PEER6, OURS6) / ICMPv6EchoRequest(id=0x4321, seq=9, data=data))
    (answer,) = stack.sent()
    assert (answer.dst, answer[IPv6].src, answer[IPv6].dst) == (PEER_MAC, OURS6, PEER6)
    message = answer[ICMPv6EchoReply]
    assert (message.id, message.seq, message.data, answer[IPv6].hlim) == (0x4321, 9, data, 64)


def test_an_echo_makes_no_neighbour(stack: ControlStack) -> None:
    stack.receive(echo())
    assert stack.neighbours() == {}


def test_an_echo_with_ip_options_is_answered_without_them(stack: ControlStack) -> None:
    stack.receive(ip(options=[IPOption_NOP()] * 4) / ICMP(type=8))
    (answer,) = stack.sent()
    assert answer[IP].options == []


@pytest.mark.parametrize(
    ("source", "destination", "to"),
    [
        (PEER, "10.0.0.255", "ff:ff:ff:ff:ff:ff"),
        (PEER, "224.0.0.1", "01:00:5e:00:00:01"),
        ("0.0.0.0", OURS, OUR_MAC),
        ("224.0.0.5", OURS, OUR_MAC),
        ("10.0.0.255", OURS, OUR_MAC),
        (OURS, OURS, OUR_MAC),
        ("127.0.0.1", OURS, OUR_MAC),
    ],
)
def test_an_echo_to_many_or_from_nobody_is_not_answered(
    stack: ControlStack, source: str, destination: str, to: str
) -> None:
    stack.receive(ip(source, destination, to) / ICMP(type=8))
    assert stack.sent() == []


def test_an_echo_to_all_nodes_is_not_answered(stack: ControlStack) -> None:
    stack.receive(ip(PEER6, "ff02::1", "33:33:00:00:00:01") / ICMPv6EchoRequest())
    assert stack.sent() == []
    assert stack.counts() == {"rx-control-ignored": 1}


def test_echoes_beyond_the_limit_are_counted_and_not_answered(stack: ControlStack) -> None:
    stack.receive(echo(), times=300)
    assert len(stack.sent()) == 256
    assert stack.counts() == {"echo-answers": 256, "echo-limited": 44}
    stack.pass_time(0.1)
    stack.receive(echo(), times=300)
    assert len(stack.sent()) == 100


def test_an_unreachable_of_ours_is_counted(stack: ControlStack) -> None:
    stack.receive(ip(FAR) / ICMP(type=3, code=3) / IP(src=OURS, dst=PEER) / UDP(sport=1, dport=2))
    stack.receive(ip(FAR6, OURS6) / ICMPv6DestUnreach(code=4) / IPv6(src=OURS6, dst=PEER6) / UDP(sport=1, dport=2))
    assert stack.counts() == {"icmp-unreachables": 2}
    assert stack.log() == ""


def test_a_link_with_a_shorter_mtu_is_logged_with_both_numbers_once_in_ten_seconds(stack: ControlStack) -> None:
    needed = ip(FAR) / ICMP(type=3, code=4, nexthopmtu=1400) / IP(src=OURS, dst=PEER) / UDP(sport=1, dport=2)
    stack.receive(needed)
    stack.receive(needed)
    (line,) = stack.log().splitlines()
    assert all(text in line for text in (PEER, FAR, "1400", "1500"))
    stack.pass_time(10)
    stack.receive(ip(FAR6, OURS6) / ICMPv6PacketTooBig(mtu=1280) / IPv6(src=OURS6, dst=PEER6) / UDP(sport=1, dport=2))
    line = stack.log().splitlines()[1]
    assert all(text in line for text in (PEER6, FAR6, "1280", "1500"))
    assert stack.counts() == {"icmp-unreachables": 3}


@pytest.mark.parametrize(
    "quoted",
    [
        IP(src=PEER, dst=FAR) / UDP(sport=1, dport=2),
        IP(src=OURS, dst=FAR, proto=6) / Raw(bytes(8)),
        Raw(b"\x45" + bytes(18)),
        Raw(b""),
    ],
    ids=["not-ours", "not-udp", "cut", "nothing"],
)
def test_an_error_about_what_we_did_not_send_is_ignored(stack: ControlStack, quoted: Packet) -> None:
    stack.receive(ip(FAR) / ICMP(type=3, code=4, nexthopmtu=68) / quoted)
    assert stack.counts() == {"rx-control-ignored": 1}
    assert stack.log() == ""


@pytest.mark.parametrize("kind", [0, 4, 5, 9, 11, 13, 17, 255])
def test_other_icmp_is_ignored(stack: ControlStack, kind: int) -> None:
    stack.receive(ip() / Raw(bytes(ICMP(type=kind))[:1] + checksummed(kind)))
    assert stack.sent() == []
    assert stack.counts() in ({"rx-control-ignored": 1}, {"rx-unsupported-protocol": 1})


def checksummed(kind: int) -> bytes:
    """The rest of an ICMP message of eight bytes."""
    checksum = 0xFFFF ^ (kind << 8)
    return bytes([0, checksum >> 8, checksum & 0xFF, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ip() / ICMP(type=8, chksum=0x1111) / Raw(b"abc"), "rx-checksum-failure-control"),
        (ip(proto=1) / Raw(b"\x08\x00\xf7\xff"), "rx-malformed"),
        (ip(PEER6, OURS6) / ICMPv6EchoRequest(cksum=0x1111), "rx-checksum-failure-control"),
        (ip(PEER6, OURS6, nh=58) / Raw(b"\x80\x00\x00"), "rx-malformed"),
    ],
    ids=["checksum", "cut", "checksum6", "cut6"],
)
def test_a_malformed_message_is_counted_and_has_no_effect(stack: ControlStack, broken: Packet, reason: str) -> None:
    stack.receive(broken)
    assert stack.sent() == []
    assert stack.counts() == {reason: 1}
