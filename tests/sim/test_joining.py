"""Subscribers that come, go and come back while a stream runs (shm 9.4, wire 4)."""

from __future__ import annotations

import pytest

from framelane.protocol.events import UnavailableImage
from support.raw_client import Fragment, RawClient, RawPublication, RawSubscription
from support.simulation import Host, Simulation

CHANNEL = "aeron:udp?endpoint=10.0.0.2:40123"
IPC = "aeron:ipc"
SECOND = 1_000_000_000


class Flow:
    """An endless stream of numbered messages, and what its readers took of it."""

    def __init__(self, publication: RawPublication) -> None:
        self.publication = publication
        self.sent = 0
        self.taken: dict[RawSubscription, list[Fragment]] = {}

    def pump(self) -> None:
        for _ in range(8):
            if self.publication.offer(self.sent.to_bytes(8, "little") * 100) < 0:
                break
            self.sent += 1
        for reader, fragments in self.taken.items():
            fragments += reader.poll_fragments()

    def read(self, reader: RawSubscription) -> list[Fragment]:
        return self.taken.setdefault(reader, [])


def check_gap_free(fragments: list[Fragment], join_position: int) -> None:
    """From the join position on every message is there, once, in order."""
    numbers = [int.from_bytes(one.data[:8], "little") for one in fragments]
    assert numbers
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert fragments[0].position == join_position + 832  # a header and 800 bytes


def run(sim: Simulation, flow: Flow, count: int) -> None:
    goal = flow.sent + count

    def is_there() -> bool:
        flow.pump()
        return flow.sent >= goal

    sim.run_until(is_there, f"{count} more messages")


@pytest.fixture
def hosts(sim: Simulation) -> tuple[Host, Host]:
    return sim.add_host("10.0.0.1"), sim.add_host("10.0.0.2")


def start(sim: Simulation, publisher: RawClient, subscriber: RawClient, channel: str) -> tuple[Flow, RawSubscription]:
    reader = subscriber.add_subscription(channel)
    publication = publisher.add_publication(channel)
    sim.run_until(lambda: publication.is_connected and reader.images, "image")
    flow = Flow(publication)
    flow.read(reader)
    return flow, reader


@pytest.mark.parametrize("channel", [CHANNEL, IPC])
def test_a_late_subscriber_reads_gap_free_from_its_join_position(
    sim: Simulation, hosts: tuple[Host, Host], channel: str
) -> None:
    publisher, subscriber = (hosts[0], hosts[1]) if channel == CHANNEL else (hosts[1], hosts[1])
    subscribers = subscriber.add_client()
    flow, _ = start(sim, publisher.add_client(), subscribers, channel)
    run(sim, flow, 500)
    late = subscribers.add_subscription(channel)
    sim.run_until(lambda: late.images, "late image")
    flow.read(late)
    run(sim, flow, 500)
    assert late.images[0].join_position > 0
    check_gap_free(flow.taken[late], late.images[0].join_position)


@pytest.mark.parametrize("channel", [CHANNEL, IPC])
def test_a_link_paused_between_its_two_steps_loses_nothing(
    sim: Simulation, hosts: tuple[Host, Host], channel: str
) -> None:
    publisher, subscriber = (hosts[0], hosts[1]) if channel == CHANNEL else (hosts[1], hosts[1])
    subscribers = subscriber.add_client()
    flow, first = start(sim, publisher.add_client(), subscribers, channel)
    run(sim, flow, 300)
    pauses: list[int] = []

    def pause() -> None:
        """The agents of the driver go on for 2 s of virtual time; its control plane does not."""
        end_ns = sim.clock.nano() + 2 * SECOND
        before = flow.sent
        while sim.clock.nano() < end_ns:
            subscriber.driver.plane.invoke()
            for host in sim.hosts:
                if host is not subscriber:
                    host.driver.do_work()
            flow.pump()
            sim.clock.advance(200_000)
        pauses.append(flow.sent - before)

    subscriber.driver.nouns.links.between_steps = pause
    late = subscribers.start_subscription(channel)
    flow.read(late)
    sim.run_until(lambda: late.images, "late image")
    run(sim, flow, 500)
    assert len(pauses) == 1 and pauses[0] > 0
    check_gap_free(flow.taken[late], late.images[0].join_position)
    check_gap_free(flow.taken[first], 0)


def test_a_restarted_receiver_joins_where_the_stream_is(sim: Simulation, hosts: tuple[Host, Host]) -> None:
    left, right = hosts
    flow, reader = start(sim, left.add_client(), right.add_client(), CHANNEL)
    run(sim, flow, 200)
    del flow.taken[reader]
    sim.remove_host(right)
    again = sim.add_host("10.0.0.2").add_client()
    reader = again.add_subscription(CHANNEL)
    sim.run_until(lambda: reader.images and flow.publication.is_connected, "image after the restart")
    flow.read(reader)
    run(sim, flow, 300)
    check_gap_free(flow.taken[reader], reader.images[0].join_position)


def test_a_receiver_that_returns_after_the_connection_timed_out_connects_again(
    sim: Simulation, hosts: tuple[Host, Host]
) -> None:
    left, right = hosts
    flow, reader = start(sim, left.add_client(), right.add_client(), CHANNEL)
    run(sim, flow, 50)
    del flow.taken[reader]
    sim.remove_host(right)
    sim.run_until(lambda: not flow.publication.is_connected, "connection lost", limit_ns=6 * SECOND)
    again = sim.add_host("10.0.0.2").add_client()
    reader = again.add_subscription(CHANNEL)
    sim.run_until(lambda: reader.images and flow.publication.is_connected, "connected again", limit_ns=SECOND)
    flow.read(reader)
    run(sim, flow, 100)
    check_gap_free(flow.taken[reader], reader.images[0].join_position)


def test_a_restarted_sender_is_a_new_image_and_the_old_one_ends(sim: Simulation, hosts: tuple[Host, Host]) -> None:
    left, right = hosts
    subscriber = right.add_client()
    flow, reader = start(sim, left.add_client(), subscriber, CHANNEL)
    run(sim, flow, 200)
    old_image = reader.images[0]
    left.clients.clear()
    left.is_paused = True  # dead, without a word
    again = sim.add_host("10.0.0.3").add_client()
    del flow.taken[reader]
    publication = again.add_publication(CHANNEL)
    sim.run_until(lambda: len(reader.images) == 2 and publication.is_connected, "image of the new session")
    second = Flow(publication)
    fragments = second.read(reader)
    run(sim, second, 200)
    ours = [one for one in fragments if one.session_id == publication.ready.session_id]
    check_gap_free(ours, 0)
    sim.run_until(lambda: old_image not in reader.images, "end of the old image", limit_ns=12 * SECOND)
    assert subscriber.find(UnavailableImage, correlation_id=old_image.event.correlation_id)
    assert not old_image.is_end_of_stream
