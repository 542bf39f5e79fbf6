"""Slow receivers beside fast ones, and congestion control, between ours and stock (wire 3.6.3, 4.7, 4.13; shm 9.9).

All clients are stock.
"""

from __future__ import annotations

import time

import pytest

from framelane.shm.counter_types import CounterType
from support.drivers import DriverProcess
from support.processes import wait_until
from support.stock_client import StockPublication, StockSubscription, stream

pytestmark = [pytest.mark.interop, pytest.mark.root]

MESSAGE = bytes(range(250)) * 4
WINDOW = 128 * 1024
UNTETHERED = "untethered-window-limit-timeout=500ms|untethered-linger-timeout=500ms|untethered-resting-timeout=1s"
#: The sending driver, and that of the receiver, in a group of the slow one: the fast one's is then of the other kind.
WAYS = ["ours to stock", "stock to ours"]


def offer_for(seconds: float, publication: StockPublication, readers: list[StockSubscription]) -> int:
    """Offer for a while, and have readers read; returns how many messages were taken."""
    taken, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        taken += publication.offer(MESSAGE)
        for reader in readers:
            reader.poll()
    return taken


class Group:
    """A publication with two receivers: one that reads and one that need not."""

    def __init__(self, host, drivers, way: str, flow: str, fast: str = "", slow: str = "") -> None:
        sending, _, slow_kind = way.split()
        fast_kind = "stock" if slow_kind == "ours" else "ours"
        control = host.address()
        channel = f"aeron:udp?control={control}|control-mode=dynamic|fc={flow}"
        self.publication = host.client(drivers[sending][0]).publish(channel)
        self.session_id = self.publication.session_id
        self.kinds = {"fast": fast_kind, "slow": slow_kind}

        def subscribe(kind: str, parameters: str) -> StockSubscription:
            where = f"aeron:udp?endpoint={host.address()}|control={control}{parameters}"
            return host.client(drivers[kind][1]).subscribe(where)

        self.subscribe_slow = lambda: subscribe(slow_kind, slow)
        self.fast, self.slow = subscribe(fast_kind, fast), self.subscribe_slow()
        for one in (self.fast, self.slow):
            one.wait_for_image(self.session_id)

    def settle(self) -> None:
        """Have both known: a stream that both read in whole."""
        stream(self.publication, [self.fast, self.slow], 300)


@pytest.mark.parametrize("way", WAYS)
def test_the_slowest_of_a_group_with_min_holds_it_back_until_it_leaves(host, drivers, way: str) -> None:
    group = Group(host, drivers, way, "min,t:1s")
    group.settle()
    began = group.publication.position
    offer_for(1.0, group.publication, [group.fast])
    assert WINDOW // 2 < group.publication.position - began < 3 * WINDOW
    assert offer_for(0.5, group.publication, [group.fast]) == 0
    group.settle()

    offer_for(0.5, group.publication, [group.fast])
    group.slow.close()
    stream(group.publication, [group.fast], 2000)

    group.slow = group.subscribe_slow()
    group.slow.wait_for_image(group.session_id)
    group.settle()


@pytest.mark.parametrize("way", WAYS)
def test_a_slow_receiver_with_the_group_tag_holds_the_others_back(host, drivers, way: str) -> None:
    group = Group(host, drivers, way, "tagged,g:77/1,t:1s", slow="|gtag=77")
    group.settle()
    offer_for(1.0, group.publication, [group.fast])
    assert offer_for(0.5, group.publication, [group.fast]) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_slow_receiver_without_the_group_tag_does_not(host, drivers, way: str) -> None:
    group = Group(host, drivers, way, "tagged,g:77/1,t:1s", fast="|gtag=77")
    group.settle()
    stream(group.publication, [group.fast], 3000)


@pytest.mark.parametrize("kind", ["ours", "stock"])
def test_a_group_of_a_size_is_connected_when_it_has_that_many(host, drivers, kind: str) -> None:
    control = host.address()
    publication = host.client(drivers["ours"][0]).publish(
        f"aeron:udp?control={control}|control-mode=dynamic|fc=tagged,g:9/2,t:1s"
    )
    client = host.client(drivers[kind][1])
    subscriptions = [
        client.subscribe(f"aeron:udp?endpoint={host.address()}|control={control}{tag}") for tag in ("|gtag=9", "")
    ]
    for one in subscriptions:
        one.wait_for_image(publication.session_id)
    offer_for(0.5, publication, [])
    assert not publication.is_connected
    other = host.client(drivers["stock" if kind == "ours" else "ours"][1])
    subscriptions.append(other.subscribe(f"aeron:udp?endpoint={host.address()}|control={control}|gtag=9"))
    subscriptions[-1].wait_for_image(publication.session_id)
    wait_until(lambda: publication.is_connected, "connected", 10)
    stream(publication, subscriptions, 500)


@pytest.mark.parametrize("kind", ["udp from ours", "udp from stock", "ipc", "spy"])
def test_an_untethered_subscriber_that_reads_nothing_is_given_up_and_taken_in_again(host, drivers, kind: str) -> None:
    client = host.client(drivers["ours"][0])
    channel = "aeron:ipc?" if kind == "ipc" else f"aeron:udp?endpoint={host.address()}|"
    publisher = host.client(drivers["stock"][1]) if kind == "udp from stock" else client
    prefix = "aeron-spy:" if kind == "spy" else ""
    where = f"{prefix}{channel}{UNTETHERED}"
    reader, idler = client.subscribe(where), client.subscribe(f"{where}|tether=false")
    publication = publisher.publish(f"{channel}{UNTETHERED}|ssc=true")
    for one in (reader, idler):
        one.wait_for_image(publication.session_id)
    stream(publication, [reader, idler], 300)

    began, seen = time.monotonic(), set()
    while {True, False} - seen and time.monotonic() < began + 10:
        offer_for(0.02, publication, [reader])
        has_image = bool(idler.images)
        if not has_image or False in seen:
            seen.add(has_image)
    assert seen == {True, False}
    stream(publication, [reader, idler], 1000)


def cubic_counters(driver: DriverProcess, name: str, channel: str) -> int:
    (value,) = (
        one.value
        for one in driver.cnc.counters()
        if one.type_id == CounterType.PER_IMAGE and one.label.startswith(name) and channel in one.label
    )
    return value


@pytest.mark.parametrize("way", WAYS)
def test_a_receiver_with_cubic_measures_round_trips_and_grows_its_window(host, drivers, way: str) -> None:
    sending, _, receiving = way.split()
    channel = f"aeron:udp?endpoint={host.address()}"
    publication = host.client(drivers[sending][0]).publish(channel)
    subscription = host.client(drivers[receiving][1]).subscribe(f"{channel}|cc=cubic")
    subscription.wait_for_image(publication.session_id)

    def counter(name: str) -> int:
        return cubic_counters(drivers[receiving][1], f"rcv-cc-cubic-{name}", channel)

    stream(publication, [subscription], 3000)
    wait_until(lambda: counter("rtt") > 0, "a round trip time", 10)
    assert counter("rtt") < 1_000_000_000
    began = time.monotonic()
    while counter("wnd") < WINDOW * 3 // 4 and time.monotonic() < began + 10:
        stream(publication, [subscription], 200)
    assert counter("wnd") >= WINDOW * 3 // 4
