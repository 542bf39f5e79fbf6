"""The ops table of the AF_XDP transport over veth pairs, driven from Python as the netstack drives it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.namespaces import Link, inside, linked_namespaces, run_in
from support.native_ops import OpFailedError
from support.port_ops import PortOps
from support.udp_frames import Datagram

LIMIT_S = 10.0
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


class Port(PortOps):
    """An open and started port."""

    name = "xdp"

    def __init__(self, start: bool = True, **settings: Any) -> None:
        from framelane_xdp._native import ffi, lib

        from framelane_xdp.plugin import XdpTransport
        from framelane_xdp.settings import XdpSettings

        chosen = XdpSettings(**{"interface": DEVICE, "ring_size": 512, **settings})
        super().__init__(ffi, lib, lambda context: XdpTransport(chosen, context))
        if start:
            self.start(1)


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
