"""The ops table of a DPDK port, driven from Python as the driver's agents drive it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from framelane_dpdk._native import ffi, lib

from framelane.transport import OpenContext
from framelane_dpdk.plugin import DpdkTransport
from framelane_dpdk.settings import DpdkSettings

LIMIT_S = 10.0

#: Small enough for many in one environment of plain pages.
SMALL = {"rx_queue_size": 128, "tx_queue_size": 128, "link_wait_ms": 0}


class OpFailedError(Exception):
    """A call through the ops table returned an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Host:
    """An ``fl_host_t`` that keeps the error text and the log."""

    def __init__(self) -> None:
        self.text = ""
        self.log: list[str] = []
        fields = dict(ffi.typeof("fl_host_t").fields)
        self.callbacks = (
            ffi.callback(fields["error_set"].type, self.set_text),
            ffi.callback(fields["log"].type, lambda _host, _level, text: self.log.append(ffi.string(text).decode())),
            ffi.callback(fields["epoch_clock"].type, lambda _host: time.time_ns()),
        )
        self.table = ffi.new("fl_host_t *")
        self.table.magic = lib.FL_HOST_MAGIC
        self.table.size = ffi.sizeof("fl_host_t")
        self.table.abi_version = lib.FL_ABI_VERSION
        self.table.error_set, self.table.log, self.table.epoch_clock = self.callbacks

    def set_text(self, _host: Any, text: Any) -> None:
        self.text = ffi.string(text).decode()


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


def set_address(target: Any, address: tuple[str, int]) -> None:
    packed = ip_address(address[0]).packed
    target.family = 4 if len(packed) == 4 else 6
    target.port = address[1]
    ffi.memmove(target.bytes, packed, len(packed))


class Port:
    """A port with its queues entered on the calling thread."""

    def __init__(self, *, start_queues: int = 1, start: bool = True, enter: bool = True, **settings: Any) -> None:
        self.host = Host()
        self.transport = DpdkTransport(
            DpdkSettings(**SMALL | settings), OpenContext(int(ffi.cast("uintptr_t", self.host.table)), "test")
        )
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

    def check(self, code: int) -> int:
        if code < 0:
            raise OpFailedError(code, self.host.text)
        return code

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

    def housekeeping(self) -> int:
        return int(self.ops.housekeeping(self.object, 0))

    def events(self) -> list[tuple[int, str]]:
        events = ffi.new("fl_event_t[]", 32)
        count = self.check(self.ops.events(self.object, events, 32))
        return [(event.kind, ffi.string(event.text).decode()) for event in events[0:count]]

    def stats(self) -> dict[str, int]:
        count = self.ops.stats(self.object, ffi.NULL, 0)
        stats = ffi.new("fl_stat_t[]", count)
        assert self.ops.stats(self.object, stats, count) == count
        return {ffi.string(stat.name).decode().removeprefix("dpdk-"): stat.value for stat in stats}

    def close(self) -> None:
        self.leave()
        self.transport.close()


def buffers() -> tuple[int, int, int]:
    """Return the process's pools, their buffers, and how many are out."""
    pools, count, used = (ffi.new("uint32_t *") for _ in range(3))
    lib.fl_dpdk_buffers(pools, count, used)
    return pools[0], count[0], used[0]
