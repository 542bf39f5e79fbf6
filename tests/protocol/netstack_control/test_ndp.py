"""Neighbour discovery: what we answer, learn, announce and report (RFC 4861, RFC 4862; bypass 5.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from support.control_stack import FAILED, INCOMPLETE, PROBE, REACHABLE, STALE, ControlStack, mld_records

OURS, OUR_LINK, OUR_MAC = "2001:db8::12:3456", "fe80::1", "02:00:00:00:00:01"
PEER, PEER_LINK, PEER_MAC = "2001:db8::ab:cdef", "fe80::2", "02:00:00:00:00:02"
OTHER_MAC = "02:00:00:00:00:99"
OUR_GROUP, OUR_GROUP_MAC = "ff02::1:ff12:3456", "33:33:ff:12:34:56"
PEER_GROUP, PEER_GROUP_MAC = "ff02::1:ffab:cdef", "33:33:ff:ab:cd:ef"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"

Make = Callable[..., ControlStack]


@pytest.fixture
def stack(make_stack: Make) -> ControlStack:
    """A stack that has announced itself."""
    stack = make_stack(f"{OURS}/64", f"{OUR_LINK}/64")
    stack.start()
    stack.pass_time(3)
    stack.sent()
    return stack


def ip(source: str = PEER, destination: str = OUR_GROUP, mac: str = PEER_MAC, to: str = OUR_GROUP_MAC) -> Packet:
    return Ether(src=mac, dst=to) / IPv6(src=source, dst=destination, hlim=255)


def solicitation(target: str = OURS, mac: str = PEER_MAC) -> Packet:
    return ip(mac=mac) / ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=mac)


def advertisement(
    target: str = PEER, mac: str | None = PEER_MAC, solicited: int = 1, override: int = 1, to: str = OURS
) -> Packet:
    to_mac = ALL_NODES_MAC if to == ALL_NODES else OUR_MAC
    message = ip(target, to, mac or PEER_MAC, to_mac) / ICMPv6ND_NA(R=0, S=solicited, O=override, tgt=target)
    return message if mac is None else message / ICMPv6NDOptDstLLAddr(lladdr=mac)


def test_a_solicitation_for_our_address_is_answered_to_its_sender_and_its_sender_learnt(stack: ControlStack) -> None:
    stack.receive(solicitation())
    (answer,) = stack.sent()
    assert (answer.dst, answer.src) == (PEER_MAC, OUR_MAC)
    assert (answer[IPv6].src, answer[IPv6].dst, answer[IPv6].hlim) == (OURS, PEER, 255)
    message = answer[ICMPv6ND_NA]
    assert (message.tgt, message.R, message.S, message.O) == (OURS, 0, 1, 1)
    assert answer[ICMPv6NDOptDstLLAddr].lladdr == OUR_MAC
    assert stack.use(PEER) == (STALE, PEER_MAC)


def test_a_unicast_solicitation_without_a_mac_address_is_answered_and_not_learnt(stack: ControlStack) -> None:
    stack.receive(ip(destination=OURS, to=OUR_MAC) / ICMPv6ND_NS(tgt=OURS))
    (answer,) = stack.sent()
    assert (answer.dst, answer[ICMPv6ND_NA].S) == (PEER_MAC, 1)
    assert stack.neighbours() == {}


def test_a_duplicate_address_detection_is_answered_to_all_nodes_and_not_learnt(stack: ControlStack) -> None:
    stack.receive(ip(source="::") / ICMPv6ND_NS(tgt=OURS))
    (answer,) = stack.sent()
    assert (answer.dst, answer[IPv6].dst) == (ALL_NODES_MAC, ALL_NODES)
    assert (answer[ICMPv6ND_NA].S, answer[ICMPv6ND_NA].O) == (0, 1)
    assert stack.neighbours() == {}


def test_a_solicitation_for_another_address_is_ignored(stack: ControlStack) -> None:
    before = stack.counts().get("rx-control-ignored", 0)
    stack.receive(solicitation(target="2001:db8::99:3456"))
    assert stack.sent() == []
    assert stack.neighbours() == {}
    assert stack.counts()["rx-control-ignored"] == before + 1


def test_a_wanted_neighbour_is_asked_at_its_solicited_node_group(stack: ControlStack) -> None:
    stack.resolve(PEER)
    (asked,) = stack.sent()
    assert (asked.dst, asked[IPv6].dst, asked[IPv6].src) == (PEER_GROUP_MAC, PEER_GROUP, OURS)
    assert (asked[IPv6].hlim, asked[ICMPv6ND_NS].tgt) == (255, PEER)
    assert asked[ICMPv6NDOptSrcLLAddr].lladdr == OUR_MAC
    assert stack.state(PEER) == INCOMPLETE
    stack.receive(advertisement())
    assert stack.use(PEER) == (REACHABLE, PEER_MAC)


def test_a_link_local_neighbour_is_asked_from_our_link_local_address(stack: ControlStack) -> None:
    stack.resolve(PEER_LINK)
    (asked,) = stack.sent()
    assert asked[IPv6].src == OUR_LINK


def test_a_silent_neighbour_is_asked_three_times_and_fails(stack: ControlStack) -> None:
    stack.resolve(PEER)
    stack.sent()
    assert [when for when, _ in stack.pass_time(3)] == [1.0, 2.0]
    assert stack.state(PEER) == FAILED


def test_a_neighbour_in_use_is_asked_alone_and_may_answer_without_its_mac_address(stack: ControlStack) -> None:
    stack.receive(solicitation())
    stack.sent()
    sent = stack.pass_time(6, use=PEER)
    assert [(asked.dst, asked[IPv6].dst) for _, asked in sent] == [(PEER_MAC, PEER)]
    assert stack.use(PEER) == (PROBE, PEER_MAC)
    stack.receive(advertisement(mac=None))
    assert stack.use(PEER) == (REACHABLE, PEER_MAC)


def test_an_answer_without_a_mac_address_does_not_resolve(stack: ControlStack) -> None:
    stack.resolve(PEER)
    stack.receive(advertisement(mac=None))
    assert stack.state(PEER) == INCOMPLETE


def test_a_proxy_does_not_override_a_known_mac_address(stack: ControlStack) -> None:
    stack.receive(solicitation())
    stack.pass_time(6, use=PEER)
    stack.receive(advertisement(mac=OTHER_MAC, override=0))
    assert stack.use(PEER) == (PROBE, PEER_MAC)
    stack.receive(advertisement(mac=OTHER_MAC, override=1))
    assert stack.use(PEER) == (REACHABLE, OTHER_MAC)


def test_an_unsolicited_advertisement_of_another_mac_address_is_verified(stack: ControlStack) -> None:
    stack.receive(solicitation())
    stack.pass_time(1)
    stack.sent()
    stack.receive(advertisement(mac=OTHER_MAC, solicited=0, to=ALL_NODES))
    (asked,) = stack.sent()
    assert asked[IPv6].dst == PEER_GROUP
    assert stack.use(PEER) == (PROBE, PEER_MAC)


def test_an_unsolicited_advertisement_makes_no_neighbour(stack: ControlStack) -> None:
    stack.receive(advertisement(solicited=0, to=ALL_NODES))
    stack.receive(advertisement())
    assert stack.neighbours() == {}


def test_the_membership_report_then_detection_then_three_advertisements_announce_us(make_stack: Make) -> None:
    stack = make_stack(f"{OURS}/64", f"{OUR_LINK}/64", random=900_000_000)
    stack.start()
    report, *announced = stack.sent()
    assert mld_records(report) == [(4, OUR_GROUP), (4, "ff02::1:ff00:1")]
    assert report[IPv6].src == OUR_LINK
    detections = [packet for packet in announced if ICMPv6ND_NS in packet]
    assert [(p[IPv6].src, p[IPv6].dst, p.dst, p[ICMPv6ND_NS].tgt) for p in detections] == [
        ("::", OUR_GROUP, OUR_GROUP_MAC, OURS),
        ("::", "ff02::1:ff00:1", "33:33:ff:00:00:01", OUR_LINK),
    ]
    later = [(0.0, packet) for packet in announced] + stack.pass_time(10)
    advertised = [(when, packet) for when, packet in later if ICMPv6ND_NA in packet]
    assert [(when, p[ICMPv6ND_NA].tgt) for when, p in advertised] == [
        (when, address) for when in (0.0, 1.0, 2.0) for address in (OURS, OUR_LINK)
    ]
    for _, packet in advertised:
        message = packet[ICMPv6ND_NA]
        assert (packet.dst, packet[IPv6].dst, packet[IPv6].src) == (ALL_NODES_MAC, ALL_NODES, message.tgt)
        assert (message.S, message.O, packet[ICMPv6NDOptDstLLAddr].lladdr) == (0, 1, OUR_MAC)


def test_nothing_is_announced_before_the_membership_was_reported(make_stack: Make) -> None:
    stack = make_stack(f"{OURS}/64")
    stack.set_room(0)
    stack.start()
    stack.pass_time(1)
    stack.set_room(1)
    ((_, report),) = stack.pass_time(0.1)
    assert ICMPv6MLReport2 in report
    assert report[IPv6].src == "::", "without a link-local address it comes from none"
    stack.set_room()
    assert ICMPv6ND_NS in next(packet for _, packet in stack.pass_time(0.1) if ICMPv6MLReport2 not in packet)


@pytest.mark.parametrize(
    "claim",
    [
        advertisement(target=OURS, mac=OTHER_MAC, solicited=0, to=ALL_NODES),
        ip(source=OURS, mac=OTHER_MAC) / ICMPv6ND_NS(tgt=OURS) / ICMPv6NDOptSrcLLAddr(lladdr=OTHER_MAC),
    ],
    ids=["advertisement", "solicitation"],
)
def test_a_second_owner_of_our_address_is_named_in_a_warning_and_counted(stack: ControlStack, claim: Packet) -> None:
    stack.receive(claim)
    assert stack.sent() == []
    assert stack.counts()["duplicate-address"] == 1
    assert OURS in stack.log()
    assert OTHER_MAC in stack.log()


def test_routers_are_not_listened_to(stack: ControlStack) -> None:
    before = stack.neighbours()
    stack.receive(ip(PEER_LINK, ALL_NODES, to=ALL_NODES_MAC) / ICMPv6ND_RA())
    stack.receive(ip(PEER_LINK, OURS, to=OUR_MAC) / ICMPv6ND_Redirect(tgt=PEER_LINK, dst=PEER))
    assert stack.sent() == []
    assert stack.neighbours() == before
    assert stack.counts()["rx-control-ignored"] == 2


def spoilt(packet: Packet, **fields: int) -> Packet:
    for name, value in fields.items():
        setattr(packet[IPv6], name, value)
    return packet


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (spoilt(solicitation(), hlim=254), "rx-malformed"),
        (ip() / ICMPv6ND_NS(tgt=OURS, code=1), "rx-malformed"),
        (ip() / ICMPv6ND_NS(tgt="ff02::5"), "rx-malformed"),
        (ip(source="::") / ICMPv6ND_NS(tgt=OURS) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC), "rx-malformed"),
        (ip(source="::", destination=OURS, to=OUR_MAC) / ICMPv6ND_NS(tgt=OURS), "rx-malformed"),
        (advertisement(solicited=1, to=ALL_NODES), "rx-malformed"),
        (ip() / ICMPv6ND_NS(tgt=OURS) / Raw(b"\x01\x00" + bytes(6)), "rx-malformed"),
        (ip() / ICMPv6ND_NS(tgt=OURS) / Raw(b"\x01\x02" + bytes(6)), "rx-malformed"),
        (ip() / ICMPv6ND_NS(tgt=OURS) / Raw(b"\x01"), "rx-malformed"),
        (ip() / ICMPv6ND_NS(tgt=OURS) / ICMPv6NDOptSrcLLAddr(lladdr="33:33:00:00:00:01"), "rx-malformed"),
        (spoilt(ip() / Raw(b"\x87\x00\x00\x00"), nh=58), "rx-malformed"),
        (ip() / ICMPv6ND_NS(tgt=OURS, cksum=0x1234), "rx-checksum-failure-control"),
    ],
    ids=[
        "hop-limit", "code", "group-target", "detection-with-mac", "detection-to-us", "solicited-to-all",
        "option-of-no-length", "option-too-long", "option-cut", "group-mac", "cut", "checksum",
    ],
)  # fmt: skip
def test_a_malformed_message_is_counted_and_has_no_effect(stack: ControlStack, broken: Packet, reason: str) -> None:
    before = stack.counts().get(reason, 0)
    stack.receive(broken)
    assert stack.sent() == []
    assert stack.neighbours() == {}
    assert stack.counts()[reason] == before + 1
