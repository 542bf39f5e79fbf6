"""Publications with several destinations, learnt or given (wire 3.8, shm 9.5)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from framelane.channel import ChannelError, ErrorCode
from framelane.protocol.commands import (
    AddDestination,
    AddPublication,
    RejectImage,
    RemoveDestination,
    RemoveDestinationById,
    RemovePublication,
)
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    OperationSuccess,
    PublicationError,
    PublicationReady,
    UnavailableImage,
)
from framelane.testing.simulation import SECOND
from support.commanding import deliver, numbered, publish, subscribe

STEP_NS = 20_000_000
DYNAMIC = "aeron:udp?control=10.0.0.1:40456|control-mode=dynamic"
MANUAL = "aeron:udp?control-mode=manual"


def receiver_channel(number: int) -> str:
    return f"aeron:udp?endpoint=10.0.0.{number}:40123"


def destinations(client) -> int:
    return next(counter.value for counter in client.counters if counter.label.startswith("mdc-num-dest: "))


def has(client, kind) -> bool:
    """Whether a client received an event of a kind."""
    return any(isinstance(event, kind) for event in client.events)


def wait_alive(world, clients, condition, what):
    """Let time pass in longer steps until something holds; the clients say that they live."""

    def check():
        for client in clients:
            client.keep_alive()
            client.receive()
        return condition()

    world.run_until(check, what, step_ns=STEP_NS)


@pytest.fixture
def sender(world):
    return world.driver("10.0.0.1").client()


@pytest.fixture
def receivers(world):
    return [world.driver(f"10.0.0.{number}").client() for number in (2, 3)]


def test_receivers_that_report_to_the_control_address_become_destinations_and_lapse_when_silent(
    world, sender, receivers
):
    ready = publish(sender, DYNAMIC)
    world.run(SECOND // 2)
    assert destinations(sender) == 0
    for number, receiver in enumerate(receivers, 2):
        subscribe(receiver, f"{receiver_channel(number)}|control=10.0.0.1:40456|control-mode=dynamic")
    readers = [receiver.reader(receiver.wait(AvailableImage)) for receiver in receivers]
    assert destinations(sender) == 2

    deliver(world, [sender.writer(ready)], readers, [sender, *receivers], numbered(400))

    receivers[1].driver.close()
    silent_ns = world.clock.nano()
    wait_alive(world, [sender, receivers[0]], lambda: destinations(sender) == 1, "a silent one lapses")
    assert 5 * SECOND < world.clock.nano() - silent_ns < 5.3 * SECOND


def test_a_late_receiver_joins_a_connected_publication_that_learns_its_destinations(world, sender, receivers):
    ready = publish(sender, DYNAMIC)
    subscribe(receivers[0], f"{receiver_channel(2)}|control=10.0.0.1:40456")
    first = receivers[0].reader(receivers[0].wait(AvailableImage))
    writer = sender.writer(ready)
    deliver(world, [writer], [first], [sender, *receivers], numbered(10))

    subscribe(receivers[1], f"{receiver_channel(3)}|control=10.0.0.1:40456")
    second = receivers[1].reader(receivers[1].wait(AvailableImage))

    assert second.joined_at == writer.position
    deliver(world, [writer], [first, second], [sender, *receivers], numbered(300))


def test_destinations_that_are_given_receive_until_they_are_taken_away(world, sender, receivers):
    ready = publish(sender, MANUAL)
    for number, receiver in enumerate(receivers, 2):
        subscribe(receiver, receiver_channel(number))
    ids = [
        sender.call(
            AddDestination, OperationSuccess, registration_id=ready.registration_id, channel=receiver_channel(number)
        ).correlation_id
        for number in (2, 3)
    ]
    readers = [receiver.reader(receiver.wait(AvailableImage)) for receiver in receivers]
    assert destinations(sender) == 2
    deliver(world, [sender.writer(ready)], readers, [sender, *receivers], numbered(400))

    sender.call(RemoveDestination, OperationSuccess, registration_id=ready.registration_id, channel=receiver_channel(2))
    assert destinations(sender) == 1
    sender.call(
        RemoveDestinationById,
        OperationSuccess,
        resource_registration_id=ready.registration_id,
        destination_registration_id=ids[1],
    )
    assert destinations(sender) == 0
    for receiver in receivers:
        wait_alive(world, [sender, *receivers], lambda one=receiver: has(one, UnavailableImage), "the image is gone")


def test_a_destination_that_is_dead_holds_nobody_up_and_stays(world, sender, receivers):
    ready = publish(sender, MANUAL)
    for number in (9, 2):
        sender.call(
            AddDestination, OperationSuccess, registration_id=ready.registration_id, channel=receiver_channel(number)
        )
    subscribe(receivers[0], receiver_channel(2))
    reader = receivers[0].reader(receivers[0].wait(AvailableImage))
    deliver(world, [sender.writer(ready)], [reader], [sender, receivers[0]], numbered(400))
    later_ns = world.clock.nano() + 7 * SECOND
    wait_alive(world, [sender, receivers[0]], lambda: world.clock.nano() > later_ns, "a while")
    assert destinations(sender) == 2


def test_a_rejection_names_the_destination_that_it_came_from(world, sender, receivers):
    ready = publish(sender, MANUAL)
    subscribe(receivers[0], receiver_channel(2))
    given = sender.call(
        AddDestination, OperationSuccess, registration_id=ready.registration_id, channel=receiver_channel(2)
    )
    image = receivers[0].wait(AvailableImage)
    world.run(SECOND // 2)

    receivers[0].call(RejectImage, OperationSuccess, image_correlation_id=image.correlation_id, position=0, reason="no")

    told = sender.wait(PublicationError)
    assert told.destination_registration_id == given.correlation_id
    assert told.group_tag == -1


def test_a_publication_with_destinations_lingers_although_a_receiver_is_done(world, sender, receivers):
    ready = publish(sender, MANUAL + "|linger=3s")
    subscribe(receivers[0], receiver_channel(2))
    sender.call(AddDestination, OperationSuccess, registration_id=ready.registration_id, channel=receiver_channel(2))
    receivers[0].wait(AvailableImage)
    sender.call(RemovePublication, OperationSuccess, registration_id=ready.registration_id, flags=0)
    removed_ns = world.clock.nano()
    world.run_until(lambda: not list(sender.driver.directory.glob("publications/*")), "end of linger", step_ns=STEP_NS)
    assert world.clock.nano() - removed_ns > 3 * SECOND


class Names:
    """A resolver that learns a name late."""

    def __init__(self) -> None:
        self.address: str | None = None

    def resolve(self, host, parameter):
        if self.address is None:
            raise ChannelError(ErrorCode.UNKNOWN_HOST, f"unknown host {parameter}={host}")
        return ip_address(self.address)


def test_a_destination_with_a_name_is_looked_up_until_it_is_found_and_again_when_it_is_silent(world, receivers):
    names = Names()
    sender = world.driver("10.0.0.1", resolver=names).client()
    ready = publish(sender, MANUAL)
    sender.call(
        AddDestination,
        OperationSuccess,
        registration_id=ready.registration_id,
        channel="aeron:udp?endpoint=there:40123",
    )
    subscribe(receivers[0], receiver_channel(2))
    subscribe(receivers[1], receiver_channel(3))
    names.address = "10.0.0.2"
    wait_alive(world, [sender, *receivers], lambda: has(receivers[0], AvailableImage), "image once the name is known")

    receivers[0].driver.close()
    names.address = "10.0.0.3"

    wait_alive(world, [sender, receivers[1]], lambda: has(receivers[1], AvailableImage), "image at the new address")


@pytest.mark.parametrize(
    ("publication", "destination", "code"),
    [
        (MANUAL, "aeron:udp?endpoint=10.0.0.2:0", ErrorCode.GENERIC_ERROR),
        (MANUAL, "aeron:ipc", ErrorCode.GENERIC_ERROR),
        (MANUAL, "aeron:udp?control=10.0.0.2:1", ErrorCode.GENERIC_ERROR),
        (MANUAL, "aeron-spy:aeron:udp?endpoint=10.0.0.2:1", ErrorCode.INVALID_CHANNEL),
        (MANUAL, "aeron:udp?endpoint=10.0.0.2:1|mtu=1408", ErrorCode.INVALID_CHANNEL),
        (MANUAL, "aeron:udp?endpoint=[fd00::2]:1", ErrorCode.INVALID_CHANNEL),
        (DYNAMIC, "aeron:udp?endpoint=10.0.0.2:1", ErrorCode.GENERIC_ERROR),
        (receiver_channel(2), "aeron:udp?endpoint=10.0.0.2:1", ErrorCode.GENERIC_ERROR),
    ],
)
def test_what_can_be_no_destination_is_refused(sender, publication, destination, code):
    ready = publish(sender, publication)
    answer = sender.call(AddDestination, ErrorResponse, registration_id=ready.registration_id, channel=destination)
    assert answer.error_code == code


def test_commands_about_destinations_of_an_unknown_publication_are_answered(sender):
    for command in (AddDestination, RemoveDestination):
        answer = sender.call(command, ErrorResponse, registration_id=99, channel=receiver_channel(2))
        assert answer.error_code == ErrorCode.UNKNOWN_PUBLICATION
    answer = sender.call(
        RemoveDestinationById, ErrorResponse, resource_registration_id=99, destination_registration_id=1
    )
    assert answer.error_code == ErrorCode.UNKNOWN_PUBLICATION


def test_only_a_tag_makes_publications_share_destinations(sender):
    tagged = [
        sender.call(AddPublication, PublicationReady, stream_id=7, channel=channel)
        for channel in (MANUAL + "|tags=5", "aeron:udp?tags=5", MANUAL)
    ]
    assert tagged[0].registration_id == tagged[1].registration_id != tagged[2].registration_id


def test_a_correlation_id_names_one_destination(client):
    ready = publish(client, MANUAL)
    for number, answer in ((2, OperationSuccess), (3, ErrorResponse)):
        command = AddDestination(client.client_id, 4711, ready.registration_id, receiver_channel(number))
        client.ring.write(command.TYPE, command.encode())
        client.wait(answer)
    assert destinations(client) == 1
