"""Short forms of what tests do with the clients of simulated drivers."""

from __future__ import annotations

from framelane.protocol.commands import AddExclusivePublication, AddSubscription
from framelane.protocol.events import AvailableImage, ErrorResponse, ExclusivePublicationReady, SubscriptionReady
from framelane.testing.simulation import MILLISECOND

__all__ = ["UDP", "deliver", "idle", "images_of", "kinds", "numbered", "publish", "refused", "subscribe"]

UDP = "aeron:udp?endpoint=10.0.0.2:40123"


def kinds(events):
    return [type(event) for event in events]


def images_of(client, stream_id=7):
    """The images of a stream that a client was told of so far."""
    client.receive()
    return [one for one in client.events if isinstance(one, AvailableImage) and one.stream_id == stream_id]


def publish(client, channel=UDP, stream_id=7, kind=AddExclusivePublication, answer=ExclusivePublicationReady):
    return client.call(kind, answer, stream_id=stream_id, channel=channel)


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


def numbered(count):
    """Messages that differ, of up to 800 bytes."""
    return [number.to_bytes(4, "little") * (1 + number % 200) for number in range(count)]


def deliver(world, writers, readers, clients, messages, watch=lambda: None):
    """Let each writer send the same messages until every reader has all of them, once and in order.

    :param watch: called in each turn.
    """
    waiting, arrived = [list(messages) for _ in writers], [[] for _ in readers]

    def turn():
        for writer, left in zip(writers, waiting, strict=True):
            while left and writer.offer(left[0]):
                left.pop(0)
        for reader, into in zip(readers, arrived, strict=True):
            into.extend(reader.frames())
        for client in clients:
            client.keep_alive()
        watch()
        return not any(waiting) and all(len(into) >= len(messages) for into in arrived)

    world.run_until(turn, "all messages at all readers")
    assert all(into == messages for into in arrived)
