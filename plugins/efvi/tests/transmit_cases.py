"""How an ef_vi port sends: ways, rings that are full or stopped, and times of sending.

Run by test_port.py where the plugin is built against the stand-in, in a network namespace of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from efvi_port import ADDRESS, MODELS, Adapters, Port, datagram

from support.processes import wait_until


def test_without_credits_nothing_is_sent_until_there_are_some(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth3", "model=x3522 no-credits=1")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    far.poll()
    assert far.burst(datagram(1)) == 0
    assert far.stats()["tx-ring-full"] == 1
    adapters.describe("eth3", "no-credits=0")
    far.send(datagram(2))
    assert [one.data for one in near.receive(1)] == [datagram(2)]


@pytest.mark.parametrize(
    ("model", "transmit", "figure"),
    [
        ("x2522", "auto", "tx-ctpio"),
        ("x2522", "dma", "tx-dma"),
        ("sfn8522", "auto", "tx-pio"),
        ("x3522", "auto", "tx-ctpio"),
    ],
)
def test_frames_go_the_way_that_was_chosen(
    adapters: Adapters, open_port: Callable[..., Port], model: str, transmit: str, figure: str
) -> None:
    adapters.describe("eth3", f"model={model}")
    near, far = open_port("eth2"), open_port("eth3", transmit=transmit)
    near.add_filter(ADDRESS, 4000)
    for i in range(50):
        far.send(datagram(i, length=1000))
        assert [one.data for one in near.receive(1)] == [datagram(i, length=1000)]
    far.wait_for_figure(figure, 50)
    assert far.stats()["tx-buffers-out"] == 0


def test_a_long_burst_is_read_by_the_adapter(open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    assert far.burst(*(datagram(i) for i in range(32))) == 32
    far.wait_for_figure("tx-dma", 32)
    far.send(datagram(0))
    far.wait_for_figure("tx-ctpio", 1)
    assert len(near.receive(33)) == 33


def test_what_ctpio_cannot_send_is_read_by_the_adapter(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    adapters.describe("eth3", "ctpio-fails=1")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    for i in range(20):
        far.send(datagram(i))
    assert [one.data for one in near.receive(20)] == [datagram(i) for i in range(20)]
    far.wait_for_figure("tx-ctpio-fallback", 20)


@pytest.mark.parametrize("model", MODELS)
def test_a_full_ring_takes_no_more_and_loses_nothing(
    adapters: Adapters, open_port: Callable[..., Port], model: str
) -> None:
    adapters.describe("eth3", f"model={model} stalled=1")
    near, far = open_port("eth2", rx_queue_size=2048), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    sent = 0
    while taken := far.burst(*(datagram(i) for i in range(sent, sent + 8))):
        sent += taken
    # An X3 has no ring: what the wire does not take is not taken.
    assert sent < 2048 and (sent >= 8 or model == "x3522")
    assert far.stats()["tx-ring-full"] + far.stats()["tx-buffers-out"] > 0
    adapters.describe("eth3", "stalled=0")

    def has_room() -> int:
        far.poll()
        return far.burst(datagram(sent))

    sent += wait_until(has_room, "room")

    received: list[bytes] = []

    def all_came() -> bool:
        far.poll()
        frames, count = near.take()
        received.extend(near.copied(frames[i]).data for i in range(count))
        near.release(frames, count)
        return len(received) == sent

    wait_until(all_came, f"{sent} frames")
    assert received == [datagram(i) for i in range(sent)]


@pytest.mark.parametrize("model", ["x2522", "x3522"])
def test_sent_frames_are_stamped_and_their_buffers_come_back(
    adapters: Adapters, open_port: Callable[..., Port], model: str
) -> None:
    adapters.describe("eth3", f"model={model}")
    near, far = open_port("eth2"), open_port("eth3", tx_timestamps=True)
    near.add_filter(ADDRESS, 4000)
    for i in range(800):
        far.send(datagram(i))
        near.receive(1)
    far.wait_for_figure("tx-stamped", 800)
    assert far.stats()["tx-last-stamp-ns"] > 0 and far.stats()["tx-stamped-unsynchronised"] == 0


def test_a_stopped_transmit_queue_is_started_again(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2"), open_port("eth3", transmit="dma")
    near.add_filter(ADDRESS, 4000)
    adapters.describe("eth3", "tx-error=bus")

    def is_stopped() -> bool:
        far.burst(datagram(0))
        far.poll()
        return far.stats()["tx-device-errors"] > 0

    wait_until(is_stopped, "an error of the transmit queue")
    adapters.restore("eth3")

    def goes_on() -> bool:
        far.burst(datagram(1))
        far.poll()
        frames, count = near.take()
        seen = [near.copied(frames[i]).data for i in range(count)]
        near.release(frames, count)
        return datagram(1) in seen

    wait_until(goes_on, "frames after it")
    # Neither a buffer nor a descriptor was lost with what was not sent.
    for i in range(1500):
        far.send(datagram(i))
        near.poll()
    far.wait_for_figure("tx-dma", far.stats()["tx-frames"])
