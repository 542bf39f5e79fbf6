"""How streams, images and clients end: end of stream, linger, timeouts, revocation, rejection (shm 9.2, 9.7, 9.8)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from framelane.protocol.events import ClientTimeout, PublicationError, UnavailableImage
from framelane.shm.system_counters import SystemCounter
from framelane.transport.wrappers import FaultDirection
from support.raw_client import RawClient, RawPublication, RawSubscription
from support.simulation import Host, Simulation
from support.streams import Messages
from support.transfer import transfer

CHANNEL = "aeron:udp?endpoint=10.0.0.2:40123"
SECOND = 1_000_000_000


@dataclass
class Pair:
    """A publication on one host read on another."""

    left: Host
    right: Host
    publisher: RawClient
    subscriber: RawClient
    publication: RawPublication
    reader: RawSubscription


def connect(sim: Simulation, parameters: str = "", *, exclusive: bool = False) -> Pair:
    left, right = sim.add_host("10.0.0.1"), sim.add_host("10.0.0.2")
    publisher, subscriber = left.add_client(), right.add_client()
    reader = subscriber.add_subscription(CHANNEL + parameters)
    publication = publisher.add_publication(CHANNEL, exclusive=exclusive)
    sim.run_until(lambda: publication.is_connected and reader.images, "image")
    return Pair(left, right, publisher, subscriber, publication, reader)


def logs(host: Host) -> list[Path]:
    """The log files of a driver."""
    return [*host.driver.directory.rglob("*.logbuffer")]


def read_all(sim: Simulation, reader: RawSubscription, position: int) -> None:
    def is_read() -> bool:
        reader.poll()
        return reader.images[0].position >= position

    sim.run_until(is_read, f"read to {position}")


def test_a_closed_publication_ends_its_stream_and_leaves_nothing(sim: Simulation) -> None:
    pair = connect(sim)
    transfer(sim, pair.publisher, pair.publication, [pair.reader], Messages(sim.seed, 100_000))
    image, end = pair.reader.images[0], pair.publication.position
    pair.publisher.remove_publication(pair.publication)
    sim.run_until(lambda: image.is_end_of_stream, "end of stream", limit_ns=SECOND)
    assert image.position == end
    sim.run_until(lambda: not pair.reader.images, "image unavailable", limit_ns=3 * SECOND)
    sim.run_until(lambda: not logs(pair.left), "linger over", limit_ns=10 * SECOND)
    sim.run_until(lambda: not logs(pair.right), "image freed", limit_ns=30 * SECOND)


def test_data_still_on_its_way_is_delivered_after_the_publication_closed(sim: Simulation) -> None:
    pair = connect(sim)
    while pair.publication.offer(bytes(1000)) > 0:
        pass
    end = pair.publication.position
    for host in (pair.left, pair.right):
        host.faults.configure(send=FaultDirection(loss=0.2), receive=FaultDirection(loss=0.2))
    image = pair.reader.images[0]
    pair.publisher.remove_publication(pair.publication)
    read_all(sim, pair.reader, end)
    assert image.position == end


def test_a_dead_client_times_out_and_its_publication_drains(sim: Simulation) -> None:
    pair = connect(sim)
    other = pair.left.add_client()
    pair.left.clients.remove(pair.publisher)  # sends no keepalive from now on
    sim.run_for(9 * SECOND)
    assert not other.find(ClientTimeout)
    sim.run_until(lambda: other.find(ClientTimeout, client_id=pair.publisher.client_id), "timeout", limit_ns=3 * SECOND)
    assert pair.left.count(SystemCounter.CLIENT_TIMEOUTS) == 1
    sim.run_until(lambda: not pair.reader.images, "image unavailable", limit_ns=5 * SECOND)
    sim.run_until(lambda: not logs(pair.left), "log removed", limit_ns=10 * SECOND)


def test_a_silent_network_ends_image_and_connection_by_their_timeouts(sim: Simulation) -> None:
    pair = connect(sim)
    pair.right.faults.configure(send=FaultDirection(blackhole=True), receive=FaultDirection(blackhole=True))
    began_ns = sim.clock.nano()
    sim.run_until(lambda: not pair.publication.is_connected, "connection lost")
    assert 4.9 * SECOND < sim.clock.nano() - began_ns < 6.2 * SECOND
    sim.run_until(lambda: not pair.reader.images, "image unavailable")
    assert 9.9 * SECOND < sim.clock.nano() - began_ns < 13 * SECOND
    pair.right.faults.configure()
    sim.run_until(lambda: pair.publication.is_connected and pair.reader.images, "connected again")
    transfer(sim, pair.publisher, pair.publication, [pair.reader], Messages(sim.seed, 50_000))


def test_an_unreliable_subscription_fills_gaps_and_asks_for_nothing(sim: Simulation) -> None:
    pair = connect(sim, "|reliable=false")
    pair.right.faults.configure(receive=FaultDirection(loss=0.1))
    messages = iter(Messages(sim.seed, 400_000, longest=1000))
    offered: list[bytes] = []
    taken: list[bytes] = []
    waiting = next(messages, None)

    def pump() -> bool:
        nonlocal waiting
        while waiting is not None and pair.publication.offer(waiting) > 0:
            offered.append(waiting)
            waiting = next(messages, None)
        taken.extend(pair.reader.poll())
        return waiting is None and pair.reader.images[0].position == pair.publication.position

    sim.run_until(pump, "end of the stream")
    assert pair.right.count(SystemCounter.LOSS_GAP_FILLS) > 0
    assert pair.right.count(SystemCounter.NAK_MESSAGES_SENT) == 0
    assert 0 < len(taken) < len(offered)
    rest = iter(offered)
    assert all(message in rest for message in taken)  # what came is in order


def test_a_revoked_publication_ends_at_once_and_says_so(sim: Simulation) -> None:
    pair = connect(sim, exclusive=True)
    transfer(sim, pair.publisher, pair.publication, [pair.reader], Messages(sim.seed, 20_000))
    image = pair.reader.images[0]
    pair.publisher.remove_publication(pair.publication, revoke=True)
    sim.run_until(lambda: image.is_revoked, "revoked", limit_ns=SECOND)
    sim.run_until(lambda: not pair.reader.images, "image unavailable", limit_ns=2 * SECOND)
    assert pair.left.count(SystemCounter.PUBLICATIONS_REVOKED) == 1
    assert pair.right.count(SystemCounter.PUBLICATION_IMAGES_REVOKED) == 1


def test_a_rejected_image_is_reported_to_the_publisher(sim: Simulation) -> None:
    pair = connect(sim)
    image = pair.reader.images[0]
    pair.subscriber.reject_image(image, "not wanted here")
    sim.run_until(lambda: pair.publisher.find(PublicationError), "publication error", limit_ns=2 * SECOND)
    error = pair.publisher.find(PublicationError)[0]
    assert error.error_message == "not wanted here"
    assert error.session_id == pair.publication.ready.session_id
    sim.run_until(
        lambda: pair.subscriber.find(UnavailableImage, correlation_id=image.event.correlation_id),
        "image unavailable",
        limit_ns=15 * SECOND,
    )
    assert pair.right.count(SystemCounter.IMAGES_REJECTED) == 1


@pytest.mark.parametrize("parameters", ["|term-length=128k|init-term-id=-3|term-id=7|term-offset=4096", "|mtu=8192"])
def test_a_publication_starts_where_its_channel_says(sim: Simulation, parameters: str) -> None:
    left, right = sim.add_host("10.0.0.1"), sim.add_host("10.0.0.2")
    publisher, subscriber = left.add_client(), right.add_client()
    reader = subscriber.add_subscription(CHANNEL)
    publication = publisher.add_publication(CHANNEL + parameters, exclusive=True)
    start = publication.position
    if "term-id" in parameters:
        assert start == 10 * 128 * 1024 + 4096
    sim.run_until(lambda: reader.images, "image")
    assert reader.images[0].join_position == start
    transfer(sim, publisher, publication, [reader], Messages(sim.seed, 400_000))


def test_two_clients_share_a_publication_and_one_leaves(sim: Simulation) -> None:
    pair = connect(sim)
    second = pair.left.add_client()
    shared = second.add_publication(CHANNEL)
    assert shared.ready.session_id == pair.publication.ready.session_id
    pair.publisher.remove_publication(pair.publication)
    transfer(sim, second, shared, [pair.reader], Messages(sim.seed, 50_000))
    assert pair.reader.images
