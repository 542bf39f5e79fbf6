"""The ops table of a DPDK port, driven from Python as the driver's agents drive it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framelane_dpdk._native import ffi, lib

from framelane.transport import OpenContext
from framelane_dpdk.plugin import DpdkTransport
from framelane_dpdk.settings import DpdkSettings
from support.native_ops import HostTable, NativeOps, OpFailedError

LIMIT_S = 10.0

#: Small enough for many in one environment of plain pages.
SMALL = {"rx_queue_size": 128, "tx_queue_size": 128, "link_wait_ms": 0}


@dataclass(frozen=True)
class Received:
    """A received frame, copied out."""

    data: bytes
    vlan: int
    checksum: int
    clock: int
    timestamp_ns: int


def frame(payload: bytes, *, to: bytes = b"\xff" * 6, source: bytes = b"\x02\0\0\0\0\x01") -> bytes:
    """Return an Ethernet frame of an EtherType for experiments, at least 60 bytes long."""
    return (to + source + b"\x88\xb5" + payload).ljust(60, b"\0")


def child_environment() -> dict[str, str]:
    """Return the environment of a process that imports this module."""
    tests = Path(__file__).parent
    path = [str(tests), str(tests.parents[2] / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


class Port(NativeOps):
    """A port with its queues entered on the calling thread."""

    name = "dpdk"

    def __init__(self, *, start_queues: int = 1, start: bool = True, enter: bool = True, **settings: Any) -> None:
        self.ffi = ffi
        self.host = HostTable(ffi, lib)
        self.transport = DpdkTransport(DpdkSettings(**SMALL | settings), OpenContext(self.host.address, "test"))
        assert self.transport.native is not None
        self.ops = ffi.cast("fl_port_ops_t *", self.transport.native.ops)
        self.object = ffi.cast("fl_port_t *", self.transport.native.object)
        self.queues = start_queues
        self.entered: list[int] = []
        if start:
            try:
                self.check(self.ops.start(self.object, start_queues))
            except OpFailedError:
                self.transport.close()
                raise
            if enter:
                self.enter()

    def enter(self) -> None:
        for queue in range(self.queues):
            self.check(self.ops.queue_enter(self.object, queue))
            self.entered.append(queue)

    def leave(self) -> None:
        while self.entered:
            self.check(self.ops.queue_leave(self.object, self.entered.pop()))

    @property
    def attributes(self) -> Any:
        attributes = ffi.new("fl_port_attributes_t *", {"size": ffi.sizeof("fl_port_attributes_t")})
        self.check(self.ops.attributes(self.object, attributes))
        return attributes

    def alloc(self, count: int, queue: int = 0) -> tuple[Any, int]:
        frames = ffi.new("fl_tx_frame_t[]", count)
        return frames, self.check(self.ops.tx_alloc(self.object, queue, frames, count))

    def send(self, *payloads: bytes, queue: int = 0, flags: int = 0, l2: int = 14, l3: int = 20) -> int:
        """Send frames in one burst; what the device does not take is freed. Returns how many it took."""
        frames, count = self.alloc(len(payloads), queue)
        assert count == len(payloads), f"{count} transmit buffers of {len(payloads)}"
        for target, data in zip(frames, payloads, strict=True):
            ffi.memmove(target.data, data, len(data))
            target.length, target.flags, target.l2_length, target.l3_length = len(data), flags, l2, l3
        sent = self.check(self.ops.tx_burst(self.object, queue, frames, count))
        self.ops.tx_free(self.object, queue, frames + sent, count - sent)
        return sent

    def poll(self, capacity: int = 64, queue: int = 0) -> list[Received]:
        frames = ffi.new("fl_rx_frame_t[]", capacity)
        count = self.check(self.ops.rx_burst(self.object, queue, frames, capacity))
        received = [
            Received(bytes(ffi.buffer(one.data, one.length)), one.vlan, one.checksum, one.clock, one.timestamp_ns)
            for one in frames[0:count]
        ]
        self.ops.rx_release(self.object, queue, frames, count)
        return received

    def receive(self, count: int, capacity: int = 64, queue: int = 0) -> list[Received]:
        """Poll until so many frames have come."""
        received: list[Received] = []
        deadline = time.monotonic() + LIMIT_S
        while len(received) < count:
            assert time.monotonic() < deadline, f"got {len(received)} of {count} frames"
            received += self.poll(capacity, queue)
        return received

    def reap(self, queue: int = 0, capacity: int = 64) -> list[tuple[int, int]]:
        completions = ffi.new("fl_completion_t[]", capacity)
        count = self.check(self.ops.tx_reap(self.object, queue, completions, capacity))
        return [(one.token, one.status) for one in completions[0:count]]

    def join(self, *group: int) -> None:
        self.check(self.ops.join_group(self.object, ffi.new("fl_address_t *", {"family": 4, "bytes": group})))

    def housekeeping(self) -> int:
        return int(self.ops.housekeeping(self.object, 0))

    def close(self) -> None:
        self.leave()
        self.transport.close()


def buffers() -> tuple[int, int, int, int]:
    """Return the process's pools, their buffers, how many are out, and how many no device finds."""
    figures = [ffi.new("uint32_t *") for _ in range(4)]
    lib.fl_dpdk_buffers(*figures)
    return tuple(figure[0] for figure in figures)
