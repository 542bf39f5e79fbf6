"""Spies: subscriptions that read UDP publications of their own driver from the log (shm 9.3, 9.4, 9.8; wire 3.11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from framelane.protocol.commands import (
    AddPublication,
    AddSubscription,
    RejectImage,
    RemovePublication,
    RemoveSubscription,
)
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import (
    AvailableImage,
    ClientTimeout,
    CounterReady,
    ErrorResponse,
    ExclusivePublicationReady,
    OperationSuccess,
    PublicationReady,
    SubscriptionReady,
    UnavailableImage,
)
from framelane.shm.counter_types import CounterType
from framelane.shm.log_buffer import LogBuffer
from framelane.shm.system_counters import SystemCounter
from framelane.testing.simulation import MILLISECOND, SECOND
from support.commanding import UDP, idle, kinds, publish, refused, subscribe

SPY = "aeron-spy:" + UDP
TERM_LENGTH = 64 * 1024
MESSAGE = bytes(1000)


def is_connected(ready):
    with LogBuffer.open(Path(ready.log_file)) as log:
        return bool(log.metadata.is_connected)


def counter(client, type_id, registration_id):
    return client.counters.find(type_id, registration_id)


def offer_all(writer):
    """Fill the window; returns how many messages it took."""
    count = 0
    while writer.offer(MESSAGE):
        count += 1
    return count


def test_a_spy_reads_the_publications_own_log(world, client):
    ready = publish(client)
    answer = subscribe(client, SPY)
    image = client.wait(AvailableImage)
    later = subscribe(client, SPY)
    again = client.wait(AvailableImage, lambda event: event.subscription_registration_id == later.correlation_id)

    assert kinds(client.events)[:4] == [CounterReady, ExclusivePublicationReady, SubscriptionReady, AvailableImage]
    assert answer.channel_status_counter_id == later.channel_status_counter_id == -1
    assert (image.correlation_id, image.session_id, image.stream_id) == (ready.registration_id, ready.session_id, 7)
    assert (image.log_file, image.source_identity) == (ready.log_file, "aeron:ipc")
    assert again.subscriber_position_counter_id != image.subscriber_position_counter_id
    position = client.counters.get(image.subscriber_position_counter_id)
    assert position.label == f"sub-pos: {answer.correlation_id} {ready.session_id} 7 {SPY} @0"
    assert (position.registration_id, position.owner_id, position.reference_id) == (
        answer.correlation_id,
        client.client_id,
        ready.registration_id,
    )
    assert not [*Path(ready.log_file).parent.parent.glob("images/*")]


def test_a_publication_is_ready_before_images_of_waiting_spies(client):
    subscribe(client, SPY)
    publish(client, kind=AddPublication, answer=PublicationReady)
    client.wait(AvailableImage)
    joined = publish(client, kind=AddPublication, answer=PublicationReady)

    assert kinds(client.events) == [CounterReady, SubscriptionReady, PublicationReady, AvailableImage, PublicationReady]
    assert joined.registration_id == client.events[2].registration_id


@pytest.mark.parametrize(
    ("spy", "publication", "matches"),
    [
        ("endpoint=10.0.0.2:40123", "endpoint=10.0.0.2:40123|mtu=4096", True),
        ("endpoint=10.0.0.2:40123", "endpoint=10.0.0.2:40124", False),
        ("endpoint=10.0.0.2:40123|session-id=5", "endpoint=10.0.0.2:40123|session-id=5", True),
        ("endpoint=10.0.0.2:40123|session-id=6", "endpoint=10.0.0.2:40123|session-id=5", False),
        ("tags=77", "endpoint=10.0.0.2:40123|tags=77", True),
        ("tags=77|session-id=6", "endpoint=10.0.0.2:40123|tags=77|session-id=5", True),
        ("tags=78", "endpoint=10.0.0.2:40123|tags=77", False),
    ],
)
def test_a_spy_matches_by_tag_or_by_channel_and_session(client, spy, publication, matches):
    subscribe(client, "aeron-spy:aeron:udp?" + spy)
    subscribe(client, "aeron-spy:aeron:udp?" + spy, stream_id=8)
    publish(client, "aeron:udp?" + publication)
    client.receive()

    images = [event for event in client.events if isinstance(event, AvailableImage)]
    assert [image.stream_id for image in images] == ([7] if matches else [])


def test_a_spy_of_ipc_is_refused(client):
    error = refused(client, AddSubscription, registration_correlation_id=-1, stream_id=7, channel="aeron-spy:aeron:ipc")

    assert error.error_code == ErrorCode.INVALID_CHANNEL
    assert error.error_message == "UDP channels must use UDP URIs: aeron-spy:aeron:ipc"


def test_a_spy_connects_nothing_unless_the_channel_says_so(world, client):
    """And with ``ssc`` the publication runs as fast as the spy, sending nothing."""
    plain, simulated = publish(client), publish(client, UDP + "|ssc=true")
    assert not is_connected(simulated)
    spy = subscribe(client, SPY)
    client.wait(AvailableImage, lambda event: event.session_id == plain.session_id)
    image = client.wait(AvailableImage, lambda event: event.session_id == simulated.session_id)
    world.run(300 * MILLISECOND)

    writer, reader = client.writer(simulated), client.reader(image)
    assert not client.writer(plain).offer(MESSAGE)
    assert is_connected(simulated) and not is_connected(plain)
    offered = arrived = 0
    position = counter(client, CounterType.SENDER_POSITION, simulated.registration_id).id
    while client.counters.value(position) < 4 * TERM_LENGTH:
        offered += offer_all(writer)
        arrived += len([*reader.frames()])
        world.run(2 * MILLISECOND)
    assert 0 < offered == arrived
    assert client.counters.value(SystemCounter.BYTES_SENT) < 40 * 100  # SETUP frames alone

    client.call(RemoveSubscription, OperationSuccess, registration_id=spy.correlation_id)
    world.run(10 * MILLISECOND)
    assert not is_connected(simulated)
    assert not writer.offer(MESSAGE)


def test_the_setting_is_the_default_of_ssc(world):
    client = world.driver("10.0.0.1", spies_simulate_connection=True).client()
    subscribe(client, SPY)

    assert is_connected(publish(client))
    assert not is_connected(publish(client, UDP + "|ssc=false"))


def test_a_slow_spy_holds_the_publisher_back(world, client):
    receiver = world.driver("10.0.0.2").client()
    subscribe(receiver, UDP)
    ready = publish(client)
    reader = receiver.reader(receiver.wait(AvailableImage))
    subscribe(client, SPY)
    spy = client.reader(client.wait(AvailableImage))
    writer = client.writer(ready)
    world.run_until(lambda: is_connected(ready), "connected")
    limit = counter(client, CounterType.PUBLISHER_LIMIT, ready.registration_id).id

    def fill():
        taken = 0
        for _ in range(100):
            taken += offer_all(writer)
            list(reader.frames())
            world.run(2 * MILLISECOND)
        return taken

    assert 0 < fill() <= TERM_LENGTH // 2 // 1056 + 1
    assert client.counters.value(limit) == TERM_LENGTH // 2
    assert len([*spy.frames()]) > 0
    assert fill() > 0


@pytest.fixture
def reader(world, client):
    """A receiver of another driver, to which a few messages may be sent at a time."""
    receiver = world.driver("10.0.0.2").client()
    subscribe(receiver, UDP + "|rcv-wnd=4k")
    return lambda: receiver.reader(receiver.wait(AvailableImage))


def test_what_a_spy_reads_ahead_of_the_sender_is_sent_to_receivers_all_the_same(world, client, reader):
    ready = publish(client, UDP + "|ssc=true")
    receives = reader()
    world.run_until(lambda: is_connected(ready), "connected")
    subscribe(client, SPY)
    spy = client.reader(client.wait(AvailableImage))
    writer, arrived = client.writer(ready), 0
    world.run_until(lambda: writer.offer(MESSAGE), "room")
    offered = 1 + offer_all(writer)
    assert len([*spy.frames()]) == offered
    for _ in range(100):
        arrived += len([*receives.frames()])
        world.run(2 * MILLISECOND)
    assert arrived == offered
    assert client.counters.value(SystemCounter.RETRANSMITS_SENT) == 0


def test_a_publication_that_sent_its_last_takes_no_more_spies(world, client, reader):
    ready = publish(client)
    receives = reader()
    subscribe(client, SPY)
    client.wait(AvailableImage)
    writer = client.writer(ready)
    world.run_until(lambda: writer.offer(MESSAGE), "connected")
    world.run_until(lambda: [*receives.frames()], "sent")
    client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
    idle(world, SECOND // 2, client)
    subscribe(client, SPY)
    idle(world, SECOND // 2, client)
    client.receive()
    assert kinds(client.events).count(AvailableImage) == 1
    assert Path(ready.log_file).exists()


def test_a_publication_drains_until_its_spies_have_read_it(world, client):
    subscribe(client, SPY)
    ready = publish(client, UDP + "|ssc=true|linger=0")
    spy = client.reader(client.wait(AvailableImage))
    writer = client.writer(ready)
    count = offer_all(writer)
    client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
    idle(world, 3 * SECOND, client)
    client.receive()
    assert UnavailableImage not in kinds(client.events)
    late = subscribe(client, SPY)
    client.wait(AvailableImage, lambda event: event.subscription_registration_id == late.correlation_id)
    client.call(RemoveSubscription, OperationSuccess, registration_id=late.correlation_id)

    assert len([*spy.frames()]) == count
    idle(world, 3 * SECOND, client)
    gone = client.wait(UnavailableImage)
    assert (gone.correlation_id, gone.stream_id, gone.channel) == (ready.registration_id, 7, SPY)
    assert not Path(ready.log_file).exists()
    assert counter(client, CounterType.SUBSCRIBER_POSITION, gone.subscription_registration_id) is None


def test_a_revoked_publication_ends_for_its_spies_at_once(world, client):
    subscribe(client, SPY)
    ready = publish(client, UDP + "|ssc=true")
    image = client.wait(AvailableImage)
    offer_all(client.writer(ready))
    client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=1)
    gone = client.wait(UnavailableImage)

    assert gone.correlation_id == image.correlation_id
    assert not is_connected(ready)


def test_a_dead_client_leaves_no_spy_behind(world, client):
    other = world.drivers[0].client()
    ready = publish(client, UDP + "|ssc=true")
    subscribe(other, SPY)
    other.wait(AvailableImage)
    assert is_connected(ready)
    idle(world, 12 * SECOND, client)

    client.wait(ClientTimeout)
    assert not is_connected(ready)


def test_images_of_spies_cannot_be_rejected(client):
    ready = publish(client)
    subscribe(client, SPY)
    client.wait(AvailableImage)
    error = client.call(
        RejectImage, ErrorResponse, image_correlation_id=ready.registration_id, position=0, reason="why"
    )

    assert error.error_code == ErrorCode.GENERIC_ERROR
