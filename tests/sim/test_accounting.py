"""What becomes of a datagram is counted once (wire 9.1; design: nothing silent, hostile input)."""

from __future__ import annotations

import pytest

from framelane._native import lib
from framelane.protocol.frames import DataFrame, FrameType, encode_datagram
from framelane.shm.counter_types import CounterType
from framelane.shm.system_counters import SystemCounter
from framelane.testing.station import Run, Station
from framelane.transport.address import Address
from framelane.transport.wrappers import FaultDirection
from support.mutations import Live, Mutator
from support.raw_client import RawPublication
from support.simulation import Host, Simulation
from support.streams import Messages
from support.transfer import Transfer

GROUP = "aeron:udp?endpoint=224.20.30.39:40456|interface=10.0.0.0/24"
UNICAST = "aeron:udp?endpoint=10.0.0.2:40123"


def two_hosts(sim: Simulation) -> tuple[Host, Host]:
    """With shorter terms the PAD at a term's end may pass the window, and is an over-run of the stream's own."""
    return sim.add_host("10.0.0.1", term_buffer_length="1m"), sim.add_host("10.0.0.2", term_buffer_length="1m")


def live(host: Host, publication: RawPublication, kind: CounterType) -> Live:
    counter = next(c for c in host.counters if c.type_id == kind)
    metadata = publication.log.metadata
    ready = publication.ready
    return Live(ready.session_id, ready.stream_id, metadata.initial_term_id, metadata.term_length, counter.value)


@pytest.mark.parametrize("at_receiver", [True, False], ids=["receive-endpoint", "send-endpoint"])
def test_every_hostile_datagram_is_one_drop_while_a_stream_runs(sim: Simulation, at_receiver: bool) -> None:
    left, right = two_hosts(sim)
    reader = right.add_client().add_subscription(GROUP)
    publication = left.add_client().add_publication(GROUP)
    sim.run_until(lambda: publication.is_connected and reader.images, "image")
    stranger = Station(sim.network.attach(["10.0.0.9"]))
    endpoint = stranger.open(role=lib.FL_ROLE_SENDER, bind=Address.of("10.0.0.9"))
    # Receivers listen to the data group, senders to the control group, whose address is one more.
    target = Address.of("224.20.30.39" if at_receiver else "224.20.30.40", 40456)
    victim, kind = (right, CounterType.RECEIVER_POSITION) if at_receiver else (left, CounterType.SENDER_POSITION)

    drop_ids = [c.id for c in victim.counters if c.label.startswith("dropped-")]
    mutator = Mutator(sim.seed, receives=at_receiver)
    moving = Transfer(publication, Messages(sim.seed, 500_000), [reader])
    sent = 0

    def attack() -> bool:
        nonlocal sent
        if sent < 20_000 and sum(map(victim.count, drop_ids)) == sent:  # so that no socket buffer overflows
            batch = mutator.datagrams(live(victim, publication, kind), 20)
            endpoint.send_all([Run(datagram, peer=target) for datagram in batch])
            sent += len(batch)
        return moving.pump() and sent >= 20_000

    sim.run_until(attack, "attack and transfer", limit_ns=600_000_000_000)
    sim.run_for(10_000_000)
    moving.check()
    drops = victim.drops()
    assert sum(drops.values()) == sent, drops
    assert len(drops) >= 8, drops
    endpoint.close()
    stranger.close()


def test_every_copy_of_a_data_datagram_is_counted_as_a_duplicate(sim: Simulation) -> None:
    left, right = two_hosts(sim)
    reader = right.add_client().add_subscription(UNICAST)
    publication = left.add_client().add_publication(UNICAST)
    sim.run_until(lambda: publication.is_connected and reader.images, "image")
    before = right.faults.totals()[1]
    heartbeats = right.count(SystemCounter.HEARTBEATS_RECEIVED)
    right.faults.configure(receive=FaultDirection(duplicate=1.0))
    moving = Transfer(publication, Messages(sim.seed, 400_000), [reader])
    sim.run_until(moving.pump, "transfer")
    moving.check()
    right.faults.configure()
    after = right.faults.totals()[1]
    copied = after.duplicated - before.duplicated - (right.count(SystemCounter.HEARTBEATS_RECEIVED) - heartbeats) // 2
    drops = right.drops()
    assert set(drops) <= {"dropped-duplicate", "dropped-under-run"}
    assert sum(drops.values()) == copied > 200
    assert drops.get("dropped-under-run", 0) == right.count(SystemCounter.FLOW_CONTROL_UNDER_RUNS)


def test_a_sender_that_ignores_the_window_is_cut_off_and_counted(sim: Simulation) -> None:
    """The subscriber does not read, so the receiver's window closes; what is forged beyond it is over-run."""
    left, right = sim.add_host("10.0.0.1"), sim.add_host("10.0.0.2")
    reader = right.add_client().add_subscription(UNICAST)
    publication = left.add_client().add_publication(UNICAST)
    sim.run_until(lambda: publication.is_connected and reader.images, "image")
    while publication.offer(bytes(1000)) > 0:
        sim.step()
    stranger = Station(sim.network.attach(["10.0.0.9"]))
    endpoint = stranger.open(role=lib.FL_ROLE_SENDER, bind=Address.of("10.0.0.9"))
    aim = live(right, publication, CounterType.RECEIVER_POSITION)
    frame = data_frame(aim, position=aim.position // 32 * 32 + aim.term_length)
    endpoint.send_all([Run(frame, peer=Address.of("10.0.0.2", 40123))] * 5)
    sim.run_for(1_000_000)
    assert right.count(SystemCounter.FLOW_CONTROL_OVER_RUNS) == 5
    assert right.drops() == {"dropped-over-run": 5}
    endpoint.close()
    stranger.close()


def data_frame(aim: Live, position: int) -> bytes:
    """Return a whole data datagram of 96 bytes at a position of a stream."""
    term_count, offset = divmod(position, aim.term_length)
    term_id = aim.initial_term_id + term_count
    payload = bytes(64)
    return encode_datagram(
        DataFrame(0xC0, 96, FrameType.DATA, offset, aim.session_id, aim.stream_id, term_id, payload=payload)
    )


def test_a_counter_that_a_transport_allocates_is_shown_as_it_was_given(sim: Simulation) -> None:
    host = sim.add_host("10.0.0.1")
    host.add_client().add_subscription("aeron:udp?endpoint=10.0.0.1:40123")  # which opens the transport
    table, label = host.faults.transport.host.table, "missed packets"
    for key, value in ((b"queue 1", 5), (b"queue 2", 6)):
        table.counter_allocate(table, 84, key, len(key), label.encode())[0] = value

    def shown() -> list[tuple[bytes, str, int]]:
        return [(counter.key[:7], counter.label, counter.value) for counter in host.counters if counter.type_id == 84]

    sim.run_until(lambda: len(shown()) == 2, "the counters")
    assert shown() == [(b"queue 1", label, 5), (b"queue 2", label, 6)]
