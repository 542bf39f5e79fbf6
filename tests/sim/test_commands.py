"""What a driver answers to commands, and in which order: bytes into the ring, bytes out of the broadcast."""

from __future__ import annotations

from pathlib import Path

import pytest

from framelane.driver.media_driver import MediaDriver, Surroundings
from framelane.protocol.commands import (
    REVOKE,
    AddCounter,
    AddExclusivePublication,
    AddPublication,
    AddSubscription,
    GetNextAvailableSessionId,
    RejectImage,
    RemoveCounter,
    RemovePublication,
    RemoveSubscription,
    TerminateDriver,
)
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import (
    AvailableImage,
    CounterReady,
    ErrorResponse,
    NextAvailableSessionId,
    OperationSuccess,
    PublicationError,
    PublicationReady,
    SubscriptionReady,
    UnavailableCounter,
    UnavailableImage,
)
from framelane.shm.directory import ActiveDriverError
from framelane.testing.simulation import MILLISECOND, SECOND
from support.commanding import UDP, idle, kinds, publish, refused, subscribe


def test_a_subscription_is_ready_before_its_image(client):
    publication = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    subscription = subscribe(client)
    image = client.wait(AvailableImage)

    assert kinds(client.events) == [CounterReady, PublicationReady, SubscriptionReady, AvailableImage]
    assert image.correlation_id == publication.registration_id
    assert image.log_file == publication.log_file
    assert image.source_identity == "aeron:ipc"
    position = client.counters.get(image.subscriber_position_counter_id)
    assert position.label == f"sub-pos: {subscription.correlation_id} {publication.session_id} 7 aeron:ipc @0"
    assert (position.registration_id, position.owner_id, position.reference_id) == (
        subscription.correlation_id,
        client.client_id,
        publication.registration_id,
    )


def test_a_publication_is_ready_before_images_of_waiting_subscriptions(client):
    subscribe(client)
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    client.wait(AvailableImage)

    assert kinds(client.events) == [CounterReady, SubscriptionReady, PublicationReady, AvailableImage]


def test_counters_of_publications_are_labelled_and_ordered_as_aeron_does(client):
    ipc = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    udp = publish(client, UDP, 8)

    labels = [counter.label for counter in client.counters if counter.type_id in {*range(1, 20)} - {11}]
    status = udp.channel_status_counter_id
    local = client.counters.get(status).label.rpartition(" ")[2]
    r, s, u, t = ipc.registration_id, ipc.session_id, udp.registration_id, udp.session_id
    assert labels == [
        f"pub-pos (concurrent): {r} {s} 7 aeron:ipc",
        f"pub-lmt: {r} {s} 7 aeron:ipc",
        f"snd-channel: {UDP} {local}",
        f"snd-local-sockaddr: {status} {local}",
        f"pub-pos (exclusive): {u} {t} 8 {UDP}",
        f"pub-lmt: {u} {t} 8 {UDP}",
        f"snd-pos: {u} {t} 8 {UDP}",
        f"snd-lmt: {u} {t} 8 {UDP}",
        f"snd-bpe: {u} {t} 8 {UDP}",
        f"snd-naks-received: {u} {t} 8 {UDP}",
    ]
    assert client.counters.value(status) == 1


def test_counters_of_destinations_and_receivers_stand_where_aeron_has_them(client):
    channel = "aeron:udp?control-mode=manual|control=10.0.0.1:40456|fc=min"
    joined = channel + "|alias=joined"
    ready = publish(client, channel)
    other = publish(client, joined, 8)

    labels = [counter.label for counter in client.counters if counter.type_id in {6, 12, 14, 17, 18}]
    status, (r, s), (u, t) = (
        ready.channel_status_counter_id,
        (ready.registration_id, ready.session_id),
        (other.registration_id, other.session_id),
    )
    assert labels == [
        f"snd-channel: {channel} 10.0.0.1:40456",
        f"mdc-num-dest: {channel}",
        f"snd-local-sockaddr: {status} 10.0.0.1:40456",
        f"fc-receivers: {r} {s} 7 {channel}",
        f"pub-pos (exclusive): {r} {s} 7 {channel}",
        f"fc-receivers: {u} {t} 8 {channel}",
        f"pub-pos (exclusive): {u} {t} 8 {joined}",
    ]


def test_the_transport_of_an_endpoint_and_the_reason_are_in_a_counter(client):
    ready = publish(client, UDP, 8)

    (counter,) = [counter for counter in client.counters if counter.type_id == 7701]

    status = ready.channel_status_counter_id
    assert counter.label == f"transport: {status} simulated It is the only transport of this driver."
    assert (counter.registration_id, counter.value) == (status, 0)


@pytest.mark.parametrize("channel", ["aeron:ipc", UDP])
def test_shared_publications_are_joined_and_exclusive_ones_are_not(client, channel):
    first = client.call(AddPublication, PublicationReady, stream_id=7, channel=channel)
    joined = client.call(AddPublication, PublicationReady, stream_id=7, channel=channel)
    other = publish(client, channel)
    elsewhere = client.call(AddPublication, PublicationReady, stream_id=8, channel=channel)

    assert joined.registration_id == first.registration_id
    assert (joined.session_id, joined.log_file) == (first.session_id, first.log_file)
    assert len({first.session_id, other.session_id, elsewhere.session_id}) == 3
    assert len({first.log_file, other.log_file, elsewhere.log_file}) == 3


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("mtu=1408", "mtu=4096", "existing publication has different 'mtu': existing=1408 requested=4096"),
        (
            "term-length=64k",
            "term-length=128k",
            "existing publication has different 'term-length': existing=65536 requested=131072",
        ),
        ("session-id=5", "session-id=6", "existing publication has different 'session-id': existing=5 requested=6"),
    ],
)
def test_joining_with_other_parameters_is_refused(client, first, second, text):
    client.call(AddPublication, PublicationReady, stream_id=7, channel=f"aeron:ipc?{first}")

    error = refused(client, AddPublication, stream_id=7, channel=f"aeron:ipc?{second}")

    assert (error.error_code, error.error_message) == (ErrorCode.GENERIC_ERROR, text)


@pytest.mark.parametrize("channel", ["aeron:ipc?session-id=77", UDP + "|session-id=77"])
def test_a_clashing_session_id_is_refused_and_leaves_nothing_behind(world, client, channel):
    publish(client, channel)
    counters = {counter.id for counter in client.counters}
    files = set(client.driver.directory.rglob("*.logbuffer"))

    error = refused(client, AddExclusivePublication, stream_id=7, channel=channel)

    assert error.error_code == ErrorCode.INVALID_CHANNEL
    assert error.error_message.startswith("existing publication has clashing sessionId=77 for streamId=7 channel=")
    assert {counter.id for counter in client.counters} == counters
    assert set(client.driver.directory.rglob("*.logbuffer")) == files


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("aeron:tcp?endpoint=10.0.0.2:1", ErrorCode.INVALID_CHANNEL),
        ("aeron:udp?endpoint=", ErrorCode.INVALID_CHANNEL),
        ("aeron:udp?endpoint=10.0.0.2", ErrorCode.GENERIC_ERROR),
        (UDP + "|mtu=100", ErrorCode.GENERIC_ERROR),
        (UDP + "|ats=true", ErrorCode.NOT_SUPPORTED),
        (UDP + "|transport=other", ErrorCode.GENERIC_ERROR),
        ("aeron:udp?endpoint=" + "x" * 5000, ErrorCode.INVALID_CHANNEL),
        ("aeron-spy:" + UDP, ErrorCode.INVALID_CHANNEL),
    ],
)
def test_a_publication_that_cannot_be_is_answered_and_leaves_nothing_behind(world, client, channel, code):
    counters = [counter.id for counter in client.counters]

    error = refused(client, AddPublication, stream_id=7, channel=channel)

    assert error.error_code == code
    assert [counter.id for counter in client.counters] == counters
    assert not list(client.driver.directory.rglob("*.logbuffer"))
    assert client.counters.value(15) == 1
    (entry,) = client.cnc.errors()
    assert error.error_message in entry.text


def test_unknown_ids_are_answered_with_their_codes(client):
    answers = [
        refused(client, kind, registration_id=99, **fields)
        for kind, fields in ((RemovePublication, {"flags": 0}), (RemoveSubscription, {}), (RemoveCounter, {}))
    ]
    image = refused(client, RejectImage, image_correlation_id=99, position=0, reason="")

    who = f"client_id={client.client_id} registration_id=99"
    assert [(answer.error_code, answer.error_message) for answer in answers] == [
        (ErrorCode.UNKNOWN_PUBLICATION, f"unknown publication {who}"),
        (ErrorCode.UNKNOWN_SUBSCRIPTION, f"unknown subscription {who}"),
        (ErrorCode.UNKNOWN_COUNTER, f"unknown counter {who}"),
    ]
    assert image.error_message == "Unable to resolve image for correlationId=99"


def test_subscriptions_that_share_images_must_agree(client):
    channel = "aeron:udp?endpoint=10.0.0.1:40123"
    subscribe(client, channel)

    error = refused(
        client, AddSubscription, registration_correlation_id=-1, stream_id=7, channel=channel + "|reliable=false"
    )

    assert error.error_message.startswith("option conflicts with existing subscription: reliable=false")


def test_a_counter_is_announced_and_its_removal_too(client):
    ready = client.call(AddCounter, CounterReady, type_id=1001, key=b"key", label="my counter")
    counter = client.counters.get(ready.counter_id)
    client.call(RemoveCounter, OperationSuccess, registration_id=ready.correlation_id)
    client.wait(UnavailableCounter)

    assert (counter.type_id, counter.label, counter.value, counter.key[:3]) == (1001, "my counter", 0, b"key")
    assert (counter.registration_id, counter.owner_id) == (ready.correlation_id, client.client_id)
    assert kinds(client.events) == [CounterReady, CounterReady, OperationSuccess, UnavailableCounter]
    assert client.events[-1] == UnavailableCounter(ready.correlation_id, ready.counter_id)
    assert client.counters.get(ready.counter_id) is None


def test_a_revoked_ipc_publication_cannot_be_joined_and_goes_with_its_last_user(world, client):
    first = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    joined = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    subscribe(client)

    client.call(RemovePublication, OperationSuccess, registration_id=first.correlation_id, flags=REVOKE)
    fresh = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    client.wait(UnavailableImage, lambda event: event.correlation_id == first.registration_id)

    assert joined.registration_id == first.registration_id
    assert fresh.registration_id != first.registration_id
    assert Path(first.log_file).exists()
    client.call(RemovePublication, OperationSuccess, registration_id=joined.correlation_id, flags=0)
    idle(world, 4 * SECOND, client)
    assert not Path(first.log_file).exists()
    assert client.counters.value(40) == 1


def test_a_rejected_ipc_image_comes_back_after_the_cool_down(world, client):
    publication = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    subscribe(client)
    image = client.wait(AvailableImage)
    client.events.clear()

    client.call(RejectImage, OperationSuccess, image_correlation_id=image.correlation_id, position=0, reason="no more")

    assert kinds(client.events) == [PublicationError, UnavailableImage, OperationSuccess]
    error = client.events[0]
    assert (error.registration_id, error.receiver_id, error.error_code) == (publication.registration_id, -1, 13)
    assert error.source_address[:4] == bytes([1, 0, 0, 127])
    assert error.error_message == "no more"
    (entry,) = client.cnc.errors()
    assert f"registrationId={publication.registration_id} " in entry.text
    assert entry.text.endswith("code=13: no more")
    client.events.clear()
    idle(world, 9 * SECOND, client)
    client.receive()
    assert AvailableImage not in kinds(client.events)
    idle(world, 3 * SECOND, client)
    client.receive()
    back = client.wait(AvailableImage)
    assert back.correlation_id == publication.registration_id
    assert client.counters.get(back.subscriber_position_counter_id).type_id == 4


def test_the_next_session_id_is_one_that_no_publication_has(client):
    first = client.call(GetNextAvailableSessionId, NextAvailableSessionId, stream_id=7)
    publish(client, f"aeron:ipc?session-id={first.next_session_id + 1}")
    second = client.call(GetNextAvailableSessionId, NextAvailableSessionId, stream_id=7)

    assert second.next_session_id == first.next_session_id + 2


def test_a_registration_id_in_use_is_refused(client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    again = AddExclusivePublication(client.client_id, ready.correlation_id, 7, "aeron:ipc")

    client.ring.write(again.TYPE, again.encode())
    error = client.wait(ErrorResponse)

    assert error.error_message == f"registration id {ready.correlation_id} is in use"
    assert Path(ready.log_file).exists()


def test_a_correlation_id_counts_for_one_use_of_a_shared_publication(world, client):
    first = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    second = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    again = AddPublication(client.client_id, second.correlation_id, 7, "aeron:ipc")

    client.ring.write(again.TYPE, again.encode())
    error = client.wait(ErrorResponse)

    assert error.error_message == f"registration id {second.correlation_id} is in use"
    for ready in (first, second):
        client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
    world.run_until(lambda: not Path(first.log_file).exists(), "the end of the publication")


def test_an_old_remove_publication_without_flags_is_taken(client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    body = RemovePublication(client.client_id, 1000, ready.correlation_id, 0).encode()[:24]

    client.ring.write(RemovePublication.TYPE, body)

    assert client.wait(OperationSuccess).correlation_id == 1000


def test_termination_is_up_to_the_validator(world, tmp_path):
    denied = world.driver("10.0.0.1")
    allowed = world.driver("10.0.0.2", driver_termination_validator="allow")
    for one in (denied, allowed):
        one.client().send(TerminateDriver, token=b"please")
    world.run(10 * MILLISECOND)

    assert not denied.driver.terminated.is_set()
    assert allowed.driver.terminated.is_set()


def test_a_second_driver_in_one_directory_is_refused(world):
    first = world.driver("10.0.0.1")

    with pytest.raises(ActiveDriverError, match="Active media driver detected"):
        MediaDriver.launch(first.settings, surroundings=Surroundings(clock=world.clock))

    assert first.client().call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")


def test_a_closed_driver_says_so_and_leaves_no_log_behind(world):
    one = world.driver("10.0.0.1")
    client = one.client()
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    client.call(AddPublication, PublicationReady, stream_id=7, channel=UDP)
    subscribe(client, "aeron:udp?endpoint=10.0.0.1:40123")

    one.driver.close()

    assert client.ring.heartbeat_ms() == -1
    assert sorted(path.name for path in one.directory.rglob("*")) == [
        "cnc.dat",
        "images",
        "loss-report.dat",
        "publications",
    ]


def test_wildcard_ports_come_from_the_configured_range_and_go_back(world):
    client = world.driver("10.0.0.1", receiver_wildcard_port_range="50000 50001").client()
    channel = "aeron:udp?endpoint=10.0.0.1:0"

    ready = [subscribe(client, channel) for _ in range(2)]
    error = refused(client, AddSubscription, registration_correlation_id=-1, stream_id=7, channel=channel)
    bound = [client.counters.get(one.channel_status_counter_id).label for one in ready]
    client.call(RemoveSubscription, OperationSuccess, registration_id=ready[0].correlation_id)
    again = subscribe(client, channel)

    assert bound == [f"rcv-channel: {channel} 10.0.0.1:{port}" for port in (50000, 50001)]
    assert "wildcard port range 50000 to 50001" in error.error_message
    assert client.counters.get(again.channel_status_counter_id).label.endswith(":50000")


def test_channels_with_one_tag_share_an_endpoint(client):
    first = publish(client, UDP + "|tags=5,6")
    joined = publish(client, "aeron:udp?tags=5", 8)
    alike = publish(client, "aeron:udp?endpoint=10.0.0.2:40999|session-id=tag:6", 9)
    nobody = refused(client, AddPublication, stream_id=7, channel="aeron:udp?tags=99")

    assert joined.channel_status_counter_id == first.channel_status_counter_id
    assert alike.session_id == first.session_id
    assert alike.channel_status_counter_id != first.channel_status_counter_id
    assert nobody.error_code == ErrorCode.GENERIC_ERROR


def test_an_endpoint_is_closed_with_its_last_publication_and_its_port_is_free_again(world, client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel=UDP)
    second = client.call(AddPublication, PublicationReady, stream_id=8, channel=UDP)
    for one in (ready, second):
        assert client.counters.get(ready.channel_status_counter_id) is not None
        client.call(RemovePublication, OperationSuccess, registration_id=one.correlation_id, flags=0)
        idle(world, 8 * SECOND, client)

    assert client.counters.get(ready.channel_status_counter_id) is None
    assert not [counter.label for counter in client.counters if counter.type_id in (6, 14, 7701)]
    assert not list(client.driver.directory.rglob("*.logbuffer"))
