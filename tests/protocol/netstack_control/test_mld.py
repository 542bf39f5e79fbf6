"""MLD: reports, leaves and answers to queries, in version 2 and, beside an older querier, 1 (RFC 3810, RFC 2710)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet6 import (
    ICMPv6MLDone,
    ICMPv6MLQuery,
    ICMPv6MLQuery2,
    ICMPv6MLReport,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from support.control_stack import SECOND, ControlStack, mld_records, settled

OURS, OURS_LINK, NODE = "2001:db8::1", "fe80::1", "ff02::1:ff00:1"
QUERIER, QUERIER_MAC = "fe80::fe", "02:00:00:00:00:fe"
GROUP, GROUP_MAC, OTHER = "ff15::1:2:3", "33:33:00:02:00:03", "ff05::9"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
V2_ROUTERS, V2_ROUTERS_MAC = "ff02::16", "33:33:00:00:00:16"
IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE = 2, 3, 4

Make = Callable[..., ControlStack]


@pytest.fixture
def stack(make_stack: Make) -> ControlStack:
    """A stack that has announced itself, and so is a member of its solicited-node group."""
    stack = make_stack(f"{OURS}/64", f"{OURS_LINK}/64", random=SECOND // 2)
    stack.start()
    stack.pass_time(5)
    stack.sent()
    return stack


def ip(destination: str, to: str, source: str = QUERIER, hop_limit: int = 1, alert: bool = True) -> Packet:
    packet = Ether(src=QUERIER_MAC, dst=to) / IPv6(src=source, dst=destination, hlim=hop_limit)
    return packet / IPv6ExtHdrHopByHop(options=[RouterAlert()]) if alert else packet


def query(group: str | None = None, milliseconds: int = 1000, sources: tuple[str, ...] = ()) -> Packet:
    to = ip(group, GROUP_MAC) if group == GROUP else ip(ALL_NODES, ALL_NODES_MAC)
    return to / ICMPv6MLQuery2(mladdr=group or "::", mrd=milliseconds, sources=list(sources))


def old_query(group: str | None = None, milliseconds: int = 1000) -> Packet:
    to = ip(group, GROUP_MAC) if group == GROUP else ip(ALL_NODES, ALL_NODES_MAC)
    return to / ICMPv6MLQuery(mladdr=group or "::", mrd=milliseconds)


def records(report: Packet) -> list[tuple[int, str]]:
    """The records of a version 2 report, whose envelope is checked."""
    assert (report.dst, report[IPv6].dst, report[IPv6].src) == (V2_ROUTERS_MAC, V2_ROUTERS, OURS_LINK)
    assert_control(report)
    return mld_records(report)


def assert_control(report: Packet) -> None:
    """Hop limit 1 and the router alert option, as every MLD message has."""
    assert report[IPv6].hlim == 1
    assert isinstance(report[IPv6ExtHdrHopByHop].options[0], RouterAlert)
    assert report[RouterAlert].value == 0


def test_join_and_leave_are_reported_twice_each(stack: ControlStack) -> None:
    stack.join(GROUP)
    reports = stack.sent() + [packet for _, packet in stack.pass_time(5)]
    stack.leave(GROUP)
    reports += stack.sent() + [packet for _, packet in stack.pass_time(5)]
    assert [records(report) for report in reports] == [[(TO_EXCLUDE, GROUP)]] * 2 + [[(TO_INCLUDE, GROUP)]] * 2


@pytest.mark.parametrize("random", [0, 3 * SECOND, 47 * SECOND])
def test_a_general_query_is_answered_once_for_all_groups_within_its_time(stack: ControlStack, random: int) -> None:
    settled(stack, GROUP, OTHER)
    stack.set_random(random)
    stack.receive(query(milliseconds=10_000))
    ((when, report),) = stack.pass_time(60)
    assert when == pytest.approx(max(0.1, random % (10 * SECOND) / SECOND))
    assert records(report) == [(IS_EXCLUDE, group) for group in (NODE, GROUP, OTHER)]


def test_a_long_response_time_is_read_as_a_floating_point_number(stack: ControlStack) -> None:
    stack.set_random(100 * SECOND)
    stack.receive(query(milliseconds=0x8000 | 4 << 12 | 0x800))  # (0x1800 << 7) ms is 786 s
    ((when, _),) = stack.pass_time(110)
    assert when == 100


@pytest.mark.parametrize("sources", [(), ("2001:db8::7",)], ids=["group", "group-and-source"])
def test_a_query_for_a_group_is_answered_for_it_alone(stack: ControlStack, sources: tuple[str, ...]) -> None:
    settled(stack, GROUP, OTHER)
    stack.receive(query(GROUP, sources=sources))
    ((when, report),) = stack.pass_time(60)
    assert (when, records(report)) == (0.5, [(IS_EXCLUDE, GROUP)])


def test_beside_an_older_querier_each_group_is_reported_in_version_1(stack: ControlStack) -> None:
    settled(stack, GROUP)
    stack.receive(old_query())
    reports = [packet for _, packet in stack.pass_time(60)]
    assert sorted((report[IPv6].dst, report[ICMPv6MLReport].mladdr) for report in reports) == [
        (NODE, NODE),
        (GROUP, GROUP),
    ]
    for report in reports:
        assert_control(report)
        assert report[IPv6].src == OURS_LINK


def test_another_hosts_report_suppresses_ours_in_version_1(stack: ControlStack) -> None:
    settled(stack, GROUP)
    stack.receive(old_query())
    stack.receive(ip(GROUP, GROUP_MAC) / ICMPv6MLReport(mladdr=GROUP))
    assert [packet[ICMPv6MLReport].mladdr for _, packet in stack.pass_time(60)] == [NODE]


def test_a_leave_in_version_1_is_said_once_to_all_routers(stack: ControlStack) -> None:
    settled(stack, GROUP)
    stack.receive(old_query(milliseconds=0))
    stack.pass_time(1)
    stack.leave(GROUP)
    (done,) = stack.sent()
    assert (done.dst, done[IPv6].dst, done[ICMPv6MLDone].mladdr) == ("33:33:00:00:00:02", "ff02::2", GROUP)
    assert stack.pass_time(60) == []


def test_version_2_is_spoken_again_400_seconds_after_the_last_older_query(stack: ControlStack) -> None:
    settled(stack, GROUP).set_random(0)
    stack.receive(old_query())
    stack.pass_time(399.8)
    stack.receive(query(GROUP))
    ((_, report),) = stack.pass_time(0.1)
    assert report[ICMPv6MLReport].mladdr == GROUP
    stack.pass_time(0.1)
    stack.receive(query(GROUP))
    ((_, report),) = stack.pass_time(60)
    assert records(report) == [(IS_EXCLUDE, GROUP)]


def test_the_solicited_node_group_of_an_address_that_is_gone_is_left(stack: ControlStack) -> None:
    stack.set_addresses([f"{OURS_LINK}/64", "2001:db8::77/64"])
    stack.start()
    report = stack.sent()[0]
    assert sorted(records(report)) == [(TO_EXCLUDE, NODE), (TO_EXCLUDE, "ff02::1:ff00:77")]
    stack.set_addresses(["2001:db8::77/64"])
    stack.start()
    report = stack.sent()[0]
    assert sorted(mld_records(report)) == [(TO_INCLUDE, NODE), (TO_EXCLUDE, "ff02::1:ff00:77")]


@pytest.mark.parametrize("group", [ALL_NODES, "ff01::5"])
def test_all_nodes_and_what_stays_on_the_node_are_never_reported(stack: ControlStack, group: str) -> None:
    stack.join(group)
    stack.receive(query())
    reports = stack.sent() + [packet for _, packet in stack.pass_time(60)]
    assert [records(report) for report in reports] == [[(IS_EXCLUDE, NODE)]]


@pytest.mark.parametrize(
    "broken",
    [
        ip(ALL_NODES, ALL_NODES_MAC, hop_limit=2) / ICMPv6MLQuery2(),
        ip(ALL_NODES, ALL_NODES_MAC, source="2001:db8::fe") / ICMPv6MLQuery2(),
        ip(ALL_NODES, ALL_NODES_MAC, source="::") / ICMPv6MLQuery2(),
        ip(ALL_NODES, ALL_NODES_MAC, alert=False) / ICMPv6MLQuery2(),
        ip(ALL_NODES, ALL_NODES_MAC) / ICMPv6MLQuery2(sources_number=2),
    ],
    ids=["hop-limit", "not-link-local", "nobody", "no-router-alert", "sources"],
)
def test_a_malformed_query_is_counted_and_not_answered(stack: ControlStack, broken: Packet) -> None:
    stack.receive(broken)
    assert stack.pass_time(20) == []
    assert stack.counts()["rx-malformed"] == 1
