"""A transport whose device goes away while streams run over it."""

from __future__ import annotations

import os

import pytest

from framelane._native import ffi, lib
from framelane.driver.verdicts import read_verdicts
from framelane.protocol.commands import AddPublication, RemoveSubscription
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    OperationSuccess,
    PublicationReady,
    UnavailableImage,
)
from framelane.shm.counter_types import ChannelStatus, CounterType, LocalAddressKey
from framelane.testing.simulation import MILLISECOND, SECOND, Simulation
from support.commanding import publish, subscribe
from support.devices import Devices

SENDER, RECEIVER = "10.0.0.1", "10.0.0.2"
STEP = 4 * MILLISECOND
CHANNEL = f"aeron:udp?endpoint={RECEIVER}:40123"


@pytest.fixture
def world(tmp_path):
    seed = int(os.environ.get("FRAMELANE_TEST_SEED", "1"))
    print(f"FRAMELANE_TEST_SEED={seed}")
    with Simulation(tmp_path, seed=seed) as world:
        yield world


def devices_of(world, address, names):
    return Devices({name: lambda name=name: world.net.attach([address], seed=1, name=name) for name in names})


class Stream:
    """One stream between two drivers, either of which may lose devices."""

    def __init__(self, world, *, channel=CHANNEL, subscribed=CHANNEL, names=("first", "second")):
        self.world = world
        self.devices = {"sender": devices_of(world, SENDER, names), "receiver": devices_of(world, RECEIVER, names)}
        self.drivers = {
            side: world.driver(address, transports=self.devices[side])
            for side, address in (("sender", SENDER), ("receiver", RECEIVER))
        }
        self.clients = {side: driver.client() for side, driver in self.drivers.items()}
        self.subscription = subscribe(self.clients["receiver"], subscribed)
        self.publication = publish(self.clients["sender"], channel)
        self.status_ids = {
            "sender": self.publication.channel_status_counter_id,
            "receiver": self.subscription.channel_status_counter_id,
        }
        self.writer = self.clients["sender"].writer(self.publication)
        self.reader = self.clients["receiver"].reader(self.clients["receiver"].wait(AvailableImage))
        self.offered = 0
        self.received = []

    def flow(self, duration_ns):
        """Let the stream run: offer what there is room for, read what came."""
        end_ns = self.world.clock.nano() + duration_ns
        while self.world.clock.nano() < end_ns:
            self.offer()
            self.step()

    def offer(self):
        for _ in range(16):
            self.offered += self.writer.offer(self.offered.to_bytes(4, "big") * 100)

    def step(self):
        self.world.step(STEP)
        self.received += [int.from_bytes(payload[:4], "big") for payload in self.reader.frames()]
        for client in self.clients.values():
            client.keep_alive()

    def finish(self):
        """All that was offered has arrived, once, in order, on the image of the beginning."""

        def is_complete():
            self.step()
            return len(self.received) >= self.offered

        self.world.run_until(is_complete, f"{self.offered} messages, {len(self.received)} are there", 5 * SECOND)
        assert self.received == list(range(self.offered))
        for client in self.clients.values():
            client.receive()
            assert not [event for event in client.events if isinstance(event, UnavailableImage)]
        assert len([e for e in self.clients["receiver"].events if isinstance(e, AvailableImage)]) == 1

    def status(self, side):
        return self.clients[side].counters.value(self.status_ids[side])

    def verdict(self, side):
        (one,) = read_verdicts(self.clients[side].counters)
        return one

    def errors(self, side):
        return [error.text for error in self.clients[side].cnc.errors()]

    def tries(self, side):
        """How often the error log saw that the endpoint is on no transport."""
        return sum(e.count for e in self.clients[side].cnc.errors() if "is on no transport" in e.text)

    def local_address(self, side):
        (counter,) = (c for c in self.clients[side].counters if c.type_id == CounterType.LOCAL_SOCKET_ADDRESS)
        return LocalAddressKey.decode(counter.key).address


@pytest.mark.parametrize("text", ["eth9 was unplugged", None], ids=["with an event", "without an event"])
@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_a_stream_goes_on_over_the_next_transport_when_a_device_is_lost(world, side, text):
    stream = Stream(world)
    stream.flow(SECOND)
    before, offered = stream.local_address(side), stream.offered
    assert stream.verdict(side).transport == "first"

    stream.devices[side].lose("first", text)
    stream.flow(2 * SECOND)

    assert stream.offered > 1.5 * offered
    stream.finish()
    assert stream.status(side) == ChannelStatus.ACTIVE
    assert stream.local_address(side) == before
    verdict = stream.verdict(side)
    assert verdict.transport == "second"
    ((passed, why),) = verdict.passed_over
    assert passed == "first" and "has lost its device" in why and (text or "names no device") in why
    assert any(f"{before} is on transport second now" in error for error in stream.errors(side))
    fallbacks = [c.value for c in stream.clients[side].counters if c.label == "transport-fallbacks"]
    assert fallbacks == [1]
    assert stream.tries(side) == 0


def test_the_counter_of_receive_timestamps_follows_the_endpoint_to_the_next_transport(world):
    stream = Stream(world, subscribed=f"{CHANNEL}|media-rcv-ts-offset=reserved")
    counters = stream.clients["receiver"].counters
    (before,) = [c for c in counters if c.type_id == CounterType.RECEIVE_TIMESTAMPS]

    stream.devices["receiver"].lose("first")
    stream.flow(SECOND)

    stream.finish()
    (after,) = [c for c in counters if c.type_id == CounterType.RECEIVE_TIMESTAMPS]
    status_id = stream.status_ids["receiver"]
    assert [before.label, after.label] == [
        f"media-rcv-timestamps: {status_id} {n} software" for n in ("first", "second")
    ]
    assert (before.id, after.value) == (after.id, 0)
    assert stream.verdict("receiver").why.endswith("Media receive timestamps are made in software by the transport.")


def test_the_switch_without_an_event_takes_no_timer_pass(world):
    stream = Stream(world)
    stream.flow(SECOND + 500 * MILLISECOND)
    stream.devices["receiver"].lose("first", None)

    stream.flow(5 * STEP)

    assert stream.verdict("receiver").transport == "second"


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_without_another_transport_the_endpoint_is_retried_each_second_and_the_stream_goes_on(world, side):
    stream = Stream(world, names=("first",))
    stream.flow(SECOND)
    before = stream.local_address(side)

    stream.devices[side].lose("first")
    stream.flow(4 * SECOND + 100 * MILLISECOND)

    assert stream.status(side) == ChannelStatus.ERRORED
    lost = [error for error in stream.errors(side) if "is on no transport" in error]
    assert lost and all(before in error and "eth9 was unplugged" in error for error in lost)
    assert any("there is no eth9" in error for error in lost)
    assert 4 <= stream.tries(side) <= 5
    assert stream.devices[side].openings[1:] == ["first"] * (stream.tries(side) - 1)
    assert "has lost its device (eth9 was unplugged)" in stream.verdict(side).why

    stream.devices[side].bring_back("first")
    stream.flow(SECOND + 100 * MILLISECOND)

    assert stream.status(side) == ChannelStatus.ACTIVE
    assert (stream.verdict(side).transport, stream.verdict(side).passed_over) == ("first", ())
    stream.flow(SECOND)
    stream.finish()
    assert stream.local_address(side) == before


def test_an_image_ends_by_its_own_timeout_while_nothing_binds_the_address(world):
    stream = Stream(world, names=("first",))
    stream.flow(SECOND)
    stream.devices["receiver"].lose("first")

    stream.flow(9 * SECOND)
    stream.clients["receiver"].receive()
    assert not [e for e in stream.clients["receiver"].events if isinstance(e, UnavailableImage)]
    stream.flow(3 * SECOND)

    stream.clients["receiver"].wait(UnavailableImage)


def test_an_endpoint_that_a_channel_ties_to_a_transport_waits_for_its_device(world):
    stream = Stream(world, subscribed=f"{CHANNEL}|transport=first")
    stream.flow(SECOND)

    stream.devices["receiver"].lose("first")
    stream.flow(2 * SECOND)

    assert stream.status("receiver") == ChannelStatus.ERRORED
    assert "second" not in stream.devices["receiver"].openings
    stream.devices["receiver"].bring_back("first")
    stream.flow(2 * SECOND)
    assert stream.status("receiver") == ChannelStatus.ACTIVE
    stream.finish()


def test_a_port_that_was_left_to_the_driver_is_kept(world):
    devices = devices_of(world, RECEIVER, ("first", "second"))
    client = world.driver(RECEIVER, transports=devices).client()
    before, second = [subscribe(client, f"aeron:udp?endpoint={RECEIVER}:0") for _ in range(2)]
    # Now the first port is free, and would be chosen again.
    client.call(RemoveSubscription, OperationSuccess, registration_id=before.correlation_id)
    (address,) = (
        LocalAddressKey.decode(counter.key).address
        for counter in client.counters
        if counter.type_id == CounterType.LOCAL_SOCKET_ADDRESS
    )

    devices.lose("first")
    world.run(2 * SECOND)

    assert client.counters.value(second.channel_status_counter_id) == ChannelStatus.ACTIVE
    sender = world.driver(SENDER).client()
    sender.call(AddPublication, PublicationReady, stream_id=7, channel=f"aeron:udp?endpoint={address}")
    client.wait(AvailableImage)


def test_what_failed_over_stays_and_what_is_new_takes_the_device_that_is_back(world):
    devices = Devices(
        {
            "first": lambda: world.net.attach([RECEIVER], name="first"),
            "second": lambda: world.net.attach(["10.0.0.9"], name="second"),
        }
    )
    client = world.driver(RECEIVER, transports=devices).client()

    def transports():
        return sorted(one.transport for one in read_verdicts(client.counters))

    subscribe(client, "aeron:udp?endpoint=0.0.0.0:40123", 1)
    devices.lose("first")
    world.run(2 * SECOND)
    assert transports() == ["second"]
    devices.bring_back("first")
    world.run(3 * SECOND)
    assert transports() == ["second"]

    subscribe(client, f"aeron:udp?endpoint={RECEIVER}:40124", 2)

    assert transports() == ["first", "second"]
    assert any("its device is there again" in error.text for error in client.cnc.errors())


def test_an_endpoint_on_no_transport_can_be_closed_and_joined(world):
    stream = Stream(world, names=("first",))
    stream.devices["sender"].lose("first")
    stream.flow(SECOND + 500 * MILLISECOND)
    client = stream.clients["sender"]

    joined = client.call(AddPublication, PublicationReady, stream_id=8, channel=CHANNEL)
    assert joined.channel_status_counter_id == stream.status_ids["sender"]
    error = client.call(AddPublication, ErrorResponse, stream_id=7, channel="aeron:udp?endpoint=10.0.0.3:40123")
    assert "has lost its device: eth9 was unplugged" in error.error_message

    stream.drivers["sender"].close()


def test_a_try_that_lacks_privileges_which_were_given_up_says_so(world):
    stream = Stream(world, names=("first",))
    stream.drivers["receiver"].driver.nouns.transports.reduced_to = "nobody:nogroup"

    stream.devices["receiver"].lose("first", error=PermissionError(13, "Permission denied"))
    stream.flow(2 * SECOND)

    texts = [error for error in stream.errors("receiver") if "is on no transport" in error]
    expected = "Permission denied (the driver gave up its privileges at the start and runs as nobody:nogroup now"
    assert any(expected in text for text in texts)


def test_a_link_that_goes_down_and_what_a_transport_notes_is_in_the_error_log_and_no_error(world):
    driver = world.driver(SENDER)
    client = driver.client()
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:udp?endpoint=10.0.0.2:40123")
    coming = [(lib.FL_EVENT_LINK_DOWN, b"eth9"), (lib.FL_EVENT_NOTE, b"too few queues")]

    @ffi.callback("int(fl_transport_t *, fl_event_t *, uint32_t)")
    def events(_transport, events, capacity):
        taken, coming[:] = coming[:capacity], coming[capacity:]
        for event, (kind, text) in zip(events[0 : len(taken)], taken, strict=True):
            event.kind = kind
            ffi.memmove(event.text, text + b"\0", len(text) + 1)
        return len(taken)

    driver.transport.binding.ops.events = events
    world.run(2 * SECOND)

    texts = [entry.text for entry in client.cnc.errors()]
    assert any("link down: eth9" in text for text in texts)
    assert any("too few queues" in text for text in texts)
    assert client.counters.value(15) == 0
