"""Untethered subscribers are given up while they hold back the others, and taken in again later (shm 9.9)."""

from __future__ import annotations

import pytest

from framelane.errors import NativeError
from framelane.protocol.events import AvailableImage, UnavailableImage
from framelane.shm.counter_types import CounterType
from framelane.testing.simulation import MILLISECOND
from support.commanding import UDP, idle, kinds, publish, subscribe

MESSAGE = bytes(1000)
TIMEOUTS = "|".join(
    f"untethered-{name}-timeout={seconds}s" for name, seconds in (("window-limit", 2), ("linger", 3), ("resting", 4))
)


class Stream:
    """A publication, a subscriber that reads, and one that does not, of which ``parameters`` are."""

    def __init__(self, world, kind, parameters):
        publisher = world.driver("10.0.0.1").client()
        if kind == "ipc":
            channel = subscription = f"aeron:ipc?{TIMEOUTS}"
        elif kind == "spy":
            channel = f"{UDP}|ssc=true|{TIMEOUTS}"
            subscription = "aeron-spy:" + channel
        else:
            channel, subscription = UDP, f"{UDP}|{TIMEOUTS}"
        self.client = publisher if kind != "udp" else world.driver("10.0.0.2").client()
        self.clients = {publisher, self.client}
        self.world = world
        subscribe(self.client, subscription)
        self.idler = subscribe(self.client, subscription + parameters).correlation_id
        ready = publish(publisher, channel)
        self.writer = publisher.writer(ready)
        self.image = self.available()
        self.reader = self.client.reader(
            self.client.wait(AvailableImage, lambda event: event.subscription_registration_id != self.idler)
        )
        world.run(300 * MILLISECOND)

    def available(self):
        return self.client.wait(AvailableImage, lambda event: event.subscription_registration_id == self.idler)

    def run(self, seconds, idle_reader=None):
        """Stream on for a while; returns how many messages went in."""
        taken = 0
        for _ in range(seconds * 10):
            while self.writer.offer(MESSAGE):
                taken += 1
            for reader in filter(None, (self.reader, idle_reader)):
                list(reader.frames())
            idle(self.world, 100 * MILLISECOND, *self.clients)
            self.client.receive()
        return taken

    def run_until(self, kind):
        for _ in range(10):
            if not any(type(event) is kind for event in self.client.events):
                self.run(1)

    def is_gone(self):
        return [one.subscription_registration_id for one in self.client.events if type(one) is UnavailableImage]


@pytest.mark.parametrize("kind", ["ipc", "spy", "udp"])
def test_a_subscriber_that_holds_back_the_others_is_given_up_and_comes_back(world, kind):
    stream = Stream(world, kind, "|tether=false")
    stream.run(1)
    assert stream.run(1) == 0  # the window is full
    stream.run_until(UnavailableImage)
    assert stream.is_gone() == [stream.idler]
    assert stream.client.events[-1].channel == "aeron:ipc"
    assert stream.run(1) == 0  # it may still look at what it has
    assert stream.run(4) > 100
    position = stream.client.counters.get(stream.image.subscriber_position_counter_id)
    assert (position.value, position.registration_id) == (0, stream.idler)

    stream.client.events.clear()
    stream.run_until(AvailableImage)
    again = stream.available()
    assert again == stream.image
    assert stream.client.counters.value(again.subscriber_position_counter_id) > 100 * 1056
    taken = stream.run(6, stream.client.reader(again))
    assert taken > 100
    assert not stream.is_gone()


def test_the_time_of_one_that_read_along_begins_when_it_falls_behind(world):
    stream = Stream(world, "ipc", "|tether=false")
    stream.run(7, stream.client.reader(stream.image))
    stream.run(1)
    assert not stream.is_gone()
    stream.run(4)
    assert stream.is_gone() == [stream.idler]


def test_one_that_does_not_rejoin_is_let_go_for_good(world):
    stream = Stream(world, "ipc", "|tether=false|rejoin=false")
    stream.run(12)
    assert stream.is_gone() == [stream.idler]
    assert stream.client.counters.find(CounterType.SUBSCRIBER_POSITION, stream.idler) is None
    assert kinds(stream.client.events).count(AvailableImage) == 2


def test_a_tethered_subscriber_is_never_given_up(world):
    stream = Stream(world, "ipc", "")
    stream.run(1)
    assert stream.run(12) == 0
    assert not stream.is_gone()


def test_one_that_keeps_up_is_not_given_up(world):
    stream = Stream(world, "ipc", "|tether=false")
    assert stream.run(8, stream.client.reader(stream.image)) > 100
    assert not stream.is_gone()


def check_that_the_second_is_given_up(world, client):
    ready = publish(client, f"aeron:ipc?{TIMEOUTS}")
    first = client.wait(AvailableImage)
    writer, reader = client.writer(ready), client.reader(first)
    for _ in range(30):
        while writer.offer(MESSAGE):
            pass
        list(reader.frames())
        idle(world, 200 * MILLISECOND, client)
    assert client.wait(UnavailableImage).subscription_registration_id != first.subscription_registration_id


def test_the_setting_is_the_default_of_tether(world):
    client = world.driver("10.0.0.1", tether_subscriptions=False).client()
    subscribe(client, f"aeron:ipc?{TIMEOUTS}|tether=true")
    subscribe(client, f"aeron:ipc?{TIMEOUTS}")
    check_that_the_second_is_given_up(world, client)


def test_a_link_that_fails_is_recorded_and_the_others_are_looked_at(world, monkeypatch):
    host = world.driver("10.0.0.1")
    client = host.client()
    failing, _ = (subscribe(client, f"aeron:ipc?{TIMEOUTS}|tether=false").correlation_id for _ in range(2))
    ask = host.driver.plane.ipc_publication_is_behind

    def fail(publication, subscription_id):
        if subscription_id == failing:
            raise NativeError("out of order", 5)
        return ask(publication, subscription_id)

    monkeypatch.setattr(host.driver.plane, "ipc_publication_is_behind", fail)
    check_that_the_second_is_given_up(world, client)
    assert any(f"untethered link of subscription {failing}: out of order" in one.text for one in client.cnc.errors())
