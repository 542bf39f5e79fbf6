"""The ops table of a port called from Python, a frame at a time: the test's end of a port on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from framelane.transport import OpenContext
from support.native_ops import HostTable, NativeOps, set_address
from support.processes import wait_until

__all__ = ["UNTAGGED", "PortOps"]

LIMIT_S = 20.0
UNTAGGED = 0xFFFF


class PortOps(NativeOps):
    """An open port.

    :param open_transport: opens the plugin's transport with a context.
    :ivar transport: the opened transport.
    :ivar attributes: what the port said of itself when it was open.
    :ivar queues: how many are started; this thread is on all of them.
    """

    def __init__(self, ffi: Any, lib: Any, open_transport: Callable[[OpenContext], Any]) -> None:
        self.ffi = ffi
        self.lib = lib
        self.host = HostTable(ffi, lib)
        self.transport = open_transport(OpenContext(self.host.address, "test"))
        assert self.transport.native is not None
        self.ops = ffi.cast("fl_port_ops_t *", self.transport.native.ops)
        self.object = ffi.cast("fl_port_t *", self.transport.native.object)
        self.attributes = ffi.new("fl_port_attributes_t *", {"size": ffi.sizeof("fl_port_attributes_t")})
        self.check(self.ops.attributes(self.object, self.attributes))
        self.queues = 0
        self.is_open = True

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

    def _filter(self, op: Any, host: str, port: int, vlan: int, source: str | None, queue: int) -> None:
        wanted = self.address(source) if source else self.ffi.new("fl_address_t *")
        self.check(op(self.object, queue, vlan, self.address(host, port), wanted))

    def add_filter(
        self, host: str, port: int, *, vlan: int = UNTAGGED, source: str | None = None, queue: int = 0
    ) -> None:
        self._filter(self.ops.add_filter, host, port, vlan, source, queue)

    def remove_filter(
        self, host: str, port: int, *, vlan: int = UNTAGGED, source: str | None = None, queue: int = 0
    ) -> None:
        self._filter(self.ops.remove_filter, host, port, vlan, source, queue)

    def take(self, capacity: int = 64, queue: int = 0) -> tuple[Any, int]:
        """One burst, to be released with :meth:`release`."""
        frames = self.ffi.new("fl_rx_frame_t[]", capacity)
        return frames, self.check(self.ops.rx_burst(self.object, queue, frames, capacity))

    def release(self, frames: Any, count: int, queue: int = 0) -> None:
        self.ops.rx_release(self.object, queue, frames, count)

    def data(self, frame: Any) -> bytes:
        return bytes(self.ffi.buffer(frame.data, frame.length))

    def copied(self, frame: Any) -> Any:
        """A received frame as :meth:`receive` returns it."""
        return self.data(frame)

    def receive(self, count: int, queue: int = 0, capacity: int = 64) -> list[Any]:
        """Return so many frames, in bursts of at most ``capacity``."""
        received: list[Any] = []
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

    def make_room(self, queue: int) -> None:
        """What a port wants between two bursts, to have sent what it took."""
        self.reap(queue)

    def send(self, *contents: bytes, queue: int = 0) -> None:
        """Send all, however many calls it takes."""
        rest = list(contents)
        deadline = time.monotonic() + LIMIT_S
        while rest:
            assert time.monotonic() < deadline, f"{len(rest)} frames were not taken: {self.stats()}"
            self.make_room(queue)
            rest = rest[self.burst(*rest[:64], queue=queue) :]

    def housekeeping(self) -> int:
        return int(self.ops.housekeeping(self.object, time.monotonic_ns()))

    def events(self) -> list[tuple[int, str]]:
        self.housekeeping()
        return super().events()

    def wait_for_event(self, kind: int) -> str:
        return str(wait_until(lambda: [text for one, text in self.events() if one == kind], f"event {kind}")[0])
