"""The ops table of the sockets transport, driven from Python as the driver's agents drive it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest
from framelane_sockets._native import ffi, lib

from framelane.transport import OpenContext
from framelane_sockets.plugin import SocketsTransport
from framelane_sockets.settings import SocketsSettings
from support.namespaces import Link, linked_namespaces, run_in
from support.native_ops import HostTable, NativeOps, OpFailedError, set_address
from support.processes import wait_until

LIMIT_S = 10.0


@dataclass(frozen=True)
class Received:
    """A received run, copied out."""

    data: bytes
    segment_length: int
    peer: tuple[str, int]
    local: tuple[str, int] | None
    context: int
    flags: int
    timestamp_ns: int

    @property
    def datagrams(self) -> list[bytes]:
        return cut(self.data, self.segment_length)


@dataclass
class Endpoint:
    handle: Any
    params: Any
    address: tuple[str, int]

    @property
    def note(self) -> str:
        return ffi.string(self.params.note).decode()


@dataclass
class Run:
    """A run to send."""

    data: bytes
    segment_length: int = 0
    peer: Any = ffi.NULL
    local: tuple[str, int] | None = None
    keep: list[Any] = field(default_factory=list)


def cut(data: bytes, segment_length: int) -> list[bytes]:
    return [data[i : i + segment_length] for i in range(0, len(data), segment_length)] if data else [b""]


def get_address(address: Any) -> tuple[str, int]:
    length = 4 if address.family == 4 else 16
    return str(ip_address(bytes(ffi.buffer(address.bytes, length)))), address.port


def new_peer(address: tuple[str, int]) -> Any:
    peer = ffi.new("fl_peer_t *")
    set_address(ffi, peer.address, *address)
    return peer


class Sockets(NativeOps):
    """A transport with one poller, and the endpoints opened on it."""

    name = "sockets"

    def __init__(self, **settings: Any) -> None:
        self.ffi = ffi
        self.host = HostTable(ffi, lib)
        self.transport = SocketsTransport(SocketsSettings(**settings), OpenContext(self.host.address, "test"))
        assert self.transport.native is not None
        self.ops = ffi.cast("fl_transport_ops_t *", self.transport.native.ops)
        self.object = ffi.cast("fl_transport_t *", self.transport.native.object)
        self.poller = self.new_poller(0)
        self.endpoints: list[Endpoint] = []

    def new_poller(self, queue: int) -> Any:
        poller = ffi.new("fl_poller_t **")
        self.check(self.ops.poller_open(self.object, queue, 3, poller))
        self.check(self.ops.poller_enter(poller[0]))
        return poller[0]

    def open(
        self,
        bind: tuple[str, int],
        peer: tuple[str, int] | None = None,
        *,
        interface: str | None = None,
        context: int = 0,
        on_poller: bool = True,
        role: int = 1,
        **params: int,
    ) -> Endpoint:
        native = ffi.new("fl_endpoint_params_t *", {"size": ffi.sizeof("fl_endpoint_params_t"), "role": role, **params})
        set_address(ffi, native.bind, *bind)
        if peer is not None:
            set_address(ffi, native.peer, *peer)
        if interface is not None:
            set_address(ffi, native.interface_address, interface)
        handle = ffi.new("fl_endpoint_t **")
        self.check(self.ops.open_endpoint(self.object, native, handle))
        address = ffi.new("fl_address_t *")
        self.check(self.ops.local_address(handle[0], address))
        endpoint = Endpoint(handle[0], native, get_address(address))
        if on_poller:
            self.check(self.ops.poller_add(self.poller, endpoint.handle, ffi.cast("void *", context)))
            self.endpoints.append(endpoint)
        return endpoint

    def close_endpoint(self, endpoint: Endpoint) -> None:
        if endpoint in self.endpoints:
            self.endpoints.remove(endpoint)
            self.check(self.ops.poller_remove(self.poller, endpoint.handle))
        self.check(self.ops.close_endpoint(endpoint.handle))

    def send(self, endpoint: Endpoint, *runs: Run) -> tuple[int, list[tuple[int, int]]]:
        """Send runs in one call; return what `send` does, and (accepted, status) of each run."""
        native = ffi.new("fl_run_t[]", len(runs))
        keep = []
        for target, run in zip(native, runs, strict=True):
            data = ffi.from_buffer("uint8_t[]", run.data)
            local = ffi.new("fl_address_t *")
            if run.local is not None:
                set_address(ffi, local, *run.local)
            keep += [data, local]
            target.data = data
            target.length = len(run.data)
            target.segment_length = run.segment_length or len(run.data)
            target.peer = run.peer
            target.local = local if run.local else ffi.NULL
            target.accepted = 77
            target.status = 77
        taken = self.ops.send(endpoint.handle, native, len(runs))
        return taken, [(run.accepted, run.status) for run in native]

    def poll(self, capacity: int = 64) -> list[Received]:
        runs = ffi.new("fl_run_t[]", max(capacity, 1))
        count = self.check(self.ops.poll(self.poller, runs, capacity))
        received = [
            Received(
                bytes(ffi.buffer(run.data, run.length)),
                run.segment_length,
                get_address(run.peer.address),
                get_address(run.local) if run.local else None,
                int(ffi.cast("uintptr_t", run.context)),
                run.flags,
                run.timestamp_ns,
            )
            for run in runs[0:count]
        ]
        self.ops.release(self.poller, runs, count)
        return received

    def receive(self, datagrams: int, capacity: int = 64) -> list[Received]:
        """Poll until so many datagrams have come."""
        received: list[Received] = []
        deadline = time.monotonic() + LIMIT_S
        while sum(len(run.datagrams) for run in received) < datagrams:
            assert time.monotonic() < deadline, f"got {received} of {datagrams} datagrams"
            received += self.poll(capacity)
        return received

    def close(self) -> None:
        for endpoint in list(self.endpoints):
            self.close_endpoint(endpoint)
        self.check(self.ops.poller_leave(self.poller))
        self.check(self.ops.poller_close(self.poller))
        self.transport.close()


@pytest.fixture
def make_sockets() -> Iterator[Callable[..., Sockets]]:
    """Make transports; they are closed at the end of the test, which fails if something was left open."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Sockets:
            sockets = Sockets(**settings)
            stack.callback(sockets.close)
            return sockets

        yield make


@pytest.fixture
def sockets(make_sockets: Callable[..., Sockets]) -> Sockets:
    return make_sockets()


@pytest.fixture
def veth() -> Iterator[Link]:
    """Two namespaces joined by a veth pair, with IPv4 and IPv6."""
    with linked_namespaces(ipv6=True) as link:
        for name in (link.left, link.right):
            wait_until(partial(has_multicast_route, name), "eth0 to come up")
        yield link


def has_multicast_route(namespace: str) -> bool:
    """IPv6 multicast has no route until the kernel has seen the carrier, which it does by the way."""
    return "multicast ff00::/8 dev eth0" in run_in(namespace, "ip", "-6", "route", "show", "table", "all")


class RunFactory:
    """Makes runs and peers."""

    def __call__(
        self, data: bytes, segment_length: int = 0, peer: Any = ffi.NULL, local: tuple[str, int] | None = None
    ) -> Run:
        return Run(data, segment_length, peer, local)

    peer = staticmethod(new_peer)


@pytest.fixture
def run() -> RunFactory:
    return RunFactory()


@pytest.fixture
def host() -> HostTable:
    return HostTable(ffi, lib)


@pytest.fixture
def op_failed() -> type[OpFailedError]:
    return OpFailedError
