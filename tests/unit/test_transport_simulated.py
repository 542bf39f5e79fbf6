"""The simulated network: time, buffers and where datagrams are lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from framelane._native import lib
from framelane.errors import NativeError
from framelane.testing import Endpoint, Run, RunResult, Station
from framelane.transport.address import Address
from framelane.transport.simulated import SimulatedNetwork

LATENCY_NS = 50_000


class Wire:
    """A sender and a receiver on two hosts, on a virtual clock."""

    def __init__(self) -> None:
        self.clock: Any = lib.fl_clock_virtual_new(10**9, 10**18)
        self.net = SimulatedNetwork(self.clock, LATENCY_NS)
        self.near = Station(self.net.attach(["10.0.0.1"]))
        self.far = Station(self.net.attach(["10.0.0.2"]))
        self.receiver = self.far.open(bind=Address.of("10.0.0.2", 40123), receive_buffer_length=1 << 18)
        self.sender = self.open_sender(self.receiver.local)

    def open_sender(self, peer: Address) -> Endpoint:
        return self.near.open(role=lib.FL_ROLE_SENDER, peer=peer, send_buffer_length=1 << 18)

    def arrived(self) -> list[bytes]:
        self.far.cycle()
        taken = [datagram.data for datagram in self.receiver.inbox]
        self.receiver.inbox.clear()
        return taken

    def close(self) -> None:
        self.near.close()
        self.far.close()
        self.net.close()
        lib.fl_clock_virtual_free(self.clock)


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def test_a_datagram_arrives_after_the_latency_and_not_before(wire: Wire) -> None:
    wire.sender.send([Run(b"late")])
    assert wire.net.next_arrival() == 10**9 + LATENCY_NS
    lib.fl_clock_advance(wire.clock, LATENCY_NS - 1)
    assert wire.arrived() == []
    lib.fl_clock_advance(wire.clock, 1)
    assert wire.arrived() == [b"late"]
    assert wire.net.next_arrival() is None


def test_a_shorter_latency_lets_nothing_overtake(wire: Wire) -> None:
    wire.sender.send([Run(b"slow")])
    wire.net.set_latency(0)
    wire.sender.send([Run(b"fast")])
    assert wire.arrived() == []
    lib.fl_clock_advance(wire.clock, LATENCY_NS)
    assert wire.arrived() == [b"slow", b"fast"]


def test_a_full_send_buffer_takes_part_of_a_run_and_the_rest_after_arrival(wire: Wire) -> None:
    run = Run(bytes(60_000), 1000)
    whole, results = wire.sender.send([run] * 5)
    in_buffer = (1 << 18) // 1000
    assert whole == 4
    assert results == [RunResult(60, 0)] * 4 + [RunResult(in_buffer - 240, -lib.FL_EAGAIN)]
    assert wire.sender.send([run]) == (0, [RunResult(0, -lib.FL_EAGAIN)])
    lib.fl_clock_advance(wire.clock, LATENCY_NS)
    assert wire.sender.send([run]) == (1, [RunResult(60, 0)])


def test_what_a_full_receive_buffer_cannot_hold_is_lost_and_counted(wire: Wire) -> None:
    for _ in range(10):
        wire.sender.send([Run(bytes(60_000), 1000)])
        lib.fl_clock_advance(wire.clock, LATENCY_NS)
    stats = wire.near.transport.stats()
    assert stats["simulated-delivered"] + stats["simulated-buffer-full"] == 600
    assert stats["simulated-buffer-full"] > 0
    assert len(wire.arrived()) == stats["simulated-delivered"]
    wire.sender.send([Run(b"room again")])
    lib.fl_clock_advance(wire.clock, LATENCY_NS)
    assert wire.arrived() == [b"room again"]


def test_datagrams_for_nobody_are_counted_by_reason(wire: Wire) -> None:
    wire.open_sender(Address.of("10.0.0.77", 1)).send([Run(bytes(30), 10)])
    wire.open_sender(Address.of("10.0.0.2", 1)).send([Run(bytes(20), 10)])
    stats = wire.near.transport.stats()
    assert (stats["simulated-no-host"], stats["simulated-no-endpoint"]) == (3, 2)


def test_timestamps_are_of_the_arrival_on_the_wall_clock(wire: Wire) -> None:
    stamped = wire.far.open(bind=Address.of("10.0.0.2", 40124), flags=lib.FL_ENDPOINT_TIMESTAMPS)
    wire.open_sender(stamped.local).send([Run(b"when")])
    lib.fl_clock_advance(wire.clock, LATENCY_NS + 7)
    (run,) = wire.far.poll()
    wire.far.release([run])
    assert run.flags == lib.FL_RUN_TIMESTAMP
    assert run.timestamp_ns == 10**18 + LATENCY_NS


def test_two_hosts_cannot_have_one_address(wire: Wire) -> None:
    with pytest.raises(NativeError, match=r"another host has 10\.0\.0\.2"):
        wire.net.attach(["10.0.0.3", "10.0.0.2"])


def test_a_host_with_open_endpoints_is_not_closed(wire: Wire) -> None:
    with pytest.raises(NativeError, match="open endpoints or pollers"):
        wire.near.transport.close()
    assert not wire.near.transport.is_closed
