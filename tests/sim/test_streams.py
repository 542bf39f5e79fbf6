"""Whole drivers over an in-memory network: streams from one client to another."""

from __future__ import annotations

import random

from framelane._native import lib
from framelane.protocol.commands import (
    REVOKE,
    AddSubscription,
    RejectImage,
    RemovePublication,
    RemoveSubscription,
)
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import (
    AvailableImage,
    OperationSuccess,
    PublicationError,
    UnavailableImage,
)
from framelane.shm.loss_report import LOSS_REPORT_FILE, read_losses
from framelane.testing.simulation import MILLISECOND, SECOND
from framelane.transport.wrappers import FaultDirection, wrap_faults
from support.commanding import UDP, deliver, publish, subscribe


def connect(world, channel=UDP, **settings):
    """Return sender's client, receiver's client, the publication and the image."""
    sender = world.driver("10.0.0.1", **settings).client()
    receiver = world.driver("10.0.0.2", **settings).client()
    subscribe(receiver, channel)
    ready = publish(sender, channel)
    return sender, receiver, ready, receiver.wait(AvailableImage)


def payloads(count, seed=3):
    source = random.Random(seed)
    return [source.randbytes(source.randrange(1, 1376)) for _ in range(count)]


def test_a_stream_arrives_as_it_was_sent(world):
    sender, receiver, ready, image = connect(world)
    deliver(world, [sender.writer(ready)], [receiver.reader(image)], (sender, receiver), payloads(1000))

    assert image.source_identity.startswith("10.0.0.1:")


def test_publications_of_one_endpoint_may_have_different_mtus(world):
    sender, receiver, first, _ = connect(world)
    subscribe(receiver, UDP, 8)
    second = publish(sender, f"{UDP}|mtu=8k", 8)
    image = receiver.wait(AvailableImage, lambda one: one.stream_id == 8)
    messages = [bytes([i]) * 8000 for i in range(200)]

    deliver(world, [sender.writer(second)], [receiver.reader(image)], (sender, receiver), messages)

    assert second.channel_status_counter_id == first.channel_status_counter_id


def test_a_stream_survives_loss_duplication_and_reordering(world):
    faults = FaultDirection(loss=0.05, duplicate=0.02, reorder=0.02)

    def wrap(inner):
        injector = wrap_faults(inner, seed=11)
        injector.configure(send=faults, receive=faults)
        return injector.transport

    sender = world.driver("10.0.0.1", wrap=wrap).client()
    receiver_driver = world.driver("10.0.0.2", wrap=wrap)
    receiver = receiver_driver.client()
    subscribe(receiver, UDP)
    ready = publish(sender)
    image = receiver.wait(AvailableImage)

    deliver(world, [sender.writer(ready)], [receiver.reader(image)], (sender, receiver), payloads(600))

    (entry,) = read_losses(receiver_driver.directory / LOSS_REPORT_FILE)
    assert (entry.session_id, entry.stream_id, entry.channel) == (image.session_id, 7, UDP)
    assert entry.total_bytes_lost > 0
    assert entry.source == image.source_identity


def test_a_subscriber_that_joins_while_the_control_plane_pauses_misses_nothing(world):
    sender, receiver, ready, image = connect(world)
    writer, reader = sender.writer(ready), receiver.reader(image)
    sent = {}

    def turn():
        """Send at full rate: until the publication takes no more."""
        while True:
            position, number = writer.position, len(sent)
            if writer.offer(number.to_bytes(8, "little") + bytes(1000)):
                sent[position] = number
            elif writer.position == position:
                break
        list(reader.frames())

    def keep_going():
        turn()
        sender.keep_alive()
        receiver.keep_alive()
        world.step()

    for _ in range(200):
        keep_going()
    pauses = []

    def pause():
        pauses.append(writer.position)
        for _ in range(2000):
            turn()
            world.clock.advance(MILLISECOND)
            for one in world.drivers:
                one.driver.plane.invoke()

    receiver.driver.driver.nouns.links.between_steps = pause
    receiver.send(AddSubscription, registration_correlation_id=-1, stream_id=7, channel=UDP)
    late = receiver.wait(
        AvailableImage, lambda event: event.subscription_registration_id != image.subscription_registration_id
    )
    receiver.driver.driver.nouns.links.between_steps = lambda: None

    assert len(pauses) == 1
    late_reader, numbers = receiver.reader(late), []
    joined_at = late_reader.joined_at
    for _ in range(100):
        keep_going()
        numbers += [int.from_bytes(one[:8], "little") for one in late_reader.frames()]
    assert len(numbers) > 500
    assert numbers == list(range(sent[joined_at], sent[joined_at] + len(numbers)))


def test_the_end_of_a_stream_makes_its_image_unavailable_and_frees_everything(world):
    sender, receiver, ready, image = connect(world)
    reader = receiver.reader(image)
    deliver(world, [sender.writer(ready)], [reader], (sender, receiver), payloads(10))

    sender.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
    unavailable = receiver.wait(UnavailableImage)

    assert unavailable.correlation_id == image.correlation_id
    assert unavailable.subscription_registration_id == image.subscription_registration_id
    assert unavailable.channel == UDP

    def gone():
        sender.keep_alive()
        receiver.keep_alive()
        logs = [path for one in world.drivers for path in one.directory.rglob("*.logbuffer")]
        types = {counter.type_id for client in (sender, receiver) for counter in client.counters}
        return not logs and not types & {1, 2, 3, 4, 5, 6, 9, 12, 13, 19, 20}

    world.run_until(gone, "files and counters are gone", limit_ns=60 * SECOND, step_ns=100 * MILLISECOND)


def test_a_revoked_stream_ends_at_once(world):
    sender, receiver, ready, image = connect(world)
    deliver(world, [sender.writer(ready)], [receiver.reader(image)], (sender, receiver), payloads(10))
    before = world.clock.nano()

    sender.send(RemovePublication, registration_id=ready.correlation_id, flags=REVOKE)
    receiver.wait(UnavailableImage)

    assert world.clock.nano() - before < 2 * SECOND
    assert sender.counters.value(40) == 1
    assert receiver.counters.value(41) == 1


def test_a_rejected_image_is_reported_to_the_publisher(world):
    sender, receiver, ready, image = connect(world)

    receiver.call(
        RejectImage, OperationSuccess, image_correlation_id=image.correlation_id, position=0, reason="not this one"
    )
    error = sender.wait(PublicationError)

    assert error.registration_id == ready.registration_id
    assert (error.error_code, error.error_message) == (ErrorCode.IMAGE_REJECTED, "not this one")
    assert receiver.counters.value(42) == 1


def test_removing_a_subscription_announces_no_unavailable_image(world):
    sender, receiver, _, image = connect(world)

    receiver.call(RemoveSubscription, OperationSuccess, registration_id=image.subscription_registration_id)
    for _ in range(150):
        sender.keep_alive()
        receiver.keep_alive()
        world.run(200 * MILLISECOND, 50 * MILLISECOND)
    receiver.receive()

    assert not [event for event in receiver.events if isinstance(event, UnavailableImage)]
    assert not list(receiver.driver.directory.glob("images/*"))


def test_a_multicast_stream_reaches_two_receivers(world):
    channel = "aeron:udp?endpoint=224.0.1.1:40456|interface=10.0.0.0/24"
    sender = world.driver("10.0.0.1").client()
    receivers = [world.driver(f"10.0.0.{i}").client() for i in (2, 3)]
    for receiver in receivers:
        subscribe(receiver, channel)
    ready = publish(sender, channel)
    readers = [receiver.reader(receiver.wait(AvailableImage)) for receiver in receivers]
    deliver(world, [sender.writer(ready)], readers, (sender, *receivers), payloads(300))


def test_a_group_with_min_flow_control_connects_at_its_size_and_waits_for_the_slowest(world):
    channel = "aeron:udp?endpoint=224.0.1.1:40456|interface=10.0.0.0/24"
    sender = world.driver("10.0.0.1").client()
    receivers = [world.driver(f"10.0.0.{i}").client() for i in (2, 3)]
    ready = publish(sender, f"{channel}|fc=min,g:/2,t:2s")
    writer = sender.writer(ready)

    def receivers_counted():
        return next(c.value for c in sender.counters if c.label.startswith("fc-receivers: "))

    subscribe(receivers[0], channel)
    first = receivers[0].reader(receivers[0].wait(AvailableImage))
    world.run(1_000_000_000)
    assert receivers_counted() == 1
    assert not writer.offer(b"")
    subscribe(receivers[1], channel)
    receivers[1].wait(AvailableImage)
    world.run_until(lambda: receivers_counted() == 2, "both counted")
    world.run_until(lambda: writer.offer(b""), "connected")

    def first_reads():
        while writer.offer(bytes(1000)):
            pass
        list(first.frames())
        sender.keep_alive()
        receivers[0].keep_alive()

    for _ in range(500):
        world.step()
        first_reads()
    assert first.position < 65536  # half a term at the one who does not read, and what is in its window
    receivers[1].driver.close()

    def passes():
        first_reads()
        return receivers_counted() == 1

    world.run_until(passes, "the one that is gone is not waited for")


def test_congestion_control_shrinks_the_window_after_a_loss_and_measures_the_round_trip(world):
    def lossy(inner):
        faults = wrap_faults(inner, seed=5)
        faults.configure(receive=FaultDirection(loss=0.02))
        return faults.transport

    sender = world.driver("10.0.0.1").client()
    receiver = world.driver("10.0.0.2", wrap=lossy, cubiccongestioncontrol_measurertt="true").client()
    subscribe(receiver, UDP + "|cc=cubic|rcv-wnd=32k")
    ready = publish(sender)
    image = receiver.wait(AvailableImage)
    counters = {one.label.partition(":")[0]: one.id for one in receiver.counters if one.type_id == 10}
    windows = set()

    def watch():
        windows.add(receiver.counters.value(counters["rcv-cc-cubic-wnd"]))

    deliver(world, [sender.writer(ready)], [receiver.reader(image)], (sender, receiver), payloads(600), watch)
    assert max(windows) > 10 * 1408 > min(windows)
    assert receiver.counters.value(counters["rcv-cc-cubic-rtt"]) > 100_000  # what it began with


def test_every_drop_reason_has_a_counter(world):
    client = world.driver("10.0.0.1").client()

    labels = [counter.label for counter in client.counters if counter.type_id == 7704]

    assert len(labels) == lib.FL_DROPS
    assert len(set(labels)) == lib.FL_DROPS


def test_a_log_that_a_client_scribbles_over_stops_its_stream_and_is_reported(world):
    sender, receiver, ready, image = connect(world)
    writer, reader = sender.writer(ready), receiver.reader(image)
    deliver(world, [writer], [reader], (sender, receiver), [b"whole"])
    writer._header = writer._header[:12] + (99).to_bytes(4, "little") + writer._header[16:]  # another session's frame
    world.run_until(lambda: writer.offer(b"of another session"), "room")

    def reports():
        return [entry for entry in sender.cnc.errors() if "no frame of this stream" in entry.text]

    world.run_until(reports, "the report")
    world.run(SECOND)
    assert list(reader.frames()) == []
    assert [entry.count for entry in reports()] == [1]
