"""ARP: what we answer, learn, announce and report (RFC 826, RFC 5227; bypass 5.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from support.control_stack import FAILED, INCOMPLETE, NONE, PROBE, REACHABLE, SECOND, STALE, ControlStack

OURS, OUR_MAC = "10.0.0.1", "02:00:00:00:00:01"
PEER, PEER_MAC = "10.0.0.2", "02:00:00:00:00:02"
OTHER_MAC = "02:00:00:00:00:99"
EVERYBODY = "ff:ff:ff:ff:ff:ff"

Make = Callable[..., ControlStack]


@pytest.fixture
def stack(make_stack: Make) -> ControlStack:
    return make_stack(f"{OURS}/24")


def request(target: str = OURS, sender: str = PEER, mac: str = PEER_MAC, to: str = EVERYBODY) -> Packet:
    return Ether(src=mac, dst=to) / ARP(op=1, hwsrc=mac, psrc=sender, pdst=target)


def reply(sender: str = PEER, mac: str = PEER_MAC, target: str = OURS) -> Packet:
    return Ether(src=mac, dst=OUR_MAC) / ARP(op=2, hwsrc=mac, psrc=sender, hwdst=OUR_MAC, pdst=target)


def test_a_request_for_our_address_is_answered_to_its_sender_alone(stack: ControlStack) -> None:
    stack.receive(request())
    (answer,) = stack.sent()
    assert (answer.dst, answer.src) == (PEER_MAC, OUR_MAC)
    arp = answer[ARP]
    assert (arp.op, arp.hwsrc, arp.psrc, arp.hwdst, arp.pdst) == (2, OUR_MAC, OURS, PEER_MAC, PEER)
    assert stack.counts() == {"neighbour-answers": 1}


def test_a_request_for_another_address_is_neither_answered_nor_learnt(stack: ControlStack) -> None:
    stack.receive(request(target="10.0.0.3"))
    assert stack.sent() == []
    assert stack.neighbours() == {}
    assert stack.counts() == {"rx-control-ignored": 1}


def test_who_asks_for_us_is_learnt_as_stale(stack: ControlStack) -> None:
    stack.receive(request())
    assert stack.use(PEER) == (STALE, PEER_MAC)


def test_who_asks_from_another_network_is_answered_and_not_learnt(stack: ControlStack) -> None:
    stack.receive(request(sender="192.168.0.9"))
    assert len(stack.sent()) == 1
    assert stack.neighbours() == {}


def test_a_probe_is_answered_and_not_learnt(stack: ControlStack) -> None:
    stack.receive(request(sender="0.0.0.0"))
    (answer,) = stack.sent()
    assert (answer.dst, answer[ARP].psrc, answer[ARP].pdst) == (PEER_MAC, OURS, "0.0.0.0")
    assert stack.neighbours() == {}
    assert "duplicate-address" not in stack.counts()


def test_a_reply_that_nobody_asked_for_teaches_nothing(stack: ControlStack) -> None:
    stack.receive(reply())
    assert stack.neighbours() == {}
    assert stack.counts() == {"rx-control-ignored": 1}


def test_a_wanted_neighbour_is_asked_for_at_once_and_is_reachable_when_it_answers(stack: ControlStack) -> None:
    stack.resolve(PEER)
    (asked,) = stack.sent()
    arp = asked[ARP]
    assert (asked.dst, asked.src) == (EVERYBODY, OUR_MAC)
    assert (arp.op, arp.hwsrc, arp.psrc, arp.hwdst, arp.pdst) == (1, OUR_MAC, OURS, "00:00:00:00:00:00", PEER)
    assert stack.state(PEER) == INCOMPLETE
    generation = stack.generation()
    stack.receive(reply())
    assert stack.use(PEER) == (REACHABLE, PEER_MAC)
    assert stack.generation() > generation


def test_wanting_a_neighbour_again_while_it_is_asked_for_asks_no_more(stack: ControlStack) -> None:
    stack.resolve(PEER)
    stack.resolve(PEER)
    assert len(stack.sent()) == 1


def test_a_silent_neighbour_is_asked_three_times_a_second_apart_and_fails_for_twenty_seconds(
    stack: ControlStack,
) -> None:
    stack.resolve(PEER)
    assert len(stack.sent()) == 1
    sent = stack.pass_time(2.9)
    assert [when for when, _ in sent] == [1.0, 2.0]
    assert stack.state(PEER) == INCOMPLETE
    generation = stack.generation()
    assert stack.pass_time(0.1) == []
    assert stack.state(PEER) == FAILED
    assert stack.generation() > generation, "waiting datagrams must be told"
    stack.resolve(PEER)
    assert stack.pass_time(19.9) == []
    stack.resolve(PEER)
    assert stack.sent() == []
    stack.pass_time(0.1)
    assert stack.state(PEER) == NONE
    stack.resolve(PEER)
    assert len(stack.sent()) == 1
    assert stack.counts() == {"neighbour-requests": 4, "neighbour-failures": 1}


@pytest.mark.parametrize(("random", "seconds"), [(0, 15), (30 * SECOND - 1, 45), (15 * SECOND, 30)])
def test_a_neighbour_stays_reachable_for_half_to_one_and_a_half_of_thirty_seconds(
    stack: ControlStack, random: int, seconds: int
) -> None:
    stack.set_random(random)
    stack.resolve(PEER)
    stack.receive(reply())
    stack.pass_time(seconds - 0.1)
    assert stack.state(PEER) == REACHABLE
    generation = stack.generation()
    stack.pass_time(0.2)
    assert stack.use(PEER) == (STALE, PEER_MAC)
    assert stack.generation() == generation, "the neighbour goes on being used as it was"


def test_a_stale_neighbour_that_nobody_uses_is_not_asked(stack: ControlStack) -> None:
    stack.receive(request())
    stack.sent()
    assert stack.pass_time(120) == []
    assert stack.state(PEER) == STALE


def test_a_stale_neighbour_is_asked_alone_five_seconds_after_its_first_use(stack: ControlStack) -> None:
    stack.receive(request())
    stack.sent()
    stack.pass_time(10)
    stack.use(PEER)
    sent = stack.pass_time(5.9)
    assert [(when, asked.dst) for when, asked in sent] == [(5.1, PEER_MAC)]
    assert stack.use(PEER) == (PROBE, PEER_MAC)
    stack.receive(reply())
    assert stack.use(PEER) == (REACHABLE, PEER_MAC)


def test_streaming_for_sixty_seconds_with_a_reachable_time_of_one_second_never_lacks_the_address(
    make_stack: Make,
) -> None:
    stack = make_stack(f"{OURS}/24", reachable_ns=SECOND)
    stack.resolve(PEER)
    stack.receive(reply())
    stack.sent()
    generation, asked = stack.generation(), 0
    for _ in range(600):
        for _, packet in stack.pass_time(0.1, use=PEER):
            assert packet.dst == PEER_MAC, "asked alone"
            asked += 1
            # The answer comes only two ticks later.
            stack.pass_time(0.2, use=PEER)
            stack.receive(reply())
        state, mac = stack.use(PEER)
        assert state in (REACHABLE, STALE, PROBE)
        assert mac == PEER_MAC
    assert asked >= 8
    assert stack.generation() == generation


def test_a_neighbour_in_use_that_falls_silent_is_asked_for_by_broadcast_before_it_fails(stack: ControlStack) -> None:
    stack.receive(request())
    stack.sent()
    sent = stack.pass_time(30, use=PEER)
    assert [asked.dst for _, asked in sent] == [PEER_MAC] * 3 + [EVERYBODY] * 3
    assert stack.state(PEER) == FAILED
    (first, *_), last = sent, sent[-1]
    assert last[0] - first[0] == pytest.approx(5.0)


def test_a_neighbour_that_moved_to_another_mac_is_found_while_in_use(stack: ControlStack) -> None:
    stack.receive(request())
    stack.pass_time(1)
    stack.sent()
    # The new owner announces itself: it is not believed, it is asked.
    stack.receive(request(sender=PEER, target=PEER, mac=OTHER_MAC))
    (asked,) = stack.sent()
    assert (asked.dst, asked[ARP].pdst) == (EVERYBODY, PEER)
    assert stack.use(PEER) == (PROBE, PEER_MAC)
    generation = stack.generation()
    stack.receive(reply(mac=OTHER_MAC))
    assert stack.use(PEER) == (REACHABLE, OTHER_MAC)
    assert stack.generation() > generation


def test_a_flood_of_contradicting_claims_is_answered_with_one_question_a_second(stack: ControlStack) -> None:
    stack.receive(request())
    stack.pass_time(1)
    stack.sent()
    for index in range(500):
        mac = f"02:00:00:01:{index // 256:02x}:{index % 256:02x}"
        stack.receive(request(sender=PEER, target="10.0.0.77", mac=mac))
        stack.receive(reply(mac=mac))
    assert len(stack.sent()) <= 1


def test_a_failed_neighbour_that_speaks_to_us_is_used_again(stack: ControlStack) -> None:
    stack.resolve(PEER)
    stack.pass_time(3)
    assert stack.state(PEER) == FAILED
    stack.receive(request())
    assert stack.use(PEER) == (STALE, PEER_MAC)


def test_our_addresses_are_probed_once_and_announced_three_times_a_second_apart(make_stack: Make) -> None:
    stack = make_stack("10.0.0.1/24", "192.168.7.1/24")
    stack.start()
    sent = [(0.0, packet) for packet in stack.sent()] + stack.pass_time(10)
    probes = [packet for _, packet in sent if packet[ARP].psrc == "0.0.0.0"]
    assert [(packet.dst, packet[ARP].op, packet[ARP].pdst) for packet in probes] == [
        (EVERYBODY, 1, "10.0.0.1"),
        (EVERYBODY, 1, "192.168.7.1"),
    ]
    sent = [(when, packet) for when, packet in sent if packet not in probes]
    expected = [(when, address) for when in (0.0, 1.0, 2.0) for address in ("10.0.0.1", "192.168.7.1")]
    assert [(when, packet[ARP].psrc) for when, packet in sent] == expected
    for _, packet in sent:
        arp = packet[ARP]
        assert (packet.dst, arp.op, arp.psrc, arp.hwsrc) == (EVERYBODY, 1, arp.pdst, OUR_MAC)


def test_an_announcement_for_which_the_port_has_no_buffer_is_made_at_the_next_tick(make_stack: Make) -> None:
    stack = make_stack("10.0.0.1/24", "10.0.0.3/24")
    stack.set_room(2)
    stack.start()
    assert [packet[ARP].pdst for packet in stack.sent()] == ["10.0.0.1"] * 2
    stack.set_room()
    assert [(when, packet[ARP].pdst) for when, packet in stack.pass_time(0.5)] == [(0.1, "10.0.0.3")] * 2


def test_a_request_for_which_the_port_has_no_buffer_is_no_attempt(stack: ControlStack) -> None:
    stack.set_room(0)
    stack.resolve(PEER)
    stack.pass_time(5)
    assert stack.state(PEER) == INCOMPLETE
    stack.set_room()
    assert [when for when, _ in stack.pass_time(2.9)] == [0.1, 1.1, 2.1]


@pytest.mark.parametrize(
    "claim",
    [
        request(sender=OURS, target=OURS, mac=OTHER_MAC),
        request(sender=OURS, target="10.0.0.9", mac=OTHER_MAC),
        reply(sender=OURS, mac=OTHER_MAC),
    ],
    ids=["announcement", "request", "reply"],
)
def test_a_second_owner_of_our_address_is_named_in_a_warning_and_counted(stack: ControlStack, claim: Packet) -> None:
    stack.receive(claim)
    stack.receive(claim)
    assert stack.counts() == {"duplicate-address": 2}
    assert stack.sent() == []
    (line,) = stack.log().splitlines()
    assert line.startswith("2 10.0.0.1")
    assert OTHER_MAC in line
    stack.pass_time(10)
    stack.receive(claim)
    assert len(stack.log().splitlines()) == 2


def test_our_own_frames_that_come_back_are_no_duplicate(stack: ControlStack) -> None:
    stack.start()
    for raw in stack.sent_bytes():
        stack.receive(raw)
    assert stack.counts() == {"rx-control-ignored": 2}


def test_link_up_asks_again_for_what_was_known_and_forgets_failures(stack: ControlStack) -> None:
    stack.resolve(PEER)
    stack.receive(reply())
    stack.resolve("10.0.0.9")
    stack.pass_time(4)
    assert (stack.state(PEER), stack.state("10.0.0.9")) == (REACHABLE, FAILED)
    stack.start()
    assert stack.neighbours() == {PEER: (STALE, PEER_MAC)}


def test_ten_thousand_strangers_push_out_no_entry_in_use(stack: ControlStack) -> None:
    stack.resolve(PEER)
    stack.receive(reply())
    stack.use(PEER)
    # Made of one frame with scapy, and then by changing its bytes: the sender's MAC and IP address.
    stranger = bytearray(bytes(request(sender="10.0.0.3")))
    for index in range(10_000):
        stranger[25:28] = (index % 2**24).to_bytes(3, "big")
        stranger[31] = 3 + index % 250
        stack.receive(bytes(stranger))
    assert stack.use(PEER) == (REACHABLE, PEER_MAC)
    assert len(stack.neighbours()) <= 33
    # There is still room for those whom we want ourselves.
    for index in range(100, 130):
        stack.resolve(f"10.0.0.{index}")
    assert stack.state("10.0.0.129") in (INCOMPLETE, STALE)


def test_answers_are_limited_to_a_thousand_a_second(stack: ControlStack) -> None:
    stack.receive(request(), times=5000)
    assert len(stack.sent()) == 256
    stack.pass_time(0.1)
    stack.receive(request(), times=5000)
    assert len(stack.sent()) == 100


def test_a_table_full_of_neighbours_in_use_refuses_one_more_and_says_so(make_stack: Make) -> None:
    stack = make_stack("10.0.0.1/16", neighbour_capacity=16)
    for index in range(16):
        stack.resolve(f"10.0.1.{index}")
    stack.resolve("10.0.2.1")
    assert stack.state("10.0.2.1") == NONE
    assert stack.counts()["neighbour-failures"] == 1
    assert "all 16 entries are in use" in stack.log()


@pytest.mark.parametrize(
    "broken",
    [
        bytes(request())[:41],
        bytes(request(mac="03:00:00:00:00:02")),
        bytes(request(mac="00:00:00:00:00:00")),
        bytes(Ether(dst=EVERYBODY, src=PEER_MAC) / ARP(hwtype=6, op=1, hwsrc=PEER_MAC, psrc=PEER, pdst=OURS)),
        bytes(Ether(dst=EVERYBODY, src=PEER_MAC) / ARP(hwlen=8, op=1, hwsrc=PEER_MAC, psrc=PEER, pdst=OURS)),
    ],
    ids=["short", "group-mac", "no-mac", "hardware-type", "hardware-length"],
)
def test_a_malformed_arp_packet_is_counted_and_has_no_effect(stack: ControlStack, broken: bytes) -> None:
    stack.receive(broken)
    assert stack.sent() == []
    assert stack.neighbours() == {}
    assert stack.counts() == {"rx-malformed": 1}


def test_padding_behind_an_arp_packet_is_passed_over(stack: ControlStack) -> None:
    stack.receive(request() / Raw(b"\x55" * 18))
    assert stack.counts() == {"neighbour-answers": 1}
