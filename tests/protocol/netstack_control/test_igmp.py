"""IGMP: reports, leaves and answers to queries, in version 3 and, beside an older querier, 2 (RFC 3376, RFC 2236)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.igmp import IGMP_MQ, IGMPv2_LG, IGMPv2_MR, IGMPv3_MQ, IGMPv3_MR
from scapy.layers.inet import IP, IPOption_Router_Alert
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from support.control_stack import SECOND, ControlStack, settled

OURS, QUERIER, QUERIER_MAC = "10.0.0.1", "10.0.0.254", "02:00:00:00:00:fe"
GROUP, GROUP_MAC, OTHER = "239.129.1.1", "01:00:5e:01:01:01", "224.5.6.8"
ALL_HOSTS, ALL_HOSTS_MAC = "224.0.0.1", "01:00:5e:00:00:01"
V3_ROUTERS, V3_ROUTERS_MAC = "224.0.0.22", "01:00:5e:00:00:16"
IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE = 2, 3, 4

Make = Callable[..., ControlStack]


@pytest.fixture
def stack(make_stack: Make) -> ControlStack:
    return make_stack(f"{OURS}/24", random=SECOND // 2)


def ip(destination: str, to: str, ttl: int = 1) -> Packet:
    return Ether(src=QUERIER_MAC, dst=to) / IP(src=QUERIER, dst=destination, ttl=ttl)


def query(group: str | None = None, tenths: int = 10, sources: tuple[str, ...] = ()) -> Packet:
    to = ip(group or ALL_HOSTS, GROUP_MAC if group == GROUP else ALL_HOSTS_MAC)
    return to / IGMPv3_MQ(gaddr=group or "0.0.0.0", mrcode=tenths, srcaddrs=list(sources))


def old_query(group: str | None = None, tenths: int = 10) -> Packet:
    return ip(group or ALL_HOSTS, GROUP_MAC if group else ALL_HOSTS_MAC) / IGMP_MQ(
        gaddr=group or "0.0.0.0", mrcode=tenths
    )


def records(report: Packet) -> list[tuple[int, str, list[str]]]:
    """The records of a version 3 report, whose envelope is checked."""
    assert (report.dst, report[IP].dst, report[IP].src) == (V3_ROUTERS_MAC, V3_ROUTERS, OURS)
    assert_control(report)
    return [(record.rtype, record.maddr, record.srcaddrs) for record in report[IGMPv3_MR].records]


def assert_control(report: Packet) -> None:
    """TTL 1 and the router alert option, as every IGMP message has."""
    assert report[IP].ttl == 1
    assert [type(option) for option in report[IP].options] == [IPOption_Router_Alert]


def test_the_first_join_reports_twice_within_a_second_and_further_joins_nothing(stack: ControlStack) -> None:
    stack.join(GROUP)
    (report,) = stack.sent()
    assert records(report) == [(TO_EXCLUDE, GROUP, [])]
    stack.join(GROUP)
    assert stack.sent() == []
    ((when, again),) = stack.pass_time(10)
    assert when == 0.5
    assert records(again) == [(TO_EXCLUDE, GROUP, [])]
    assert stack.counts() == {"multicast-reports": 2}


def test_the_last_leave_reports_twice_and_earlier_leaves_nothing(stack: ControlStack) -> None:
    settled(stack, GROUP, GROUP)
    stack.leave(GROUP)
    assert stack.sent() == []
    stack.leave(GROUP)
    (report,) = stack.sent()
    assert records(report) == [(TO_INCLUDE, GROUP, [])]
    ((_, again),) = stack.pass_time(10)
    assert records(again) == [(TO_INCLUDE, GROUP, [])]


def test_a_group_joined_again_while_it_is_left_is_reported_as_joined(stack: ControlStack) -> None:
    settled(stack, GROUP)
    stack.leave(GROUP)
    stack.sent()
    stack.join(GROUP)
    reports = stack.sent() + [packet for _, packet in stack.pass_time(10)]
    assert [records(report) for report in reports] == [[(TO_EXCLUDE, GROUP, [])]] * 2


@pytest.mark.parametrize("random", [0, SECOND // 2, 3 * SECOND, 10**12 + 7 * SECOND])
def test_a_general_query_is_answered_once_for_all_groups_within_its_time(stack: ControlStack, random: int) -> None:
    settled(stack, GROUP, OTHER)
    stack.set_random(random)
    stack.receive(query(tenths=100))
    assert stack.sent() == []
    ((when, report),) = stack.pass_time(60)
    assert when == pytest.approx(max(0.1, random % (10 * SECOND) / SECOND))
    assert records(report) == [(IS_EXCLUDE, GROUP, []), (IS_EXCLUDE, OTHER, [])]


def test_a_long_response_time_is_read_as_a_floating_point_number(stack: ControlStack) -> None:
    settled(stack, GROUP)
    stack.set_random(100 * SECOND)
    stack.receive(query(tenths=1024))
    ((when, _),) = stack.pass_time(103)
    assert when == 100


@pytest.mark.parametrize("sources", [(), ("10.0.0.7", "10.0.0.8")], ids=["group", "group-and-source"])
def test_a_query_for_a_group_is_answered_for_it_alone(stack: ControlStack, sources: tuple[str, ...]) -> None:
    settled(stack, GROUP, OTHER)
    stack.receive(query(GROUP, sources=sources))
    ((when, report),) = stack.pass_time(60)
    assert when == 0.5
    assert records(report) == [(IS_EXCLUDE, GROUP, [])]


def test_a_query_for_a_group_that_nobody_joined_is_ignored(stack: ControlStack) -> None:
    settled(stack, OTHER)
    stack.receive(ip(ALL_HOSTS, ALL_HOSTS_MAC) / IGMPv3_MQ(gaddr=GROUP, mrcode=10))
    assert stack.pass_time(60) == []
    assert stack.counts()["rx-control-ignored"] == 1


def test_queries_in_a_row_draw_one_answer_at_the_earliest_time(stack: ControlStack) -> None:
    settled(stack, GROUP)
    for random in (7 * SECOND, 2 * SECOND, 5 * SECOND):
        stack.set_random(random)
        stack.receive(query(tenths=100))
    assert [when for when, _ in stack.pass_time(60)] == [2.0]


def test_reports_of_others_do_not_suppress_ours_in_version_3(stack: ControlStack) -> None:
    settled(stack, GROUP)
    stack.receive(query())
    stack.receive(ip(GROUP, GROUP_MAC) / IGMPv2_MR(gaddr=GROUP))
    assert len(stack.pass_time(60)) == 1


def test_beside_an_older_querier_each_group_is_reported_in_version_2(stack: ControlStack) -> None:
    settled(stack, GROUP, OTHER)
    stack.receive(old_query())
    reports = [packet for _, packet in stack.pass_time(60)]
    assert sorted((report[IP].dst, report[IGMPv2_MR].gaddr) for report in reports) == [(OTHER, OTHER), (GROUP, GROUP)]
    for report in reports:
        assert_control(report)


def test_an_older_query_for_a_group_is_answered_for_it_alone(stack: ControlStack) -> None:
    settled(stack, GROUP, OTHER)
    stack.receive(old_query(GROUP))
    ((when, report),) = stack.pass_time(60)
    assert (when, report[IGMPv2_MR].gaddr, report.dst) == (0.5, GROUP, GROUP_MAC)


def test_a_query_of_version_1_leaves_ten_seconds(stack: ControlStack) -> None:
    settled(stack, GROUP)
    stack.set_random(19 * SECOND)
    stack.receive(old_query(tenths=0))
    assert [when for when, _ in stack.pass_time(60)] == [9.0]


def test_another_hosts_report_suppresses_ours_in_version_2(stack: ControlStack) -> None:
    settled(stack, GROUP, OTHER)
    stack.receive(old_query())
    stack.receive(ip(GROUP, GROUP_MAC) / IGMPv2_MR(gaddr=GROUP))
    assert [packet[IGMPv2_MR].gaddr for _, packet in stack.pass_time(60)] == [OTHER]


def test_joins_in_version_2_are_reported_twice_ten_seconds_apart_and_leaves_once_to_all_routers(
    stack: ControlStack,
) -> None:
    stack.receive(old_query())
    stack.join(GROUP)
    sent = [(0.0, packet) for packet in stack.sent()] + stack.pass_time(60)
    assert [(when, packet[IGMPv2_MR].gaddr) for when, packet in sent] == [(0.0, GROUP), (10.0, GROUP)]
    stack.leave(GROUP)
    (leave,) = stack.sent()
    assert (leave[IP].dst, leave[IGMPv2_LG].gaddr) == ("224.0.0.2", GROUP)
    assert_control(leave)
    assert stack.pass_time(60) == []


def test_version_3_is_spoken_again_400_seconds_after_the_last_older_query(stack: ControlStack) -> None:
    settled(stack, GROUP).set_random(0)
    stack.receive(old_query())
    stack.pass_time(200)
    stack.receive(old_query())
    stack.pass_time(399.8)
    stack.receive(query(GROUP))
    ((_, report),) = stack.pass_time(0.1)
    assert report[IGMPv2_MR].gaddr == GROUP
    stack.pass_time(0.1)
    stack.receive(query(GROUP))
    ((_, report),) = stack.pass_time(60)
    assert records(report) == [(IS_EXCLUDE, GROUP, [])]


def test_all_hosts_is_wanted_and_never_reported(stack: ControlStack) -> None:
    stack.join(ALL_HOSTS)
    stack.start()
    assert [packet for packet in stack.sent() if IP in packet] == []
    stack.receive(query())
    assert [packet for _, packet in stack.pass_time(60) if IP in packet] == []
    stack.leave(ALL_HOSTS)
    assert stack.sent() == []


def test_link_up_reports_every_group_again_in_one_packet(stack: ControlStack) -> None:
    settled(stack, GROUP, OTHER)
    stack.start()
    reports = [packet for packet in stack.sent() if IP in packet]
    assert [records(report) for report in reports] == [[(TO_EXCLUDE, GROUP, []), (TO_EXCLUDE, OTHER, [])]]


def test_reports_for_which_the_port_has_no_buffer_are_made_at_the_next_tick(stack: ControlStack) -> None:
    stack.set_room(0)
    stack.join(GROUP)
    stack.join(OTHER)
    stack.leave(OTHER)
    stack.pass_time(5)
    stack.set_room()
    ((_, report),) = stack.pass_time(0.1)
    assert records(report) == [(TO_EXCLUDE, GROUP, []), (TO_INCLUDE, OTHER, [])]


def test_256_groups_are_held_and_reported_in_packets_that_fit_and_one_more_is_refused(stack: ControlStack) -> None:
    groups = [f"239.0.{index // 16}.{index % 16}" for index in range(256)]
    for group in groups:
        assert stack.join(group) == 0
    stack.pass_time(2)
    assert stack.join("239.9.9.9") == -28
    assert stack.join(groups[0]) == 0
    stack.sent()
    stack.receive(query())
    reports = [packet for _, packet in stack.pass_time(2)]
    assert len(reports) == 4
    assert sorted(group for report in reports for _, group, _ in records(report)) == sorted(groups)
    stack.leave(groups[1])
    assert stack.join("239.9.9.9") == 0


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ip(ALL_HOSTS, ALL_HOSTS_MAC, ttl=2) / IGMPv3_MQ(gaddr="0.0.0.0"), "rx-control-ignored"),
        (ip(ALL_HOSTS, ALL_HOSTS_MAC) / IGMPv3_MQ(gaddr="10.0.0.1"), "rx-control-ignored"),
        (ip(ALL_HOSTS, ALL_HOSTS_MAC) / IGMPv3_MQ(numsrc=9), "rx-malformed"),
        (ip(ALL_HOSTS, ALL_HOSTS_MAC) / IGMP_MQ() / Raw(b"\0"), "rx-malformed"),
        (ip(ALL_HOSTS, ALL_HOSTS_MAC) / IGMP_MQ(chksum=0x1111), "rx-checksum-failure-control"),
        (ip(GROUP, GROUP_MAC) / IGMPv2_MR(gaddr=OTHER), "rx-control-ignored"),
    ],
    ids=["ttl", "no-group", "sources", "length", "checksum", "report-of-another"],
)
def test_a_malformed_message_is_counted_and_has_no_effect(stack: ControlStack, broken: Packet, reason: str) -> None:
    settled(stack, GROUP)
    stack.receive(broken)
    assert stack.pass_time(20) == []
    assert stack.counts()[reason] == 1
