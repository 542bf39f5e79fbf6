"""The control protocols in their place: a netstack in own mode over a port in memory, datagrams and all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.igmp import IGMPv3_MR
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from framelane._native import lib
from framelane.transport.address import Address
from support.control_stack import mld_records
from support.own_host import OwnHost

OURS, OURS6, OUR_MAC = "10.0.0.1", "fd00::1", "02:00:00:00:00:01"
PEER, PEER6, PEER_MAC = "10.0.0.2", "fd00::2", "02:00:00:00:00:02"
OTHER_MAC, EVERYBODY = "02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff"
PORT = 40123


@pytest.fixture
def make_host() -> Iterator[Callable[..., OwnHost]]:
    made: list[OwnHost] = []

    def make(**options: Any) -> OwnHost:
        made.append(OwnHost([f"{OURS}/24", f"{OURS6}/64"], mac=OUR_MAC, **options))
        made[-1].pass_time(5)
        return made[-1]

    yield make
    for host in made:
        host.close()


@pytest.fixture
def host(make_host: Callable[..., OwnHost]) -> OwnHost:
    """A host that has announced itself."""
    return make_host()


def arp_reply(mac: str = PEER_MAC) -> Packet:
    return Ether(src=mac, dst=OUR_MAC) / ARP(op=2, hwsrc=mac, psrc=PEER, hwdst=OUR_MAC, pdst=OURS)


def peer_answers(mac: str = PEER_MAC) -> Callable[[Packet], Packet | None]:
    """A peer that answers what it is asked by ARP."""

    def answer(packet: Packet) -> Packet | None:
        is_asked = ARP in packet and packet[ARP].op == 1 and packet[ARP].pdst == PEER and packet.dst in (mac, EVERYBODY)
        return arp_reply(mac) if is_asked else None

    return answer


def datagrams(packets: list[Packet]) -> list[tuple[str, bytes]]:
    return [(packet.dst, bytes(packet[UDP].payload)) for packet in packets if UDP in packet]


def test_requests_and_echoes_are_answered_by_the_poller_alone(host: OwnHost) -> None:
    to_us = Ether(src=PEER_MAC, dst=OUR_MAC)
    (answer,) = host.receive(Ether(src=PEER_MAC, dst=EVERYBODY) / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER, pdst=OURS))
    assert (answer.dst, answer[ARP].op, answer[ARP].hwsrc) == (PEER_MAC, 2, OUR_MAC)
    (answer,) = host.receive(to_us / IP(src=PEER, dst=OURS) / ICMP(type=8, id=1, seq=2) / Raw(b"abc"))
    assert (answer[ICMP].type, answer[ICMP].seq, bytes(answer[ICMP].payload)) == (0, 2, b"abc")
    (answer,) = host.receive(to_us / IPv6(src=PEER6, dst=OURS6, hlim=255) / ICMPv6ND_NS(tgt=OURS6))
    assert answer[ICMPv6ND_NA].tgt == OURS6
    (answer,) = host.receive(to_us / IPv6(src=PEER6, dst=OURS6) / ICMPv6EchoRequest(id=3, seq=4))
    assert (answer[ICMPv6EchoReply].id, answer[ICMPv6EchoReply].seq) == (3, 4)
    assert host.counts()["memory-echo-answers"] == 2
    assert host.counts()["memory-neighbour-answers"] == 2


def test_answers_carry_the_netstacks_tag(make_host: Callable[..., OwnHost]) -> None:
    host = make_host(vlan=7)
    request = Ether(src=PEER_MAC, dst=EVERYBODY) / Dot1Q(vlan=7) / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER, pdst=OURS)
    (answer,) = host.receive(request)
    assert (answer[Dot1Q].vlan, answer[ARP].op) == (7, 2)
    request[Dot1Q].vlan = 8
    assert host.receive(request) == []


def test_a_datagram_waits_for_its_neighbour_and_leaves_when_it_answers(host: OwnHost) -> None:
    assert host.send(PEER, b"first") == 0
    host.station.cycle()
    (asked,) = host.sent()
    assert (asked.dst, asked[ARP].pdst) == (EVERYBODY, PEER)
    assert host.receive(arp_reply()) == []
    host.station.cycle()
    (datagram,) = host.sent()
    assert (datagram.dst, datagram[IP].dst, bytes(datagram[UDP].payload)) == (PEER_MAC, PEER, b"first")
    assert host.send(PEER, b"second") == 0
    assert datagrams(host.sent()) == [(PEER_MAC, b"second")]


def test_a_neighbour_that_does_not_answer_is_unreachable_until_it_may_be_asked_again(host: OwnHost) -> None:
    host.send(PEER, b"lost")
    sent = host.pass_time(3.5)
    assert [packet[ARP].pdst for packet in sent if ARP in packet] == [PEER] * 3
    assert host.send(PEER, b"refused") == -lib.FL_EHOSTUNREACH
    host.pass_time(21)
    assert host.send(PEER, b"asked again") == 0
    assert datagrams(host.pass_time(1, peer_answers())) == [(PEER_MAC, b"asked again")]


def test_streaming_for_sixty_seconds_with_a_reachable_time_of_one_second_loses_nothing(
    make_host: Callable[..., OwnHost],
) -> None:
    host = make_host(reachable_ms=1000)
    host.send(PEER, b"first")
    host.pass_time(0.5, peer_answers())
    sent, asked = [], 0
    for number in range(600):
        assert host.send(PEER, number.to_bytes(4, "big")) == 0
        left = host.pass_time(0.1, peer_answers())
        sent += datagrams(left)
        asked += sum(ARP in packet for packet in left)
    assert sent == [(PEER_MAC, number.to_bytes(4, "big")) for number in range(600)]
    assert asked >= 8
    assert "memory-tx-unresolved" not in host.counts()


def test_datagrams_follow_a_neighbour_that_moves_to_another_mac_address(host: OwnHost) -> None:
    host.send(PEER, b"first")
    host.pass_time(2, peer_answers())
    claim = Ether(src=OTHER_MAC, dst=EVERYBODY) / ARP(op=1, hwsrc=OTHER_MAC, psrc=PEER, pdst=PEER)
    (asked,) = host.receive(claim)
    assert asked[ARP].pdst == PEER
    assert host.send(PEER, b"to the old one") == 0
    assert datagrams(host.sent()) == [(PEER_MAC, b"to the old one")]
    host.receive(arp_reply(OTHER_MAC))
    assert host.send(PEER, b"to the new one") == 0
    assert datagrams(host.sent()) == [(OTHER_MAC, b"to the new one")]


def test_a_group_is_reported_when_the_first_endpoint_opens_and_left_when_the_last_one_closes(host: OwnHost) -> None:
    group, group6 = "239.5.5.5", "ff15::5:5"
    endpoints = [host.station.open(bind=Address.of(address, PORT + i)) for i in (0, 2) for address in (group, group6)]
    sent = host.pass_time(5)
    assert [record.maddr for packet in sent if IP in packet for record in packet[IGMPv3_MR].records] == [group] * 2
    assert [record for packet in sent if IPv6 in packet for record in mld_records(packet)] == [(4, group6)] * 2
    for endpoint in endpoints[:2]:
        endpoint.close()
    assert host.pass_time(5) == []
    for endpoint in endpoints[2:]:
        endpoint.close()
    sent = host.pass_time(5)
    assert [packet[IGMPv3_MR].records[0].rtype for packet in sent if IP in packet] == [3, 3]
    assert [record for packet in sent if IPv6 in packet for record in mld_records(packet)] == [(3, group6)] * 2


def test_every_count_is_documented(host: OwnHost) -> None:
    page = (Path(__file__).parents[3] / "docs" / "netstack.md").read_text()
    documented = {
        name for line in page.splitlines() if line.startswith("| `") for name in re.findall("`([^`]+)`", line)
    }
    ours = {name.removeprefix("memory-") for name in host.transport.stats()}
    assert documented == {name for name in ours if not name.startswith("port-")}


def test_link_up_and_new_addresses_are_announced(host: OwnHost) -> None:
    host.port.set_link(is_up=False)
    assert host.pass_time(5) == []
    host.port.set_link(is_up=True)
    announced = [packet[ARP].psrc for packet in host.pass_time(5) if ARP in packet and packet[ARP].psrc != "0.0.0.0"]
    assert announced == [OURS] * 3
    host.port.set_addresses(["10.0.0.77/24"])
    announced = [packet[ARP].psrc for packet in host.pass_time(5) if ARP in packet and packet[ARP].psrc != "0.0.0.0"]
    assert announced == ["10.0.0.77"] * 3
