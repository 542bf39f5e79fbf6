"""Whole drivers on one thread: a virtual clock, an in-memory network, and clients that speak bytes.

with Simulation(tmp_path) as world:
    sender, receiver = world.driver("10.0.0.1"), world.driver("10.0.0.2")
    subscription = receiver.client().send(AddSubscription, stream_id=7, ...)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from framelane.channel import NameResolver, NetworkInterface
from framelane.driver.clock import Clock, VirtualClock
from framelane.driver.media_driver import MediaDriver, Surroundings
from framelane.driver.settings import load_settings
from framelane.driver.transports import GivenTransport, TransportSource
from framelane.protocol.commands import Command
from framelane.protocol.events import AvailableImage, Event, PublicationAdded, decode_event
from framelane.shm.cnc import CNC_FILE, CncFile
from framelane.shm.log_buffer import LogBuffer
from framelane.transport.native import OpenTransport
from framelane.transport.registry import Registry
from framelane.transport.simulated import SimulatedNetwork

__all__ = ["CommandClient", "Reader", "RealDriver", "RealTime", "SimulatedDriver", "Simulation", "Writer"]

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

E = TypeVar("E", bound=Event)

_SMALL = {
    "threading_mode": "INVOKER",
    "counters_buffer_length": "1m",
    "term_buffer_length": "64k",
    "ipc_term_buffer_length": "64k",
    "perform_storage_checks": "false",
}


class Simulation:
    """A world of drivers.

    :param directory: for the drivers' directories.
    :param seed: of everything random.
    """

    def __init__(self, directory: Path, *, seed: int = 1, latency_ns: int = 10_000) -> None:
        self.clock = VirtualClock()
        self.net = SimulatedNetwork(self.clock.native, latency_ns)
        self.drivers: list[SimulatedDriver] = []
        self._directory = directory
        self._seed = seed

    def driver(
        self,
        address: str,
        *,
        wrap: Callable[[OpenTransport], OpenTransport] = lambda inner: inner,
        transports: TransportSource | None = None,
        resolver: NameResolver | None = None,
        **settings: object,
    ) -> SimulatedDriver:
        """Start a driver of a host with one address.

        :param wrap: puts something around its transport.
        :param transports: in place of that one transport.
        :param resolver: of names in channels; the system's if none is given.
        :param settings: keys of ``[driver]``.
        """
        seed = self._seed + len(self.drivers)
        return SimulatedDriver(self, address, self._directory / address, seed, wrap, transports, resolver, settings)

    def step(self, advance_ns: int = MILLISECOND) -> int:
        """Let time pass and every driver do one cycle; returns the work done."""
        self.clock.advance(advance_ns)
        return sum(one.driver.do_work() for one in self.drivers)

    def run(self, duration_ns: int, step_ns: int = MILLISECOND) -> None:
        """Let time pass in steps."""
        for _ in range(-(-duration_ns // step_ns)):
            self.step(step_ns)

    def run_until(
        self, condition: Callable[[], object], what: str, limit_ns: int = 30 * SECOND, step_ns: int = MILLISECOND
    ) -> None:
        """Let time pass until something holds.

        :raises AssertionError: if it does not within the limit.
        """
        for _ in range(-(-limit_ns // step_ns)):
            if condition():
                return
            self.step(step_ns)
        raise AssertionError(f"{what}: not within {limit_ns / SECOND} s of virtual time (seed {self._seed})")

    def close(self) -> None:
        """End everything."""
        for one in reversed(self.drivers):
            one.close()
        self.net.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Interfaces:
    def __init__(self, addresses: Sequence[str]) -> None:
        self._interfaces = (
            NetworkInterface("lo", 1, is_loopback=True, is_multicast=False, addresses=(ip_interface("127.0.0.1/8"),)),
            NetworkInterface("sim0", 2, addresses=tuple(map(ip_interface, addresses))),
        )

    def interfaces(self) -> Sequence[NetworkInterface]:
        return self._interfaces


class SimulatedDriver:
    """One driver of a simulation.

    :param addresses: of its interface, with prefix length; ``address`` in a network of 24 bits if none are given.
    """

    def __init__(
        self,
        world: Simulation,
        address: str,
        directory: Path,
        seed: int,
        wrap: Callable[[OpenTransport], OpenTransport],
        transports: TransportSource | None,
        resolver: NameResolver | None,
        settings: dict[str, object],
        addresses: Sequence[str] = (),
    ) -> None:
        values = {**_SMALL, "dir": directory, **settings}
        self.settings = load_settings(
            environ={}, overrides=[f"driver.{key}={value}" for key, value in values.items()], registry=Registry({})
        )
        self.world = world
        self.address = address
        self.transport: OpenTransport | None = None
        if transports is None:
            self.transport = inner = wrap(world.net.attach([address], seed=seed))
            transports = GivenTransport(inner)
        self.driver = MediaDriver.launch(
            self.settings,
            surroundings=Surroundings(
                clock=world.clock,
                transports=transports,
                resolver=resolver,
                interfaces=_Interfaces(addresses or [f"{address}/24"]),
                seed=seed,
            ),
        )
        self._clients: list[CommandClient] = []
        world.drivers.append(self)

    @property
    def directory(self) -> Path:
        """The driver directory."""
        return self.driver.directory

    def client(self) -> CommandClient:
        """Attach a client."""
        client = CommandClient(self)
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Detach the clients and end the driver."""
        for client in self._clients:
            client.detach()
        self._clients.clear()
        self.driver.close()
        if self.transport is not None:
            self.transport.close()
        if self in self.world.drivers:
            self.world.drivers.remove(self)


class Waits(Protocol):
    """Whoever lets time pass."""

    @property
    def clock(self) -> Clock: ...

    def run_until(self, condition: Callable[[], object], what: str) -> None:
        """Let time pass until something holds; AssertionError if it takes too long."""
        ...


class HasDirectory(Protocol):
    """A driver, as a client needs it."""

    @property
    def directory(self) -> Path: ...

    @property
    def world(self) -> Waits: ...


class RealTime:
    """:class:`Waits` of the real world, for drivers with threads.

    :param limit_s: how long anything may take.
    """

    def __init__(self, limit_s: float = 60.0) -> None:
        self.clock = Clock()
        self._limit_s = limit_s

    def run_until(self, condition: Callable[[], object], what: str) -> None:
        """See :class:`Waits`."""
        deadline = time.monotonic() + self._limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {self._limit_s} s")
            time.sleep(0.001)


@dataclass(frozen=True)
class RealDriver:
    """A driver with threads, of this process or another."""

    directory: Path
    world: RealTime = field(default_factory=RealTime)


class CommandClient:
    """A client: commands go into the ring as bytes, events come from the broadcast as bytes.

    It keeps itself alive while the world runs only if :meth:`keep_alive` is called.

    :ivar events: all that were received, oldest first.
    """

    def __init__(self, driver: HasDirectory) -> None:
        self.world = driver.world
        self.driver = driver
        self.cnc = CncFile.map(driver.directory / CNC_FILE)
        self.cnc.find_sections()
        self.ring = self.cnc.to_driver()
        self.counters = self.cnc.counters()
        self._receiver = self.cnc.receiver()
        while self._receiver.receive() is not None:
            pass
        self.client_id = self.ring.next_correlation_id()
        self.events: list[Event] = []
        self._logs: list[LogBuffer] = []

    def send(self, kind: type[Command], **fields: Any) -> int:
        """Write a command; returns its correlation id."""
        correlation_id = self.ring.next_correlation_id()
        command = kind(client_id=self.client_id, correlation_id=correlation_id, **fields)
        self.ring.write(command.TYPE, command.encode())
        return correlation_id

    def receive(self) -> list[Event]:
        """Take the events that are there; returns those that are new."""
        new = []
        while (record := self._receiver.receive()) is not None:
            new.append(decode_event(record.type_id, record.body))
        self.events += new
        return new

    def wait(self, kind: type[E], where: Callable[[E], object] = lambda _: True) -> E:
        """Let time pass until an event was received; returns the first that fits."""

        def find() -> E | None:
            self.receive()
            return next((one for one in self.events if type(one) is kind and where(one)), None)

        self.world.run_until(find, f"event {kind.__name__}")
        found = find()
        assert found is not None
        return found

    def call(self, command: type[Command], answer: type[E], **fields: Any) -> E:
        """Send a command and wait for its answer."""
        correlation_id = self.send(command, **fields)
        return self.wait(answer, lambda event: answer_id(event) == correlation_id)

    def keep_alive(self) -> None:
        """Store the time in the heartbeat counter, as clients do."""
        for counter in self.counters:
            if counter.type_id == 11 and counter.registration_id == self.client_id:
                self.counters.set_value(counter.id, self.world.clock.epoch_ms())

    def writer(self, ready: PublicationAdded) -> Writer:
        """Map an exclusive publication to write to it."""
        return Writer(self, self._map(ready.log_file), ready)

    def reader(self, image: AvailableImage) -> Reader:
        """Map an image to read it."""
        return Reader(self, self._map(image.log_file), image)

    def _map(self, path: str) -> LogBuffer:
        log = LogBuffer.open(Path(path))
        self._logs.append(log)
        return log

    def detach(self) -> None:
        """Unmap everything, as a killed process does."""
        for log in self._logs:
            log.close()
        self._logs.clear()
        self.cnc.close()


def answer_id(event: Event) -> int | None:
    """Return the correlation id that an answer carries."""
    for name in ("offending_command_correlation_id", "correlation_id"):
        if hasattr(event, name):
            return int(getattr(event, name))
    return None


class Writer:
    """Writes unfragmented frames into an exclusive publication's log (shm 7.6)."""

    def __init__(self, client: CommandClient, log: LogBuffer, ready: PublicationAdded) -> None:
        self._counters = client.counters
        self._log = log
        self._limit_id = ready.publication_limit_counter_id
        native = log.native
        self._term_length = native.term_length
        self._header = bytes(native.default_header[0:32])
        self._initial = native.initial_term_id
        count = log.metadata.active_term_count
        raw = log.metadata.term_tail_counters[count % 3]
        self.position = count * self._term_length + (raw & 0xFFFFFFFF)

    def offer(self, payload: bytes) -> bool:
        """Append one frame; ``False``: not connected or back-pressured."""
        length = 32 + len(payload)
        aligned = -(-length // 32) * 32
        offset = self.position % self._term_length
        if self.position >= self._counters.value(self._limit_id):
            return False
        if offset + aligned > self._term_length:
            self._frame(self._term_length - offset, 0, b"")
            self._advance(self._term_length - offset)
            return False
        self._frame(length, 1, payload)
        self._advance(aligned)
        return True

    def _frame(self, length: int, kind: int, payload: bytes) -> None:
        count, offset = divmod(self.position, self._term_length)
        term_id = (self._initial + count + 2**31) % 2**32 - 2**31
        header = bytearray(self._header)
        header[0:4] = bytes(4)
        header[5] = 0xC0
        header[6:8] = kind.to_bytes(2, "little")
        header[8:12] = offset.to_bytes(4, "little")
        header[20:24] = term_id.to_bytes(4, "little", signed=True)
        term = self._log.term(count % 3)
        term[offset + 32 : offset + 32 + len(payload)] = payload
        term[offset + 4 : offset + 32] = header[4:]
        term[offset : offset + 4] = length.to_bytes(4, "little")

    def _advance(self, length: int) -> None:
        self.position += length
        count, offset = divmod(self.position, self._term_length)
        term_id = (self._initial + count + 2**31) % 2**32 - 2**31
        self._log.metadata.term_tail_counters[count % 3] = (term_id << 32) | offset
        self._log.metadata.active_term_count = count


class Reader:
    """Reads an image and moves its subscriber position (shm 7.7)."""

    def __init__(self, client: CommandClient, log: LogBuffer, image: AvailableImage) -> None:
        self._counters = client.counters
        self._log = log
        self._counter_id = image.subscriber_position_counter_id
        self._term_length = log.native.term_length
        self.position = client.counters.value(image.subscriber_position_counter_id)
        self.joined_at = self.position

    def frames(self, limit: int = 1000) -> Iterator[bytes]:
        """Yield the payloads of complete frames, and then store the position."""
        for _ in range(limit):
            count, offset = divmod(self.position, self._term_length)
            term = self._log.term(count % 3)
            length = int.from_bytes(term[offset : offset + 4], "little", signed=True)
            if length <= 0:
                break
            is_data = int.from_bytes(term[offset + 6 : offset + 8], "little") == 1
            payload = bytes(term[offset + 32 : offset + length]) if is_data else b""
            self.position += -(-length // 32) * 32
            if is_data:
                yield payload
        self._counters.set_value(self._counter_id, self.position)
