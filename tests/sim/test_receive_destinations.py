"""Subscriptions with several destinations (wire 4.12, shm 9.5)."""

from __future__ import annotations

import pytest

from framelane.protocol.commands import (
    AddReceiveDestination,
    RemovePublication,
    RemoveReceiveDestination,
    RemoveSubscription,
)
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    OperationSuccess,
    UnavailableImage,
)
from framelane.testing.simulation import SECOND
from framelane.transport.wrappers import FaultDirection, wrap_faults
from support.commanding import deliver, images_of, kinds, numbered, publish, subscribe

STEP_NS = 20_000_000
MULTI = "aeron:udp?control-mode=manual"
FIRST, SECOND_ONE = "aeron:udp?endpoint=10.0.0.9:40123", "aeron:udp?endpoint=10.0.0.9:40124"
#: One stream, published twice: merged by its receivers.
SAME = "session-id=77|init-term-id=5|term-id=5|term-offset=0"


def give(client, subscription, channel):
    client.call(AddReceiveDestination, OperationSuccess, registration_id=subscription.correlation_id, channel=channel)


@pytest.fixture
def receiver(world):
    return world.driver("10.0.0.9").client()


def test_streams_of_several_destinations_come_to_one_subscription(world, receiver):
    senders = [world.driver(f"10.0.0.{number}").client() for number in (1, 2)]
    subscription = subscribe(receiver, MULTI)
    for channel in (FIRST, SECOND_ONE):
        give(receiver, subscription, channel)
    for sender, channel in zip(senders, (FIRST, SECOND_ONE), strict=True):
        ready = publish(sender, channel)
        image = receiver.wait(AvailableImage, lambda event, ready=ready: event.session_id == ready.session_id)
        deliver(world, [sender.writer(ready)], [receiver.reader(image)], [receiver, *senders], numbered(100))
    assert len(images_of(receiver)) == 2


def test_a_stream_that_comes_twice_is_merged_and_lives_as_long_as_one_of_its_sources(world):
    def lossy(inner):
        faults = wrap_faults(inner, seed=3)
        faults.configure(send=FaultDirection(loss=0.02), receive=FaultDirection(loss=0.1))
        return faults.transport

    receiver = world.driver("10.0.0.9", wrap=lossy).client()
    senders = [world.driver(f"10.0.0.{number}").client() for number in (1, 2)]
    subscription = subscribe(receiver, MULTI)
    for channel in (FIRST, SECOND_ONE):
        give(receiver, subscription, channel)
    ready = [publish(sender, f"{channel}|{SAME}") for sender, channel in zip(senders, (FIRST, SECOND_ONE), strict=True)]
    clients = [receiver, *senders]
    reader = receiver.reader(receiver.wait(AvailableImage))
    writers = [sender.writer(one) for sender, one in zip(senders, ready, strict=True)]
    deliver(world, writers, [reader], clients, numbered(300))
    assert len(images_of(receiver)) == 1

    senders[0].call(RemovePublication, OperationSuccess, registration_id=ready[0].registration_id, flags=0)
    deliver(world, writers[1:], [reader], clients, numbered(50))
    later_ns = world.clock.nano() + 3 * SECOND

    def later():
        for client in clients:
            client.keep_alive()
        return world.clock.nano() > later_ns

    world.run_until(later, "a while", step_ns=STEP_NS)
    assert not [event for event in receiver.receive() if isinstance(event, UnavailableImage)]
    deliver(world, writers[1:], [reader], clients, numbered(50))
    senders[1].call(RemovePublication, OperationSuccess, registration_id=ready[1].registration_id, flags=0)
    receiver.wait(UnavailableImage)


def test_a_destination_with_a_control_address_makes_itself_known_and_is_forgotten_when_it_is_taken_away(
    world, receiver
):
    sender = world.driver("10.0.0.1").client()
    ready = publish(sender, "aeron:udp?control=10.0.0.1:40456|control-mode=dynamic")
    subscription = subscribe(receiver, MULTI)
    destination = FIRST + "|control=10.0.0.1:40456"
    give(receiver, subscription, destination)
    reader = receiver.reader(receiver.wait(AvailableImage))
    deliver(world, [sender.writer(ready)], [reader], [sender, receiver], numbered(200))

    receiver.call(
        RemoveReceiveDestination, OperationSuccess, registration_id=subscription.correlation_id, channel=destination
    )

    def is_alone():
        sender.keep_alive()
        receiver.keep_alive()
        return not next(one.value for one in sender.counters if one.label.startswith("mdc-num-dest"))

    world.run_until(is_alone, "the destination lapses", step_ns=STEP_NS)


def test_clients_find_the_addresses_of_all_destinations_by_the_status_of_their_channel(world, receiver):
    subscription = subscribe(receiver, MULTI)
    before = {counter.id for counter in receiver.counters}
    for channel in (FIRST, "aeron:udp?endpoint=10.0.0.9:0"):
        give(receiver, subscription, channel)
    status = subscription.channel_status_counter_id
    assert receiver.counters.value(status) == 1
    bound = [one.label for one in receiver.counters if one.label.startswith(f"rcv-local-sockaddr: {status} ")]
    assert len(bound) == 2
    assert bound[0].endswith(" 10.0.0.9:40123")

    for channel in (FIRST, "aeron:udp?endpoint=10.0.0.9:0"):
        receiver.call(
            RemoveReceiveDestination, OperationSuccess, registration_id=subscription.correlation_id, channel=channel
        )
    assert {counter.id for counter in receiver.counters} == before


def test_an_address_is_free_when_its_destination_or_its_subscription_is_gone(world, receiver):
    for _ in range(2):
        subscription = subscribe(receiver, MULTI)
        for _ in range(2):
            give(receiver, subscription, FIRST)
            receiver.call(
                RemoveReceiveDestination, OperationSuccess, registration_id=subscription.correlation_id, channel=FIRST
            )
        give(receiver, subscription, FIRST)
        receiver.call(RemoveSubscription, OperationSuccess, registration_id=subscription.correlation_id)
    subscribe(receiver, FIRST)


@pytest.mark.parametrize(
    ("channel", "destination", "code"),
    [
        (MULTI, FIRST + "|rcv-wnd=64k", ErrorCode.INVALID_CHANNEL),
        (MULTI, "aeron-spy:aeron:ipc", ErrorCode.INVALID_CHANNEL),
        ("aeron:ipc", FIRST, ErrorCode.UNKNOWN_SUBSCRIPTION),
        (SECOND_ONE, FIRST, ErrorCode.INVALID_CHANNEL),
    ],
)
def test_what_can_be_no_destination_of_a_subscription_is_refused(receiver, channel, destination, code):
    subscription = subscribe(receiver, channel)
    answer = receiver.call(
        AddReceiveDestination, ErrorResponse, registration_id=subscription.correlation_id, channel=destination
    )
    assert answer.error_code == code


@pytest.mark.parametrize(
    ("publication", "destination"),
    [("aeron:ipc?alias=there", "aeron:ipc?alias=here"), (FIRST, "aeron-spy:" + FIRST)],
    ids=["ipc", "spy"],
)
def test_publications_of_the_driver_may_be_destinations(receiver, publication, destination):
    subscription = subscribe(receiver, MULTI)
    ready = publish(receiver, publication)
    before = len(receiver.events)
    give(receiver, subscription, destination)
    image = receiver.wait(AvailableImage)
    assert [type(event) for event in receiver.events[before:]] == [OperationSuccess, AvailableImage]
    assert (image.correlation_id, image.log_file) == (ready.registration_id, ready.log_file)
    assert image.subscription_registration_id == subscription.correlation_id
    later = publish(receiver, publication)
    receiver.wait(AvailableImage, lambda event: event.session_id == later.session_id)

    command = {"registration_id": subscription.correlation_id}
    other = destination + "|alias=other"
    error = receiver.call(RemoveReceiveDestination, ErrorResponse, channel=other, **command)
    assert error.error_code == ErrorCode.UNKNOWN_SUBSCRIPTION
    before = len(receiver.events)
    receiver.call(RemoveReceiveDestination, OperationSuccess, channel=destination, **command)
    receiver.wait(UnavailableImage)
    receiver.receive()
    gone = receiver.events[before:]
    assert [type(event) for event in gone] == [OperationSuccess, UnavailableImage, UnavailableImage]
    assert {event.correlation_id for event in gone[1:]} == {ready.registration_id, later.registration_id}

    give(receiver, subscription, destination)
    receiver.call(RemoveSubscription, OperationSuccess, **command)
    assert not [one for one in receiver.counters if one.label.startswith("sub-pos")]


def test_an_image_that_a_second_destination_reads_as_well_outlives_the_first(world, receiver):
    subscription = subscribe(receiver, MULTI)
    ready = publish(receiver, FIRST + "|ssc=true")
    spies = ["aeron-spy:" + FIRST + suffix for suffix in ("", "|alias=other")]
    for spy in spies:
        give(receiver, subscription, spy)
    writer, reader = receiver.writer(ready), receiver.reader(receiver.wait(AvailableImage))
    world.run_until(lambda: writer.offer(b"before"), "room")

    command = {"registration_id": subscription.correlation_id}
    receiver.call(RemoveReceiveDestination, OperationSuccess, channel=spies[0], **command)
    assert list(reader.frames()) == [b"before"]
    deliver(world, [writer], [reader], [receiver], numbered(200))
    assert UnavailableImage not in kinds(receiver.events)

    receiver.call(RemoveReceiveDestination, OperationSuccess, channel=spies[1], **command)
    receiver.wait(UnavailableImage)


def test_an_image_that_was_given_up_comes_back_by_a_second_destination(world, receiver):
    untethered = "untethered-window-limit-timeout=1s|untethered-linger-timeout=100s"
    ready = publish(receiver, f"{FIRST}|ssc=true|{untethered}")
    subscribe(receiver, "aeron-spy:" + FIRST)
    writer, along = receiver.writer(ready), receiver.reader(receiver.wait(AvailableImage))
    subscription = subscribe(receiver, MULTI)
    spies = ["aeron-spy:" + FIRST + suffix for suffix in ("|tether=false", "|tether=true")]
    for spy in spies:
        give(receiver, subscription, spy)

    def given_up():
        while writer.offer(bytes(1000)):
            pass
        list(along.frames())
        receiver.keep_alive()
        receiver.receive()
        return UnavailableImage in kinds(receiver.events)

    world.run_until(given_up, "the first is given up", step_ns=STEP_NS)
    before = len(receiver.events)

    command = {"registration_id": subscription.correlation_id}
    receiver.call(RemoveReceiveDestination, OperationSuccess, channel=spies[0], **command)

    again = receiver.reader(receiver.wait(AvailableImage, lambda event: event in receiver.events[before:]))
    deliver(world, [writer], [along, again], [receiver], numbered(100))


def test_destinations_are_bounded_and_those_of_an_unknown_subscription_refused(receiver):
    answer = receiver.call(AddReceiveDestination, ErrorResponse, registration_id=99, channel=FIRST)
    assert answer.error_code == ErrorCode.UNKNOWN_SUBSCRIPTION
    subscription = subscribe(receiver, MULTI)
    for port in range(16):
        give(receiver, subscription, f"aeron:udp?endpoint=10.0.0.9:{5000 + port}")
    counters = len(list(receiver.counters))
    answer = receiver.call(
        AddReceiveDestination, ErrorResponse, registration_id=subscription.correlation_id, channel=FIRST
    )
    assert answer.error_code == ErrorCode.GENERIC_ERROR
    assert len(list(receiver.counters)) == counters


def test_a_correlation_id_names_one_destination(world, receiver):
    subscription = subscribe(receiver, MULTI)
    for channel, answer in ((FIRST, OperationSuccess), (SECOND_ONE, ErrorResponse)):
        command = AddReceiveDestination(receiver.client_id, 4711, subscription.correlation_id, channel)
        receiver.ring.write(command.TYPE, command.encode())
        receiver.wait(answer)
    receiver.call(RemoveSubscription, OperationSuccess, registration_id=subscription.correlation_id)
    for channel in (FIRST, SECOND_ONE):
        subscribe(receiver, channel)
