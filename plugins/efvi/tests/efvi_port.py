"""The ops table of an ef_vi port over the stand-in's wire in memory, driven from Python as the driver's agents do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framelane.transport import OpenContext
from support.native_ops import HostTable, NativeOps, set_address
from support.processes import wait_until

LIMIT_S = 20.0
UNTAGGED = 0xFFFF


@dataclass(frozen=True)
class Received:
    """A received frame, copied out."""

    data: bytes
    clock: int
    timestamp_ns: int


class Adapters:
    """The stand-in's adapters, on one wire: what they are, and what is wrong with them from now on."""

    def __init__(self, directory: Path, monkeypatch: Any) -> None:
        self.control = directory / "control"
        self.words = dict.fromkeys(("eth2", "eth3"), f"wire=memory:{directory}")
        self.first = dict(self.words)
        monkeypatch.setenv("FRAMELANE_CIUL", ";".join(f"{name} {words}" for name, words in self.words.items()))
        monkeypatch.setenv("FRAMELANE_CIUL_CONTROL", str(self.control))
        self._write()

    def describe(self, interface: str, words: str) -> None:
        """Add to what an adapter is like; ``*`` is all of them, and the driver."""
        self.words[interface] = f"{self.words.get(interface, '')} {words}"
        self._write()

    def restore(self, interface: str, words: str = "") -> None:
        """Make an adapter what it was at first, and then this."""
        self.words[interface] = f"{self.first[interface]} {words}"
        self._write()

    def _write(self) -> None:
        beside = self.control.with_suffix(".new")
        beside.write_text("".join(f"{name} {words}\n" for name, words in self.words.items()))
        beside.replace(self.control)


class Port(NativeOps):
    """An open and started port."""

    name = "efvi"

    def __init__(self, interface: str, *, start: bool = True, **settings: Any) -> None:
        from framelane_efvi.native import load
        from framelane_efvi.plugin import EfviTransport
        from framelane_efvi.settings import EfviSettings

        self.ffi, self.lib = load()
        self.host = HostTable(self.ffi, self.lib)
        self.transport = EfviTransport(
            EfviSettings(**{"interface": interface, "queues": 1, "link_wait_ms": 0, **settings}),
            OpenContext(self.host.address, "test"),
        )
        assert self.transport.native is not None
        self.ops = self.ffi.cast("fl_port_ops_t *", self.transport.native.ops)
        self.object = self.ffi.cast("fl_port_t *", self.transport.native.object)
        self.attributes = self.ffi.new("fl_port_attributes_t *", {"size": self.ffi.sizeof("fl_port_attributes_t")})
        self.check(self.ops.attributes(self.object, self.attributes))
        self.queues = 0
        self.is_open = True
        if start:
            self.start(int(self.attributes.queues))

    @property
    def facts(self) -> Any:
        return self.transport.facts

    @property
    def mac(self) -> bytes:
        return bytes(self.ffi.buffer(self.attributes.mac, 6))

    def start(self, queues: int = 1) -> None:
        self.check(self.ops.start(self.object, queues))
        self.queues = queues
        for queue in range(queues):
            self.check(self.ops.queue_enter(self.object, queue))

    def stop(self) -> None:
        for queue in range(self.queues):
            self.check(self.ops.queue_leave(self.object, queue))
        self.queues = 0
        self.check(self.ops.stop(self.object))

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.stop()
            self.transport.close()

    def address(self, host: str, port: int = 0) -> Any:
        return set_address(self.ffi, self.ffi.new("fl_address_t *"), host, port)

    def add_filter(self, host: str, port: int, *, vlan: int = UNTAGGED, queue: int = 0) -> None:
        nobody = self.ffi.new("fl_address_t *")
        self.check(self.ops.add_filter(self.object, queue, vlan, self.address(host, port), nobody))

    def remove_filter(self, host: str, port: int, *, vlan: int = UNTAGGED, queue: int = 0) -> None:
        nobody = self.ffi.new("fl_address_t *")
        self.check(self.ops.remove_filter(self.object, queue, vlan, self.address(host, port), nobody))

    def take(self, capacity: int = 64, queue: int = 0) -> tuple[Any, int]:
        """One burst, to be released with :meth:`release`."""
        frames = self.ffi.new("fl_rx_frame_t[]", capacity)
        return frames, self.check(self.ops.rx_burst(self.object, queue, frames, capacity))

    def release(self, frames: Any, count: int, queue: int = 0) -> None:
        self.ops.rx_release(self.object, queue, frames, count)

    def copied(self, frame: Any) -> Received:
        return Received(bytes(self.ffi.buffer(frame.data, frame.length)), frame.clock, frame.timestamp_ns)

    def receive(self, count: int, queue: int = 0, capacity: int = 64) -> list[Received]:
        """Return so many frames, in bursts of at most ``capacity``."""
        received: list[Received] = []
        deadline = time.monotonic() + LIMIT_S
        while len(received) < count:
            assert time.monotonic() < deadline, f"{len(received)} of {count} frames came: {self.stats()}"
            frames, taken = self.take(capacity, queue)
            received += [self.copied(frames[i]) for i in range(taken)]
            self.release(frames, taken, queue)
        return received

    def allocate(self, count: int, queue: int = 0) -> tuple[Any, int]:
        frames = self.ffi.new("fl_tx_frame_t[]", count)
        return frames, self.check(self.ops.tx_alloc(self.object, queue, frames, count))

    def burst(self, *contents: bytes, queue: int = 0) -> int:
        """Send in one call; what was not taken is given back."""
        frames, count = self.allocate(len(contents), queue)
        for frame, content in zip(frames[0:count], contents, strict=False):
            self.ffi.memmove(frame.data, content, len(content))
            frame.length = len(content)
        sent = self.check(self.ops.tx_burst(self.object, queue, frames, count))
        self.ops.tx_free(self.object, queue, frames + sent, count - sent)
        return sent

    def reap(self, queue: int = 0) -> None:
        self.check(self.ops.tx_reap(self.object, queue, self.ffi.NULL, 0))

    def poll(self, queue: int = 0) -> None:
        """One cycle in which nothing is expected to come."""
        frames, taken = self.take(queue=queue)
        self.release(frames, taken, queue)

    def send(self, *contents: bytes, queue: int = 0) -> None:
        """Send all, however many calls it takes."""
        rest = list(contents)
        deadline = time.monotonic() + LIMIT_S
        while rest:
            assert time.monotonic() < deadline, f"{len(rest)} frames were not taken: {self.stats()}"
            self.poll(queue)
            rest = rest[self.burst(*rest[:64], queue=queue) :]

    def wait_for_figure(self, name: str, value: int, queue: int = 0) -> None:
        """Poll until a figure has a value."""

        def has_it() -> bool:
            self.poll(queue)
            return self.stats()[name] == value

        wait_until(has_it, f"{name} = {value}; {self.stats()}")

    def events(self) -> list[tuple[int, str]]:
        self.ops.housekeeping(self.object, time.monotonic_ns())
        return super().events()
