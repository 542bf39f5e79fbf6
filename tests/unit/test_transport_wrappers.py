"""The fault wrapper's statistics under a seed, and a capture as tshark reads it."""

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.errors import NativeError
from framelane.testing import Endpoint, Run, Station
from framelane.transport.address import Address
from framelane.transport.simulated import SimulatedNetwork
from framelane.transport.wrappers import FaultDirection, FaultInjector, wrap_capture, wrap_faults

MILLISECOND = 1_000_000


@dataclass
class Faulty:
    """A sender and a receiver, both behind fault wrappers, under a virtual clock."""

    clock: Any
    near: FaultInjector
    far: FaultInjector
    sender: Endpoint
    receiver: Endpoint

    def advance(self, delta_ns: int) -> None:
        lib.fl_clock_advance(self.clock, delta_ns)

    def send(self, first: int, count: int, per_run: int = 16) -> None:
        """Send numbered datagrams of 32 bytes, in runs."""
        numbers = [n.to_bytes(4) * 8 for n in range(first, first + count)]
        self.sender.send_all([Run(b"".join(numbers[i : i + per_run]), 32) for i in range(0, count, per_run)])

    def arrived(self) -> list[bytes]:
        """Take everything that has come by now."""
        self.sender.station.settle()
        taken = [datagram.data for datagram in self.receiver.inbox]
        self.receiver.inbox.clear()
        return taken

    def numbers(self) -> list[int]:
        return [int.from_bytes(data[:4]) for data in self.arrived()]


def open_faulty(clock: Any, seed: int) -> tuple[SimulatedNetwork, Faulty]:
    net = SimulatedNetwork(clock)
    near = wrap_faults(net.attach(["10.0.0.1"]), seed=seed)
    far = wrap_faults(net.attach(["10.0.0.2"]), seed=seed + 1)
    stations = Station(near.transport), Station(far.transport)
    stations[0].companions.append(stations[1])
    receiver = stations[1].open(bind=Address.of("10.0.0.2", 40123), receive_buffer_length=1 << 24)
    sender = stations[0].open(role=lib.FL_ROLE_SENDER, peer=receiver.local)
    return net, Faulty(clock, near, far, sender, receiver)


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    clock = lib.fl_clock_virtual_new(10**9, 10**18)
    net, faulty = open_faulty(clock, seed=20260)
    yield faulty
    faulty.sender.station.close()
    faulty.receiver.station.close()
    net.close()
    lib.fl_clock_virtual_free(clock)


@pytest.mark.parametrize("direction", ["send", "receive"])
def test_datagrams_of_a_run_are_lost_one_by_one_at_the_rate_asked_for(faulty: Faulty, direction: str) -> None:
    injector = faulty.near if direction == "send" else faulty.far
    injector.configure(**{direction: FaultDirection(loss=0.1)})
    for turn in range(100):
        faulty.send(turn * 100, 100)
    arrived = faulty.numbers()
    totals = injector.totals()[0 if direction == "send" else 1]
    assert totals.lost == 10_000 - len(arrived)
    assert 900 < totals.lost < 1100
    name = "fault-tx-lost" if direction == "send" else "fault-rx-lost"
    assert injector.transport.stats()[name] == totals.lost
    assert arrived == sorted(set(arrived)), "what is left is in order and once"
    gaps = [b - a for a, b in itertools.pairwise(arrived)]
    assert max(gaps) < 16, "datagrams are judged one by one, not by the run"


@pytest.mark.parametrize("direction", ["send", "receive"])
def test_duplicates_come_behind_the_original(faulty: Faulty, direction: str) -> None:
    injector = faulty.near if direction == "send" else faulty.far
    injector.configure(**{direction: FaultDirection(duplicate=0.2)})
    faulty.send(0, 2000)
    arrived = faulty.numbers()
    assert sorted(set(arrived)) == list(range(2000))
    assert arrived == sorted(arrived)
    assert 320 < len(arrived) - 2000 < 480


@pytest.mark.parametrize("direction", ["send", "receive"])
def test_reordered_datagrams_are_passed_by_one_to_eight(faulty: Faulty, direction: str) -> None:
    injector = faulty.near if direction == "send" else faulty.far
    injector.configure(**{direction: FaultDirection(reorder=0.05)})
    faulty.send(0, 4000)
    arrived = faulty.numbers()
    faulty.advance(2 * MILLISECOND)
    arrived += faulty.numbers()
    assert sorted(arrived) == list(range(4000))
    displaced = [position - number for position, number in enumerate(arrived) if position > number]
    assert 120 < len(displaced) < 280
    assert max(displaced) <= 12, "8, and a few for those that were held back themselves"


def test_corruption_flips_one_bit(faulty: Faulty) -> None:
    faulty.near.configure(send=FaultDirection(corrupt=1.0))
    faulty.send(0, 200)
    arrived = faulty.arrived()
    assert len(arrived) == 200
    for number, data in enumerate(arrived):
        sent = int.from_bytes(number.to_bytes(4) * 8)
        assert (sent ^ int.from_bytes(data)).bit_count() == 1


@pytest.mark.parametrize("direction", ["send", "receive"])
def test_delay_holds_every_datagram_for_as_long_and_keeps_their_order(faulty: Faulty, direction: str) -> None:
    injector = faulty.near if direction == "send" else faulty.far
    injector.configure(**{direction: FaultDirection(delay_ns=25 * MILLISECOND)})
    faulty.send(0, 500)
    assert faulty.numbers() == []
    faulty.advance(10 * MILLISECOND)
    faulty.send(500, 500)
    assert faulty.numbers() == []
    faulty.advance(15 * MILLISECOND - 1)
    assert faulty.numbers() == []
    faulty.advance(1)
    assert faulty.numbers() == list(range(500))
    faulty.advance(10 * MILLISECOND)
    assert faulty.numbers() == list(range(500, 1000))


def test_a_blackhole_swallows_everything_until_it_is_lifted(faulty: Faulty) -> None:
    faulty.near.configure(send=FaultDirection(blackhole=True))
    faulty.send(0, 100)
    assert faulty.numbers() == []
    faulty.near.configure()
    faulty.send(100, 100)
    assert faulty.numbers() == list(range(100, 200))


def test_a_refused_datagram_stops_the_run_where_it_stands(faulty: Faulty) -> None:
    faulty.near.configure(send=FaultDirection(refuse=0.1))
    short = 0
    for turn in range(100):
        run = Run(b"".join((turn * 16 + i).to_bytes(4) * 8 for i in range(16)), 32)
        _, (result,) = faulty.sender.send([run])
        assert (result.accepted == 16) is (result.status == 0)
        assert result.status in (0, -lib.FL_EAGAIN)
        assert len(faulty.numbers()) == result.accepted
        short += result.accepted < 16
    assert short > 50


def test_all_faults_together_obey_the_seed() -> None:
    def run(seed: int) -> list[bytes]:
        clock = lib.fl_clock_virtual_new(10**9, 10**18)
        net, faulty = open_faulty(clock, seed)
        everything = FaultDirection(loss=0.05, duplicate=0.05, reorder=0.05, corrupt=0.05, delay_ns=1000, jitter_ns=500)
        faulty.near.configure(send=everything)
        faulty.far.configure(receive=everything)
        arrived = []
        for turn in range(50):
            faulty.send(turn * 40, 40)
            faulty.advance(700)
            arrived += faulty.arrived()
        for _ in range(4):
            faulty.advance(2 * MILLISECOND)
            arrived += faulty.arrived()
        faulty.sender.station.close()
        faulty.receiver.station.close()
        net.close()
        lib.fl_clock_virtual_free(clock)
        return arrived

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_what_cannot_be_held_back_is_lost_and_counted(faulty: Faulty) -> None:
    faulty.near.configure(send=FaultDirection(delay_ns=MILLISECOND))
    faulty.send(0, 6000)
    totals, _ = faulty.near.totals()
    assert totals.storage_full == 6000 - 4096
    faulty.advance(MILLISECOND)
    assert faulty.numbers() == list(range(4096))


def test_a_removed_device_says_so_once_and_takes_back_what_it_gave(faulty: Faulty) -> None:
    binding, station = faulty.far.transport.binding, faulty.receiver.station
    faulty.send(0, 16)

    faulty.far.remove_device("eth9 was unplugged")

    runs, events = ffi.new("fl_run_t[4]"), ffi.new("fl_event_t[4]")
    for _ in range(2):
        assert binding.ops.poll(station.poller, runs, 4) == -lib.FL_ENODEV
        assert binding.ops.reap(station.poller, ffi.NULL, 0) == -lib.FL_ENODEV
        assert binding.ops.arm(station.poller) == -lib.FL_ENODEV
    run = ffi.new("fl_run_t *", {"accepted": 5})
    assert binding.ops.send(faulty.receiver.native, run, 1) == -lib.FL_ENODEV
    assert (run.accepted, run.status) == (0, -lib.FL_ENODEV)
    assert binding.ops.events(binding.transport, events, 4) == 1
    assert (events[0].kind, ffi.string(events[0].text)) == (lib.FL_EVENT_REMOVED, b"eth9 was unplugged")
    assert binding.ops.events(binding.transport, events, 4) <= 0
    with pytest.raises(NativeError, match="the device was removed"):
        station.open(bind=Address.of("10.0.0.2", 40124))
    station.close()  # raises unless everything is taken back


def test_impossible_faults_are_refused(faulty: Faulty) -> None:
    for wrong in (FaultDirection(loss=1.1), FaultDirection(corrupt=-0.1), FaultDirection(delay_ns=-1)):
        with pytest.raises(NativeError, match="outside"):
            faulty.near.configure(send=wrong)
    with pytest.raises(NativeError, match="receiving is to be refused"):
        faulty.near.configure(receive=FaultDirection(refuse=0.1))


def read_with_tshark(path: Path) -> list[dict[str, str]]:
    names = ["frame.time_epoch", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport"]
    names += ["udp.payload", "udp.checksum.status", "ip.checksum.status", "_ws.malformed"]
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=;", "-E", "occurrence=f"]
    command += ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "--disable-protocol", "aeron"]
    for name in names:
        command += ["-e", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [dict(zip(names, line.split(";"), strict=True)) for line in output.splitlines()]


@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
@pytest.mark.programs("tshark")
def test_tshark_reads_every_captured_datagram_as_it_was(tmp_path: Path, addresses: tuple[str, str]) -> None:
    clock = lib.fl_clock_virtual_new(0, 1_700_000_000_123_456_789)
    net = SimulatedNetwork(clock)
    capture = wrap_capture(net.attach([addresses[0]]), tmp_path / "capture.pcap")
    with Station(capture.transport) as near, Station(net.attach([addresses[1]])) as far:
        near.companions.append(far)
        receiver = far.open(bind=Address.of(addresses[1], 40123))
        sender = near.open(role=lib.FL_ROLE_SENDER, bind=Address.of(addresses[0], 50000), peer=receiver.local)
        sent = [Run(bytes(range(256)) * 20, 1000), Run(b"odd"), Run(b""), Run(bytes(65507))]
        sender.send_all(sent)
        receiver.send_all([Run(b"status message" * 3, 14, peer=sender.local)])
        assert len(sender.receive(3)) == 3
        capture.flush()
        assert (capture.written, capture.dropped) == (12, 0)
        assert capture.transport.stats()["capture-written"] == 12
        packets = read_with_tshark(tmp_path / "capture.pcap")
    net.close()
    lib.fl_clock_virtual_free(clock)

    payloads = [datagram for run in sent for datagram in run.datagrams()]
    outward = (addresses[0], addresses[1], "50000", "40123")
    inward = (addresses[1], addresses[0], "40123", "50000")
    expected = [(*outward, data) for data in payloads] + [(*inward, b"status message")] * 3
    assert [
        (
            packet["ip.src"] or packet["ipv6.src"],
            packet["ip.dst"] or packet["ipv6.dst"],
            packet["udp.srcport"],
            packet["udp.dstport"],
            bytes.fromhex(packet["udp.payload"]),
        )
        for packet in packets
    ] == expected
    assert {packet["frame.time_epoch"] for packet in packets} == {"1700000000.123456789"}
    good = "1"
    assert {packet["udp.checksum.status"] for packet in packets} == {good}
    assert {packet["ip.checksum.status"] for packet in packets} <= {good, ""}
    assert not any(packet["_ws.malformed"] for packet in packets)


def test_a_full_ring_drops_from_the_capture_and_not_from_the_stream(tmp_path: Path) -> None:
    net = SimulatedNetwork()
    capture = wrap_capture(net.attach(["10.0.0.1"]), tmp_path / "capture.pcap", ring_length=1 << 18)
    with Station(capture.transport) as near:
        receiver = near.open(bind=Address.of("10.0.0.1", 40123), receive_buffer_length=1 << 24)
        sender = near.open(role=lib.FL_ROLE_SENDER, peer=receiver.local)
        for _ in range(200):
            sender.send_all([Run(bytes(60_000), 1000)])
        near.settle()
        assert len(receiver.inbox) == 12_000
        capture.flush()
        assert capture.dropped > 0
        assert capture.written + capture.dropped == 24_000
    net.close()


def test_a_capture_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    net = SimulatedNetwork()
    inner = net.attach(["10.0.0.1"])
    with pytest.raises(NativeError, match=r"cannot write .*absent/capture\.pcap: No such file"):
        wrap_capture(inner, tmp_path / "absent" / "capture.pcap")
    inner.close()
    net.close()
