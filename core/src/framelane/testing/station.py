"""A station: one end of a conformance test. Calls a transport's ops as the driver does and keeps what arrives."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from framelane._native import ffi, lib
from framelane.errors import FramelaneError
from framelane.transport.address import Address
from framelane.transport.native import OpenTransport, raise_native
from framelane.transport.spec import Capabilities

__all__ = [
    "Datagram",
    "Endpoint",
    "FarEndpoint",
    "FarStation",
    "ReceivedRun",
    "Run",
    "RunResult",
    "Station",
    "wait_for",
]

POLL_CAPACITY = 64
WAIT_LIMIT_S = 10.0
HOUSEKEEPING_NS = 100_000_000


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = WAIT_LIMIT_S) -> None:
    """Wait until ``condition`` holds; it does the work of a cycle itself.

    :raises AssertionError: if it does not hold within the limit.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s in vain for {what}"
        time.sleep(0)


@dataclass(frozen=True)
class Run:
    """A run to send."""

    data: bytes
    segment_length: int = 0  #: 0: the whole is one datagram
    peer: Address | None = None  #: ``None``: the connected peer
    local: Address | None = None  #: source to use
    flags: int = 0

    def datagrams(self) -> list[bytes]:
        """Return the datagrams that the run is cut into."""
        step = self.segment_length or len(self.data)
        return [self.data[i : i + step] for i in range(0, len(self.data), step)] if self.data else [b""]


@dataclass(frozen=True)
class RunResult:
    """What ``send`` wrote into a run."""

    accepted: int
    status: int


@dataclass(frozen=True)
class Datagram:
    """A datagram that arrived."""

    data: bytes
    source: Address
    local: Address | None


@dataclass(frozen=True)
class ReceivedRun:
    """A run out of ``poll``, with a copy of its bytes. ``native`` is to be released once."""

    native: Any  #: ``fl_run_t *``
    data: bytes
    segment_length: int
    source: Address
    local: Address | None
    context: int
    flags: int
    timestamp_ns: int

    def datagrams(self) -> list[Datagram]:
        """Cut the run."""
        cut = Run(self.data, self.segment_length).datagrams()
        return [Datagram(part, self.source, self.local) for part in cut]

    def memory(self) -> bytes:
        """Return what the transport's memory holds now; only until the run is released."""
        return bytes(ffi.buffer(self.native.data, self.native.length)) if self.native.length else b""


class FarEndpoint(Protocol):
    """An endpoint at the far end, in this process or in a child."""

    @property
    def local(self) -> Address: ...

    def send_all(self, runs: Sequence[Run]) -> None:
        """Send the runs, resuming where the transport had no room."""
        ...

    def receive(self, count: int, limit_s: float = WAIT_LIMIT_S) -> list[Datagram]:
        """Wait for so many datagrams; fewer if the limit passes."""
        ...

    def close(self) -> None: ...


class FarStation(Protocol):
    """What a test needs of the far end."""

    def open(
        self,
        *,
        role: int = ...,
        bind: Address | None = None,
        peer: Address | None = None,
        interface: Address | None = None,
        flags: int = 0,
        mtu_length: int = ...,
        ttl: int = 0,
        receive_buffer_length: int = 0,
        send_buffer_length: int = 0,
    ) -> FarEndpoint: ...

    def close(self) -> None: ...


class Endpoint:
    """An endpoint in this process."""

    def __init__(self, station: Station, native: Any, params: Any, context: int) -> None:
        self.station = station
        self.native = native
        self.context = context
        self.max_run_segments = int(params.max_run_segments)
        self.max_run_length = int(params.max_run_length)
        self.send_buffer_granted = int(params.send_buffer_granted)
        self.receive_buffer_granted = int(params.receive_buffer_granted)
        self.receive_clock = int(params.receive_clock)
        self.note = ffi.string(params.note).decode(errors="replace")
        self.inbox: deque[Datagram] = deque()
        self.is_on_poller = False
        self._peer: Any = None

    @property
    def local(self) -> Address:
        """The bound address."""
        address = ffi.new("fl_address_t *")
        status = self.station.ops.local_address(self.native, address)
        if status < 0:
            raise_native(status, "local_address")
        found = Address.from_native(address)
        assert found is not None, "local_address wrote no address"
        return found

    def set_peer(self, peer: Address) -> int:
        """Return the result of ``set_peer``."""
        self._peer = self.station.new_peer(peer)
        return int(self.station.ops.set_peer(self.native, self._peer))

    def send(self, runs: Sequence[Run]) -> tuple[int, list[RunResult]]:
        """Call ``send`` once. Returns its result and what it wrote into each run."""
        native = ffi.new("fl_run_t[]", max(1, len(runs)))
        kept = []
        for target, run in zip(native, runs, strict=False):
            buffer = ffi.from_buffer(run.data) if run.data else ffi.NULL
            local = ffi.NULL
            if run.local is not None:
                local = ffi.new("fl_address_t *")
                run.local.store(local)
            kept.append((buffer, local))
            target.data = ffi.cast("const uint8_t *", buffer)
            target.length = len(run.data)
            target.segment_length = run.segment_length or len(run.data)
            target.peer = ffi.NULL if run.peer is None else self.station.peer(run.peer)
            target.local = local
            target.flags = run.flags
            target.accepted = 0xDEAD
            target.status = 1
        result = int(self.station.ops.send(self.native, native, len(runs)))
        return result, [RunResult(native[i].accepted, native[i].status) for i in range(len(runs))]

    def send_all(self, runs: Sequence[Run]) -> None:
        """Send the runs, cut to what one run may hold, resuming where the transport had no room.

        The stations are polled only while nothing is accepted.

        :raises AssertionError: on any status but 0 and ``-FL_EAGAIN``, or if nothing is accepted for too long.
        """
        pending = deque(piece for run in runs for piece in self._pieces(run))
        deadline = time.monotonic() + WAIT_LIMIT_S
        while pending:
            batch = [pending.popleft() for _ in range(min(16, len(pending)))]
            _, results = self.send(batch)
            rest = []
            for run, result in zip(batch, results, strict=True):
                assert result.status in (0, -lib.FL_EAGAIN), f"send: status {result.status}"
                left = run.datagrams()[result.accepted :]
                if left:
                    rest.append(Run(b"".join(left), run.segment_length, run.peer, run.local, run.flags))
            pending.extendleft(reversed(rest))
            assert time.monotonic() < deadline, "the transport accepts nothing any more"
            if any(result.accepted for result in results):
                self.station.reap()
            else:
                self.station.cycle_all()

    def _pieces(self, run: Run) -> list[Run]:
        datagrams = run.datagrams()
        step = run.segment_length or len(run.data)
        most = max(1, min(self.max_run_segments, self.max_run_length // step if step else 1))
        groups = [datagrams[i : i + most] for i in range(0, len(datagrams), most)]
        return [Run(b"".join(g), run.segment_length, run.peer, run.local, run.flags) for g in groups]

    def receive(self, count: int, limit_s: float = WAIT_LIMIT_S) -> list[Datagram]:
        """Cycle until so many datagrams arrived, or the limit passed; returns those that did, at most ``count``."""
        deadline = time.monotonic() + limit_s
        while len(self.inbox) < count and time.monotonic() < deadline:
            self.station.cycle_all()
        return [self.inbox.popleft() for _ in range(min(count, len(self.inbox)))]

    def close(self) -> None:
        """Take the endpoint off the poller and close it."""
        self.station.close_endpoint(self)


class Station:
    """One transport, one poller of both roles, its endpoints; all on the calling thread.

    :param transport: closed with the station.
    """

    def __init__(self, transport: OpenTransport, queue: int = 0) -> None:
        self.transport = transport
        self.endpoints: dict[int, Endpoint] = {}
        self.companions: list[Station] = []  #: in this process; they are cycled while this one waits
        self._contexts = itertools.count(1)
        self._peers: dict[Address, Any] = {}
        self._kept_house_ns = 0
        self._runs = ffi.new("fl_run_t[]", POLL_CAPACITY)
        self._completions = ffi.new("fl_completion_t[]", POLL_CAPACITY)
        self.poller = self.open_poller(queue)

    @property
    def ops(self) -> Any:
        """The binding's complete ops."""
        return self.transport.binding.ops

    @property
    def capabilities(self) -> Capabilities:
        return self.transport.capabilities

    def open_poller(self, queue: int) -> Any:
        """Open and enter a poller of both roles.

        :raises NativeError: if the transport refuses.
        """
        poller = ffi.new("fl_poller_t **")
        roles = lib.FL_ROLE_SENDER | lib.FL_ROLE_RECEIVER
        status = self.ops.poller_open(self.transport.binding.transport, queue, roles, poller)
        if status < 0:
            raise_native(status, "poller_open")
        status = self.ops.poller_enter(poller[0])
        if status < 0 and status != -lib.FL_ENOTSUP:
            raise_native(status, "poller_enter")
        return poller[0]

    def close_poller(self, poller: Any) -> None:
        """Leave and close a poller."""
        self.ops.poller_leave(poller)
        status = self.ops.poller_close(poller)
        if status < 0:
            raise_native(status, "poller_close")

    def new_peer(self, address: Address) -> Any:
        """Return a fresh ``fl_peer_t *`` of generation 0."""
        peer = ffi.new("fl_peer_t *")
        address.store(peer.address)
        return peer

    def peer(self, address: Address) -> Any:
        """Return the station's one ``fl_peer_t *`` of an address, as an agent keeps it."""
        if address not in self._peers:
            self._peers[address] = self.new_peer(address)
        return self._peers[address]

    def open(
        self,
        *,
        role: int = lib.FL_ROLE_RECEIVER,
        bind: Address | None = None,
        peer: Address | None = None,
        interface: Address | None = None,
        flags: int = 0,
        mtu_length: int = 1408,
        ttl: int = 0,
        receive_buffer_length: int = 0,
        send_buffer_length: int = 0,
        on_poller: bool = True,
    ) -> Endpoint:
        """Open an endpoint and put it on the poller.

        :raises NativeError: with the code that ``open_endpoint`` returned.
        """
        params = ffi.new("fl_endpoint_params_t *")
        params.size = ffi.sizeof("fl_endpoint_params_t")
        params.role = role
        params.flags = flags
        params.ttl = ttl
        params.mtu_length = mtu_length
        params.send_buffer_length = send_buffer_length
        params.receive_buffer_length = receive_buffer_length
        for target, address in ((params.bind, bind), (params.peer, peer), (params.interface_address, interface)):
            if address is not None:
                address.store(target)
        native = ffi.new("fl_endpoint_t **")
        status = self.ops.open_endpoint(self.transport.binding.transport, params, native)
        if status < 0:
            raise_native(status, f"open_endpoint on '{self.transport.name}'")
        endpoint = Endpoint(self, native[0], params, next(self._contexts))
        self.endpoints[endpoint.context] = endpoint
        if on_poller:
            self.add(endpoint)
        return endpoint

    def add(self, endpoint: Endpoint, poller: Any = None) -> None:
        """Put an endpoint on a poller."""
        chosen = self.poller if poller is None else poller
        status = self.ops.poller_add(chosen, endpoint.native, ffi.cast("void *", endpoint.context))
        if status < 0:
            raise_native(status, "poller_add")
        endpoint.is_on_poller = True

    def remove(self, endpoint: Endpoint, poller: Any = None) -> None:
        """Take an endpoint off a poller."""
        chosen = self.poller if poller is None else poller
        status = self.ops.poller_remove(chosen, endpoint.native)
        if status < 0:
            raise_native(status, "poller_remove")
        endpoint.is_on_poller = False

    def close_endpoint(self, endpoint: Endpoint) -> None:
        """Take an endpoint off the poller and close it."""
        if self.endpoints.pop(endpoint.context, None) is None:
            return
        if endpoint.is_on_poller:
            self.remove(endpoint)
        status = self.ops.close_endpoint(endpoint.native)
        if status < 0:
            raise_native(status, "close_endpoint")

    def poll(self, capacity: int = POLL_CAPACITY, poller: Any = None) -> list[ReceivedRun]:
        """Call ``poll`` once. What it returns is to be released before the next poll."""
        chosen = self.poller if poller is None else poller
        count = self.ops.poll(chosen, self._runs, capacity)
        if count < 0:
            raise_native(count, "poll")
        assert count <= capacity, f"poll wrote {count} runs, capacity was {capacity}"
        received = []
        for i in range(count):
            native = ffi.new("fl_run_t *", self._runs[i])
            assert native.peer != ffi.NULL, "a received run has no peer"
            source = Address.from_native(native.peer.address)
            assert source is not None, "a received run's peer has no address"
            local = None if native.local == ffi.NULL else Address.from_native(native.local)
            received.append(
                ReceivedRun(
                    native=native,
                    data=bytes(ffi.buffer(native.data, native.length)) if native.length else b"",
                    segment_length=native.segment_length,
                    source=source,
                    local=local,
                    context=int(ffi.cast("uintptr_t", native.context)),
                    flags=native.flags,
                    timestamp_ns=native.timestamp_ns,
                )
            )
        return received

    def release(self, runs: Sequence[ReceivedRun], poller: Any = None) -> None:
        """Give runs back in one call."""
        chosen = self.poller if poller is None else poller
        native = ffi.new("fl_run_t[]", max(1, len(runs)))
        for i, run in enumerate(runs):
            native[i] = run.native[0]
        self.ops.release(chosen, native, len(runs))

    def reap(self) -> list[tuple[int, int]]:
        """Call ``reap`` once. Returns token and status of each completion."""
        count = self.ops.reap(self.poller, self._completions, POLL_CAPACITY)
        if count == -lib.FL_ENOTSUP:
            return []
        if count < 0:
            raise_native(count, "reap")
        return [(self._completions[i].token, self._completions[i].status) for i in range(count)]

    def cycle(self) -> int:
        """Do one duty cycle: reap, poll, sort into the inboxes, release. Returns how many runs came.

        Every tenth of a second, as the driver's conductor does, the transport keeps house before.
        """
        now_ns = lib.fl_clock_nano(self.transport.host.clock)
        if now_ns - self._kept_house_ns >= HOUSEKEEPING_NS:
            self._kept_house_ns = now_ns
            self.ops.housekeeping(self.transport.binding.transport, now_ns)
        self.reap()
        runs = self.poll()
        for run in runs:
            endpoint = self.endpoints.get(run.context)
            assert endpoint is not None, f"a run came with context {run.context}, which no open endpoint has"
            endpoint.inbox.extend(run.datagrams())
        if runs:
            self.release(runs)
        return len(runs)

    def cycle_all(self) -> None:
        """Do one duty cycle here and on the companions; yields the processor if nothing came."""
        if sum([self.cycle(), *(companion.cycle() for companion in self.companions)]) == 0:
            time.sleep(0.0001)

    def settle(self) -> None:
        """Cycle until nothing came for a while: 50 cycles and 10 ms."""
        quiet, since = 0, time.monotonic()
        while quiet < 50 or time.monotonic() - since < 0.01:
            if self.cycle() or sum(companion.cycle() for companion in self.companions):
                quiet, since = 0, time.monotonic()
            quiet += 1

    def close(self) -> None:
        """Close the endpoints, the poller and the transport."""
        if self.transport.is_closed:
            return
        for endpoint in list(self.endpoints.values()):
            self.close_endpoint(endpoint)
        self.close_poller(self.poller)
        self.transport.close()

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        except FramelaneError as error:
            raise AssertionError(f"the station did not close cleanly: {error}") from error
