"""What an ef_vi port receives: frames, filters, and what the adapter tells of them.

Run by test_port.py where the plugin is built against the stand-in, in a network namespace of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from efvi_port import ADDRESS, MODELS, Adapters, Port, datagram

from framelane.errors import TransportError
from support.native_ops import OpFailedError
from support.processes import wait_until
from support.udp_frames import Datagram

NOTE = 6
EEXIST = 17
HARDWARE, HARDWARE_SYNC = 2, 3


def test_frames_of_every_length_arrive_as_they_were_sent(ends: tuple[Port, Port]) -> None:
    near, far = ends
    frames = [datagram(i, length=length) for i, length in enumerate((0, 1, 17, 18, 19, 63, 64, 1000, 1471, 1472))]
    far.send(*frames)
    received = [one.data for one in near.receive(len(frames))]
    # A medium has no frame below 60 bytes; what follows is zero.
    assert received == [frame.ljust(60, b"\0") for frame in frames]


def test_more_frames_than_any_ring_holds_arrive_in_order(ends: tuple[Port, Port]) -> None:
    near, far = ends
    for first in range(0, 3000, 150):
        frames = [datagram(i) for i in range(first, first + 150)]
        far.send(*frames)
        assert [one.data for one in near.receive(150, capacity=7)] == frames
    assert near.stats()["rx-frames"] == 3000
    assert near.stats()["rx-invalid"] == near.stats()["unknown-events"] == 0


def test_frames_may_be_held_while_others_come_and_are_released_in_any_order(ends: tuple[Port, Port]) -> None:
    near, far = ends
    held: list[tuple[Any, int]] = []
    for first in range(0, 320, 32):
        frames = [datagram(i) for i in range(first, first + 32)]
        far.send(*frames)

        def take(wanted: list[bytes] = frames) -> bool:
            burst, count = near.take(1)
            held.extend([(burst, count)] * count)
            return len(held) == first + len(wanted)  # noqa: B023

        wait_until(take, "frames")
    assert [near.copied(burst[0]).data for burst, _ in held] == [datagram(i) for i in range(320)]
    for burst, count in reversed(held):
        near.release(burst, count)
    far.send(datagram(1))
    assert [one.data for one in near.receive(1)] == [datagram(1)]


def test_what_no_filter_takes_does_not_come(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter(ADDRESS, 4001)
    near.remove_filter(ADDRESS, 4001)
    far.send(datagram(1, port=4001), datagram(2, port=4002), datagram(3))
    assert [one.data for one in near.receive(1)] == [datagram(3)]


def test_a_filter_held_twice_goes_with_its_last_holder(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter(ADDRESS, 4000)
    near.remove_filter(ADDRESS, 4000)
    far.send(datagram(1))
    assert len(near.receive(1)) == 1
    near.remove_filter(ADDRESS, 4000)
    with pytest.raises(OpFailedError, match="there is none"):
        near.remove_filter(ADDRESS, 4000)


@pytest.mark.parametrize("model", MODELS)
def test_each_queue_gets_what_its_filters_take(adapters: Adapters, open_port: Callable[..., Port], model: str) -> None:
    adapters.describe("eth2", f"model={model}")
    near, far = open_port("eth2", queues=2), open_port("eth3")
    near.add_filter(ADDRESS, 4000, queue=0)
    near.add_filter(ADDRESS, 4001, queue=1)
    with pytest.raises(OpFailedError, match="directed it to queue 0 already") as caught:
        near.add_filter(ADDRESS, 4000, queue=1)
    assert caught.value.code == -EEXIST
    far.send(*(datagram(i, port=4000 + i % 2) for i in range(40)))
    assert [one.data for one in near.receive(20, queue=0)] == [datagram(i, port=4000) for i in range(0, 40, 2)]
    assert [one.data for one in near.receive(20, queue=1)] == [datagram(i, port=4001) for i in range(1, 40, 2)]


def test_a_filter_is_added_while_another_thread_polls(ends: tuple[Port, Port]) -> None:
    near, far = ends
    received: list[bytes] = []
    is_over = threading.Event()
    near.check(near.ops.queue_leave(near.object, 0))

    def poll() -> None:
        near.check(near.ops.queue_enter(near.object, 0))
        while not is_over.is_set():
            frames, count = near.take()
            received.extend(near.copied(frames[i]).data for i in range(count))
            near.release(frames, count)
        near.check(near.ops.queue_leave(near.object, 0))

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        for port in range(5000, 5020):
            near.add_filter(ADDRESS, port)
            frame = datagram(port, port=port)
            wait_until(lambda frame=frame: far.burst(frame) and frame in received, f"a frame for port {port}")
    finally:
        is_over.set()
        thread.join()
        near.check(near.ops.queue_enter(near.object, 0))
    assert set(received) == {datagram(port, port=port) for port in range(5000, 5020)}


def test_an_x4_is_on_its_express_datapath_unless_told_otherwise(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "model=x4")
    express, enterprise, far = open_port("eth2"), open_port("eth2", datapath="enterprise"), open_port("eth3")
    assert (express.facts.express, express.facts.shared_queues) == (1, 1)
    assert (enterprise.facts.express, enterprise.facts.shared_queues) == (0, 0)
    express.add_filter(ADDRESS, 4000)
    enterprise.add_filter(ADDRESS, 4001)
    far.send(datagram(1), datagram(2, port=4001))
    assert [one.data for one in express.receive(1)] == [datagram(1)]
    assert [one.data for one in enterprise.receive(1)] == [datagram(2, port=4001)]


def test_what_comes_for_another_reader_of_a_shared_queue_is_passed_over(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "model=x3522 others=1")
    near, other, far = open_port("eth2"), open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    other.add_filter(ADDRESS, 4001)
    far.send(*(datagram(i, port=4000 + i % 2) for i in range(40)))
    assert [one.data for one in near.receive(20)] == [datagram(i) for i in range(0, 40, 2)]
    near.wait_for_figure("rx-others", 20)
    assert [one.data for one in other.receive(20)] == [datagram(i, port=4001) for i in range(1, 40, 2)]


def test_what_a_removed_filter_asked_for_is_passed_over_at_once(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "model=x3522 others=1")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    near.add_filter(ADDRESS, 4001)
    far.send(datagram(1, port=4001), datagram(2))
    assert [one.data for one in near.receive(2)] == [datagram(1, port=4001), datagram(2)]
    near.remove_filter(ADDRESS, 4000)
    far.send(datagram(3), datagram(4, port=4001))
    assert [one.data for one in near.receive(1)] == [datagram(4, port=4001)]
    near.wait_for_figure("rx-others", 1)


def test_datagrams_over_ipv6_have_filters_too(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter("fd88::1", 4000)
    frame = Datagram("fd88::1", 4000, b"over IPv6", source="fd88::2").frame()
    far.send(Datagram("fd88::1", 4001, b"another", source="fd88::2").frame(), frame)
    assert [one.data for one in near.receive(1)] == [frame]
    near.remove_filter("fd88::1", 4000)


def test_a_filter_for_a_tag_takes_tagged_datagrams(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter(ADDRESS, 4001, vlan=5)
    frame = datagram(1, port=4001, vlan=5)
    far.send(datagram(2, port=4002, vlan=5), frame)
    assert [one.data for one in near.receive(1)] == [frame]
    near.remove_filter(ADDRESS, 4001, vlan=5)


def test_a_multicast_datagram_goes_to_every_queue_that_wants_it(open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2", queues=2), open_port("eth3")
    for queue in range(2):
        near.add_filter("239.20.90.1", 4000, queue=queue)
        near.check(near.ops.join_group(near.object, near.address("239.20.90.1")))
    frame = Datagram("239.20.90.1", 4000, b"to all").frame()
    far.send(frame)
    assert [near.receive(1, queue=queue)[0].data for queue in range(2)] == [frame.ljust(60, b"\0")] * 2


def test_an_agent_sleeps_until_a_frame_comes(ends: tuple[Port, Port]) -> None:
    import select

    near, far = ends
    near.poll()
    descriptor = near.check(near.ops.arm(near.object, 0))
    sleeper = select.poll()
    sleeper.register(descriptor, select.POLLIN)
    far.send(datagram(1))
    assert sleeper.poll(20_000)
    near.check(near.ops.disarm(near.object, 0))
    assert len(near.receive(1)) == 1


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("reason", "figure"), [("crc", "crc"), ("length", "truncated"), ("l4", "checksum")])
def test_bad_frames_are_counted_by_reason_and_their_buffers_are_used_again(
    adapters: Adapters, open_port: Callable[..., Port], model: str, reason: str, figure: str
) -> None:
    adapters.describe("eth2", f"model={model} discard={reason}:2")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    for first in range(0, 1200, 60):
        far.send(*(datagram(i) for i in range(first, first + 60)))
        near.receive(30)
    near.wait_for_figure("rx-discard", 600)
    assert near.stats()[f"rx-discard-{figure}"] == 600


def test_merged_events_are_taken_apart(open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2", event_merge="on"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    frames = [datagram(i, length=4 + i) for i in range(400)]
    for first in range(0, 400, 100):
        far.send(*frames[first : first + 100])
        assert [one.data for one in near.receive(100, capacity=3)] == [
            frame.ljust(60, b"\0") for frame in frames[first : first + 100]
        ]
    assert near.stats()["rx-merged-events"] > 0
    assert near.facts.merges_events


def test_without_a_licence_for_more_events_are_merged_and_that_is_said(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "licence=merge")
    near = open_port("eth2")
    assert near.facts.merges_events
    ((kind, text),) = near.events()
    assert kind == NOTE and "Receive events are merged" in text
    with pytest.raises(TransportError, match="activation key"):
        open_port("eth2", event_merge="off")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("clock", "expected"), [("sync", HARDWARE_SYNC), ("set", HARDWARE), ("unknown", 0), ("lost", 0)]
)
def test_received_frames_have_the_adapters_time_and_the_state_of_its_clock(
    adapters: Adapters, open_port: Callable[..., Port], model: str, clock: str, expected: int
) -> None:
    adapters.describe("eth2", f"model={model} clock={clock}")
    near, far = open_port("eth2", timestamps=True), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    far.send(*(datagram(i) for i in range(10)))
    received = near.receive(10)
    assert {one.clock for one in received} == {expected}
    stamps = [one.timestamp_ns for one in received]
    if expected:
        assert stamps == sorted(stamps) and stamps[0] > 0
    assert near.stats()["rx-unstamped"] == (0 if expected else 10)
