"""The ops table of the AF_XDP transport over veth pairs, driven from Python as the netstack drives it."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest

from framelane.transport import OpenContext
from support.namespaces import Link, inside, linked_namespaces, run_in
from support.native_ops import HostTable, NativeOps, OpFailedError, set_address
from support.processes import wait_until

LIMIT_S = 10.0
UNTAGGED = 0xFFFF
DEVICE = "eth0"


@dataclass(frozen=True)
class Veth:
    """Two namespaces joined by a veth pair ``eth0``: ``near`` is 10.77.0.1, fd77::1; ``far`` is .2 and ::2.

    The far end computes checksums, as a machine behind a cable would.
    """

    link: Link
    opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    run = staticmethod(run_in)
    inside = staticmethod(inside)

    @property
    def near(self) -> str:
        return self.link.left

    @property
    def far(self) -> str:
        return self.link.right

    def programs(self) -> str:
        """What ``ip link`` says of the near interface's XDP program."""
        text = self.run(self.near, "ip", "-details", "link", "show", "dev", DEVICE)
        return "\n".join(line.strip() for line in text.splitlines() if "prog/xdp" in line)

    def far_packets(self) -> PacketSocket:
        with self.inside(self.far):
            return self.opened.enter_context(contextlib.closing(PacketSocket()))

    def near_packets(self) -> PacketSocket:
        with self.inside(self.near):
            return self.opened.enter_context(contextlib.closing(PacketSocket()))

    def udp(self, namespace: str, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        with self.inside(namespace):
            made = self.opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        made.settimeout(LIMIT_S)
        return made


class PacketSocket:
    """Raw frames of an interface."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.socket.bind((DEVICE, 0))
        self.mac = self.socket.getsockname()[4]
        self.socket.settimeout(0.2)

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)

    def receive(self, count: int, is_wanted: Callable[[bytes], bool] = bool) -> list[bytes]:
        """Return so many frames that are wanted and were not sent by this end."""
        frames: list[bytes] = []
        deadline = time.monotonic() + LIMIT_S
        while len(frames) < count:
            assert time.monotonic() < deadline, f"{len(frames)} of {count} frames came"
            with contextlib.suppress(TimeoutError):
                frame, address = self.socket.recvfrom(65536)
                if address[2] != socket.PACKET_OUTGOING and is_wanted(frame):
                    frames.append(frame)
        return frames

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def make_veth() -> Iterator[Callable[..., Veth]]:
    with contextlib.ExitStack() as stack:

        def make(**shape: int) -> Veth:
            pair = Veth(stack.enter_context(linked_namespaces(ipv6=True, has_offload=False, **shape)))
            stack.enter_context(pair.opened)
            return pair

        yield make


@pytest.fixture
def veth(make_veth: Callable[..., Veth]) -> Veth:
    return make_veth()


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data)) if len(data) % 2 == 0 else checksum_sum(data + b"\0")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def checksum_sum(data: bytes) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


@dataclass(frozen=True)
class Datagram:
    """A UDP datagram as a frame."""

    destination: str
    port: int
    payload: bytes
    source: str = "10.77.0.2"
    source_port: int = 9999
    mac: bytes = b"\xff" * 6
    source_mac: bytes = b"\x02\0\0\0\0\x01"
    vlan: int | None = None
    fragment: int = 0
    options: bytes = b""

    def frame(self) -> bytes:
        source, destination = ip_address(self.source).packed, ip_address(self.destination).packed
        length = 8 + len(self.payload)
        udp = struct.pack("!HHHH", self.source_port, self.port, length, 0)
        pseudo = source + destination + struct.pack("!IHBB", length, 0, 0, 17)
        total = checksum(pseudo + udp + self.payload) or 0xFFFF
        udp = udp[:6] + struct.pack("!H", total)
        if len(source) == 4:
            size = 20 + len(self.options) + length
            head = struct.pack("!BBHHHBBH", 0x45 + len(self.options) // 4, 0, size, 7, self.fragment, 64, 17, 0)
            head += source + destination + self.options
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
            kind = b"\x08\x00"
        else:
            head = struct.pack("!IHBB", 0x60000000, length, 17, 64) + source + destination
            kind = b"\x86\xdd"
        tag = b"" if self.vlan is None else b"\x81\x00" + struct.pack("!H", self.vlan)
        return self.mac + self.source_mac + tag + kind + head + udp + self.payload


class Port(NativeOps):
    """An open and started port."""

    name = "xdp"

    def __init__(self, start: bool = True, **settings: Any) -> None:
        from framelane_xdp._native import ffi, lib

        from framelane_xdp.plugin import XdpTransport
        from framelane_xdp.settings import XdpSettings

        self.ffi = ffi
        self.lib = lib
        self.host = HostTable(ffi, lib)
        self.transport = XdpTransport(
            XdpSettings(**{"interface": DEVICE, "ring_size": 512, **settings}),
            OpenContext(self.host.address, "test"),
        )
        assert self.transport.native is not None
        self.ops = ffi.cast("fl_port_ops_t *", self.transport.native.ops)
        self.object = ffi.cast("fl_port_t *", self.transport.native.object)
        self.attributes = ffi.new("fl_port_attributes_t *", {"size": ffi.sizeof("fl_port_attributes_t")})
        self.check(self.ops.attributes(self.object, self.attributes))
        self.queues = 0
        self.is_open = True
        if start:
            self.start(1)

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

    def receive(self, count: int, queue: int = 0) -> list[bytes]:
        received: list[bytes] = []
        deadline = time.monotonic() + LIMIT_S
        while len(received) < count:
            assert time.monotonic() < deadline, f"{len(received)} of {count} frames came: {self.stats()}"
            frames, taken = self.take(queue=queue)
            received += [self.data(frames[i]) for i in range(taken)]
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

    def send(self, *contents: bytes, queue: int = 0) -> None:
        """Send all, however many calls it takes."""
        rest = list(contents)
        deadline = time.monotonic() + LIMIT_S
        while rest:
            assert time.monotonic() < deadline, f"{len(rest)} frames were not taken: {self.stats()}"
            self.reap(queue)
            rest = rest[self.burst(*rest[:64], queue=queue) :]

    def housekeeping(self) -> int:
        return int(self.ops.housekeeping(self.object, time.monotonic_ns()))

    def events(self) -> list[tuple[int, str]]:
        self.housekeeping()
        return super().events()

    def wait_for_event(self, kind: int) -> str:
        return str(wait_until(lambda: [text for one, text in self.events() if one == kind], f"event {kind}")[0])


@pytest.fixture
def make_port(make_veth: Callable[..., Veth]) -> Iterator[Callable[..., Port]]:  # noqa: ARG001
    """Open ports in the near namespace; they are closed at the end, before the namespaces go."""
    pytest.importorskip("framelane_xdp._native", reason="built without the headers of libxdp", exc_type=ImportError)
    with contextlib.ExitStack() as stack:

        def make(veth: Veth, namespace: str | None = None, **settings: Any) -> Port:
            with veth.inside(namespace or veth.near):
                port = Port(**settings)
            stack.callback(port.close)
            return port

        yield make


@pytest.fixture
def port(veth: Veth, make_port: Callable[..., Port]) -> Port:
    return make_port(veth)


@pytest.fixture
def op_failed() -> type[OpFailedError]:
    return OpFailedError


@pytest.fixture
def datagram() -> type[Datagram]:
    return Datagram
