"""What a driver answers to commands, and in which order: bytes into the ring, bytes out of the broadcast."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from framelane.driver import storage
from framelane.driver.media_driver import MediaDriver, Surroundings
from framelane.errors import NativeError
from framelane.protocol import commands
from framelane.protocol.commands import (
    REVOKE,
    AddCounter,
    AddDestination,
    AddExclusivePublication,
    AddPublication,
    AddStaticCounter,
    AddSubscription,
    ClientClose,
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
    ClientTimeout,
    CounterReady,
    ErrorResponse,
    ExclusivePublicationReady,
    NextAvailableSessionId,
    OperationSuccess,
    PublicationError,
    PublicationReady,
    StaticCounterReady,
    SubscriptionReady,
    UnavailableCounter,
    UnavailableImage,
)
from framelane.shm.directory import ActiveDriverError
from framelane.testing.simulation import MILLISECOND, SECOND, Simulation

UDP = "aeron:udp?endpoint=10.0.0.2:40123"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "control-messages.json").read_text())


@pytest.fixture
def world(tmp_path):
    with Simulation(tmp_path) as world:
        yield world


@pytest.fixture
def client(world):
    return world.driver("10.0.0.1").client()


def kinds(events):
    return [type(event) for event in events]


def subscribe(client, channel="aeron:ipc", stream_id=7):
    return client.call(
        AddSubscription, SubscriptionReady, registration_correlation_id=-1, stream_id=stream_id, channel=channel
    )


def refused(client, kind, **fields):
    return client.call(kind, ErrorResponse, **fields)


def idle(world, duration_ns, *clients):
    """Let time pass while these clients live."""
    for _ in range(-(-duration_ns // (100 * MILLISECOND))):
        for client in clients:
            client.keep_alive()
        world.run(100 * MILLISECOND, 20 * MILLISECOND)


def test_a_new_client_is_announced_before_the_answer(client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    assert kinds(client.events) == [CounterReady, PublicationReady]
    heartbeat = client.events[0]
    counter = client.counters.get(heartbeat.counter_id)
    assert heartbeat.correlation_id == client.client_id
    assert (counter.type_id, counter.label) == (11, f"client-heartbeat: id={client.client_id}")
    assert (counter.registration_id, counter.owner_id) == (client.client_id, client.client_id)
    assert ready.registration_id == ready.correlation_id
    assert ready.channel_status_counter_id == -1


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
    udp = client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=8, channel=UDP)

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


def test_the_transport_of_an_endpoint_and_the_reason_are_in_a_counter(client):
    ready = client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=8, channel=UDP)

    (counter,) = [counter for counter in client.counters if counter.type_id == 7701]

    status = ready.channel_status_counter_id
    assert counter.label == f"transport: {status} simulated It is the only transport of this driver."
    assert (counter.registration_id, counter.value) == (status, 0)


@pytest.mark.parametrize("channel", ["aeron:ipc", UDP])
def test_shared_publications_are_joined_and_exclusive_ones_are_not(client, channel):
    first = client.call(AddPublication, PublicationReady, stream_id=7, channel=channel)
    joined = client.call(AddPublication, PublicationReady, stream_id=7, channel=channel)
    other = client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=7, channel=channel)
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
    client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=7, channel=channel)
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
        (UDP + "|control-mode=dynamic|control=10.0.0.1:4000", ErrorCode.NOT_SUPPORTED),
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


def test_commands_of_features_to_come_name_what_is_missing(client):
    error = refused(client, AddDestination, registration_id=1, channel=UDP)

    assert error.error_code == ErrorCode.NOT_SUPPORTED
    assert "ADD_DESTINATION" in error.error_message


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


def test_a_static_counter_is_found_again_and_outlives_its_client(world, client):
    fields = {"registration_id": 5, "type_id": 1001, "key": b"", "label": "static"}
    first = client.call(AddStaticCounter, StaticCounterReady, **fields)
    again = client.call(AddStaticCounter, StaticCounterReady, **fields)
    client.send(ClientClose)
    idle(world, 3 * SECOND)

    assert again.counter_id == first.counter_id
    assert client.counters.get(first.counter_id).owner_id == -1

    mine = client.call(AddCounter, CounterReady, type_id=1002, key=b"", label="mine")
    error = refused(client, AddStaticCounter, **{**fields, "type_id": 1002, "registration_id": mine.correlation_id})
    assert error.error_message.startswith("cannot add static counter, because a non-static counter exists")


def test_a_full_counter_table_is_an_error_answer_and_the_driver_goes_on(world):
    client = world.driver("10.0.0.1").client()
    capacity = client.counters.max_counter_id + 1
    used = len(list(client.counters))
    for _ in range(used + 1, capacity):
        client.send(AddCounter, type_id=1001, key=b"", label="")
        if _ % 50 == 0:
            client.keep_alive()
            world.step()
            client.receive()
    error = refused(client, AddPublication, stream_id=7, channel="aeron:ipc")

    assert error.error_message == f"Max counter id ({capacity - 1}) exceeded"
    assert not list(client.driver.directory.rglob("*.logbuffer"))


def test_a_silent_client_times_out_and_all_it_had_goes(world, client):
    watcher = client.driver.client()
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    subscribe(client)
    counter = client.call(AddCounter, CounterReady, type_id=1001, key=b"", label="mine")
    client.wait(AvailableImage)
    heartbeat = client.events[0]
    watcher.receive()
    watcher.events.clear()

    idle(world, 15 * SECOND)
    watcher.receive()

    assert watcher.events == [
        ClientTimeout(client.client_id),
        UnavailableCounter(client.client_id, heartbeat.counter_id),
        UnavailableCounter(counter.correlation_id, counter.counter_id),
    ]
    assert watcher.counters.value(24) == 1
    assert not list(client.driver.directory.rglob("*.logbuffer"))
    assert {counter.type_id for counter in watcher.counters} & {1, 4, 11, 12, 1001} == set()


def test_a_closing_client_goes_on_the_next_timer_pass_without_a_timeout(world, client):
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    heartbeat = client.events[0]

    client.send(ClientClose)
    client.wait(UnavailableCounter)

    assert client.events[-1] == UnavailableCounter(client.client_id, heartbeat.counter_id)
    assert ClientTimeout not in kinds(client.events)
    assert client.counters.value(24) == 0


def test_a_client_that_keeps_alive_is_not_timed_out(world, client):
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    idle(world, 25 * SECOND, client)
    client.receive()

    assert ClientTimeout not in kinds(client.events)


def test_keepalive_by_command_refreshes_the_heartbeat(world, client):
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    for _ in range(20):
        client.send(commands.ClientKeepalive)
        idle(world, SECOND)
    client.receive()

    assert ClientTimeout not in kinds(client.events)


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
    client.call(
        AddExclusivePublication,
        ExclusivePublicationReady,
        stream_id=7,
        channel=f"aeron:ipc?session-id={first.next_session_id + 1}",
    )
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


def test_a_log_that_cannot_be_removed_is_counted_and_tried_again_without_holding_up_others(world, client, monkeypatch):
    stuck, slow = (client.call(AddPublication, PublicationReady, stream_id=i, channel="aeron:ipc") for i in (7, 8))
    unlink, failures = Path.unlink, {stuck.log_file: 100, slow.log_file: 1}

    def fail(path, *args, **kwargs):
        if failures.get(str(path), 0) > 0:
            failures[str(path)] -= 1
            raise PermissionError(1, "not now", str(path))
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(Path, "unlink", fail)
    for failed, ready in enumerate((stuck, slow), 1):
        client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
        world.run_until(lambda failed=failed: client.counters.value(17) == failed, "a failed removal", 5 * SECOND)
    idle(world, 5 * SECOND, client)

    assert client.counters.value(17) == 2
    assert not Path(slow.log_file).exists()
    assert Path(stuck.log_file).exists()
    failures.clear()
    idle(world, 3 * SECOND, client)
    assert not Path(stuck.log_file).exists()


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


def corrupted(count, seed):
    """Yield type ids and bodies: commands of the vectors with bytes flipped, cut, grown or of another type."""
    source = random.Random(seed)
    messages = [one for one in VECTORS["messages"] if one["direction"] == "to_driver"]
    for _ in range(count):
        message = source.choice(messages)
        type_id, body = message["type_id"], bytearray.fromhex(message["payload_hex"])
        match source.randrange(4):
            case 0:
                body = body[: source.randrange(len(body) + 1)]
            case 1:
                for _ in range(source.randrange(1, 8)):
                    body[source.randrange(16, len(body)) if len(body) > 16 else 0] = source.randrange(256)
            case 2:
                at = source.randrange(0, max(len(body) - 4, 1))
                body[at : at + 4] = source.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"])
            case 3:
                type_id = source.choice([0x13, 0x7FFFFFFF, 0x0F01, *range(1, 0x13)])
        yield type_id, bytes(body)


@pytest.mark.parametrize("seed", [1, 2])
def test_corrupted_commands_are_answered_and_hurt_nobody(world, client, seed):
    publication = client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=7, channel="aeron:ipc")
    subscribe(client)
    reader, writer = client.reader(client.wait(AvailableImage)), client.writer(publication)
    arrived, sent = [], []
    for number, (type_id, body) in enumerate(corrupted(100, seed)):
        client.ring.write(type_id, body)
        payload = number.to_bytes(4, "little")
        client.keep_alive()
        world.step()
        assert writer.offer(payload) or writer.offer(payload)
        sent.append(payload)
        world.step()
        arrived += reader.frames()
        client.receive()

    assert arrived == sent
    assert client.call(AddPublication, PublicationReady, stream_id=99, channel="aeron:ipc")
    errors = [event for event in client.events if isinstance(event, ErrorResponse)]
    assert len(errors) > 30
    assert {event.error_code for event in errors} >= {
        ErrorCode.MALFORMED_COMMAND,
        ErrorCode.UNKNOWN_COMMAND_TYPE_ID,
    }
    assert client.counters.value(15) >= len(errors)


def test_records_of_the_ring_that_cannot_be_read_are_skipped_and_counted(world, client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    offset = client.ring.claim(AddPublication.TYPE, 64)
    memory = client.cnc.native.to_driver
    for i, byte in enumerate((5).to_bytes(4, "little")):
        memory[offset - 8 + i] = byte
    world.step()

    joined = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    assert joined.registration_id == ready.registration_id
    assert [counter.value for counter in client.counters if counter.type_id == 7705] == [1]
    assert "were not readable" in client.cnc.errors()[0].text


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
    first = client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=7, channel=UDP + "|tags=5,6")
    joined = client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=8, channel="aeron:udp?tags=5")
    alike = client.call(
        AddExclusivePublication,
        ExclusivePublicationReady,
        stream_id=9,
        channel="aeron:udp?endpoint=10.0.0.2:40999|session-id=tag:6",
    )
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


def test_a_log_that_does_not_fit_is_answered_and_one_that_barely_does_is_noted(world, monkeypatch):
    text = "insufficient usable storage for new log of length=200704 usable=5 in here"

    def full(directory, length, threshold):
        raise NativeError(text, 28)

    monkeypatch.setattr(storage, "check_storage", full)
    enabled = world.driver("10.0.0.2", perform_storage_checks="true").client()
    error = refused(enabled, AddPublication, stream_id=7, channel="aeron:ipc")
    monkeypatch.setattr(storage, "check_storage", lambda directory, length, threshold: (True, 300_000))
    ready = enabled.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    assert (error.error_code, error.error_message) == (ErrorCode.STORAGE_SPACE, text)
    assert [path.name for path in enabled.driver.directory.rglob("*.logbuffer")] == [Path(ready.log_file).name]
    assert "space is running low: threshold=167772160 usable=300000" in enabled.cnc.errors()[1].text
